package ca

import (
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"net"
	"sync"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

func TestLeaf(t *testing.T) {
	clk := newClock()
	c := mustOpen(t, Config{Now: clk.Now})
	cert := mustCert(t, c, "Monitor.API.ksyun.com.")
	leaf := cert.Leaf
	ca := c.view.Load().all[0].cert
	now := clk.Now()
	switch {
	case leaf.Subject.String() != "":
		t.Errorf("subject %q, want none", leaf.Subject)
	case len(leaf.DNSNames) != 1 || leaf.DNSNames[0] != host || len(leaf.IPAddresses)+len(leaf.URIs)+len(leaf.EmailAddresses) > 0:
		t.Errorf("names %q and more, want the host alone", leaf.DNSNames)
	case !leaf.NotBefore.Equal(now.Add(-time.Hour)):
		t.Errorf("valid from %v, want an hour ago", leaf.NotBefore)
	case leaf.NotAfter.Sub(leaf.NotBefore) != 24*time.Hour:
		t.Errorf("valid for %v, want 24h", leaf.NotAfter.Sub(leaf.NotBefore))
	case leaf.IsCA || leaf.KeyUsage != x509.KeyUsageDigitalSignature:
		t.Error("the leaf can do more than serve")
	case len(leaf.ExtKeyUsage) != 1 || leaf.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth:
		t.Errorf("extended usage %v", leaf.ExtKeyUsage)
	case string(leaf.AuthorityKeyId) != string(ca.SubjectKeyId) || len(leaf.SubjectKeyId) != 20:
		t.Error("the key identifiers do not lead to the CA")
	case leaf.SerialNumber.BitLen() > 128 || leaf.SerialNumber.BitLen() < 64:
		t.Errorf("serial number of %d bits", leaf.SerialNumber.BitLen())
	case leaf.SerialNumber.Cmp(ca.SerialNumber) == 0:
		t.Error("the serial number is the CA's")
	case len(cert.Certificate) != 2 || string(cert.Certificate[1]) != string(ca.Raw):
		t.Error("the CA is not served with the leaf")
	}
}

func TestAuthority(t *testing.T) {
	clk := newClock()
	c := mustOpen(t, Config{Now: clk.Now, Validity: 48 * time.Hour})
	all := c.view.Load().all[0]
	for name, ca := range map[string]*x509.Certificate{"root": all.root, "CA": all.cert} {
		switch {
		case !ca.IsCA || ca.KeyUsage != x509.KeyUsageCertSign:
			t.Errorf("%s: does more than sign", name)
		case len(ca.ExtKeyUsage) != 1 || ca.ExtKeyUsage[0] != x509.ExtKeyUsageServerAuth:
			t.Errorf("%s: extended usage %v", name, ca.ExtKeyUsage)
		case !ca.PermittedDNSDomainsCritical || len(ca.PermittedDNSDomains) != 1 || ca.PermittedDNSDomains[0] != "api.ksyun.com":
			t.Errorf("%s: permitted %q, critical %v", name, ca.PermittedDNSDomains, ca.PermittedDNSDomainsCritical)
		case fmt.Sprint(ca.ExcludedIPRanges) != "[0.0.0.0/0 ::/0]":
			t.Errorf("%s: excluded %v", name, ca.ExcludedIPRanges)
		case string(ca.AuthorityKeyId) != string(all.root.SubjectKeyId) || len(ca.SubjectKeyId) != 20:
			t.Errorf("%s: key identifiers are missing", name)
		case !ca.NotAfter.Equal(clk.Now().Add(48*time.Hour)) || !c.NotAfter().Equal(ca.NotAfter):
			t.Errorf("%s: valid until %v", name, ca.NotAfter)
		}
	}
	if all.root.MaxPathLen != 1 || !all.cert.MaxPathLenZero {
		t.Error("the CA may sign other CAs, or the root more than one")
	}
	assert.False(t, all.root.PublicKey.(*ecdsa.PublicKey).Equal(all.cert.PublicKey), "the root's key is not its own")
	if string(c.PEM()) != string(pem.EncodeToMemory(&pem.Block{Type: blockCert, Bytes: all.root.Raw})) {
		t.Error("what is to be trusted is not the root alone")
	}
}

func TestLeafIsRenewed(t *testing.T) {
	clk := newClock()
	c := mustOpen(t, Config{Now: clk.Now, Validity: 30 * time.Hour, Overlap: time.Hour})
	first := mustCert(t, c, host)
	clk.add(15 * time.Hour)
	if mustCert(t, c, host) != first {
		t.Error("renewed with a third of its life to go")
	}
	clk.add(time.Hour)
	second := mustCert(t, c, host)
	if second == first {
		t.Error("not renewed with less than a third of its life to go")
	}
	// The CA ends before the second leaf would.
	end := c.NotAfter()
	assert.True(t, second.Leaf.NotAfter.Equal(end), "the leaf lives until %v, the CA until %v", second.Leaf.NotAfter, end)
	// A clock that is set right again.
	clk.add(-16 * time.Hour)
	clk.add(-30 * time.Minute)
	if back := mustCert(t, c, host); clk.Now().Before(back.Leaf.NotBefore) {
		t.Errorf("served a leaf from %v at %v", back.Leaf.NotBefore, clk.Now())
	}
}

// TestClockLeaps has the CA expire while Maintain is not running.
func TestClockLeaps(t *testing.T) {
	for name, leap := range map[string]time.Duration{"ahead": 1000 * 24 * time.Hour, "back": -1000 * 24 * time.Hour} {
		t.Run(name, func(t *testing.T) {
			clk := newClock()
			c := mustOpen(t, Config{Now: clk.Now, Dir: privateDir(t)})
			mustCert(t, c, host)
			clk.add(leap)
			leaf := mustCert(t, c, host)
			assert.NoError(t, trusts(c.PEM(), leaf, host, clk.Now()), "after the leap")
		})
	}
}

// TestPanicWhileMinting checks that a panic ends the call in which it occurs, that the calls
// that wait for it return an error, and that the next call tries again.
func TestPanicWhileMinting(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		const callers = 5
		clk := newClock()
		broken, called := false, make(chan struct{})
		c := mustOpen(t, Config{Now: clk.Now, Dir: privateDir(t), Roots: func() ([]byte, error) {
			if broken {
				<-called
				panic("no roots")
			}
			return testRoots()
		}})
		clk.add(1000 * 24 * time.Hour) // so that another authority is created first
		broken = true
		panics, errs := make(chan any, callers), make(chan error, callers)
		for range callers {
			go func() {
				defer func() {
					if v := recover(); v != nil {
						panics <- v
					}
				}()
				_, err := c.Certificate(host)
				errs <- err
			}()
		}
		synctest.Wait() // all calls wait for the first one
		close(called)
		synctest.Wait()
		require.Len(t, errs, callers-1, "calls that returned")
		for range callers - 1 {
			require.ErrorIs(t, <-errs, errPanicked)
		}
		assert.Equal(t, "no roots", <-panics)
		broken = false
		leaf := mustCert(t, c, host)
		assert.NoError(t, trusts(c.PEM(), leaf, host, clk.Now()), "the next call")
	})
}

func TestMintedOnce(t *testing.T) {
	const hosts, callers = 200, 1000
	c := mustOpen(t, Config{CacheSize: hosts})
	var (
		start sync.WaitGroup
		done  sync.WaitGroup
		certs [hosts]atomic.Pointer[tls.Certificate]
	)
	start.Add(1)
	for i := range callers {
		done.Go(func() {
			start.Wait()
			for j := range hosts {
				n := (i + j) % hosts
				cert, err := c.Certificate(fmt.Sprintf("h%d.api.ksyun.com", n))
				if err != nil {
					t.Error(err)
					return
				}
				if !certs[n].CompareAndSwap(nil, cert) && certs[n].Load() != cert {
					t.Errorf("host %d has two certificates", n)
					return
				}
			}
		})
	}
	start.Done()
	done.Wait()
	s := c.Stats()
	if s.Minted != hosts || s.Cached != hosts || s.Evicted != 0 {
		t.Errorf("%d minted, %d cached, %d evicted, want %d, %d, 0", s.Minted, s.Cached, s.Evicted, hosts, hosts)
	}
}

func TestCacheIsBounded(t *testing.T) {
	const size = 8
	c := mustOpen(t, Config{CacheSize: size})
	var done sync.WaitGroup
	for i := range 8 {
		done.Go(func() {
			for j := range 100 {
				h := fmt.Sprintf("h%d.api.ksyun.com", (i*7+j)%50)
				cert, err := c.Certificate(h)
				if err != nil || cert.Leaf.DNSNames[0] != h {
					t.Errorf("%s: %v, %v", h, cert, err)
				}
				assert.LessOrEqual(t, c.Stats().Cached, size, "hosts cached")
			}
		})
	}
	done.Wait()

	// The least recently used goes first.
	for i := range size {
		mustCert(t, c, fmt.Sprintf("h%d.api.ksyun.com", i))
	}
	kept, gone := mustCert(t, c, "h0.api.ksyun.com"), mustCert(t, c, "h1.api.ksyun.com")
	for i := range size - 2 {
		mustCert(t, c, fmt.Sprintf("new%d.api.ksyun.com", i))
	}
	mustCert(t, c, "h0.api.ksyun.com")
	mustCert(t, c, "newest.api.ksyun.com")
	if mustCert(t, c, "h0.api.ksyun.com") != kept {
		t.Error("the most recently used was evicted")
	}
	if mustCert(t, c, "h1.api.ksyun.com") == gone {
		t.Error("the least recently used was kept")
	}
}

// TestFailureIsNotKept has the minting fail once.
func TestFailureIsNotKept(t *testing.T) {
	c := mustOpen(t, Config{})
	waiting := make(chan error)
	_, err, _ := c.flights.Do(host, func() (any, error) {
		go func() {
			_, err := c.Certificate(host)
			waiting <- err
		}()
		return nil, errNoAuthority
	})
	require.ErrorIs(t, err, errNoAuthority)
	// The waiter either waited for the flight or came after it.
	if err := <-waiting; err != nil && !errors.Is(err, errNoAuthority) {
		t.Error(err)
	}
	mustCert(t, c, host)
}

// handshake performs a handshake between a program and a server of ours.
func handshake(t *testing.T, server, client *tls.Config) (state tls.ConnectionState, clientErr, serverErr error) {
	t.Helper()
	a, b := net.Pipe()
	deadline := time.Now().Add(10 * time.Second)
	a.SetDeadline(deadline)
	b.SetDeadline(deadline)
	done := make(chan error, 1)
	go func() {
		defer b.Close()
		s := tls.Server(b, server)
		err := s.Handshake()
		if err == nil {
			_, err = s.Write([]byte("x")) // brings the session ticket along
		}
		done <- err
	}()
	c := tls.Client(a, client)
	clientErr = c.Handshake()
	if clientErr == nil {
		_, clientErr = io.ReadFull(c, make([]byte, 1))
	}
	state = c.ConnectionState()
	a.Close()
	return state, clientErr, <-done
}

func TestTLSConfig(t *testing.T) {
	c := mustOpen(t, Config{})
	bundle, err := mergeBundle(rootPEM(), c.PEM())
	require.NoError(t, err)
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(bundle)
	server, err := c.TLSConfig(host)
	require.NoError(t, err)
	for name, tc := range map[string]struct {
		client *tls.Config
		ok     bool
	}{
		"plain":          {&tls.Config{ServerName: host}, true},
		"case":           {&tls.Config{ServerName: "MONITOR.api.ksyun.com"}, true},
		"TLS 1.2":        {&tls.Config{ServerName: host, MaxVersion: tls.VersionTLS12}, true},
		"TLS 1.1":        {&tls.Config{ServerName: host, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}, false},
		"h2 or http/1.1": {&tls.Config{ServerName: host, NextProtos: []string{"h2", "http/1.1"}}, true},
		"h2 only":        {&tls.Config{ServerName: host, NextProtos: []string{"h2"}}, false},
		// It is the server that must refuse: the certificate would be a valid one.
		"another host": {&tls.Config{ServerName: "kec.api.ksyun.com", InsecureSkipVerify: true}, false},
		"foreign host": {&tls.Config{ServerName: "example.com", InsecureSkipVerify: true}, false},
	} {
		t.Run(name, func(t *testing.T) {
			tc.client.RootCAs = pool
			state, err, serverErr := handshake(t, server, tc.client)
			require.Equal(t, tc.ok, err == nil && serverErr == nil, "client: %v, server: %v, want ok", err, serverErr)
			if tc.ok && len(tc.client.NextProtos) > 0 && state.NegotiatedProtocol != "http/1.1" {
				t.Errorf("protocol %q", state.NegotiatedProtocol)
			}
		})
	}

	t.Run("no server name", func(t *testing.T) {
		state, err, _ := handshake(t, server, &tls.Config{InsecureSkipVerify: true})
		if err != nil || state.PeerCertificates[0].VerifyHostname(host) != nil {
			t.Errorf("got %v, want the certificate of the host asked for", err)
		}
	})

	t.Run("sessions resume", func(t *testing.T) {
		again, err := c.TLSConfig(host + ".")
		if err != nil || again != server {
			t.Fatalf("another configuration for the same host, %v", err)
		}
		client := &tls.Config{ServerName: host, RootCAs: pool, ClientSessionCache: tls.NewLRUClientSessionCache(1)}
		for i := range 2 {
			state, err, serverErr := handshake(t, server, client)
			if err != nil || serverErr != nil || state.DidResume != (i == 1) {
				t.Errorf("connection %d: %v, %v, resumed %v", i, err, serverErr, state.DidResume)
			}
		}
	})

	t.Run("sessions of other hosts do not", func(t *testing.T) {
		other, err := c.TLSConfig("kec.api.ksyun.com")
		require.NoError(t, err)
		cache := tls.NewLRUClientSessionCache(1)
		client := &tls.Config{ServerName: host, RootCAs: pool, ClientSessionCache: cache}
		if _, err, _ := handshake(t, server, client); err != nil {
			t.Fatal(err)
		}
		if state, err, _ := handshake(t, other, client); err == nil || state.DidResume {
			t.Errorf("a session of %s was resumed at another host", host)
		}
	})
}

func TestCertificateIsReused(t *testing.T) {
	c := mustOpen(t, Config{})
	mustCert(t, c, host)
	if n := testing.AllocsPerRun(100, func() {
		_, err := c.Certificate(host)
		require.NoError(t, err)
	}); n > 0 {
		t.Errorf("%v allocations to find a certificate", n)
	}
	if s := c.Stats(); s.Minted != 1 || s.Hits != 101 {
		t.Errorf("minted %d, hits %d, want 1 and 101", s.Minted, s.Hits)
	}
}

func TestPEMIsPublic(t *testing.T) {
	c := mustOpen(t, Config{})
	block, rest := pem.Decode(c.PEM())
	if block == nil || block.Type != "CERTIFICATE" || len(block.Headers) > 0 || len(rest) > 0 {
		t.Errorf("want one certificate, got %s", c.PEM())
	}
	if got := fingerprint(block.Bytes); got != c.Fingerprint() || len(got) != 32*3-1 {
		t.Errorf("fingerprint %q, want %q", c.Fingerprint(), got)
	}
}
