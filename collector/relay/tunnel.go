package relay

import (
	"context"
	"io"
	"net"
	"time"
)

// established answers a CONNECT. It has no fields: everything behind it is the
// tunnel's.
const established = "HTTP/1.1 200 Connection Established\r\n\r\n"

// open opens the tunnel that the client asked for: to us, where its TLS is
// ours to speak, else to the upstream. It reports whether requests follow.
func (c *conn) open() (more bool) {
	if c.x.Hello {
		c.x.requestBytes.Store(0) // the client sent no CONNECT
	}
	if c.x.route.TLS != nil {
		return c.intercept()
	}
	return c.tunnel()
}

// establish tells a client that asked that the tunnel is there.
func (c *conn) establish() error {
	if c.x.Hello {
		return nil
	}
	return c.write([]byte(established))
}

// tunnel passes on whatever either side sends, without looking at it.
func (c *conn) tunnel() (more bool) {
	x := &c.x
	up, err := c.dial() // never a pooled one: the server is to see one client
	if err != nil {
		return c.turnAway(err)
	}
	x.Upstream = up.addr
	if !c.attach(up) {
		c.s.pool.drop(up)
		return c.turnAway(context.Canceled)
	}
	c.h.Sending(x)
	if c.establish() != nil {
		return c.giveUp(c.lost())
	}
	c.s.counters.tunnels.Add(1)
	c.s.counters.openTunnels.Add(1)
	end := c.splice(up)
	c.s.counters.openTunnels.Add(-1)
	if end != EndComplete {
		c.bye = byeReset
		return c.giveUp(end)
	}
	c.s.pool.drop(c.detach())
	c.done(EndComplete)
	return false
}

// splice copies both ways until both sides have said their last. There are no
// deadlines: only the two ends know what they wait for, and the system's
// keep-alives find out when one of them is dead.
func (c *conn) splice(up *upstream) End {
	c.cl.nc.SetDeadline(time.Time{}) //nolint:errcheck // a closed connection tells on reading
	up.nc.SetDeadline(time.Time{})   //nolint:errcheck // likewise
	sent := make(chan error, 1)
	go func() { sent <- c.forward(up) }()
	n, err := io.Copy(c.cl.nc, up.nc)
	c.x.ResponseBytes += n
	c.passOn(&c.cl, err)
	if e := <-sent; err == nil {
		err = e
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	switch {
	case c.killed:
		return EndStopped
	case err != nil:
		return EndReset
	}
	return EndComplete
}

// forward copies to the upstream, first what came right behind the CONNECT:
// few clients wait for the answer before they begin with TLS.
func (c *conn) forward(up *upstream) error {
	n, err := io.Copy(up.nc, ahead{c.in.unread(), c.cl.nc})
	c.in.r = c.in.w
	c.x.requestBytes.Add(n)
	c.passOn(&up.link, err)
	return err
}

// passOn ends one direction of a tunnel as it ended: err is nil for a FIN.
// Anything else breaks off both, since neither can tell which side was at
// fault.
func (c *conn) passOn(to *link, err error) {
	if err == nil {
		to.closeWrite()
		return
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.up != nil {
		c.up.link.abort()
	}
	c.cl.abort()
}

// ahead is a connection of which some bytes were read already.
type ahead struct {
	read []byte
	net.Conn
}

// WriteTo leaves the bulk to the kernel, where the two connections allow.
func (a ahead) WriteTo(w io.Writer) (int64, error) {
	n := 0
	if len(a.read) > 0 {
		var err error
		if n, err = w.Write(a.read); err != nil {
			return int64(n), err
		}
	}
	rest, err := io.Copy(w, a.Conn)
	return int64(n) + rest, err
}
