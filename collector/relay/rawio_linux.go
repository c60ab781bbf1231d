//go:build !race

package relay

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readNow and writeNow are read(2) and write(2) on sockets that do not block:
// the scheduler need not know of them.
func readNow(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_READ, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))) //nolint:gosec // as the system call wants it
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

func writeNow(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall(unix.SYS_WRITE, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b))) //nolint:gosec // as the system call wants it
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
