package relay

import (
	"context"
	"net"
	"os"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

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
	l := loops[p.s.turn.Add(1)%uint32(len(loops))] //nolint:gosec // there are few loops
	fd, err := l.duplicate(tcp)
	if err != nil {
		return false
	}
	upFD := 0
	if upTCP != nil {
		if upFD, err = l.duplicate(upTCP); err != nil {
			closeFD(fd)
			return false
		}
		upTCP.Close() //nolint:errcheck // the descriptor that is kept is another
	}
	tcp.Close() //nolint:errcheck // likewise
	p.mu.Lock()
	p.cl, p.up, p.where = nil, nil, atLoop
	p.looped = looped{on: l, socks: [2]socket{{fd: fd, tls: t}, {fd: upFD, tls: upTLS}}}
	p.m.killed = p.killed
	l.post(p, func() { l.adopt(p) }) // before anyone can post what comes after it
	p.mu.Unlock()
	return true
}

// duplicate returns a descriptor of nc's socket that the runtime does not watch, but
// the loop, from add on.
func (l *loop) duplicate(nc syscall.Conn) (int, error) {
	if err := l.s.injected(callDuplicate); err != nil {
		return 0, err
	}
	fd, err := duplicate(nc)
	if err != nil {
		return 0, err
	}
	err = l.s.injected(callWatch)
	if err == nil {
		err = l.watch(unix.EPOLL_CTL_ADD, fd, unix.EPOLLET, 0)
	}
	if err != nil {
		closeFD(fd)
		return 0, err
	}
	return fd, nil
}

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
	l.tick()
	for i, sock := range p.looped.socks {
		if sock.isOpen() {
			l.add(p, side(i), sock)
		}
	}
	switch {
	case p.m.killed:
		p.m.kill(l.now)
	case p.s.draining.Load():
		p.m.drain(l.now)
	}
	p.m.advance()
	l.drive(p)
}

func (l *loop) add(p *pair, of side, sock socket) {
	if fd := sock.fd; fd >= len(l.ends) {
		l.ends = append(l.ends, make([]loopEnd, max(fd+1-len(l.ends), 64, len(l.ends)))...)
	}
	l.watches++
	l.ends[sock.fd] = loopEnd{p, of, l.watches}
	sock.writable = true
	l.watch(unix.EPOLL_CTL_MOD, sock.fd, interest, l.watches) //nolint:errcheck // it is watched already
	at := &p.looped.socks[of]
	*at = sock
	if t := sock.tls; t != nil {
		t.sock, t.bufs, t.wire.direct = at, &l.s.bufs, t
		t.held = true
	}
}

// remove takes the socket of a side away, without closing it.
func (l *loop) remove(p *pair, of side) *socket {
	sock := p.looped.socks[of]
	l.ends[sock.fd] = loopEnd{}
	p.looped.socks[of] = socket{}
	if sock.tls != nil {
		sock.tls.sock = &sock
	}
	return &sock
}

// takeOver returns the socket of nc, for the loop; none if nc is not for a loop, or
// the loop cannot watch it.
func (l *loop) takeOver(nc net.Conn) (socket, error) {
	tcp, t := tcpOf(nc)
	if tcp == nil {
		return socket{}, nil
	}
	fd, err := l.duplicate(tcp)
	if isExhausted(err) && l.s.Reclaim() {
		fd, err = l.duplicate(tcp)
	}
	switch {
	case isExhausted(err):
		return socket{}, err
	case err != nil:
		return socket{}, nil //nolint:nilerr // goroutines serve it
	}
	tcp.Close() //nolint:errcheck // the descriptor that is kept is another
	return socket{fd: fd, tls: t}, nil
}

// dialed goes on with an upstream connection: here with its socket, or elsewhere
// if that is none.
func (l *loop) dialed(p *pair, nc net.Conn, sock socket, err error) {
	l.tick()
	l.parse(p) // if it panics, the pair ends with this dial
	p.cancelDial()
	p.cancelDial = nil
	switch {
	case err != nil:
		p.m.notDialed(err, l.now)
	case sock.isOpen():
		l.add(p, upstream, sock)
		p.m.dialed(addrPort(nc.RemoteAddr()), l.now)
	default:
		l.leave(p, newLink(nc), func() bool {
			p.m.dialed(addrPort(nc.RemoteAddr()), time.Now())
			return true
		})
		return
	}
	l.drive(p)
}

// letGo removes a pair from the loop's queue and timers.
func (l *loop) letGo(p *pair) {
	l.s.idle.busy(p)
	l.timers.remove(&p.looped.timer)
	if p.looped.queued {
		l.due[slices.Index(l.due, p)] = nil
		p.looped.queued = false
	}
}

// leave hands the pair to a goroutine of its own, which goes on with first. up is
// the pair's upstream connection, or nil.
func (l *loop) leave(p *pair, up *link, first func() bool) {
	l.letGo(p)
	sock := l.remove(p, program)
	l.unwatch(sock.fd)
	p.mu.Lock()
	p.where, p.up, p.looped.on = atDoor, up, nil
	p.mu.Unlock()
	go p.run(func() bool { return p.takeBack(sock) && first() })
}

// takeBack makes the program's connection of a loop's socket. It reports false if
// there are no descriptors for that: the connection is reset then.
func (p *pair) takeBack(sock *socket) bool {
	nc, err := p.s.connOf(sock.fd, closeReset)
	if sock.tls != nil {
		nc = sock.tls.detach(nc)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	if err != nil {
		p.m.now, p.m.bye = time.Now(), [2]closing{closeReset, closeReset}
		p.m.h.Refuse(nil, p.m.x, err, true) // nothing can be said to the program
		p.m.report(EndRefused)
		return false
	}
	p.cl = newLink(nc)
	if p.killed {
		p.s.closeLink(p.cl, closeReset)
	}
	return true
}

// connOf returns the connection of a descriptor, which it closes. If there is no
// other descriptor for that, the connection is closed as says how.
func (s *Server) connOf(fd int, how closing) (net.Conn, error) {
	f := os.NewFile(uintptr(fd), "")
	defer f.Close()
	nc, err := s.fileConn(f)
	if isExhausted(err) && s.Reclaim() {
		nc, err = s.fileConn(f)
	}
	if err != nil && how == closeReset {
		resetOnClose(fd)
	}
	return nc, err
}

func (s *Server) fileConn(f *os.File) (net.Conn, error) {
	if err := s.injected(callConnection); err != nil {
		return nil, err
	}
	return net.FileConn(f)
}

// closeEnd closes the connection of one side.
func (l *loop) closeEnd(p *pair, of side) {
	sock := l.remove(p, of)
	closed := false
	defer func() {
		if !closed { // a panic
			closeFD(sock.fd)
		}
	}()
	if of == upstream {
		p.unwired()
	}
	rest := sock.close(p.m.bye[of])
	closed = true
	if rest != nil {
		l.unwatch(sock.fd) // closing it does not, while it has a duplicate
		p.s.wg.Go(func() { p.s.finish(sock.fd, rest) })
	}
}

// finishTime is how long the end of TLS may take, as in crypto/tls.
const finishTime = 5 * time.Second

// finish closes a connection after rest was written to it.
func (s *Server) finish(fd int, rest *buffer) {
	defer s.bufs.put(rest)
	nc, err := s.connOf(fd, closeFIN)
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
	defer l.release(p)
	for i := range p.looped.socks {
		if p.looped.socks[i].isOpen() {
			l.closeEnd(p, side(i))
		}
	}
	l.letGo(p)
	p.m.forget()
}

// release ends a pair, also if closing it panicked.
func (l *loop) release(p *pair) {
	for i := range p.looped.socks {
		if fd := p.looped.socks[i].fd; p.looped.socks[i].isOpen() {
			p.looped.socks[i] = socket{}
			closeFD(fd)
			if side(i) == upstream {
				p.unwired()
			}
		}
	}
	p.mu.Lock()
	p.where, p.looped.on = atEnd, nil
	p.mu.Unlock()
	p.s.forget(p)
}
