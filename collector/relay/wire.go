package relay

import (
	"errors"
	"io"
	"net"
	"sync"
	"sync/atomic"
)

// wire is the connection below TLS. It reads several records at a time, so that
// more can be read without waiting, and it remembers whether the other side closed
// without close_notify, which crypto/tls does not report.
type wire struct {
	net.Conn
	ahead  []byte // read and not handed on
	memory *[]byte
	noWait bool // reads end with errWait where there is nothing ahead
	// buffered is set if several records are read at a time. During a handshake, the
	// memory for that would be held as long as the other side is waited for.
	buffered bool
	cut      atomic.Bool
	direct   io.ReadWriter // used in place of Conn by a loop; else nil
	behind   []byte        // to be written before anything else, from a loop
}

// errWait ends a read that would have to wait. crypto/tls goes on after it, as
// it is temporary.
var errWait net.Error = waitError{}

type waitError struct{}

// Error implements error.
func (waitError) Error() string { return "nothing was received yet" }

// Timeout implements net.Error.
func (waitError) Timeout() bool { return true }

// Temporary implements net.Error.
func (waitError) Temporary() bool { return true }

const wireBuffer = 2 * (16<<10 + 512) // about two records of the largest size

var wireBuffers = sync.Pool{New: func() any {
	b := make([]byte, wireBuffer)
	return &b
}}

// Wire wraps nc for TLS to a server, so that the relay can forward to the program
// whether the server sent close_notify before it closed. Bytes of the server that
// were read already are read again.
func Wire(nc net.Conn, ahead []byte) net.Conn { return &wire{Conn: nc, ahead: ahead} }

// NetConn returns the connection below.
func (w *wire) NetConn() net.Conn { return w.Conn }

// CloseWrite passes on to the connection below. It is called as a method of an
// interface, when the upstream connection of a tunnel ends.
func (w *wire) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.ahead) == 0 {
		switch {
		case w.direct != nil:
			n, err := w.direct.Read(p)
			w.note(err)
			return n, err
		case w.noWait:
			return 0, errWait
		case !w.buffered:
			n, err := w.Conn.Read(p)
			w.note(err)
			return n, err
		}
		if err := w.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, w.ahead)
	if w.ahead = w.ahead[n:]; len(w.ahead) == 0 {
		w.release() // not to be held as long as the connection lasts
	}
	return n, nil
}

// fill reads what there is.
func (w *wire) fill() error {
	memory := wireBuffers.Get().(*[]byte)
	n, err := w.Conn.Read(*memory)
	if n == 0 {
		wireBuffers.Put(memory)
		w.note(err)
		return err
	}
	w.ahead, w.memory = (*memory)[:n], memory
	return nil
}

// note notes whether a read came to the end.
func (w *wire) note(err error) {
	if errors.Is(err, io.EOF) {
		w.cut.Store(true)
	}
}

func (w *wire) Write(p []byte) (int, error) {
	switch {
	case w.direct != nil:
		return w.direct.Write(p)
	case len(w.behind) > 0:
		b := append(w.behind, p...)
		w.behind = nil
		n, err := w.Conn.Write(b)
		return max(n-len(b)+len(p), 0), err
	}
	return w.Conn.Write(p)
}

// Close does not close the socket of a loop.
func (w *wire) Close() error {
	if w.direct != nil {
		return nil
	}
	return w.Conn.Close()
}

func (w *wire) release() {
	w.ahead = nil
	if w.memory != nil {
		wireBuffers.Put(w.memory)
		w.memory = nil
	}
}

// layers returns what lies at the bottom of nc, and the wire at the top, nil
// where there is none.
func layers(nc net.Conn) (socket net.Conn, w *wire) {
	for {
		if at, ok := nc.(*wire); ok && w == nil {
			w = at
		}
		t, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc, w
		}
		nc = t.NetConn()
	}
}
