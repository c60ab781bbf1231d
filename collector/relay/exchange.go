package relay

import (
	"context"
	"errors"
	"net"
	"time"
)

// exchange relays one request and its answer. It reports whether the
// connection may carry another.
func (c *conn) exchange() (more bool) {
	x := &c.x
	c.active = true
	if err := c.readHead(); err != nil {
		return c.turnAway(err)
	}
	route, err := c.h.Route(x)
	if err != nil {
		return c.turnAway(err)
	}
	// The request moves within its memory, and may leave it, before it is sent.
	c.keep = append(c.keep[:0], route.Keep...)
	route.Keep = c.keep
	x.route = route
	if x.Request.Form == FormAuthority {
		return c.open()
	}
	if err := c.ready(); err != nil {
		return c.turnAway(err)
	}
	up, err := c.connect()
	if err != nil {
		return c.turnAway(err)
	}
	x.Request.prepare(route.Keep)
	c.h.Sending(x)
	sent := c.send(up)
	return c.conclude(sent, c.answer(up))
}

// ready reads what must be there of a request before it is sent.
func (c *conn) ready() error {
	if c.x.route.Rewrite == nil {
		return c.gather()
	}
	if err := c.hold(); err != nil {
		return err
	}
	return c.rewrite()
}

// turnAway ends an exchange of which nothing was sent. Unless the client left,
// it gets an answer.
func (c *conn) turnAway(err error) (more bool) {
	x := &c.x
	c.mu.Lock()
	gone, killed := c.gone, c.killed
	c.mu.Unlock()
	switch {
	case errors.Is(err, errGone):
		c.active = false // there was no request
		return false
	case killed:
		c.done(EndStopped)
		return false
	case gone:
		c.bye = byeReset
		c.done(EndCanceled)
		return false
	}
	if x.in == nil {
		x.requestBytes.Store(int64(len(c.in.unread())))
	}
	more = c.body.done && x.Request.persistent() && !c.s.draining.Load()
	b := c.s.bufs.getLarge()
	defer c.s.bufs.put(b)
	answer := c.h.Refuse(b.b[:0], x, err, !more)
	switch {
	case x.Hello && x.Destination.IsValid(): // as where nobody listens
		answer, more = nil, false
		defer func() { c.bye = byeReset }()
	case x.Hello:
		answer, more = x.refusalAlert(), false
	}
	if c.write(answer) != nil {
		more = false
	}
	c.done(EndRefused)
	if !more {
		c.bye = byeGently
	}
	return more
}

// persistent reports whether the client may send another request. One that
// asked in HTTP/1.0 may not: the answer's keep-alive is a hop-by-hop field and
// is not passed on.
func (q *RequestHead) persistent() bool { return q.minor == 1 && !q.close }

// done tells the handler how the exchange ended.
func (c *conn) done(end End) {
	x := &c.x
	c.active = false
	x.End = end
	x.Finish = time.Now()
	c.account()
	c.h.Done(x)
}

func (c *conn) account() {
	c.s.counters.requestBytes.Add(c.x.requestBytes.Load())
	c.s.counters.responseBytes.Add(c.x.ResponseBytes)
}

// connect returns a connection to the upstream: one that is idle, or a new
// one.
func (c *conn) connect() (*upstream, error) {
	up := c.s.pool.take(c.x.route.Key)
	if up == nil {
		var err error
		if up, err = c.dial(); err != nil {
			return nil, err
		}
	}
	c.x.Upstream = up.addr
	if !c.attach(up) {
		c.s.pool.drop(up)
		return nil, context.Canceled
	}
	return up, nil
}

// dial connects to the upstream while the client is being watched.
func (c *conn) dial() (*upstream, error) {
	ctx, cancel := context.WithCancel(c.s.ctx)
	defer cancel()
	c.mu.Lock()
	c.cancelDial = cancel
	c.mu.Unlock()
	if up := c.early; up != nil && !c.x.route.Key.TLS {
		c.early, up.key = nil, c.x.route.Key
		return up, nil
	}
	c.startSide(false)
	c.s.counters.dials.Add(1)
	nc, err := c.h.Dial(ctx, &c.x)
	c.joinSide()
	c.now = time.Now()
	c.mu.Lock()
	c.cancelDial = nil
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	up := c.s.pool.add(nc, c.x.route.Key, &c.s.bufs)
	if c.s.cameBack(up.path) {
		c.s.pool.drop(up)
		return nil, ErrLoop
	}
	return up, nil
}

// attach makes up the connection of the running exchange. It reports false if
// there is to be none any more.
func (c *conn) attach(up *upstream) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed || c.gone {
		return false
	}
	c.up = up
	return true
}

func (c *conn) detach() *upstream {
	c.mu.Lock()
	defer c.mu.Unlock()
	up := c.up
	c.up = nil
	return up
}

// send sends the request as far as it was read, in one piece, and leaves the
// rest of its body to the side goroutine. It reports whether all went well so
// far; if not, the upstream's answer tells what happened.
func (c *conn) send(up *upstream) bool {
	up.writeWithin(c.now, c.s.cfg.Timeouts.Stall)
	if err := c.sendRead(up); err != nil {
		c.notSent(err)
		return false
	}
	if !c.body.done {
		c.startSide(true)
		return true
	}
	c.mu.Lock()
	fin := c.fin
	c.mu.Unlock()
	if fin {
		c.endRequests(up)
	}
	return true
}

// sendRead sends what was read of the request.
func (c *conn) sendRead(up *upstream) error {
	q := &c.x.Request
	if p := c.x.route.Proxied; p != nil {
		pieces := net.Buffers{q.proxied(p), c.in.b[q.line:c.in.r]}
		_, err := pieces.WriteTo(up.nc)
		return err
	}
	_, err := up.nc.Write(c.in.b[q.start:c.in.r])
	return err
}

// write writes to the client.
func (c *conn) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	c.cl.writeWithin(c.now, c.s.cfg.Timeouts.Stall)
	n, err := c.cl.nc.Write(p)
	c.x.ResponseBytes += int64(n)
	return err
}

// conclude ends an exchange and disposes of its upstream connection.
func (c *conn) conclude(sent bool, end End) (more bool) {
	if end != EndComplete {
		return c.giveUp(end)
	}
	if c.isUploading() {
		return c.outlast()
	}
	c.joinSide()
	c.mu.Lock()
	fin := c.fin
	c.mu.Unlock()
	// A client that only stopped sending still takes the answer; one that left
	// has by now refused it.
	if fin && c.cl.broken() {
		end = EndCanceled
	}
	c.part(sent && c.body.done && !fin)
	c.done(end)
	return !fin && c.keepsClient()
}

// part returns the upstream connection to the pool if clean, and if the answer
// left it in order.
func (c *conn) part(clean bool) {
	up := c.detach()
	excess := c.out.r < c.out.w || c.rest != nil && c.rest.r < c.rest.w
	if clean && !excess && !c.last && c.x.Request.minor == 1 && c.x.Response.persistent() {
		c.s.pool.put(up, c.now)
		return
	}
	c.s.pool.drop(up)
}

// keepsClient reports whether the client may send another request after a
// whole answer.
func (c *conn) keepsClient() bool { return !c.last && c.x.Request.persistent() }

// giveUp ends an exchange whose answer did not arrive whole.
func (c *conn) giveUp(end End) (more bool) {
	if c.isUploading() && c.bye != byeReset {
		c.bye = byeGently
	}
	c.abortSide()
	up := c.detach()
	switch end {
	case EndReset, EndCanceled, EndStopped:
		c.s.pool.abort(up)
	default:
		c.s.pool.drop(up)
	}
	c.done(end)
	return false
}

// outlast ends an exchange whose answer came before the request was whole, and
// lets the request go on: for as long as it takes if the connection may carry
// another, else for a moment.
func (c *conn) outlast() (more bool) {
	c.done(EndComplete)
	var patience <-chan time.Time
	more = c.keepsClient() && c.x.Response.persistent()
	if !more {
		c.cl.closeWrite()
		t := time.NewTimer(c.s.cfg.Timeouts.Linger)
		defer t.Stop()
		patience = t.C
	}
	c.mu.Lock()
	c.quit = true
	c.mu.Unlock()
	select {
	case <-c.side:
		c.sideOn = false
	case <-patience:
		c.abortSide()
	}
	whole := c.body.done
	c.part(more && whole)
	if !more || !whole {
		c.bye = byeGently
		return false
	}
	return true
}
