package rawconn

import (
	"io"
	"net"
	"testing"
)

// Open connects to an address, without a deadline. The connection is closed when the
// test ends.
func Open(t testing.TB, address string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

// RoundTrip sends a request and reads as many bytes as buf has. It allocates nothing.
func RoundTrip(t testing.TB, nc net.Conn, request, buf []byte) {
	t.Helper()
	if _, err := nc.Write(request); err != nil {
		t.Fatal(err)
	}
	if _, err := io.ReadFull(nc, buf); err != nil {
		t.Fatal(err)
	}
}

// AnswerAll sends the response for whatever a read returns, on each connection until
// the listener is closed. It allocates nothing for an exchange.
func AnswerAll(ln net.Listener, response []byte) {
	Serve(ln, func(nc net.Conn) {
		b := make([]byte, 4096)
		for {
			if _, err := nc.Read(b); err != nil {
				return
			}
			if _, err := nc.Write(response); err != nil {
				return
			}
		}
	})
}
