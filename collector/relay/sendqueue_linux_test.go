package relay

import (
	"net"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestLimitSendQueue: the system queues little for a side that does not read.
func TestLimitSendQueue(t *testing.T) {
	ln := rawconn.Listen(t)
	nc := rawconn.Open(t, ln.Addr().String())
	limitSendQueue(nc)
	raw, err := nc.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	sent, chunk := 0, make([]byte, 16<<10)
	require.NoError(t, raw.Write(func(fd uintptr) bool {
		for {
			n, err := unix.Write(int(fd), chunk)
			if err != nil {
				return assert.ErrorIs(t, err, unix.EAGAIN)
			}
			sent += n
		}
	}))
	window := 128 << 10 // of the other side
	assert.LessOrEqual(t, sent, maxSendQueue+len(chunk)+window)
}
