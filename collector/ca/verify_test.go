package ca

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"net"
	"net/url"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// forge signs whatever it is asked to, as a thief of the key would.
func forge(t *testing.T, a *authority, template x509.Certificate) *x509.Certificate {
	t.Helper()
	cert, _ := forgeUnder(t, a.cert, a.key, template)
	return cert
}

func forgeUnder(t *testing.T, parent *x509.Certificate, parentKey *ecdsa.PrivateKey, template x509.Certificate) (*x509.Certificate, *ecdsa.PrivateKey) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	require.NoError(t, err)
	template.SerialNumber = newSerial()
	template.NotBefore, template.NotAfter = time.Now().Add(-time.Minute), time.Now().Add(time.Hour)
	template.BasicConstraintsValid = true
	if template.ExtKeyUsage == nil {
		template.ExtKeyUsage = []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}
	}
	der, err := x509.CreateCertificate(rand.Reader, &template, parent, &key.PublicKey, parentKey)
	require.NoError(t, err)
	cert, err := x509.ParseCertificate(der)
	require.NoError(t, err)
	return cert, key
}

// TestWhatTheKeyIsGoodFor asks Go and OpenSSL what they take from our CA, of
// what it signs and of what someone with its key might sign.
func TestWhatTheKeyIsGoodFor(t *testing.T) {
	c := mustOpen(t, Config{})
	a := c.view.Load().all[0]
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(c.PEM())
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	testfile.Write(t, caFile, c.PEM(), 0o644)

	middle, middleKey := forgeUnder(t, a.cert, a.key, x509.Certificate{
		Subject: pkix.Name{CommonName: "between"}, IsCA: true, KeyUsage: x509.KeyUsageCertSign,
	})
	under, _ := forgeUnder(t, middle, middleKey, x509.Certificate{DNSNames: []string{host}})
	address := &url.URL{Scheme: "https", Host: "example.com"}

	for name, tc := range map[string]struct {
		cert    *x509.Certificate
		between *x509.Certificate
		client  bool // to prove who a client is
		ok      bool
	}{
		"what we sign":              {cert: mustCert(t, c, host).Leaf, ok: true},
		"a region's host":           {cert: mustCert(t, c, "monitor.cn-beijing-6.api.ksyun.com").Leaf, ok: true},
		"forged, permitted":         {cert: forge(t, a, x509.Certificate{DNSNames: []string{host}}), ok: true},
		"forged, other host":        {cert: forge(t, a, x509.Certificate{DNSNames: []string{"example.com"}})},
		"forged, parent domain":     {cert: forge(t, a, x509.Certificate{DNSNames: []string{"ksyun.com"}})},
		"forged, same ending":       {cert: forge(t, a, x509.Certificate{DNSNames: []string{"evilapi.ksyun.com"}})},
		"forged, wildcard above":    {cert: forge(t, a, x509.Certificate{DNSNames: []string{"*.ksyun.com"}})},
		"forged, one host too many": {cert: forge(t, a, x509.Certificate{DNSNames: []string{host, "example.com"}})},
		"forged, IPv4":              {cert: forge(t, a, x509.Certificate{IPAddresses: []net.IP{net.IPv4(127, 0, 0, 1).To4()}})},
		"forged, IPv6":              {cert: forge(t, a, x509.Certificate{IPAddresses: []net.IP{net.IPv6loopback}})},
		"forged, host and IP":       {cert: forge(t, a, x509.Certificate{DNSNames: []string{host}, IPAddresses: []net.IP{net.IPv4(8, 8, 8, 8).To4()}})},
		"forged, URI beside":        {cert: forge(t, a, x509.Certificate{DNSNames: []string{"example.com"}, URIs: []*url.URL{address}})},
		"forged, another CA":        {cert: under, between: middle},
		"forged, for clients": {
			cert:   forge(t, a, x509.Certificate{DNSNames: []string{host}, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}),
			client: true,
		},
	} {
		t.Run(name, func(t *testing.T) {
			opts := x509.VerifyOptions{Roots: roots, Intermediates: x509.NewCertPool()}
			purpose, args := "sslserver", []string{"verify", "-x509_strict", "-no-CApath", "-CAfile", caFile}
			for _, cert := range []*x509.Certificate{a.cert, tc.between} {
				if cert != nil {
					opts.Intermediates.AddCert(cert)
					args = append(args, "-untrusted", pemFile(t, cert))
				}
			}
			if tc.client {
				purpose, opts.KeyUsages = "sslclient", []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}
			}
			_, err := tc.cert.Verify(opts)
			assert.Equal(t, tc.ok, err == nil, "Go: %v, want ok", err)
			args = append(args, "-purpose", purpose, pemFile(t, tc.cert))
			if out, err := exec.Command("openssl", args...).CombinedOutput(); (err == nil) != tc.ok {
				t.Errorf("openssl: %v, want ok %v\n%s", err, tc.ok, out)
			}
		})
	}
}

// TestCommonNameIsConstrained is about verifiers that still take the common
// name for a host, as OpenSSL does where there are no alternative names.
func TestCommonNameIsConstrained(t *testing.T) {
	c := mustOpen(t, Config{})
	caFile := filepath.Join(t.TempDir(), "ca.pem")
	testfile.Write(t, caFile, c.PEM(), 0o644)
	a := c.view.Load().all[0]
	cert := forge(t, a, x509.Certificate{Subject: pkix.Name{CommonName: "example.com"}})
	assert.Error(t, cert.VerifyHostname("example.com"), "Go: accepted")
	out, err := exec.Command("openssl", "verify", "-no-CApath", "-CAfile", caFile, "-untrusted", pemFile(t, a.cert),
		"-verify_hostname", "example.com", pemFile(t, cert)).CombinedOutput()
	assert.Error(t, err, "openssl: accepted\n%s", out)
}

// TestOpenSSLReadsBundle verifies a leaf for its host by the published bundle.
func TestOpenSSLReadsBundle(t *testing.T) {
	dir := privateDir(t)
	c := mustOpen(t, Config{Dir: dir})
	cert := mustCert(t, c, host)
	leaf, between := pemFile(t, cert.Leaf), pemFile(t, c.view.Load().all[0].cert)
	for h, ok := range map[string]bool{host: true, "kec.api.ksyun.com": false} {
		out, err := exec.Command("openssl", "verify", "-x509_strict", "-no-CApath", "-CAfile", filepath.Join(dir, bundleFile),
			"-untrusted", between, "-purpose", "sslserver", "-verify_hostname", h, leaf).CombinedOutput()
		assert.Equal(t, ok, err == nil, "%s: %v, want ok %v\n%s", h, err, ok, out)
	}
}

func pemFile(t *testing.T, cert *x509.Certificate) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "cert.pem")
	testfile.Write(t, path, pem.EncodeToMemory(&pem.Block{Type: blockCert, Bytes: cert.Raw}), 0o644)
	return path
}
