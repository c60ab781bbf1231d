//go:build !race

package relay

import (
	"syscall"
	"unsafe"

	"golang.org/x/sys/unix"
)

// readNow and writeNow are recv(2) and send(2) on sockets that do not block: the
// scheduler need not know of them. They cost less than read(2) and write(2).
func readNow(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_RECVFROM, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), 0, 0, 0) //nolint:gosec // as the system call wants it
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}

func writeNow(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, _, errno := unix.RawSyscall6(unix.SYS_SENDTO, uintptr(fd), uintptr(unsafe.Pointer(&b[0])), uintptr(len(b)), unix.MSG_NOSIGNAL, 0, 0) //nolint:gosec // as the system call wants it
		if errno != unix.EINTR {
			return int(n), errno
		}
	}
}
