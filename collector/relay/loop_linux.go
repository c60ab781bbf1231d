package relay

import (
	"cmp"
	"context"
	"runtime"
	"sync"
	"sync/atomic"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// turns is how often one pair is read and written before others get a turn.
	turns = 16
	// maxTurn is for how many bytes read of one pair others wait before they get a turn.
	// What costs most, reading heads and removing secrets, grows with their lengths: two
	// of the longest heads are read, and not as many as there are turns.
	maxTurn = 128 << 10
	// interest is what the system reports of a socket, once for each change.
	interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
	hangUp   = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
	// maxUnsent is how many bytes are read of several pairs before any of them is
	// parsed. Reading from one pair after the other, then parsing, then writing, and
	// then reporting the calls keeps the code of each step in the processor's caches,
	// and wakes up less often whoever receives what is written: that saves a fifth
	// of the CPU time of a call. More bytes would not stay in a cache of 512 KiB.
	maxUnsent = 256 << 10
	// often is the time between events below which a loop is busy. A busy loop waits as if
	// it were running, until there has been no event for that time, or twice as long.
	often = 10 * time.Millisecond
	// clockAge is how old the wall-clock time that a loop has read may be. Until then it
	// adds the monotonic time since, which takes half as long to read as both.
	clockAge = time.Second
)

// loop drives the machines of many pairs on one thread, with system calls that do
// not block. Whatever may block is done by goroutines, which post the result.
type loop struct {
	s       *Server
	epoll   int
	wake    int // an eventfd
	beat    int // a timerfd that fires every 10 ms while it is set
	ends    []loopEnd
	watches int32     // sockets ever watched
	due     []*pair   // those that sent something, or had their turns and are not done; nil if they left
	driven  []*pair   // the memory of due, when it was driven last
	unsent  int       // bytes read since the pairs that are due were driven
	timers  queue     // by when they fire
	clock   time.Time // the wall-clock time that was read last
	now     time.Time
	woken   time.Time // by an event, last
	ended   bool
	busy    bool // events come often
	beating bool // beat is set

	processors int32 // of the scheduler

	mu     sync.Mutex // protects the fields below
	posted []posting
}

// loopEnd is the socket of a side of a pair, by its descriptor.
type loopEnd struct {
	p     *pair
	side  side
	watch int32 // in its events, unlike in those of the descriptor's former socket
}

// posting is what is to be done for a pair, or for the loop itself if p is nil.
type posting struct {
	p *pair
	f func()
}

// looped is what a loop keeps of a pair.
type looped struct {
	on     *loop
	socks  [2]socket
	queued bool // in loop.due
	// Bytes read from each side that the machine does not know of. It learns of them
	// before it learns of anything else, except for the end of an idle upstream.
	read  [2]int
	sent  [2]int // bytes written to each side that the machine does not know of
	timer place  // in loop.timers
}

// broken is that of sockets.
func (lp *looped) broken() bool { return hasError(uintptr(lp.socks[program].fd)) }

// unread is that of sockets.
func (lp *looped) unread() bool {
	return lp.read[program] > 0 || peekFD(uintptr(lp.socks[program].fd)) == sightData
}

// newLoops starts the loops.
func newLoops(s *Server) []*loop {
	var loops []*loop
	processors := runtime.GOMAXPROCS(0)
	for range cmp.Or(s.cfg.Loops, processors) {
		l := &loop{s: s, processors: int32(processors)} //nolint:gosec // small
		if l.open() != nil {
			break
		}
		loops = append(loops, l)
		s.loops.Go(l.run)
	}
	return loops
}

// open makes the descriptors of the loop itself.
func (l *loop) open() (err error) {
	defer func() {
		if err != nil {
			l.closeOwn()
		}
	}()
	l.wake, l.beat = -1, -1
	if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
		return err
	}
	if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
		return err
	}
	if l.beat, err = unix.TimerfdCreate(unix.CLOCK_MONOTONIC, unix.TFD_CLOEXEC|unix.TFD_NONBLOCK); err != nil {
		return err
	}
	if err = l.watch(unix.EPOLL_CTL_ADD, l.wake, unix.EPOLLIN, 0); err != nil {
		return err
	}
	return l.watch(unix.EPOLL_CTL_ADD, l.beat, unix.EPOLLIN, 0)
}

// closeOwn closes them.
func (l *loop) closeOwn() {
	for _, fd := range []int{l.epoll, l.wake, l.beat} {
		closeFD(fd)
	}
}

// watch has the system report events of a descriptor, with the number of the watch.
func (l *loop) watch(op, fd int, events uint32, number int32) error {
	return unix.EpollCtl(l.epoll, op, fd, &unix.EpollEvent{Events: events, Fd: int32(fd), Pad: number}) //nolint:gosec // descriptors are small
}

func (l *loop) unwatch(fd int) {
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) //nolint:errcheck // it is watched
}

// closeFD closes a descriptor; the system gives it up whatever it says.
func closeFD(fd int) {
	unix.Close(fd) //nolint:errcheck // as said
}

// post has f called on the loop's thread for a pair that has not ended, or the loop
// may have.
func (l *loop) post(p *pair, f func()) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posted = append(l.posted, posting{p, f})
	if len(l.posted) == 1 {
		l.rouse()
	}
}

func (l *loop) rouse() {
	one := [8]byte{1}          // any number but 0
	unix.Write(l.wake, one[:]) //nolint:errcheck // it can only be full, and then the loop is awake
}

// stop ends the loop once it has no pairs.
func (l *loop) stop() {
	l.post(nil, func() { l.ended = true })
}

// run is the loop. It is locked to its thread, so that the Go scheduler takes no
// part in waking it up.
func (l *loop) run() {
	runtime.LockOSThread()
	preferThread()
	defer l.closeOwn()
	events := make([]unix.EpollEvent, 256)
	for !l.ended {
		l.cycle(events)
	}
}

// cycle waits for events, and handles them and what is due. events is memory for them.
func (l *loop) cycle(events []unix.EpollEvent) {
	n := l.wait(events)
	l.tick()
	if n > 1 || n == 1 && int(events[0].Fd) != l.beat {
		l.busy = l.now.Sub(l.woken) < often
		l.woken = l.now
	}
	l.handle(events[:n])
	l.expireTimers()
}

// tick sets the loop's time.
func (l *loop) tick() {
	since := time.Since(l.clock)
	if since >= clockAge {
		l.clock, since = time.Now(), 0
	}
	l.now = l.clock.Add(since)
}

// handle goes on with the pairs of which there are events, and with those that are due.
func (l *loop) handle(events []unix.EpollEvent) {
	for i := range events {
		l.happened(&events[i], i < len(events)-1)
		if l.unsent >= maxUnsent {
			l.driveDue()
		}
	}
	l.driveDue()
}

// driveDue goes on with the pairs that are due now: it parses what was read from all
// of them, then sends for all of them.
func (l *loop) driveDue() {
	l.unsent = 0
	due := l.due
	if len(due) > 1 { // one alone needs no order
		for _, p := range due {
			if p != nil {
				l.parse(p)
			}
		}
		for _, p := range due {
			if p != nil {
				l.send(p)
			}
		}
	}
	l.due = l.driven[:0] // those that are queued meanwhile come next time
	for i, p := range due {
		if p != nil {
			due[i], p.looped.queued = nil, false
			l.drive(p)
		}
	}
	l.driven = due
}

func (l *loop) parse(p *pair) {
	defer l.contain(p)
	l.deliver(p)
}

// deliver informs the machine of what was read. Before a request that comes after a
// pause it is informed of the end of the upstream, if there is one: nothing can be sent
// on that connection any more.
func (l *loop) deliver(p *pair) {
	if p.looped.read[program] > 0 && p.m.paused(l.now) {
		p.looped.socks[upstream].readable = true // its event may not have been handled
		if b := p.m.space(upstream); b != nil {
			l.read(p, upstream, b)
		}
	}
	for from, n := range p.looped.read {
		if n > 0 {
			p.looped.read[from] = 0
			p.m.received(side(from), n, l.now)
		}
	}
}

// send writes what a pair has to send. The machine is informed in the pair's turn.
func (l *loop) send(p *pair) {
	defer l.contain(p)
	if p.m.effects != 0 || p.m.over() {
		return
	}
	for to := program; to <= upstream; to++ {
		if sock := &p.looped.socks[to]; sock.writable {
			if b := p.m.pending(to); len(b) > 0 {
				p.looped.sent[to], _ = sock.write(b) // an error occurs again in the pair's turn
			}
		}
	}
}

// forever is a timeout of epoll_wait(2).
const forever = -1

// wait waits for events. While they come often, the Go scheduler does not know of it:
// it would take the processor away from the loop, which costs more than the call, and
// the loop might have to wait until it gets one back. The system does not have to set a
// timer for each of these waits either, as the beat ends them in time.
func (l *loop) wait(events []unix.EpollEvent) int {
	timeout := l.timeout()
	switch {
	case len(l.due) > 0 || timeout == 0:
		return epollUnseen(l.epoll, events, 0)
	case l.busy && l.setBeat(true) && occupy(l.processors):
		n := epollUnseen(l.epoll, events, forever) // the scheduler interrupts it if it has to
		occupied.Add(-1)
		return n
	}
	n, _ := unix.EpollWait(l.epoll, events, timeout)
	return max(n, 0)
}

// setBeat has the beat fire, or no longer fire. It reports false if the system refuses.
func (l *loop) setBeat(on bool) bool {
	if l.beating == on {
		return true
	}
	var every unix.Timespec
	if on {
		every = unix.NsecToTimespec(int64(often))
	}
	if unix.TimerfdSettime(l.beat, 0, &unix.ItimerSpec{Interval: every, Value: every}, nil) != nil {
		return false
	}
	l.beating = on
	return true
}

// beats ends the loop's being busy if nothing but the beat has woken it up for a while.
func (l *loop) beats() {
	readCount(l.beat)
	if l.now.Sub(l.woken) >= often {
		l.busy = false
		l.setBeat(false)
	}
}

// readCount reads an eventfd or a timerfd, which then is no longer readable.
func readCount(fd int) {
	var count [8]byte
	unix.Read(fd, count[:]) //nolint:errcheck // it was readable
}

// occupied is the number of the scheduler's processors that loops of this process
// wait on. One is left to everything else.
var occupied atomic.Int32

// occupy counts a loop that is going to wait on one of processors. It reports false,
// and counts nothing, if that would be the last one.
func occupy(processors int32) bool {
	if occupied.Add(1) < processors {
		return true
	}
	occupied.Add(-1)
	return false
}

// epollUnseen is epoll_wait(2), unseen by the Go scheduler. It returns 0 if it is interrupted.
func epollUnseen(epoll int, events []unix.EpollEvent, timeout int) int {
	n, _, _ := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), uintptr(timeout), 0, 0) //nolint:gosec // as the system call wants it
	return max(int(n), 0)
}

// happened reads what an event reports. more is set if other events follow.
func (l *loop) happened(e *unix.EpollEvent, more bool) {
	switch fd := int(e.Fd); {
	case fd == l.wake:
		l.runPosted()
		return
	case fd == l.beat:
		l.beats()
		return
	case fd >= len(l.ends): // of a socket that was not added yet
		return
	}
	end := l.ends[e.Fd]
	if end.p == nil || end.watch != e.Pad {
		return
	}
	defer l.contain(end.p)
	p, sock := end.p, &end.p.looped.socks[end.side]
	if e.Events&(unix.EPOLLIN|hangUp) != 0 {
		sock.readable = true
	}
	if e.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		sock.writable = true
	}
	if e.Events&hangUp != 0 {
		sock.hungUp = true
	}
	if e.Events&unix.EPOLLERR != 0 && end.side == program {
		l.deliver(p)
		p.m.ended(program, receivedReset, l.now) // also where nothing more is wanted from it
	}
	// A pair that is due may first have to close the connection that this is.
	if !p.looped.queued && sock.canRead() {
		if b := p.m.space(end.side); b != nil {
			n := l.read(p, end.side, b)
			if l.unsent += n; n > 0 && more {
				p.m.compact(end.side, n)
			}
		}
	}
	l.queue(p)
}

// queue has a pair driven before the loop waits for events.
func (l *loop) queue(p *pair) {
	if !p.looped.queued {
		p.looped.queued = true
		l.due = append(l.due, p)
	}
}

func (l *loop) runPosted() {
	readCount(l.wake)
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, at := range posted {
		l.do(at)
	}
}

func (l *loop) do(at posting) {
	defer l.contain(at.p)
	at.f()
}

// contain ends the pair, and nothing else, if something panicked while it was served.
func (l *loop) contain(p *pair) {
	v := recover()
	switch {
	case v == nil:
		return
	case p == nil:
		panic(v)
	case !l.drives(p):
		p.s.counters.panics.Add(1)
		return
	}
	if !p.panicked() {
		return
	}
	defer func() { recover() }() //nolint:errcheck // counted already, and the pair is released
	l.close(p)
}

// drive goes on with a pair as far as its sockets allow.
func (l *loop) drive(p *pair) {
	defer l.contain(p)
	switch left := l.turn(p); {
	case left:
	case p.m.over():
		l.close(p)
	default:
		l.arm(p)
		p.noteIdle()
	}
}

// turn reads and writes. It reports whether the pair left the loop.
func (l *loop) turn(p *pair) (left bool) {
	m, lp := &p.m, &p.looped
	l.deliver(p)
	for to, n := range lp.sent {
		if n > 0 {
			lp.sent[to] = 0
			m.wrote(side(to), n, l.now)
		}
	}
	read := 0
	for n := 0; n < turns && read < maxTurn; n++ {
		progress := false
		if e := m.take(); e != 0 {
			if l.carryOut(p, e) {
				return true
			}
			progress = true
		}
		if m.over() {
			return false
		}
		for to := program; to <= upstream; to++ {
			if sock := &lp.socks[to]; sock.writable {
				if b := m.pending(to); len(b) > 0 || sock.isQueued() {
					l.write(p, to, b)
					progress = true
				}
			}
		}
		for from := program; from <= upstream; from++ {
			if lp.socks[from].canRead() {
				if b := m.space(from); b != nil {
					read += l.read(p, from, b)
					l.deliver(p)
					progress = true
				}
			}
		}
		if !progress {
			return false
		}
	}
	l.queue(p)
	return false
}

func (l *loop) write(p *pair, to side, b []byte) {
	switch n, ok := p.looped.socks[to].write(b); {
	case !ok && len(b) > 0:
		p.m.refused(to, l.now)
	case n > 0:
		p.m.wrote(to, n, l.now)
	}
}

// read reads into b, and returns the number of bytes, to be delivered.
func (l *loop) read(p *pair, from side, b []byte) int {
	n, end := p.looped.socks[from].read(b)
	switch {
	case n > 0:
		p.looped.read[from] = n
	case end != receiving:
		p.m.ended(from, end, l.now)
	default:
		p.m.nothing(from)
	}
	return n
}

// carryOut does what the machine wants done. It reports whether the pair left
// the loop.
func (l *loop) carryOut(p *pair, e effects) (left bool) {
	m, socks := &p.m, &p.looped.socks
	if e&effectDropUpstream != 0 && socks[upstream].isOpen() {
		l.closeEnd(p, upstream)
	}
	if e&effectEndUpstream != 0 && socks[upstream].isOpen() {
		socks[upstream].closeWrite(m.got[program] == receivedCut)
	}
	if e&effectEndProgram != 0 {
		socks[program].closeWrite(m.bye[program] == closeCut)
	}
	if e&effectDial != 0 {
		ctx, cancel := context.WithCancel(p.s.ctx)
		p.cancelDial = cancel
		x := m.x
		go func() {
			nc, err := p.dial(ctx, x)
			var sock socket
			if err == nil {
				if sock, err = l.takeOver(nc); err != nil {
					nc.Close()
					p.unwired()
				}
			}
			l.post(p, func() { l.dialed(p, nc, sock, err) })
		}()
	}
	if e&effectCancelDial != 0 {
		p.cancelDial()
	}
	if e&effectConnect != 0 {
		l.leave(p, nil, p.connect)
		return true
	}
	return false
}

// drives reports whether it is still this loop that drives a pair.
func (l *loop) drives(p *pair) bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.where == atLoop && p.looped.on == l
}

func (l *loop) drain(p *pair) {
	if !l.drives(p) {
		p.drain()
		return
	}
	l.act(p, p.m.drain)
}

func (l *loop) yield(p *pair) {
	if l.drives(p) {
		l.act(p, p.m.yield)
	}
}

func (l *loop) kill(p *pair) {
	if !l.drives(p) {
		p.kill()
		return
	}
	l.act(p, p.m.kill)
}

// act does something to a pair, after the machine knows what was read before.
func (l *loop) act(p *pair, f func(now time.Time)) {
	l.tick()
	l.deliver(p)
	f(l.now)
	l.drive(p)
}
