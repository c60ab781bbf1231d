package relay

import (
	"bytes"
	"context"
	"crypto/tls"
	"reflect"
	"unsafe"
)

// Release frees the buffers of TLS connections that have no exchange. It returns when
// they are free or ctx ends.
func (s *Server) Release(ctx context.Context) {
	s.mu.Lock()
	loops := s.driving
	s.mu.Unlock()
	for _, l := range loops {
		done := make(chan struct{})
		l.post(nil, func() {
			defer close(done)
			l.freeIdle()
		})
		select {
		case <-done:
		case <-ctx.Done():
			return
		}
	}
}

// freeIdle frees the buffers of the loop's TLS connections that have no exchange.
func (l *loop) freeIdle() {
	for _, end := range l.ends {
		if end.p == nil || end.p.m.stage != stageIdle {
			continue
		}
		if t := end.p.looped.socks[end.side].tls; t != nil {
			releaseTLS(t.conn)
		}
	}
}

// releaseTLS frees the buffers of tc, and of TLS that it lies in.
func releaseTLS(tc *tls.Conn) {
	for _, offset := range tlsBuffers {
		if b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(tc), offset)); b.Len() == 0 { //nolint:gosec // see tlsBuffers
			*b = bytes.Buffer{}
		}
	}
	below := tc.NetConn()
	for w, ok := below.(*wire); ok; w, ok = below.(*wire) {
		below = w.Conn
	}
	if outer, ok := below.(*tls.Conn); ok {
		releaseTLS(outer)
	}
}

// tlsBuffers are the offsets in a tls.Conn of the buffers for the records and the
// handshake messages that it receives. They only grow: to 6 KiB in a handshake with
// post-quantum keys, and to more than a record of 16 KiB. crypto/tls has no way to
// free them. An empty one can be replaced while nobody reads: it is used by nothing
// but its methods.
var tlsBuffers = func() (offsets []uintptr) {
	for _, name := range []string{"rawInput", "hand"} {
		f, ok := reflect.TypeFor[tls.Conn]().FieldByName(name)
		if ok && f.Type == reflect.TypeFor[bytes.Buffer]() {
			offsets = append(offsets, f.Offset)
		}
	}
	return offsets
}()
