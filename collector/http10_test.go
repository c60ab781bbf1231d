package collector

import (
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestOwnResponsesToHTTP10 refuses requests of HTTP/1.0, where a client that asked to
// keep the connection waits for its end unless the response says that it stays open.
func TestOwnResponsesToHTTP10(t *testing.T) {
	const keepAlive = "Connection: Keep-Alive\r\n"
	get := func(host, fields string) string { return "GET / HTTP/1.0\r\nHost: " + host + "\r\n" + fields + "\r\n" }
	refused, unreachable := get("example.com", ""), get(host, "")
	tests := map[string]struct {
		request    string
		status     int
		connection string
	}{
		"refused":                   {refused, 403, "close"},
		"refused, keep-alive":       {get("example.com", keepAlive), 403, "keep-alive"},
		"unreachable":               {unreachable, 503, "close"},
		"unreachable, keep-alive":   {get(host, keepAlive), 503, "keep-alive"},
		"HEAD, keep-alive":          {strings.Replace(get(host, keepAlive), "GET", "HEAD", 1), 503, "keep-alive"},
		"no host, keep-alive":       {"GET / HTTP/1.0\r\n" + keepAlive + "\r\n", 400, "keep-alive"},
		"proxy's option only":       {get(host, "Proxy-"+keepAlive), 503, "close"},
		"malformed, keep-alive":     {"GET / HTTP/1.0\r\nHost : x\r\n" + keepAlive + "\r\n", 400, "close"},
		"unread body, keep-alive":   {strings.Replace(get("example.com", keepAlive+"Content-Length: 9\r\n"), "GET", "POST", 1), 403, "close"},
		"CONNECT, keep-alive":       {"CONNECT example.com:443 HTTP/1.0\r\n" + keepAlive + "\r\n", 403, "close"},
		"HTTP/1.1":                  {request("example.com"), 403, ""},
		"HTTP/1.1, keep-alive":      {"GET / HTTP/1.1\r\nHost: example.com\r\n" + keepAlive + "\r\n", 403, ""},
		"HTTP/1.1, close":           {"GET / HTTP/1.1\r\nHost: example.com\r\nConnection: close\r\n\r\n", 403, "close"},
		"refused, both, keep-alive": {get("example.com", "Connection: keep-alive, close\r\n"), 403, "close"},
	}
	for driver, loops := range map[string]int{"loop": 0, "blocking": -1} {
		for name, tt := range tests {
			t.Run(driver+", "+name, func(t *testing.T) {
				r := newRig(t, func(c *Config) {
					c.Loops = loops
					c.Policy.ConnectTo = []upstream.ConnectTo{connectTo(t, host+":80="+rawconn.Nowhere)}
				})
				c := r.client()
				method, _, _ := strings.Cut(tt.request, " ")
				for range 2 {
					c.Send(tt.request)
					resp, _ := c.ResponseTo(method)
					assert.Equal(t, tt.status, resp.StatusCode)
					connection := resp.Header.Get("Connection")
					if resp.Close { // net/http has removed the field
						connection = "close"
					}
					assert.Equal(t, tt.connection, connection)
					if tt.connection == "close" {
						c.ExpectEnd()
						return
					}
				}
			})
		}
	}
}

// TestResignRefusalToHTTP10 is the same for an address that re-signs.
func TestResignRefusalToHTTP10(t *testing.T) {
	r := newRig(t)
	c := rawconn.Dial(t, r.serveResign(ResignAddress{Signer: testSigner(true)}))
	for range 2 {
		c.Send("POST / HTTP/1.0\r\nHost: any\r\nConnection: keep-alive\r\nContent-Length: 1\r\n\r\nx")
		resp, _ := c.Response()
		assert.Equal(t, http.StatusForbidden, resp.StatusCode)
		assert.Equal(t, "keep-alive", resp.Header.Get("Connection"))
	}
}
