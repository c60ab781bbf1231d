//go:build e2e

package e2e

import (
	"context"
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"encoding/pem"
	"io"
	"log"
	"math/big"
	"net"
	"net/http/httptest"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"software.sslmate.com/src/go-pkcs12"

	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestStolenKeyIsBoundUnderJava serves hosts for which the CA is not valid,
// with certificates signed by its stolen key, to a JVM that trusts the CA. Go
// and OpenSSL are tested in collector/ca.
func TestStolenKeyIsBoundUnderJava(t *testing.T) {
	t.Parallel()
	dir := filepath.Join(t.TempDir(), "ca")
	authority, err := ca.Open(ca.Config{Dir: dir, Permitted: []string{"*.api.ksyun.com"}})
	require.NoError(t, err)
	srv := httptest.NewUnstartedServer(nil)
	srv.TLS = &tls.Config{GetCertificate: thief(t, filepath.Join(dir, "key.pem"))}
	srv.Config.ErrorLog = log.New(io.Discard, "", 0) // of the handshakes that fail
	srv.StartTLS()
	defer srv.Close()
	_, port, err := net.SplitHostPort(srv.Listener.Addr().String())
	require.NoError(t, err)

	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	out, err := exec.CommandContext(ctx, "java",
		"-Djavax.net.ssl.trustStore="+trustStore(t, authority.PEM()), "-Djavax.net.ssl.trustStorePassword=changeit",
		"testdata/Handshake.java", port, apiHost, "example.com", "ksyun.com", "192.0.2.1").CombinedOutput()
	require.NoError(t, err, "%s", out)
	lines := strings.Split(strings.TrimSpace(string(out)), "\n")
	if len(lines) != 4 || lines[0] != apiHost+" taken" {
		t.Fatalf("the host that the CA is for was not taken:\n%s", out)
	}
	for _, line := range lines[1:] {
		// Not for its name: the certificate has that.
		assert.Contains(t, line, " refused: PKIX path ", "want a refusal of the certificate's path")
	}
}

// thief returns a TLS configuration for any name, with certificates signed by a
// stolen key.
func thief(t *testing.T, keyFile string) func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
	t.Helper()
	data := testfile.Read(t, keyFile)
	var certs []*x509.Certificate
	var stolen any
	var err error
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "PRIVATE KEY" {
			stolen, err = x509.ParsePKCS8PrivateKey(block.Bytes)
		} else {
			var c *x509.Certificate
			c, err = x509.ParseCertificate(block.Bytes)
			certs = append(certs, c)
		}
		require.NoError(t, err)
	}
	signer := certs[len(certs)-1]
	return func(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
		key, err := ecdsa.GenerateKey(signer.PublicKey.(*ecdsa.PublicKey).Curve, rand.Reader)
		if err != nil {
			return nil, err
		}
		template := &x509.Certificate{
			SerialNumber: big.NewInt(time.Now().UnixNano()),
			NotBefore:    time.Now().Add(-time.Minute), NotAfter: time.Now().Add(time.Hour),
			ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
		}
		if hello.ServerName == "" { // asked for by address
			template.IPAddresses = []net.IP{net.IPv4(192, 0, 2, 1).To4()}
		} else {
			template.DNSNames = []string{hello.ServerName}
		}
		der, err := x509.CreateCertificate(rand.Reader, template, signer, &key.PublicKey, stolen)
		if err != nil {
			return nil, err
		}
		return &tls.Certificate{Certificate: [][]byte{der, signer.Raw}, PrivateKey: key}, nil
	}
}

// trustStore writes a certificate the way Java wants it.
func trustStore(t *testing.T, certPEM []byte) string {
	t.Helper()
	block, _ := pem.Decode(certPEM)
	cert, err := x509.ParseCertificate(block.Bytes)
	require.NoError(t, err)
	store, err := pkcs12.Modern.EncodeTrustStore([]*x509.Certificate{cert}, "changeit")
	require.NoError(t, err)
	path := filepath.Join(t.TempDir(), "trust.p12")
	testfile.Write(t, path, store, 0o600)
	return path
}
