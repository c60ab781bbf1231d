package relay

import (
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
)

const connectRequest = "CONNECT h:443 HTTP/1.1\r\nHost: h:443\r\n\r\n"

// testTLS is a server's configuration with a certificate nobody verifies.
var testTLS = sync.OnceValue(func() *tls.Config {
	cert, _ := selfsigned.Certificate("h")
	return &tls.Config{Certificates: []tls.Certificate{cert}, NextProtos: []string{"http/1.1"}, CurvePreferences: fastCurves}
})

// fastCurves has the key exchange that is written in assembly: the race detector
// makes the others some fifty times as slow.
var fastCurves = []tls.CurveID{tls.CurveP256}

// anyServer is a client's configuration that takes testTLS.
var anyServer = &tls.Config{InsecureSkipVerify: true, CurvePreferences: fastCurves}

// maker makes a rig.
type maker func(t testing.TB, change ...func(*Config)) *rig

// newTLSRig makes one whose clients speak TLS within a CONNECT.
func newTLSRig(t testing.TB, change ...func(*Config)) *rig {
	r := newRig(t, change...)
	r.tls = testTLS()
	return r
}

// newBlockingRig makes one without loops.
func newBlockingRig(t testing.TB, change ...func(*Config)) *rig {
	return newRig(t, append(change, func(c *Config) { c.Loops = -1 })...)
}

// newTLSUpstreamRig makes one with TLS on both sides.
func newTLSUpstreamRig(t testing.TB, change ...func(*Config)) *rig {
	r := newTLSRig(t, change...)
	r.upTLS = true
	return r
}

// rigs are those of each driver, with and without TLS.
var rigs = map[string]maker{
	"plain":             newRig,
	"blocking":          newBlockingRig,
	"within TLS":        newTLSRig,
	"TLS on both sides": newTLSUpstreamRig,
	"blocking, TLS on both sides": func(t testing.TB, change ...func(*Config)) *rig {
		return newTLSUpstreamRig(t, append(change, func(c *Config) { c.Loops = -1 })...)
	},
}

// eachWay runs a test with each driver, with and without TLS, at the same time.
func eachWay(t *testing.T, test func(t *testing.T, newRig maker)) {
	t.Helper()
	atOnce(t, rigs, test)
}

// eachDriver is eachWay for tests of what messages contain: of a loop's two ways to
// have TLS, it takes the one that includes the other.
func eachDriver(t *testing.T, test func(t *testing.T, newRig maker)) {
	t.Helper()
	some := maps.Clone(rigs)
	delete(some, "within TLS")
	atOnce(t, some, test)
}

// eachUpstream is eachWay and, with each driver, plain programs of a TLS upstream.
func eachUpstream(t *testing.T, test func(t *testing.T, newRig maker)) {
	t.Helper()
	more := maps.Clone(rigs)
	for _, driver := range []string{"plain", "blocking"} {
		more[driver+", TLS to the upstream"] = func(t testing.TB, change ...func(*Config)) *rig {
			r := rigs[driver](t, change...)
			r.upTLS = true
			return r
		}
	}
	atOnce(t, more, test)
}

func atOnce(t *testing.T, rigs map[string]maker, test func(t *testing.T, newRig maker)) {
	t.Helper()
	for name, newRig := range rigs {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			test(t, newRig)
		})
	}
}

// inTurn is eachWay for tests that measure memory or need many descriptors.
func inTurn(t *testing.T, test func(t *testing.T, newRig maker)) {
	t.Helper()
	for name, newRig := range rigs {
		t.Run(name, func(t *testing.T) { test(t, newRig) })
	}
}

// glued is a connection whose first bytes go out behind others.
type glued struct {
	net.Conn
	before string
}

func (g *glued) Write(b []byte) (int, error) {
	n := len(g.before)
	m, err := g.Conn.Write(append([]byte(g.before), b...))
	g.before = ""
	return max(m-n, 0), err
}

// afterResponse is a connection on which the response to a CONNECT comes first.
type afterResponse struct {
	*peer
	once sync.Once
}

func (a *afterResponse) Read(b []byte) (int, error) {
	a.once.Do(func() { a.Expect(established) })
	return a.peer.Read(b)
}

func TestClientHelloRightBehindTheConnect(t *testing.T) {
	r := newTLSRig(t)
	p := r.plainClient()
	tc := tls.Client(&glued{&afterResponse{peer: p}, connectRequest}, &tls.Config{InsecureSkipVerify: true})
	require.NoError(t, tc.Handshake())
	io.WriteString(tc, getRequest)
	up := r.upstream()
	up.Expect(getRequest)
	up.Send(okResponse)
	got := make([]byte, len(okResponse))
	if _, err := io.ReadFull(tc, got); err != nil || string(got) != okResponse {
		t.Errorf("%q, %v", got, err)
	}
}

// nextSecured returns what was reported to the handler about TLS.
func (r *rig) nextSecured() error {
	r.t.Helper()
	return rawconn.Receive(r.t, r.secured, "nothing was reported to the handler")
}

func TestSecuredIsToldOnce(t *testing.T) {
	t.Run("with the first request", func(t *testing.T) {
		r := newTLSRig(t)
		c := r.client()
		assert.Empty(t, r.secured, "reported before a request came")
		var up *peer
		for range 2 {
			c.Send(getRequest)
			if up == nil {
				up = r.upstream()
			}
			up.Expect(getRequest)
			up.Deliver(okResponse, c)
			r.ends(EndComplete)
		}
		if err := r.nextSecured(); err != nil || len(r.secured) > 0 {
			t.Errorf("%v, and %d more", err, len(r.secured))
		}
	})
	t.Run("when the client leaves at once", func(t *testing.T) {
		for _, leave := range []func(*peer){func(p *peer) { p.Close() }, func(p *peer) { p.TCPConn.Close() }, (*peer).Reset} {
			r := newTLSRig(t)
			leave(r.client())
			assert.Error(t, r.nextSecured())
		}
	})
	t.Run("when the handshake fails", func(t *testing.T) {
		for name, cfg := range map[string]*tls.Config{
			"unknown certificate authority": {ServerName: "h"},
		} {
			r := newTLSRig(t)
			c := r.plainClient()
			c.Send(connectRequest)
			c.Expect(established)
			assert.Error(t, tls.Client(c.TCPConn, cfg).Handshake(), "%s: no error at the client", name)
			err := r.nextSecured()
			if err == nil || !strings.Contains(err.Error(), name) && name != "unknown certificate authority" {
				t.Errorf("%s: reported %v", name, err)
			}
			assert.Empty(t, r.reported, "%s: taken for a request", name)
		}
	})
	t.Run("when the client is silent", func(t *testing.T) {
		r := newTLSRig(t, func(c *Config) { c.Timeouts.TLSHandshake = 20 * time.Millisecond })
		c := r.plainClient()
		c.Send(connectRequest)
		c.Expect(established)
		c.ExpectEnd()
		err := r.nextSecured()
		assert.True(t, isTimeout(err), "reported %v", err)
	})
	t.Run("but not when it is not TLS", func(t *testing.T) {
		r := newTLSRig(t)
		c := r.plainClient()
		c.Send(connectRequest)
		c.Expect(established)
		c.Send(getRequest)
		up := r.upstream()
		up.Expect(getRequest)
		up.Deliver("whatever", c)
		assert.EqualValues(t, 1, r.srv.Stats().Tunnels)
		if len(r.secured) > 0 {
			t.Errorf("reported %v", <-r.secured)
		}
	})
	t.Run("but not of a connection in reserve", func(t *testing.T) {
		t.Parallel()
		r := newTLSRig(t, func(c *Config) { c.Timeouts.ClientIdle = inTime })
		r.client().ExpectEnd()
		if err := r.srv.Shutdown(t.Context()); err != nil || len(r.secured) > 0 {
			t.Errorf("%v, reported %d times", err, len(r.secured))
		}
	})
}

// TestHandshakeLeavesNoDeadline makes a call after the time that the handshake might have
// taken.
func TestHandshakeLeavesNoDeadline(t *testing.T) { eachWay(t, testHandshakeLeavesNoDeadline) }

func testHandshakeLeavesNoDeadline(t *testing.T, newRig maker) {
	r := newRig(t, func(c *Config) { c.Timeouts.TLSHandshake = inTime })
	c, up := r.serves()
	up.SetReadDeadline(time.Now().Add(2 * inTime))
	_, err := up.Read(make([]byte, 1))
	require.True(t, isTimeout(err), "the upstream saw %v", err)
	up.SetReadDeadline(time.Now().Add(patience))
	r.calls(c, up)
}

func TestShutdownEndsHandshakesAndIdleTLS(t *testing.T) {
	r := newTLSRig(t)
	idle := r.client()
	stuck := r.plainClient()
	stuck.Send(connectRequest)
	stuck.Expect(established)
	assert.NoError(t, r.srv.Shutdown(t.Context()), "Shutdown")
	idle.ExpectEnd()
	stuck.ExpectEnd()
	if len(r.secured) > 0 {
		t.Errorf("reported %v", <-r.secured)
	}
}

// closeNotify reads to the end and reports whether close_notify came before it.
func (p *peer) closeNotify() bool {
	p.t.Helper()
	p.ExpectEnd()
	return !p.wire.cut.Load()
}

// TestCloseNotifyIsForwarded has one side end its TLS with or without close_notify
// and the other see just that.
func TestCloseNotifyIsForwarded(t *testing.T) {
	for name, newRig := range rigs {
		if strings.Contains(name, "both sides") {
			t.Run(name, func(t *testing.T) { testCloseNotifyIsForwarded(t, newRig) })
		}
	}
}

func testCloseNotifyIsForwarded(t *testing.T, newRig maker) {
	for _, said := range []bool{true, false} {
		leave := func(p *peer) {
			if said {
				p.Close()
				return
			}
			p.TCPConn.Close()
		}
		t.Run(fmt.Sprintf("said: %v", said), func(t *testing.T) {
			for name, sent := range map[string]string{
				"before the response": "",
				"within the body":     "HTTP/1.1 200 OK\r\nContent-Length: 9\r\n\r\nhalf",
				"as the end":          "HTTP/1.1 200 OK\r\n\r\nall of it",
			} {
				r := newRig(t)
				c, up := r.begin(getRequest)
				if sent != "" {
					up.Send(sent)
				}
				leave(up)
				c.Expect(sent)
				got := c.closeNotify()
				assert.Equal(t, said, got, "by the upstream, %s: the client got close_notify", name)
			}
			for name, request := range map[string]string{
				"waiting":         getRequest,
				"within its body": "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf",
			} {
				r := newRig(t)
				c, up := r.begin(request)
				leave(c)
				got := up.closeNotify()
				assert.Equal(t, said, got, "by the client, %s: the upstream got close_notify", name)
			}
		})
	}
}

// TestTLSWithinTLS has a program speak TLS with us, and within it TLS with the server
// of its CONNECT, which is reached by TLS within TLS, too.
func TestTLSWithinTLS(t *testing.T) {
	for name, loops := range map[string]int{"loop": 0, "blocking": -1} {
		t.Run(name, func(t *testing.T) {
			r := newTLSUpstreamRig(t, func(c *Config) { c.Loops = loops })
			r.dial = func(ctx context.Context) (net.Conn, error) {
				nc, err := new(net.Dialer).DialContext(ctx, "tcp", r.back.Addr().String())
				if err != nil {
					return nil, err
				}
				tc := tls.Client(Wire(nc, nil), anyServer)
				return tc, tc.HandshakeContext(ctx)
			}
			ln := rawconn.Listen(t)
			in := r.intake(false)
			in.TLS = testTLS()
			served := make(chan error)
			go func() { served <- r.srv.Serve(ln, in) }()
			c := r.dialTo(ln.Addr().String())
			c.handshake(tls.Client)
			c.Send(connectRequest)
			c.Expect(established)
			within := &wire{Conn: c}
			inner := tls.Client(within, anyServer)
			request := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("x", 100_000)
			response := "HTTP/1.1 200 OK\r\n\r\n" + strings.Repeat("y", 100_000)
			go io.WriteString(inner, request)
			outer := newPeer(t, rawconn.Accept(t, r.back))
			outer.handshake(tls.Server)
			up := tls.Server(outer, testTLS())
			got := make([]byte, len(request))
			if _, err := io.ReadFull(up, got); err != nil || string(got) != request {
				t.Fatalf("the upstream got another request, or %v", err)
			}
			if runtime.GOOS == "linux" {
				r.srv.each(func(p *pair) {
					p.mu.Lock()
					defer p.mu.Unlock()
					assert.Equal(t, loops == 0, p.where == atLoop, "where = %d", p.where)
				})
			}
			go func() {
				io.WriteString(up, response)
				up.Close()
			}()
			if rest, err := io.ReadAll(inner); err != nil || string(rest) != response {
				t.Errorf("the program got %d bytes, or others: %v", len(rest), err)
			}
			assert.False(t, within.cut.Load(), "close_notify was not forwarded")
			r.ends(EndComplete)
			assert.NoError(t, r.srv.Shutdown(t.Context()))
			assert.NoError(t, <-served)
		})
	}
}

// TestEachWayIsDrivenAsItSays looks at who drives the pair: without that,
// a test of one driver could be one of the other.
func TestEachWayIsDrivenAsItSays(t *testing.T) {
	loops := atLoop
	if runtime.GOOS != "linux" {
		loops = atBlocking
	}
	makers := maps.Clone(rigs)
	makers["one loop"] = func(t testing.TB, _ ...func(*Config)) *rig { return newRig(t, func(c *Config) { c.Loops = 1 }) }
	for name, newRig := range makers {
		want := loops
		if strings.HasPrefix(name, "blocking") {
			want = atBlocking
		}
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			_, up := r.begin(getRequest)
			r.srv.each(func(p *pair) {
				p.mu.Lock()
				defer p.mu.Unlock()
				assert.Equal(t, want, p.where)
			})
			up.Close()
		})
	}
}
