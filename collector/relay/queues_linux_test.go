package relay

import (
	"context"
	"net"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// fill writes as much as the system takes for a side that does not read.
func fill(t *testing.T, nc net.Conn, chunk int) (sent int) {
	t.Helper()
	raw, err := nc.(*net.TCPConn).SyscallConn()
	require.NoError(t, err)
	b := make([]byte, chunk)
	require.NoError(t, raw.Write(func(fd uintptr) bool {
		for {
			n, err := unix.Write(int(fd), b)
			if err != nil {
				return assert.ErrorIs(t, err, unix.EAGAIN)
			}
			sent += n
		}
	}))
	return sent
}

// TestLimitSendQueue: the system queues little for a side that does not read.
func TestLimitSendQueue(t *testing.T) {
	const chunk = 16 << 10
	for _, size := range []int{mostQueue, leastQueue} {
		ln := rawconn.Listen(t)
		nc := rawconn.Open(t, ln.Addr().String())
		limitSendQueue(nc, size)
		const window, segment = 128 << 10, 64 << 10 // of the other side, of the loopback interface
		assert.LessOrEqual(t, fill(t, nc, chunk), size+window+segment)
	}
}

// TestLimitReceived: the system receives little for a program that has not been accepted
// yet, and from a server that was connected to while there were many connections.
func TestLimitReceived(t *testing.T) {
	const chunk = 1 << 10
	most := 2*leastQueue + mostQueue/4 + chunk // with what the sender queues
	ln := rawconn.Listen(t)
	ReceiveLittle(ln, leastQueue)
	program := rawconn.Open(t, ln.Addr().String())
	limitSendQueue(program, leastQueue)
	assert.LessOrEqual(t, fill(t, program, chunk), most)

	for size, check := range map[int]func(t assert.TestingT, got, most any, _ ...any) bool{leastQueue: assert.LessOrEqual, mostQueue: assert.Greater} {
		ctx := context.WithValue(t.Context(), queueKey{}, size)
		server := rawconn.Listen(t)
		d := net.Dialer{ControlContext: func(ctx context.Context, _, _ string, c syscall.RawConn) error { LimitReceived(ctx, c); return nil }}
		nc, err := d.DialContext(ctx, "tcp", server.Addr().String())
		require.NoError(t, err)
		defer nc.Close()
		sender, err := server.Accept()
		require.NoError(t, err)
		defer sender.Close()
		limitSendQueue(sender, leastQueue)
		check(t, fill(t, sender, chunk), most)
	}
}

func TestQueueSize(t *testing.T) {
	for _, tt := range []struct {
		memory      int64
		connections int
		want        int
	}{
		{0, 1, 128 << 10},
		{0, 5000, 128 << 10},
		{16 << 20, 1, 128 << 10},
		{16 << 20, 32, 128 << 10},
		{16 << 20, 64, 64 << 10},
		{16 << 20, 128, 32 << 10},
		{16 << 20, 512, 8 << 10},
		{16 << 20, 5000, 8 << 10},
		{1, 1, 8 << 10},
	} {
		assert.Equal(t, tt.want, QueueSize(tt.memory, tt.connections), "%d of %d", tt.connections, tt.memory)
	}
}
