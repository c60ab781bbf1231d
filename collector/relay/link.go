package relay

import (
	"context"
	"errors"
	"io"
	"net"
	"os"
	"sync/atomic"
	"syscall"
	"time"
)

// past is a deadline that ends whatever waits for it.
var past = time.Unix(1, 0)

// link is a connection that is read and written by blocking calls, with what
// needs the socket below it. One goroutine reads and one writes at a time.
type link struct {
	net.Conn
	sock syscall.RawConn // the socket, also below TLS; nil if there is none
	wire *wire           // what TLS is spoken over; nil without TLS

	closing atomic.Bool // with close_notify
	reset   atomic.Bool // it was seen to be reset, which the system does not report again

	unreported atomic.Int32 // what a read returned that the machine does not know of
}

// What a read returned.
const (
	readNothing int32 = iota
	readData
	readEnd
)

func newLink(nc net.Conn) *link {
	inner, w := layers(nc)
	l := &link{Conn: nc, wire: w}
	if tcp, ok := inner.(*net.TCPConn); ok && canPeek {
		if rc, err := tcp.SyscallConn(); err == nil {
			l.sock = rc
		}
	}
	return l
}

// Read implements net.Conn.
func (l *link) Read(p []byte) (n int, err error) {
	n, err = l.readAll(p)
	ended := errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF)
	if ended && l.reset.Load() && (l.wire == nil || l.wire.cut.Load()) {
		err = syscall.ECONNRESET
	}
	return n, err
}

// readUnreported is Read for a driver, which reports the result later.
func (l *link) readUnreported(p []byte) (n int, err error) {
	n, err = l.Read(p)
	switch {
	case n > 0:
		l.unreported.Store(readData)
	case err != nil:
		l.unreported.Store(readEnd)
	}
	return n, err
}

// hasEnded reports whether a read that is under way, or was not reported yet, is known
// to return the end.
func (l *link) hasEnded() bool {
	if l.unreported.Load() == readEnd {
		return true
	}
	if l.wire != nil { // it could be anything
		return false
	}
	seen := l.peek()
	return seen == sightEnd || seen == sightReset
}

// readAll reads what there is: through TLS, of all records that were received.
func (l *link) readAll(p []byte) (n int, err error) {
	if l.wire == nil {
		return l.Conn.Read(p)
	}
	l.wire.buffered = true
	n, err = l.Conn.Read(p)
	l.wire.noWait = true
	for err == nil && n < len(p) && len(l.wire.ahead) > 0 {
		var more int
		more, err = l.Conn.Read(p[n:])
		n += more
	}
	l.wire.noWait = false
	if errors.Is(err, errWait) {
		err = nil
	}
	return n, err
}

// Write implements net.Conn.
func (l *link) Write(p []byte) (n int, err error) {
	n, err = l.Conn.Write(p)
	if errors.Is(err, syscall.ECONNRESET) {
		l.reset.Store(true)
	}
	return n, err
}

// receptionOf returns what the error of a read means. w is what TLS was spoken
// over; nil without TLS.
func receptionOf(err error, w *wire) reception {
	switch {
	case !errors.Is(err, io.EOF) && !errors.Is(err, io.ErrUnexpectedEOF):
		return receivedReset
	case w != nil && w.cut.Load():
		return receivedCut
	}
	return receivedEnd
}

// sight is the state of a socket, as seen without reading from it.
type sight uint8

const (
	sightNothing sight = iota // open, nothing to read
	sightData
	sightEnd   // the other side will send no more
	sightReset // broken
)

// peek looks at what there is to read, without waiting.
func (l *link) peek() (seen sight) {
	if l.sock == nil {
		return sightNothing
	}
	if err := l.sock.Control(func(fd uintptr) { seen = peekFD(fd) }); err != nil {
		return sightReset
	}
	return seen
}

// broken reports whether the connection is known to be, by what was written to
// it. A socket that has been half-closed does not show it when it is read.
func (l *link) broken() (broken bool) {
	if l.sock == nil {
		return false
	}
	err := l.sock.Control(func(fd uintptr) { broken = hasError(fd) })
	return err != nil || broken
}

// watch waits until there is something to see. It reports sightNothing if it
// was interrupted.
func (l *link) watch() sight {
	switch {
	case l.wire != nil && len(l.wire.ahead) > 0:
		return sightData
	case l.sock == nil:
		return sightNothing
	}
	seen := sightNothing
	err := l.sock.Read(func(fd uintptr) bool {
		seen = peekFD(fd)
		return seen != sightNothing
	})
	if err != nil && !isTimeout(err) {
		return sightReset
	}
	return seen
}

// watchForReset waits until the connection is broken. It reports false if it was
// interrupted.
func (l *link) watchForReset() bool {
	broken := false
	err := l.sock.Read(func(fd uintptr) bool {
		broken = hasError(fd)
		return broken
	})
	return broken || err != nil && !isTimeout(err)
}

// interrupt ends a read that another goroutine waits in.
func (l *link) interrupt() {
	l.SetReadDeadline(past) //nolint:errcheck // a closed connection ends its reads anyway
}

// closeWrite sends FIN, after close_notify unless cut. It does not wait for the other
// side to take them.
func (s *Server) closeWrite(l *link, cut bool) {
	nc, ended := l.Conn, s.wg.Go
	if l.wire == nil || cut {
		nc, _ = layers(nc)
		ended = func(f func()) { f() }
	}
	if w, ok := nc.(interface{ CloseWrite() error }); ok {
		ended(func() { w.CloseWrite() }) //nolint:errcheck // a broken connection shows on reading
	}
}

// closeLink closes a connection. It does not wait for the other side to take
// close_notify, for which crypto/tls allows it 5 s.
func (s *Server) closeLink(l *link, how closing) {
	socket, _ := layers(l.Conn)
	switch t, _ := socket.(*net.TCPConn); {
	case how != closeFIN:
		if t != nil && how == closeReset {
			t.SetLinger(0) //nolint:errcheck // best effort
		}
		socket.Close()
	case l.wire == nil:
		l.Close()
	case !l.closing.Swap(true):
		l.interrupt()
		s.wg.Go(func() {
			defer context.AfterFunc(s.ctx, func() { socket.Close() })()
			l.Close()
		})
	}
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }
