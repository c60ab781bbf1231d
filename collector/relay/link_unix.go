//go:build unix

package relay

import (
	"io"
	"os"
	"syscall"
)

const canPeek = true

// readSocket is the body of link.await: it takes a buffer only once there may
// be bytes, and gives it back if there are none.
func (l *link) readSocket(fd uintptr) bool {
	var b *buffer
	if l.large {
		b = l.bufs.getLarge()
	} else {
		b = l.bufs.getSmall()
	}
	for {
		n, err := syscall.Read(int(fd), b.free())
		switch {
		case err == syscall.EINTR:
			continue
		case n > 0:
			b.w += n
			l.got, l.gotErr = b, nil
			return true
		}
		l.bufs.put(b)
		if err == syscall.EAGAIN {
			return false
		}
		l.got, l.gotErr = nil, io.EOF
		if err != nil {
			l.gotErr = os.NewSyscallError("read", err)
		}
		return true
	}
}

func (l *link) peekSocket(fd uintptr) { l.seen = peekFD(fd) }

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
