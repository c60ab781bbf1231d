package relay

import (
	"cmp"
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
	on      *loop
	socks   [2]socket
	queued  bool // in loop.again
	timerAt time.Time
	timer   int // in loop.times, -1 if it is not
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
// to a loop. It reports false if it cannot.
func (p *pair) toLoop(up *link) bool {
	loops := p.s.driving
	if len(loops) == 0 {
		return false
	}
	tcp, t := tcpOf(p.cl.Conn)
	if tcp == nil {
		return false
	}
	var upTCP *net.TCPConn
	var upTLS *secure
	if up != nil {
		if upTCP, upTLS = tcpOf(up.Conn); upTCP == nil {
			return false
		}
	}
	fd, err := duplicate(tcp)
	if err != nil {
		return false
	}
	upFD := 0
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
	p.looped = looped{on: l, socks: [2]socket{{fd: fd, tls: t}, {fd: upFD, tls: upTLS}}, timer: -1}
	p.m.killed = p.killed
	p.mu.Unlock()
	l.post(func(l *loop) { l.adopt(p) })
	return true
}

// duplicate returns a descriptor of nc's socket that the runtime does not watch.
func duplicate(nc syscall.Conn) (int, error) {
	raw, err := nc.SyscallConn()
	if err != nil {
		return 0, err
	}
	fd, failed := 0, error(nil)
	if err := raw.Control(func(of uintptr) {
		fd, failed = unix.FcntlInt(of, unix.F_DUPFD_CLOEXEC, 1) // not 0, which is none
	}); err != nil {
		return 0, err
	}
	return fd, failed
}

// adopt begins to drive a pair.
func (l *loop) adopt(p *pair) {
	l.now = time.Now()
	for i, sock := range p.looped.socks {
		if sock.isOpen() {
			l.add(p, side(i), sock)
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

func (l *loop) add(p *pair, of side, sock socket) {
	if fd := sock.fd; fd >= len(l.ends) {
		l.ends = append(l.ends, make([]loopEnd, max(fd+1-len(l.ends), 64, len(l.ends)))...)
	}
	l.ends[sock.fd] = loopEnd{p, of}
	sock.writable = true
	if err := l.watch(sock.fd, interest); err != nil {
		// It cannot be watched: what can be read now is read, then it ends.
		sock.readable, sock.hungUp = true, true
	}
	at := &p.looped.socks[of]
	*at = sock
	if t := sock.tls; t != nil {
		t.sock, t.bufs, t.wire.direct = at, &l.s.bufs, t
		t.held = true
	}
}

// remove takes the socket of a side away, without closing it.
func (l *loop) remove(p *pair, of side) socket {
	at := &p.looped.socks[of]
	sock := *at
	*at = socket{}
	l.ends[sock.fd] = loopEnd{}
	if sock.tls != nil {
		sock.tls.sock = &sock
	}
	return sock
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
	switch n, ok := p.looped.socks[to].write(b); {
	case !ok && len(b) > 0:
		p.m.refused(to, l.now)
	case n > 0:
		p.m.wrote(to, n, l.now)
	}
}

func (l *loop) read(p *pair, from side, b []byte) {
	switch n, end := p.looped.socks[from].read(b); {
	case n > 0:
		p.m.received(from, n, l.now)
	case end != receiving:
		p.m.ended(from, end, l.now)
	default:
		p.m.nothing(from)
	}
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
	if e&effectCancelDial != 0 {
		p.cancelDial()
	}
	if e&effectDial != 0 {
		ctx, cancel := context.WithCancel(p.s.ctx)
		p.cancelDial = cancel
		go func() {
			nc, err := p.dial(ctx, p.m.x)
			var sock socket
			if err == nil {
				if sock, err = p.s.takeOver(nc); err != nil {
					nc.Close()
					p.unwired()
				}
			}
			l.post(func(l *loop) { l.dialed(p, nc, sock, err) })
		}()
	}
	if e&effectConnect != 0 {
		if socks[upstream].isOpen() {
			l.closeEnd(p, upstream)
		}
		if l.leave(p, nil) {
			go p.run(p.connect)
		}
		return true
	}
	return false
}

// takeOver returns the socket of nc, for a loop; none if nc is not for one.
func (s *Server) takeOver(nc net.Conn) (socket, error) {
	tcp, t := tcpOf(nc)
	if tcp == nil {
		return socket{}, nil
	}
	fd, err := duplicate(tcp)
	if IsExhausted(err) && s.Reclaim() {
		fd, err = duplicate(tcp)
	}
	if err != nil {
		return socket{}, err
	}
	tcp.Close() //nolint:errcheck // the descriptor that is kept is another
	return socket{fd: fd, tls: t}, nil
}

// dialed goes on with an upstream connection: here with its socket, or elsewhere
// if that is none.
func (l *loop) dialed(p *pair, nc net.Conn, sock socket, err error) {
	l.now = time.Now()
	p.cancelDial()
	p.cancelDial = nil
	switch {
	case err != nil:
		l.guarded(p, func() { p.m.notDialed(err, l.now) })
	case sock.isOpen():
		l.add(p, upstream, sock)
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
	sock := l.remove(p, program)
	unix.EpollCtl(l.epoll, unix.EPOLL_CTL_DEL, sock.fd, nil) //nolint:errcheck // closing it does the same
	nc, err := connOf(sock.fd)
	p.mu.Lock()
	defer p.mu.Unlock()
	p.looped.on = nil
	p.where, p.up = atDoor, up
	if err != nil {
		go p.abandon()
		return false
	}
	if sock.tls != nil {
		nc = sock.tls.detach(nc)
	}
	p.cl = newLink(nc)
	if p.killed {
		p.cl.closeAs(closeReset)
	}
	return true
}

// connOf returns the connection of a descriptor, which it closes.
func connOf(fd int) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	return net.FileConn(f)
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
	sock := l.remove(p, of)
	if rest := sock.close(p.m.bye[of]); rest != nil {
		p.s.wg.Go(func() { p.s.finish(sock.fd, rest) })
	}
	if of == upstream {
		p.unwired()
	}
}

// finishTime is how long the end of TLS may take, as in crypto/tls.
const finishTime = 5 * time.Second

// finish closes a connection after rest was written to it.
func (s *Server) finish(fd int, rest *buffer) {
	defer s.bufs.put(rest)
	nc, err := connOf(fd)
	if err != nil {
		return
	}
	defer nc.Close()
	ctx, cancel := context.WithTimeout(s.ctx, finishTime)
	defer cancel()
	defer context.AfterFunc(ctx, func() { nc.Close() })()
	nc.Write(rest.b[rest.r:rest.w]) //nolint:errcheck // best effort
}

// close ends a pair.
func (l *loop) close(p *pair) {
	for i := range p.looped.socks {
		if p.looped.socks[i].isOpen() {
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
