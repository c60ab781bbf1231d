package relay

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"
)

// session is TLS over a pair of sockets between what is tested and a test.
type session struct {
	t    testing.TB
	ours *tls.Conn
	nc   net.Conn // below it
	fd   int      // the test's end, which does not block
	peer *tls.Conn
	raw  *recordLayer // in place of peer with TLS 1.3
	sent bytes.Buffer
	got  []byte
}

// newBuffers returns buffers whose sizes are those of the defaults.
func newBuffers(limit int64) *buffers {
	bufs := new(buffers)
	bufs.init(64<<10, 64<<10, 16<<10, limit)
	return bufs
}

// newSession returns one after the handshake. With sockets it is the loop's from
// then on, else as it is elsewhere.
func newSession(t testing.TB, client bool, version uint16) *session {
	t.Helper()
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	s := &session{t: t, fd: fds[1]}
	s.nc, err = fdConn(fds[0])
	require.NoError(t, err)
	t.Cleanup(func() { s.nc.Close() })
	cfg := testTLS().Clone()
	cfg.InsecureSkipVerify, cfg.ServerName, cfg.MaxVersion = true, "h", version
	cfg.SessionTicketsDisabled = !client // the records are counted from the handshake on
	var log strings.Builder
	cfg.KeyLogWriter = &log
	theirs := cfg.Clone()
	cfg.KeyLogWriter = nil
	mine, their := tls.Server, tls.Client
	if client {
		mine, their = tls.Client, tls.Server
	}
	s.ours = mine(&wire{Conn: s.nc}, cfg)
	end := &sessionEnd{s: s}
	s.peer = their(end, theirs)
	shaken := make(chan error)
	go func() { shaken <- s.peer.Handshake() }()
	require.NoError(t, s.ours.Handshake())
	require.NoError(t, <-shaken)
	end.after = true
	if version == tls.VersionTLS13 {
		s.raw = takeUp(t, s.peer, log.String(), !client)
	}
	return s
}

// sessionEnd lies below the test's TLS: after the handshake what is written goes to
// sent, and what is read comes from got.
type sessionEnd struct {
	net.Conn
	s     *session
	after bool
}

func (e *sessionEnd) Read(b []byte) (int, error) {
	if e.after {
		n := copy(b, e.s.got)
		if e.s.got = e.s.got[n:]; n == 0 {
			return 0, errWait
		}
		return n, nil
	}
	e.s.await(unix.POLLIN)
	return syscall.Read(e.s.fd, b)
}

func (e *sessionEnd) Write(b []byte) (int, error) {
	if e.after {
		return e.s.sent.Write(b)
	}
	return syscall.Write(e.s.fd, b)
}

// SetWriteDeadline does nothing: there is always room.
func (e *sessionEnd) SetWriteDeadline(time.Time) error { return nil }

func (s *session) await(events int16) {
	for {
		if _, err := unix.Poll([]unix.PollFd{{Fd: int32(s.fd), Events: events}}, -1); err != unix.EINTR {
			return
		}
	}
}

// socket returns the tested side as a loop's.
func (s *session) socket(bufs *buffers) *socket {
	s.t.Helper()
	fd, err := duplicate(s.nc.(syscall.Conn))
	require.NoError(s.t, err)
	s.nc.Close()
	w := s.ours.NetConn().(*wire)
	sock := &socket{fd: fd, writable: true}
	sock.tls = &secure{sock: sock, bufs: bufs, conn: s.ours, top: w, wire: w, held: true}
	w.direct = sock.tls
	return sock
}

// collect reads what the tested side sent.
func (s *session) collect() {
	b := make([]byte, 1<<16)
	for {
		n, err := syscall.Read(s.fd, b)
		if n <= 0 {
			if err != nil && err != syscall.EAGAIN {
				s.t.Fatal(err)
			}
			return
		}
		s.got = append(s.got, b[:n]...)
	}
}

// open decrypts what was collected.
func (s *session) open() (data []byte, closed bool) {
	s.t.Helper()
	if s.raw != nil {
		data, closed = s.raw.open(s.got)
		s.got = nil
		return data, closed
	}
	b := make([]byte, 1<<16)
	for {
		n, err := s.peer.Read(b)
		data = append(data, b[:n]...)
		switch {
		case errors.Is(err, io.EOF):
			return data, true
		case errors.Is(err, errWait):
			return data, false
		case err != nil:
			s.t.Fatal(err)
		}
	}
}

// sessionEnds are how the test ends what it sends.
type sessionEnds uint8

const (
	endsProperly sessionEnds = iota // with close_notify
	endsCut                         // with FIN alone
	endsShort                       // with FIN within a record, or behind any
	endsReset
	endsBadly // with a record that cannot be read
	sessionEndings
)

// prepare has the test write records by the seed to sent, and returns what they
// contain and how it will end.
func (s *session) prepare(g generator) (plain []byte, end sessionEnds) {
	end = sessionEnds(g.IntN(int(sessionEndings)))
	for range g.IntN(12) {
		switch kind := g.IntN(8); {
		case kind == 0 && s.raw != nil:
			// Without a response, crypto/tls does not go on.
			s.sent.Write(s.raw.update(end != endsReset && g.chance(50), 1+g.IntN(5)))
		case kind == 1 && s.raw != nil:
			s.sent.Write(s.raw.seal(typeData, nil))
		case kind == 2 && s.raw != nil:
			s.sent.Write(s.raw.seal(typeAlert, []byte{1, 90})) // user_canceled, which is ignored
		default:
			sizes := []int{1, 100, 1 << 10, 1<<14 - 1, 1 << 14, 1<<14 + 1, 60 << 10}
			b := g.bytes(1 + g.IntN(sizes[g.IntN(len(sizes))]))
			plain = append(plain, b...)
			if s.raw == nil {
				s.peer.Write(b)
				break
			}
			for len(b) > 0 {
				n := min(len(b), 1<<14)
				s.sent.Write(s.raw.seal(typeData, b[:n]))
				b = b[n:]
			}
		}
	}
	switch end {
	case endsProperly:
		if s.raw != nil {
			s.sent.Write(s.raw.seal(typeAlert, []byte{1, 0}))
		} else {
			s.peer.CloseWrite()
		}
	case endsShort:
		s.sent.Truncate(g.IntN(s.sent.Len() + 1))
	case endsBadly:
		s.sent.WriteString("\x17\x03\x03\x00\x20" + strings.Repeat("x", 32))
	}
	return plain, end
}

// finish ends what the test sends.
func (s *session) finish(end sessionEnds) {
	if end == endsReset {
		syscall.Close(s.fd) // with bytes that were not read
		return
	}
	syscall.Shutdown(s.fd, syscall.SHUT_WR)
}

// readByLink is how the other driver reads all of it.
func (s *session) readByLink(end sessionEnds) (data []byte, how reception) {
	l := newLink(s.ours)
	if end == endsReset {
		io.WriteString(l, "unread")
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		b := make([]byte, 100_000)
		for {
			n, err := l.Read(b)
			data = append(data, b[:n]...)
			if err != nil {
				how = receptionOf(err, l.wire)
				return
			}
		}
	}()
	for rest := s.sent.Bytes(); len(rest) > 0; {
		n, err := syscall.Write(s.fd, rest)
		if err == syscall.EAGAIN {
			s.await(unix.POLLOUT)
			continue
		}
		if err != nil {
			break // after what cannot be read
		}
		rest = rest[n:]
	}
	s.finish(end)
	<-done
	s.nc.Close()
	if end != endsReset {
		syscall.Close(s.fd)
	}
	return data, how
}

// readBySocket reads all of it by a loop's socket, with pieces and pauses by the
// seed.
func (s *session) readBySocket(g generator, end sessionEnds, bufs *buffers) (data []byte, how reception) {
	sock := s.socket(bufs)
	if end == endsReset {
		if n, ok := sock.write([]byte("unread")); n == 0 || !ok {
			s.t.Fatal("a record cannot be written")
		}
	}
	read := func() {
		for how == receiving && sock.canRead() {
			b := make([]byte, 1+g.IntN(1<<(1+g.IntN(17))))
			n, ended := sock.read(b)
			data = append(data, b[:n]...)
			how = ended
			if n == 0 && ended == receiving && sock.canRead() {
				s.t.Fatal("nothing is read, and still something is to be read")
			}
		}
	}
	for rest := s.sent.Bytes(); len(rest) > 0; {
		n, err := syscall.Write(s.fd, rest[:min(len(rest), 1+g.IntN(1<<g.IntN(17)))])
		if n > 0 {
			rest = rest[n:]
			sock.readable = true // which is an event
		}
		if err == syscall.EPIPE {
			break
		}
		if err != nil || g.chance(80) {
			read()
		}
	}
	if g.chance(50) {
		read()
	}
	s.finish(end)
	sock.readable, sock.hungUp = true, true
	read()
	if sock.isQueued() {
		s.t.Fatal("something is queued, although there is room")
	}
	if end != endsReset {
		s.collect()
		if end != endsBadly {
			if response, closed := s.open(); len(response) > 0 || closed {
				s.t.Fatalf("the response is %q, close_notify %v", response, closed)
			}
		}
		syscall.Close(s.fd)
	}
	sock.close(closeCut)
	return data, how
}

// TestSocketReadsAsLinkDoes has both drivers' connections read the same records, with
// every kind of end: what is read and how it ends is the same.
func TestSocketReadsAsLinkDoes(t *testing.T) {
	bufs := newBuffers(0)
	eachSession(t, func(t *testing.T, client bool, version uint16) {
		for seed := range uint64(100) {
			a, b := newSession(t, client, version), newSession(t, client, version)
			plain, end := a.prepare(newGenerator(seed))
			sent, _ := b.prepare(newGenerator(seed))
			// Keys differ, and so does the content.
			if len(plain) != len(sent) || a.sent.Len() != b.sent.Len() {
				t.Fatal("the sessions are not alike")
			}
			data, how := a.readByLink(end)
			got, gotHow := b.readBySocket(newGenerator(seed+1), end, bufs)
			if !bytes.Equal(got, data) || gotHow != how {
				t.Errorf("seed %d, end %d: read %d bytes, end %d; the other driver %d bytes, end %d", seed, end, len(got), gotHow, len(data), how)
			}
			if whole := end != endsShort; !bytes.HasPrefix(plain, got) || whole && len(got) != len(plain) {
				t.Errorf("seed %d, end %d: read %d bytes of %d, or others", seed, end, len(got), len(plain))
			}
			want := map[sessionEnds]reception{endsProperly: receivedEnd, endsCut: receivedCut, endsShort: receivedCut, endsReset: receivedReset, endsBadly: receivedReset}[end]
			assert.Equal(t, want, gotHow, "seed %d, end %d: the end is", seed, end)
			n := bufs.inUse.Load()
			assert.Zero(t, n, "seed %d: %d bytes are still in use", seed, n)
		}
	})
}

func eachSession(t *testing.T, test func(t *testing.T, client bool, version uint16)) {
	for _, client := range []bool{false, true} {
		for name, version := range map[string]uint16{"TLS 1.2": tls.VersionTLS12, "TLS 1.3": tls.VersionTLS13} {
			t.Run(fmt.Sprintf("client %v, %s", client, name), func(t *testing.T) { test(t, client, version) })
		}
	}
}

// TestSocketWrites writes with little room, while the other side reads by and by
// and updates its keys: everything arrives, and what is reported as written was
// taken by the system.
func TestSocketWrites(t *testing.T) {
	srv := New(Config{MaxHeadBytes: 64 << 10, InspectBytes: 64 << 10, TailBytes: 16 << 10})
	eachSession(t, func(t *testing.T, client bool, version uint16) {
		for seed := range uint64(60) {
			g := newGenerator(seed)
			s := newSession(t, client, version)
			sock := s.socket(&srv.bufs)
			unix.SetsockoptInt(sock.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1<<(12+g.IntN(5)))
			want := g.bytes(g.IntN(300_000))
			updates := 0
			for written := 0; written < len(want); {
				if g.chance(10) && s.raw != nil && updates < 10 {
					updates++
					_, err := syscall.Write(s.fd, s.raw.update(true, 5))
					require.NoError(t, err)
					sock.readable = true
					if n, end := sock.read(make([]byte, 10)); n > 0 || end != receiving {
						t.Fatalf("read %d bytes, end %d", n, end)
					}
				}
				if !sock.writable {
					s.collect()
					sock.writable = true // which is an event
				}
				rest := want[written:]
				if !sock.isQueued() {
					rest = rest[:1+g.IntN(len(rest))]
				}
				n, ok := sock.write(rest)
				require.True(t, ok, "the connection takes no more")
				if n > 0 && sock.isQueued() {
					t.Fatal("bytes are reported as written while they are queued")
				}
				written += n
			}
			how := closing(g.IntN(2)) // FIN or cut
			closed := how == closeFIN
			if g.chance(50) {
				sock.writable = false // there is no room for close_notify
			}
			if rest := sock.close(how); rest != nil {
				done := make(chan struct{})
				go func() { defer close(done); srv.finish(sock.fd, rest) }()
				s.untilEnd()
				<-done
			} else {
				s.untilEnd()
			}
			got, gotClosed := s.open()
			if !bytes.Equal(got, want) || closed != gotClosed {
				t.Errorf("seed %d: %d bytes, close_notify %v; want %d, %v", seed, len(got), gotClosed, len(want), closed)
			}
			if s.raw != nil && s.raw.updates != updates {
				t.Errorf("seed %d: keys were updated %d times, want %d", seed, s.raw.updates, updates)
			}
			n := srv.bufs.inUse.Load()
			assert.Zero(t, n, "seed %d: %d bytes are still in use", seed, n)
			syscall.Close(s.fd)
		}
	})
}

// untilEnd collects until the tested side has closed.
func (s *session) untilEnd() {
	b := make([]byte, 1<<16)
	for {
		s.await(unix.POLLIN)
		n, err := syscall.Read(s.fd, b)
		switch {
		case n > 0:
			s.got = append(s.got, b[:n]...)
		case err == syscall.EAGAIN || err == syscall.EINTR:
		default:
			return
		}
	}
}

// TestResponsesOfTLSAreBounded asks for updates of keys and takes no response.
func TestResponsesOfTLSAreBounded(t *testing.T) {
	bufs := newBuffers(0)
	s := newSession(t, false, tls.VersionTLS13)
	sock := s.socket(bufs)
	unix.SetsockoptInt(sock.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1) // the smallest there is
	b := make([]byte, 1<<10)
	sent := 0
	for ; sock.tls.responses <= maxResponses; sent++ {
		require.LessOrEqual(t, sent, 1_000, "reading goes on")
		_, err := syscall.Write(s.fd, append(s.raw.update(true, 5), s.raw.seal(typeData, []byte("x"))...))
		require.NoError(t, err)
		sock.readable = true
		for sock.canRead() {
			if n, end := sock.read(b); n == 0 && end != receiving {
				t.Fatalf("the end is %d", end)
			}
		}
	}
	assert.LessOrEqual(t, sock.tls.queued(), 2*maxResponses, "bytes are queued")
	for sock.isQueued() {
		s.collect()
		sock.writable = true
		if n, ok := sock.write(nil); n > 0 || !ok {
			t.Fatalf("%d bytes were written, %v", n, ok)
		}
	}
	if !sock.canRead() {
		sock.readable = true
	}
	s.collect()
	if s.open(); !sock.canRead() || s.raw.updates < sent {
		t.Errorf("reading does not go on, or keys were updated %d times, want %d", s.raw.updates, sent)
	}
	sock.close(closeCut)
	syscall.Close(s.fd)
}

// TestResponsesToManyRecordsAreBounded asks for updates of keys in records that are received
// together.
func TestResponsesToManyRecordsAreBounded(t *testing.T) {
	bufs := newBuffers(0)
	s := newSession(t, false, tls.VersionTLS13)
	sock := s.socket(bufs)
	sock.writable = false
	const updates = 1000
	var all, got []byte
	for range updates {
		all = append(append(all, s.raw.update(true, 5)...), s.raw.seal(typeData, []byte("x"))...)
	}
	n, err := syscall.Write(s.fd, all)
	require.NoError(t, err)
	require.Len(t, all, n)
	sock.readable = true
	for b := make([]byte, len(all)); len(got) < updates; {
		require.True(t, sock.canRead(), "reading goes on")
		n, end := sock.read(b)
		require.Equal(t, receiving, end)
		require.Positive(t, n, "bytes are read")
		got = append(got, b[:n]...)
		require.LessOrEqual(t, sock.tls.queued(), 2*maxResponses, "bytes are queued")
		if !sock.canRead() {
			sock.writable = true
			sock.tls.flush()
			sock.writable = false
		}
	}
	sock.close(closeCut)
	s.untilEnd()
	s.open()
	assert.LessOrEqual(t, updates-s.raw.updates, maxResponses/20, "updates whose responses were queued at the end")
	assert.Zero(t, bufs.inUse.Load(), "bytes are still in use")
	syscall.Close(s.fd)
}

// TestSocketQueue writes with no room while memory is short or not, behind responses of TLS or
// not: much is queued only if there is memory for it, and all of it arrives.
func TestSocketQueue(t *testing.T) {
	const record = 100 // more than what TLS adds to one
	for name, tt := range map[string]struct {
		limit       int64
		responses   int
		least, most int // how much of what is written is encrypted at first
	}{
		"there is memory":                 {0, 0, largeBuffer, largeBuffer},
		"there is none":                   {1, 0, 1, smallBuffer / 2},
		"behind responses":                {0, maxResponses, largeBuffer, largeBuffer},
		"behind responses, there is none": {1, maxResponses, 1, smallBuffer / 2},
	} {
		t.Run(name, func(t *testing.T) {
			bufs := newBuffers(tt.limit)
			s := newSession(t, false, tls.VersionTLS13)
			sock := s.socket(bufs)
			sock.writable = false
			updates := 0
			ask := func() {
				updates++
				_, err := syscall.Write(s.fd, append(s.raw.update(true, 5), s.raw.seal(typeData, []byte("x"))...))
				require.NoError(t, err)
				sock.readable = true
				n, end := sock.read(make([]byte, 10))
				require.Equal(t, 1, n, "the end is %d", end)
			}
			for sock.tls.queued() < tt.responses {
				ask()
			}
			before := sock.tls.queued()
			want := newGenerator(1).bytes(200_000)
			n, ok := sock.write(want)
			require.True(t, ok)
			require.Zero(t, n, "bytes are reported as written while they are queued")
			queued := sock.tls.queued() - before
			assert.GreaterOrEqual(t, queued, tt.least)
			assert.LessOrEqual(t, queued, tt.most+5*record)
			assert.LessOrEqual(t, bufs.inUse.Load(), int64(len(sock.tls.out.b)), "bytes are in use")
			if tt.limit > 0 {
				assert.LessOrEqual(t, len(sock.tls.out.b), smallBuffer+maxResponses)
			}
			if tt.responses == 0 {
				ask() // what is queued is no response
				assert.True(t, sock.canRead() || !sock.readable && !sock.tls.held, "reading goes on")
			}
			for written := 0; written < len(want); written += n {
				sock.writable = true
				n, ok = sock.write(want[written:])
				require.True(t, ok)
				s.collect()
			}
			assert.False(t, sock.isQueued())
			assert.Zero(t, bufs.inUse.Load(), "bytes are still in use")
			sock.close(closeCut)
			s.untilEnd()
			got, _ := s.open()
			assert.True(t, bytes.Equal(want, got), "%d bytes arrive, or others", len(got))
			assert.Equal(t, updates, s.raw.updates)
			syscall.Close(s.fd)
		})
	}
}

// TestSocketClosesWithItsQueue breaks a connection off while something is queued.
func TestSocketClosesWithItsQueue(t *testing.T) {
	for _, how := range []closing{closeCut, closeReset} {
		bufs := newBuffers(0)
		s := newSession(t, false, tls.VersionTLS13)
		sock := s.socket(bufs)
		sock.writable = false
		n, ok := sock.write([]byte("queued"))
		require.True(t, ok && n == 0 && sock.isQueued())
		assert.Nil(t, sock.close(how), "is to be written")
		assert.Zero(t, bufs.inUse.Load(), "bytes are still in use")
		s.untilEnd()
		got, closed := s.open()
		assert.True(t, len(got) == 0 && !closed, "%q arrives, close_notify %v", got, closed)
		syscall.Close(s.fd)
	}
}

// TestSocketTakesNoMore writes to a connection whose other side is gone.
func TestSocketTakesNoMore(t *testing.T) {
	bufs := newBuffers(0)
	s := newSession(t, false, tls.VersionTLS13)
	sock := s.socket(bufs)
	syscall.Close(s.fd)
	n, ok := sock.write([]byte("more"))
	assert.True(t, n == 0 && !ok, "%d bytes are written, %v", n, ok)
	assert.False(t, sock.isQueued())
	assert.Zero(t, bufs.inUse.Load(), "bytes are still in use")
	sock.close(closeReset)
}

// TestSocketWaitsForEvents reads all there is, and writes as much as there is room for: the
// next call would find nothing, and waits for an event.
func TestSocketWaitsForEvents(t *testing.T) {
	fds, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM|syscall.SOCK_CLOEXEC|syscall.SOCK_NONBLOCK, 0)
	require.NoError(t, err)
	defer syscall.Close(fds[1])
	sock := &socket{fd: fds[0], readable: true, writable: true}
	for _, tt := range []struct {
		sent, room int
		hungUp     bool
		more       bool
	}{{0, 10, false, false}, {3, 10, false, false}, {10, 10, false, true}, {3, 10, true, true}} {
		_, err := syscall.Write(fds[1], make([]byte, tt.sent))
		require.NoError(t, err)
		sock.readable, sock.hungUp = true, tt.hungUp
		n, end := sock.read(make([]byte, tt.room))
		assert.Equal(t, tt.sent, n)
		assert.Equal(t, receiving, end)
		assert.Equal(t, tt.more, sock.canRead(), "%+v", tt)
	}
	unix.SetsockoptInt(sock.fd, unix.SOL_SOCKET, unix.SO_SNDBUF, 1) // the smallest there is
	n, ok := sock.write(make([]byte, 1))
	assert.True(t, ok && n == 1 && sock.writable, "a byte is written")
	for sock.writable {
		n, ok = sock.write(make([]byte, 1<<20))
		require.True(t, ok)
		require.Less(t, n, 1<<20)
		assert.False(t, sock.writable, "more is written")
	}
	sock.writable = true
	n, ok = sock.write(make([]byte, 1))
	assert.True(t, ok && n == 0 && !sock.writable, "there is no room")
	sock.close(closeFIN)
}

// TestSocketIsDetachedWithItsQueue goes on with a connection outside of the loop while
// a response of TLS is queued: what is written later is behind it.
func TestSocketIsDetachedWithItsQueue(t *testing.T) {
	bufs := newBuffers(0)
	s := newSession(t, false, tls.VersionTLS13)
	sock := s.socket(bufs)
	sock.writable = false
	if _, err := syscall.Write(s.fd, append(s.raw.update(true, 5), s.raw.seal(typeData, []byte("before"))...)); err != nil {
		t.Fatal(err)
	}
	sock.readable = true
	b := make([]byte, 100)
	if n, end := sock.read(b[:3]); n != 3 || end != receiving || !sock.isQueued() {
		t.Fatalf("read %d bytes, end %d, queued: %v", n, end, sock.isQueued())
	}
	nc, err := fdConn(sock.fd)
	require.NoError(t, err)
	nc = sock.tls.detach(nc)
	other := bufs.getSmall() // who gets the memory next
	copy(other.b, junk)
	defer bufs.put(other)
	if n, err := nc.Read(b[3:]); err != nil || string(b[:3+n]) != "before" {
		t.Errorf("read %q, %v", b[:3+n], err)
	}
	for _, p := range []string{"one", "two"} {
		if n, err := io.WriteString(nc, p); n != len(p) || err != nil {
			t.Errorf("%d bytes were written, %v", n, err)
		}
	}
	assert.NoError(t, nc.Close())
	s.untilEnd()
	if got, closed := s.open(); string(got) != "onetwo" || !closed || s.raw.updates != 1 {
		t.Errorf("got %q, close_notify %v, %d updates of keys", got, closed, s.raw.updates)
	}
	assert.EqualValues(t, smallBuffer, bufs.inUse.Load(), "bytes are still in use")
	syscall.Close(s.fd)
}
