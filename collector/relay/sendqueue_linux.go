package relay

import (
	"net"

	"golang.org/x/sys/unix"
)

// maxSendQueue is how many bytes the system takes to send before the other side has room
// for them. It would take megabytes, which count towards the memory of a container.
const maxSendQueue = 128 << 10

// limitSendQueue limits what the system queues for a connection. A system that cannot is
// used without.
func limitSendQueue(nc net.Conn) {
	socket, _ := layers(nc)
	tcp, ok := socket.(*net.TCPConn)
	if !ok {
		return
	}
	if raw, err := tcp.SyscallConn(); err == nil {
		raw.Control(func(fd uintptr) { //nolint:errcheck // a closed connection queues nothing
			unix.SetsockoptInt(int(fd), unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT, maxSendQueue) //nolint:errcheck // best effort
		})
	}
}
