package relay

import (
	"context"
	"crypto/tls"
	"net"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// silentWays are the ways of a program whose TLS would be terminated, and which is silent.
var silentWays = map[string]func(r *rig) *peer{
	"within a CONNECT": func(r *rig) *peer {
		c := r.plainClient()
		c.Send(connectRequest)
		c.Expect(established)
		return c
	},
	"redirected": func(r *rig) *peer { return r.dialTo(r.redirected("h")) },
}

// eachSilent runs a test for each way with each driver. Programs have little time before
// their server is connected to.
func eachSilent(t *testing.T, test func(t *testing.T, newRig maker, begin func(r *rig) *peer)) {
	t.Helper()
	for way, begin := range silentWays {
		for driver, newRig := range map[string]maker{"loop": newRig, "blocking": newBlockingRig} {
			t.Run(way+", "+driver, func(t *testing.T) {
				t.Parallel()
				test(t, func(t testing.TB, change ...func(*Config)) *rig {
					r := newRig(t, change...)
					r.tls, r.plain, r.serverFirst, r.srv.silence = testTLS(), true, true, time.Millisecond
					r.route = func(*Exchange) (Route, error) { return Route{Key: Key{Host: "h", Port: 443}}, nil }
					return r
				}, begin)
			})
		}
	}
}

// came checks what became of the rig's only program.
func (r *rig) came(dials, tunnels int64) {
	r.t.Helper()
	r.isEmpty()
	s := r.srv.Stats()
	assert.Equal(r.t, dials, s.Dials, "dials")
	assert.Equal(r.t, tunnels, s.Tunnels, "tunnels")
	assert.Zero(r.t, s.OpenTunnels, "open tunnels")
}

// early waits for the relay to connect before the program has said anything, which
// would have it begin again.
func (r *rig) early() *peer {
	r.t.Helper()
	up := r.upstream()
	rawconn.Await(r.t, func() bool { return r.srv.Stats().OpenUpstreams == 1 }, "it is not connected")
	return up
}

// TestSilentProgram has the server be connected to before either side has said anything.
func TestSilentProgram(t *testing.T) {
	h2Only := string(hello(t, &tls.Config{ServerName: "h", NextProtos: []string{"h2"}}))
	tests := map[string]struct {
		act            func(r *rig, c, up *peer)
		dials, tunnels int64
		secured        int
	}{
		"the server speaks": {func(r *rig, c, up *peer) {
			up.Deliver("220 ready\r\n", c)
			c.Deliver("\x16 is no TLS", up)
			up.Deliver("221 bye\r\n", c)
			up.Close()
			c.ExpectEnd()
			c.Close()
			r.ends(EndComplete)
		}, 1, 1, 0},
		"the server closes": {func(r *rig, c, up *peer) {
			up.Close()
			c.ExpectEnd()
			c.Close()
			r.ends(EndComplete)
		}, 1, 1, 0},
		"the server resets": {func(r *rig, c, up *peer) {
			up.Reset()
			c.ExpectReset()
			r.ends(EndReset)
		}, 1, 1, 0},
		"the program closes": {func(_ *rig, c, up *peer) {
			c.Close()
			up.ExpectEnd()
		}, 1, 0, 0},
		"the program resets": {func(_ *rig, c, up *peer) {
			c.Reset()
			up.ExpectReset()
		}, 1, 0, 0},
		"TLS": {func(r *rig, c, up *peer) {
			c.handshake(tls.Client)
			up.ExpectEnd() // it was of no use
			c.Send(getRequest)
			up = r.answers(c)
			r.calls(c, up)
			c.Close()
			up.ExpectEnd()
		}, 2, 0, 1},
		"TLS that is not terminated": {func(r *rig, c, up *peer) {
			c.Deliver(h2Only, up)
			up.Deliver("the server's", c)
			c.Close()
			up.ExpectEnd()
			up.Close()
			r.ends(EndComplete)
		}, 1, 1, 0},
		"HTTP": {func(r *rig, c, up *peer) {
			r.calls(c, up)
			r.calls(c, up)
			c.Close()
			up.ExpectEnd()
		}, 1, 0, 0},
		"another protocol": {func(r *rig, c, up *peer) {
			c.Deliver("\x00\x01", up)
			up.Deliver("response", c)
			c.Close()
			up.ExpectEnd()
			up.Close()
			r.ends(EndComplete)
		}, 1, 1, 0},
		"the tap stops": {func(r *rig, c, up *peer) {
			assert.NoError(r.t, r.srv.Shutdown(r.t.Context()))
			c.ExpectEnd()
			up.ExpectEnd()
		}, 1, 0, 0},
		"the tap is killed": {func(r *rig, c, _ *peer) {
			ctx, cancel := context.WithCancel(r.t.Context())
			cancel()
			assert.ErrorIs(r.t, r.srv.Shutdown(ctx), context.Canceled)
			c.Close()
		}, 1, 0, 0},
		"another connection needs room": {func(r *rig, c, up *peer) {
			rawconn.Await(r.t, func() bool { r.srv.Reclaim(); return r.srv.Stats().OpenClients == 0 }, "it makes no room")
			c.ExpectEnd()
			up.ExpectEnd()
		}, 1, 0, 0},
	}
	eachSilent(t, func(t *testing.T, newRig maker, begin func(r *rig) *peer) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, func(c *Config) { c.Timeouts.MakeRoom = time.Millisecond })
				c := begin(r)
				test.act(r, c, r.early())
				r.came(test.dials, test.tunnels)
				assert.Len(t, r.secured, test.secured, "reports of TLS")
			})
		}
	})
}

// TestSilentProgramWhoseServerIsNotReached sees what it would without us.
func TestSilentProgramWhoseServerIsNotReached(t *testing.T) {
	eachSilent(t, func(t *testing.T, newRig maker, begin func(r *rig) *peer) {
		r := newRig(t)
		begun := make(chan struct{})
		r.dial = func(context.Context) (net.Conn, error) {
			<-begun
			return nil, errTest
		}
		c := begin(r)
		close(begun) // a reset may come before the program knows that it is connected
		c.ExpectReset()
		r.came(1, 0)
		if n := len(r.reported); n > 0 { // a redirected connection is no exchange yet
			assert.ErrorIs(t, r.ends(EndRefused).refusal, errTest)
		}
		assert.Empty(t, r.secured, "reports of TLS")
	})
}

// TestSilenceEndsWhileConnecting has something happen before the server is reached.
func TestSilenceEndsWhileConnecting(t *testing.T) {
	tests := map[string]struct {
		act   func(r *rig, c *peer)
		dials int64
	}{
		"TLS": {func(r *rig, c *peer) {
			c.handshake(tls.Client)
			c.Send(getRequest)
			up := r.answers(c)
			c.Close()
			up.ExpectEnd()
		}, 2},
		"HTTP": {func(r *rig, c *peer) {
			c.Send(getRequest)
			up := r.answers(c)
			c.Close()
			up.ExpectEnd()
		}, 2},
		"the program closes": {func(_ *rig, c *peer) { c.Close() }, 1},
		"the program resets": {func(_ *rig, c *peer) { c.Reset() }, 1},
		"the tap stops": {func(r *rig, c *peer) {
			assert.NoError(r.t, r.srv.Shutdown(r.t.Context()))
			c.ExpectEnd()
		}, 1},
		"the tap is killed": {func(r *rig, c *peer) {
			ctx, cancel := context.WithCancel(r.t.Context())
			cancel()
			assert.ErrorIs(r.t, r.srv.Shutdown(ctx), context.Canceled)
			c.Close()
		}, 1},
		"another connection needs room": {func(r *rig, c *peer) {
			rawconn.Await(r.t, func() bool { r.srv.Reclaim(); return r.srv.Stats().OpenClients == 0 }, "it makes no room")
			c.ExpectEnd()
		}, 1},
	}
	eachSilent(t, func(t *testing.T, newRig maker, begin func(r *rig) *peer) {
		for name, test := range tests {
			t.Run(name, func(t *testing.T) {
				r := newRig(t, func(c *Config) { c.Timeouts.MakeRoom = time.Millisecond })
				dialing := make(chan struct{})
				var dials atomic.Int64
				r.dial = func(ctx context.Context) (net.Conn, error) {
					if dials.Add(1) == 1 {
						close(dialing)
						<-ctx.Done()
						return nil, ctx.Err()
					}
					return new(net.Dialer).DialContext(ctx, "tcp", r.back.Addr().String())
				}
				c := begin(r)
				<-dialing
				test.act(r, c)
				r.came(test.dials, 0)
			})
		}
	})
}

// TestServerThatSpokeAlready is behind a proxy, whose response came together with the
// server's first bytes.
func TestServerThatSpokeAlready(t *testing.T) {
	eachSilent(t, func(t *testing.T, newRig maker, begin func(r *rig) *peer) {
		r := newRig(t)
		r.dial = func(ctx context.Context) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, "tcp", r.back.Addr().String())
			return Wire(nc, []byte("220 ready\r\n")), err
		}
		c := begin(r)
		up := r.upstream()
		c.Expect("220 ready\r\n")
		c.Deliver("QUIT\r\n", up)
		c.Close()
		up.Close()
		r.came(1, 1)
	})
}

// TestProgramThatIsNotSilent begins with TLS before its server is connected to.
func TestProgramThatIsNotSilent(t *testing.T) {
	eachSilent(t, func(t *testing.T, newRig maker, begin func(r *rig) *peer) {
		r := newRig(t)
		r.srv.silence = time.Hour
		c := begin(r)
		c.handshake(tls.Client)
		c.Send(getRequest)
		up := r.answers(c)
		c.Close()
		up.ExpectEnd()
		r.came(1, 0)
		assert.NoError(t, r.nextSecured())
	})
}

// TestBothAreSilent has neither say anything until the program's time is up.
func TestBothAreSilent(t *testing.T) {
	for driver, newRig := range map[string]maker{"loop": newRig, "blocking": newBlockingRig} {
		for name, serverFirst := range map[string]bool{"the server may speak first": true, "it may not": false} {
			t.Run(driver+", "+name, func(t *testing.T) {
				t.Parallel()
				r := newRig(t, func(c *Config) {
					c.Timeouts.TLSHandshake = time.Millisecond
					c.Timeouts.ClientIdle = inTime
				})
				r.tls, r.plain, r.serverFirst, r.srv.silence = testTLS(), true, serverFirst, time.Millisecond
				c := silentWays["within a CONNECT"](r)
				dials := int64(0)
				if serverFirst {
					dials = 1
					r.upstream().ExpectEnd()
				}
				c.ExpectEnd()
				r.came(dials, 0)
				assert.Len(t, r.secured, 1-int(dials), "reports of TLS")
			})
		}
	}
}
