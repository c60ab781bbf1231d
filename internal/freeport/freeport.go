// Package freeport finds ports for tests that must know an address before
// somebody listens on it.
package freeport

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"sync/atomic"
)

// The ports lie below the range from which systems give ports to outgoing
// connections (on Linux from 32768, elsewhere from 49152): a free port of that
// range may be some connection's own by the time it is listened on.
const first, count = 20000, 12000

// next makes two processes begin at different ports, and no port be tried twice.
var next = func() *atomic.Uint32 {
	n := new(atomic.Uint32)
	n.Store(uint32(os.Getpid()%count) * 97)
	return n
}()

// TCP returns an address of 127.0.0.1 that nobody listens on.
func TCP(ctx context.Context) (string, error) {
	return find(func(address string) (io.Closer, error) { return new(net.ListenConfig).Listen(ctx, "tcp", address) })
}

// UDP is TCP for UDP.
func UDP(ctx context.Context) (string, error) {
	return find(func(address string) (io.Closer, error) {
		return new(net.ListenConfig).ListenPacket(ctx, "udp", address)
	})
}

func find(listen func(address string) (io.Closer, error)) (string, error) {
	var errs []error
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%count)
		ln, err := listen(address)
		if err == nil {
			return address, ln.Close()
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}
