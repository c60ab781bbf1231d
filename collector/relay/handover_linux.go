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
	l.post(func(l *loop) { l.adopt(p) }) // before anyone can post what comes after it
	p.mu.Unlock()
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
func (l *loop) remove(p *pair, of side) *socket {
	sock := p.looped.socks[of]
	p.looped.socks[of] = socket{}
	l.ends[sock.fd] = loopEnd{}
	if sock.tls != nil {
		sock.tls.sock = &sock
	}
	return &sock
}

// takeOver returns the socket of nc, for a loop; none if nc is not for one.
func (s *Server) takeOver(nc net.Conn) (socket, error) {
	tcp, t := tcpOf(nc)
	if tcp == nil {
		return socket{}, nil
	}
	fd, err := duplicate(tcp)
	if isExhausted(err) && s.Reclaim() {
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
	case !l.drives(p): // a panic has ended it
		if sock.isOpen() {
			closeFD(sock.fd)
		}
		if err == nil {
			nc.Close()
			p.unwired()
		}
		return
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
	if sock.tls != nil {
		nc = sock.tls.detach(nc)
	}
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
