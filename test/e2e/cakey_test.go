//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"math/big"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/otlprecv"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestCAKeyStaysInItsFile intercepts calls with every kind of end and searches
// all outputs for the CA's key, in every encoding.
func TestCAKeyStaysInItsFile(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 2*patience)
	defer cancel()
	address, vendorCA := tlsAPI(t)
	spans := otlprecv.New(1000)
	otlp := httptest.NewServer(spans)
	defer otlp.Close()
	caDir := filepath.Join(t.TempDir(), "ca")
	flags := []string{
		"--intercept", "--intercept.ca-dir=" + caDir, "--log.access", "--log.level=debug",
		"--upstream.ca-file=" + vendorCA, "--upstream.connect-to=" + apiHost + ":443=" + address,
	}
	tap := startTap(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + otlp.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_BSP_SCHEDULE_DELAY=50"}, flags...)
	trusted := testfile.Read(t, caDir, "ca.pem")
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(trusted)
	proxy := http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy})
	transport := &http.Transport{Proxy: proxy, TLSClientConfig: &tls.Config{RootCAs: pool}}
	defer transport.CloseIdleConnections()
	for key, want := range map[*cloudmonitor.Credential]int{&good: http.StatusOK, &secretive: http.StatusForbidden} {
		req := must(http.NewRequestWithContext(ctx, http.MethodGet, "https://"+apiHost+"/?Action=ListMetrics&Version=2010-05-25", nil))
		cloudmonitor.SignV4(req, nil, *key, cloudmonitor.Scope{Region: "cn-beijing-6", Service: "monitor"}, time.Now())
		res, err := transport.RoundTrip(req)
		require.NoError(t, err)
		res.Body.Close()
		require.Equal(t, want, res.StatusCode, "status")
	}
	stranger := &http.Transport{Proxy: proxy} // that does not trust the CA
	_, err := stranger.RoundTrip(must(http.NewRequest(http.MethodGet, "https://"+apiHost+"/", nil)))
	assert.Error(t, err, "a stranger was served")
	tap.wait("TLS handshake with a program failed")
	if _, err := spans.Wait(ctx, func(otlprecv.Span) bool { return true }); err != nil {
		t.Fatal(err)
	}

	outputs := map[string][]byte{"ca.pem": trusted}
	for _, path := range []string{"/", "/metrics", "/api/v1/failures", "/-/ready", "/-/healthy"} {
		_, text := get(t, "http://"+tap.admin+path)
		outputs[path] = []byte(text)
	}
	for _, args := range [][]string{
		append([]string{"check-config"}, flags...),
		{"ca", "show", "--dir=" + caDir},
		{"ca", "export", "--dir=" + caDir, "--bundle"},
		{"ca", "export", "--dir=" + caDir, "--format=pkcs12"},
		{"ca", "create", "--dir=" + caDir},
	} {
		out, err := exec.Command(binary, args...).CombinedOutput()
		assert.NoError(t, err, "%v\n%s", args, out)
		outputs[strings.Join(args[:2], " ")] = out
	}
	outputs["spans"] = must(json.Marshal(spans.Select(func(otlprecv.Span) bool { return true })))
	_ = tap.cmd.Process.Signal(syscall.SIGQUIT)
	<-tap.exit
	outputs["log and crash dump"] = []byte(tap.text())

	for spelling, secret := range spellings(t, filepath.Join(caDir, "key.pem")) {
		for where, text := range outputs {
			if bytes.Contains(bytes.ToLower(text), bytes.ToLower(secret)) {
				t.Errorf("the CA's key comes out in %s, as %s", where, spelling)
			}
		}
	}
}

// spellings are encodings in which a private key could be output.
func spellings(t *testing.T, file string) map[string][]byte {
	t.Helper()
	data := must(os.ReadFile(file))
	all := map[string][]byte{}
	for block, rest := pem.Decode(data); block != nil; block, rest = pem.Decode(rest) {
		if block.Type != "PRIVATE KEY" {
			continue
		}
		key, ok := must(x509.ParsePKCS8PrivateKey(block.Bytes)).(*ecdsa.PrivateKey)
		require.True(t, ok, "not an ECDSA key")
		scalar := must(key.Bytes())
		all["DER"] = block.Bytes
		all["the scalar"] = scalar
		all["hex"] = []byte(hex.EncodeToString(scalar))
		all["base64"] = []byte(base64.RawStdEncoding.EncodeToString(scalar)[:40])
		all["base64 for URLs"] = []byte(base64.RawURLEncoding.EncodeToString(scalar)[:40])
		all["decimal"] = []byte(new(big.Int).SetBytes(scalar).String())
		for i, line := range strings.Split(strings.TrimSpace(string(pem.EncodeToMemory(block))), "\n")[1:] {
			if len(line) > 40 {
				all["line "+string(rune('1'+i))+" of the PEM block"] = []byte(line)
			}
		}
	}
	require.GreaterOrEqual(t, len(all), 8, "%d spellings of a key in %s", len(all), file)
	return all
}

func must[T any](v T, err error) T {
	if err != nil {
		panic(err)
	}
	return v
}
