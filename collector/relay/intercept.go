package relay

import (
	"crypto/tls"
	"time"
)

// rejection is the time after the TLS handshake within which the end of a
// connection without a request means that the program rejected the certificate.
// Later, the connection was probably opened in advance and not used.
const rejection = time.Second

// intercept terminates TLS in the server's place. The requests inside are served
// like any others.
func (p *pair) intercept(cfg *tls.Config, ahead []byte) bool {
	p.s.counters.requestBytes.Add(p.m.x.RequestBytes)
	p.s.counters.responseBytes.Add(p.m.x.ResponseBytes)
	p.m.forget() // what a tunnel carries are exchanges, not the tunnel
	tc, err := p.handshake(cfg, ahead)
	switch {
	case err == nil:
	case !p.await(false):
		return p.stopped()
	default:
		p.m.h.Secured(err)
		return false
	}
	p.m.secured = time.Now()
	return p.speak(tc)
}

// secure does the TLS handshake with the program as the server. It reports
// whether requests follow.
func (p *pair) secure() bool {
	if !p.expect(p.s.cfg.Timeouts.TLSHandshake) {
		return false
	}
	tc, err := p.handshake(p.intake.TLS, nil)
	switch {
	case err == nil:
	case !p.await(false):
		return p.stopped()
	default:
		p.s.counters.unsecured.Add(1)
		return false
	}
	return p.speak(tc)
}

// speak goes on with the program through TLS.
func (p *pair) speak(tc *tls.Conn) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	yields := p.door == doorYields
	p.door = doorBusy
	p.s.idle.busy(p)
	p.m.next()
	p.m.now = time.Now()
	p.m.since = p.m.now
	p.cl = newLink(tc)
	return !p.killed && !yields
}

// stopped closes the connection because the server is draining. The machine does it:
// closing while bytes of the program are unread would reset the connection.
func (p *pair) stopped() bool {
	p.drop()
	p.m.now = time.Now()
	p.m.closeBoth(closeFIN, closeFIN)
	return true
}

// handshake does the TLS handshake with the program, from which the bytes ahead
// were already read. It follows expect.
func (p *pair) handshake(cfg *tls.Config, ahead []byte) (*tls.Conn, error) {
	w := &wire{Conn: p.cl.Conn, ahead: ahead}
	if d := p.s.cfg.Timeouts.TLSHandshake; d > 0 {
		w.SetWriteDeadline(time.Now().Add(d)) //nolint:errcheck // a closed connection shows on writing
	}
	tc := tls.Server(w, cfg)
	if err := tc.HandshakeContext(p.s.ctx); err != nil {
		return nil, err
	}
	w.SetDeadline(time.Time{}) //nolint:errcheck // likewise
	return tc, nil
}
