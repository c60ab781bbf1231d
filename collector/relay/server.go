package relay

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"
	"syscall"
	"time"
)

// reclaimTime is how long a connection that makes room may take to close.
const reclaimTime = 100 * time.Millisecond

// killTime is how long Shutdown waits for exchanges it has given up.
const killTime = time.Second

// Timeouts limit how long the relay waits. They are meant to close dead
// connections: each should be longer than the program's own timeout. 0 is no limit.
type Timeouts struct {
	ReadHead     time.Duration // from the first byte of a request to the end of its head
	MakeRoom     time.Duration // for a head or a TLS handshake; then its connection is closed if another one needs room
	ClientIdle   time.Duration // for the next request of a connection
	Dial         time.Duration // to connect to the upstream
	TLSHandshake time.Duration // with the upstream, and with the program
	Response     time.Duration // for the upstream to begin its response, or to go on with it
	Stall        time.Duration // for either side to take, or the program to send, more of a body
	Unframed     time.Duration // for the upstream to go on with bytes of which the end cannot be recognised
	Linger       time.Duration // for a program to take the response that it got while still sending
}

// DefaultTimeouts returns timeouts that are longer than those of the known SDKs.
func DefaultTimeouts() Timeouts {
	return Timeouts{
		ReadHead:     time.Minute,
		MakeRoom:     time.Second,
		ClientIdle:   10 * time.Minute,
		Dial:         time.Minute,
		TLSHandshake: 30 * time.Second,
		Response:     15 * time.Minute,
		Stall:        10 * time.Minute,
		Unframed:     time.Minute,
		Linger:       2 * time.Second,
	}
}

// Config is the configuration of a Server.
type Config struct {
	Timeouts     Timeouts
	MaxHeadBytes int // of the head of a request; that of a response may have four times as many
	// InspectBytes is how much of a body an Exchange shows.
	InspectBytes int
	// TailBytes is how much it shows of the end of a longer one.
	TailBytes int
	// BufferBytes limits the memory of all buffers: beyond it, bodies pass
	// without being kept for inspection. 0 is no limit.
	BufferBytes int64
	// QueueBytes is the memory that the system's queues of all connections should take,
	// besides 32 KiB for each. The more of it those that there are have, the shorter are
	// the queues of new ones. 0 is no limit.
	QueueBytes int64
	// MaxConnections limits the connections of programs. At the limit, the
	// connection that has been idle for longest is closed for a new one; if none is
	// idle, the new one is refused. 0 is no limit.
	MaxConnections int
	// MaxTurnedAway limits how many refused connections are answered at the same
	// time; others are closed without a response. 0 is 32.
	MaxTurnedAway int
	// Loops is the number of threads that drive connections, on systems that have
	// loops; 0 is GOMAXPROCS, and a negative number is none. Each may occupy
	// a processor of the scheduler while it waits, except the last one, so GOMAXPROCS
	// should be larger by that number.
	Loops int
	// Guard recognises connections to upstreams that are redirected back to us
	// (Intake.Destination). If nil, none is.
	Guard Guard
}

// call is a system call that fails when something runs out.
type call uint8

const (
	callDuplicate  call = iota // of a connection, for a loop
	callWatch                  // by a loop
	callConnection             // of a loop's socket
)

func (s *Server) injected(at call) error {
	if s.inject == nil {
		return nil
	}
	return s.inject(at)
}

// Guard compares redirected connections of programs with connections to upstreams.
// A connection is identified by its source address and the destination it was made
// to. Guard must be safe for concurrent use and must not block.
type Guard interface {
	// Accepted announces a connection of a program. An error means that it is one of
	// our own, which is closed. Left follows in either case.
	Accepted(from, to netip.AddrPort) error
	Left(from, to netip.AddrPort)
	// Connected announces a connection to an upstream. An error means that it came
	// back to us; the exchange is then refused because of that error. Otherwise
	// Closed follows.
	Connected(from, to netip.AddrPort) error
	Closed(from, to netip.AddrPort)
}

// noGuard is the Guard of a server that has none.
type noGuard struct{}

// Accepted implements Guard.
func (noGuard) Accepted(_, _ netip.AddrPort) error { return nil }

// Left implements Guard.
func (noGuard) Left(_, _ netip.AddrPort) {}

// Connected implements Guard.
func (noGuard) Connected(_, _ netip.AddrPort) error { return nil }

// Closed implements Guard.
func (noGuard) Closed(_, _ netip.AddrPort) {}

// Server relays. It is safe for concurrent use.
type Server struct {
	cfg       Config
	bufs      buffers
	exchanges sync.Pool
	counters  counters
	idle      idlePairs
	draining  atomic.Bool

	ctx  context.Context // ends when running exchanges are to be given up
	stop context.CancelFunc
	wg   sync.WaitGroup // one for each connection

	mu        sync.Mutex // protects the fields below
	listeners map[net.Listener]struct{}
	pairs     map[*pair]struct{}
	queues    queues
	served    bool // connections may have come

	turned chan struct{} // one for each connection that is being turned away

	driving []*loop          // set before the first connection
	inject  func(call) error // for tests, the error of a call that is to fail; usually nil
	sniff   time.Duration    // sniffTime, unless a test sets it
	silence time.Duration    // silenceTime, likewise
	pause   time.Duration    // pauseTime, likewise
	turn    atomic.Uint32
	loops   sync.WaitGroup
}

type counters struct {
	openUpstreams               atomic.Int64
	accepted, panics, dials     atomic.Int64
	refused, reclaimed          atomic.Int64
	unsecured                   atomic.Int64
	tunnels, openTunnels        atomic.Int64
	requestBytes, responseBytes atomic.Int64
}

// Stats is a snapshot of a server's counters.
type Stats struct {
	OpenClients   int64 // connections of programs
	OpenUpstreams int64 // connections to servers
	Accepted      int64 // connections, ever
	Refused       int64 // of them, those beyond the limit
	Reclaimed     int64 // closed while they waited, to make room for others
	BufferBytes   int64 // in use
	Dials         int64 // connections tried to servers, ever
	RequestBytes  int64 // read from programs
	ResponseBytes int64 // written to programs
	Tunnels       int64 // CONNECTs passed on unseen, ever
	OpenTunnels   int64
	Unsecured     int64 // connections whose TLS with us, in our own name, failed
	Panics        int64 // recovered
}

// New returns a server.
func New(cfg Config) *Server {
	if cfg.Guard == nil {
		cfg.Guard = noGuard{}
	}
	s := &Server{
		cfg:       cfg,
		listeners: make(map[net.Listener]struct{}),
		pairs:     make(map[*pair]struct{}),
		queues:    queues{memory: cfg.QueueBytes},
		turned:    make(chan struct{}, cmp.Or(cfg.MaxTurnedAway, 32)),
		sniff:     sniffTime,
		silence:   silenceTime,
		pause:     pauseTime,
	}
	s.ctx, s.stop = context.WithCancel(context.Background())
	s.bufs.init(cfg.MaxHeadBytes, cfg.InspectBytes, cfg.TailBytes, cfg.BufferBytes)
	s.exchanges.New = func() any {
		return &Exchange{limit: cfg.InspectBytes}
	}
	return s
}

// Intake is how the connections of a listener are taken.
type Intake struct {
	// NewHandler makes the handler of one connection.
	NewHandler func(client netip.AddrPort) Handler
	// Busy is the response to a connection beyond the limit, unless it would be in
	// TLS; none is sent if it is empty.
	Busy []byte
	// Hello is for connections that begin with TLS. Each is served as if the
	// client had first sent a CONNECT to port 443 of the server it names; one
	// that names none is closed.
	Hello bool
	// TLS, if not nil, is the configuration of TLS with clients, in our own name.
	TLS *tls.Config
	// Destination, if not nil, returns the original destination of a redirected
	// connection. Such a connection may carry anything: what is neither TLS nor a
	// request for a host that is served is tunnelled, as by a CONNECT to the
	// destination. On an error the connection is reset; so is one of our own.
	Destination func(nc net.Conn) (netip.AddrPort, error)
	Serves      func(host []byte) bool // with Destination
}

// Serve takes connections from ln until Shutdown, when it returns nil. It
// closes ln.
func (s *Server) Serve(ln net.Listener, in Intake) error {
	defer ln.Close()
	if !s.track(ln) {
		return nil
	}
	defer s.untrack(ln)
	for pause := time.Duration(0); ; {
		nc, err := ln.Accept()
		switch {
		case err == nil:
			pause = 0
			s.handle(nc, &in)
		case s.draining.Load():
			return nil
		case errors.Is(err, net.ErrClosed):
			return err
		case isExhausted(err) && s.Reclaim():
		default:
			pause = min(max(2*pause, 5*time.Millisecond), time.Second)
			select {
			case <-time.After(pause):
			case <-s.ctx.Done():
				return nil
			}
		}
	}
}

func (s *Server) track(ln net.Listener) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.draining.Load() {
		return false
	}
	s.listeners[ln] = struct{}{}
	if !s.served && s.cfg.Loops >= 0 {
		s.driving = newLoops(s)
	}
	s.served = true
	return true
}

func (s *Server) untrack(ln net.Listener) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.listeners, ln)
}

func (s *Server) handle(nc net.Conn, in *Intake) {
	s.counters.accepted.Add(1)
	p := newPair(s, nc, in)
	for {
		switch s.admit(p) {
		case admitted:
			p.start()
			return
		case stopped:
			s.freeQueues(p)
			nc.Close()
			return
		case atLimit:
			if !s.Reclaim() {
				s.counters.refused.Add(1)
				s.freeQueues(p)
				s.turnAway(nc, in)
				return
			}
		}
	}
}

// allotQueues returns the length of the queues of a new pair, in bytes.
func (s *Server) allotQueues() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.queues.allot()
}

// freeQueues takes back what a pair was allotted that is not admitted.
func (s *Server) freeQueues(p *pair) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.queues.free(p.queue)
}

// admission is what comes of a new connection.
type admission uint8

const (
	admitted admission = iota
	atLimit
	stopped
)

func (s *Server) admit(p *pair) admission {
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case s.draining.Load():
		return stopped
	case s.cfg.MaxConnections > 0 && len(s.pairs) >= s.cfg.MaxConnections:
		return atLimit
	}
	s.pairs[p] = struct{}{}
	s.wg.Add(1)
	return admitted
}

// Reclaim closes the connection that has waited longest for a request, which may have
// begun. It reports false if none waits.
func (s *Server) Reclaim() bool {
	longest := s.idle.take(time.Now())
	if longest == nil {
		return false
	}
	s.mu.Lock()
	if _, open := s.pairs[longest]; !open { // it made room by itself
		s.mu.Unlock()
		return true
	}
	if longest.gone == nil {
		longest.gone = make(chan struct{})
	}
	gone := longest.gone
	s.mu.Unlock()
	longest.yield()
	select {
	case <-gone:
	case <-time.After(reclaimTime): // it has gone on to another request
	}
	return true
}

// turnAway answers a connection beyond the limit and closes it. What was sent on
// it is read first, because closing with unread bytes would lose the response, but
// only for a few connections at a time.
func (s *Server) turnAway(nc net.Conn, in *Intake) {
	select {
	case s.turned <- struct{}{}:
	default:
		nc.Close()
		return
	}
	go func() {
		defer func() { <-s.turned }()
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(s.cfg.Timeouts.Linger)) //nolint:errcheck // a closed connection shows on writing
		if in.TLS != nil || in.Hello || in.Destination != nil || len(in.Busy) == 0 {
			return
		}
		if _, err := nc.Write(in.Busy); err != nil {
			return
		}
		if c, ok := nc.(interface{ CloseWrite() error }); ok {
			c.CloseWrite() //nolint:errcheck // likewise
		}
		io.Copy(io.Discard, nc) //nolint:errcheck // until it ends, or the deadline
	}()
}

// isExhausted reports whether err means that no file descriptors are left.
func isExhausted(err error) bool {
	return errors.Is(err, syscall.EMFILE) || errors.Is(err, syscall.ENFILE)
}

// forget forgets a pair that has ended. More than once does no harm.
func (s *Server) forget(p *pair) {
	s.idle.remove(p)
	s.mu.Lock()
	defer s.mu.Unlock()
	if _, open := s.pairs[p]; !open {
		return
	}
	delete(s.pairs, p)
	s.queues.free(p.queue)
	if p.gone != nil {
		close(p.gone)
	}
	s.wg.Done()
}

// each calls f with every pair, without holding up those that come and go.
func (s *Server) each(f func(*pair)) {
	s.mu.Lock()
	pairs := slices.Collect(maps.Keys(s.pairs))
	s.mu.Unlock()
	for _, p := range pairs {
		f(p)
	}
}

// Shutdown stops accepting, closes idle connections and lets running exchanges
// finish. Those still running when ctx ends are reset, and ctx's error is
// returned. It may be called more than once.
func (s *Server) Shutdown(ctx context.Context) error {
	s.mu.Lock()
	s.draining.Store(true)
	for ln := range s.listeners {
		ln.Close()
	}
	s.mu.Unlock()
	s.each((*pair).drain)

	done := make(chan struct{})
	go func() {
		s.wg.Wait()
		s.mu.Lock()
		for _, l := range s.driving {
			l.stop()
		}
		s.driving = nil
		s.mu.Unlock()
		s.loops.Wait()
		close(done)
	}()
	defer s.stop()
	select {
	case <-done:
		return nil
	case <-ctx.Done():
	}
	s.each((*pair).kill)
	select {
	case <-done:
	case <-time.After(killTime): // a handler that blocks must not block us
	}
	return ctx.Err()
}

// Stats returns the counters as they are.
func (s *Server) Stats() Stats {
	s.mu.Lock()
	clients := int64(len(s.pairs))
	s.mu.Unlock()
	c := &s.counters
	return Stats{
		OpenClients:   clients,
		OpenUpstreams: c.openUpstreams.Load(),
		Accepted:      c.accepted.Load(),
		Refused:       c.refused.Load(),
		Reclaimed:     c.reclaimed.Load(),
		BufferBytes:   s.bufs.inUse.Load(),
		Dials:         c.dials.Load(),
		RequestBytes:  c.requestBytes.Load(),
		ResponseBytes: c.responseBytes.Load(),
		Tunnels:       c.tunnels.Load(),
		OpenTunnels:   c.openTunnels.Load(),
		Unsecured:     c.unsecured.Load(),
		Panics:        c.panics.Load(),
	}
}
