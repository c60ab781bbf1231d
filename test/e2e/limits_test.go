//go:build e2e

package e2e

import (
	"io"
	"net/http"
	"net/http/httptest"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestFewDescriptors runs a tap with 64 file descriptors, as on a machine with 32 processors.
// Programs that keep their connections starve neither each other nor the web listener.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	defer vendor.Close()
	proxy, admin := freeport.TCP(t), freeport.TCP(t)
	start(t, nil, "sh", "-c", `ulimit -n 64 && GOMAXPROCS=32 exec "$0" "$@"`, binary, "run",
		"--proxy.listen-address="+proxy, "--web.listen-address="+admin,
		"--upstream.connect-to="+apiHost+":80="+vendor.Listener.Addr().String())
	awaitReady(t, "the tap", "http://"+admin)
	for i := range 200 {
		c := rawconn.Dial(t, proxy) // open until the end of the test
		c.Send("GET /?Action=ListMetrics HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n")
		resp, _ := c.Response()
		require.Equal(t, http.StatusOK, resp.StatusCode, "call %d: %v", i, resp)
		if i%20 == 0 {
			status, body := get(t, "http://"+admin+"/-/healthy")
			require.Equal(t, http.StatusOK, status, "call %d: /-/healthy: %d %s", i, status, body)
		}
	}
	_, metrics := get(t, "http://"+admin+"/metrics")
	for _, want := range []string{"ksyun_tap_client_connections_refused_total 0", "ksyun_api_requests_total{"} {
		assert.Contains(t, metrics, want, "no %s in the metrics", want)
	}
	assert.NotContains(t, metrics, "ksyun_tap_client_connections_reclaimed_total 0", "no connection made room")
}

// TestFewDescriptorsForTunnels is TestFewDescriptors with tunnels, none of which is ever
// idle: those beyond the limit are refused, and the web listener works on.
func TestFewDescriptorsForTunnels(t *testing.T) {
	t.Parallel()
	const limit = 16 // of connections, with 64 descriptors
	server := rawconn.Listen(t)
	proxy, admin := freeport.TCP(t), freeport.TCP(t)
	start(t, nil, "sh", "-c", `ulimit -n 64 && exec "$0" "$@"`, binary, "run",
		"--proxy.listen-address="+proxy, "--web.listen-address="+admin, "--proxy.max-connections=1000",
		"--tap.other-hosts=forward", "--upstream.connect-to=example.com:443="+server.Addr().String())
	awaitReady(t, "the tap", "http://"+admin)
	for i := range limit {
		c := rawconn.Dial(t, proxy) // open until the end of the test
		c.Send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
		c.Expect("HTTP/1.1 200 Connection Established\r\n\r\n")
		up := rawconn.Accept(t, server)
		c.Send("there")
		up.Expect("there")
		up.Send("and back")
		c.Expect("and back")
		status, body := get(t, "http://"+admin+"/-/healthy")
		require.Equal(t, http.StatusOK, status, "tunnel %d: /-/healthy: %d %s", i, status, body)
	}
	c := rawconn.Dial(t, proxy)
	resp, body := c.Response()
	assert.Equal(t, "busy", resp.Header.Get("X-Ksyun-Tap-Error"), "beyond the limit: %d %s", resp.StatusCode, body)
	_, metrics := get(t, "http://"+admin+"/metrics")
	assert.Contains(t, metrics, "ksyun_tap_client_connections_refused_total 1")
}
