package ca

import (
	"bytes"
	"encoding/pem"
	"slices"
	"time"
)

// view holds the authorities at one time. It is immutable.
type view struct {
	all []*authority // the oldest first
}

// signer returns the authority that signs for host, and until when (zero: until
// the view changes). It is the newest that has been published for overlap or, if
// there is none, the one published first. If none is valid for host, a is nil.
func (v *view) signer(host string, now time.Time, overlap time.Duration) (a *authority, until time.Time) {
	var next time.Time // when the first of the newer authorities will sign
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

// current returns the authority that signs for the first permitted name or, if
// there is none, the newest. It is nil if there is no authority.
func (v *view) current(p *permitted, now time.Time, overlap time.Duration) *authority {
	if a, _ := v.signer(string(p.patterns[0].Name()), now, overlap); a != nil {
		return a
	}
	if len(v.all) == 0 {
		return nil
	}
	return v.all[len(v.all)-1]
}

// certificates returns the roots in PEM. The root of first comes first, because
// some programs read only one certificate.
func (v *view) certificates(first *authority) []byte {
	var b bytes.Buffer
	write := func(a *authority) {
		pem.Encode(&b, &pem.Block{Type: blockCert, Bytes: a.root.Raw}) //nolint:errcheck // a bytes.Buffer returns no error
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

// pruned returns the last maxAuthorities of the authorities that have not
// expired.
func pruned(all []*authority, now time.Time) []*authority {
	kept := make([]*authority, 0, len(all)+1)
	for _, a := range all {
		if now.Before(a.cert.NotAfter) {
			kept = append(kept, a)
		}
	}
	return kept[max(0, len(kept)-maxAuthorities):]
}
