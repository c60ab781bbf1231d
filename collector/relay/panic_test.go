package relay

import (
	"context"
	"io"
	"net"
	"sync/atomic"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPanicEndsOneConnection(t *testing.T) { eachWay(t, testPanicEndsOneConnection) }

func testPanicEndsOneConnection(t *testing.T, newRig maker) {
	for _, where := range []string{"route", "sent"} {
		r := newRig(t)
		boom := true
		maybe := func() {
			if boom {
				boom = false
				panic("boom")
			}
		}
		if where == "route" {
			r.route = func(*Exchange) (Route, error) { maybe(); return Route{Key: Key{Host: "h"}}, nil }
		} else {
			r.sent = func(*Exchange) { maybe() }
		}
		c := r.client()
		c.Send(getRequest)
		if where == "sent" {
			up := r.upstream()
			up.Expect(getRequest)
			up.ExpectReset()
		}
		c.ExpectReset()
		r.ends(EndStopped)
		assert.EqualValues(t, 1, r.srv.Stats().Panics, "panics counted")

		r.serves()
	}
}

// TestPanicOfDial is of the handler that connects: the request is refused.
func TestPanicOfDial(t *testing.T) { eachWay(t, testPanicOfDial) }

func testPanicOfDial(t *testing.T, newRig maker) {
	r := newRig(t)
	r.dial = func(context.Context) (net.Conn, error) { panic("boom") }
	c := r.client()
	c.Send(getRequest)
	c.Expect("HTTP/1.1 501 Refused\r\nContent-Length: 0\r\n\r\n")
	r.ends(EndRefused)
	assert.EqualValues(t, 1, r.srv.Stats().Panics, "panics counted")
}

// TestPanicWhileConnecting fails in a machine whose dial succeeds later.
func TestPanicWhileConnecting(t *testing.T) { eachWay(t, testPanicWhileConnecting) }

func testPanicWhileConnecting(t *testing.T, newRig maker) {
	r := newRig(t)
	dialing, connect := make(chan struct{}), make(chan struct{})
	var first atomic.Bool
	r.dial = func(context.Context) (net.Conn, error) {
		if first.CompareAndSwap(false, true) {
			close(dialing)
			<-connect
		}
		return net.Dial("tcp", r.back.Addr().String())
	}
	c := r.client()
	c.Send(getRequest)
	<-dialing
	r.srv.each(func(p *pair) { panicIn(p) })
	close(connect)
	c.ExpectReset()
	r.ends(EndStopped)
	if nc, err := r.back.Accept(); err != nil {
		t.Fatal(err)
	} else {
		io.Copy(io.Discard, nc) // until it ends
		nc.Close()
	}

	c, _ = r.serves()
	c.Close()
	assert.NoError(t, r.srv.Shutdown(t.Context()))
	if s := r.srv.Stats(); s.Panics != 1 || s.OpenClients != 0 || s.OpenUpstreams != 0 || s.BufferBytes != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// panicIn panics where the pair's machine is driven.
func panicIn(p *pair) {
	boom := func() { panic("boom") }
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.where {
	case atBlocking:
		defer p.blocking.guard()
		boom()
	case atLoop:
		p.looped.on.post(p, boom)
	}
}
