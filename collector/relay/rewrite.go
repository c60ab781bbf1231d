package relay

import (
	"errors"
	"time"
)

// maxHeld limits the body of a request that is held until it is whole.
const maxHeld = 1 << 20

var errRewrite = errors.New("the request that was to be sent instead cannot be read")

// hold reads the rest of the request's body. A client that waits to be asked
// for it is asked.
func (c *conn) hold() error {
	x := &c.x
	if x.Request.length > maxHeld {
		return errBodyTooLarge
	}
	if x.Request.expect && !c.body.done {
		if err := c.write([]byte("HTTP/1.1 100 Continue\r\n\r\n")); err != nil {
			return errGone
		}
	}
	for !c.body.done {
		if len(c.in.free()) == 0 {
			if c.in.w-x.bodyAt > maxHeld {
				return errBodyTooLarge
			}
			c.enlarge()
		}
		c.cl.readWithin(time.Now(), c.s.cfg.Timeouts.Stall)
		if err := c.cl.read(c.in); err != nil {
			return errGone
		}
		n, err := c.body.take(c.in.unread())
		if err != nil {
			return err
		}
		c.in.r += n
		c.showRequest()
	}
	c.now = time.Now()
	return nil
}

// enlarge moves the request to a buffer of twice the size, or a large one.
func (c *conn) enlarge() {
	x, old := &c.x, c.in
	if len(old.b) == smallBuffer {
		grown, moved := c.s.bufs.grow(old, x.Request.start)
		c.in = grown
		x.Request.rebase(grown.b, moved)
	} else {
		c.in = &buffer{b: make([]byte, 2*len(old.b)), r: old.r, w: old.w}
		copy(c.in.b, old.b[:old.w])
		x.Request.rebase(c.in.b, 0)
		c.s.bufs.put(old)
	}
	c.showRequest()
}

// rewrite puts another request in the place of the one that was read whole.
// What the client sent beyond it is kept for the next exchange.
func (c *conn) rewrite() error {
	x, old := &c.x, c.in
	body := old.b[x.bodyAt:old.r]
	if x.Request.chunked {
		x.unchunked = append(x.unchunked[:0], body...)
		body = dechunk(x.unchunked)
	}
	b := c.s.bufs.getLarge()
	p, err := x.route.Rewrite(b.b[b.w:b.w], x, body)
	if err != nil {
		c.s.bufs.put(b)
		return err
	}
	if len(p) > len(b.free()) {
		c.s.bufs.put(b)
		b = &buffer{b: make([]byte, headroom+len(p))}
		b.reset()
		copy(b.b[b.w:], p)
	}
	b.w += len(p)

	end, _, err := findEnd(b.unread(), 0)
	asked := x.Request.framing
	if err == nil {
		err = x.Request.parse(b.b, b.r, b.r+end)
	}
	if err != nil || x.Request.chunked || max(x.Request.length, 0) != int64(len(p)-end) {
		x.Request.reset()
		c.s.bufs.put(b)
		return errRewrite
	}
	x.Request.close, x.Request.keepAlive = asked.close, asked.keepAlive // the client's wish for its connection
	b.r = b.w
	c.in, x.headBytes = b, int64(end)
	c.showRequest()
	if old.r < old.w {
		c.next = old
	} else {
		c.s.bufs.put(old)
	}
	return nil
}
