//go:build race

package relay

import (
	"errors"
	"syscall"
)

// For the race detector, what is read happens after what was written, as with
// package net: package syscall has it know.

func readNow(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Read(fd, b)
		if err != syscall.EINTR {
			return n, errnoOf(err)
		}
	}
}

func writeNow(fd int, b []byte) (int, syscall.Errno) {
	for {
		n, err := syscall.Write(fd, b)
		if err != syscall.EINTR {
			return n, errnoOf(err)
		}
	}
}

func errnoOf(err error) (errno syscall.Errno) {
	errors.As(err, &errno)
	return errno
}
