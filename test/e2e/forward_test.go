//go:build e2e

package e2e

import (
	"bufio"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// TestForwardProxy runs clients that are set up by their own variables alone,
// those of proxies and of trust, beside a tap that runs by itself. Each makes a
// call that succeeds and one that fails, which the tap knows by the request ID
// that it was served with.
func TestForwardProxy(t *testing.T) {
	t.Parallel()
	ids := newFailingIDs()
	plain := httptest.NewServer(ids)
	defer plain.Close()
	secure, vendorCA := serveTLS(t, ids, apiHost)
	caDir := filepath.Join(t.TempDir(), "ca")
	tap := startTap(t, nil, "--intercept", "--intercept.ca-dir="+caDir, "--upstream.ca-file="+vendorCA,
		"--upstream.connect-to="+apiHost+":80="+plain.Listener.Addr().String(), "--upstream.connect-to="+apiHost+":443="+secure)
	bundle := filepath.Join(caDir, "bundle.pem")
	proxy := "http://" + tap.proxy
	const curl = `for field in X-None:1 X-Simulate:error=LimitExceeded; do
	  curl -sS -o /dev/null -w '%{http_code}\n' --aws-sigv4 aws:amz:cn-beijing-6:monitor -u "$1:$2" \
	    -H 'Accept: application/json' -H "$field" "$0://` + apiHost + `/?Action=ListMetrics&Version=2010-05-25"
	done`
	self, err := os.Executable()
	require.NoError(t, err)
	sdk := buildSDKv1(t)

	f := func(name, source string, env []string, command ...string) {
		t.Helper()
		var args []string
		for _, name := range []string{
			"HTTP_PROXY", "HTTPS_PROXY", "NO_PROXY", "http_proxy", "https_proxy", "no_proxy",
			"SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE", "REQUESTS_CA_BUNDLE", "AWS_CA_BUNDLE",
		} {
			args = append(args, "-u", name) // whatever this machine has there
		}
		client := start(t, nil, "env", slices.Concat(args, env, command)...)
		client.wait("200")
		client.wait("409")
		id := ids.take()
		if id == "" {
			t.Errorf("%s: no call failed", name)
			return
		}
		tap.wait(`"code":"LimitExceeded"`, `"request_id":"`+id+`"`)
		status, text := get(t, "http://"+tap.admin+"/api/v1/failures/"+id)
		if status != http.StatusOK || !strings.Contains(text, `"source":"`+source+`"`) {
			t.Errorf("%s: in the journal there is %d %s", name, status, text)
		}
	}
	f("curl, HTTP", "forward", []string{"http_proxy=" + proxy}, "sh", "-c", curl, "http", good.AccessKey, good.SecretKey)
	f("curl -p, HTTP", "connect", []string{"http_proxy=" + proxy}, "sh", "-c", strings.ReplaceAll(curl, "curl ", "curl -p "), "http", good.AccessKey, good.SecretKey)
	f("Go SDK v1, HTTP", "forward", []string{"HTTP_PROXY=" + proxy}, sdk, "http://"+apiHost, good.AccessKey, good.SecretKey)
	f("curl", "connect", []string{"HTTPS_PROXY=" + proxy, "SSL_CERT_FILE=" + bundle}, "sh", "-c", curl, "https", good.AccessKey, good.SecretKey)
	f("Go", "connect", []string{"HTTPS_PROXY=" + proxy, "SSL_CERT_FILE=" + bundle, clientVariable + "=1"}, self)
	f("Go SDK v1", "connect", []string{"HTTPS_PROXY=" + proxy, "AWS_CA_BUNDLE=" + bundle}, sdk, "https://"+apiHost, good.AccessKey, good.SecretKey)
	f("Python requests", "connect", []string{"HTTPS_PROXY=" + proxy, "REQUESTS_CA_BUNDLE=" + bundle}, "/usr/bin/python3", "testdata/client.py", good.AccessKey, good.SecretKey)

	// Programs that cannot be intercepted are reported, with the host and what to
	// do.
	if err := throughConnect(tap.proxy, &tls.Config{ServerName: apiHost, RootCAs: x509.NewCertPool()}); err == nil {
		t.Error("the certificate was accepted")
	}
	tap.wait("TLS handshake with a program failed", `"reason":"untrusted_ca"`, `"host":"`+apiHost+`"`, "Make the program trust bundle.pem")
	_, metrics := get(t, "http://"+tap.admin+"/metrics")
	if !strings.Contains(metrics, `ksyun_tap_intercept_handshake_errors_total{reason="untrusted_ca"} 1`) {
		t.Error("a program that does not trust the CA is not counted")
	}
}

// throughConnect begins TLS with the API by way of a proxy.
func throughConnect(proxy string, cfg *tls.Config) error {
	nc, err := net.Dial("tcp", proxy)
	if err != nil {
		return err
	}
	defer nc.Close()
	io.WriteString(nc, "CONNECT "+apiHost+":443 HTTP/1.1\r\nHost: "+apiHost+":443\r\n\r\n")
	if _, err := http.ReadResponse(bufio.NewReader(nc), &http.Request{Method: http.MethodConnect}); err != nil {
		return err
	}
	return tls.Client(nc, cfg).Handshake()
}
