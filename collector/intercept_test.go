package collector

import (
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestInterceptedCall(t *testing.T) {
	r := newInterceptRig(t)
	c := r.inTLS()
	var up *rawconn.Conn
	for range 2 {
		c.Send(request(host))
		if up == nil {
			up = r.tlsUpstream()
		}
		up.Expect(request(host))
		up.Deliver(okResponse, c)
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
	c.Send(request(host))
	up := r.tlsUpstream()
	up.Expect(request(host))
	body := testfile.Read(t, "testdata/error-permission.xml")
	resp := fmt.Sprintf("HTTP/1.1 403 Forbidden\r\nContent-Type: text/xml\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
	up.Deliver(resp, c)
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
			c.Send(tt.request)
			resp, body := c.Response()
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
		c.Send(request(name))
		up := r.tlsUpstream()
		up.Expect(request(name))
		up.Deliver(okResponse, c)
		call := r.begun()
		assert.Equal(t, host, call.Host, "Host: %s is a call", name)
	}
}

func TestInterceptedUpstreamIsVerified(t *testing.T) {
	r := newInterceptRig(t)
	c := r.inTLS()
	c.Send(request(host))
	tc := tls.Server(r.upstream().Conn, newAuthority(t).server(host))
	if n, err := tc.Read(make([]byte, 1)); err == nil || n > 0 {
		t.Error("the upstream got something")
	}
	resp, body := c.Response()
	if resp.Header.Get("X-Ksyun-Tap-Error") != string(classify.FaultTLS) || !strings.Contains(body, "--upstream.ca-file") {
		t.Errorf("%d %s", resp.StatusCode, body)
	}
	r.begun()
	assert.Equal(t, classify.FaultTLS, r.observed().Fault)
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
			c.Send(connectTo443(host))
			c.Expect(established)
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

func TestPanicOfWhoIsToldOfHandshakes(t *testing.T) {
	r := newInterceptRig(t, func(c *Config) {
		c.OnHandshakeError = func(HandshakeError) { panic("mine") }
	})
	c := r.client()
	c.Send(connectTo443(host))
	c.Expect(established)
	c.Close()
	rawconn.Await(t, func() bool { return r.proxy.Stats().Panics > 0 }, "the panic is not counted")
}

func TestResetWithinTLS(t *testing.T) {
	r := newInterceptRig(t)
	c := r.inTLS()
	c.Send(request(host))
	raw := r.upstream()
	up := rawconn.New(t, tls.Server(raw.Conn, r.upCA.server(host)))
	up.Expect(request(host))
	raw.Reset()
	_, err := io.ReadAll(c)
	assert.ErrorIs(t, err, syscall.ECONNRESET, "the client saw")
	r.begun()
	assert.Equal(t, classify.FaultReset, r.observed().Fault)
}
