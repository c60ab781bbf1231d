package relay

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"sync"
	"time"
)

// pair is a program's connection and its upstream connection. Its machine is
// driven by a loop if the system has loops and both are TCP, or TLS over it, else by
// the goroutines of a blocking driver. The pair's own goroutine serves what comes
// before HTTP and what follows a CONNECT.
type pair struct {
	s      *Server
	intake *Intake
	client netip.AddrPort
	bound  netip.AddrPort // where the program's connection was bound for, if it was redirected
	queue  int            // bytes that the system queues in each direction
	gone   chan struct{}  // closed at the end, for who waits for that; Server.mu protects it

	idle idling

	mu         sync.Mutex // protects the fields below
	where      where
	door       door      // atDoor
	waits      time.Time // since when, at doorWaits
	killed     bool
	cl, up     *link // nil atLoop
	cancelDial context.CancelFunc

	m        machine   // of who drives the pair
	path     path      // of the upstream connection
	blocking *blocking // atBlocking
	looped   looped    // atLoop
}

// where is who drives a pair.
type where uint8

const (
	atDoor     where = iota // its own goroutine, which alone has the machine
	atBlocking              // any goroutine that holds mu
	atLoop                  // the thread of a loop
	atEnd                   // no driver
)

// door is what a pair's own goroutine does.
type door uint8

const (
	doorBusy   door = iota
	doorWaits       // for the program, before an exchange: it may be interrupted
	doorYields      // it was interrupted to make room, and ends
)

func newPair(s *Server, nc net.Conn, in *Intake) *pair {
	queue := s.allotQueues()
	limitSendQueue(nc, queue)
	p := &pair{s: s, intake: in, queue: queue, client: addrPort(nc.RemoteAddr()), cl: newLink(nc)}
	p.m.s, p.m.at, p.m.client = s, p, p.client
	p.m.now = time.Now()
	p.m.since = p.m.now
	return p
}

// start begins to serve the pair, on a loop at once if nothing comes before the
// first request.
func (p *pair) start() {
	defer func() {
		if v := recover(); v != nil { // it must not end who accepts connections
			p.panicked()
			p.end()
		}
	}()
	if p.intake.Destination == nil && !p.intake.Hello && p.intake.TLS == nil {
		p.m.h = p.intake.NewHandler(p.client)
		if p.toLoop(nil) {
			return
		}
	}
	go p.run(p.open)
}

// run takes a first step, and serves the HTTP that follows if it returns true.
func (p *pair) run(first func() bool) {
	moved := false
	defer func() {
		if v := recover(); v != nil {
			p.panicked()
		}
		if !moved {
			p.end()
		}
	}()
	if p.m.h == nil {
		p.m.h = p.intake.NewHandler(p.client)
	}
	for more := first(); more; more = p.connect() {
		p.m.advance()
		if p.m.stage == stageConnect {
			continue
		}
		if moved = p.toLoop(p.up); moved {
			return
		}
		if p.block(); p.m.stage != stageConnect {
			return
		}
	}
}

// open does what comes before the first request. It reports whether one may
// follow.
func (p *pair) open() bool {
	switch in := p.intake; {
	case in.Destination != nil:
		to, err := in.Destination(p.cl.Conn)
		if err == nil {
			p.bound = to
			err = p.s.cfg.Guard.Accepted(p.client, to)
		}
		if err != nil {
			p.s.closeLink(p.cl, closeReset)
			return false
		}
		p.m.destination = to
		return p.sniff()
	case in.Hello:
		return p.greet()
	case in.TLS != nil:
		return p.secure()
	}
	return true
}

// panicked ends the exchange of a pair whose handler or machine panicked, and
// has both connections reset. It reports false if that has to wait for a dial to
// return, which uses the exchange: the dial is canceled.
func (p *pair) panicked() bool {
	p.s.counters.panics.Add(1)
	m := &p.m
	if p.cancelDial != nil {
		p.cancelDial()
		m.stage, m.killed, m.effects = stageDial, true, 0
		return false
	}
	again := func(f func()) {
		defer func() { recover() }() //nolint:errcheck // counted already
		f()
	}
	again(func() {
		if m.active() {
			m.report(EndStopped)
		}
	})
	m.stage, m.effects, m.bye = stageOver, 0, [2]closing{closeReset, closeReset}
	again(m.forget)
	return true
}

// end releases everything that the pair has.
func (p *pair) end() {
	defer p.s.forget(p)
	p.mu.Lock()
	cl, up := p.cl, p.up
	p.where, p.door, p.cl, p.up = atEnd, doorBusy, nil, nil
	p.mu.Unlock()
	if up != nil {
		p.s.closeLink(up, p.m.bye[upstream])
		p.unwired()
	}
	if cl != nil {
		p.s.closeLink(cl, p.m.bye[program])
	}
	p.m.forget()
	if p.bound.IsValid() {
		p.s.cfg.Guard.Left(p.client, p.bound)
	}
}

// path is the source address of a connection and its destination.
type path struct{ from, to netip.AddrPort }

// wired takes up a connection to an upstream. One that came back to us is closed.
func (p *pair) wired(nc net.Conn) error {
	p.path = path{addrPort(nc.LocalAddr()), addrPort(nc.RemoteAddr())}
	if err := p.s.cfg.Guard.Connected(p.path.from, p.path.to); err != nil {
		nc.Close()
		return err
	}
	p.s.counters.openUpstreams.Add(1)
	return nil
}

func (p *pair) unwired() {
	p.s.cfg.Guard.Closed(p.path.from, p.path.to)
	p.path = path{}
	p.s.counters.openUpstreams.Add(-1)
}

// dropLink closes the upstream connection. mu is held.
func (p *pair) dropLink(how closing) {
	p.s.closeLink(p.up, how)
	p.up = nil
	p.unwired()
}

// dial connects to the upstream of an exchange.
func (p *pair) dial(ctx context.Context, x *Exchange) (nc net.Conn, err error) {
	defer func() {
		if v := recover(); v != nil {
			p.s.counters.panics.Add(1)
			nc, err = nil, errPanic
		}
	}()
	if nc, err = p.m.h.Dial(context.WithValue(ctx, queueKey{}, p.queue), x); err != nil {
		return nil, err
	}
	limitSendQueue(nc, p.queue)
	if err = p.wired(nc); err != nil {
		return nil, err
	}
	return nc, nil
}

var errPanic = errors.New("connecting to the upstream panicked")

// broken implements sockets.
func (p *pair) broken() bool {
	if p.where == atLoop {
		return p.looped.broken()
	}
	return p.cl.broken()
}

// unread implements sockets.
func (p *pair) unread() bool {
	if p.where == atLoop {
		return p.looped.unread()
	}
	return p.cl.unreported.Load() == readData || p.cl.peek() == sightData
}

// drain closes the pair if no exchange runs; one that runs will be the last.
func (p *pair) drain() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.where == atBlocking:
		defer p.blocking.guard()
		p.m.drain(time.Now())
		p.blocking.settle()
	case p.where == atLoop:
		l := p.looped.on
		l.post(p, func() { l.drain(p) })
	case p.door == doorWaits:
		p.cl.interrupt()
	}
}

// yield closes the pair if no request is on its way, or only a part after Timeouts.MakeRoom.
func (p *pair) yield() {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch p.where {
	case atBlocking:
		defer p.blocking.guard()
		p.m.yield(time.Now())
		p.blocking.settle()
	case atLoop:
		l := p.looped.on
		l.post(p, func() { l.yield(p) })
	case atDoor:
		if p.door == doorWaits && time.Since(p.waits) >= p.s.cfg.Timeouts.MakeRoom {
			p.door = doorYields
			p.s.counters.reclaimed.Add(1)
			p.cl.interrupt()
		}
	}
}

// kill gives up whatever runs.
func (p *pair) kill() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.killed = true
	switch p.where {
	case atBlocking:
		defer p.blocking.guard()
		p.m.kill(time.Now())
		p.blocking.settle()
	case atLoop:
		l := p.looped.on
		l.post(p, func() { l.kill(p) })
	case atDoor:
		if p.cl != nil { // it comes back from a loop
			p.s.closeLink(p.cl, closeReset)
		}
		if p.up != nil {
			p.s.closeLink(p.up, closeReset)
		}
		if p.cancelDial != nil {
			p.cancelDial()
		}
	}
}

// expect limits the time to read from the program before an exchange, which draining
// the server ends, and making room after Timeouts.MakeRoom, until expected. It reports false if
// the pair is to end.
func (p *pair) expect(d time.Duration) bool {
	if d > 0 {
		p.cl.SetReadDeadline(time.Now().Add(d)) //nolint:errcheck // reading shows it
	}
	if !p.await(true) {
		return false
	}
	// By an earlier time, it could be taken while it must not yield yet, and be forgotten.
	p.s.idle.noteLater(p, p.waits.Add(p.s.cfg.Timeouts.MakeRoom))
	return true
}

// expected ends what expect began. It reports false if the pair is to end.
func (p *pair) expected() bool {
	p.cl.SetReadDeadline(time.Time{}) //nolint:errcheck // reading shows it
	return p.await(false)
}

// await marks whether the program is waited for before an exchange, which may then be
// interrupted. It reports false if the pair is to end.
func (p *pair) await(waiting bool) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !waiting {
		p.s.idle.busy(p)
	}
	switch {
	case p.door == doorYields:
		return false
	case waiting:
		p.door, p.waits = doorWaits, time.Now()
	default:
		p.door = doorBusy
	}
	return !p.killed && !p.s.draining.Load()
}

func (p *pair) isKilled() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.killed
}

// feed passes bytes of the program to the machine, in place of those that it has.
func (m *machine) feed(read []byte) {
	b := m.s.bufs.exactly(len(read))
	b.w += copy(b.free(), read)
	m.flows[program].forget(&m.s.bufs)
	m.flows[program] = flow{kept: b, cur: b}
}

// addrPort returns the address of a TCP connection's end; invalid for others.
func addrPort(a net.Addr) netip.AddrPort {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return netip.AddrPort{}
	}
	ap := tcp.AddrPort()
	return netip.AddrPortFrom(ap.Addr().Unmap(), ap.Port())
}
