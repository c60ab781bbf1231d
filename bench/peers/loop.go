//go:build linux

package main

import (
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// cipher is used by every TLS connection, so that ratios compare the same work.
const cipher = tls.TLS_AES_128_GCM_SHA256

// loop serves the sockets of load and upstream in one thread with epoll, which uses
// the least of the core that they share. Only TLS handshakes run in goroutines, before
// a measurement.
type loop struct {
	ep     int
	events [256]unix.EpollEvent
	buf    []byte // for reading; valid until the next read

	mu       sync.Mutex
	handlers map[int]func(ended bool) // by file descriptor; ended: the peer sends no more
	err      error                    // of a handshake or an accept
}

func newLoop() (*loop, error) {
	ep, err := unix.EpollCreate1(unix.EPOLL_CLOEXEC)
	return &loop{ep: ep, buf: make([]byte, 128<<10), handlers: map[int]func(bool){}}, err
}

func (l *loop) add(fd int, handler func(ended bool)) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.handlers == nil {
		return net.ErrClosed
	}
	l.handlers[fd] = handler
	return unix.EpollCtl(l.ep, unix.EPOLL_CTL_ADD, fd,
		&unix.EpollEvent{Events: unix.EPOLLIN | unix.EPOLLOUT | unix.EPOLLRDHUP | unix.EPOLLET, Fd: int32(fd)})
}

func (l *loop) remove(fd int) {
	l.mu.Lock()
	delete(l.handlers, fd)
	l.mu.Unlock()
	unix.Close(fd)
}

// close closes all connections.
func (l *loop) close() {
	l.mu.Lock()
	defer l.mu.Unlock()
	for fd := range l.handlers {
		unix.Close(fd)
	}
	l.handlers = nil
	unix.Close(l.ep)
}

// wait handles events until the timeout, which is rounded to milliseconds.
func (l *loop) wait(timeout time.Duration) error {
	n, err := epollWait(l.ep, l.events[:], int(timeout.Milliseconds()))
	if err != nil && !errors.Is(err, unix.EINTR) {
		return err
	}
	for _, e := range l.events[:max(n, 0)] {
		l.mu.Lock()
		handler := l.handlers[int(e.Fd)]
		l.mu.Unlock()
		if handler != nil { // otherwise an earlier handler closed it
			handler(e.Events&(unix.EPOLLRDHUP|unix.EPOLLHUP|unix.EPOLLERR) != 0)
		}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.err
}

// settle handles events for d.
func (l *loop) settle(d time.Duration) error {
	for end := time.Now().Add(d); time.Now().Before(end); {
		if err := l.wait(10 * time.Millisecond); err != nil {
			return err
		}
	}
	return nil
}

func (l *loop) fail(err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.err = errors.Join(l.err, err)
}

// sock is a connection. crypto/tls uses it as a net.Conn.
type sock struct {
	net.Conn // nil: its other methods are not called

	l        *loop
	fd       int
	tls      *tls.Conn // nil for plain connections
	blocking bool      // while the handshake runs
	out      []byte    // what could not be written yet

	// received is called with the next bytes, or with the error that ended the
	// connection. It returns done if no more bytes are expected, which saves a read.
	received func(p []byte, err error) (done bool)
}

// start takes ownership of a blocking descriptor. handshake is nil for plain
// connections.
func (l *loop) start(s *sock, handshake func(net.Conn) *tls.Conn) error {
	s.l = l
	unix.SetsockoptInt(s.fd, unix.IPPROTO_TCP, unix.TCP_NODELAY, 1)
	if handshake != nil {
		s.blocking = true
		s.tls = handshake(s)
		if err := s.tls.Handshake(); err != nil {
			return fmt.Errorf("TLS handshake: %w", err)
		}
		if used := s.tls.ConnectionState().CipherSuite; used != cipher {
			return fmt.Errorf("TLS uses %s, not %s", tls.CipherSuiteName(used), tls.CipherSuiteName(cipher))
		}
		s.blocking = false
	}
	if err := unix.SetNonblock(s.fd, true); err != nil {
		return err
	}
	return l.add(s.fd, s.ready) // ready is called at once, because the socket is writable
}

// ready writes and reads as much as possible.
func (s *sock) ready(ended bool) {
	s.flush()
	for s.fd >= 0 {
		var n int
		var err error
		if s.tls != nil {
			n, err = s.tls.Read(s.l.buf)
		} else {
			n, err = s.Read(s.l.buf)
		}
		if n > 0 && s.received(s.l.buf[:n], nil) && !ended || errors.Is(err, errAgain) {
			return
		}
		if err != nil {
			s.received(nil, err)
			s.close()
			return
		}
		if s.tls == nil && n < len(s.l.buf) && !ended {
			return // no more data for now
		}
	}
}

// send writes p, and keeps what cannot be written yet.
func (s *sock) send(p []byte) {
	switch {
	case s.tls != nil:
		s.tls.Write(p) // appends to out
	case len(s.out) == 0:
		n, err := rawWrite(s.fd, p)
		if err != nil {
			n = 0 // if the error is permanent, reading returns it as well
		}
		s.out = append(s.out, p[n:]...)
		return
	default:
		s.out = append(s.out, p...)
	}
	s.flush()
}

func (s *sock) flush() {
	for len(s.out) > 0 {
		n, err := rawWrite(s.fd, s.out)
		if err != nil {
			return
		}
		s.out = s.out[:copy(s.out, s.out[n:])]
	}
}

func (s *sock) close() {
	if s.fd < 0 {
		return
	}
	if s.tls != nil {
		s.tls.CloseWrite()
		s.flush()
	}
	s.l.remove(s.fd)
	s.fd = -1
}

// Read and Write are called by crypto/tls.
func (s *sock) Read(p []byte) (int, error) {
	read := rawRead
	if s.blocking {
		read = unix.Read
	}
	for {
		n, err := read(s.fd, p)
		switch {
		case errors.Is(err, unix.EINTR):
		case errors.Is(err, unix.EAGAIN):
			return 0, errAgain
		case err != nil:
			return 0, err
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

func (s *sock) Write(p []byte) (int, error) {
	if !s.blocking {
		s.out = append(s.out, p...) // one write for all records
		return len(p), nil
	}
	for rest := p; len(rest) > 0; {
		n, err := unix.Write(s.fd, rest)
		if err != nil && !errors.Is(err, unix.EINTR) {
			return 0, err
		}
		rest = rest[max(n, 0):]
	}
	return len(p), nil
}

// SetWriteDeadline does nothing. It is called before close_notify is written, which
// does not block.
func (s *sock) SetWriteDeadline(time.Time) error { return nil }

// errAgain is a temporary error for crypto/tls, which can read again later.
var errAgain net.Error = again{}

type again struct{}

func (again) Error() string   { return "nothing to read yet" }
func (again) Timeout() bool   { return true }
func (again) Temporary() bool { return true }

// listen serves a new loopback address until the loop is closed. config is nil for
// plain connections.
func (l *loop) listen(config *tls.Config, accepted func(*sock)) (address string, err error) {
	fd, err := unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, 0)
	if err != nil {
		return "", err
	}
	if err := errors.Join(unix.Bind(fd, &unix.SockaddrInet4{Addr: [4]byte{127, 0, 0, 1}}), unix.Listen(fd, 4096)); err != nil {
		return "", err
	}
	name, err := unix.Getsockname(fd)
	if err != nil {
		return "", err
	}
	accept := func(bool) {
		for {
			conn, _, err := unix.Accept4(fd, unix.SOCK_CLOEXEC)
			if err != nil {
				if !errors.Is(err, unix.EAGAIN) {
					l.fail(fmt.Errorf("accept: %w", err))
				}
				return
			}
			s := &sock{fd: conn}
			accepted(s)
			start := func(handshake func(net.Conn) *tls.Conn) {
				err := l.start(s, handshake)
				if err == nil {
					return
				}
				unix.Close(s.fd)
				if !errors.Is(err, io.EOF) && !errors.Is(err, unix.ECONNRESET) { // the client notices these
					l.fail(fmt.Errorf("accepted connection: %w", err))
				}
			}
			if config == nil {
				start(nil)
			} else {
				go start(func(c net.Conn) *tls.Conn { return tls.Server(c, config) })
			}
		}
	}
	address = fmt.Sprintf("127.0.0.1:%d", name.(*unix.SockaddrInet4).Port)
	return address, l.add(fd, accept)
}

// dial connects to an address on loopback, blocking. config is nil for plain
// connections.
func (l *loop) dial(address string, config *tls.Config, s *sock) error {
	to, err := netip.ParseAddrPort(address)
	if err != nil {
		return err
	}
	if s.fd, err = unix.Socket(unix.AF_INET, unix.SOCK_STREAM|unix.SOCK_CLOEXEC, 0); err != nil {
		return err
	}
	if err := unix.Connect(s.fd, &unix.SockaddrInet4{Addr: to.Addr().As4(), Port: int(to.Port())}); err != nil {
		return err
	}
	if config == nil {
		return l.start(s, nil)
	}
	return l.start(s, func(c net.Conn) *tls.Conn { return tls.Client(c, config) })
}
