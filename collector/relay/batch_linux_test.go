package relay

import (
	"io"
	"net"
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// pending returns how many bytes can be read from a socket.
func pending(t testing.TB, fd int) int {
	n, err := unix.IoctlGetInt(fd, unix.TIOCINQ)
	assert.NoError(t, err)
	return n
}

// awaitPending waits until so many bytes can be read from a socket.
func awaitPending(t testing.TB, fd, n int) bool {
	return assert.Eventually(t, func() bool { return pending(t, fd) >= n }, patience, time.Millisecond, "%d bytes do not arrive", n)
}

// reporting is a handler that calls done first.
type reporting struct {
	Handler
	done func()
}

func (h reporting) Done(x *Exchange) {
	h.done()
	h.Handler.Done(x)
}

// exchange is a pair whose request waits for the response, and its peers.
type exchange struct {
	p     *pair
	c, up *peer
}

// exchanges has n programs wait for the response, all of them on the only loop, on which f is
// called.
func (r *rig) exchanges(n int, f func(l *loop, all []exchange)) {
	r.t.Helper()
	all := make([]exchange, n)
	byClient := map[netip.AddrPort]*exchange{}
	for i := range all {
		all[i].c, all[i].up = r.begin(getRequest)
		byClient[all[i].c.LocalAddr().(*net.TCPAddr).AddrPort()] = &all[i]
	}
	r.srv.each(func(p *pair) { byClient[p.client].p = p })
	l, done := r.srv.driving[0], make(chan struct{})
	l.post(all[0].p, func() {
		defer close(done)
		l.driveDue()
		f(l, all)
	})
	<-done
}

// descriptor returns that of a test's own connection.
func descriptor(t testing.TB, c *peer) int {
	t.Helper()
	fd, err := duplicate(c.TCPConn)
	require.NoError(t, err)
	t.Cleanup(func() { closeFD(fd) })
	return fd
}

// TestEventsAreHandledTogether has responses arrive at the same time. They are read one after
// the other, as many as maxUnsent allows, and all of these are sent before the first is
// reported.
func TestEventsAreHandledTogether(t *testing.T) {
	const size, pairs = 45_000, 14
	const together = (maxUnsent + size - 1) / size
	response := ofLength(size)
	r := newRig(t, func(c *Config) { c.Loops = 1 })
	r.exchanges(pairs, func(l *loop, all []exchange) {
		var events []unix.EpollEvent
		var programs []int
		var reads []int // at each report
		for i := range all {
			fd := all[i].p.looped.socks[upstream].fd
			events = append(events, unix.EpollEvent{Events: unix.EPOLLIN, Fd: int32(fd), Pad: l.ends[fd].watch})
			programs = append(programs, descriptor(t, all[i].c))
			_, err := io.WriteString(all[i].up, response)
			assert.NoError(t, err)
			awaitPending(t, fd, size)
			all[i].p.m.h = reporting{all[i].p.m.h, func() {
				n := 0
				for n < pairs && pending(t, int(events[n].Fd)) == 0 {
					n++
				}
				reads = append(reads, n)
				for _, fd := range programs[:n] {
					awaitPending(t, fd, 1)
				}
			}}
		}
		l.handle(events)
		want := make([]int, 0, pairs)
		for i := range pairs {
			want = append(want, min(pairs, (i/together+1)*together))
		}
		assert.Equal(t, want, reads, "responses were read when one was reported")
	})
}

// TestShortResponsesAreCompacted has short responses be read while others wait.
func TestShortResponsesAreCompacted(t *testing.T) {
	const pairs = 4
	r := newRig(t, func(c *Config) { c.Loops = 1 })
	r.exchanges(pairs, func(l *loop, all []exchange) {
		before := r.srv.bufs.inUse.Load()
		for _, e := range all {
			io.WriteString(e.up, okResponse)
			r.event(l, e.p, upstream, unix.POLLIN)
		}
		assert.LessOrEqual(t, r.srv.bufs.inUse.Load()-before, int64(pairs*smallBuffer), "bytes are in use")
	})
}

// TestIdlePairIsNotDue has a loop look at a pair that has nothing to do: it waits for events.
func TestIdlePairIsNotDue(t *testing.T) {
	atOnce(t, looping, func(t *testing.T, newRig maker) {
		r := newRig(t)
		r.serves()
		r.onLoop(func(l *loop, p *pair) {
			l.queue(p)
			l.driveDue()
			assert.Empty(t, l.due)
		})
	})
}

// TestTurnsAreLimited has a program send more than a loop reads of it before others get a turn.
// The loop goes on with it without another event.
func TestTurnsAreLimited(t *testing.T) {
	const head, size = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 180000\r\n\r\n", 180_000
	const most = turns * smallBuffer
	r := newRig(t, func(c *Config) { c.BufferBytes = 1 })
	c, up := r.begin(head)
	received := make(chan int64)
	go func() {
		n, _ := io.CopyN(io.Discard, up, size)
		received <- n
	}()
	r.onLoop(func(l *loop, p *pair) {
		sock := &p.looped.socks[program]
		l.driveDue()
		assert.NoError(t, unix.SetsockoptInt(sock.fd, unix.SOL_SOCKET, unix.SO_RCVBUF, 2*size))
		go io.WriteString(c, strings.Repeat("x", size))
		if !awaitPending(t, sock.fd, most+smallBuffer) {
			return
		}
		sock.readable = true
		l.queue(p)
		before := p.m.x.RequestBytes
		l.driveDue()
		n := p.m.x.RequestBytes - before
		assert.True(t, smallBuffer < n && n <= most, "%d bytes are read", n)
		assert.Equal(t, []*pair{p}, l.due)
	})
	n := rawconn.Receive(t, received, "the request does not arrive")
	assert.EqualValues(t, size, n)
}

// TestLongHeadsHaveFewTurns has a program send several calls with long heads at once, all of
// which are refused, while the response to another program is there to be passed on.
func TestLongHeadsHaveFewTurns(t *testing.T) {
	const calls, refusal = 4, "HTTP/1.1 400 Refused\r\nContent-Length: 0\r\n\r\n"
	request := "GET / HTTP/1.1\r\nHost: h\r\nA: " + strings.Repeat("a", 60_000) + "\r\n\r\n"
	r := newRig(t, func(c *Config) { c.Loops = 1 })
	var c, other *peer
	r.exchanges(2, func(l *loop, all []exchange) {
		r.route = func(*Exchange) (Route, error) { return Route{}, errTest }
		c, other = all[0].c, all[1].c
		before, served := 0, false
		all[0].p.m.h = reporting{all[0].p.m.h, func() {
			if !served {
				before++
			}
		}}
		all[1].p.m.h = reporting{all[1].p.m.h, func() { served = true }}
		fd := all[0].p.looped.socks[program].fd
		assert.NoError(t, unix.SetsockoptInt(fd, unix.SOL_SOCKET, unix.SO_RCVBUF, calls*len(request)))
		go io.WriteString(c, strings.Repeat(request, calls))
		if !awaitPending(t, fd, calls*len(request)) {
			return
		}
		var events []unix.EpollEvent
		for _, e := range all {
			io.WriteString(e.up, okResponse)
			fd, of := r.arrives(e.p, upstream, unix.POLLIN)
			events = append(events, unix.EpollEvent{Events: uint32(of), Fd: fd, Pad: l.ends[fd].watch})
		}
		all[0].p.looped.socks[program].readable = true
		l.handle(events)
		assert.True(t, served, "the other program has its response")
		most := 1 + (maxTurn+r.srv.bufs.largeSize)/len(request)
		assert.Less(t, most, 1+calls, "proves nothing")
		assert.True(t, 1 < before && before <= most, "%d exchanges end before that of the other program, not 2 to %d", before, most)
	})
	c.Expect(okResponse + strings.Repeat(refusal, calls))
	other.Expect(okResponse)
}

// waitingLoop returns a loop that only waits.
func waitingLoop(t testing.TB) *loop {
	t.Helper()
	l := &loop{processors: 2}
	require.NoError(t, l.open())
	t.Cleanup(l.closeOwn)
	return l
}

// TestBusyLoopIsUnseenForAWhile: it may wait for ever only if the scheduler knows of it.
func TestBusyLoopIsUnseenForAWhile(t *testing.T) {
	l, events := waitingLoop(t), make([]unix.EpollEvent, 1)
	for !l.busy {
		l.rouse()
		l.cycle(events)
	}
	assert.False(t, l.beating, "it has not waited yet")
	for l.busy {
		l.cycle(events) // which only the beat ends
		assert.Equal(t, l.busy, l.beating)
	}
	assert.GreaterOrEqual(t, l.now.Sub(l.woken), often)
	assert.Zero(t, occupied.Load())
}

// TestLoopWithDuePairsDoesNotWait: there may be no event to come.
func TestLoopWithDuePairsDoesNotWait(t *testing.T) {
	l := waitingLoop(t)
	defer time.AfterFunc(patience, l.rouse).Stop() // of one that waits
	l.due = []*pair{new(pair)}
	assert.Zero(t, l.wait(make([]unix.EpollEvent, 1)), "events were waited for")
}

// TestTimerThatFiresEarly has the timer of a pair fire before its deadline, which has moved on
// since.
func TestTimerThatFiresEarly(t *testing.T) {
	r := newRig(t)
	c, up := r.begin(getRequest)
	r.onLoop(func(l *loop, p *pair) {
		l.driveDue()
		timer := &p.looped.timer
		early := l.now.Add(-time.Second)
		l.timers.set(timer, p, early)
		l.arm(p)
		assert.Equal(t, early, timer.at, "it is not set again with each call")
		assert.Zero(t, l.timeout(), "it has fired")
		l.expireTimers()
		at, limited := p.m.deadline()
		assert.True(t, limited)
		assert.Equal(t, at, timer.at)
		assert.Positive(t, timer.n, "it is set")
		assert.Positive(t, l.timeout())
	})
	up.Deliver(okResponse, c)
	r.ends(EndComplete)
}

// TestQueuedByTLSIsWritten has the program end what it sends while there is no room for the
// close_notify to the upstream, and nothing else is to be written when there is.
func TestQueuedByTLSIsWritten(t *testing.T) {
	r := newTLSUpstreamRig(t)
	c, up := r.begin(getRequest)
	r.onLoop(func(l *loop, p *pair) {
		l.driveDue()
		sock := &p.looped.socks[upstream]
		sock.writable = false
		c.CloseWrite()
		r.event(l, p, program, unix.POLLIN|unix.POLLRDHUP)
		l.driveDue()
		assert.True(t, sock.isQueued(), "close_notify is queued")
		l.happened(&unix.EpollEvent{Events: unix.EPOLLOUT, Fd: int32(sock.fd), Pad: l.ends[sock.fd].watch}, false)
		l.driveDue()
		assert.False(t, sock.isQueued(), "close_notify is queued still")
	})
	up.ExpectEnd()
	up.Send(okResponse)
	c.Expect(okResponse)
	r.ends(EndComplete)
}

// TestLoopKeepsNothingOfClosedPairs has a pair be closed while it is due.
func TestLoopKeepsNothingOfClosedPairs(t *testing.T) {
	r := newRig(t)
	r.serves()
	r.onLoop(func(l *loop, p *pair) {
		l.driveDue()
		assert.NotEmpty(t, l.timers)
		fds := []int{p.looped.socks[program].fd, p.looped.socks[upstream].fd}
		l.queue(p)
		l.kill(p)
		assert.NotContains(t, l.due, p)
		assert.Empty(t, l.timers)
		for _, fd := range fds {
			assert.Equal(t, loopEnd{}, l.ends[fd])
		}
	})
}

// TestSocketThatLeavesIsNotWatched has a pair leave a loop, which events of its socket are not
// to wake up any more.
func TestSocketThatLeavesIsNotWatched(t *testing.T) {
	looked := make(chan struct{})
	r := injecting(newRig, func(at call) error {
		if at == callConnection {
			<-looked
		}
		return nil
	})(t)
	r.serves()
	r.onLoop(func(l *loop, p *pair) {
		l.driveDue()
		l.closeEnd(p, upstream)
		fd := p.looped.socks[program].fd
		l.leave(p, nil, func() bool { return false })
		assert.ErrorIs(t, l.watch(unix.EPOLL_CTL_MOD, fd, 0, 0), unix.ENOENT)
		close(looked)
	})
	r.isEmpty()
}

// TestEachSocketHasItsWatch adds the same socket again.
func TestEachSocketHasItsWatch(t *testing.T) {
	r := newRig(t)
	c, up := r.serves()
	r.onLoop(func(l *loop, p *pair) {
		sock := p.looped.socks[program]
		before := l.ends[sock.fd].watch
		l.add(p, program, sock)
		assert.NotEqual(t, before, l.ends[sock.fd].watch)
	})
	r.calls(c, up)
}

// TestSystemQueuesLittle looks at the limits of both sides' sockets.
func TestSystemQueuesLittle(t *testing.T) {
	atOnce(t, looping, func(t *testing.T, newRig maker) {
		const size = 16 << 10
		r := newRig(t, func(c *Config) { c.QueueBytes = 2 * 4 * size })
		r.serves()
		r.onLoop(func(_ *loop, p *pair) {
			for side := range p.looped.socks {
				n, err := unix.GetsockoptInt(p.looped.socks[side].fd, unix.IPPROTO_TCP, unix.TCP_NOTSENT_LOWAT)
				assert.NoError(t, err)
				assert.LessOrEqual(t, n, 2*size, "side %d", side)
				assert.Positive(t, n, "side %d", side)
			}
		})
	})
}
