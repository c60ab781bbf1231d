package relay

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"syscall"

	"golang.org/x/sys/unix"
)

// socket is the connection of a side of a pair in a loop, which is read and
// written without waiting. The zero value is none.
type socket struct {
	fd       int
	readable bool    // there may be something to read
	writable bool    // there may be room to write
	hungUp   bool    // it ends behind what can be read
	reset    bool    // a write failed with a reset, which the system does not report again
	tls      *secure // nil for a plain connection
}

func (s *socket) isOpen() bool { return s.fd > 0 }

// canRead reports whether a read may have something.
func (s *socket) canRead() bool {
	return s.readable && s.tls == nil || s.tls != nil && s.tls.canRead()
}

// read reads what there is. It returns 0 and receiving if there is nothing.
func (s *socket) read(b []byte) (n int, end reception) {
	if s.tls != nil {
		return s.tls.read(b)
	}
	n, errno := s.receive(b)
	switch {
	case errno == unix.EAGAIN:
		return 0, receiving
	case errno != 0:
		return 0, receivedReset
	case n == 0:
		return 0, receivedEnd
	}
	return n, receiving
}

// receive reads from the socket itself.
func (s *socket) receive(b []byte) (int, syscall.Errno) {
	n, errno := readNow(s.fd, b)
	// Less than there was room for is all there was: more is an event.
	s.readable = errno == 0 && (n == len(b) || s.hungUp)
	if n == 0 && errno == 0 && s.reset {
		errno = unix.ECONNRESET
	}
	return n, errno
}

// write writes b as far as there is room. ok is false if the connection takes no
// more.
func (s *socket) write(b []byte) (n int, ok bool) {
	if s.tls != nil {
		return s.tls.write(b)
	}
	return s.send(b)
}

// send writes to the socket itself.
func (s *socket) send(b []byte) (n int, ok bool) {
	n, errno := writeNow(s.fd, b)
	switch {
	case errno == unix.EAGAIN:
		n = 0
	case errno != 0:
		s.reset = s.reset || errno == unix.ECONNRESET
		return 0, false
	}
	s.writable = n == len(b)
	return n, true
}

// isQueued reports whether something is to be written besides what the machine
// has.
func (s *socket) isQueued() bool { return s.tls != nil && s.tls.out != nil }

// closeWrite sends FIN; with TLS, close_notify unless cut.
func (s *socket) closeWrite(cut bool) {
	if s.tls != nil && !cut {
		s.tls.conn.CloseWrite() //nolint:errcheck // a broken connection shows on reading
		s.tls.flush()
		return
	}
	unix.Shutdown(s.fd, unix.SHUT_WR) //nolint:errcheck // likewise
}

// close closes the connection, unless it returns what is to be written before.
func (s *socket) close(how closing) (rest *buffer) {
	if t := s.tls; t != nil {
		if how == closeFIN {
			t.conn.Close() //nolint:errcheck // a broken connection is closed all the same
			t.flush()
			rest = t.out
		} else {
			t.bufs.put(t.out)
		}
		t.out = nil
	}
	if rest != nil {
		return rest
	}
	if how == closeReset {
		resetOnClose(s.fd)
	}
	closeFD(s.fd)
	return nil
}

func resetOnClose(fd int) {
	unix.SetsockoptLinger(fd, unix.SOL_SOCKET, unix.SO_LINGER, &unix.Linger{Onoff: 1}) //nolint:errcheck // best effort
}

// maxResponses is how much may be queued of what TLS answers to what it reads,
// such as updates of keys: beyond it, no more is read.
const maxResponses = 4 << 10

// secure is TLS on a socket, after the handshake. It lies below the wire: what
// crypto/tls reads comes from the socket, or is errWait if there is nothing, after
// which crypto/tls goes on. What it writes is queued.
type secure struct {
	sock *socket
	bufs *buffers
	conn *tls.Conn
	top  *wire // below conn
	wire *wire // above the socket: top, unless TLS is spoken within TLS
	held bool  // conn may hold what was read from the socket

	out       *buffer // what was encrypted and not written; nil if there is nothing
	taken     int     // how many of the machine's bytes it is, or was
	responses int     // how many of its bytes TLS wrote while it was read
	broken    bool    // the socket takes no more
}

// Read implements io.Reader for the wire.
func (t *secure) Read(b []byte) (int, error) {
	if !t.sock.readable {
		return 0, errWait
	}
	n, errno := t.sock.receive(b)
	switch {
	case errno == unix.EAGAIN:
		return 0, errWait
	case errno != 0:
		return 0, os.NewSyscallError("read", errno)
	case n == 0:
		return 0, io.EOF
	}
	return n, nil
}

// Write implements io.Writer for the wire.
func (t *secure) Write(b []byte) (int, error) {
	switch out := t.out; {
	case out == nil:
		t.out = t.bufs.exactly(len(b))
	case len(out.free()) < len(b):
		unsent := out.b[out.r:out.w]
		t.out = t.bufs.exactly(len(unsent) + len(b))
		t.out.w += copy(t.out.free(), unsent)
		t.bufs.put(out)
	}
	t.out.w += copy(t.out.free(), b)
	return len(b), nil
}

func (t *secure) canRead() bool {
	return (t.sock.readable || t.held) && t.responses <= maxResponses
}

// read reads what all records contain that were received.
func (t *secure) read(b []byte) (n int, end reception) {
	queued, before := t.queued(), t.responses
	defer func() {
		if t.out != nil {
			t.flush()
		}
	}()
	t.held = true
	for n < len(b) && t.responses <= maxResponses {
		k, err := t.conn.Read(b[n:])
		n += k
		t.responses = before + t.queued() - queued
		switch {
		case err == nil:
		case errors.Is(err, errWait):
			t.held = false
			return n, receiving
		case n > 0: // the next read has the same error
			return n, receiving
		default:
			return 0, receptionOf(err, t.top)
		}
	}
	return n, receiving
}

// write encrypts bytes of b, and returns their number once the socket has taken
// all that they became. Until then, b has to begin with the same bytes.
func (t *secure) write(b []byte) (n int, ok bool) {
	if t.taken == 0 && len(b) > 0 {
		limit := smallBuffer / 2
		if len(b) > limit && t.expand() {
			limit = largeBuffer
		}
		b = b[:min(len(b), limit)]
		if _, err := t.conn.Write(b); err != nil {
			return 0, false
		}
		t.taken = len(b)
	}
	t.flush()
	if t.broken {
		return 0, false
	}
	if t.out == nil {
		n, t.taken = t.taken, 0
	}
	return n, true
}

// expand makes sure that much can be queued. It reports false if there is no memory for that.
func (t *secure) expand() bool {
	if t.out != nil && len(t.out.b) > smallBuffer {
		return len(t.out.free()) >= largeBuffer+tightSpace
	}
	large := t.bufs.getLarge()
	if large == nil {
		return false
	}
	if t.out != nil {
		large.w += copy(large.free(), t.out.b[t.out.r:t.out.w])
		t.bufs.put(t.out)
	}
	t.out = large
	return true
}

func (t *secure) queued() int {
	if t.out == nil {
		return 0
	}
	return t.out.w - t.out.r
}

// flush writes what is queued as far as there is room.
func (t *secure) flush() {
	if t.out == nil || !t.sock.writable {
		return
	}
	n, ok := t.sock.send(t.out.b[t.out.r:t.out.w])
	t.broken = !ok
	if t.out.r += n; t.out.r == t.out.w || t.broken {
		t.bufs.put(t.out)
		t.out, t.responses = nil, 0
	}
}

// detach returns the connection with nc in the socket's place.
func (t *secure) detach(nc net.Conn) net.Conn {
	t.wire.Conn, t.wire.direct = nc, nil
	if t.out != nil {
		t.wire.behind = append([]byte(nil), t.out.b[t.out.r:t.out.w]...)
		t.bufs.put(t.out)
		t.out = nil
	}
	return t.conn
}

// tcpOf returns the TCP connection of nc, and what is spoken over it: nil for a
// plain one. It returns nil if nc is not for a loop.
func tcpOf(nc net.Conn) (*net.TCPConn, *secure) {
	tc, overTLS := nc.(*tls.Conn)
	if !overTLS {
		tcp, _ := nc.(*net.TCPConn)
		return tcp, nil
	}
	t := &secure{conn: tc}
	for {
		switch c := nc.(type) {
		case *tls.Conn:
			if !c.ConnectionState().HandshakeComplete { // it could block
				return nil, nil
			}
			nc = c.NetConn()
		case *wire:
			if t.wire = c; t.top == nil {
				t.top = c
			}
			nc = c.Conn
		case *net.TCPConn:
			if t.wire == nil || t.wire.Conn != nc {
				return nil, nil
			}
			return c, t
		default:
			return nil, nil
		}
	}
}
