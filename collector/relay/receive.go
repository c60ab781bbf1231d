package relay

import (
	"bytes"
	"errors"
	"io"
	"time"
)

// readHead reads and parses the request's head and takes what came of the body
// with it.
func (c *conn) readHead() error {
	limit, skipped, start := c.s.cfg.MaxHeadBytes, false, c.now
	for from := 0; ; {
		b := c.in
		if err := plausible(b.unread()); err != nil {
			return err
		}
		n, next, err := findEnd(b.unread(), from)
		switch {
		case err != nil:
			return err
		case n == len("\r\n") && skipped:
			return errRequestLine
		case n == len("\r\n"): // one empty line is passed over (RFC 9112, 2.2)
			b.r += n
			from, skipped = 0, true
			continue
		case n > limit || n == 0 && b.w-b.r >= limit:
			return errHeadTooLarge
		case n > 0:
			return c.parseHead(n)
		case from == 0 && next > 0 && !hasVersion(b.unread()):
			return errRequestLine // HTTP/0.9 would go no further
		}
		from = next
		c.makeRoom()
		c.cl.readWithin(start, c.s.cfg.Timeouts.ReadHead)
		if err := c.cl.read(c.in); err != nil {
			return errGone
		}
		c.now = time.Now()
	}
}

// plausible looks at the first byte, since what is not HTTP may never come to
// a line's end.
func plausible(b []byte) error {
	switch {
	case len(b) == 0 || b[0] == '\r' || isToken[b[0]]:
		return nil
	case b[0] == 0x16:
		return errTLS
	case b[0] == '\n':
		return errBareLF
	}
	return errNotHTTP
}

// hasVersion reports whether the first line, which is whole, ends with one.
func hasVersion(b []byte) bool {
	line, _, _ := bytes.Cut(b, []byte("\r\n"))
	return bytes.HasSuffix(line, []byte(" HTTP/1.1")) || bytes.HasSuffix(line, []byte(" HTTP/1.0"))
}

// makeRoom makes room behind the unread bytes of c.in. A large buffer has it
// for a longest head.
func (c *conn) makeRoom() {
	b := c.in
	switch {
	case len(b.free()) > 0:
	case len(b.b) == smallBuffer:
		c.in, _ = c.s.bufs.grow(b, b.r)
	default:
		b.toFront()
	}
}

func (c *conn) parseHead(n int) error {
	x, b := &c.x, c.in
	start := b.r
	if err := x.Request.parse(b.b, start, start+n); err != nil {
		x.Request.reset() // half of a head is worse than none
		return err
	}
	b.r += n
	c.body = x.Request.body()
	taken, err := c.body.take(b.unread())
	b.r += taken
	x.headBytes = int64(n)
	c.showRequest()
	return err
}

// body returns the framing of the body that follows the head.
func (q *RequestHead) body() body {
	if q.chunked {
		return body{kind: bodyChunked}
	}
	return body{kind: bodyLength, left: max(q.length, 0), done: q.length <= 0}
}

// showRequest makes what was read of the request visible in the exchange.
func (c *conn) showRequest() {
	x, b := &c.x, c.in
	seen := int64(b.r - x.Request.end)
	x.in, x.bodyAt = b.b, x.Request.end
	x.requestSeen.Store(seen)
	x.requestBytes.Store(x.headBytes + seen)
	x.requestDone.Store(c.body.done)
}

// gather waits a moment for the rest of the body, if it may fit the buffer. A
// client that waits for a 100 Continue is not waited for.
func (c *conn) gather() error {
	x := &c.x
	if c.body.done {
		return nil
	}
	if len(c.in.b) == smallBuffer && !c.fits() {
		grown, moved := c.s.bufs.grow(c.in, x.Request.start)
		c.in = grown
		x.Request.rebase(grown.b, moved)
		c.showRequest()
	}
	if x.Request.expect || !c.fits() {
		return nil
	}
	c.cl.readWithin(c.now, gatherTime)
	for !c.body.done && len(c.in.free()) > 0 {
		if err := c.cl.read(c.in); err != nil {
			if isTimeout(err) || errors.Is(err, io.EOF) {
				break // it is for the upload to wait on, or to tell the upstream
			}
			return errGone
		}
		n, err := c.body.take(c.in.unread())
		if err != nil {
			return err
		}
		c.in.r += n
		c.showRequest()
	}
	return nil
}

// fits reports whether the rest of the request's body may fit c.in.
func (c *conn) fits() bool {
	free := len(c.in.free())
	return c.body.kind == bodyLength && c.body.left <= int64(free) ||
		c.body.kind == bodyChunked && free > smallBuffer
}
