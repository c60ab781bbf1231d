package relay

import (
	"context"
	"errors"
	"time"
)

const (
	// silence is how long a client of unknown protocol may stay silent before
	// the server is connected to, which may be the one to speak first.
	silence = 250 * time.Millisecond
	// sniffTime is how long it may take to show what it speaks, once it began:
	// little, since it is on this machine.
	sniffTime = time.Second
)

// sniff begins a connection that was bound for another address and may carry
// anything. Plain HTTP for a host that the intake serves is left to be read,
// and what begins with TLS is served as by greet. All else gets a CONNECT made
// up to its destination, so that it is passed on unseen. It reports whether
// there is anything to serve.
func (c *conn) sniff() bool {
	c.now = time.Now()
	b, err := c.firstBytes()
	if b == nil && !errors.Is(err, errServerFirst) || !c.state.CompareAndSwap(stateIdle, stateBusy) {
		c.s.bufs.put(b)
		return false
	}
	c.now = time.Now()
	if b == nil {
		c.pretend(c.x.Destination.String(), nil)
		return true
	}
	if b.b[b.r] == recordHandshake {
		return c.sniffTLS(b)
	}
	if c.isServedHTTP(b) {
		c.in = b
		return true
	}
	c.pretend(c.x.Destination.String(), b.unread())
	c.s.bufs.put(b)
	return true
}

// recordHandshake is the first byte of a TLS connection.
const recordHandshake = 0x16

var errServerFirst = errors.New("the server speaks first, or nobody does")

// firstBytes waits for the client to say something, or for the server to: the
// error is errServerFirst then.
func (c *conn) firstBytes() (*buffer, error) {
	c.cl.nc.SetReadDeadline(c.now.Add(silence)) //nolint:errcheck // reading tells
	if c.s.draining.Load() {
		return nil, errGone
	}
	b, err := c.cl.await(true)
	if err == nil || !isTimeout(err) || c.state.Load() != stateIdle {
		return b, err
	}
	c.cl.nc.SetReadDeadline(time.Time{}) //nolint:errcheck // reading tells
	ctx, cancel := context.WithCancel(c.s.ctx)
	defer cancel()
	c.s.counters.dials.Add(1)
	nc, err := c.h.Dial(ctx, &c.x)
	if err != nil {
		c.bye = byeReset // as where nobody listens
		return nil, err
	}
	c.early = c.s.pool.add(nc, Key{}, &c.s.bufs)
	if c.s.cameBack(c.early.path) {
		c.bye = byeReset
		return nil, ErrLoop
	}
	if !c.clientIsFirst(&c.early.link) {
		return nil, errServerFirst
	}
	return c.cl.await(true)
}

// clientIsFirst waits until either side has something to read, and reports
// whether the client has.
func (c *conn) clientIsFirst(up *link) bool {
	client, both := make(chan sight, 1), make(chan struct{})
	go func() {
		defer close(both)
		up.watch()
		c.cl.interrupt()
	}()
	go func() { client <- c.cl.watch() }()
	seen := <-client
	up.interrupt()
	<-both
	up.nc.SetReadDeadline(time.Time{})   //nolint:errcheck // reading tells
	c.cl.nc.SetReadDeadline(time.Time{}) //nolint:errcheck // likewise
	return seen != sightNothing
}

// sniffTLS serves a connection that begins with TLS, of which b was read: as
// one to the server that it names, or, if it names none, unseen.
func (c *conn) sniffTLS(b *buffer) bool {
	c.cl.nc.SetReadDeadline(c.now.Add(sniffTime)) //nolint:errcheck // reading tells
	w := &wire{Conn: c.cl.nc, ahead: append([]byte(nil), b.unread()...)}
	c.s.bufs.put(b)
	name, read, err := readHello(c.s.ctx, w)
	c.cl.nc.SetReadDeadline(time.Time{}) //nolint:errcheck // reading tells
	read = append(read, w.ahead...)
	if c.isKilled() {
		return false
	}
	if err != nil {
		c.pretend(c.x.Destination.String(), read)
		return true
	}
	c.pretend(name+":443", read)
	return true
}

// isServedHTTP reads on until it is plain whether this is a request for a host
// that the intake serves.
func (c *conn) isServedHTTP(b *buffer) bool {
	c.cl.nc.SetReadDeadline(c.now.Add(sniffTime)) //nolint:errcheck // reading tells
	defer func() {
		c.cl.readBy = time.Time{}
		c.cl.nc.SetReadDeadline(time.Time{}) //nolint:errcheck // reading tells
	}()
	for from := 0; ; {
		if p := b.unread(); !isToken[p[0]] {
			return false
		}
		n, next, err := findEnd(b.unread(), from)
		switch {
		case err != nil, n == 0 && len(b.unread()) >= c.s.cfg.MaxHeadBytes, n == 0 && next > 0 && from == 0 && !hasVersion(b.unread()):
			return false
		case n > 0:
			var q RequestHead
			return q.parse(b.b, b.r, b.r+n) == nil && q.Form == FormOrigin && c.intake.Serves(q.Host())
		}
		from = next
		if len(b.free()) == 0 || c.cl.read(b) != nil {
			return false
		}
	}
}
