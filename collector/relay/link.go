package relay

import (
	"errors"
	"io"
	"net"
	"os"
	"syscall"
	"time"
)

// past is a deadline that ends whatever waits for it.
var past = time.Unix(1, 0)

// link is one end of the relay: a connection, its deadlines, and what needs
// the socket below it.
//
// One goroutine reads and one writes at a time.
type link struct {
	nc   net.Conn
	bufs *buffers
	raw  syscall.RawConn // the socket, where nc is nothing more; else nil
	sock syscall.RawConn // the socket, also below TLS; nil if there is none
	wire *wire           // what TLS is spoken over; nil without TLS
	held *buffer         // read through TLS by watch, which can only look by reading
	mute bool            // to be closed without TLS's farewell

	readBy, writeBy time.Time // the deadlines as they are set

	// Reading through raw calls a function; it and what it works on are kept
	// here so that no read allocates.
	readFn func(fd uintptr) bool
	large  bool
	got    *buffer
	gotErr error

	peekFn func(fd uintptr)
	seen   sight
}

// sight is what a look at a socket's unread bytes shows.
type sight uint8

const (
	sightNothing sight = iota // open, nothing to read
	sightData
	sightEnd   // the other side will send no more
	sightReset // broken
)

func (l *link) init(nc net.Conn, bufs *buffers) {
	inner, w := layers(nc)
	*l = link{nc: nc, bufs: bufs, wire: w}
	if tcp, ok := inner.(*net.TCPConn); ok && canPeek {
		if rc, err := tcp.SyscallConn(); err == nil {
			l.sock = rc
			l.peekFn = l.peekSocket
			if inner == nc {
				l.raw = rc
				l.readFn = l.readSocket
			}
		}
	}
}

// readWithin makes reads fail after d at the latest and d/2 at the earliest:
// a deadline in that span is left as it is, since setting one costs as much as
// all else that is done for a small message. 0 is no limit.
func (l *link) readWithin(now time.Time, d time.Duration) {
	if by, set := deadline(l.readBy, now, d); set {
		l.readBy = by
		l.nc.SetReadDeadline(by) //nolint:errcheck // a closed connection tells on reading
	}
}

// writeWithin is readWithin for writes.
func (l *link) writeWithin(now time.Time, d time.Duration) {
	if by, set := deadline(l.writeBy, now, d); set {
		l.writeBy = by
		l.nc.SetWriteDeadline(by) //nolint:errcheck // a closed connection tells on writing
	}
}

func deadline(current, now time.Time, d time.Duration) (by time.Time, set bool) {
	if d <= 0 {
		return time.Time{}, !current.IsZero()
	}
	if left := current.Sub(now); !current.IsZero() && left >= d/2 && left <= d {
		return current, false
	}
	return now.Add(d), true
}

// interrupt ends a read that another goroutine waits in.
func (l *link) interrupt() {
	l.nc.SetReadDeadline(past) //nolint:errcheck // a closed connection ends its reads anyway
}

// await waits for bytes and returns them in a buffer. On a plain socket none is
// held while waiting; otherwise a small one is.
func (l *link) await(large bool) (*buffer, error) {
	if b := l.held; b != nil {
		l.held = nil
		return b, nil
	}
	if l.raw == nil {
		b := l.bufs.getSmall()
		if err := l.read(b); err != nil {
			l.bufs.put(b)
			return nil, err
		}
		return b, nil
	}
	l.large = large
	if err := l.raw.Read(l.readFn); err != nil {
		return nil, err
	}
	b, err := l.got, l.gotErr
	l.got, l.gotErr = nil, nil
	return b, err
}

// read reads more into b, which has room.
func (l *link) read(b *buffer) error {
	if l.held != nil {
		l.readHeld(b)
		return nil
	}
	n, err := l.nc.Read(b.free())
	switch {
	case n > 0:
		b.w += n
		return nil
	case err == nil:
		return io.ErrNoProgress
	case errors.Is(err, io.ErrUnexpectedEOF):
		return io.EOF // within a record; isCut tells
	}
	return err
}

func (l *link) readHeld(b *buffer) {
	n := copy(b.free(), l.held.unread())
	b.w += n
	if l.held.r += n; l.held.r == l.held.w {
		l.dropHeld()
	}
}

func (l *link) dropHeld() {
	l.bufs.put(l.held) // which takes nil
	l.held = nil
}

// isCut reports whether the other side ended TLS without a farewell.
func (l *link) isCut() bool { return l.wire != nil && l.wire.cut.Load() }

// peek looks at what there is to read, without waiting.
func (l *link) peek() sight {
	switch {
	case l.held != nil:
		return sightData
	case l.sock == nil:
		return sightNothing
	}
	if err := l.sock.Control(l.peekFn); err != nil {
		return sightReset
	}
	return l.seen
}

// broken reports whether the connection is known to be, by what was written to
// it. A socket that has been half-closed does not tell when it is read.
func (l *link) broken() bool {
	if l.sock == nil {
		return false
	}
	broken := false
	err := l.sock.Control(func(fd uintptr) { broken = hasError(fd) })
	return err != nil || broken
}

// watch waits until there is something to see. It reports sightNothing if it
// was interrupted.
func (l *link) watch() sight {
	if l.wire != nil {
		return l.watchTLS()
	}
	if l.sock == nil {
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

// watchTLS is watch above TLS, where a farewell is told from a request only by
// decrypting it.
func (l *link) watchTLS() sight {
	if l.held != nil {
		return sightData
	}
	b := l.bufs.getSmall()
	err := l.read(b)
	if err == nil {
		l.held = b
		return sightData
	}
	l.bufs.put(b)
	switch {
	case errors.Is(err, io.EOF):
		return sightEnd
	case isTimeout(err):
		return sightNothing
	}
	return sightReset
}

// closeWrite tells the other side that no more will be sent.
func (l *link) closeWrite() {
	nc := l.nc
	if l.mute {
		nc, _ = layers(nc)
	}
	if w, ok := nc.(interface{ CloseWrite() error }); ok {
		w.CloseWrite() //nolint:errcheck // a broken connection tells on reading
	}
}

// abort closes the connection with a reset.
func (l *link) abort() {
	nc, _ := layers(l.nc) // past TLS, which would wait to say goodbye
	if t, ok := nc.(*net.TCPConn); ok {
		t.SetLinger(0) //nolint:errcheck // best effort
	}
	nc.Close()
}

func (l *link) close() {
	nc := l.nc
	if l.mute {
		nc, _ = layers(nc)
	}
	nc.Close()
}

func isTimeout(err error) bool { return errors.Is(err, os.ErrDeadlineExceeded) }

func isReset(err error) bool {
	return errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.ECONNABORTED)
}
