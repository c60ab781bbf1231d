package ca

import (
	"bytes"
	"encoding/pem"
	"slices"
	"time"
)

// view is the authorities at one time. It does not change once made.
type view struct {
	all []*authority // the oldest first
}

// signer returns the authority that signs for host, and until when that holds
// (zero: until the view changes). It is the newest that programs had overlap to
// learn of; while there is none, the one they have known longest. nil is none.
func (v *view) signer(host string, now time.Time, overlap time.Duration) (a *authority, until time.Time) {
	var next time.Time // when the first of those passed over will sign
	for _, b := range slices.Backward(v.all) {
		if b.published.IsZero() || !b.live(now) || !b.covers(host) {
			continue
		}
		a, until = b, next
		ripe := b.published.Add(overlap)
		if !now.Before(ripe) {
			break
		}
		if next.IsZero() || ripe.Before(next) {
			next = ripe
		}
	}
	return a, until
}

// current returns the authority that stands for the whole: the one that signs
// for the first permitted name, else the last made, else nil.
func (v *view) current(p *permitted, now time.Time, overlap time.Duration) *authority {
	if a, _ := v.signer(p.patterns[0].name, now, overlap); a != nil {
		return a
	}
	if len(v.all) == 0 {
		return nil
	}
	return v.all[len(v.all)-1]
}

// certificates returns the roots in PEM, first's in front: some programs
// read no further.
func (v *view) certificates(first *authority) []byte {
	var b bytes.Buffer
	write := func(a *authority) {
		pem.Encode(&b, &pem.Block{Type: blockCert, Bytes: a.root.Raw}) //nolint:errcheck // memory takes all
	}
	if first != nil {
		write(first)
	}
	for _, a := range slices.Backward(v.all) {
		if a != first {
			write(a)
		}
	}
	return b.Bytes()
}

// pruned returns the authorities that are not over, the last maxAuthorities of
// them.
func pruned(all []*authority, now time.Time) []*authority {
	kept := make([]*authority, 0, len(all)+1)
	for _, a := range all {
		if now.Before(a.cert.NotAfter) {
			kept = append(kept, a)
		}
	}
	return kept[max(0, len(kept)-maxAuthorities):]
}
