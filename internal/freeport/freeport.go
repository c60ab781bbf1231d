// Package freeport finds free ports for tests that must know an address before
// something listens on it.
package freeport

import (
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
	"testing"
)

// The ports are below the range of ephemeral ports (on Linux from 32768, elsewhere
// from 49152). A free port in that range could be used by an outgoing connection
// before the test listens on it.
const first, count = 20000, 12000

// next starts at a different port in each process and tries no port twice.
var next = func() *atomic.Uint32 {
	n := new(atomic.Uint32)
	n.Store(uint32(os.Getpid()%count) * 97)
	return n
}()

// TCP returns an address on 127.0.0.1 on which nothing listens.
func TCP(t testing.TB) string {
	t.Helper()
	return find(t, func(address string) (io.Closer, error) {
		return new(net.ListenConfig).Listen(t.Context(), "tcp", address)
	})
}

// UDP is like TCP, for UDP.
func UDP(t testing.TB) string {
	t.Helper()
	return find(t, func(address string) (io.Closer, error) {
		return new(net.ListenConfig).ListenPacket(t.Context(), "udp", address)
	})
}

func find(t testing.TB, listen func(address string) (io.Closer, error)) string {
	t.Helper()
	var errs []error
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%count)
		ln, err := listen(address)
		if err == nil {
			err = ln.Close()
		}
		if err == nil {
			return address
		}
		errs = append(errs, err)
	}
	t.Fatal(errors.Join(errs...))
	return ""
}
