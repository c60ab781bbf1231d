package relay

import (
	"bytes"
	"flag"
	"fmt"
	"runtime"
	"slices"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

var (
	simulateExchanges = flag.Int("simulate.exchanges", 10_000, "exchanges that TestSimulate runs")
	simulateFrom      = flag.Uint64("simulate.from", 1, "first seed that TestSimulate runs")
	simulateSeed      = flag.Uint64("simulate.seed", 0, "run this seed of TestSimulate alone, with a trace; 0 runs all")
)

// TestSimulate drives machines without sockets, goroutines and clock through
// generated exchanges. A failure prints the seed that repeats it:
//
//	go test ./collector/relay -run TestSimulate -simulate.seed N
func TestSimulate(t *testing.T) {
	if seed := *simulateSeed; seed != 0 {
		s := newSim(seed, newSimServers())
		s.trace = t.Logf
		require.NoError(t, s.run())
		return
	}
	var exchanges, seeds atomic.Int64
	var ends [EndStopped + 1]atomic.Int64
	var replaced atomic.Int64
	var wg sync.WaitGroup
	for range runtime.GOMAXPROCS(0) {
		wg.Go(func() {
			servers := newSimServers()
			for exchanges.Load() < int64(*simulateExchanges) && !t.Failed() {
				seed := *simulateFrom + uint64(seeds.Add(1)) - 1
				s := newSim(seed, servers)
				if err := s.run(); err != nil {
					t.Errorf("seed %d: %v", seed, err)
				}
				replaced.Add(int64(s.replaced))
				for end, n := range s.ends {
					exchanges.Add(int64(n))
					ends[end].Add(int64(n))
				}
			}
		})
	}
	wg.Wait()
	counts := map[End]int64{}
	for end := range ends {
		if counts[End(end)] = ends[end].Load(); counts[End(end)] == 0 && !t.Failed() && *simulateExchanges >= 10_000 {
			t.Errorf("no exchange ended as %d", end)
		}
	}
	if replaced.Load() == 0 && !t.Failed() && *simulateExchanges >= 10_000 {
		t.Error("no request came to an upstream connection that had ended")
	}
	t.Logf("%d exchanges on %d connections (seeds from %d), by end: %v; %d connections had ended when a request came", exchanges.Load(), seeds.Load(), *simulateFrom, counts, replaced.Load())
}

// simHeadBytes is the limit of a request's head.
const simHeadBytes = 64 << 10

// newSimServers makes servers of different limits. They do not serve: they lend
// machines their memory and limits.
func newSimServers() []*Server {
	var servers []*Server
	for i, c := range []struct {
		inspect, tail int
		limit         int64
		pause         time.Duration
	}{{64 << 10, 16 << 10, 0, 0}, {1 << 10, 512, 0, time.Hour}, {64 << 10, 16 << 10, 1, time.Minute}, {0, 0, 0, 0}} {
		servers = append(servers, New(Config{
			Timeouts: DefaultTimeouts(), MaxHeadBytes: simHeadBytes,
			InspectBytes: c.inspect, TailBytes: c.tail, BufferBytes: c.limit,
		}))
		servers[i].pause = c.pause
	}
	return servers
}

// kind is what may happen in a simulation.
type simKind uint8

const (
	simClean simKind = iota // every exchange is legal and ends well
	simOdd                  // one may close the connection, by what it is
	simWild                 // anything happens at any time
)

// simState is what a handler may expect next.
type simState uint8

const (
	simNone simState = iota
	simRouted
	simDialed
	simSending
	simSent
	simRefused
)

// simPeer is what one side of a machine sends and takes.
type simPeer struct {
	out   []byte    // sent, and not read yet
	fin   reception // what comes behind out
	stuck bool      // it takes nothing

	arrived int // bytes that a loop read, and the machine does not know of

	// A blocking call that did not return yet.
	reading []byte
	writing []byte
	before  []byte // copy of writing
}

// simConn is an upstream connection.
type simConn struct {
	simPeer
	key    Key
	want   []byte // what is to be sent on it
	got    int    // how much of it was
	turns  []simTurn
	read   []byte // what the machine read of it
	passed int    // how much of that went to the program
	blanks []int  // where in what was sent heads may get a field added
	sent   int
	ended  bool // it got FIN
	added  int  // how much of a field that is added to a head was sent
}

// simTurn is a request on a connection.
type simTurn struct {
	p        *plan
	start    int // where in want it begins
	answered int // how much of its response was sent
}

// sim is a simulation of one pair.
type sim struct {
	g        generator
	kind     simKind
	blocking bool
	srv      *Server
	m        machine
	now      time.Time
	trace    func(format string, args ...any)
	err      error

	script []*plan
	waits  []bool // whether the program waits for the response before the request
	stream string // of all requests
	starts []int  // where in it they begin
	sent   int    // how much of it was sent
	at     int    // requests begun
	dones  int
	cur    *plan
	last   bool // after cur the connection must end
	state  simState
	ends   [EndStopped + 1]int

	prog    simPeer
	conn    *simConn
	dialing bool
	cancels bool
	own     []byte // the response of our own that is due
	toldOwn bool   // 100 Continue went out
	zombies []simZombie

	written   int64 // to the program, in this exchange
	passedAt  int   // of conn, when this exchange was sent
	expired   bool  // in this exchange
	killed    bool
	drained   bool
	held      bool // a body was held, and what it was held in may be kept
	roomy     bool // there is memory for everything, as a response has a long head
	tooLong   bool // a response has a head that is too long
	progEnded bool
	progGot   int
	upGone    reception // how the upstream of this exchange ended
	replaced  int       // upstream connections that had ended when a request came
}

// simZombie is memory of a call that has not returned when the machine was done
// with its connection.
type simZombie struct{ reading, writing, before []byte }

func newSim(seed uint64, servers []*Server) *sim {
	g := newGenerator(seed)
	s := &sim{g: g, srv: pick(g, servers), now: time.Unix(1_800_000_000, 0)}
	s.kind = pick(g, []simKind{simClean, simClean, simOdd, simWild, simWild})
	s.blocking = g.chance(50)
	s.srv.draining.Store(false)
	s.m.s, s.m.h, s.m.at = s.srv, s, s
	s.m.now, s.m.since = s.now, s.now
	special := -1
	n := 1 + g.IntN(8)
	if s.kind == simOdd {
		special = g.IntN(n)
	}
	hosts := 1
	if g.chance(20) {
		hosts = 3
	}
	for i := range n {
		p := s.plan(i == special || s.kind == simWild && g.chance(20), i == special)
		p.route.Key = Key{Host: fmt.Sprint("h", g.IntN(hosts)), Port: 80}
		s.script = append(s.script, p)
		s.waits = append(s.waits, g.chance(40))
		s.starts = append(s.starts, len(s.stream))
		s.stream += p.raw
	}
	if g.chance(5) {
		s.conn = &simConn{key: s.script[0].route.Key}
		s.m.conn = connEarly
	}
	return s
}

// plan makes an exchange. special is whether it may be one that ends the
// connection; must, whether it has to be.
func (s *sim) plan(special, must bool) *plan {
	g := s.g
	p := g.request()
	if special {
		switch g.IntN(9) {
		case 0, 1:
			return g.malformed()
		case 2:
			p.routeErr = errTest
			p.status = 400
		case 3:
			p.dialErr = true
		case 4:
			host := "h:443"
			p = &plan{method: "CONNECT", connect: true, raw: "CONNECT " + host + " HTTP/1.1\r\nHost: " + host + "\r\n\r\n"}
		default:
			must = true
		}
	}
	if p.connect {
		return p
	}
	if g.chance(8) && p.route.Proxied == nil {
		p.held = true
		p.rewrite = fmt.Sprintf("POST /new HTTP/1.1\r\nHost: new\r\nContent-Length: %d\r\n\r\n%s", len(p.body), p.body)
		p.want, p.head, p.early, p.closes = p.rewrite, len(p.rewrite)-len(p.body), 0, false
		p.method = "POST"
		if special && g.chance(30) {
			p.rewrite, p.routeErr = "", errTest
		}
	}
	g.responseTo(p, special && must)
	if s.kind == simWild && special && g.chance(20) && !p.response.untilClose {
		p.response.excess = "excess"
	}
	return p
}

func (s *sim) logf(format string, args ...any) {
	if s.trace != nil {
		s.trace(format, args...)
	}
}

func (s *sim) fail(format string, args ...any) bool {
	if s.err == nil {
		s.err = fmt.Errorf(format+"\n%s", append(args, s.where())...)
		s.logf("FAILED: %v", s.err)
	}
	return false
}

func (s *sim) where() string {
	m := &s.m
	up := "none"
	if c := s.conn; c != nil {
		up = fmt.Sprintf("end %d, %d to be read, %d of %d taken, %d turns, stuck %v", c.fin, len(c.out), c.got, len(c.want), len(c.turns), c.stuck)
		if n := len(c.turns); n > 0 {
			up += fmt.Sprintf(", %d of %.60q answered", c.turns[n-1].answered, c.turns[n-1].p.response.raw)
		}
	}
	return fmt.Sprintf("program: end %d, %d to be read, %d to be sent, stuck %v; upstream: %s\n",
		s.prog.fin, len(s.prog.out), len(s.stream)-s.sent, s.prog.stuck, up) + fmt.Sprintf("kind %d, blocking %v, stage %d, request %d, response %d, got %v, %d of %d requests begun, %d done, state %d",
		s.kind, s.blocking, m.stage, m.request, m.response, m.got, s.at, len(s.script), s.dones, s.state)
}

// run plays the simulation to its end.
func (s *sim) run() (err error) {
	defer func() {
		if v := recover(); v != nil {
			stack := make([]byte, 8<<10)
			err = fmt.Errorf("panic: %v\n%s\n%s", v, s.where(), stack[:runtime.Stack(stack, false)])
		}
		s.srv.bufs.limit = s.srv.cfg.BufferBytes
		if err != nil {
			s.srv.bufs.inUse.Store(0)
		}
	}()
	s.roomy = slices.ContainsFunc(s.script, func(p *plan) bool { return isLong(p.response.raw) })
	s.tooLong = slices.ContainsFunc(s.script, func(p *plan) bool { return p.response.tooLong })
	if s.roomy {
		s.srv.bufs.limit = 0
	}
	s.m.advance()
	s.check()
	for rounds := 0; !s.m.over() && s.err == nil; rounds++ {
		s.play()
		if s.m.over() || s.err != nil {
			break
		}
		if s.kind != simWild && !s.finishClean() {
			break
		}
		if s.kind == simWild {
			s.leave(rounds)
		}
		if rounds > 100 {
			s.fail("there is no way out")
		}
	}
	s.atEnd()
	return s.err
}

// play does what can be done without the clock, in a random order, until nothing
// more can be.
func (s *sim) play() {
	moves := []func() bool{
		s.programSends, s.upstreamAnswers, s.dials,
		func() bool { return s.read(program) }, func() bool { return s.read(upstream) },
		func() bool { return s.write(program) }, func() bool { return s.write(upstream) },
	}
	for idle := 0; !s.m.over() && s.err == nil; {
		if s.kind == simWild && s.g.IntN(150) == 0 {
			s.misfortune()
			s.settle()
			continue
		}
		moved := false
		if idle < 10 {
			moved = pick(s.g, moves)()
		} else {
			for _, move := range moves {
				moved = move() || moved
				s.settle()
			}
			if !moved {
				return
			}
		}
		if s.kind == simWild && !s.blocking && s.m.effects != 0 && s.g.chance(10) {
			// A loop serves others before it carries the effects out.
			if s.g.chance(50) {
				s.kill()
			} else {
				s.endProgram()
			}
		}
		if s.settle(); moved {
			idle = 0
		} else {
			idle++
		}
	}
}

// finishClean is what is left once all that was to happen has happened. It
// reports whether there is more to come.
func (s *sim) finishClean() bool {
	if s.state != simNone {
		return s.fail("the exchange does not go on")
	}
	if s.sent < len(s.stream) && s.m.stage != stageLinger {
		return s.fail("the program's next request is not wanted")
	}
	if s.m.stage == stageLinger || s.prog.fin != receiving {
		if s.prog.fin == receiving {
			s.prog.fin = receivedEnd
			return true
		}
		return s.fail("the pair does not end")
	}
	if s.conn != nil && s.conn.fin == receiving && s.g.chance(50) {
		s.conn.fin = pick(s.g, []reception{receivedEnd, receivedCut, receivedReset})
	} else {
		s.prog.fin = pick(s.g, []reception{receivedEnd, receivedCut, receivedReset})
	}
	return true
}

// leave takes a way out of any state: an end, or time.
func (s *sim) leave(rounds int) {
	switch n := s.g.IntN(4); {
	case rounds > 40:
		s.passTime(true)
	case n == 0 && s.prog.fin == receiving:
		s.endProgram()
	case n == 1 && s.conn != nil && s.conn.fin == receiving:
		s.endUpstream()
	case n == 2:
		s.prog.stuck = false
		if s.conn != nil {
			s.conn.stuck = false
		}
	default:
		s.passTime(true)
	}
	s.settle()
	if s.prog.fin != receiving && s.conn != nil && s.conn.fin != receiving && !s.prog.stuck && !s.conn.stuck && !s.dialing {
		s.play()
		if !s.m.over() && s.err == nil && s.prog.fin != receiving && (s.conn == nil || s.conn.fin != receiving) && !s.prog.stuck && !s.dialing {
			// Ended on both sides, and nothing waits for a peer.
			if s.conn == nil || !s.conn.stuck {
				s.fail("both sides have ended, but not the pair")
			}
		}
	}
}

// check checks the invariants of the machine's state.
func (s *sim) check() {
	m := &s.m
	if m.over() || s.err != nil {
		return
	}
	if at, limited := m.deadline(); m.stage != stageDial && m.stage != stageConnect && (!limited || at.IsZero()) {
		s.fail("stage %d has no deadline", m.stage)
	}
	if s.drained && (m.stage == stageIdle || m.stage == stageHead) {
		s.fail("the server drains, and the pair waits for a request")
	}
	for from := program; from <= upstream; from++ {
		f := &m.flows[from]
		if m.wants(from) && m.stage != stageLinger && len(f.pending()) > 0 {
			s.fail("side %d is read before what came is taken", from)
		}
		if m.wants(from) && m.got[from] != receiving {
			s.fail("side %d is read after its end", from)
		}
		if m.wants(from) && (m.stage == stageConnect || m.stage == stageLast || from == upstream && m.conn == connNone) {
			s.fail("side %d is read in stage %d, where nothing of it is wanted", from, m.stage)
		}
		if f.reading != nil && f.reading != f.cur {
			s.fail("side %d: a read is under way into memory that was given back", from)
		}
		if from == program && f.reading != nil && f.hasUnread() && m.stage != stageHead && m.stage != stageHold && m.stage != stageDial && m.stage != stageUnasked {
			s.fail("the program is read though what it sent waits")
		}
		if f.spill != nil && f.cur != f.spill {
			s.fail("side %d has memory that it does not use", from)
		}
		if f.cur != nil && f.cur != f.kept && f.cur != f.spill {
			s.fail("side %d reads into a buffer that it does not have", from)
		}
	}
	bufs := &s.srv.bufs
	// For each direction what is kept and what spills, our own response, the tail,
	// and a body that is held.
	limit := int64(5*bufs.largeSize + bufs.tailSize)
	if s.held {
		limit += int64(4 * maxHeld)
	}
	if s.roomy || s.tooLong {
		limit += int64(longHeads * bufs.largeSize)
	}
	if n := bufs.inUse.Load(); n > limit || n < 0 {
		s.fail("%d bytes in use", n)
	}
}

// atEnd checks what must be true when all is over.
func (s *sim) atEnd() {
	if s.err != nil {
		return
	}
	m := &s.m
	s.logf("over: bye %v", m.bye)
	// Calls that did not return yet do so.
	for of := program; of <= upstream; of++ {
		p := s.peer(of)
		if p == nil {
			continue
		}
		if p.writing != nil && !bytes.Equal(p.writing, p.before) {
			s.fail("memory that is being written was changed")
		}
		if p.reading != nil {
			p.reading[0] = '?'
			m.received(of, 1, s.now)
			m.ended(of, receivedReset, s.now)
		}
	}
	s.scribble()
	switch {
	case s.err != nil:
	case m.x != nil:
		s.fail("the exchange was not given back")
	case s.state != simNone && (s.state != simRouted || !s.cur.held):
		s.fail("the handler waits for the end of an exchange")
	case s.srv.bufs.inUse.Load() != 0:
		s.fail("%d bytes were not given back", s.srv.bufs.inUse.Load())
	case !m.over():
		s.fail("not over")
	}
	if s.err != nil || s.kind == simWild {
		return
	}
	for i, p := range s.script {
		if i >= s.dones {
			s.fail("%d exchanges took place, want at least %d", s.dones, i+1)
			return
		}
		if p.ending() {
			return
		}
	}
}

// ending reports whether a connection may end by what this exchange is.
func (p *plan) ending() bool {
	return p.denied || p.closes || p.status != 0 || p.broken || p.dialErr || p.routeErr != nil || p.connect ||
		p.response.kind != legal || p.response.untilClose || p.response.excess != ""
}

// mustEnd reports whether a connection has to end after this exchange, which ended in
// that way. unasked is whether the upstream may have sent something else than its
// response.
func (p *plan) mustEnd(end End, unasked bool) bool {
	switch end {
	case EndRefused:
		return p.connect || p.broken || p.status != 0 && p.routeErr == nil
	case EndComplete:
		return p.closes || !unasked && (p.response.kind == odd || p.response.untilClose)
	}
	return true
}

// The methods of sockets.

func (s *sim) broken() bool { return s.prog.fin == receivedReset }
func (s *sim) unread() bool { return len(s.prog.out) > 0 || s.prog.arrived > 0 }

// The methods of Handler.
