package relay

import (
	"errors"
	"io"
	"net"
	"sync/atomic"
)

// wire is a connection that TLS is spoken over. It remembers whether the other
// side ended it without TLS's farewell, which crypto/tls does not tell apart.
type wire struct {
	net.Conn
	ahead []byte // read before TLS began, to be read again
	cut   atomic.Bool
}

// Wire returns nc made ready for TLS to a server: the relay then passes on to
// the client whether the server said goodbye before it closed. Bytes of the
// server's that were read already are read again.
func Wire(nc net.Conn, ahead []byte) net.Conn { return &wire{Conn: nc, ahead: ahead} }

// NetConn returns the connection below.
func (w *wire) NetConn() net.Conn { return w.Conn }

// CloseWrite passes on to the connection below.
func (w *wire) CloseWrite() error {
	if c, ok := w.Conn.(interface{ CloseWrite() error }); ok {
		return c.CloseWrite()
	}
	return nil
}

func (w *wire) Read(p []byte) (int, error) {
	if len(w.ahead) > 0 {
		n := copy(p, w.ahead)
		if w.ahead = w.ahead[n:]; len(w.ahead) == 0 {
			w.ahead = nil // not to be held as long as the connection lasts
		}
		return n, nil
	}
	n, err := w.Conn.Read(p)
	if n == 0 && errors.Is(err, io.EOF) {
		w.cut.Store(true)
	}
	return n, err
}

// layers returns what lies at the bottom of nc and the wire above it, nil
// where there is none.
func layers(nc net.Conn) (socket net.Conn, w *wire) {
	for {
		if at, ok := nc.(*wire); ok {
			w = at
		}
		t, ok := nc.(interface{ NetConn() net.Conn })
		if !ok {
			return nc, w
		}
		nc = t.NetConn()
	}
}
