package collector

import (
	"bytes"
	"crypto/tls"
	"io"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestConnectByPolicy(t *testing.T) {
	const other = "example.com"
	forward := func(c *Config) { c.Policy.OtherHosts = OtherForward }
	pass := func(c *Config) { c.Policy.OtherHosts = OtherPass }
	without := func(c *Config) { c.Intercept = nil }
	broken := func(c *Config) { c.Intercept = brokenCA{} }
	wider := func(c *Config) { c.Policy.TapHosts = patterns(t, host, other) } // than the CA
	both := func(fs ...func(*Config)) func(*Config) {
		return func(c *Config) {
			for _, f := range fs {
				f(c)
			}
		}
	}
	tests := []struct {
		name, to string
		change   func(*Config)
		status   int // 200 for a tunnel
		fault    classify.Fault
		tapped   int64
	}{
		{"other host", other + ":443", nil, 403, classify.FaultHostRefused, 0},
		{"other host, forward", other + ":443", forward, 200, "", 0},
		{"other host, forward, port 80", other + ":80", forward, 200, "", 0},
		{"other host, forward, other port", other + ":22", forward, 403, classify.FaultHostRefused, 0},
		{"not intercepted", host + ":443", without, 501, classify.FaultUnsupported, 0},
		{"not intercepted, forward", host + ":443", both(without, forward), 200, "", 1},
		{"not the CA's", other + ":443", wider, 501, classify.FaultUnsupported, 0},
		{"not the CA's, forward", other + ":443", both(wider, forward), 200, "", 1},
		{"CA broken", host + ":443", broken, 200, "", 1},
		{"other host, pass, other port", other + ":22", pass, 200, "", 0},
		{"port 80, pass", host + ":80", pass, 200, "", 1},
		{"not intercepted, pass, other port", host + ":22", both(without, pass), 200, "", 1},
		{"loopback", "127.0.0.1:443", forward, 403, classify.FaultHostRefused, 0},
		{"metadata", "169.254.169.254:80", forward, 403, classify.FaultHostRefused, 0},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newInterceptRig(t, tt.change)
			r.leadAll(host+":443", host+":80", host+":22", other+":443", other+":80", other+":22")
			c := r.client()
			c.Send("CONNECT " + tt.to + " HTTP/1.1\r\nHost: " + tt.to + "\r\nProxy-Authorization: Basic c2VjcmV0\r\n\r\n")
			if tt.status != http.StatusOK {
				resp, body := c.Response()
				if resp.StatusCode != tt.status || resp.Header.Get("X-Ksyun-Tap-Error") != string(tt.fault) {
					t.Errorf("%d %s", resp.StatusCode, body)
				}
				if tt.fault == classify.FaultUnsupported && !strings.Contains(body, "--intercept") {
					t.Errorf("no advice in %s", body)
				}
				if o := r.observed(); o.Fault != tt.fault || o.Source != classify.SourceConnect || o.Method != http.MethodConnect {
					t.Errorf("fault %q, source %q, method %q", o.Fault, o.Source, o.Method)
				}
				r.untouched()
				return
			}
			c.Expect(established)
			c.Send("any \x00 bytes")
			up := r.upstream()
			up.Expect("any \x00 bytes")
			up.Deliver("others", c)
			if s := r.proxy.Stats(); s.Tunnels != 1 || s.OpenTunnels != 1 || s.TappedTunnels != tt.tapped || s.Unobserved != 1 {
				t.Errorf("%+v", s)
			}
			c.Close()
			up.Close()
			r.silent()
		})
	}
}

// TestServerFirstByPolicy asks where a server that speaks first is listened to.
func TestServerFirstByPolicy(t *testing.T) {
	for _, tt := range []struct {
		to     string
		others OtherHosts
		want   bool
	}{
		{host + ":22", OtherPass, true},
		{host + ":8443", OtherPass, true},
		{host + ":443", OtherPass, false},
		{host + ":80", OtherPass, false},
		{host + ":22", OtherForward, false},
		{host + ":22", OtherRefuse, false},
		{host + ":443", OtherRefuse, false},
	} {
		t.Run(tt.to+", "+tt.others.String(), func(t *testing.T) {
			r := newInterceptRig(t, func(c *Config) { c.Policy.OtherHosts = tt.others })
			h := newHandler(r.proxy, &proxyWay{}, netip.AddrPort{})
			route, err := h.connect([]byte(tt.to), nil)
			require.NoError(t, err)
			assert.Equal(t, tt.want, route.ServerFirst)
			assert.False(t, route.ServerFirst && route.Unseen != nil, "no tunnel is permitted")
		})
	}
}

// TestSilentProgramWithinConnect has a program that is intercepted wait for its server to
// speak, or take its time. It is no failed handshake.
func TestSilentProgramWithinConnect(t *testing.T) {
	const to = host + ":2525"
	for name, tt := range map[string]struct {
		act                       func(r *interceptRig, c, up *rawconn.Conn)
		tunnels, intercepted, all int64 // all are dials
		unobserved                []Unobserved
	}{
		"the server speaks": {func(_ *interceptRig, c, up *rawconn.Conn) {
			up.Deliver("220 ready\r\n", c)
			c.Deliver("QUIT\r\n", up)
			c.Close()
			up.Close()
		}, 1, 0, 1, []Unobserved{{host, 2525, true}}},
		"TLS": {func(r *interceptRig, c, up *rawconn.Conn) {
			tc := tls.Client(c.Conn, &tls.Config{ServerName: host, RootCAs: poolOf(r.ca.PEM())})
			require.NoError(r.t, tc.Handshake())
			up.ExpectEnd()
			in := rawconn.New(r.t, tc)
			in.Send(request(to))
			up = r.tlsUpstream()
			up.Expect(request(to))
			up.Deliver(okResponse, in)
			r.begun()
			o := r.observed()
			assert.Equal(r.t, "https", o.Scheme)
			assert.Equal(r.t, 200, o.Verdict.Status)
			in.Close()
		}, 0, 1, 2, nil},
		"HTTP": {func(r *interceptRig, c, up *rawconn.Conn) {
			c.Deliver(request(to), up)
			up.Deliver(okResponse, c)
			r.begun()
			assert.Equal(r.t, "http", r.observed().Scheme)
			c.Close()
		}, 0, 0, 1, nil},
		"it leaves": {func(_ *interceptRig, c, up *rawconn.Conn) {
			c.Close()
			up.ExpectEnd()
		}, 0, 0, 1, nil},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			unobserved := make(chan Unobserved, 8)
			r := newInterceptRig(t, func(c *Config) {
				c.Policy.OtherHosts = OtherPass
				c.OnUnobserved = func(u Unobserved) { unobserved <- u }
			})
			r.leadAll(to)
			c := r.client()
			c.Send("CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n\r\n")
			c.Expect(established)
			up := r.upstream()
			rawconn.Await(t, func() bool { return r.proxy.Stats().OpenUpstreams == 1 }, "it is not connected")
			tt.act(r, c, up)
			r.silent()
			s := r.proxy.Stats()
			assert.Equal(t, []int64{tt.tunnels, tt.tunnels, tt.intercepted, tt.all, 0, 0},
				[]int64{s.Tunnels, s.TappedTunnels, s.Intercepted, s.Dials, s.OpenTunnels, s.OpenUpstreams})
			for _, want := range tt.unobserved {
				assert.Equal(t, want, <-unobserved)
			}
			assert.Empty(t, unobserved)
			assert.Empty(t, r.failures)
		})
	}
}

// TestSilentProgramWhoseServerIsNotReached has the connection break as it would directly.
func TestSilentProgramWhoseServerIsNotReached(t *testing.T) {
	const to = host + ":2525"
	r := newInterceptRig(t, func(c *Config) { c.Policy.OtherHosts = OtherPass })
	p := r.proxy.rules.Load().policy
	p.ConnectTo = []upstream.ConnectTo{connectTo(t, to+"="+rawconn.Nowhere)}
	r.reload(p)
	c := r.client()
	c.Send("CONNECT " + to + " HTTP/1.1\r\nHost: " + to + "\r\n\r\n")
	c.Expect(established)
	c.ExpectReset()
	r.silent()
	assert.Zero(t, r.proxy.Stats().Tunnels)
	assert.Empty(t, r.failures)
}

// TestServerThatSpokeToTheProxyAlready is reached through a proxy, whose response comes
// together with the server's first bytes.
func TestServerThatSpokeToTheProxyAlready(t *testing.T) {
	r := newInterceptRig(t, func(c *Config) { c.Policy.OtherHosts = OtherPass })
	p := r.proxy.rules.Load().policy
	p.ConnectTo = nil
	p.Proxy = func(string, string, uint16) (*url.URL, error) { return url.Parse("http://" + r.back.Addr().String()) }
	r.reload(p)
	c := r.client()
	c.Send("CONNECT " + host + ":2525 HTTP/1.1\r\nHost: " + host + ":2525\r\n\r\n")
	c.Expect(established)
	up := r.upstream()
	up.Expect("CONNECT " + host + ":2525 HTTP/1.1\r\nHost: " + host + ":2525\r\n\r\n")
	up.Send("HTTP/1.1 200 OK\r\n\r\n220 ready\r\n")
	c.Expect("220 ready\r\n")
	c.Deliver("QUIT\r\n", up)
	c.Close()
	up.Close()
	r.silent()
}

// TestForeignTLSThroughATunnel has a program verify the certificate of a server that
// the tap does not intercept.
func TestForeignTLSThroughATunnel(t *testing.T) {
	r := newInterceptRig(t, func(c *Config) { c.Policy.OtherHosts = OtherForward })
	r.leadAll("foreign.example:443")
	c := r.client()
	c.Send(connectTo443("foreign.example"))
	c.Expect(established)
	up := r.upstream()
	var wg sync.WaitGroup
	defer wg.Wait()
	wg.Go(func() {
		tc := tls.Server(up.Conn, r.upCA.server("foreign.example"))
		io.Copy(tc, tc)
		tc.CloseWrite()
	})
	tc := tls.Client(c.Conn, &tls.Config{ServerName: "foreign.example", RootCAs: r.upCA.pool(), NextProtos: []string{"h2"}})
	data := bytes.Repeat([]byte("0123456789abcdef"), 1<<14)
	wg.Go(func() {
		tc.Write(data)
		tc.CloseWrite()
	})
	got, err := io.ReadAll(tc)
	if err != nil || !bytes.Equal(got, data) {
		t.Errorf("%d of %d bytes came back, %v", len(got), len(data), err)
	}
	s := tc.ConnectionState()
	assert.Equal(t, "h2", s.NegotiatedProtocol, "protocol %q: this is not the server's TLS", s.NegotiatedProtocol)
}

// TestPlainHTTPWithinConnect sends what Node's fetch and curl -p do for http://
// URLs through a proxy: a CONNECT, and plain HTTP within.
func TestPlainHTTPWithinConnect(t *testing.T) {
	const other = "example.com"
	for name, tt := range map[string]struct {
		to     string
		change func(*Config)
	}{
		"intercepted":              {host + ":80", nil},
		"not intercepted":          {host + ":80", func(c *Config) { c.Intercept = nil }},
		"not intercepted, forward": {host + ":80", func(c *Config) { c.Intercept = nil; c.Policy.OtherHosts = OtherForward }},
		"other port":               {host + ":8080", func(c *Config) { c.Intercept = nil }},
		"port of HTTPS":            {host + ":443", nil},
	} {
		t.Run(name, func(t *testing.T) {
			r := newInterceptRig(t, tt.change)
			r.leadAll(host+":443", host+":80", host+":8080")
			c := r.client()
			c.Send("CONNECT " + tt.to + " HTTP/1.1\r\nHost: " + tt.to + "\r\n\r\n")
			c.Expect(established)
			var up *rawconn.Conn
			for range 2 {
				c.Send(request(host))
				if up == nil {
					up = r.upstream()
				}
				up.Expect(request(host))
				up.Deliver(okResponse, c)
				if call := r.begun(); call.Host != host {
					t.Errorf("%+v", call)
				}
				if o := r.observed(); o.Source != classify.SourceConnect || o.Scheme != "http" || o.Fault != "" || o.Verdict.Status != 200 {
					t.Errorf("%+v", o)
				}
			}
			c.Send(request(other))
			resp, body := c.Response()
			assert.Equal(t, http.StatusForbidden, resp.StatusCode, "another host within: %d %s", resp.StatusCode, body)
			r.observed()
			if s := r.proxy.Stats(); s.Tunnels != 0 || s.Dials != 1 {
				t.Errorf("%+v", s)
			}
		})
	}
}

// TestTLSWithinConnectThatIsNotOffered starts TLS on a port where plain HTTP was
// expected, while tunnels are not allowed.
func TestTLSWithinConnectThatIsNotOffered(t *testing.T) {
	r := newInterceptRig(t, func(c *Config) { c.Intercept = nil })
	r.leadAll(host + ":8080")
	c := r.client()
	c.Send("CONNECT " + host + ":8080 HTTP/1.1\r\nHost: " + host + ":8080\r\n\r\n")
	c.Expect(established)
	err := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}).Handshake()
	assert.ErrorContains(t, err, "access denied", "the program saw")
	assert.Equal(t, classify.FaultUnsupported, r.observed().Fault)
	r.untouched()
}
