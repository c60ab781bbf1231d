package relay

import (
	"bytes"
	"context"
	"errors"
	"flag"
	"fmt"
	"net"
	"net/netip"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

var (
	simulateExchanges = flag.Int("simulate.exchanges", 5_000, "exchanges that TestSimulate runs")
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
		if err := s.run(); err != nil {
			t.Fatal(err)
		}
		return
	}
	var exchanges, seeds atomic.Int64
	var ends [EndStopped + 1]atomic.Int64
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
	t.Logf("%d exchanges on %d connections (seeds from %d), by end: %v", exchanges.Load(), seeds.Load(), *simulateFrom, counts)
}

// newSimServers makes servers of different limits. They do not serve: they lend
// machines their memory and limits.
func newSimServers() []*Server {
	var servers []*Server
	for _, c := range []struct {
		inspect, tail int
		limit         int64
	}{{64 << 10, 16 << 10, 0}, {1 << 10, 512, 0}, {64 << 10, 16 << 10, 1}, {0, 0, 0}} {
		servers = append(servers, New(Config{
			Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10,
			InspectBytes: c.inspect, TailBytes: c.tail, BufferBytes: c.limit,
		}))
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
	simRefused
)

// simPeer is what one side of a machine sends and takes.
type simPeer struct {
	out   []byte    // sent, and not read yet
	fin   reception // what comes behind out
	stuck bool      // it takes nothing

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
	answered int // how much of its answer was sent
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
	waits  []bool // whether the program waits for the answer before the request
	stream string // of all requests
	starts []int  // where in it they begin
	sent   int    // how much of it was sent
	at     int    // requests begun
	dones  int
	cur    *plan
	state  simState
	ends   [EndStopped + 1]int

	prog    simPeer
	conn    *simConn
	dialing bool
	cancels bool
	own     []byte // what we are to answer ourselves
	toldOwn bool   // 100 Continue went out
	zombies []simZombie

	written   int64 // to the program, in this exchange
	passedAt  int   // of conn, when this exchange was sent
	expired   bool  // in this exchange
	killed    bool
	drained   bool
	held      bool // a body was held, and what it was held in may be kept
	progEnded bool
	progGot   int
	upGone    reception // how the upstream of this exchange ended
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
		s.m.connected, s.m.early = true, true
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
	g.answerTo(p, special && must)
	if s.kind == simWild && special && g.chance(20) && !p.answer.untilClose {
		p.answer.excess = "excess"
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
			up += fmt.Sprintf(", %d of %.60q answered", c.turns[n-1].answered, c.turns[n-1].p.answer.raw)
		}
	}
	return fmt.Sprintf("program: end %d, %d to be read, %d to be sent, stuck %v; upstream: %s\n",
		s.prog.fin, len(s.prog.out), len(s.stream)-s.sent, s.prog.stuck, up) + fmt.Sprintf("kind %d, blocking %v, stage %d, request %d, answer %d, got %v, %d of %d requests begun, %d done, state %d",
		s.kind, s.blocking, m.stage, m.request, m.answer, m.got, s.at, len(s.script), s.dones, s.state)
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

// misfortune has something happen that no side has planned.
func (s *sim) misfortune() {
	switch s.g.IntN(12) {
	case 0:
		s.endProgram()
	case 1, 2:
		s.endUpstream()
	case 3:
		s.prog.stuck = !s.prog.stuck
	case 4:
		if s.conn != nil {
			s.conn.stuck = !s.conn.stuck
		}
	case 5:
		s.passTime(false)
	case 6:
		s.passTime(true)
	case 7:
		if s.g.chance(30) {
			s.logf("kill")
			s.killed = true
			s.m.kill(s.now)
		}
	case 8:
		if s.g.chance(50) && !s.drained {
			s.logf("drain")
			s.drained = true
			s.srv.draining.Store(true)
			s.m.drain(s.now)
		}
	case 9:
		s.logf("memory limit")
		s.srv.bufs.limit = int64(s.g.IntN(2))
	case 10:
		if s.conn != nil && s.conn.fin == receiving && s.g.chance(30) {
			s.logf("unasked bytes")
			for i, at := range s.conn.blanks {
				if at >= s.conn.sent { // it comes within an answer
					s.conn.blanks[i] += len("unasked")
				}
			}
			s.conn.send("unasked")
		}
	case 11:
		s.scribble()
	}
}

var junk = bytes.Repeat([]byte("!"), 2*largeBuffer)

// scribble writes over the memory that the machine has given back.
func (s *sim) scribble() {
	bufs := &s.srv.bufs
	free := []*buffer{bufs.getSmall(), bufs.getSmall(), bufs.getSmall(), bufs.getLarge(), bufs.getLarge(), bufs.getLarge(), bufs.getTail()}
	for i, b := range free {
		if slices.Contains(free[:i], b) {
			s.fail("memory was given back twice")
			return
		}
	}
	for _, b := range free {
		copy(b.b, junk)
		bufs.put(b)
	}
	for _, z := range s.zombies {
		copy(z.reading, junk)
		if z.writing != nil && !bytes.Equal(z.writing, z.before) {
			s.fail("memory that is being written was changed")
		}
	}
}

func (s *sim) endProgram() {
	if s.prog.fin != receiving {
		return
	}
	s.prog.fin = pick(s.g, []reception{receivedEnd, receivedCut, receivedReset, receivedReset})
	s.logf("the program ends: %d", s.prog.fin)
	s.sent = len(s.stream)
	if s.prog.fin == receivedReset {
		s.prog.out, s.prog.stuck = nil, false
		if !s.blocking {
			s.progEnded = true
			s.m.ended(program, receivedReset, s.now) // as the system reports an error
		}
	}
}

func (s *sim) endUpstream() {
	if s.conn == nil || s.conn.fin != receiving {
		return
	}
	s.conn.fin = pick(s.g, []reception{receivedEnd, receivedCut, receivedReset})
	s.logf("the upstream ends: %d", s.conn.fin)
	if s.conn.fin == receivedReset {
		s.conn.stuck = false
		if s.g.chance(50) {
			s.conn.out = nil
		}
	}
}

// passTime moves the clock: past the deadline, or by less.
func (s *sim) passTime(far bool) {
	at, limited := s.m.deadline()
	switch {
	case s.dialing && far:
		s.dialEnds(errors.New("timeout"))
		return
	case !limited:
		return
	case !far:
		s.now = s.now.Add(at.Sub(s.now) / 2)
		return
	}
	s.now = at
	s.logf("expired in stage %d", s.m.stage)
	s.expired = true
	s.m.expired(s.now)
}

// programSends has the program send more, as far as it does not wait for an
// answer.
func (s *sim) programSends() bool {
	limit := len(s.stream)
	for i := s.dones + 1; i < len(s.script); i++ {
		if s.waits[i] {
			limit = s.starts[i]
			break
		}
	}
	if s.prog.fin != receiving || s.sent >= limit {
		return false
	}
	n := s.some(limit - s.sent)
	s.prog.out = append(s.prog.out, s.stream[s.sent:s.sent+n]...)
	s.sent += n
	return true
}

// some returns a number from 1 to n: often one of the two, or close to it.
func (s *sim) some(n int) int {
	switch s.g.IntN(6) {
	case 0:
		return 1
	case 1:
		return max(1, n-1)
	case 2, 3:
		return n
	}
	return 1 + s.g.IntN(min(n, pick(s.g, []int{10, 1000, 100_000})))
}

func (c *simConn) send(b string) {
	c.out = append(c.out, b...)
	c.sent += len(b)
}

// upstreamAnswers has the upstream answer as much of the first unanswered
// request as it has got.
func (s *sim) upstreamAnswers() bool {
	c := s.conn
	if c == nil || c.fin != receiving {
		return false
	}
	for i := range c.turns {
		t := &c.turns[i]
		a, got := &t.p.answer, c.got-t.start
		if t.answered == len(a.raw) && a.raw != "" {
			continue
		}
		to := 0
		switch {
		case a.raw == "":
			return false
		case t.p.early > 0 && got >= t.p.early, got >= len(t.p.want), c.ended && s.g.chance(20):
			to = len(a.raw)
		case t.p.expects && got >= t.p.head:
			to = a.head
		}
		if to <= t.answered {
			return false
		}
		if t.answered == 0 && a.blank >= 0 {
			c.blanks = append(c.blanks, c.sent+a.blank)
		}
		if s.g.chance(50) { // a slow one
			to = t.answered + s.some(to-t.answered)
		}
		c.send(a.raw[t.answered:to])
		t.answered = to
		if to == len(a.raw) {
			c.send(a.excess)
			if a.untilClose || a.kind == unreadable {
				c.fin = receivedEnd
			}
		}
		return true
	}
	return false
}

func (s *sim) dials() bool {
	if !s.dialing || s.kind == simWild && s.g.chance(50) && !s.cancels {
		return false
	}
	switch {
	case s.cancels:
		s.dialEnds(context.Canceled)
	case s.cur.dialErr, s.kind == simWild && s.g.chance(5):
		s.dialEnds(errors.New("refused"))
	default:
		s.dialEnds(nil)
	}
	return true
}

func (s *sim) dialEnds(err error) {
	s.logf("dial ends: %v", err)
	s.dialing, s.cancels = false, false
	if err != nil {
		s.m.notDialed(err, s.now)
		return
	}
	s.conn = &simConn{key: s.cur.route.Key}
	s.m.dialed(netip.AddrPortFrom(netip.IPv4Unspecified(), 80), s.now)
}

func (s *sim) peer(of side) *simPeer {
	if of == program {
		return &s.prog
	}
	if s.conn == nil {
		return nil
	}
	return &s.conn.simPeer
}

// read has the machine read from a side.
func (s *sim) read(from side) bool {
	p := s.peer(from)
	if p == nil {
		return false
	}
	if p.reading == nil {
		if !s.blocking && len(p.out) == 0 && p.fin == receiving && !s.g.chance(5) {
			return false
		}
		b := s.m.space(from)
		if b == nil {
			return false
		}
		if len(b) == 0 {
			return s.fail("no room to read into")
		}
		for _, at := range []int{0, len(b) / 2, len(b) - 1} {
			b[at] = '#' // a read may write to all of it at any time
		}
		p.reading = b
		if s.blocking {
			s.logf("a read from %d of up to %d", from, len(b))
			return true
		}
	}
	if len(p.out) == 0 && p.fin == receiving {
		if !s.blocking {
			p.reading = nil
			s.m.nothing(from)
		}
		return false
	}
	b := p.reading
	p.reading = nil
	n := 0
	if len(p.out) > 0 {
		n = copy(b, p.out[:s.some(len(p.out))])
		if from == upstream {
			s.conn.read = append(s.conn.read, b[:n]...)
		}
		p.out = p.out[n:]
		s.logf("%d bytes from %d", n, from)
		s.m.received(from, n, s.now)
		if !s.blocking || s.g.chance(80) {
			return true
		}
	}
	if len(p.out) > 0 || p.fin == receiving || s.peer(from) != p {
		return true
	}
	// A read may have bytes and the end at once.
	if n == 0 {
		s.m.nothing(from)
	}
	s.logf("the end (%d) from %d", p.fin, from)
	s.noteEnd(from, p.fin)
	s.m.ended(from, p.fin, s.now)
	return true
}

func (s *sim) noteEnd(from side, how reception) {
	if from == program {
		s.progEnded = true
	} else {
		s.upGone = how
	}
}

// write takes what the machine has for a side.
func (s *sim) write(to side) bool {
	p := s.peer(to)
	if p == nil || p.stuck {
		return false
	}
	if p.writing == nil {
		b := s.m.pending(to)
		if len(b) == 0 || s.m.over() {
			return false
		}
		if !s.verify(to, b) {
			return false
		}
		p.writing = b
		p.before = append(p.before[:0], b...)
		if s.blocking {
			s.m.flows[to.other()].writing = true
			return true
		}
	}
	b := p.writing
	p.writing = nil
	if !bytes.Equal(b, p.before) {
		return s.fail("memory that is being written was changed")
	}
	n := len(b)
	refused := p.fin == receivedReset
	switch {
	case refused:
		n = 0
	case !s.blocking:
		n = s.some(n)
	}
	if n > 0 {
		s.logf("%d bytes to %d", n, to)
		s.took(to, b[:n])
		if s.m.over() {
			return true
		}
		s.m.wrote(to, n, s.now)
	}
	if refused && !s.m.over() && s.peer(to) == p {
		s.logf("%d takes no more", to)
		s.noteRefused(to)
		s.m.refused(to, s.now)
	}
	return true
}

func (s *sim) noteRefused(to side) {
	if to == program {
		s.progEnded = true
	}
}

const (
	closeLine   = "Connection: close\r\n"
	continue100 = "HTTP/1.1 100 Continue\r\n\r\n"
)

// verify compares what is to be written with what should be.
func (s *sim) verify(to side, b []byte) bool {
	if to == upstream {
		c := s.conn
		if !bytes.HasPrefix(c.want[c.got:], b) {
			return s.fail("upstream: at %d, %.100q is sent, want %.100q", c.got, b, c.want[c.got:])
		}
		return true
	}
	if len(s.m.flows[upstream].lead) > 0 {
		if len(s.own) == 0 && s.cur != nil && s.cur.held && s.cur.expects && !s.toldOwn {
			s.own, s.toldOwn = []byte(continue100), true
		}
		if !bytes.HasPrefix(s.own, b) {
			return s.fail("program: our own answer %.100q is sent, want %.100q", b, s.own)
		}
		return true
	}
	if len(s.own) > 0 {
		return s.fail("program: our own answer %.100q was not sent whole", s.own)
	}
	if s.conn == nil {
		return s.fail("program: %.100q comes from nowhere", b)
	}
	_, _, ok := s.fromUpstream(b)
	return ok
}

// fromUpstream compares what is to be written to the program with what came
// from the upstream. It returns how much of that it was, and how much of a field
// that is added to a head is sent then.
func (s *sim) fromUpstream(b []byte) (n, added int, ok bool) {
	c := s.conn
	at, added := c.passed, c.added
	for len(b) > 0 {
		if added > 0 || b[0] == closeLine[0] && s.drained && slices.Contains(c.blanks, at) {
			k := min(len(closeLine)-added, len(b))
			if string(b[:k]) != closeLine[added:added+k] {
				return 0, 0, s.fail("program: %.60q is sent as a field", b)
			}
			added, b = (added+k)%len(closeLine), b[k:]
			continue
		}
		n := len(b)
		for _, blank := range c.blanks {
			if blank > at {
				n = min(n, blank-at)
			}
		}
		if at+n > len(c.read) || !bytes.Equal(c.read[at:at+n], b[:n]) {
			return 0, 0, s.fail("program: at %d of the upstream's, %.100q is sent, want %.100q", at, b[:n], c.read[min(at, len(c.read)):min(at+n, len(c.read))])
		}
		at, b = at+n, b[n:]
	}
	return at - c.passed, added, true
}

// took learns what a side has taken.
func (s *sim) took(to side, b []byte) {
	if to == upstream {
		s.conn.got += len(b)
		return
	}
	s.written += int64(len(b))
	s.progGot += len(b)
	if len(s.own) > 0 {
		s.own = s.own[len(b):]
		return
	}
	if s.conn == nil { // the connection was given up while this was written
		return
	}
	n, added, _ := s.fromUpstream(b)
	s.conn.passed += n
	s.conn.added = added
}

// settle carries out what the machine wants done, and checks it.
func (s *sim) settle() {
	for s.err == nil {
		e := s.m.take()
		if e == 0 {
			break
		}
		s.logf("effects %06b, stage %d", e, s.m.stage)
		if e&effectDropUpstream != 0 {
			s.drop()
		}
		if e&effectEndUpstream != 0 && s.conn != nil {
			if s.conn.ended {
				s.fail("FIN was sent twice")
			}
			s.conn.ended = true
		}
		if e&effectCancelDial != 0 {
			if !s.dialing {
				s.fail("no dial to cancel")
			}
			s.cancels = true
		}
		if e&effectDial != 0 {
			if s.dialing || s.conn != nil {
				s.fail("a dial too many")
			}
			s.dialing = true
			if s.state == simRouted {
				s.state = simDialed
			}
		}
		if e&effectConnect != 0 {
			s.connect()
		}
	}
	s.check()
}

func (s *sim) drop() {
	c := s.conn
	if c == nil {
		s.fail("no upstream connection to drop")
		return
	}
	s.zombies = append(s.zombies, simZombie{c.reading, c.writing, c.before})
	s.conn = nil
}

// connect goes on with a CONNECT in place of those who drive a machine.
func (s *sim) connect() {
	if s.m.flows[program].reading != nil {
		s.fail("the program is read while its CONNECT is routed")
	}
	switch s.g.IntN(3) {
	case 0:
		s.logf("CONNECT fails")
		s.m.refuse(errTest)
	case 1:
		s.logf("CONNECT to us")
		s.state = simNone
		s.progGot += len(established)
		s.m.now = s.now
		s.m.reported = true
		s.dones++
		s.m.next()
	case 2:
		s.logf("CONNECT is tunnelled")
		s.Sending(s.m.x)
		s.m.now = s.now
		s.m.report(EndComplete)
		s.m.forget()
		s.m.stage = stageOver
		return
	}
	s.m.advance()
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
	if s.drained && m.stage == stageIdle {
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
	// For each direction what is kept and what spills, our own answer, the tail,
	// and a body that is held.
	limit := int64(5*bufs.largeSize + bufs.tailSize)
	if s.held {
		limit += int64(4 * maxHeld)
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
	return p.closes || p.status != 0 || p.broken || p.dialErr || p.routeErr != nil || p.connect ||
		p.answer.kind != legal || p.answer.untilClose || p.answer.excess != ""
}

// The methods of sockets.

func (s *sim) broken() bool { return s.prog.fin == receivedReset }
func (s *sim) unread() bool { return len(s.prog.out) > 0 }

// The methods of Handler.

// begin takes up the next request of the script.
func (s *sim) begin(x *Exchange) {
	if s.state != simNone {
		s.fail("an exchange begins before the end of another")
	}
	if s.at == len(s.script) {
		s.fail("a request that the program did not send")
		s.cur = &plan{}
		return
	}
	s.cur = s.script[s.at]
	s.at++
	s.own, s.toldOwn, s.written, s.expired = nil, false, 0, false
	s.upGone = receiving
	s.logf("request %d: %.60q", s.at-1, s.cur.raw)
	if x.RequestBytes == 0 {
		s.fail("a request without bytes")
	}
}

func (s *sim) Route(x *Exchange) (Route, error) {
	s.begin(x)
	p := s.cur
	s.state = simRouted
	if m := string(x.Request.Method()); !strings.HasPrefix(p.raw[p.skip:], m+" ") {
		s.fail("%q is routed, want %.50q", m, p.raw)
	}
	if p.status != 0 && p.routeErr == nil && !p.broken {
		s.fail("a request that was to be refused is routed: %.100q", p.raw)
	}
	if p.routeErr != nil && !p.held {
		return Route{}, p.routeErr
	}
	route := p.route
	if p.held {
		s.held = true
		route.Rewrite = func(dst []byte, _ *Exchange, body []byte) ([]byte, error) {
			if string(body) != p.body {
				s.fail("a body of %d bytes is shown, want %d", len(body), len(p.body))
			}
			return append(dst, p.rewrite...), p.routeErr
		}
	}
	return route, nil
}

func (s *sim) Dial(context.Context, *Exchange) (net.Conn, error) { panic("not called by a machine") }

func (s *sim) Sending(x *Exchange) {
	p, c := s.cur, s.conn
	if s.state != simRouted && s.state != simDialed {
		s.fail("sending in state %d", s.state)
	}
	s.state = simSending
	if p.connect {
		return
	}
	switch {
	case c == nil:
		s.fail("sending nowhere")
		return
	case c.key != p.route.Key && len(c.turns) > 0:
		s.fail("sending to %v, want %v", c.key, p.route.Key)
	case c.got != len(c.want):
		s.fail("sending after %d bytes of %d", c.got, len(c.want))
	case p.want == "" || p.routeErr != nil:
		s.fail("sending what was to be refused: %.100q", p.raw)
	}
	c.key = p.route.Key // a connection made early is for the first request
	c.turns = append(c.turns, simTurn{p: p, start: len(c.want)})
	c.want = append(c.want, p.want...)
	s.passedAt = c.passed
	if got := string(x.Request.Method()); got != p.method && !p.held {
		s.fail("method %q, want %q", got, p.method)
	}
}

func (s *sim) Refuse(dst []byte, x *Exchange, err error, close bool) []byte {
	if s.state == simNone {
		s.begin(x)
	}
	if s.state == simSending || s.state == simRefused {
		s.fail("refused in state %d", s.state)
	}
	p := s.cur
	refusal, ok := errors.AsType[*http1.RefusalError](err)
	switch {
	case s.state == simRouted && (p.status != 0 || p.broken || p.routeErr != nil || p.connect):
	case s.state == simDialed:
	case s.state == simRouted && s.kind == simWild && p.held:
	case p.status == 0 || !ok || refusal.Status != p.status && !p.broken:
		s.fail("refused for %v: %.200q", err, p.raw)
	}
	s.state = simRefused
	answer := fmt.Sprintf("HTTP/1.1 500 Refused\r\nN: %d\r\nContent-Length: 0\r\n\r\n", s.at)
	s.logf("refused: %v (close %v)", err, close)
	if len(s.own) == 0 && p.held && p.expects && string(dst) == continue100 {
		s.own, s.toldOwn = []byte(continue100), true
	}
	if !bytes.Equal(dst, s.own) {
		s.fail("the refusal goes behind %q, want %q", dst, s.own)
	}
	s.own = append(s.own, answer...)
	return append(dst, answer...)
}

func (s *sim) Secured(error) {}
func (s *sim) Plain()        {}

func (s *sim) Done(x *Exchange) {
	p, c := s.cur, s.conn
	s.logf("done: end %d, status %d", x.End, x.Response.Status)
	switch {
	case s.state == simSending, s.state == simRefused:
	case s.state == simDialed && (x.End == EndCanceled || x.End == EndStopped):
	default:
		s.fail("done in state %d, end %d", s.state, x.End)
	}
	s.ends[x.End]++
	s.dones++
	x.ResponseBody() // as handlers do, however it ended
	x.ResponseTail()
	refused := s.state == simRefused
	s.state = simNone
	if s.err != nil || p.connect {
		return
	}
	if x.ResponseBytes != s.written {
		s.fail("%d bytes of an answer counted, %d written", x.ResponseBytes, s.written)
	}
	if n := int64(len(p.raw) - p.skip); x.RequestBytes > n && p.want != "" && !p.broken {
		s.fail("%d bytes of a request counted, %d sent", x.RequestBytes, n)
	}
	s.causes(x, refused)
	if refused || s.state == simDialed || c == nil || len(c.turns) == 0 {
		return
	}
	s.compare(x, p, c)
}

// causes checks that there was a reason for the end.
func (s *sim) causes(x *Exchange, refused bool) {
	p := s.cur
	ok := true
	switch x.End {
	case EndComplete:
		ok = !refused && p.answer.kind != unreadable || s.kind == simWild
	case EndRefused:
		ok = refused
	case EndTimeout:
		ok = s.expired
	case EndReset:
		ok = s.upGone == receivedReset
	case EndClosed:
		ok = s.upGone == receivedEnd || s.upGone == receivedCut
	case EndBadResponse:
		ok = p.answer.kind == unreadable || s.kind == simWild
	case EndCanceled:
		ok = s.progEnded || p.broken || s.expired
	case EndStopped:
		ok = s.killed
	}
	if !ok {
		s.fail("end %d has no cause", x.End)
	}
}

// compare compares what is shown of an exchange with what was sent.
func (s *sim) compare(x *Exchange, p *plan, c *simConn) {
	a := &p.answer
	unasked := s.kind == simWild && c.sent != s.planned(c)
	if x.End == EndComplete && !unasked && a.kind != unreadable && !a.untilClose {
		if n := c.passed - s.passedAt; n != len(a.raw) {
			s.fail("an answer of %d bytes was whole after %d", len(a.raw), n)
		}
		if a.status != 0 && x.Response.Status != a.status {
			s.fail("status %d, want %d", x.Response.Status, a.status)
		}
	}
	if x.End == EndComplete && a.untilClose && c.passed != len(c.read) {
		s.fail("an answer until close was whole after %d of %d bytes", c.passed, len(c.read))
	}
	b, whole := x.RequestBody()
	switch {
	case p.broken:
	case !strings.HasPrefix(p.body, string(b)):
		s.fail("the request's body is shown as %.60q, want %.60q", b, p.body)
	case whole && len(b) != len(p.body):
		s.fail("the request's body is shown whole with %d bytes, want %d", len(b), len(p.body))
	case x.requestDone && !whole && !x.Uninspected && len(p.raw) < smallBuffer/2 && len(p.body) <= x.limit && s.waitsFor(p):
		s.fail("a request's body of %d bytes is not shown whole", len(p.body))
	}
	if unasked || a.kind == unreadable || a.body == unknownBody || x.End != EndComplete {
		return
	}
	b, whole = x.ResponseBody()
	switch tail := x.ResponseTail(); {
	case !strings.HasPrefix(a.body, string(b)):
		s.fail("the answer's body is shown as %.60q, want %.60q", b, a.body)
	case whole && len(b) != len(a.body) && !a.untilClose:
		s.fail("the answer's body is shown whole with %d bytes, want %d", len(b), len(a.body))
	case !whole && !x.Uninspected && len(a.raw) < smallBuffer/2 && len(a.body) <= x.limit:
		s.fail("an answer's body of %d bytes is not shown whole", len(a.body))
	case !a.untilClose && !strings.HasSuffix(a.body, string(tail)):
		s.fail("the end of the answer's body is shown as %d bytes that it does not end with", len(tail))
	case !whole && !a.untilClose && len(a.body)-len(b) >= x.tail.size && len(tail) != x.tail.size:
		s.fail("%d bytes of the end of the answer's body are shown, want %d", len(tail), x.tail.size)
	}
}

// waitsFor reports whether the program sent nothing before this request that
// was not answered: then it has a buffer of its own.
func (s *sim) waitsFor(p *plan) bool {
	i := slices.Index(s.script, p)
	return i >= 0 && s.waits[i]
}

// planned is what an upstream connection has sent, if nothing was unasked.
func (s *sim) planned(c *simConn) (n int) {
	for _, t := range c.turns {
		n += t.answered
	}
	return n
}
