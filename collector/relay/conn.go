package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"sync/atomic"
	"time"
)

const (
	// gatherTime is how long a request waits for the rest of a small body, so
	// that head and body are sent in one piece and can be looked at together.
	// Many clients write them one after the other.
	gatherTime = 5 * time.Millisecond
	// glance is how long an answer is waited for before the client is watched.
	glance = 50 * time.Millisecond
)

// errGone tells that the client left before its request was whole.
var errGone = errors.New("the client went away")

// conn is the connection of one client.
type conn struct {
	s     *Server
	h     Handler
	cl    link
	state atomic.Int32
	bye   farewell

	intake *Intake
	bound  netip.AddrPort // as x.Destination, for others; Server.mu protects it
	early  *upstream      // to the destination, made before the client spoke

	x       Exchange
	active  bool // x awaits its Done
	now     time.Time
	secured time.Time // when TLS began, until its first request

	keep []byte  // of the route
	in   *buffer // the request, and what follows it
	next *buffer // what follows a request whose body outgrew in
	body body    // of the request
	last bool    // the end of the answer is the end of the connection
	out  *buffer // the response
	rest *buffer // what of the response did not fit

	sideOn bool          // the side goroutine was started and not joined
	side   chan struct{} // it ended

	mu         sync.Mutex // protects the fields below
	up         *upstream
	cancelDial context.CancelFunc
	uploading  bool // the side goroutine is sending the body
	quit       bool // it is to end after the body
	halt       bool // it is to end at once
	silence    bool // the client is to stay silent: its next byte ends the exchange
	fin        bool // the client will send no more
	gone       bool // the client broke off
	upReset    bool // the upstream reset the connection when written to
	killed     bool // the server was stopped
}

// The states of a connection.
const (
	stateIdle int32 = iota // waits for a request
	stateBusy
	stateClosing // woken up to close
)

// farewell is how a connection is closed.
type farewell uint8

const (
	byeClose  farewell = iota
	byeGently          // so that what was written arrives, even if the client is still sending
	byeReset
)

func newConn(s *Server, nc net.Conn, in *Intake) *conn {
	c := &conn{s: s, intake: in, side: make(chan struct{}, 1)}
	c.cl.init(nc, &s.bufs)
	c.x.limit = s.cfg.InspectBytes
	c.x.tail.size = min(s.cfg.TailBytes, s.bufs.largeSize/4)
	c.x.Client = addrPort(nc.RemoteAddr())
	return c
}

func (c *conn) serve() {
	defer c.s.forget(c)
	defer c.finish()
	c.h = c.intake.NewHandler(c.x.Client)
	switch {
	case c.intake.Destination != nil:
		to, err := c.intake.Destination(c.cl.nc)
		if err != nil || c.s.isOwn(c, to) {
			c.bye = byeReset
			return
		}
		c.x.Destination = to
		if !c.sniff() {
			return
		}
	case c.intake.Hello:
		if !c.greet() {
			return
		}
	case c.intake.TLS != nil:
		if !c.secure() {
			return
		}
	}
	for c.await() && c.exchange() {
		c.release()
	}
}

// finish leaves nothing behind, whatever happened.
func (c *conn) finish() {
	if p := recover(); p != nil {
		c.s.counters.panics.Add(1)
		c.bye = byeReset
		c.abortSide()
		if up := c.detach(); up != nil {
			c.s.pool.abort(up)
		}
		c.lastWord()
	}
	c.release()
	c.s.bufs.put(c.in)
	c.in = nil
	c.dropEarly()
	switch {
	case c.bye == byeReset:
		c.cl.abort()
	case c.bye == byeGently, c.cl.peek() == sightData:
		c.linger()
	}
	c.cl.dropHeld()
	c.cl.close()
}

// dropEarly closes a connection that was made early and not needed.
func (c *conn) dropEarly() {
	if c.early != nil {
		c.s.pool.drop(c.early)
		c.early = nil
	}
}

// lastWord tells the handler of an exchange that a panic ended.
func (c *conn) lastWord() {
	if !c.active {
		return
	}
	defer func() { recover() }() //nolint:errcheck // counted already
	c.done(EndStopped)
}

// linger says that no more will come and takes what the client still sends:
// closing over unread bytes would reset the connection, and the client might
// lose the answer.
func (c *conn) linger() {
	c.cl.closeWrite()
	c.cl.nc.SetReadDeadline(time.Now().Add(c.s.cfg.Timeouts.Linger)) //nolint:errcheck // reading tells
	b := c.s.bufs.getSmall()
	defer c.s.bufs.put(b)
	for {
		if _, err := c.cl.nc.Read(b.b); err != nil {
			return
		}
	}
}

// drain closes the connection if it is idle.
func (c *conn) drain() {
	if c.state.CompareAndSwap(stateIdle, stateClosing) {
		c.cl.interrupt()
	}
}

// kill gives up whatever runs on the connection.
func (c *conn) kill() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.killed = true
	if c.up != nil {
		c.up.link.abort()
	}
	if c.cancelDial != nil {
		c.cancelDial()
	}
	c.cl.abort()
}

// release gives back the buffers of an exchange. What the client sent beyond
// it is kept.
func (c *conn) release() {
	bufs := &c.s.bufs
	bufs.put(c.out)
	bufs.put(c.rest)
	c.out, c.rest = nil, nil
	c.x.tail.release(bufs)
	if c.next != nil {
		bufs.put(c.in)
		c.in, c.next = c.next, nil
	}
	if c.in != nil && c.in.r == c.in.w {
		bufs.put(c.in)
		c.in = nil
	}
}

// await waits for the first byte of a request, without holding memory for it.
func (c *conn) await() bool {
	c.now = time.Now()
	if c.in == nil {
		c.cl.readWithin(c.now, c.s.cfg.Timeouts.ClientIdle)
		c.state.Store(stateIdle)
		if c.s.draining.Load() {
			return false
		}
		b, err := c.cl.await(false)
		if !c.state.CompareAndSwap(stateIdle, stateBusy) {
			c.s.bufs.put(b)
			return false
		}
		if err != nil {
			if isReset(err) {
				c.bye = byeReset
			}
			c.now = time.Now()
			c.tellSecured(err)
			return false
		}
		c.in = b
		c.now = time.Now()
		c.tellSecured(nil)
	}
	c.x.reset(c.now)
	c.body, c.last = body{}, false
	c.mu.Lock()
	c.fin, c.gone, c.silence, c.upReset = false, false, false, false
	c.mu.Unlock()
	return true
}
