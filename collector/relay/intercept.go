package relay

import (
	"crypto/tls"
	"slices"
	"time"
)

// rejection is how soon after the TLS handshake a client must leave without a
// request for it to mean that it did not like what it saw. Later, it is a
// connection that was opened in reserve.
const rejection = time.Second

// intercept speaks TLS with the client in the server's place. The requests
// within are served as any others.
func (c *conn) intercept() (more bool) {
	c.active = false // what a tunnel carries are exchanges, not the tunnel
	c.dropEarly()
	if c.establish() != nil {
		c.lost()
		return false
	}
	c.account()
	ahead := slices.Clone(c.in.unread())
	c.in.r = c.in.w
	tc, err := c.handshake(c.x.route.TLS, ahead)
	if err != nil {
		if !c.isKilled() {
			c.h.Secured(err)
		}
		return false
	}
	c.secured = time.Now()
	c.x.Hello = false
	return c.speak(tc)
}

// secure speaks TLS with the client in our own name. It reports whether
// requests follow.
func (c *conn) secure() bool {
	tc, err := c.handshake(c.intake.TLS, nil)
	if err != nil {
		c.s.counters.unsecured.Add(1)
		return false
	}
	return c.speak(tc)
}

// speak goes on with the client through TLS.
func (c *conn) speak(tc *tls.Conn) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.killed {
		return false
	}
	c.cl.init(tc, &c.s.bufs)
	return true
}

// handshake speaks TLS with the client, of whose bytes those ahead were read.
func (c *conn) handshake(cfg *tls.Config, ahead []byte) (*tls.Conn, error) {
	w := &wire{Conn: c.cl.nc, ahead: ahead}
	var by time.Time
	if d := c.s.cfg.Timeouts.TLSHandshake; d > 0 {
		by = time.Now().Add(d)
	}
	w.SetDeadline(by) //nolint:errcheck // a closed connection tells on reading
	tc := tls.Server(w, cfg)
	if err := tc.HandshakeContext(c.s.ctx); err != nil {
		return nil, err
	}
	w.SetDeadline(time.Time{}) //nolint:errcheck // likewise
	return tc, nil
}

// tellSecured tells the handler once what came of a TLS handshake: err is nil
// if the client went on to send a request.
func (c *conn) tellSecured(err error) {
	if c.secured.IsZero() {
		return
	}
	since := c.now.Sub(c.secured)
	c.secured = time.Time{}
	if err == nil || !isTimeout(err) && since < rejection {
		c.h.Secured(err)
	}
}

func (c *conn) isKilled() bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.killed
}
