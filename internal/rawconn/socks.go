package rawconn

import (
	"io"
	"net"
	"sync/atomic"
	"testing"
)

// ServeSOCKS starts a SOCKS 5 proxy without authentication that connects to one address
// whatever it is asked for. It returns its own address and the number of connections.
func ServeSOCKS(t testing.TB, to string) (address string, connections *atomic.Int64) {
	t.Helper()
	ln := Listen(t)
	connections = new(atomic.Int64)
	go Serve(ln, func(nc net.Conn) {
		connections.Add(1)
		read := func(n int) []byte {
			b := make([]byte, n)
			io.ReadFull(nc, b)
			return b
		}
		read(int(read(2)[1]))
		nc.Write([]byte{5, 0})
		switch read(4)[3] {
		case 1:
			read(4)
		case 3:
			read(int(read(1)[0]))
		case 4:
			read(16)
		}
		read(2)
		up, err := net.Dial("tcp", to)
		if err != nil {
			nc.Write([]byte{5, 5, 0, 1, 0, 0, 0, 0, 0, 0})
			return
		}
		defer up.Close()
		nc.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
		go func() {
			defer up.Close()
			io.Copy(up, nc)
		}()
		io.Copy(nc, up)
	})
	return ln.Addr().String(), connections
}
