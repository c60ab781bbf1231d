package collector

import (
	"crypto/tls"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// viaRig is a rig whose upstream plays a proxy. user is empty or "name:secret@".
func viaRig(t *testing.T, user string, change ...func(*Config)) *interceptRig {
	t.Helper()
	r := newInterceptRig(t, change...)
	p := r.proxy.rules.Load().policy
	p.ConnectTo = nil
	p.Proxy = func(string, string, uint16) (*url.URL, error) {
		return url.Parse("http://" + user + r.back.Addr().String())
	}
	r.reload(p)
	return r
}

func (r *interceptRig) reload(p Policy) {
	r.t.Helper()
	require.NoError(r.t, r.proxy.Reload(p, classify.New(classify.DefaultCatalog())))
}

const (
	proxyUser = "name:s%40cret@"
	proxyAuth = "Proxy-Authorization: Basic bmFtZTpzQGNyZXQ=\r\n"
)

func TestHTTPSThroughAProxy(t *testing.T) {
	for user, auth := range map[string]string{"": "", proxyUser: proxyAuth} {
		r := viaRig(t, user)
		c := r.inTLS()
		c.Send(request(host))
		up := r.upstream()
		up.Expect("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n" + auth + "\r\n")
		up.Send("HTTP/1.1 200 OK\r\nVia: 1.1 proxy\r\n\r\n")
		up = rawconn.New(t, tls.Server(up.Conn, r.upCA.server(host)))
		for range 2 {
			up.Expect(request(host))
			up.Deliver(okResponse, c)
			r.begun()
			if o := r.observed(); o.Scheme != "https" || o.Call.Host != host || o.Port != 443 || o.Fault != "" {
				t.Errorf("%+v", o)
			}
			c.Send(request(host)) // on the same connection
		}
	}
}

func TestUpstreamIsVerifiedThroughAProxy(t *testing.T) {
	r := viaRig(t, "")
	c := r.inTLS()
	c.Send(request(host))
	up := r.upstream()
	up.Expect("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n")
	up.Send("HTTP/1.1 200 OK\r\n\r\n")
	tc := tls.Server(up.Conn, newAuthority(t).server(host))
	if n, err := tc.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("the proxy got something to read")
	}
	if resp, _ := c.Response(); resp.Header.Get("X-Ksyun-Tap-Error") != string(classify.FaultTLS) {
		t.Errorf("%d", resp.StatusCode)
	}
}

func TestHTTPThroughAProxy(t *testing.T) {
	const rest = " HTTP/1.1\r\nHost: " + host + "\r\nX-Odd-Case: a\r\nContent-Length: 2\r\n\r\nhi"
	for name, tt := range map[string]struct{ user, sent, want string }{
		"origin form":    {"", "POST /a?b=c" + rest, "POST http://" + host + "/a?b=c" + rest},
		"absolute form":  {"", "POST http://" + host + "/a?b=c" + rest, "POST http://" + host + "/a?b=c" + rest},
		"without a path": {"", "POST http://" + host + "?b=c" + rest, "POST http://" + host + "/?b=c" + rest},
		"other port":     {"", "POST http://" + host + ":8080/" + rest, "POST http://" + host + ":8080/" + rest},
		"asterisk":       {"", "OPTIONS *" + rest, "OPTIONS http://" + host + rest},
		"with a user":    {proxyUser, "POST /" + rest, "POST http://" + host + "/ HTTP/1.1\r\n" + proxyAuth + strings.TrimPrefix(rest, " HTTP/1.1\r\n")},
		"the program's own credentials": {
			proxyUser, "POST / HTTP/1.1\r\nProxy-Authorization: Basic bm9uZQ==\r\n" + strings.TrimPrefix(rest, " HTTP/1.1\r\n"),
			"POST http://" + host + "/ HTTP/1.1\r\n" + proxyAuth + strings.TrimPrefix(rest, " HTTP/1.1\r\n"),
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := viaRig(t, tt.user)
			c := r.client()
			var up *rawconn.Conn
			for range 2 {
				c.Send(tt.sent)
				if up == nil {
					up = r.upstream()
				}
				up.Expect(tt.want)
				up.Deliver(okResponse, c)
				r.begun()
				o := r.observed()
				if o.Fault != "" || o.Call.Host != host || strings.Contains(string(o.Target), "http:") {
					t.Errorf("%+v", o)
				}
			}
			s := r.proxy.Stats()
			assert.EqualValues(t, 1, s.Dials, s)
		})
	}
}

func TestTunnelThroughAProxy(t *testing.T) {
	r := viaRig(t, proxyUser, func(c *Config) { c.Policy.OtherHosts = OtherForward })
	c := r.client()
	c.Send(connectTo443("other.example") + "hello")
	up := r.upstream()
	up.Expect("CONNECT other.example:443 HTTP/1.1\r\nHost: other.example:443\r\n" + proxyAuth + "\r\n")
	up.Send("HTTP/1.0 200 Connection established\r\n\r\nserver first")
	c.Expect(established + "server first")
	up.Expect("hello")
	c.CloseWrite()
	up.ExpectEnd()
	up.Deliver("last", c)
	up.Close()
	c.ExpectEnd()
}

func TestProxyThatCannotBeUsed(t *testing.T) {
	response := func(s string) func(*interceptRig) {
		return func(r *interceptRig) {
			up := r.upstream()
			up.Expect("CONNECT ")
			up.Send(s)
		}
	}
	proxyAt := func(u string, err error) func(*interceptRig, *Policy) {
		return func(_ *interceptRig, p *Policy) {
			p.Proxy = func(string, string, uint16) (*url.URL, error) {
				if err != nil {
					return nil, err
				}
				return url.Parse(u)
			}
		}
	}
	for name, tt := range map[string]struct {
		change func(*interceptRig, *Policy)
		act    func(*interceptRig)
		fault  classify.Fault
		advice string
	}{
		"wants credentials": {nil, response("HTTP/1.1 407 Proxy Authentication Required\r\nContent-Length: 0\r\n\r\n"), classify.FaultUnreachable, "rejects the credentials, or needs some"},
		"refuses":           {nil, response("HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nforbidden"), classify.FaultUnreachable, "with status 403"},
		"talks nonsense":    {nil, response("SSH-2.0-OpenSSH\r\n\r\n"), classify.FaultUnreachable, "NO_PROXY"},
		"talks endlessly":   {nil, response("HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 64<<10)), classify.FaultUnreachable, "NO_PROXY"},
		"closes":            {nil, func(r *interceptRig) { up := r.upstream(); up.Expect("CONNECT"); up.Close() }, classify.FaultUnreachable, "NO_PROXY"},
		"is not there":      {proxyAt("http://"+rawconn.Nowhere, nil), nil, classify.FaultConnRefused, "that the proxy is running"},
		"is us": {func(r *interceptRig, p *Policy) {
			proxyAt("http://"+r.addr, nil)(r, p)
		}, nil, classify.FaultLoop, "is ksyun-tap itself"},
		"socks":          {proxyAt("socks4://user:s3cret@"+rawconn.Nowhere, nil), nil, classify.FaultUnreachable, "HTTPS_PROXY"},
		"without a host": {proxyAt("http://:3128", nil), nil, classify.FaultUnreachable, "HTTPS_PROXY"},
		"unknown":        {proxyAt("", errors.New("invalid proxy address http://user:s3cret@x")), nil, classify.FaultUnreachable, "HTTPS_PROXY"},
	} {
		t.Run(name, func(t *testing.T) {
			r := viaRig(t, "user:s3cret@")
			if tt.change != nil {
				p := r.proxy.rules.Load().policy
				tt.change(r, &p)
				r.reload(p)
			}
			c := r.client()
			c.Send("GET https://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n")
			if tt.act != nil {
				tt.act(r)
			}
			resp, body := c.Response()
			if resp.Header.Get("X-Ksyun-Tap-Error") != string(tt.fault) || !strings.Contains(body, tt.advice) {
				t.Errorf("%d %q %s", resp.StatusCode, resp.Header.Get("X-Ksyun-Tap-Error"), body)
			}
			assert.NotContains(t, body, "s3cret", "the proxy's password")
			assert.NotContains(t, body, "dXNlcjpzM2NyZXQ", "the proxy's password")
			mayPass := slices.Contains([]string{"talks nonsense", "talks endlessly", "closes", "is not there"}, name)
			again := resp.StatusCode == http.StatusServiceUnavailable
			assert.Equal(t, mayPass, again, "status %d makes SDKs try again", resp.StatusCode)
		})
	}
}

func TestHostsThatNeedNoProxy(t *testing.T) {
	r := newInterceptRig(t)
	p := r.proxy.rules.Load().policy
	p.Proxy = func(scheme, h string, port uint16) (*url.URL, error) {
		if scheme != "https" || h != host || port != 443 {
			t.Errorf("asked for %s://%s:%d", scheme, h, port)
		}
		return nil, nil
	}
	for _, fixed := range []bool{false, true} {
		p.ConnectTo = nil
		if fixed { // an address that was given needs no proxy either
			p.ConnectTo = []upstream.ConnectTo{r.leadTo(host + ":443")}
			p.Proxy = func(string, string, uint16) (*url.URL, error) { return url.Parse("http://192.0.2.1:1") }
		}
		r.reload(p)
		d, err := r.proxy.rules.Load().destination([]byte(host), true)
		if err != nil || d.Proxy != nil {
			t.Errorf("%+v, %v", d, err)
		}
	}
}

func TestAddressesAProxyWouldLeadTo(t *testing.T) {
	r := viaRig(t, "", func(c *Config) { c.Policy.OtherHosts = OtherForward })
	c := r.client()
	c.Send("CONNECT 169.254.169.254:80 HTTP/1.1\r\nHost: x\r\n\r\n")
	if resp, body := c.Response(); resp.Header.Get("X-Ksyun-Tap-Error") != string(classify.FaultHostRefused) {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	r.untouched()
}

// TestProxyWhoseTLSFails breaks the handshake with the proxy off, which SDKs may try again,
// or gives it another certificate.
func TestProxyWhoseTLSFails(t *testing.T) {
	for name, tt := range map[string]struct {
		act    func(r *interceptRig, up *rawconn.Conn)
		status int
		advice string
	}{
		"closed": {func(_ *interceptRig, up *rawconn.Conn) { up.Close() }, http.StatusServiceUnavailable, "TLS 1.2"},
		"reset": {func(_ *interceptRig, up *rawconn.Conn) {
			up.Read(make([]byte, 1)) // a reset before the handshake begins is a failure to connect
			up.Reset()
		}, http.StatusServiceUnavailable, "TLS 1.2"},
		"unknown": {func(r *interceptRig, up *rawconn.Conn) {
			tls.Server(up.Conn, newAuthority(r.t).server("127.0.0.1")).Handshake()
		}, http.StatusNotImplemented, "--upstream.ca-file"},
	} {
		t.Run(name, func(t *testing.T) {
			r := viaRig(t, "")
			p := r.proxy.rules.Load().policy
			p.Proxy = func(string, string, uint16) (*url.URL, error) { return url.Parse("https://" + r.back.Addr().String()) }
			r.reload(p)
			c := r.client()
			c.Send(request(host))
			tt.act(r, r.upstream())
			resp, body := c.Response()
			assert.Equal(t, tt.status, resp.StatusCode)
			assert.Equal(t, string(classify.FaultTLS), resp.Header.Get("X-Ksyun-Tap-Error"))
			assert.Contains(t, body, tt.advice)
		})
	}
}

func TestProxyOverTLS(t *testing.T) {
	r := viaRig(t, "")
	p := r.proxy.rules.Load().policy
	_, port, _ := strings.Cut(r.back.Addr().String(), ":")
	dns := dnsServer(t, upstreamtest.Addresses(t, "127.0.0.1"))
	p.Resolver = dns
	p.Proxy = func(string, string, uint16) (*url.URL, error) { return url.Parse("https://proxy.example:" + port) }
	r.reload(p)
	c := r.inTLS()
	c.Send(request(host))
	outer := tls.Server(r.upstream().Conn, r.upCA.server("proxy.example"))
	up := rawconn.New(t, outer)
	up.Expect("CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n")
	up.Send("HTTP/1.1 200 OK\r\n\r\n")
	up = rawconn.New(t, tls.Server(outer, r.upCA.server(host)))
	up.Expect(request(host))
	up.Deliver(okResponse, c)
}
