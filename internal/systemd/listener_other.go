//go:build !linux

package systemd

import (
	"errors"
	"syscall"
)

// bindAnyPort is not called where no service manager watches.
func bindAnyPort(string, syscall.RawConn) (int, error) {
	return 0, errors.New("no service manager watches on this system")
}
