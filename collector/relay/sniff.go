package relay

import (
	"context"
	"errors"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

const (
	// silenceTime is how long a program of unknown protocol may stay silent before
	// the server is connected to, which may be the one to speak first.
	silenceTime = 250 * time.Millisecond
	// sniffTime is how long it may take to send enough to recognise its
	// protocol, once it began: little, since it is on this machine.
	sniffTime = time.Second
)

// recordHandshake is the first byte of a TLS connection.
const recordHandshake = 0x16

// sniff begins a connection that was bound for another address and may carry
// anything. Plain HTTP for a host that the intake serves is left to be read,
// and what begins with TLS is served as by greet. All else gets a CONNECT made
// up to its destination, so that it is passed on unseen. It reports whether
// there is anything to serve.
func (p *pair) sniff() bool {
	fromServer, ok := p.firstBytes()
	switch {
	case !p.await(false) || !ok:
		return false
	case fromServer:
		p.pretend(p.m.destination.String(), nil)
	default:
		return p.recognise()
	}
	return !p.isKilled()
}

// recognise serves what begins with the bytes read. It reports false if the server
// is draining.
func (p *pair) recognise() bool {
	if !p.expect(p.s.sniff) {
		return false
	}
	authority := p.m.destination.String()
	read := p.m.flows[program].cur.unread()
	served := false
	if read[0] == recordHandshake {
		w := &wire{Conn: p.cl.Conn, ahead: read}
		name, all, err := readServerName(p.s.ctx, w)
		if read = append(all, w.ahead...); err == nil {
			authority = name + ":443"
		}
	} else {
		served = p.isServedHTTP()
		read = p.m.flows[program].cur.unread()
	}
	if !p.expected() {
		return false
	}
	if !served {
		p.pretend(authority, read)
	}
	return true
}

// firstBytes waits for the program to say something, or for the server to.
func (p *pair) firstBytes() (fromServer, ok bool) {
	if !p.expect(p.s.silence) {
		return false, false
	}
	b := p.m.room(program)
	n, err := p.cl.Read(b.free())
	b.w += n
	if n > 0 {
		return false, true
	}
	if !isTimeout(err) {
		return false, false
	}
	if err := p.dialEarly(&Exchange{Client: p.client, Destination: p.m.destination}); err != nil {
		p.m.bye[program] = closeReset // like a port without a listener
		return false, false
	}
	if !p.expect(0) {
		return false, false
	}
	if p.up != nil && p.firstToSpeak() != programFirst {
		return true, true
	}
	n, _ = p.cl.Read(b.free())
	b.w += n
	return false, n > 0
}

// dialEarly connects to the server of x while the program is silent. It is given up, which
// is no error, if the program sends something or leaves, or is not to be waited for any
// longer; expect reports the latter.
func (p *pair) dialEarly(x *Exchange) error {
	p.cl.SetReadDeadline(time.Time{}) //nolint:errcheck // reading shows it
	if !p.expect(0) {
		return nil
	}
	nc, err := p.dialWatched(x, func() bool {
		p.watchProgram()
		return true
	})
	switch {
	case errors.Is(err, context.Canceled):
		return nil
	case err != nil:
		return err
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	p.up = newLink(nc)
	x.Upstream = addrPort(nc.RemoteAddr())
	p.m.conn, p.m.upstream = connEarly, x.Upstream
	return nil
}

// watchProgram waits until the program has sent something or left, or is interrupted. A
// reset is passed on: the system does not report it again.
func (p *pair) watchProgram() sight {
	seen := p.cl.watch()
	if seen == sightReset {
		p.m.bye[upstream] = closeReset
	}
	return seen
}

// first is who speaks first on two connections.
type first uint8

const (
	nobodyFirst first = iota // the wait was interrupted, or its time is up
	programFirst
	serverFirst
)

// firstToSpeak waits until either side has something to read, or has left.
func (p *pair) firstToSpeak() first {
	heard := make(chan sight, 1)
	go func() {
		seen := p.up.watch()
		p.cl.interrupt()
		heard <- seen
	}()
	fromProgram := p.watchProgram()
	p.up.interrupt()
	fromServer := <-heard
	p.up.SetReadDeadline(time.Time{}) //nolint:errcheck // reading shows it
	p.cl.SetReadDeadline(time.Time{}) //nolint:errcheck // likewise
	if fromServer == sightReset {
		p.up.reset.Store(true)
	}
	switch {
	case fromProgram != sightNothing:
		return programFirst
	case fromServer != sightNothing:
		return serverFirst
	}
	return nobodyFirst
}

// isServedHTTP reads until it is clear whether this is a request for a host that
// the intake serves. One without memory for its head is not: it passes unseen.
func (p *pair) isServedHTTP() bool {
	f := &p.m.flows[program]
	for from := 0; ; {
		read := f.cur.unread()
		n, next, err := http1.ScanRequest(read, from, p.s.cfg.MaxHeadBytes)
		switch {
		case err != nil || n == len("\r\n") || !http1.IsToken(read[0]):
			return false
		case n > 0:
			var q http1.Request
			return q.Parse(read, 0, n) == nil && q.Form == http1.FormOrigin && p.intake.Serves(q.Host())
		}
		from = next
		if !p.m.makeRoom(program) {
			return false
		}
		k, err := p.cl.Read(f.cur.free())
		f.cur.w += k
		if err != nil {
			return false
		}
	}
}
