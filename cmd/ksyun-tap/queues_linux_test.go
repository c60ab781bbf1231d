package main

import (
	"bufio"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"strconv"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// limitedVariable is set in a process whose memory is limited.
const limitedVariable = "TEST_LIMITED"

// TestQueuesFollowTheMemoryLimit: with a memory limit, the system receives less ahead, from
// programs by the limit on their connections, and from the API by what those before have left.
func TestQueuesFollowTheMemoryLimit(t *testing.T) {
	if os.Getenv(limitedVariable) == "" { // in a process of its own, which takes the limit when it starts
		cmd := exec.CommandContext(t.Context(), os.Args[0], "-test.run=^"+t.Name()+"$")
		cmd.Env = append(os.Environ(), "GOMEMLIMIT=256MiB", limitedVariable+"=1")
		out, err := cmd.CombinedOutput()
		require.NoError(t, err, "%s", out)
		return
	}
	const (
		limit, share        = 256 << 20, 10
		connections, inFact = 250, 150
		page                = 4 << 10
	)
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	defer api.Close()
	address := api.Listener.Addr().String()
	tap := serveTap(t, "--web.listen-address=127.0.0.1:0", "--upstream.connect-to="+apiHost+":80="+address, "--proxy.max-connections="+strconv.Itoa(connections))

	for _, way := range []string{wayProxy, wayWeb} {
		raw, err := tap.listeners[way][0].(*net.TCPListener).SyscallConn()
		require.NoError(t, err)
		require.NoError(t, raw.Control(func(fd uintptr) {
			assert.InDelta(t, 2*limit/share/4/connections, received(t, int(fd)), page, way)
		}))
	}

	for range inFact {
		nc := rawconn.Open(t, tap.address(wayProxy))
		_, err := nc.Write([]byte("GET / HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n"))
		require.NoError(t, err)
		resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
		require.NoError(t, err)
		require.Equal(t, http.StatusOK, resp.StatusCode)
	}
	left, size := limit/share, 0 // of the latest connection's four queues
	for range inFact {
		more := min(120<<10, left/128)
		left, size = left-4*more, 8<<10+more
	}
	least := 1 << 30
	for _, fd := range socketsTo(t, address) {
		least = min(least, received(t, fd))
	}
	assert.InDelta(t, 2*size, least, page, "from the API")
}

// received returns how much the system receives for a socket before it is read, with what
// it needs for itself.
func received(t *testing.T, fd int) int {
	t.Helper()
	n, err := unix.GetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF)
	require.NoError(t, err)
	return n
}

// socketsTo returns the sockets of this process that are connected to an address.
func socketsTo(t *testing.T, address string) (fds []int) {
	t.Helper()
	entries, err := os.ReadDir("/proc/self/fd")
	require.NoError(t, err)
	to, err := net.ResolveTCPAddr("tcp", address)
	require.NoError(t, err)
	for _, e := range entries {
		fd, err := strconv.Atoi(e.Name())
		require.NoError(t, err)
		if peer, err := unix.Getpeername(fd); err == nil {
			if in, ok := peer.(*unix.SockaddrInet4); ok && in.Port == to.Port {
				fds = append(fds, fd)
			}
		}
	}
	return fds
}
