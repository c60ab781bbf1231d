package upstream

import (
	"context"
	"crypto/tls"
	"io"
	"net"
	"net/url"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestTimeouts connects through proxies that stop answering, or lead to a server that does
// not answer. The timeout that the step belongs to ends it.
func TestTimeouts(t *testing.T) {
	const short, long = 100 * time.Millisecond, time.Hour
	says := func(response string) func(*testing.T) string {
		return func(t *testing.T) string {
			ln := rawconn.Listen(t)
			t.Cleanup(func() { ln.Close() })
			go rawconn.Serve(ln, func(nc net.Conn) {
				io.WriteString(nc, response)
				io.Copy(io.Discard, nc)
			})
			return ln.Addr().String()
		}
	}
	addr, roots, _ := tlsServer(t, &tls.Config{}, "127.0.0.1") // sends a byte, and nothing else
	secured := func(*testing.T) string { return addr }
	for name, tt := range map[string]struct {
		scheme        string
		proxy         func(*testing.T) string // returns its address
		dial, secures time.Duration           // the timeouts
		fault         classify.Fault
		message       string
	}{
		"HTTP proxy":                      {"http", says(""), short, long, classify.FaultDialTimeout, "does not answer"},
		"HTTP proxy, within its response": {"http", says("HTTP/1.1 200 OK\r\n"), short, long, classify.FaultDialTimeout, "does not answer"},
		"HTTP proxy, within a line":       {"http", says("HTTP/1.1 200"), short, long, classify.FaultDialTimeout, "does not answer"},
		"HTTP proxy, no limit for TLS":    {"http", says(""), short, 0, classify.FaultDialTimeout, "does not answer"},
		"SOCKS proxy":                     {"socks5h", says(""), short, long, classify.FaultDialTimeout, "does not answer"},
		"SOCKS proxy, within its greeting": {
			"socks5h", says("\x05"), short, long, classify.FaultDialTimeout, "does not answer",
		},
		"TLS with the proxy":         {"https", says(""), short, long, classify.FaultTLS, "the upstream proxy 127.0.0.1:"},
		"HTTP proxy within TLS":      {"https", secured, time.Second, long, classify.FaultDialTimeout, "does not answer"},
		"TLS behind an HTTP proxy":   {"http", says("HTTP/1.1 200 OK\r\n\r\n"), long, short, classify.FaultTLS, "h.example timed out"},
		"TLS, no limit for the dial": {"http", says("HTTP/1.1 200 OK\r\n\r\n"), 0, short, classify.FaultTLS, "h.example timed out"},
	} {
		t.Run(name, func(t *testing.T) {
			d := NewDialer(Config{
				RootCAs: roots, Wrap: plain, Timeout: tt.dial, TLSTimeout: tt.secures,
				Proxy: func(string, string, uint16) (*url.URL, error) {
					return &url.URL{Scheme: tt.scheme, Host: tt.proxy(t)}, nil
				},
			})
			target := &Target{Host: "h.example", Port: 443, TLS: true}
			var err error
			target.Proxy, err = d.ProxyFor(target)
			require.NoError(t, err)
			ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
			defer cancel()
			_, err = d.Dial(ctx, target)
			require.NoError(t, ctx.Err(), "no timeout of the dialer ended it")
			var failed *Error
			require.ErrorAs(t, err, &failed)
			assert.Equal(t, tt.fault, failed.Fault)
			assert.Contains(t, failed.Message, tt.message)
			assert.False(t, failed.Lasting, "a retry may succeed")
		})
	}
}
