package relay

import (
	"crypto/tls"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func fdConn(fd int) (net.Conn, error) {
	var s Server
	return s.connOf(fd, closeFIN)
}

// TestLinkDoesNotWaitForTheRestOfARecord reads a record while a part of the next one lies
// behind it.
func TestLinkDoesNotWaitForTheRestOfARecord(t *testing.T) {
	s := newSession(t, false, tls.VersionTLS13)
	defer syscall.Close(s.fd)
	l := newLink(s.ours)
	s.nc.SetReadDeadline(time.Now().Add(patience))
	one, two := strings.Repeat("1", 2000), strings.Repeat("2", 2000) // longer than what crypto/tls reads ahead
	records := append(s.raw.seal(typeData, []byte(one)), s.raw.seal(typeData, []byte(two))...)
	b := make([]byte, 10_000)
	for _, part := range []struct {
		sent []byte
		want string
	}{{records[:len(records)-1], one}, {records[len(records)-1:], two}} {
		_, err := syscall.Write(s.fd, part.sent)
		require.NoError(t, err)
		n, err := l.Read(b)
		require.NoError(t, err)
		assert.Equal(t, part.want, string(b[:n]))
	}
}

// TestLinkReadsSeveralRecords reads what lies ready, with few reads of the socket, and holds no
// memory when nothing does.
func TestLinkReadsSeveralRecords(t *testing.T) {
	s := newSession(t, false, tls.VersionTLS13)
	defer syscall.Close(s.fd)
	w := s.ours.NetConn().(*wire)
	socket := &countingConn{Conn: w.Conn}
	w.Conn = socket
	l := newLink(s.ours)
	const record, records = 2000, 8
	var all []byte
	for range records {
		all = append(all, s.raw.seal(typeData, make([]byte, record))...)
	}
	_, err := syscall.Write(s.fd, all)
	require.NoError(t, err)
	b := make([]byte, 1<<16)
	reads := 0
	for n := 0; n < records*record; reads++ {
		k, err := l.Read(b)
		require.NoError(t, err)
		n += k
	}
	assert.LessOrEqual(t, reads, 3, "reads") // the last record may lie in crypto/tls
	assert.Equal(t, 1, socket.reads, "reads of the socket")
	assert.Nil(t, w.memory)
}

// TestWireHoldsNoMemoryDuringAHandshake reads in small parts.
func TestWireHoldsNoMemoryDuringAHandshake(t *testing.T) {
	ln := rawconn.Listen(t)
	w := Wire(rawconn.Open(t, ln.Addr().String()), nil).(*wire)
	rawconn.Accept(t, ln).Send("hello")
	_, err := w.Read(make([]byte, 1))
	require.NoError(t, err)
	assert.Nil(t, w.memory)
	assert.Empty(t, w.ahead)
}

// countingConn counts reads.
type countingConn struct {
	net.Conn
	reads int
}

func (c *countingConn) Read(b []byte) (int, error) {
	c.reads++
	return c.Conn.Read(b)
}

// TestEndBehindAReset has a connection end with close_notify or without, after a write learned
// of a reset.
func TestEndBehindAReset(t *testing.T) {
	for end, want := range map[sessionEnds]reception{endsProperly: receivedEnd, endsCut: receivedReset} {
		s := newSession(t, false, tls.VersionTLS13)
		l := newLink(s.ours)
		l.reset.Store(true)
		if end == endsProperly {
			_, err := syscall.Write(s.fd, s.raw.seal(typeAlert, []byte{1, 0}))
			require.NoError(t, err)
		}
		s.finish(end)
		_, err := l.Read(make([]byte, 1))
		assert.Equal(t, want, receptionOf(err, l.wire), "the end is %v", err)
		syscall.Close(s.fd)
	}
}

// shortConn takes so many bytes.
type shortConn struct {
	net.Conn
	short
}

func (c *shortConn) Write(b []byte) (int, error) { return c.short.Write(b) }

// TestWireWritesWhatIsBehindFirst writes to a connection that takes a part.
func TestWireWritesWhatIsBehindFirst(t *testing.T) {
	for room, want := range []int{0, 0, 0, 1, 2, 3} {
		w := &wire{Conn: &shortConn{short: short{room}}, behind: []byte("ab")}
		n, err := w.Write([]byte("cde"))
		assert.Equal(t, want, n)
		assert.Equal(t, room < 5, err != nil, "%v", err)
	}
}

// TestWhatLoopsTake has TLS be spoken over a connection in different ways: a loop takes one
// of which it can replace the socket, after the handshakes.
func TestWhatLoopsTake(t *testing.T) {
	over := func(nc net.Conn) net.Conn { return Wire(nc, nil) }
	bare := func(nc net.Conn) net.Conn { return nc }
	other := func(nc net.Conn) net.Conn { return struct{ net.Conn }{nc} }
	const silent = -1 // no handshake
	for name, tt := range map[string]struct {
		below []func(net.Conn) net.Conn // each TLS connection, from the socket up
		shake int
		taken bool
	}{
		"plain":                     {nil, 0, true},
		"TLS":                       {[]func(net.Conn) net.Conn{over}, 0, true},
		"before the handshake":      {[]func(net.Conn) net.Conn{over}, silent, false},
		"without a wire":            {[]func(net.Conn) net.Conn{bare}, 0, false},
		"over something else":       {[]func(net.Conn) net.Conn{other}, 0, false},
		"TLS within TLS":            {[]func(net.Conn) net.Conn{over, over}, 0, true},
		"that, without a wire":      {[]func(net.Conn) net.Conn{bare, over}, 0, false},
		"that, with something else": {[]func(net.Conn) net.Conn{over, other}, 0, false},
	} {
		t.Run(name, func(t *testing.T) {
			ln := rawconn.Listen(t)
			tcp := rawconn.Open(t, ln.Addr().String())
			server := net.Conn(rawconn.Accept(t, ln))
			nc := tcp
			var top net.Conn
			for _, below := range tt.below {
				top = below(nc)
				client := tls.Client(top, anyServer)
				nc = client
				if tt.shake == silent {
					break
				}
				theirs := tls.Server(server, testTLS())
				server = theirs
				shaken := make(chan error, 1)
				go func() { shaken <- theirs.Handshake() }()
				require.NoError(t, client.Handshake())
				require.NoError(t, <-shaken)
			}
			socket, s := tcpOf(nc)
			if !tt.taken {
				assert.Nil(t, socket)
				return
			}
			assert.Same(t, tcp, socket)
			if top != nil {
				assert.Same(t, top, s.top, "what the end is known by")
				assert.Same(t, tcp, s.wire.Conn, "what is above the socket")
				_, w := layers(nc)
				assert.Same(t, top, w, "what the end is known by elsewhere")
			}
		})
	}
}
