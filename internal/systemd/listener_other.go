//go:build !linux

package systemd

import (
	"errors"
	"syscall"
)

// bindAnyPort is never called on systems without a watchdog.
func bindAnyPort(string, syscall.RawConn) (int, error) {
	return 0, errors.New("not supported on this system")
}
