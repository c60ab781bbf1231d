package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

// established is the response to a CONNECT. It has no fields; everything after it
// belongs to the tunnel.
const established = "HTTP/1.1 200 Connection Established\r\n\r\n"

// speech is the protocol that a program speaks inside a CONNECT, by its first byte.
type speech uint8

const (
	speaksUnknown speech = iota
	speaksTLS
	speaksHTTP
	speaksNothing // it left
)

// connect opens the tunnel of a CONNECT. If the protocol inside is to be served
// here, it ends here, else at the upstream. It reports whether there is HTTP to
// serve.
func (p *pair) connect() bool {
	m := &p.m
	m.take()
	x := m.x
	route := x.route
	if x.Hello {
		x.RequestBytes = 0 // the program sent no CONNECT
	}
	var cfg *tls.Config // nil if TLS is not terminated
	if route.TLS != nil {
		var err error
		if cfg, err = route.TLS(); err != nil {
			cfg = nil
		}
	}
	if cfg == nil && route.Unseen == nil {
		if err := p.reach(); err != nil {
			return p.notReached(err)
		}
	}
	if err := p.establish(); err != nil {
		return p.leaveTunnel(EndCanceled, closeReset)
	}
	if cfg == nil && !route.Plain {
		return p.tunnel()
	}
	if cfg != nil && route.ServerFirst {
		switch err := p.reachEarly(); {
		case !p.expected():
			return false
		case err != nil:
			return p.tooLate(err)
		}
	}
	spoken := p.speech(cfg != nil)
	switch {
	case spoken == speaksNothing:
		return false // it is not an exchange
	case spoken == speaksTLS && cfg != nil:
		if !p.expect(p.s.cfg.Timeouts.TLSHandshake) {
			return p.stopped()
		}
		if ahead, ok := p.hello(cfg); ok {
			p.drop()
			return p.intercept(cfg, ahead)
		}
		if !p.expected() {
			return p.stopped()
		}
	case spoken == speaksHTTP && route.Plain:
		return p.plain()
	}
	if route.Unseen != nil {
		m.h.Refuse(nil, x, route.Unseen, true)
		if spoken == speaksTLS {
			p.say(alert(alertAccessDenied)) //nolint:errcheck // the program may have closed the connection
		}
		return p.leaveTunnel(EndRefused, closeFIN)
	}
	if p.up == nil {
		if err := p.reach(); err != nil {
			return p.tooLate(err)
		}
	}
	return p.tunnel()
}

// reach connects to the upstream of a CONNECT, unless that was done before. A
// program that goes away meanwhile ends that.
func (p *pair) reach() error {
	if p.up != nil && !p.m.x.route.Key.TLS {
		return nil
	}
	p.drop()
	reset := false
	nc, err := p.dialWatched(p.m.x, func() bool {
		reset = p.cl.watch() == sightReset
		return reset
	})
	p.mu.Lock()
	defer p.mu.Unlock()
	p.m.now = time.Now()
	if err == nil {
		p.up = newLink(nc)
		p.m.x.Upstream = addrPort(nc.RemoteAddr())
	}
	switch {
	case p.killed:
		p.m.got[program], p.m.killed = receivedReset, true
		return context.Canceled
	case reset:
		p.m.got[program] = receivedReset
		return context.Canceled
	}
	return err
}

// dialWatched connects to the upstream of x while watch, which is interrupted in the end,
// watches the program. If watch reports true, or the pair is killed, that is given up: the
// error is context.Canceled.
func (p *pair) dialWatched(x *Exchange, watch func() (giveUp bool)) (net.Conn, error) {
	ctx, cancel := context.WithCancel(p.s.ctx)
	defer cancel()
	p.mu.Lock()
	p.cancelDial = cancel
	p.mu.Unlock()
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if watch() {
			cancel()
		}
	}()
	p.s.counters.dials.Add(1)
	nc, err := p.dial(ctx, x)
	if err != nil && ctx.Err() != nil {
		err = context.Canceled
	}
	p.cl.interrupt()
	<-watched
	p.cl.SetReadDeadline(time.Time{}) //nolint:errcheck // reading shows it
	p.mu.Lock()
	p.cancelDial = nil
	p.mu.Unlock()
	return nc, err
}

// notReached ends a CONNECT whose upstream was not reached. The response is the
// machine's to send.
func (p *pair) notReached(err error) bool {
	if p.m.got[program] == receivedReset {
		p.m.canceled()
		return false
	}
	p.m.refuse(err)
	return true
}

// tooLate ends a CONNECT whose upstream was not reached after the program had its
// response: like a port without a listener.
func (p *pair) tooLate(err error) bool {
	p.m.h.Refuse(nil, p.m.x, err, true)
	return p.leaveTunnel(EndRefused, closeReset)
}

// reachEarly connects to the upstream of a CONNECT if the program says nothing for a
// moment: the server may be the one to speak first. expected follows.
func (p *pair) reachEarly() error {
	switch {
	case p.up != nil, p.m.flows[program].hasUnread():
	case p.cl.sock == nil: // there is no way to see who is first
	case p.expect(p.s.silence) && p.watchProgram() == sightNothing:
		return p.dialEarly(p.m.x)
	}
	return nil
}

// drop closes an upstream connection that is not needed.
func (p *pair) drop() {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.up != nil {
		p.dropLink(closeFIN)
	}
	p.m.conn = connNone
}

// establish answers a CONNECT that the program sent.
func (p *pair) establish() error {
	p.m.now = time.Now()
	if p.m.x.Hello {
		return nil
	}
	return p.say([]byte(established))
}

// speech waits for the bytes that show which protocol the program speaks inside a
// CONNECT, or, if there is an upstream connection, for the server to speak first.
// terminates is set if TLS is terminated.
func (p *pair) speech(terminates bool) speech {
	f := &p.m.flows[program]
	limit := p.s.cfg.Timeouts.TLSHandshake
	if terminates && p.up != nil { // nothing shows that it is going to be TLS
		limit = p.s.cfg.Timeouts.ClientIdle
	}
	for {
		if f.hasUnread() {
			if spoken, sure := speechOf(f.cur.unread()); sure {
				return spoken
			}
			limit = p.s.sniff
		}
		if !p.expect(limit) {
			return speaksNothing
		}
		if !f.hasUnread() && p.up != nil {
			switch by := p.firstToSpeak(); {
			case by == programFirst:
			case !p.await(false), by == nobodyFirst && terminates:
				return speaksNothing
			default:
				return speaksUnknown
			}
		}
		b := p.m.room(program)
		n, err := p.cl.Read(b.free())
		b.w += n
		switch {
		case !p.expected():
			return speaksNothing
		case n > 0:
		case f.hasUnread(): // it is not to become any clearer
			return speaksUnknown
		default:
			if terminates && !p.m.x.route.ServerFirst {
				p.m.h.Secured(err)
			}
			return speaksNothing
		}
	}
}

// speechOf returns the protocol of a program that sent these first bytes, and
// whether that is certain.
func speechOf(b []byte) (speech, bool) {
	if b[0] == recordHandshake {
		return speaksTLS, true
	}
	begins, sure := http1.Begins(b)
	if begins {
		return speaksHTTP, sure
	}
	return speaksUnknown, sure
}

// hello reads the ClientHello within a CONNECT, and returns all that was read. It
// follows expect. One that crypto/tls cannot read, or a server with cfg cannot answer, is
// not answered: the upstream may be able to.
func (p *pair) hello(cfg *tls.Config) (read []byte, ok bool) {
	f := &p.m.flows[program]
	w := &wire{Conn: p.cl.Conn, ahead: append([]byte(nil), f.cur.unread()...)}
	_, read, err := readHello(p.s.ctx, w, cfg)
	read = append(read, w.ahead...)
	if err == nil || errors.Is(err, errNoServerName) || isTimeout(err) || errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
		return read, true
	}
	bufs := &p.m.s.bufs
	bufs.put(f.spill)
	f.spill = bufs.exactly(len(read)) // not in place of the CONNECT, which lasts as long as the exchange
	f.spill.w += copy(f.spill.free(), read)
	f.cur = f.spill
	return nil, false
}

// leaveTunnel ends the exchange of a CONNECT, and both connections.
func (p *pair) leaveTunnel(end End, how closing) bool {
	p.mu.Lock()
	if p.killed && end != EndRefused {
		end = EndStopped
	}
	p.m.bye = [2]closing{how, how}
	if p.up != nil {
		p.dropLink(how)
	}
	p.mu.Unlock()
	p.m.now = time.Now()
	p.m.report(end)
	return false
}

// plain serves the HTTP that the program speaks within a CONNECT.
func (p *pair) plain() bool {
	m := &p.m
	p.s.counters.requestBytes.Add(m.x.RequestBytes)
	p.s.counters.responseBytes.Add(m.x.ResponseBytes)
	m.h.Plain()
	if p.up != nil {
		m.conn, m.got[upstream] = connOpen, receiving
		m.key, m.upstream = m.x.route.Key, m.x.Upstream
	}
	m.now = time.Now()
	m.next()
	return true
}

// tunnel forwards whatever either side sends, without parsing it.
func (p *pair) tunnel() bool {
	p.m.h.Sent(p.m.x)
	p.s.counters.tunnels.Add(1)
	p.s.counters.openTunnels.Add(1)
	err := p.copyBoth()
	p.s.counters.openTunnels.Add(-1)
	if err != nil {
		return p.leaveTunnel(EndReset, closeReset)
	}
	return p.leaveTunnel(EndComplete, closeFIN)
}

// copyBoth copies both ways until both sides have ended. There are no deadlines:
// only the two ends know what they wait for, and the system's keep-alives find
// out when one of them is dead.
func (p *pair) copyBoth() error {
	p.cl.SetDeadline(time.Time{}) //nolint:errcheck // a closed connection shows on reading
	p.up.SetDeadline(time.Time{}) //nolint:errcheck // likewise
	x := p.m.x
	sent := make(chan error, 1)
	go func() {
		n, err := p.s.bufs.copy(p.up.Conn, p.cl.Conn, p.m.flows[program].cur.unread())
		x.RequestBytes += n
		p.passEnd(p.up, err)
		sent <- err
	}()
	n, err := p.s.bufs.copy(p.cl.Conn, p.up.Conn, nil)
	if err == nil && p.up.reset.Load() { // it reads as an end
		err = syscall.ECONNRESET
	}
	x.ResponseBytes += n
	p.passEnd(p.cl, err)
	if e := <-sent; err == nil {
		err = e
	}
	return err
}

// passEnd ends one direction of a tunnel as it ended: err is nil for a FIN.
// Anything else breaks off both, since neither shows which side was at fault.
func (p *pair) passEnd(to *link, err error) {
	if err == nil {
		p.s.closeWrite(to, false)
		return
	}
	p.s.closeLink(p.up, closeReset)
	p.s.closeLink(p.cl, closeReset)
}
