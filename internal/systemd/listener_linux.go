package systemd

import (
	"fmt"
	"syscall"

	"golang.org/x/sys/unix"
)

// bindAnyPort binds a socket that is about to connect to a free port, and returns
// the port.
func bindAnyPort(network string, c syscall.RawConn) (port int, err error) {
	var address unix.Sockaddr = &unix.SockaddrInet4{}
	if network == "tcp6" {
		address = &unix.SockaddrInet6{}
	}
	controlErr := c.Control(func(fd uintptr) {
		if err = unix.Bind(int(fd), address); err != nil {
			return
		}
		if address, err = unix.Getsockname(int(fd)); err != nil {
			return
		}
		switch a := address.(type) {
		case *unix.SockaddrInet4:
			port = a.Port
		case *unix.SockaddrInet6:
			port = a.Port
		default:
			err = fmt.Errorf("unexpected address type %T", a)
		}
	})
	if err == nil {
		err = controlErr
	}
	return port, err
}
