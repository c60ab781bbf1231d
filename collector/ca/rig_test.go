package ca

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"path/filepath"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
)

const (
	host    = "monitor.api.ksyun.com"
	openEnv = "KSYUN_TAP_TEST_OPEN_CA"
)

// TestMain is also the other process of TestProcessesShareDirectory.
func TestMain(m *testing.M) {
	if dir := os.Getenv(openEnv); dir != "" {
		c, err := Open(Config{Dir: dir, Permitted: names, Roots: testRoots})
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		fmt.Print(c.Fingerprint())
		os.Exit(0)
	}
	goleak.VerifyTestMain(m)
}

var names = []string{"*.api.ksyun.com"}

// rootPEM is a root as a system has it.
var rootPEM = sync.OnceValue(func() []byte { return selfSigned("Some Root") })

func selfSigned(name string) []byte {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		panic(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1),
		Subject:      pkix.Name{CommonName: name},
		NotBefore:    time.Date(2000, 1, 1, 0, 0, 0, 0, time.UTC),
		NotAfter:     time.Date(2100, 1, 1, 0, 0, 0, 0, time.UTC),
		IsCA:         true, BasicConstraintsValid: true,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, &key.PublicKey, key)
	if err != nil {
		panic(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: blockCert, Bytes: der})
}

func testRoots() ([]byte, error) { return rootPEM(), nil }

// clock is a clock that stands still until moved.
type clock struct {
	mu  sync.Mutex
	now time.Time
}

func newClock() *clock { return &clock{now: time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)} }

func (c *clock) Now() time.Time {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.now
}

func (c *clock) add(d time.Duration) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.now = c.now.Add(d)
}

// mustOpen opens a CA for names with the test's roots.
func mustOpen(tb testing.TB, cfg Config) *CA {
	tb.Helper()
	if cfg.Permitted == nil {
		cfg.Permitted = names
	}
	if cfg.Roots == nil {
		cfg.Roots = testRoots
	}
	c, err := Open(cfg)
	require.NoError(tb, err)
	return c
}

// privateDir returns the name of a directory that Open is to make.
func privateDir(tb testing.TB) string { return filepath.Join(tb.TempDir(), "ca") }

func mustCert(tb testing.TB, c *CA, host string) *tls.Certificate {
	tb.Helper()
	cert, err := c.Certificate(host)
	require.NoError(tb, err)
	return cert
}

// trusts returns nil if a program that trusts the certificates in pem accepts cert for
// host.
func trusts(pem []byte, cert *tls.Certificate, host string, now time.Time) error {
	pool, between := x509.NewCertPool(), x509.NewCertPool()
	for _, der := range cert.Certificate[1:] {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		between.AddCert(c)
	}
	if !pool.AppendCertsFromPEM(pem) {
		return fmt.Errorf("no certificate in %q", pem)
	}
	_, err := cert.Leaf.Verify(x509.VerifyOptions{Roots: pool, Intermediates: between, DNSName: host, CurrentTime: now})
	return err
}

// count returns how many certificates are in p.
func count(p []byte) int { return bytes.Count(p, []byte("BEGIN CERTIFICATE")) }

// authorities returns the authorities of c, the oldest first.
func authorities(c *CA) []*authority { return c.view.Load().all }

// rotate adds an authority, as Refresh does when the last one is about to expire.
func (c *CA) rotate() error { return c.change(c.appendNew) }
