package relay

import (
	"errors"
	"io"
	"time"
)

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
	var bad *RefusalError
	switch {
	case errors.As(err, &bad):
		return c.raw(up, c.out)
	case c.out != nil && c.write(c.out.unread()) != nil: // a head that broke off
		return c.lost()
	}
	return c.ended(up, err)
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
			if end := c.ended(up, err); end == EndStopped {
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
			if errors.Is(err, io.EOF) && framing.kind == bodyUntilClose {
				c.echoEnd(up)
				return EndComplete
			}
			return c.ended(up, err)
		}
		p, before := b.unread(), *framing
		n, err := framing.take(p)
		if err != nil {
			return c.raw(up, b)
		}
		b.r += n
		x.bodyBytes += int64(n)
		if c.write(p[:n]) != nil {
			return c.lost()
		}
		if b == c.out {
			x.responseSeen += n
		} else {
			x.tail.add(before.data(p[:n]), &c.s.bufs)
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
	err := up.fill(b)
	c.now = time.Now() // that may have taken long
	return err
}

func (u *upstream) fill(b **buffer) (err error) {
	if *b == nil {
		*b, err = u.await(true)
		return err
	}
	return u.link.read(*b)
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

// echoEnd has the client's connection end as the upstream's did: with TLS's
// farewell, unless that was missing.
func (c *conn) echoEnd(up *upstream) { c.cl.mute = up.isCut() }

// ended tells what it means that reading from the upstream failed.
func (c *conn) ended(up *upstream, err error) End {
	c.echoEnd(up)
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
