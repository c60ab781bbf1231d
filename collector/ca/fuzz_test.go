package ca

import (
	"bytes"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

// FuzzParseKeys reads key files that were tampered with. What passes must be as
// narrow as what we make, and be written as it is read.
func FuzzParseKeys(f *testing.F) {
	c := mustOpen(f, Config{})
	one, err := encodeKeys(c.view.Load().all)
	require.NoError(f, err)
	require.NoError(f, c.rotate())
	two, err := encodeKeys(c.view.Load().all)
	require.NoError(f, err)
	for _, seed := range [][]byte{
		one, two, nil, rootPEM(),
		one[:len(one)/2], one[len(one)/2:], append(two, one...),
		bytes.ReplaceAll(two, []byte("\n"), []byte("\r\n")),
		bytes.ReplaceAll(one, []byte("Published: "), []byte("Published: 0")),
		bytes.ReplaceAll(one, []byte("Published"), []byte("Proc-Type")),
		[]byte(strings.Repeat("-----BEGIN ", 1000)),
	} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		all, err := parseKeys(data)
		if err != nil {
			if len(err.Error()) > 200 {
				t.Errorf("an error of %d bytes quotes the file", len(err.Error()))
			}
			return
		}
		for _, a := range all {
			if a.covers("127.0.0.1") || a.covers("") || !a.root.PermittedDNSDomainsCritical || !a.cert.PermittedDNSDomainsCritical || !a.cert.MaxPathLenZero {
				t.Errorf("took a CA that is too wide: %v", a.cert.PermittedDNSDomains)
			}
			if _, err := a.sign(host, a.cert.NotBefore.Add(time.Hour)); err != nil {
				t.Errorf("cannot sign: %v", err)
			}
		}
		written, err := encodeKeys(all)
		require.NoError(t, err)
		again, err := parseKeys(written)
		if err != nil || len(again) != len(all) {
			t.Fatalf("cannot read what was written: %v", err)
		}
		for i := range all {
			if !again[i].root.Equal(all[i].root) || !again[i].cert.Equal(all[i].cert) || !again[i].published.Equal(all[i].published) {
				t.Error("what was written reads differently")
			}
		}
	})
}

// FuzzHost asks for certificates for whatever programs send.
func FuzzHost(f *testing.F) {
	for _, seed := range []string{host, "MONITOR.API.KSYUN.COM.", "api.ksyun.com", "x.api.ksyun.com:443", "*.api.ksyun.com", "1.2.3.4", "::1", "a\x00.api.ksyun.com", "\u212A.api.\u212Asyun.com"} {
		f.Add(seed)
	}
	c := mustOpen(f, Config{CacheSize: 4})
	ca := c.PEM()
	f.Fuzz(func(t *testing.T, host string) {
		cert, err := c.Certificate(host)
		if err != nil {
			return
		}
		name := cert.Leaf.DNSNames[0]
		if !strings.EqualFold(name, strings.TrimSuffix(host, ".")) || !strings.HasSuffix(name, ".api.ksyun.com") {
			t.Errorf("%q: signed for %q", host, name)
		}
		if err := trusts(ca, cert, name, time.Now()); err != nil {
			t.Errorf("%q: %v", host, err)
		}
	})
}

// FuzzMergeBundle merges roots that are anything.
func FuzzMergeBundle(f *testing.F) {
	ours := mustOpen(f, Config{}).PEM()
	for _, seed := range [][]byte{rootPEM(), ours, nil, append([]byte("x"), rootPEM()...), rootPEM()[5:]} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, roots []byte) {
		got, err := mergeBundle(roots, ours)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(got, ours) || bytes.Contains(got, []byte("PRIVATE KEY")) || count(got) < 2 {
			t.Errorf("merged to %s", got)
		}
		// It is read as it is by the next tap.
		if again, err := mergeBundle(got, ours); err != nil || !bytes.Equal(again, got) {
			t.Errorf("merged again to %s, %v", again, err)
		}
	})
}
