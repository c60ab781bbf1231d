package relay

import (
	"context"
	"errors"
	"io"
	"maps"
	"net"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// looping are the rigs whose pairs loops drive.
var looping = map[string]maker{"plain": newRig, "within TLS": newTLSRig, "TLS on both sides": newTLSUpstreamRig}

// beforeParsing has the loop of the only pair read what a side sends, and calls next
// before the machine receives it.
func (r *rig) beforeParsing(from side, by *peer, sent string, next func(l *loop, p *pair)) {
	r.t.Helper()
	r.onLoop(func(l *loop, p *pair) {
		l.driveDue()
		io.WriteString(by, sent)
		r.event(l, p, from, unix.EPOLLIN)
		assert.Positive(r.t, p.looped.read[from], "bytes are read")
		next(l, p)
	})
}

// event has the loop handle an event of a side as soon as there is one, with another
// one behind it.
func (r *rig) event(l *loop, p *pair, of side, events int16) {
	fd, events := r.arrives(p, of, events)
	l.happened(&unix.EpollEvent{Events: uint32(events), Fd: fd, Pad: l.ends[fd].watch}, true)
}

// arrives waits until a side of a pair has events, and returns its descriptor and them.
func (r *rig) arrives(p *pair, of side, events int16) (fd int32, arrived int16) {
	fd = int32(p.looped.socks[of].fd)
	fds := []unix.PollFd{{Fd: fd, Events: events}}
	err := error(unix.EINTR)
	for errors.Is(err, unix.EINTR) {
		_, err = unix.Poll(fds, int(patience.Milliseconds()))
	}
	assert.NotZero(r.t, fds[0].Revents, "events of side %d", of)
	return fd, fds[0].Revents
}

func (l *loop) hasPosted() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return len(l.posted) > 0
}

const closingResponse = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"

// TestBetweenReadingAndParsing has something happen to a pair after a loop read from
// one of its sides and before it parses that: it comes after what was read.
func TestBetweenReadingAndParsing(t *testing.T) {
	const short = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"
	const ends = unix.POLLIN | unix.POLLRDHUP // within TLS, it is a record
	long := strings.Replace(short, "4\r\n\r\nbody", "20000\r\n\r\n"+strings.Repeat("x", 20_000), 1)
	for what, test := range map[string]struct {
		do       func(r *rig, l *loop, p *pair, c, up *peer)
		request  func(r *rig, request string, c, up *peer) // the program's was read
		response func(r *rig, c, up *peer)                 // the upstream's was read
	}{
		"drained": {
			func(r *rig, l *loop, p *pair, _, _ *peer) { r.srv.draining.Store(true); l.drain(p) },
			func(r *rig, request string, c, up *peer) {
				up.Expect(request)
				up.Send(okResponse)
				c.Expect(closingResponse)
				c.ExpectEnd()
				r.ends(EndComplete)
			},
			func(r *rig, c, _ *peer) {
				c.Expect(closingResponse)
				c.ExpectEnd()
				r.ends(EndComplete)
			},
		},
		"asked to make room": {
			func(_ *rig, l *loop, p *pair, _, _ *peer) { l.yield(p) },
			func(r *rig, request string, c, up *peer) {
				up.Expect(request)
				up.Deliver(okResponse, c)
				r.ends(EndComplete)
				r.calls(c, up)
			},
			func(r *rig, c, up *peer) {
				c.Expect(okResponse)
				r.ends(EndComplete)
				r.calls(c, up)
			},
		},
		"killed": {
			func(_ *rig, l *loop, p *pair, _, _ *peer) { l.kill(p) },
			func(r *rig, _ string, c, up *peer) {
				c.ExpectReset()
				up.ExpectReset()
				r.ends(EndStopped)
			},
			func(r *rig, c, up *peer) {
				c.ExpectReset()
				up.ExpectReset()
				r.ends(EndStopped)
			},
		},
		"reset by the program": {
			func(r *rig, l *loop, p *pair, c, _ *peer) { c.Reset(); r.event(l, p, program, unix.POLLERR) },
			func(r *rig, _ string, _, up *peer) { up.ExpectReset(); r.ends(EndCanceled) },
			func(r *rig, _, up *peer) { up.ExpectReset(); r.ends(EndCanceled) },
		},
		"half-closed by the program": {
			func(r *rig, l *loop, p *pair, c, _ *peer) { c.CloseWrite(); r.event(l, p, program, ends) },
			func(r *rig, request string, c, up *peer) {
				up.Expect(request)
				up.ExpectEnd()
				up.Send(okResponse)
				c.Expect(okResponse)
				c.ExpectEnd()
				r.ends(EndComplete)
			},
			func(r *rig, c, up *peer) {
				c.Expect(okResponse)
				c.ExpectEnd()
				up.ExpectEnd()
				r.ends(EndComplete)
			},
		},
		"closed by the upstream": {
			func(r *rig, l *loop, p *pair, _, up *peer) { up.CloseWrite(); r.event(l, p, upstream, ends) },
			func(r *rig, _ string, c, _ *peer) { c.ExpectEnd(); r.ends(EndClosed) },
			func(r *rig, c, up *peer) {
				c.Expect(okResponse)
				c.ExpectEnd()
				up.ExpectEnd()
				r.ends(EndComplete)
			},
		},
		"reset by the upstream": {
			func(r *rig, l *loop, p *pair, _, up *peer) { up.Reset(); r.event(l, p, upstream, unix.POLLERR) },
			func(r *rig, _ string, c, _ *peer) { c.ExpectReset(); r.ends(EndReset) },
			func(r *rig, c, _ *peer) {
				c.Expect(okResponse)
				c.ExpectReset()
				r.ends(EndComplete)
			},
		},
		"broken by a panic": {
			func(_ *rig, l *loop, p *pair, _, _ *peer) { l.do(posting{p, func() { panic("boom") }}) },
			func(_ *rig, _ string, c, up *peer) { c.ExpectReset(); up.ExpectReset() },
			func(r *rig, c, up *peer) { c.ExpectReset(); up.ExpectReset(); r.ends(EndStopped) },
		},
	} {
		t.Run(what, func(t *testing.T) {
			atOnce(t, looping, func(t *testing.T, newRig maker) {
				for size, request := range map[string]string{"request": short, "long request": long} {
					t.Run(size, func(t *testing.T) {
						r := newRig(t)
						c, up := r.serves()
						r.beforeParsing(program, c, request, func(l *loop, p *pair) { test.do(r, l, p, c, up) })
						test.request(r, request, c, up)
						c.Close()
						up.Close()
						r.isEmpty()
					})
				}
				t.Run("response", func(t *testing.T) {
					r := newRig(t)
					c, up := r.begin(getRequest)
					r.beforeParsing(upstream, up, okResponse, func(l *loop, p *pair) { test.do(r, l, p, c, up) })
					test.response(r, c, up)
					c.Close()
					up.Close()
					r.isEmpty()
				})
			})
		})
	}
}

// TestUnaskedBytesBeforeTheEnd has the upstream say why it is going to close a
// connection, before the loop is asked to close it.
func TestUnaskedBytesBeforeTheEnd(t *testing.T) {
	const unasked = "HTTP/1.1 408 Request Timeout\r\nConnection: close\r\n\r\n"
	for what, do := range map[string]func(r *rig, l *loop, p *pair){
		"drained":            func(r *rig, l *loop, p *pair) { r.srv.draining.Store(true); l.drain(p) },
		"asked to make room": func(_ *rig, l *loop, p *pair) { l.yield(p) },
	} {
		t.Run(what, func(t *testing.T) {
			atOnce(t, looping, func(t *testing.T, newRig maker) {
				r := newRig(t)
				c, up := r.serves()
				r.beforeParsing(upstream, up, unasked, func(l *loop, p *pair) { do(r, l, p) })
				c.Expect(unasked)
				up.Close()
				c.ExpectEnd()
				r.isEmpty()
			})
		})
	}
}

// TestRequestMeetsTheEndOfTheUpstream has a request and the end of an idle upstream
// arrive after a pause, in either order, before the machine knows of them.
func TestRequestMeetsTheEndOfTheUpstream(t *testing.T) {
	const ends = unix.POLLIN | unix.POLLRDHUP
	drivers := maps.Clone(looping)
	drivers["TLS to the upstream"] = func(t testing.TB, change ...func(*Config)) *rig {
		r := newRig(t, change...)
		r.upTLS = true
		return r
	}
	for what, meet := range map[string]func(r *rig, l *loop, p *pair, c, up *peer){
		"the request is reported first": func(r *rig, l *loop, p *pair, c, up *peer) {
			io.WriteString(c, getRequest)
			r.event(l, p, program, unix.POLLIN)
			up.Close()
			r.event(l, p, upstream, ends)
		},
		"the end is reported first": func(r *rig, l *loop, p *pair, c, up *peer) {
			up.Close()
			io.WriteString(c, getRequest)
			r.arrives(p, program, unix.POLLIN)
			r.event(l, p, upstream, ends)
		},
		"the end is not reported yet": func(r *rig, l *loop, p *pair, c, up *peer) {
			up.Close()
			r.arrives(p, upstream, ends)
			io.WriteString(c, getRequest)
			r.event(l, p, program, unix.POLLIN)
		},
	} {
		t.Run(what, func(t *testing.T) {
			atOnce(t, drivers, func(t *testing.T, newRig maker) {
				r := newRig(t)
				r.srv.pause = 0
				c, up := r.serves()
				for range 2 {
					r.onLoop(func(l *loop, p *pair) {
						l.driveDue()
						meet(r, l, p, c, up)
						l.driveDue()
					})
					up = r.answers(c)
				}
				c.Close()
				up.ExpectEnd()
				r.isEmpty()
			})
		})
	}
}

// TestDialEndsBeforeParsing has a dial end after a loop read the rest of the request and
// before it parses that.
func TestDialEndsBeforeParsing(t *testing.T) {
	const head = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	const rest = "1\r\na\r\n0\r\n\r\n"
	refused := func(r *rig, c, _ *peer) {
		c.Expect("HTTP/1.1 501 Refused\r\nContent-Length: 0\r\n\r\n") // and the connection goes on
		n := r.ends(EndRefused)
		assert.EqualValues(r.t, len(head+rest), n.reqBytes, "bytes are counted")
	}
	for what, test := range map[string]struct {
		rest   string
		err    error
		inject func(call) error
		then   func(r *rig, c, up *peer)
	}{
		"well": {rest, nil, nil, func(r *rig, c, up *peer) {
			up.Expect(head + rest)
			up.Deliver(okResponse, c)
			assert.Equal(r.t, "a", r.ends(EndComplete).reqBody, "is shown")
		}},
		"away from the loop": {
			rest, nil,
			func(at call) error { return map[call]error{callWatch: unix.ENOSPC}[at] },
			func(r *rig, c, up *peer) {
				up.Expect(head + rest)
				up.Deliver(okResponse, c)
				assert.Equal(r.t, "a", r.ends(EndComplete).reqBody, "is shown")
			},
		},
		"badly": {rest, errors.New("unreachable"), nil, refused},
		"well, for a malformed body": {"oops", nil, nil, func(r *rig, c, up *peer) {
			c.Expect("HTTP/1.1 400 Refused\r\nConnection: close\r\nContent-Length: 0\r\n\r\n")
			up.ExpectEnd()
			r.ends(EndRefused)
		}},
	} {
		t.Run(what, func(t *testing.T) {
			for name, newRig := range looping {
				t.Run(name, func(t *testing.T) {
					r := newRig(t)
					dialing, goOn := make(chan struct{}), make(chan struct{})
					r.dial = func(ctx context.Context) (net.Conn, error) {
						close(dialing)
						<-goOn
						if test.err != nil {
							return nil, test.err
						}
						var d net.Dialer
						return d.DialContext(ctx, "tcp", r.back.Addr().String())
					}
					c := r.client()
					c.Send(head)
					<-dialing
					accepted := make(chan *peer, 1)
					if test.err == nil {
						go func() { accepted <- r.upstream() }()
					}
					r.srv.inject = test.inject
					r.beforeParsing(program, c, test.rest, func(l *loop, _ *pair) {
						close(goOn)
						for end := time.Now().Add(patience); !l.hasPosted() && time.Now().Before(end); runtime.Gosched() {
						}
						l.runPosted()
					})
					var up *peer
					if test.err == nil {
						up = rawconn.Receive(t, accepted, "the upstream is not connected")
					}
					test.then(r, c, up)
					c.Close()
					if up != nil {
						up.Close()
					}
					r.isEmpty()
				})
			}
		})
	}
}

// TestResetThatAWriteLearnsOf writes to a connection that was reset before it reads from
// it: it ends with the reset, as it does if it is read first.
func TestResetThatAWriteLearnsOf(t *testing.T) {
	reset := func(t *testing.T) *net.TCPConn {
		ln := rawconn.Listen(t)
		nc := rawconn.Open(t, ln.Addr().String())
		rawconn.Accept(t, ln).Reset()
		return nc.(*net.TCPConn)
	}
	t.Run("blocking", func(t *testing.T) {
		l := newLink(reset(t))
		_, err := io.WriteString(l, getRequest)
		assert.ErrorIs(t, err, unix.ECONNRESET)
		_, err = l.Read(make([]byte, 1))
		assert.Equal(t, receivedReset, receptionOf(err, nil), "the end is %v", err)
	})
	t.Run("loop", func(t *testing.T) {
		fd, err := duplicate(reset(t))
		assert.NoError(t, err)
		defer closeFD(fd)
		sock := &socket{fd: fd}
		_, ok := sock.write([]byte(getRequest))
		assert.False(t, ok, "a request is written")
		_, end := sock.read(make([]byte, 1))
		assert.Equal(t, receivedReset, end, "the end")
	})
}
