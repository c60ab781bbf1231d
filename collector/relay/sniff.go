package relay

import (
	"context"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

const (
	// silence is how long a program of unknown protocol may stay silent before
	// the server is connected to, which may be the one to speak first.
	silence = 250 * time.Millisecond
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
	read, serverFirst, ok := p.firstBytes()
	switch {
	case !p.await(false) || !ok:
		return false
	case serverFirst:
		p.pretend(p.m.destination.String(), nil)
	default:
		return p.recognise(read)
	}
	return !p.isKilled()
}

// recognise serves what begins with the bytes read. It reports false if the server
// is draining.
func (p *pair) recognise(read []byte) bool {
	if !p.expect(p.s.sniff) {
		return false
	}
	authority := p.m.destination.String()
	served := false
	if read[0] == recordHandshake {
		w := &wire{Conn: p.cl.Conn, ahead: read}
		name, all, err := readServerName(p.s.ctx, w)
		if read = append(all, w.ahead...); err == nil {
			authority = name + ":443"
		}
	} else {
		served = p.isServedHTTP(&read)
	}
	if !p.expected() {
		return false
	}
	if served {
		p.m.feed(read)
	} else {
		p.pretend(authority, read)
	}
	return true
}

// firstBytes waits for the program to say something, or for the server to.
func (p *pair) firstBytes() (read []byte, serverFirst, ok bool) {
	if !p.expect(silence) {
		return nil, false, false
	}
	first := make([]byte, smallBuffer-headroom)
	n, err := p.cl.Read(first)
	if n > 0 {
		return first[:n], false, true
	}
	if !isTimeout(err) || !p.await(true) {
		return nil, false, false
	}
	p.cl.SetReadDeadline(time.Time{}) //nolint:errcheck // reading shows it
	ctx, cancel := context.WithCancel(p.s.ctx)
	defer cancel()
	p.s.counters.dials.Add(1)
	nc, err := p.dial(ctx, &Exchange{Client: p.client, Destination: p.m.destination})
	if err != nil {
		p.m.bye[program] = closeReset // like a port without a listener
		return nil, false, false
	}
	p.mu.Lock()
	p.up = newLink(nc)
	p.m.conn, p.m.upstream = connEarly, addrPort(nc.RemoteAddr())
	p.mu.Unlock()
	if !p.programIsFirst() {
		return nil, true, true
	}
	n, _ = p.cl.Read(first)
	return first[:n], false, n > 0
}

// programIsFirst waits until either side has something to read, and reports
// whether the program has.
func (p *pair) programIsFirst() bool {
	seen, both := make(chan sight, 1), make(chan struct{})
	go func() {
		defer close(both)
		p.up.watch()
		p.cl.interrupt()
	}()
	go func() { seen <- p.cl.watch() }()
	first := <-seen
	p.up.interrupt()
	<-both
	p.up.SetReadDeadline(time.Time{}) //nolint:errcheck // reading shows it
	p.cl.SetReadDeadline(time.Time{}) //nolint:errcheck // likewise
	return first != sightNothing
}

// isServedHTTP reads until it is clear whether this is a request for a host that
// the intake serves.
func (p *pair) isServedHTTP(read *[]byte) bool {
	for from := 0; ; {
		n, next, err := http1.ScanRequest(*read, from, p.s.cfg.MaxHeadBytes)
		switch {
		case err != nil || n == len("\r\n") || !http1.IsToken((*read)[0]):
			return false
		case n > 0:
			var q http1.Request
			return q.Parse(*read, 0, n) == nil && q.Form == http1.FormOrigin && p.intake.Serves(q.Host())
		}
		from = next
		var more [smallBuffer]byte
		k, err := p.cl.Read(more[:])
		*read = append(*read, more[:k]...)
		if err != nil {
			return false
		}
	}
}
