package relay

import (
	"context"
	"errors"
	"io"
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
	x.route = route
	if err := c.gather(); err != nil {
		return c.turnAway(err)
	}
	up, err := c.connect()
	if err != nil {
		return c.turnAway(err)
	}
	x.Request.prepare(route.Keep)
	c.h.Sending(x)
	sent := c.send(up)
	return c.conclude(up, sent, c.answer(up))
}

// turnAway ends an exchange of which nothing was sent. Unless the client left,
// it gets an answer.
func (c *conn) turnAway(err error) (more bool) {
	x := &c.x
	c.mu.Lock()
	gone, killed := c.gone, c.killed
	c.mu.Unlock()
	switch {
	case err == errGone:
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
	if c.write(c.h.Refuse(b.b[:0], x, err, !more)) != nil {
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
	c.s.counters.requestBytes.Add(x.requestBytes.Load())
	c.s.counters.responseBytes.Add(x.ResponseBytes)
	c.h.Done(x)
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
	c.startSide(false)
	c.s.counters.dials.Add(1)
	nc, err := c.h.Dial(ctx, &c.x)
	c.joinSide()
	c.mu.Lock()
	c.cancelDial = nil
	c.mu.Unlock()
	if err != nil {
		return nil, err
	}
	return c.s.pool.add(nc, c.x.route.Key, &c.s.bufs), nil
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
	if _, err := up.nc.Write(c.in.b[c.x.Request.start:c.in.r]); err != nil {
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
		up.closeWrite()
	}
	return true
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

// answer passes on the upstream's answer.
func (c *conn) answer(up *upstream) End {
	x, p := &c.x, &c.x.Response
	for {
		err := c.readAnswerHead(up)
		if err != nil {
			return c.noHead(up, err)
		}
		if p.Status >= 200 {
			break
		}
		if p.Status == 101 { // nobody asked for it: Upgrade is not passed on
			return c.raw(up, c.out)
		}
		c.out.r = p.end
		p.strip(nil)
		if c.write(p.Bytes()) != nil {
			return c.lost()
		}
	}

	b := c.out
	b.r = p.end
	framing := p.body(string(x.Request.Method()) == "HEAD")
	n, err := framing.take(b.unread())
	p.strip(nil)
	c.last = framing.kind == bodyUntilClose || p.minor == 0
	if c.s.draining.Load() {
		p.addClose()
		c.last = true
	}
	if err != nil {
		b.r = p.start
		return c.raw(up, b)
	}
	b.r += n
	if c.write(b.b[p.start:b.r]) != nil {
		return c.lost()
	}
	x.out, x.outAt, x.responseSeen, x.bodyBytes = b.b, p.end, n, int64(n)
	if !framing.done {
		if end := c.answerBody(up, &framing); end != EndComplete {
			return end
		}
	}
	x.responseDone = true
	return EndComplete
}

// readAnswerHead reads and parses the next head from the upstream.
func (c *conn) readAnswerHead(up *upstream) error {
	limit := c.s.cfg.MaxHeadBytes
	for from := 0; ; {
		if b := c.out; b != nil {
			n, next, err := findEnd(b.unread(), from)
			switch {
			case err != nil:
				return err
			case n > limit || n == 0 && b.w-b.r >= limit:
				return errHeadTooLarge
			case n == len("\r\n"):
				return errStatusLine
			case n > 0:
				return c.x.Response.parse(b.b, b.r, b.r+n)
			}
			from = next
			if len(b.free()) == 0 {
				if len(b.b) == smallBuffer {
					c.out, _ = c.s.bufs.grow(b, b.r)
				} else {
					b.toFront()
				}
			}
		}
		first := c.out == nil || c.out.r == c.out.w
		if err := c.read(up, &c.out); err != nil {
			return err
		}
		if first {
			c.x.FirstByte = time.Now()
		}
	}
}

// noHead ends an exchange whose answer has no head that can be read.
func (c *conn) noHead(up *upstream, err error) End {
	var bad *Refusal
	switch {
	case errors.As(err, &bad):
		return c.raw(up, c.out)
	case c.out != nil && c.write(c.out.unread()) != nil: // a head that broke off
		return c.lost()
	}
	return c.ended(err)
}

// raw passes on an answer that cannot be read, as the bytes it came as, until
// the upstream closes or the client goes on to say something: where the answer
// ends, nobody can know.
func (c *conn) raw(up *upstream, b *buffer) End {
	x := &c.x
	x.Response.reset()
	x.out, x.outAt, x.responseSeen = nil, 0, 0
	c.mu.Lock()
	c.silence = true
	c.mu.Unlock()
	for {
		if c.write(b.unread()) != nil {
			return c.lost()
		}
		b.reset()
		if err := c.read(up, &b); err != nil {
			if end := c.ended(err); end == EndStopped {
				return end
			}
			return EndBadResponse
		}
	}
}

// answerBody passes on the rest of a body. What fits stays in c.out behind the
// head, to be looked at; the rest goes through c.rest.
func (c *conn) answerBody(up *upstream, framing *body) End {
	x, b := &c.x, c.out
	if len(b.b) == smallBuffer {
		grown, moved := c.s.bufs.grow(b, x.Response.start)
		x.Response.rebase(grown.b, moved)
		x.out, x.outAt = grown.b, x.Response.end
		c.out, b = grown, grown
	}
	for !framing.done {
		if framing.cramped(len(b.free())) {
			if c.rest == nil {
				c.rest = c.s.bufs.getLarge()
			}
			b = c.rest
			b.reset()
		}
		if err := c.read(up, &b); err != nil {
			if err == io.EOF && framing.kind == bodyUntilClose {
				return EndComplete
			}
			return c.ended(err)
		}
		p := b.unread()
		n, err := framing.take(p)
		if err != nil {
			return c.raw(up, b)
		}
		b.r += n
		x.bodyBytes += int64(n)
		if b == c.out {
			x.responseSeen += n
		}
		if c.write(p[:n]) != nil {
			return c.lost()
		}
	}
	return EndComplete
}

// read reads from the upstream into *b, which may be nil. If that takes long,
// the client is watched meanwhile.
func (c *conn) read(up *upstream, b **buffer) error {
	c.now = time.Now()
	if !c.sideOn {
		up.readWithin(c.now, glance)
		err := up.fill(b)
		if !isTimeout(err) {
			return err
		}
		c.bePatient(up)
		c.startSide(false)
	} else {
		c.bePatient(up)
	}
	return up.fill(b)
}

func (u *upstream) fill(b **buffer) (err error) {
	if *b == nil {
		*b, err = u.await(true)
		return err
	}
	_, err = u.link.read(*b)
	return err
}

// bePatient sets how long the upstream may be silent.
func (c *conn) bePatient(up *upstream) {
	c.mu.Lock()
	defer c.mu.Unlock()
	d := c.s.cfg.Timeouts.Response
	if c.fin || c.silence {
		d = c.s.cfg.Timeouts.HalfClosed
	}
	up.readWithin(c.now, d)
}

// ended tells what it means that reading from the upstream failed.
func (c *conn) ended(err error) End {
	c.mu.Lock()
	defer c.mu.Unlock()
	reset := c.upReset || isReset(err)
	if reset || c.gone {
		c.bye = byeReset
	}
	switch {
	case c.killed:
		return EndStopped
	case c.gone, c.fin:
		return EndCanceled
	case isTimeout(err):
		return EndTimeout
	case reset:
		return EndReset
	}
	return EndClosed
}

// lost tells what it means that writing to the client failed.
func (c *conn) lost() End {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return EndStopped
	}
	c.bye = byeReset
	return EndCanceled
}

// conclude ends an exchange and disposes of its upstream connection.
func (c *conn) conclude(up *upstream, sent bool, end End) (more bool) {
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
