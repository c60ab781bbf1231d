//go:build e2e

package e2e

import (
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
)

// TestKeepAliveOfHTTP10 has ab keep its connections, which it only does if each response
// to a request of HTTP/1.0 says so: those of the upstream, and the tap's own.
func TestKeepAliveOfHTTP10(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer api.Close()
	tap := startTap(t, nil, "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String(),
		"--upstream.connect-to=dead.api.ksyun.com:80="+freeport.TCP(t))
	for name, host := range map[string]string{"the API's": apiHost, "refused": "other.example", "unreachable": "dead.api.ksyun.com"} {
		out, err := exec.CommandContext(t.Context(), "ab", "-q", "-k", "-l", "-n", "200", "-c", "4", "-s", "10", "-X", tap.proxy, "http://"+host+"/?Action=ListMetrics&Version=2010-05-25").CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
		for what, want := range map[string]string{"Complete": "200", "Keep-Alive": "200", "Failed": "0"} {
			assert.Regexp(t, `(?m)^`+what+` requests: +`+want+`$`, string(out), name)
		}
	}
}

// TestServerNameWithDot has clients call the API by its name with a dot at the end. curl
// leaves the dot out of its ClientHello, and is intercepted. Node does not, and is
// tunnelled, as crypto/tls cannot read that: its call succeeds, and is not observed.
func TestServerNameWithDot(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	certFile, keyFile := filepath.Join(dir, "cert.pem"), filepath.Join(dir, "key.pem")
	out, err := exec.Command("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-subj", "/CN=any", "-addext", "subjectAltName=DNS:"+apiHost,
		"-days", "2", "-out", certFile, "-keyout", keyFile).CombinedOutput()
	require.NoError(t, err, "%s", out)
	address := freeport.TCP(t)
	start(t, nil, "openssl", "s_server", "-quiet", "-www", "-accept", address, "-cert", certFile, "-key", keyFile)
	caDir := filepath.Join(dir, "ca")
	tap := startTap(t, nil, "--intercept", "--intercept.ca-dir="+caDir, "--upstream.ca-file="+certFile,
		"--upstream.connect-to="+apiHost+":443="+address)
	bundle := filepath.Join(caDir, "bundle.pem")
	const node = `
const tls = require('tls'), http = require('http'), https = require('https')
const [proxy, host] = process.argv.slice(1)
http.request('http://' + proxy, { method: 'CONNECT', path: host + ':443' }).on('connect', (_, socket) => {
  https.get({ host, createConnection: () => tls.connect({ socket, servername: host, host }) }, (res) => {
    console.log(res.statusCode)
    res.resume().on('end', () => process.exit())
  })
}).end()`
	for name, client := range map[string][]string{
		"Node": {"env", "NODE_EXTRA_CA_CERTS=" + certFile, "node", "-e", node, tap.proxy, apiHost + "."},
		"curl": {"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\n", "--proxy", "http://" + tap.proxy, "--cacert", bundle, "https://" + apiHost + "./"},
	} {
		out, err := exec.CommandContext(t.Context(), client[0], client[1:]...).CombinedOutput()
		require.NoError(t, err, "%s: %s", name, out)
		assert.Equal(t, "200\n", string(out), name)
	}
	tap.wait(`"outcome":"masked"`, `"source":"connect"`) // curl's: the upstream's response is a page
	_, metrics := get(t, "http://"+tap.admin+"/metrics")
	assert.Contains(t, metrics, "\nksyun_tap_tapped_tunnels_total 1\n", "Node's")
}

// TestSDKAtTheIdleLimit has the Go SDK v1 pause between two calls on a connection for as
// long as the API keeps it open. A POST at that moment may fail directly, too, but rarely.
func TestSDKAtTheIdleLimit(t *testing.T) {
	t.Parallel()
	const limit, calls = 200 * time.Millisecond, 40
	api := httptest.NewUnstartedServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	api.Config.IdleTimeout = limit
	var opened atomic.Int64
	api.Config.ConnState = func(_ net.Conn, state http.ConnState) {
		if state == http.StateNew {
			opened.Add(1)
		}
	}
	api.Start()
	defer api.Close()
	tap := startTap(t, nil, "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())
	sdk := buildSDKv1(t)
	for how, env := range map[string]struct{ url, proxy string }{
		"directly":        {api.URL, ""},
		"through the tap": {"http://" + apiHost, "HTTP_PROXY=http://" + tap.proxy},
	} {
		opened.Store(0)
		cmd := exec.CommandContext(t.Context(), sdk, env.url, good.AccessKey, good.SecretKey, "pauses", limit.String())
		cmd.Env = append(os.Environ(), "HTTP_PROXY=", "http_proxy=", env.proxy)
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s: %s", how, out)
		_, last, _ := strings.Cut(string(out), "failed: ")
		var gets, posts int
		_, err = fmt.Sscan(last, &gets, &posts)
		require.NoError(t, err, "%s: %s", how, out)
		t.Logf("%s: %d GETs and %d POSTs of %d calls failed, on %d connections", how, gets, posts, calls, opened.Load())
		assert.Zero(t, gets, "%s: the client repeats them if the connection closes: %s", how, out)
		assert.Less(t, posts, calls/4, "%s: %s", how, out)
		assert.Greater(t, opened.Load(), int64(calls/8), "%s: the pauses are too short", how)
	}
}
