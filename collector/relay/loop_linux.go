package relay

import (
	"cmp"
	"container/heap"
	"context"
	"net"
	"os"
	"runtime"
	"slices"
	"sync"
	"syscall"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

const (
	// turns is how often one pair is read and written before others get a turn.
	turns = 16
	// interest is what the system reports of a socket, once for each change.
	interest = unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET
	hangUp   = unix.EPOLLRDHUP | unix.EPOLLHUP | unix.EPOLLERR
)

// loop drives the machines of many pairs on one thread, with system calls that do
// not block. Whatever may block is done by goroutines, which post the result.
type loop struct {
	s     *Server
	epoll int
	wake  int // an eventfd
	ends  []loopEnd
	again []*pair // those that had their turns and are not done
	times timers
	now   time.Time

	mu     sync.Mutex // protects the fields below
	posted []func(*loop)
	ended  bool
}

// loopEnd is the socket of a side of a pair, by its descriptor.
type loopEnd struct {
	p    *pair
	side side
}

// looped is what a loop keeps of a pair.
type looped struct {
	on       *loop
	fd       [2]int // -1 for none
	readable [2]bool
	writable [2]bool
	hungUp   [2]bool
	queued   bool // in loop.again
	timerAt  time.Time
	timer    int // in loop.times, -1 if it is not
}

// newLoops starts the loops.
func newLoops(s *Server) []*loop {
	var loops []*loop
	for range cmp.Or(s.cfg.Loops, runtime.GOMAXPROCS(0)) {
		l := &loop{s: s}
		var err error
		if l.epoll, err = unix.EpollCreate1(unix.EPOLL_CLOEXEC); err != nil {
			break
		}
		if l.wake, err = unix.Eventfd(0, unix.EFD_CLOEXEC|unix.EFD_NONBLOCK); err != nil {
			closeFD(l.epoll)
			break
		}
		if err = l.watch(l.wake, unix.EPOLLIN); err != nil {
			closeFD(l.epoll)
			closeFD(l.wake)
			break
		}
		loops = append(loops, l)
		s.loops.Go(l.run)
	}
	return loops
}

func (l *loop) watch(fd int, events uint32) error {
	return unix.EpollCtl(l.epoll, unix.EPOLL_CTL_ADD, fd, &unix.EpollEvent{Events: events, Fd: int32(fd)}) //nolint:gosec // descriptors are small
}

// closeFD closes a descriptor; the system gives it up whatever it says.
func closeFD(fd int) {
	unix.Close(fd) //nolint:errcheck // as said
}

// post has f called on the loop's thread.
func (l *loop) post(f func(*loop)) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.posted = append(l.posted, f)
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
	l.post(func(l *loop) { l.ended = true })
}

// run is the loop. It is locked to its thread, so that the Go scheduler takes no
// part in waking it up.
func (l *loop) run() {
	runtime.LockOSThread()
	defer closeFD(l.epoll)
	defer closeFD(l.wake)
	events := make([]unix.EpollEvent, 256)
	for n := 0; !l.ended; {
		n = l.wait(events, n)
		l.now = time.Now()
		for i := range events[:n] {
			l.happened(&events[i])
		}
		for n := len(l.again); n > 0 && len(l.again) > 0; n-- {
			p := l.again[0]
			l.again = l.again[1:]
			p.looped.queued = false
			l.drive(p)
		}
		l.times.expire(l)
	}
}

// wait waits for events. Where many come, a look without waiting is cheaper: the
// scheduler need not know of it.
func (l *loop) wait(events []unix.EpollEvent, last int) int {
	const many = 4
	if last >= many || len(l.again) > 0 {
		n, _ := epollNow(l.epoll, events)
		if n > 0 || len(l.again) > 0 {
			return max(n, 0)
		}
	}
	n, _ := unix.EpollWait(l.epoll, events, l.times.wait(l.now))
	return max(n, 0)
}

func epollNow(epoll int, events []unix.EpollEvent) (int, syscall.Errno) {
	n, _, errno := unix.RawSyscall6(unix.SYS_EPOLL_PWAIT, uintptr(epoll),
		uintptr(unsafe.Pointer(&events[0])), uintptr(len(events)), 0, 0, 0) //nolint:gosec // as the system call wants it
	return int(n), errno
}

func (l *loop) happened(e *unix.EpollEvent) {
	if int(e.Fd) == l.wake {
		l.runPosted()
		return
	}
	end := l.ends[e.Fd]
	if end.p == nil {
		return
	}
	p, lp := end.p, &end.p.looped
	if e.Events&(unix.EPOLLIN|hangUp) != 0 {
		lp.readable[end.side] = true
	}
	if e.Events&(unix.EPOLLOUT|unix.EPOLLHUP|unix.EPOLLERR) != 0 {
		lp.writable[end.side] = true
	}
	if e.Events&hangUp != 0 {
		lp.hungUp[end.side] = true
	}
	if e.Events&unix.EPOLLERR != 0 && end.side == program {
		// Also where nothing more is wanted from it.
		l.guarded(p, func() { p.m.ended(program, receivedReset, l.now) })
	}
	l.drive(p)
}

func (l *loop) runPosted() {
	var count [8]byte
	unix.Read(l.wake, count[:]) //nolint:errcheck // it was readable
	l.mu.Lock()
	posted := l.posted
	l.posted = nil
	l.mu.Unlock()
	for _, f := range posted {
		f(l)
	}
}

// toLoop hands the pair, with up as its upstream connection unless that is nil,
// to a loop. It reports false if it cannot: if there is TLS, or no loop.
func (p *pair) toLoop(up *link) bool {
	loops := p.s.driving
	if len(loops) == 0 {
		return false
	}
	tcp, ok := p.cl.Conn.(*net.TCPConn)
	if !ok {
		return false
	}
	var upTCP *net.TCPConn
	if up != nil {
		if upTCP, ok = up.Conn.(*net.TCPConn); !ok {
			return false
		}
	}
	fd, err := duplicate(tcp)
	if err != nil {
		return false
	}
	upFD := -1
	if upTCP != nil {
		if upFD, err = duplicate(upTCP); err != nil {
			closeFD(fd)
			return false
		}
		upTCP.Close() //nolint:errcheck // the descriptor that is kept is another
	}
	tcp.Close() //nolint:errcheck // likewise
	l := loops[int(p.s.turn.Add(1))%len(loops)]
	p.mu.Lock()
	p.cl, p.up, p.where = nil, nil, atLoop
	p.looped = looped{on: l, fd: [2]int{fd, upFD}, timer: -1}
	p.m.killed = p.killed
	p.mu.Unlock()
	l.post(func(l *loop) { l.adopt(p) })
	return true
}

// duplicate returns a descriptor of nc's socket that the runtime does not watch.
func duplicate(nc *net.TCPConn) (int, error) {
	raw, err := nc.SyscallConn()
	if err != nil {
		return -1, err
	}
	fd, failed := -1, error(nil)
	if err := raw.Control(func(of uintptr) {
		fd, failed = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 0)
	}); err != nil {
		return -1, err
	}
	return fd, failed
}

// adopt begins to drive a pair.
func (l *loop) adopt(p *pair) {
	l.now = time.Now()
	for i, fd := range p.looped.fd {
		if fd >= 0 {
			l.add(p, side(i), fd)
		}
	}
	l.guarded(p, func() {
		switch {
		case p.m.killed:
			p.m.kill(l.now)
		case p.s.draining.Load():
			p.m.drain(l.now)
		}
		p.m.advance()
	})
	l.drive(p)
}

func (l *loop) add(p *pair, of side, fd int) {
	if fd >= len(l.ends) {
		l.ends = append(l.ends, make([]loopEnd, max(fd+1-len(l.ends), 64, len(l.ends)))...)
	}
	l.ends[fd] = loopEnd{p, of}
	lp := &p.looped
	lp.fd[of], lp.readable[of], lp.writable[of], lp.hungUp[of] = fd, false, true, false
	if err := l.watch(fd, interest); err != nil {
		// It cannot be watched: what can be read now is read, then it ends.
		lp.readable[of], lp.hungUp[of] = true, true
	}
}

// remove takes the socket of a side away, without closing it.
func (l *loop) remove(p *pair, of side) (fd int) {
	fd = p.looped.fd[of]
	p.looped.fd[of] = -1
	l.ends[fd] = loopEnd{}
	return fd
}

// guarded calls f, and ends the pair if it panics.
func (l *loop) guarded(p *pair, f func()) {
	defer func() {
		if v := recover(); v != nil {
			p.panicked()
			p.m.forget()
			p.m.stage = stageOver
		}
	}()
	f()
}

// drive goes on with a pair as far as its sockets allow.
func (l *loop) drive(p *pair) {
	left := false
	l.guarded(p, func() { left = l.turn(p) })
	switch {
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
	for range turns {
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
			if lp.writable[to] && lp.fd[to] >= 0 {
				if b := m.pending(to); len(b) > 0 {
					l.write(p, to, b)
					progress = true
				}
			}
		}
		for from := program; from <= upstream; from++ {
			if lp.readable[from] && lp.fd[from] >= 0 {
				if b := m.space(from); b != nil {
					l.read(p, from, b)
					progress = true
				}
			}
		}
		if !progress {
			return false
		}
	}
	if !lp.queued {
		lp.queued = true
		l.again = append(l.again, p)
	}
	return false
}

func (l *loop) write(p *pair, to side, b []byte) {
	n, errno := writeNow(p.looped.fd[to], b)
	switch {
	case errno == unix.EAGAIN:
		p.looped.writable[to] = false
	case errno != 0:
		p.m.refused(to, l.now)
	default:
		p.looped.writable[to] = n == len(b)
		p.m.wrote(to, n, l.now)
	}
}

func (l *loop) read(p *pair, from side, b []byte) {
	lp := &p.looped
	n, errno := readNow(lp.fd[from], b)
	switch {
	case errno == unix.EAGAIN:
		lp.readable[from] = false
		p.m.nothing(from)
	case errno != 0:
		p.m.ended(from, receivedReset, l.now)
	case n == 0:
		p.m.ended(from, receivedEnd, l.now)
	default:
		// Less than there was room for is all there was: more is an event.
		lp.readable[from] = n == len(b) || lp.hungUp[from]
		p.m.received(from, n, l.now)
	}
}

// carryOut does what the machine wants done. It reports whether the pair left
// the loop.
func (l *loop) carryOut(p *pair, e effects) (left bool) {
	if e&effectDropUpstream != 0 && p.looped.fd[upstream] >= 0 {
		l.closeEnd(p, upstream)
	}
	if e&effectEndUpstream != 0 && p.looped.fd[upstream] >= 0 {
		unix.Shutdown(p.looped.fd[upstream], unix.SHUT_WR) //nolint:errcheck // a broken connection shows on reading
	}
	if e&effectEndProgram != 0 {
		unix.Shutdown(p.looped.fd[program], unix.SHUT_WR) //nolint:errcheck // likewise
	}
	if e&effectCancelDial != 0 {
		p.cancelDial()
	}
	if e&effectDial != 0 {
		ctx, cancel := context.WithCancel(p.s.ctx)
		p.cancelDial = cancel
		go func() {
			nc, err := p.dial(ctx, p.m.x)
			fd := -1
			if err == nil {
				if fd, err = p.s.takeOver(nc); err != nil {
					nc.Close()
					p.unwired()
				}
			}
			l.post(func(l *loop) { l.dialed(p, nc, fd, err) })
		}()
	}
	if e&effectConnect != 0 {
		if p.looped.fd[upstream] >= 0 {
			l.closeEnd(p, upstream)
		}
		if l.leave(p, nil) {
			go p.run(p.connect)
		}
		return true
	}
	return false
}

// takeOver returns a descriptor of a plain connection, which it closes; -1 for
// one that no loop can drive.
func (s *Server) takeOver(nc net.Conn) (fd int, err error) {
	tcp, ok := nc.(*net.TCPConn)
	if !ok {
		return -1, nil
	}
	if fd, err = duplicate(tcp); IsExhausted(err) && s.Reclaim() {
		fd, err = duplicate(tcp)
	}
	if err == nil {
		err = tcp.Close() // the descriptor that is kept is another
	}
	return fd, err
}

// dialed goes on with an upstream connection: here, as fd, or elsewhere if that
// is -1.
func (l *loop) dialed(p *pair, nc net.Conn, fd int, err error) {
	l.now = time.Now()
	p.cancelDial()
	p.cancelDial = nil
	switch {
	case err != nil:
		l.guarded(p, func() { p.m.notDialed(err, l.now) })
	case fd >= 0:
		l.add(p, upstream, fd)
		l.guarded(p, func() { p.m.dialed(addrPort(nc.RemoteAddr()), l.now) })
	default:
		if l.leave(p, newLink(nc)) {
			go p.run(func() bool {
				p.m.dialed(addrPort(nc.RemoteAddr()), time.Now())
				return true
			})
		}
		return
	}
	l.drive(p)
}

// letGo removes a pair from the loop's queue and timers.
func (l *loop) letGo(p *pair) {
	l.s.idle.busy(p)
	l.times.remove(p)
	if p.looped.queued {
		l.again = slices.DeleteFunc(l.again, func(q *pair) bool { return q == p })
	}
}

// leave hands the pair to a goroutine of its own, with up as its upstream
// connection.
func (l *loop) leave(p *pair, up *link) bool {
	l.letGo(p)
	fd := l.remove(p, program)
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, fd, nil) //nolint:errcheck // closing it does the same
	f := os.NewFile(uintptr(fd), "")
	nc, err := net.FileConn(f)
	f.Close()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looped.on = nil
	p.where, p.up = atDoor, up
	if err != nil {
		go p.abandon()
		return false
	}
	p.cl = newLink(nc)
	if p.killed {
		p.cl.closeAs(closeReset)
	}
	return true
}

// abandon ends a pair whose program's connection was lost for want of
// descriptors.
func (p *pair) abandon() {
	p.mu.Lock()
	p.m.report(EndStopped)
	p.mu.Unlock()
	p.end()
}

// closeEnd closes the connection of one side.
func (l *loop) closeEnd(p *pair, of side) {
	fd := l.remove(p, of)
	if p.m.bye[of] == closeReset {
		unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) //nolint:errcheck // best effort
	}
	closeFD(fd)
	if of == upstream {
		p.unwired()
	}
}

// close ends a pair.
func (l *loop) close(p *pair) {
	for i, fd := range p.looped.fd {
		if fd >= 0 {
			l.closeEnd(p, side(i))
		}
	}
	l.letGo(p)
	p.mu.Lock()
	p.where, p.looped.on = atEnd, nil
	p.mu.Unlock()
	p.m.forget()
	p.s.forget(p)
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
	l.now = time.Now()
	l.guarded(p, func() { p.m.drain(l.now) })
	l.drive(p)
}

func (l *loop) kill(p *pair) {
	if !l.drives(p) {
		p.kill()
		return
	}
	l.now = time.Now()
	l.guarded(p, func() { p.m.kill(l.now) })
	l.drive(p)
}

// arm sets the pair's timer, unless it fires early enough anyway.
func (l *loop) arm(p *pair) {
	at, limited := p.m.deadline()
	if !limited || p.looped.timer >= 0 && !p.looped.timerAt.After(at) {
		return
	}
	l.times.set(p, at)
}

// timers are the pairs with a timer, by when it fires.
type timers struct{ pairs []*pair }

// wait returns for how many milliseconds to wait for events, -1 for ever.
func (t *timers) wait(now time.Time) int {
	if len(t.pairs) == 0 {
		return -1
	}
	d := t.pairs[0].looped.timerAt.Sub(now)
	return int(max(0, min(d+time.Millisecond-1, time.Hour)/time.Millisecond))
}

func (t *timers) set(p *pair, at time.Time) {
	p.looped.timerAt = at
	if p.looped.timer < 0 {
		heap.Push(t, p)
		return
	}
	heap.Fix(t, p.looped.timer)
}

func (t *timers) remove(p *pair) {
	if p.looped.timer >= 0 {
		heap.Remove(t, p.looped.timer)
	}
}

// expire acts on the pairs whose timer has fired. Most often the deadline has
// moved on since it was set.
func (t *timers) expire(l *loop) {
	for len(t.pairs) > 0 && !t.pairs[0].looped.timerAt.After(l.now) {
		p := t.pairs[0]
		t.remove(p)
		if at, limited := p.m.deadline(); limited && !at.After(l.now) {
			l.guarded(p, func() { p.m.expired(l.now) })
			l.drive(p)
			continue
		}
		l.arm(p)
	}
}

// Len implements heap.Interface.
func (t *timers) Len() int { return len(t.pairs) }

// Less implements heap.Interface.
func (t *timers) Less(i, j int) bool {
	return t.pairs[i].looped.timerAt.Before(t.pairs[j].looped.timerAt)
}

// Swap implements heap.Interface.
func (t *timers) Swap(i, j int) {
	t.pairs[i], t.pairs[j] = t.pairs[j], t.pairs[i]
	t.pairs[i].looped.timer, t.pairs[j].looped.timer = i, j
}

// Push implements heap.Interface.
func (t *timers) Push(v any) {
	p := v.(*pair)
	p.looped.timer = len(t.pairs)
	t.pairs = append(t.pairs, p)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(t.pairs) - 1
	p := t.pairs[last]
	t.pairs[last] = nil
	t.pairs = t.pairs[:last]
	p.looped.timer = -1
	return p
}
