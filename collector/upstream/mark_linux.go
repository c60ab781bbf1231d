package upstream

import "golang.org/x/sys/unix"

// setMark sets the mark of a socket (SO_MARK), by which redirect rules can exclude it.
func setMark(fd uintptr, mark uint32) error {
	return unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_MARK, int(mark))
}
