package relay

import (
	"bytes"
	"net"
	"runtime"
	"testing"
	"unsafe"
)

const releaseRequest = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// exchange sends a request and its response through p and up.
func exchange(r *rig, p, up *peer) {
	r.t.Helper()
	up.Expect(releaseRequest)
	up.Send("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	p.Expect("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
	r.ends(EndComplete)
}

// tlsMemory returns the size of the buffers of all TLS connections of a rig's loops,
// and how much in them is unread.
func tlsMemory(r *rig) (size, unread int) {
	for _, l := range r.srv.driving {
		done := make(chan struct{})
		l.post(nil, func() {
			defer close(done)
			for _, end := range l.ends {
				if end.p == nil || end.p.looped.socks[end.side].tls == nil {
					continue
				}
				for _, offset := range tlsBuffers {
					b := (*bytes.Buffer)(unsafe.Add(unsafe.Pointer(end.p.looped.socks[end.side].tls.conn), offset))
					size += b.Cap()
					unread += b.Len()
				}
			}
		})
		<-done
	}
	return size, unread
}

func TestRelease(t *testing.T) {
	if len(tlsBuffers) != 2 {
		t.Fatal("crypto/tls has other buffers than expected: Release frees nothing")
	}
	r := newTLSUpstreamRig(t)
	p := r.client()
	p.Send(releaseRequest)
	up := r.upstream()
	exchange(r, p, up)
	if size, _ := tlsMemory(r); size < 2<<10 {
		t.Errorf("two TLS connections have buffers of %d bytes", size)
	}
	r.srv.Release(t.Context())
	if size, _ := tlsMemory(r); size != 0 {
		t.Errorf("%d bytes were not released", size)
	}
	p.Send(releaseRequest)
	exchange(r, p, up)
}

// recorder is a connection that keeps what is written.
type recorder struct {
	net.Conn
	b []byte
}

// Write implements net.Conn.
func (r *recorder) Write(b []byte) (int, error) {
	r.b = append(r.b, b...)
	return len(b), nil
}

// TestReleaseWithinRecord checks that what was received of a record is not released.
func TestReleaseWithinRecord(t *testing.T) {
	r := newTLSUpstreamRig(t)
	p := r.client()
	p.Send(releaseRequest)
	up := r.upstream()
	exchange(r, p, up)

	record := &recorder{Conn: p.TCPConn}
	p.wire.Conn = record
	p.Send(releaseRequest)
	half := len(record.b) / 2
	p.TCPConn.Write(record.b[:half])
	for unread := 0; unread < half; _, unread = tlsMemory(r) {
		runtime.Gosched()
	}
	r.srv.Release(t.Context())
	p.TCPConn.Write(record.b[half:])
	exchange(r, p, up)
}

func TestReleaseWithoutConnections(t *testing.T) {
	newRig(t).srv.Release(t.Context())
	New(Config{}).Release(t.Context())
}
