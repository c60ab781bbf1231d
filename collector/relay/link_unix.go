//go:build unix

package relay

import "syscall"

const canPeek = true

func peekFD(fd uintptr) sight {
	var one [1]byte
	for {
		n, _, err := syscall.Recvfrom(int(fd), one[:], syscall.MSG_PEEK|syscall.MSG_DONTWAIT)
		switch {
		case err == syscall.EINTR:
			continue
		case err == syscall.EAGAIN:
			return sightNothing
		case err != nil:
			return sightReset
		case n == 0:
			return sightEnd
		}
		return sightData
	}
}

func hasError(fd uintptr) bool {
	e, err := syscall.GetsockoptInt(int(fd), syscall.SOL_SOCKET, syscall.SO_ERROR)
	return err != nil || e != 0
}
