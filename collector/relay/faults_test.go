package relay

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

const getRequest = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// TestResetBehindPipelinedRequest has the program reset its connection while a
// request of it lies read and the one before is not answered.
func TestResetBehindPipelinedRequest(t *testing.T) { eachWay(t, testResetBehindPipelinedRequest) }

func testResetBehindPipelinedRequest(t *testing.T, newRig maker) {
	r := newRig(t)
	c := r.client()
	c.Send(getRequest + getRequest + getRequest)
	up := r.upstream()
	for range 2 {
		up.Expect(getRequest)
		up.Deliver(okResponse, c)
		r.ends(EndComplete)
	}
	up.Expect(getRequest)
	up.Deliver(okResponse, c)
	r.ends(EndComplete)

	c.Send(getRequest + getRequest)
	up.Expect(getRequest)
	c.Reset()
	up.ExpectReset()
	r.ends(EndCanceled)
}

func TestUpstreamEndsArePassedOn(t *testing.T) { eachWay(t, testUpstreamEndsArePassedOn) }

func testUpstreamEndsArePassedOn(t *testing.T, newRig maker) {
	const (
		half    = "HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhalf"
		chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nhalf\r\n"
		open    = "HTTP/1.1 200 OK\r\n\r\nhalf"
		head    = "HTTP/1.1 200 OK\r\nContent-Le"
		interim = "HTTP/1.1 100 Continue\r\n\r\n"
	)
	tests := []struct {
		name, sent string
		reset      bool
		end        End
		status     int
	}{
		{"close before the response", "", false, EndClosed, 0},
		{"reset before the response", "", true, EndReset, 0},
		{"close within the head", head, false, EndClosed, 0},
		{"reset within the head", head, true, EndReset, 0},
		{"close after an interim response", interim, false, EndClosed, 0},
		{"reset after an interim response", interim, true, EndReset, 0},
		{"close within the body", half, false, EndClosed, 200},
		{"reset within the body", half, true, EndReset, 200},
		{"close within chunks", chunked, false, EndClosed, 200},
		{"reset within chunks", chunked, true, EndReset, 200},
		{"reset where close would end it", open, true, EndReset, 200},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			r := newRig(t)
			c, up := r.begin(getRequest)
			up.Send(tt.sent)
			if tt.sent != head { // which is held back until it is whole
				c.Expect(tt.sent)
			}
			if tt.reset {
				up.Reset()
			} else {
				up.Close()
			}
			if tt.sent == head {
				c.Expect(tt.sent)
			}
			if tt.reset {
				c.ExpectReset()
			} else {
				c.ExpectEnd()
			}
			n := r.ends(tt.end)
			if n.status != tt.status || n.respWhole {
				t.Errorf("%+v", n)
			}
			assert.Equal(t, int64(len(tt.sent)), n.respBytes, "%d bytes, want %d", n.respBytes, len(tt.sent))
		})
	}
}

func TestConnectionThatDiesIsNotReplaced(t *testing.T) {
	eachWay(t, testConnectionThatDiesIsNotReplaced)
}

func testConnectionThatDiesIsNotReplaced(t *testing.T, newRig maker) {
	for _, reset := range []bool{false, true} {
		r := newRig(t)
		c, up := r.begin(getRequest)
		up.Deliver(okResponse, c)
		c.Deliver(getRequest, up)
		if reset {
			up.Reset()
			c.ExpectReset()
		} else {
			up.Close()
			c.ExpectEnd()
		}
		assert.EqualValues(t, 1, r.dials.Load(), "connections")
	}
}

func TestIdleEndsAreMirrored(t *testing.T) { eachWay(t, testIdleEndsAreMirrored) }

func testIdleEndsAreMirrored(t *testing.T, newRig maker) {
	for name, tt := range map[string]struct {
		die   func(c, up *peer)
		reset bool
	}{
		"the upstream closes":       {func(_, up *peer) { up.Close() }, false},
		"the upstream half-closes":  {func(_, up *peer) { up.CloseWrite() }, false},
		"the upstream resets":       {func(_, up *peer) { up.Reset() }, true},
		"the program closes":        {func(c, _ *peer) { c.Close() }, false},
		"the program half-closes":   {func(c, _ *peer) { c.CloseWrite() }, false},
		"the program resets":        {func(c, _ *peer) { c.Reset() }, true},
		"within a request's head":   {func(c, up *peer) { c.Send("GET / HT"); up.Close() }, false},
		"reset within a request":    {func(c, up *peer) { c.Send("GET / HT"); up.Reset() }, true},
		"behind unasked bytes":      {func(c, up *peer) { up.Send("408"); c.Expect("408"); up.Close() }, false},
		"a reset behind them":       {func(c, up *peer) { up.Send("408"); c.Expect("408"); up.Reset() }, true},
		"the program, behind them":  {func(c, up *peer) { up.Send("408"); c.Expect("408"); c.Close() }, false},
		"the program goes on, then": {func(c, up *peer) { up.Send("408"); c.Expect("408"); c.Send(getRequest) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c, up := r.begin(getRequest)
			up.Deliver(okResponse, c)
			r.ends(EndComplete)
			tt.die(c, up)
			other := up
			if strings.Contains(name, "upstream") || strings.HasSuffix(name, "request's head") || strings.HasSuffix(name, "a request") || strings.HasSuffix(name, "bytes") || strings.HasPrefix(name, "a reset") {
				other = c
			}
			if tt.reset {
				other.ExpectReset()
			} else {
				other.ExpectEnd()
			}
		})
	}
}

// TestUpstreamEndsWithinAHead has the upstream close a connection as idle, because the
// beginning of a request was not sent to it: directly it would have received that.
func TestUpstreamEndsWithinAHead(t *testing.T) { eachUpstream(t, testUpstreamEndsWithinAHead) }

func testUpstreamEndsWithinAHead(t *testing.T, newRig maker) {
	for name, end := range map[string]func(up *peer){
		"close":      func(up *peer) { up.Close() },
		"half-close": func(up *peer) { up.CloseWrite() },
		"reset":      func(up *peer) { up.Reset() },
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.srv.pause = 0
			c, up := r.serves()
			r.waits(1)
			c.Send(getRequest[:8])
			r.waits(0)
			end(up)
			rawconn.Await(t, func() bool { return r.srv.Stats().OpenUpstreams == 0 }, "the connection is kept")
			c.Send(getRequest[8:])
			another := r.answers(c)
			r.calls(c, another)
			r.waits(1)
			another.Close()
			c.ExpectEnd()
			assert.EqualValues(t, 2, r.dials.Load(), "connections")
			r.isEmpty()
		})
	}
}

// TestGoroutinesReadARequestAndTheEnd has goroutines read a request and the end of an idle
// upstream after a pause, before the machine knows of either: the request goes to a new
// connection.
func TestGoroutinesReadARequestAndTheEnd(t *testing.T) {
	for name, newRig := range rigs {
		if !strings.HasPrefix(name, "blocking") {
			continue
		}
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			r.srv.pause = 0
			c, up := r.serves()
			for range 10 {
				var p *pair
				r.srv.each(func(only *pair) { p = only })
				rawconn.Await(t, func() bool {
					p.mu.Lock()
					if p.m.stage == stageIdle && p.m.flows[program].reading != nil && p.m.flows[upstream].reading != nil {
						return true
					}
					p.mu.Unlock()
					return false
				}, "the goroutines do not read")
				up.Close()
				c.Send(getRequest)
				rawconn.Await(t, func() bool {
					return p.cl.unreported.Load() == readData && p.up.unreported.Load() == readEnd
				}, "nothing is read")
				p.mu.Unlock()
				up = r.answers(c)
			}
			c.Close()
			up.ExpectEnd()
			r.isEmpty()
		})
	}
}

// TestExcessBytesReachTheirProgramAlone sends bytes behind a response. They are
// the program's own affair.
func TestExcessBytesReachTheirProgramAlone(t *testing.T) { eachWay(t, testExcessBytes) }

func testExcessBytes(t *testing.T, newRig maker) {
	const excess = "HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\npoison"
	r := newRig(t)
	c, up := r.begin(getRequest)
	up.Deliver(okResponse+excess, c)
	r.ends(EndComplete)
	other, otherUp := r.begin(getRequest)
	otherUp.Deliver(okResponse, other)
	other.ExpectNothing()
	c.Send(getRequest) // what answers it nobody can know any more
	up.ExpectEnd()
	c.ExpectEnd()
}

func TestUnreadableResponsesPassAsTheyAre(t *testing.T) {
	eachDriver(t, func(t *testing.T, newRig maker) {
		testResponsesPassAsTheyAre(t, newRig, http1test.UnreadableResponses(), EndBadResponse)
	})
}

func TestTooLongResponsesPassAsTheyAre(t *testing.T) {
	eachDriver(t, func(t *testing.T, newRig maker) {
		testResponsesPassAsTheyAre(t, newRig, http1test.TooLongResponses(), EndHeadTooLong)
	})
}

func testResponsesPassAsTheyAre(t *testing.T, newRig maker, responses map[string]string, end End) {
	r := newRig(t)
	for name, response := range responses {
		t.Run(name, func(t *testing.T) {
			r.t = t
			c, up := r.begin(getRequest)
			up.Deliver(response, c)
			up.Close()
			c.ExpectEnd()
			if n := r.ends(end); n.status != 0 || n.respBytes != int64(len(response)) {
				t.Errorf("%+v", n)
			}
		})
		t.Run(name+", then the client goes on", func(t *testing.T) {
			r.t = t
			dials := r.dials.Load()
			c, up := r.begin(getRequest)
			up.Deliver(response, c)
			c.Send(getRequest)
			up.ExpectEnd()
			r.ends(end)
			assert.EqualValues(t, 1, r.dials.Load()-dials, "connections")
		})
		t.Run(name+", then a reset", func(t *testing.T) {
			r.t = t
			c, up := r.begin(getRequest)
			up.Deliver(response, c)
			up.Reset()
			c.ExpectReset()
			r.ends(end)
		})
	}
}

// TestOddResponsesAreRead has them passed on as they are, shown without framing,
// and both connections closed behind them, by us or by the upstream.
func TestOddResponsesAreRead(t *testing.T) { eachDriver(t, testOddResponsesAreRead) }

func testOddResponsesAreRead(t *testing.T, newRig maker) {
	r := newRig(t)
	for name, odd := range http1test.OddResponses() {
		for how, split := range r.splits() {
			t.Run(name+", "+how, func(t *testing.T) {
				r.t = t
				c, up := r.begin(getRequest)
				go func() {
					for _, p := range split(odd.Bytes) {
						up.Write([]byte(p))
					}
					if strings.Contains(name, "until close") {
						up.CloseWrite()
					}
				}()
				c.Expect(odd.Bytes)
				c.ExpectEnd()
				if n := r.ends(EndComplete); n.respBody != odd.Body || !n.respWhole || n.status == 0 {
					t.Errorf("%+v", n)
				}
				if rest, err := io.ReadAll(up); err != nil || len(rest) > 0 {
					t.Errorf("the upstream got %q, %v", rest, err)
				}
			})
		}
	}
}

func TestMalformedChunkLateInTheResponse(t *testing.T) {
	eachWay(t, testMalformedChunkLateInTheResponse)
}

func testMalformedChunkLateInTheResponse(t *testing.T, newRig maker) {
	r := newRig(t)
	c, up := r.begin(getRequest)
	const first = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n"
	up.Deliver(first, c)
	up.Deliver("oops, and the rest", c)
	up.Close()
	c.ExpectEnd()
	n := r.ends(EndBadResponse)
	assert.Zero(t, n.status, "a response that cannot be read is shown")
	assert.Empty(t, n.respBody)
}

func TestClientResetReachesTheUpstream(t *testing.T) { eachWay(t, testClientResetReachesTheUpstream) }

func testClientResetReachesTheUpstream(t *testing.T, newRig maker) {
	for name, request := range map[string]string{
		"waiting":      getRequest,
		"within body":  "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf",
		"within chunk": "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nha",
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c, up := r.begin(request)
			c.Reset()
			up.ExpectReset()
			r.ends(EndCanceled)
		})
	}
	t.Run("within the response", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		up.Deliver("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n", c)
		c.Reset()
		up.ExpectReset()
		n := r.ends(EndCanceled)
		assert.Equal(t, 200, n.status, n)
	})
	t.Run("behind its end", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		c.CloseWrite()
		up.ExpectEnd()
		c.Reset()
		r.ends(EndCanceled)
	})
	t.Run("within a body that was answered", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
		up.Deliver(okResponse, c)
		r.ends(EndComplete)
		c.Reset()
		up.ExpectReset()
	})
	t.Run("while connecting", func(t *testing.T) {
		r := newRig(t)
		c := r.connecting(getRequest)
		c.Reset()
		n := r.ends(EndCanceled)
		assert.False(t, n.began, n)
	})
}

func TestClientHalfCloseIsPassedOn(t *testing.T) { eachWay(t, testClientHalfCloseIsPassedOn) }

func testClientHalfCloseIsPassedOn(t *testing.T, newRig maker) {
	t.Run("and the response too", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		c.CloseWrite()
		up.ExpectEnd()
		up.Deliver(okResponse, c)
		c.ExpectEnd()
		r.ends(EndComplete)
	})
	t.Run("before the response is slow", func(t *testing.T) {
		r := newRig(t)
		c := r.client()
		c.Send(getRequest)
		c.CloseWrite()
		up := r.upstream()
		up.Expect(getRequest)
		up.Deliver(okResponse, c)
		c.ExpectEnd()
		r.ends(EndComplete)
	})
	t.Run("while connecting", func(t *testing.T) {
		r := newRig(t)
		c := r.client()
		r.dial = func(ctx context.Context) (net.Conn, error) {
			c.CloseWrite()
			var d net.Dialer
			return d.DialContext(ctx, "tcp", r.back.Addr().String())
		}
		c.Send(getRequest)
		up := r.upstream()
		up.Expect(getRequest)
		up.ExpectEnd()
		up.Deliver(okResponse, c)
		c.ExpectEnd()
		r.ends(EndComplete)
	})
	t.Run("within the body", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
		c.CloseWrite()
		up.ExpectEnd()
		up.Deliver("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n", c)
		c.ExpectEnd()
		n := r.ends(EndComplete)
		assert.False(t, n.reqWhole, n)
	})
	t.Run("and the upstream closes", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		c.CloseWrite()
		up.ExpectEnd()
		up.Close()
		c.ExpectEnd()
		r.ends(EndCanceled)
	})
	t.Run("and nobody is there for the response", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		c.Close()
		up.ExpectEnd()
		up.Send(okResponse)
		r.ends(EndCanceled)
	})
	t.Run("and is gone later", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		c.CloseWrite()
		up.ExpectEnd()
		c.Reset()
		r.ends(EndCanceled)
	})
	t.Run("and the upstream stays silent", func(t *testing.T) {
		r := newRig(t, func(cfg *Config) { cfg.Timeouts.Response = 20 * time.Millisecond })
		c, up := r.begin(getRequest)
		c.CloseWrite()
		up.ExpectEnd()
		c.ExpectEnd()
		r.ends(EndTimeout)
	})
}

func TestClientThatLeavesBeforeItsRequestIsWhole(t *testing.T) {
	eachWay(t, testClientThatLeavesBeforeItsRequestIsWhole)
}

func testClientThatLeavesBeforeItsRequestIsWhole(t *testing.T, newRig maker) {
	for _, part := range []string{"", "GET", "GET / HTTP/1.1\r\nHost:"} {
		for _, reset := range []bool{false, true} {
			r := newRig(t)
			c := r.client()
			c.Send(part)
			if reset {
				c.Reset()
			} else {
				c.CloseWrite()
				c.ExpectEnd()
			}
			assert.NoError(t, r.srv.Shutdown(t.Context()))
			if len(r.reported) > 0 || r.dials.Load() > 0 {
				t.Errorf("%q was taken for a request", part)
			}
		}
	}
}

func TestTimeouts(t *testing.T) { eachWay(t, testTimeouts) }

func testTimeouts(t *testing.T, newRig maker) {
	t.Run("no response", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.Response = inTime })
		c, up := r.begin(getRequest)
		c.ExpectEnd()
		up.ExpectEnd()
		r.ends(EndTimeout)
	})
	t.Run("half a response", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.Response = inTime })
		c, up := r.begin(getRequest)
		up.Deliver("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha", c)
		c.ExpectEnd()
		n := r.ends(EndTimeout)
		assert.Equal(t, 200, n.status, n)
	})
	t.Run("no request", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.ClientIdle = inTime })
		r.client().ExpectEnd()
	})
	t.Run("half a head", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.ReadHead = inTime })
		c := r.client()
		c.Send("GET / HTTP/1.1\r\n")
		c.ExpectEnd()
	})
	t.Run("half a body", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.Stall = inTime })
		c, up := r.begin("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
		up.ExpectReset()
		c.ExpectReset()
		r.ends(EndCanceled)
	})
	t.Run("a client that does not take the response", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.Stall = inTime })
		c := r.client()
		c.TCPConn.SetReadBuffer(4096)
		c.Send(getRequest)
		up := r.upstream()
		up.Expect(getRequest)
		up.Send("HTTP/1.1 200 OK\r\n\r\n")
		// More than all buffers on the way hold.
		_, err := io.Copy(struct{ io.Writer }{up}, io.LimitReader(zeros{}, 64<<20))
		assert.Error(t, err, "all was taken")
		r.ends(EndCanceled)
	})
	t.Run("time spent waiting is not a stall", func(t *testing.T) {
		t.Parallel()
		const stall = inTime / 2
		r := newRig(t, func(c *Config) { c.Timeouts.Stall = stall })
		for _, connecting := range []bool{false, true} {
			if connecting {
				r.dial = func(ctx context.Context) (net.Conn, error) {
					wait, cancel := context.WithTimeout(ctx, 2*stall)
					defer cancel()
					<-wait.Done()
					var d net.Dialer
					return d.DialContext(ctx, "tcp", r.back.Addr().String())
				}
			}
			c, up := r.begin(getRequest)
			up.SetReadDeadline(time.Now().Add(2 * stall))
			_, err := up.Read(make([]byte, 1))
			require.True(t, isTimeout(err), "the upstream saw %v", err)
			up.Deliver(okResponse, c)
			r.ends(EndComplete)
			up.SetReadDeadline(time.Now().Add(patience))
			c.Close()
			up.ExpectEnd()
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
