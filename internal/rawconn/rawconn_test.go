package rawconn_test

import (
	"net"
	"runtime"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// probe is a test that may fail.
type probe struct {
	testing.TB
	failed bool
}

func (p *probe) Helper() {}

func (p *probe) Fatalf(string, ...any) {
	p.failed = true
	runtime.Goexit()
}

// TestExpectNothing checks that the check fails for bytes that have arrived.
func TestExpectNothing(t *testing.T) {
	ln, err := net.ListenTCP("tcp", &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1)})
	require.NoError(t, err)
	defer ln.Close()
	a := rawconn.Dial(t, ln.Addr().String())
	p := &probe{TB: t}
	b := rawconn.New(p, rawconn.Accept(t, ln).Conn)
	fails := func() bool {
		p.failed = false
		done := make(chan struct{})
		go func() {
			defer close(done)
			b.ExpectNothing()
		}()
		<-done
		return p.failed
	}
	assert.False(t, fails(), "nothing was sent")
	a.Send("x") // is in the socket of a local connection at once
	assert.True(t, fails(), "a byte was sent")
	b.Expect("x")
	require.NoError(t, a.CloseWrite())
	assert.False(t, fails(), "the end is no byte")
}
