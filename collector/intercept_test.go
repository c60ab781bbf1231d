package collector

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"runtime"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/ca"
)

// interceptor is a CA for the API's hosts, in memory.
func interceptor(t testing.TB) *ca.CA {
	t.Helper()
	c, err := ca.Open(ca.Config{
		Permitted: []string{"*.api.ksyun.com"},
		Roots:     func() ([]byte, error) { return nil, nil },
	})
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func poolOf(pem []byte) *x509.CertPool {
	pool := x509.NewCertPool()
	pool.AppendCertsFromPEM(pem)
	return pool
}

// interceptRig is a rig that ends the TLS of CONNECTs to its host, before an
// upstream with TLS.
type interceptRig struct {
	*rig
	ca       *ca.CA
	upCA     *authority
	failures chan HandshakeError
}

func newInterceptRig(t *testing.T, change ...func(*Config)) *interceptRig {
	t.Helper()
	r := &interceptRig{ca: interceptor(t), upCA: newAuthority(t), failures: make(chan HandshakeError, 16)}
	r.rig = tlsRig(t, r.upCA.pool(), append([]func(*Config){func(c *Config) {
		c.Intercept = r.ca
		c.OnHandshakeError = func(e HandshakeError) { r.failures <- e }
	}}, change...)...)
	return r
}

func connectTo443(host string) string {
	return "CONNECT " + host + ":443 HTTP/1.1\r\nHost: " + host + ":443\r\n\r\n"
}

const established = "HTTP/1.1 200 Connection Established\r\n\r\n"

// inTLS returns a client whose requests go through TLS within a CONNECT.
func (r *interceptRig) inTLS() *peer {
	r.t.Helper()
	c := r.client()
	c.send(connectTo443(host))
	c.expect(established)
	tc := tls.Client(c.Conn, &tls.Config{ServerName: host, RootCAs: poolOf(r.ca.PEM()), NextProtos: []string{"h2", "http/1.1"}})
	if err := tc.Handshake(); err != nil {
		r.t.Fatalf("TLS with the tap: %v", err)
	}
	if s := tc.ConnectionState(); s.NegotiatedProtocol != "http/1.1" {
		r.t.Fatalf("protocol %q", s.NegotiatedProtocol)
	}
	return newPeer(r.t, tc)
}

// tlsUpstream is upstream, above its TLS.
func (r *interceptRig) tlsUpstream() *peer {
	r.t.Helper()
	return newPeer(r.t, tls.Server(r.upstream().Conn, r.upCA.server(host)))
}

func TestInterceptedCall(t *testing.T) {
	r := newInterceptRig(t)
	c := r.inTLS()
	var up *peer
	for range 2 {
		c.send(request(host))
		if up == nil {
			up = r.tlsUpstream()
		}
		up.expect(request(host))
		up.send(okResponse)
		c.expect(okResponse)
		if call := r.begun(); call.Action != "ListMetrics" || call.Host != host {
			t.Errorf("%+v", call)
		}
		o := r.observed()
		if o.Source != classify.SourceConnect || o.Scheme != "https" || o.Port != 443 || o.Fault != "" || o.Verdict.Status != 200 {
			t.Errorf("source %q, %s, %d, fault %q, %+v", o.Source, o.Scheme, o.Port, o.Fault, o.Verdict)
		}
		if o.RequestBytes != int64(len(request(host))) || !o.Client.IsValid() || !o.Upstream.IsValid() {
			t.Errorf("%+v", o)
		}
	}
	s := r.proxy.Stats()
	if s.Intercepted != 1 || s.Tunnels != 0 || s.Dials != 1 || s.Accepted != 1 {
		t.Errorf("%+v", s)
	}
	if len(r.failures) > 0 {
		t.Errorf("%+v", <-r.failures)
	}
}

func TestInterceptedErrorIsClassified(t *testing.T) {
	r := newInterceptRig(t)
	c := r.inTLS()
	c.send(request(host))
	up := r.tlsUpstream()
	up.expect(request(host))
	body, err := os.ReadFile("testdata/error-permission.xml")
	if err != nil {
		t.Fatal(err)
	}
	resp := fmt.Sprintf("HTTP/1.1 403 Forbidden\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	up.send(resp)
	c.expect(resp)
	r.begun()
	if o := r.observed(); o.Verdict.Outcome != classify.OutcomeError || o.Verdict.Code == "" {
		t.Errorf("%+v", o.Verdict)
	}
}

func TestRefusedWithinTLS(t *testing.T) {
	for name, tt := range map[string]struct {
		request string
		status  int
		fault   classify.Fault
		advice  string
	}{
		"absolute form": {"GET https://" + host + "/ HTTP/1.1\r\nHost: " + host + "\r\n\r\n", 501, classify.FaultUnsupported, "origin form"},
		"CONNECT":       {connectTo443(host), 501, classify.FaultUnsupported, "origin form"},
		"other host":    {request("example.com"), 403, classify.FaultHostRefused, "Host field"},
		"malformed":     {"GET / HTTP/1.1\r\nHost : x\r\n\r\n", 400, classify.FaultBadRequest, "colon"},
		"HTTP/2":        {"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400, classify.FaultBadRequest, "request line"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newInterceptRig(t)
			c := r.inTLS()
			c.send(tt.request)
			resp, body := c.response()
			if resp.StatusCode != tt.status || resp.Header.Get("X-Ksyun-Tap-Error") != string(tt.fault) || !strings.Contains(body, tt.advice) {
				t.Errorf("%d %q %s", resp.StatusCode, resp.Header.Get("X-Ksyun-Tap-Error"), body)
			}
			if o := r.observed(); o.Fault != tt.fault || o.Source == classify.SourceForward {
				t.Errorf("fault %q, source %q", o.Fault, o.Source)
			}
			r.untouched()
		})
	}
}

func TestHostFieldWithinTLS(t *testing.T) {
	for _, name := range []string{host, host + ":443", strings.ToUpper(host), "eip.api.ksyun.com"} {
		r := newInterceptRig(t)
		c := r.inTLS()
		c.send(request(name))
		up := r.tlsUpstream()
		up.expect(request(name))
		up.send(okResponse)
		c.expect(okResponse)
		if call := r.begun(); call.Host != host {
			t.Errorf("Host: %s is a call to %q", name, call.Host)
		}
	}
}

func TestInterceptedUpstreamIsVerified(t *testing.T) {
	r := newInterceptRig(t)
	c := r.inTLS()
	c.send(request(host))
	tc := tls.Server(r.upstream().Conn, newAuthority(t).server(host))
	if n, err := tc.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("the upstream got something")
	}
	resp, body := c.response()
	if resp.Header.Get("X-Ksyun-Tap-Error") != string(classify.FaultTLS) || !strings.Contains(body, "--upstream.ca-file") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	r.begun()
	if o := r.observed(); o.Fault != classify.FaultTLS {
		t.Errorf("fault %q", o.Fault)
	}
}

// failed returns the next failed handshake.
func (r *interceptRig) failed() HandshakeError {
	r.t.Helper()
	select {
	case e := <-r.failures:
		return e
	case <-time.After(patience):
		r.t.Fatal("nobody was reported a failed handshake")
		return HandshakeError{}
	}
}

func TestHandshakesThatFail(t *testing.T) {
	shake := func(cfg *tls.Config) func(net.Conn) {
		return func(nc net.Conn) { tls.Client(nc, cfg).Handshake() }
	}
	tests := map[string]struct {
		act  func(net.Conn)
		want HandshakeReason
	}{
		"CA not trusted":       {shake(&tls.Config{ServerName: host, RootCAs: x509.NewCertPool()}), HandshakeUntrusted},
		"CA not trusted, 1.2":  {shake(&tls.Config{ServerName: host, RootCAs: x509.NewCertPool(), MaxVersion: tls.VersionTLS12}), HandshakeUntrusted},
		"pinned":               {shake(&tls.Config{InsecureSkipVerify: true, VerifyConnection: func(tls.ConnectionState) error { return errors.New("not my pin") }}), HandshakeUntrusted},
		"HTTP/2 only":          {shake(&tls.Config{InsecureSkipVerify: true, ServerName: host, NextProtos: []string{"h2"}}), HandshakeHTTP2},
		"old version":          {shake(&tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}), HandshakeOther},
		"another name":         {shake(&tls.Config{InsecureSkipVerify: true, ServerName: "eip.api.ksyun.com"}), HandshakeOther},
		"closed instead":       {func(nc net.Conn) { nc.Close() }, HandshakeAborted},
		"reset instead":        {func(nc net.Conn) { nc.(*net.TCPConn).SetLinger(0); nc.Close() }, HandshakeAborted},
		"silent":               {func(net.Conn) {}, HandshakeTimeout},
		"closed on seeing us":  {func(nc net.Conn) { shakeThen(nc, (*tls.Conn).Close) }, HandshakeAborted},
		"dropped on seeing us": {func(nc net.Conn) { shakeThen(nc, func(*tls.Conn) error { return nc.Close() }) }, HandshakeAborted},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newInterceptRig(t, func(c *Config) {
				if tt.want == HandshakeTimeout {
					c.Timeouts.TLSHandshake = 20 * time.Millisecond
				}
			})
			c := r.client()
			c.send(connectTo443(host))
			c.expect(established)
			tt.act(c.Conn)
			e := r.failed()
			if e.Reason != tt.want || e.Host != host || e.Client.String() != c.LocalAddr().String() || e.Err == nil {
				t.Errorf("%+v, want %q", e, tt.want)
			}
			if s := r.proxy.Stats(); s.Intercepted != 0 || s.Panics != 0 {
				t.Errorf("%+v", s)
			}
			c.Close()
			r.untouched()
			r.silent()
		})
	}
}

func TestAlertsAreRead(t *testing.T) {
	for alert, want := range map[tls.AlertError]HandshakeReason{
		42: HandshakeUntrusted, 43: HandshakeUntrusted, 44: HandshakeUntrusted, 45: HandshakeUntrusted,
		46: HandshakeUntrusted, 48: HandshakeUntrusted,
		40: HandshakeOther, 47: HandshakeOther, 70: HandshakeOther, 80: HandshakeOther, 112: HandshakeOther,
	} {
		got := handshakeReason(&net.OpError{Op: "remote error", Err: alert})
		if got != want || !slices.Contains(HandshakeReasons(), got) {
			t.Errorf("%v is %q, want %q", alert, got, want)
		}
	}
}

// shakeThen completes a handshake like a client that accepts every certificate.
func shakeThen(nc net.Conn, end func(*tls.Conn) error) {
	tc := tls.Client(nc, &tls.Config{InsecureSkipVerify: true, ServerName: host})
	tc.Handshake()
	end(tc)
}

func TestPanicOfWhoIsToldOfHandshakes(t *testing.T) {
	r := newInterceptRig(t, func(c *Config) {
		c.OnHandshakeError = func(HandshakeError) { panic("mine") }
	})
	c := r.client()
	c.send(connectTo443(host))
	c.expect(established)
	c.Close()
	for r.proxy.Stats().Panics == 0 {
		runtime.Gosched()
	}
}

// brokenCA can make no certificate.
type brokenCA struct{}

func (brokenCA) TLSConfig(string) (*tls.Config, error) { return nil, errors.New("disk full") }

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
			change := tt.change
			if change == nil {
				change = func(*Config) {}
			}
			r := newInterceptRig(t, change)
			r.leadAll(host+":443", host+":80", host+":22", other+":443", other+":80", other+":22")
			c := r.client()
			c.send("CONNECT " + tt.to + " HTTP/1.1\r\nHost: " + tt.to + "\r\nProxy-Authorization: Basic c2VjcmV0\r\n\r\n")
			if tt.status != http.StatusOK {
				resp, body := c.response()
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
			c.expect(established)
			c.send("any \x00 bytes")
			up := r.upstream()
			up.expect("any \x00 bytes")
			up.send("others")
			c.expect("others")
			if s := r.proxy.Stats(); s.Tunnels != 1 || s.OpenTunnels != 1 || s.TappedTunnels != tt.tapped || s.Unobserved != 1 {
				t.Errorf("%+v", s)
			}
			c.Close()
			up.Close()
			r.silent()
		})
	}
}

// leadAll makes only these hosts resolve to the rig's upstream.
func (r *interceptRig) leadAll(from ...string) {
	r.t.Helper()
	p := r.proxy.rules.Load().policy
	p.ConnectTo = nil
	for _, f := range from {
		p.ConnectTo = append(p.ConnectTo, r.leadTo(f))
	}
	if err := r.proxy.Reload(p, classify.New(classify.DefaultCatalog())); err != nil {
		r.t.Fatal(err)
	}
}

// TestForeignTLSThroughATunnel has a program verify the certificate of a server that
// the tap does not intercept.
func TestForeignTLSThroughATunnel(t *testing.T) {
	r := newInterceptRig(t, func(c *Config) { c.Policy.OtherHosts = OtherForward })
	r.leadAll("foreign.example:443")
	c := r.client()
	c.send(connectTo443("foreign.example"))
	c.expect(established)
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
	if s := tc.ConnectionState(); s.NegotiatedProtocol != "h2" {
		t.Errorf("protocol %q: this is not the server's TLS", s.NegotiatedProtocol)
	}
}

func TestResetWithinTLS(t *testing.T) {
	r := newInterceptRig(t)
	c := r.inTLS()
	c.send(request(host))
	raw := r.upstream()
	up := newPeer(t, tls.Server(raw.Conn, r.upCA.server(host)))
	up.expect(request(host))
	raw.reset()
	if _, err := io.ReadAll(c); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("the client saw %v", err)
	}
	r.begun()
	if o := r.observed(); o.Fault != classify.FaultReset {
		t.Errorf("fault %q", o.Fault)
	}
}

// goClient is net/http's client, with the tap as its proxy.
func (r *interceptRig) goClient() *http.Client {
	proxy := &url.URL{Scheme: "http", Host: r.addr}
	return &http.Client{Transport: &http.Transport{
		Proxy:             http.ProxyURL(proxy),
		ForceAttemptHTTP2: true,
		TLSClientConfig:   &tls.Config{RootCAs: poolOf(r.ca.PEM())},
	}}
}

// serve answers all requests of the upstream's connections by h.
func (r *interceptRig) serve(h http.HandlerFunc) {
	cfg := r.upCA.server("*.api.ksyun.com")
	cfg.NextProtos = nil
	srv := &http.Server{Handler: h}
	var wg sync.WaitGroup
	wg.Go(func() { srv.Serve(tls.NewListener(r.back, cfg)) })
	r.t.Cleanup(func() {
		srv.Close()
		wg.Wait()
	})
}

func TestGoClientThroughTheTap(t *testing.T) {
	r := newInterceptRig(t)
	r.serve(func(w http.ResponseWriter, q *http.Request) {
		body, _ := io.ReadAll(q.Body)
		fmt.Fprintf(w, "%s %s %s %s", q.Method, q.Host, q.URL, body)
	})
	client := r.goClient()
	defer client.CloseIdleConnections()
	for range 3 {
		resp, err := client.Post("https://"+host+"/?Action=ListMetrics", "application/json", strings.NewReader("{}"))
		if err != nil {
			t.Fatal(err)
		}
		body, err := io.ReadAll(resp.Body)
		resp.Body.Close()
		if want := "POST " + host + " /?Action=ListMetrics {}"; err != nil || string(body) != want {
			t.Errorf("%q, %v; want %q", body, err, want)
		}
		r.begun()
		if o := r.observed(); o.Fault != "" || o.Source != classify.SourceConnect {
			t.Errorf("%+v", o)
		}
	}
	if s := r.proxy.Stats(); s.Accepted != 1 || s.Dials != 1 || s.Intercepted != 1 {
		t.Errorf("%+v", s)
	}
}

func TestGoClientThatDoesNotTrustTheTap(t *testing.T) {
	r := newInterceptRig(t)
	client := r.goClient()
	client.Transport.(*http.Transport).TLSClientConfig.RootCAs = r.upCA.pool()
	_, err := client.Get("https://" + host + "/")
	if unknown, ok := errors.AsType[x509.UnknownAuthorityError](err); !ok {
		t.Errorf("%v, %v", err, unknown)
	}
	if e := r.failed(); e.Reason != HandshakeUntrusted || e.Host != host {
		t.Errorf("%+v", e)
	}
}

func TestGoClientThatCancels(t *testing.T) {
	r := newInterceptRig(t)
	arrived, gone := make(chan struct{}), make(chan struct{})
	r.serve(func(_ http.ResponseWriter, q *http.Request) {
		close(arrived)
		<-q.Context().Done()
		close(gone)
		panic(http.ErrAbortHandler) // a response could still reach the client
	})
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	go func() {
		<-arrived
		cancel()
	}()
	q, err := http.NewRequestWithContext(ctx, http.MethodGet, "https://"+host+"/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := r.goClient().Do(q); !errors.Is(err, context.Canceled) {
		t.Errorf("%v", err)
	}
	select {
	case <-gone: // the upstream saw the connection close
	case <-time.After(patience):
		t.Fatal("the upstream waits for a client that left")
	}
	r.begun()
	if o := r.observed(); o.Fault != classify.FaultCanceled {
		t.Errorf("fault %q", o.Fault)
	}
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
			change := tt.change
			if change == nil {
				change = func(*Config) {}
			}
			r := newInterceptRig(t, change)
			r.leadAll(host+":443", host+":80", host+":8080")
			c := r.client()
			c.send("CONNECT " + tt.to + " HTTP/1.1\r\nHost: " + tt.to + "\r\n\r\n")
			c.expect(established)
			var up *peer
			for range 2 {
				c.send(request(host))
				if up == nil {
					up = r.upstream()
				}
				up.expect(request(host))
				up.send(okResponse)
				c.expect(okResponse)
				if call := r.begun(); call.Host != host {
					t.Errorf("%+v", call)
				}
				if o := r.observed(); o.Source != classify.SourceConnect || o.Scheme != "http" || o.Fault != "" || o.Verdict.Status != 200 {
					t.Errorf("%+v", o)
				}
			}
			c.send(request(other))
			if resp, body := c.response(); resp.StatusCode != http.StatusForbidden {
				t.Errorf("another host within: %d %s", resp.StatusCode, body)
			}
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
	c.send("CONNECT " + host + ":8080 HTTP/1.1\r\nHost: " + host + ":8080\r\n\r\n")
	c.expect(established)
	err := tls.Client(c.Conn, &tls.Config{InsecureSkipVerify: true}).Handshake()
	if err == nil || !strings.Contains(err.Error(), "access denied") {
		t.Errorf("the program saw %v", err)
	}
	if o := r.observed(); o.Fault != classify.FaultUnsupported {
		t.Errorf("fault %q", o.Fault)
	}
	r.untouched()
}
