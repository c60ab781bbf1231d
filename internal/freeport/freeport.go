// Package freeport finds ports for tests that must know an address before
// somebody listens on it.
package freeport

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"sync/atomic"
)

// The ports lie below the range from which systems give ports to outgoing
// connections (on Linux from 32768, elsewhere from 49152): a free port of that
// range may be some connection's own by the time it is listened on.
const first, count = 20000, 12000

// Two processes rarely begin at one port, and none tries a port twice.
var next = func() *atomic.Uint32 {
	n := new(atomic.Uint32)
	n.Store(rand.Uint32N(count))
	return n
}()

// TCP returns an address of 127.0.0.1 that nobody listens on.
func TCP() (string, error) {
	return find(func(address string) error {
		ln, err := net.Listen("tcp", address)
		if err != nil {
			return err
		}
		return ln.Close()
	})
}

// UDP is TCP for UDP.
func UDP() (string, error) {
	return find(func(address string) error {
		pc, err := net.ListenPacket("udp", address)
		if err != nil {
			return err
		}
		return pc.Close()
	})
}

func find(listen func(address string) error) (string, error) {
	var errs []error
	for range 100 {
		address := fmt.Sprintf("127.0.0.1:%d", first+next.Add(1)%count)
		err := listen(address)
		if err == nil {
			return address, nil
		}
		errs = append(errs, err)
	}
	return "", errors.Join(errs...)
}
