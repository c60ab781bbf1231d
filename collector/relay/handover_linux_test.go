package relay

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// onLoop calls f on the loop that drives the only pair, and waits for it.
func (r *rig) onLoop(f func(l *loop, p *pair)) {
	r.t.Helper()
	done := make(chan struct{})
	posted := 0
	r.srv.each(func(p *pair) {
		p.mu.Lock()
		defer p.mu.Unlock()
		if p.where == atLoop {
			posted++
			l := p.looped.on
			l.post(p, func() {
				defer close(done)
				f(l, p)
			})
		}
	})
	if posted != 1 {
		r.t.Fatalf("%d pairs are on loops, want 1", posted)
	}
	<-done
}

// TestCallsFailForWantOfDescriptors has the system calls that hand a connection over
// fail at random: each exchange is complete or is seen to fail, and nothing is left
// behind.
func TestCallsFailForWantOfDescriptors(t *testing.T) {
	for name, newRig := range map[string]maker{"plain": newRig, "TLS": newTLSRig, "TLS on both sides": newTLSUpstreamRig} {
		t.Run(name, func(t *testing.T) {
			for seed := range uint64(full(200, 4)) {
				testCallsFail(t, newRig, seed)
			}
		})
	}
}

func testCallsFail(t *testing.T, newRig maker, seed uint64) {
	const programs, each = 8, 4
	g, share := newGenerator(seed), 10+int(seed%4)*20
	var mu sync.Mutex
	var failed [callConnection + 1]int
	r := injecting(newRig, func(at call) error {
		mu.Lock()
		defer mu.Unlock()
		if !g.chance(share) {
			return nil
		}
		failed[at]++
		if at == callWatch {
			return unix.ENOSPC
		}
		return unix.EMFILE
	})(t)
	r.reported = make(chan note, 16*programs*each)
	r.serveUpstream(func(_ int, nc net.Conn) { echo(nc) })
	var complete atomic.Int64
	var done sync.WaitGroup
	for range programs {
		done.Go(func() {
			for range each {
				nc, err := net.Dial("tcp", r.front)
				if err != nil {
					t.Error(err)
					return
				}
				nc.SetDeadline(time.Now().Add(patience))
				complete.Add(r.tryCalls(nc))
				nc.Close()
			}
		})
	}
	done.Wait()
	assert.NoError(t, r.srv.Shutdown(t.Context()), "seed %d", seed)
	r.isEmpty()
	close(r.reported)
	reported := int64(0)
	for n := range r.reported {
		if n.end == EndComplete {
			reported++
		}
	}
	got := complete.Load()
	assert.Equal(t, reported, got, "seed %d: %d complete calls were reported, want %d", seed, reported, got)
	if s := r.srv.Stats(); s.Panics > 0 {
		t.Errorf("seed %d: %d panics", seed, s.Panics)
	}
	if r.tls == nil {
		failed[callConnection] = 1 // nothing leaves a loop
	}
	for at, n := range failed {
		if n == 0 && share > 10 {
			t.Errorf("seed %d: call %d never failed", seed, at)
		}
	}
}

// tryCalls makes calls, and returns how many were complete before one failed.
func (r *rig) tryCalls(nc net.Conn) (complete int64) {
	buf := make([]byte, max(len(okResponse), len(established)))
	if r.tls != nil {
		if _, err := io.WriteString(nc, connectRequest); err != nil {
			return 0
		}
		if _, err := io.ReadFull(nc, buf[:len(established)]); err != nil || string(buf[:len(established)]) != established {
			r.failsPlainly(err)
			return 0
		}
		tc := tls.Client(nc, anyServer)
		if err := tc.Handshake(); err != nil {
			r.failsPlainly(err)
			return 0
		}
		nc = tc
	}
	for range 3 {
		if _, err := io.WriteString(nc, getRequest); err != nil {
			return complete
		}
		if _, err := io.ReadFull(nc, buf[:len(okResponse)]); err != nil || string(buf[:len(okResponse)]) != okResponse {
			r.failsPlainly(err)
			return complete
		}
		complete++
	}
	return complete
}

// failsPlainly wants an end, not silence.
func (r *rig) failsPlainly(err error) {
	if isTimeout(err) {
		r.t.Error("a call hangs")
	}
}

// TestWantOfDescriptorsIsNamed has no descriptor for handing a connection over to a
// loop, or back to a goroutine: that is why the request is refused.
func TestWantOfDescriptorsIsNamed(t *testing.T) {
	for name, tt := range map[string]struct {
		request string
		at      call
		from    int64
		told    bool // the program gets a response
	}{
		"to a loop":        {getRequest, callDuplicate, 2, true},
		"back from a loop": {connectRequest, callConnection, 1, false},
	} {
		t.Run(name, func(t *testing.T) {
			var calls atomic.Int64
			r := injecting(newRig, func(at call) error {
				if at == tt.at && calls.Add(1) >= tt.from {
					return unix.EMFILE
				}
				return nil
			})(t)
			c := r.client()
			c.Send(tt.request)
			if tt.told {
				c.Expect("HTTP/1.1 501 Refused\r\n")
			} else {
				c.ExpectReset()
			}
			n := r.ends(EndRefused)
			assert.True(t, isExhausted(n.refusal), "refused because of %v", n.refusal)
		})
	}
}

// TestWantOfDescriptorsMakesRoom is TestWantOfDescriptorsIsNamed while another connection
// waits for a request: it is closed instead.
func TestWantOfDescriptorsMakesRoom(t *testing.T) {
	for request, failing := range map[string]call{getRequest: callDuplicate, connectRequest: callConnection} {
		var short atomic.Bool
		r := injecting(newRig, func(at call) error {
			if at == failing && short.CompareAndSwap(true, false) {
				return unix.EMFILE
			}
			return nil
		})(t)
		waiting, up := r.serves()
		r.waits(1)
		c := r.client()
		r.waits(2)
		short.Store(true)
		c.Send(request)
		r.upstream()
		waiting.ExpectEnd()
		up.ExpectEnd()
	}
}

// TestUnwatchedIsServed has no socket watched by a loop: goroutines serve it.
func TestUnwatchedIsServed(t *testing.T) {
	for name, from := range map[string]int64{"the program's": 1, "the upstream's": 2} {
		t.Run(name, func(t *testing.T) {
			var watched atomic.Int64
			r := injecting(newRig, func(at call) error {
				if at == callWatch && watched.Add(1) >= from {
					return unix.ENOSPC
				}
				return nil
			})(t)
			c, up := r.serves()
			r.calls(c, up)
			up.Close()
			c.ExpectEnd()
			r.isEmpty()
		})
	}
}

// TestKilledOnTheWayFromALoop stops the server while a connection is between a
// loop and a goroutine, with and without a descriptor for it.
func TestKilledOnTheWayFromALoop(t *testing.T) {
	for name, fault := range map[string]error{"with": nil, "without": unix.EMFILE} {
		t.Run(name+" descriptors", func(t *testing.T) {
			way, goOn := make(chan struct{}), make(chan struct{})
			var once sync.Once
			r := injecting(newRig, func(at call) error {
				if at != callConnection {
					return nil
				}
				once.Do(func() {
					close(way)
					<-goOn
				})
				return fault
			})(t)
			c := r.client()
			c.Send(connectRequest)
			<-way
			r.srv.each((*pair).drain)
			r.srv.each((*pair).kill)
			close(goOn)
			c.ExpectReset()
			if fault != nil {
				r.ends(EndRefused)
			}
			r.isEmpty()
		})
	}
}

// TestStoppedOnTheWayToALoop stops the server while a connection is handed to a loop.
func TestStoppedOnTheWayToALoop(t *testing.T) {
	for name, killed := range map[string]bool{"drained": false, "killed": true} {
		t.Run(name, func(t *testing.T) {
			way, goOn := make(chan struct{}), make(chan struct{})
			var once sync.Once
			r := injecting(newRig, func(at call) error {
				if at == callWatch {
					once.Do(func() {
						close(way)
						<-goOn
					})
				}
				return nil
			})(t)
			c := r.client()
			<-way
			r.srv.draining.Store(true)
			r.srv.each((*pair).drain)
			if killed {
				r.srv.each((*pair).kill)
			}
			close(goOn)
			if killed {
				c.ExpectReset()
			} else {
				c.ExpectEnd()
			}
			r.isEmpty()
		})
	}
}

// TestLastProcessorIsLeft has two loops wait on two processors.
func TestLastProcessorIsLeft(t *testing.T) {
	assert.False(t, occupy(1))
	assert.True(t, occupy(2))
	assert.False(t, occupy(2))
	occupied.Add(-1)
	assert.Zero(t, occupied.Load())
}

// TestEventOfFormerSocket reports an event to a loop that came before the descriptor
// was used again: it is not one of the present socket.
func TestEventOfFormerSocket(t *testing.T) {
	r := newRig(t)
	c, up := r.serves()
	r.onLoop(func(l *loop, p *pair) {
		fd := p.looped.socks[program].fd
		l.happened(&unix.EpollEvent{Events: unix.EPOLLERR | unix.EPOLLHUP, Fd: int32(fd), Pad: l.ends[fd].watch - 1}, false)
		l.happened(&unix.EpollEvent{Events: unix.EPOLLERR | unix.EPOLLHUP, Fd: int32(len(l.ends)), Pad: 1}, false)
	})
	r.calls(c, up)
}

// TestClosingSocketIsNotWatched closes a connection while there is no room for its
// last record: until it is written, its descriptor may be used again.
func TestClosingSocketIsNotWatched(t *testing.T) {
	closing, looked := make(chan struct{}), make(chan struct{})
	r := injecting(newTLSRig, func(at call) error {
		if at == callConnection {
			select {
			case <-closing:
				<-looked
			default: // after the CONNECT
			}
		}
		return nil
	})(t)
	c, _ := r.serves()
	r.onLoop(func(l *loop, p *pair) {
		sock := &p.looped.socks[program]
		fd := sock.fd
		sock.writable = false
		close(closing)
		defer close(looked)
		p.m.drain(l.now)
		l.drive(p)
		err := unix.EpollCtl(l.epoll, unix.EPOLL_CTL_MOD, fd, &unix.EpollEvent{Events: interest, Fd: int32(fd)})
		assert.Error(t, err, "the descriptor is watched")
	})
	c.ExpectEnd()
	r.isEmpty()
}

// TestPanicInALoop panics where a loop serves one pair: others go on.
func TestPanicInALoop(t *testing.T) {
	for name, damage := range map[string]func(l *loop, p *pair){
		"itself":   func(*loop, *pair) { panic("boom") },
		"a timer":  func(l *loop, p *pair) { p.m.s = nil; l.timers.set(&p.looped.timer, p, time.Unix(1, 0)) },
		"an event": func(_ *loop, p *pair) { p.m.h = nil },
		"closing":  func(l *loop, p *pair) { p.m.s = nil; p.m.stage = stageOver; l.drive(p) },
		"closing a socket": func(l *loop, p *pair) {
			p.looped.socks[program].tls = &secure{}
			p.m.stage = stageOver
			l.drive(p)
		},
		"its descriptor": func(l *loop, p *pair) { l.ends = nil; p.m.stage = stageOver; l.drive(p) },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.Loops = 1 })
			c, _ := r.serves()
			r.onLoop(damage)
			io.WriteString(c, getRequest) // which may be the event
			if _, err := c.Read(make([]byte, 1)); !errors.Is(err, io.EOF) && !errors.Is(err, syscall.ECONNRESET) {
				t.Errorf("the connection ends with %v", err)
			}
			rawconn.Await(t, func() bool { return r.srv.Stats().OpenClients == 0 }, "the pair has not ended")
			r.serves()
			assert.NoError(t, r.srv.Shutdown(t.Context()))
		})
	}
}

// TestNothingIsLeftOpen compares the open descriptors before and after.
func TestNothingIsLeftOpen(t *testing.T) {
	open := func() int {
		names, err := os.ReadDir("/proc/self/fd")
		require.NoError(t, err)
		return len(names)
	}
	once := func(seed uint64) {
		t.Run("", func(t *testing.T) { testCallsFail(t, newTLSUpstreamRig, seed) })
	}
	once(0)
	before := open()
	for seed := range uint64(2) {
		once(seed)
	}
	rawconn.Await(t, func() bool { return open() <= before }, "more than %d descriptors are open", before)
}

// TestPanicOfNewHandler panics where connections are accepted.
func TestPanicOfNewHandler(t *testing.T) {
	for name, newRig := range map[string]maker{"loop": newRig, "blocking": newBlockingRig} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			in := r.intake(false)
			var first atomic.Bool
			in.NewHandler = func(netip.AddrPort) Handler {
				if first.CompareAndSwap(false, true) {
					panic("boom")
				}
				return &testHandler{rig: r}
			}
			ln := rawconn.Listen(t)
			served := make(chan error)
			go func() { served <- r.srv.Serve(ln, in) }()
			if nc, err := net.Dial("tcp", ln.Addr().String()); err == nil {
				rawconn.New(t, nc).ExpectReset()
			}
			c := r.dialTo(ln.Addr().String())
			c.Send(getRequest)
			up := r.upstream()
			up.Expect(getRequest)
			up.Deliver(okResponse, c)
			c.Close()
			r.isEmpty()
			assert.NoError(t, r.srv.Shutdown(t.Context()))
			assert.NoError(t, <-served)
		})
	}
}
