package relay

import (
	"net"
	"syscall"

	"golang.org/x/sys/unix"
)

// limitSendQueue limits what the system queues for a connection that the other side has
// no room for. It would be megabytes. A system that cannot is used without.
func limitSendQueue(nc net.Conn, size int) {
	socket, _ := layers(nc)
	tcp, ok := socket.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		setOption(raw, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, size)
	}
}

// limitReceived limits what the system receives for a socket before it is read, to twice
// size with what it needs for itself, unless that is usual. It would be megabytes in the
// end. A socket that is connected has promised its room to the other side already.
func limitReceived(c syscall.RawConn, size int) {
	if size < usualQueue {
		setOption(c, unix.SOL_SOCKET, unix.SO_RCVBUF, size)
	}
}

func setOption(c syscall.RawConn, level, option, value int) {
	c.Control(func(fd uintptr) { //nolint:errcheck // a closed connection queues nothing
		unix.SetsockoptInt(int(fd), level, option, value) //nolint:errcheck // best effort
	})
}
