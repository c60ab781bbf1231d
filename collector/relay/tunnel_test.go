package relay

import (
	"bytes"
	"context"
	"io"
	"math/rand/v2"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// tunnel returns both ends of a tunnel that passes on whatever they send.
func (r *rig) tunnel() (c, up *peer) {
	r.t.Helper()
	c = r.plainClient()
	c.Send(connectRequest)
	up = r.upstream()
	c.Expect(established)
	return c, up
}

func TestTunnelPassesOnAllBytes(t *testing.T) {
	r := newRig(t)
	c, up := r.tunnel()
	there, back := make([]byte, 3<<20), make([]byte, 2<<20)
	random := rand.NewChaCha8([32]byte{1})
	random.Read(there)
	random.Read(back)

	var wg sync.WaitGroup
	for _, way := range []struct {
		from, to *peer
		bytes    []byte
	}{{c, up, there}, {up, c, back}} {
		wg.Go(func() {
			way.from.Write(way.bytes)
			way.from.CloseWrite()
		})
		wg.Go(func() {
			got, err := io.ReadAll(way.to)
			if err != nil || !bytes.Equal(got, way.bytes) {
				t.Errorf("%d of %d bytes, or others: %v", len(got), len(way.bytes), err)
			}
		})
	}
	wg.Wait()
	n := r.ends(EndComplete)
	if n.reqBytes != int64(len(connectRequest)+len(there)) || n.respBytes != int64(len(established)+len(back)) {
		t.Errorf("counted %d and %d bytes", n.reqBytes, n.respBytes)
	}
	if s := r.srv.Stats(); s.Tunnels != 1 || s.OpenTunnels != 0 || s.OpenUpstreams != 0 || s.RequestBytes != n.reqBytes {
		t.Errorf("%+v", s)
	}
}

func TestTunnelTakesWhatCameRightBehindTheConnect(t *testing.T) {
	r := newRig(t)
	c := r.plainClient()
	c.Send(connectRequest + "\x16\x03\x01hello\r\n\r\n")
	up := r.upstream()
	up.Expect("\x16\x03\x01hello\r\n\r\n")
	c.Expect(established)
	c.Deliver(" and more", up)
	up.Deliver("response", c)
}

// TestTunnelOfAnotherProtocol has programs that might send HTTP send something else, or
// leave it to the server to begin.
func TestTunnelOfAnotherProtocol(t *testing.T) {
	for name, act := range map[string]func(c, up *peer){
		"binary":             func(c, up *peer) { c.Deliver("\x00\x01", up) },
		"text":               func(c, up *peer) { c.Deliver("EHLO there\r\n", up) },
		"a long word":        func(c, up *peer) { c.Deliver(strings.Repeat("x", 40), up) },
		"a word":             func(c, up *peer) { c.Deliver("HELLO", up) },
		"a word and the end": func(c, up *peer) { c.Send("HELLO"); c.CloseWrite(); up.Expect("HELLO"); up.ExpectEnd() },
		"the server's":       func(c, up *peer) { up.Deliver("220 ready\r\n", c); c.Deliver("GET / HTTP/1.1\r\n", up) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.plain, r.srv.sniff = true, 20*time.Millisecond
			if strings.HasSuffix(name, "end") {
				r.srv.sniff = time.Hour
			}
			c, up := r.tunnel()
			act(c, up)
			up.Deliver("response", c)
			c.Close()
			up.Close()
			r.ends(EndComplete)
			assert.EqualValues(t, 1, r.srv.Stats().Tunnels)
		})
	}
}

func TestTunnelEndsArePassedOn(t *testing.T) {
	tests := map[string]struct {
		act  func(t *testing.T, c, up *peer)
		want End
	}{
		"client says its last": {func(_ *testing.T, c, up *peer) {
			c.Send("last")
			c.CloseWrite()
			up.Expect("last")
			up.ExpectEnd()
			up.Deliver("response", c)
			up.Close()
			c.ExpectEnd()
		}, EndComplete},
		"upstream says its last": {func(_ *testing.T, c, up *peer) {
			up.Send("last")
			up.CloseWrite()
			c.Expect("last")
			c.ExpectEnd()
			c.Deliver("response", up)
			c.Close()
			up.ExpectEnd()
		}, EndComplete},
		"client resets":   {func(_ *testing.T, c, up *peer) { c.Reset(); up.ExpectReset() }, EndReset},
		"upstream resets": {func(_ *testing.T, c, up *peer) { up.Reset(); c.ExpectReset() }, EndReset},
		"upstream resets after the client's last": {func(_ *testing.T, c, up *peer) {
			c.CloseWrite()
			up.ExpectEnd()
			up.Reset()
			c.ExpectReset()
		}, EndReset},
		"client resets after the upstream's last": {func(_ *testing.T, c, up *peer) {
			up.CloseWrite()
			c.ExpectEnd()
			c.Reset()
			up.ExpectReset()
		}, EndReset},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c, up := r.tunnel()
			tt.act(t, c, up)
			n := r.ends(tt.want)
			assert.Equal(t, "CONNECT", n.method, n)
		})
	}
}

// TestUpstreamThatResetsAtOnce does so while the program, which might send HTTP, is silent.
func TestUpstreamThatResetsAtOnce(t *testing.T) {
	r := newRig(t)
	r.plain = true
	c, up := r.tunnel()
	up.Reset()
	c.ExpectReset()
	r.ends(EndReset)
}

// TestTunnelHasNoDeadlines has the deadlines of requests pass by.
func TestTunnelHasNoDeadlines(t *testing.T) {
	t.Parallel()
	const short = 20 * time.Millisecond
	r := newRig(t, func(c *Config) { // those of ReadHead and ClientIdle hold before there is a tunnel
		c.Timeouts = Timeouts{ReadHead: inTime, ClientIdle: inTime, Response: short, Stall: short, Unframed: short, Linger: short}
	})
	c, up := r.tunnel()
	up.SetReadDeadline(time.Now().Add(inTime + 10*short))
	_, err := up.Read(make([]byte, 1))
	require.True(t, isTimeout(err), "the upstream saw %v", err)
	c.Send("late")
	up.SetReadDeadline(time.Now().Add(patience))
	up.Expect("late")
}

func TestTunnelIsCutByShutdown(t *testing.T) {
	r := newRig(t)
	c, up := r.tunnel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, r.srv.Shutdown(ctx), context.Canceled, "Shutdown")
	c.ExpectReset()
	up.ExpectReset()
	r.ends(EndStopped)
}

// TestTunnelThatIsGivenUp has a CONNECT wait for its upstream.
func TestTunnelThatIsGivenUp(t *testing.T) {
	for name, tt := range map[string]struct {
		giveUp func(r *rig, c *peer)
		want   End
	}{
		"by the program": {func(_ *rig, c *peer) { c.Reset() }, EndCanceled},
		"by the server": {func(r *rig, c *peer) {
			ctx, cancel := context.WithCancel(t.Context())
			cancel()
			assert.ErrorIs(t, r.srv.Shutdown(ctx), context.Canceled)
			c.ExpectReset()
		}, EndStopped},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := r.connecting(connectRequest)
			tt.giveUp(r, c)
			n := r.ends(tt.want)
			assert.False(t, n.began, n)
		})
	}
}

// TestTunnelThatCannotBeOpenedLate has the program begin with something that is not
// intercepted, as was expected: it is too late for a response.
func TestTunnelThatCannotBeOpenedLate(t *testing.T) {
	r := newTLSRig(t)
	r.dial = func(context.Context) (net.Conn, error) { return nil, errTest }
	c := r.plainClient()
	c.Send(connectRequest)
	c.Expect(established)
	c.Send("hello")
	c.ExpectReset()
	n := r.ends(EndRefused)
	assert.ErrorIs(t, n.refusal, errTest)
}

func TestTunnelThatCannotBeOpened(t *testing.T) {
	r := newRig(t)
	r.dial = func(context.Context) (net.Conn, error) { return nil, errTest }
	c := r.plainClient()
	c.Send(connectRequest)
	c.expectRefusal("400") // RFC 9931
	n := r.ends(EndRefused)
	assert.False(t, n.began, n)
}

func TestConnectWithABodyIsRefused(t *testing.T) {
	for _, fields := range []string{"Content-Length: 3\r\n\r\nabc", "Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"} {
		r := newRig(t)
		c := r.plainClient()
		c.Send("CONNECT h:443 HTTP/1.1\r\nHost: h\r\n" + fields)
		c.expectRefusal("400")
		if r.dials.Load() > 0 {
			t.Error("connected")
		}
	}
}

// TestTunnelMakesNoRoom opens a tunnel on a connection that was idle before.
func TestTunnelMakesNoRoom(t *testing.T) {
	for name, newRig := range map[string]maker{"plain": newRig, "blocking": newBlockingRig} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c := r.plainClient()
			r.waits(1)
			c.Send(connectRequest)
			r.upstream()
			c.Expect(established)
			assert.False(t, r.srv.Reclaim(), "the tunnel makes room")
		})
	}
}

// TestTunnelsShareTheBudget has a tunnel carry much in both directions. It takes no
// large buffers beyond the budget, and gives them back when it is quiet.
func TestTunnelsShareTheBudget(t *testing.T) {
	const most = 3 * smallBuffer // of both directions, and of what came with the CONNECT
	big := strings.Repeat("0123456789abcdef", 256<<10/16)
	for name, limit := range map[string]int64{"with memory": 0, "short of memory": 1} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.BufferBytes = limit })
			c, up := r.tunnel()
			for range 4 {
				go c.Send(big)
				up.Expect(big)
				go up.Send(big)
				c.Expect(big)
				if limit > 0 {
					assert.LessOrEqual(t, r.srv.Stats().BufferBytes, int64(most))
				}
			}
			up.Deliver("quiet", c)
			c.Deliver("quiet", up)
			rawconn.Await(t, func() bool { return r.srv.Stats().BufferBytes <= most }, "the large buffers are not given back")
			c.Close()
			up.ExpectEnd()
			up.Close()
			r.ends(EndComplete)
		})
	}
}
