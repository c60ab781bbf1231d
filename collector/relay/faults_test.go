package relay

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1/http1test"
)

const getRequest = "GET / HTTP/1.1\r\nHost: h\r\n\r\n"

// begin sends a request and returns both ends once the upstream has it.
func (r *rig) begin(request string) (c, up *peer) {
	r.t.Helper()
	c = r.client()
	c.send(request)
	up = r.upstream()
	up.expect(request)
	return c, up
}

// TestResetBehindPipelinedRequest has the program reset its connection while a
// request of it lies read and the one before is not answered.
func TestResetBehindPipelinedRequest(t *testing.T) { eachWay(t, testResetBehindPipelinedRequest) }

func testResetBehindPipelinedRequest(t *testing.T, newRig maker) {
	r := newRig(t)
	c := r.client()
	c.send(getRequest + getRequest + getRequest)
	up := r.upstream()
	for range 2 {
		up.expect(getRequest)
		up.send(okResponse)
		c.expect(okResponse)
		r.ends(EndComplete)
	}
	up.expect(getRequest)
	up.send(okResponse)
	c.expect(okResponse)
	r.ends(EndComplete)

	c.send(getRequest + getRequest)
	up.expect(getRequest)
	c.reset()
	up.expectReset()
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
			up.send(tt.sent)
			if tt.sent != head { // which is held back until it is whole
				c.expect(tt.sent)
			}
			if tt.reset {
				up.reset()
			} else {
				up.Close()
			}
			if tt.sent == head {
				c.expect(tt.sent)
			}
			if tt.reset {
				c.expectReset()
			} else {
				c.expectEnd()
			}
			n := r.ends(tt.end)
			if tt.status != 0 && n.status != tt.status || n.respWhole {
				t.Errorf("%+v", n)
			}
			if n.respBytes != int64(len(tt.sent)) {
				t.Errorf("%d bytes, want %d", n.respBytes, len(tt.sent))
			}
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
		up.send(okResponse)
		c.expect(okResponse)
		c.send(getRequest)
		up.expect(getRequest)
		if reset {
			up.reset()
			c.expectReset()
		} else {
			up.Close()
			c.expectEnd()
		}
		if n := r.dials.Load(); n != 1 {
			t.Errorf("%d connections, want 1: a request was sent again", n)
		}
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
		"the upstream resets":       {func(_, up *peer) { up.reset() }, true},
		"the program closes":        {func(c, _ *peer) { c.Close() }, false},
		"the program half-closes":   {func(c, _ *peer) { c.CloseWrite() }, false},
		"the program resets":        {func(c, _ *peer) { c.reset() }, true},
		"within a request's head":   {func(c, up *peer) { c.send("GET / HT"); up.Close() }, false},
		"reset within a request":    {func(c, up *peer) { c.send("GET / HT"); up.reset() }, true},
		"behind unasked bytes":      {func(c, up *peer) { up.send("408"); c.expect("408"); up.Close() }, false},
		"a reset behind them":       {func(c, up *peer) { up.send("408"); c.expect("408"); up.reset() }, true},
		"the program, behind them":  {func(c, up *peer) { up.send("408"); c.expect("408"); c.Close() }, false},
		"the program goes on, then": {func(c, up *peer) { up.send("408"); c.expect("408"); c.send(getRequest) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t)
			c, up := r.begin(getRequest)
			up.send(okResponse)
			c.expect(okResponse)
			r.ends(EndComplete)
			tt.die(c, up)
			other := up
			if strings.Contains(name, "upstream") || strings.HasSuffix(name, "request's head") || strings.HasSuffix(name, "a request") || strings.HasSuffix(name, "bytes") || strings.HasPrefix(name, "a reset") {
				other = c
			}
			if tt.reset {
				other.expectReset()
			} else {
				other.expectEnd()
			}
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
	up.send(okResponse + excess)
	c.expect(okResponse + excess)
	r.ends(EndComplete)
	other, otherUp := r.begin(getRequest)
	otherUp.send(okResponse)
	other.expect(okResponse)
	other.expectNothing()
	c.send(getRequest) // what answers it nobody can know any more
	up.expectEnd()
	c.expectEnd()
}

func TestUnreadableResponsesPassAsTheyAre(t *testing.T) {
	eachDriver(t, testUnreadableResponsesPassAsTheyAre)
}

func testUnreadableResponsesPassAsTheyAre(t *testing.T, newRig maker) {
	r := newRig(t)
	for name, response := range http1test.UnreadableResponses() {
		t.Run(name, func(t *testing.T) {
			r.t = t
			c, up := r.begin(getRequest)
			up.send(response)
			c.expect(response)
			up.Close()
			c.expectEnd()
			if n := r.ends(EndBadResponse); n.status != 0 || n.respBytes != int64(len(response)) {
				t.Errorf("%+v", n)
			}
		})
		t.Run(name+", then the client goes on", func(t *testing.T) {
			r.t = t
			dials := r.dials.Load()
			c, up := r.begin(getRequest)
			up.send(response)
			c.expect(response)
			c.send(getRequest)
			up.expectEnd()
			r.ends(EndBadResponse)
			if n := r.dials.Load() - dials; n != 1 {
				t.Errorf("%d connections", n)
			}
		})
		t.Run(name+", then a reset", func(t *testing.T) {
			r.t = t
			c, up := r.begin(getRequest)
			up.send(response)
			c.expect(response)
			up.reset()
			c.expectReset()
			r.ends(EndBadResponse)
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
				c.expect(odd.Bytes)
				c.expectEnd()
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
	up.send(first)
	c.expect(first)
	up.send("oops, and the rest")
	c.expect("oops, and the rest")
	up.Close()
	c.expectEnd()
	r.ends(EndBadResponse)
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
			c.reset()
			up.expectReset()
			r.ends(EndCanceled)
		})
	}
	t.Run("within the response", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		up.send("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		c.expect("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n")
		c.reset()
		up.expectReset()
		if n := r.ends(EndCanceled); n.status != 200 {
			t.Errorf("%+v", n)
		}
	})
	t.Run("while connecting", func(t *testing.T) {
		r := newRig(t)
		dialing := make(chan struct{})
		r.dial = func(ctx context.Context) (net.Conn, error) {
			close(dialing)
			<-ctx.Done()
			return nil, ctx.Err()
		}
		c := r.client()
		c.send(getRequest)
		<-dialing
		c.reset()
		if n := r.ends(EndCanceled); n.began {
			t.Errorf("%+v", n)
		}
	})
}

func TestClientHalfCloseIsPassedOn(t *testing.T) { eachWay(t, testClientHalfCloseIsPassedOn) }

func testClientHalfCloseIsPassedOn(t *testing.T, newRig maker) {
	t.Run("and the response too", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		c.CloseWrite()
		up.expectEnd()
		up.send(okResponse)
		c.expect(okResponse)
		c.expectEnd()
		r.ends(EndComplete)
	})
	t.Run("before the response is slow", func(t *testing.T) {
		r := newRig(t)
		c := r.client()
		c.send(getRequest)
		c.CloseWrite()
		up := r.upstream()
		up.expect(getRequest)
		up.send(okResponse)
		c.expect(okResponse)
		c.expectEnd()
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
		c.send(getRequest)
		up := r.upstream()
		up.expect(getRequest)
		up.expectEnd()
		up.send(okResponse)
		c.expect(okResponse)
		c.expectEnd()
		r.ends(EndComplete)
	})
	t.Run("within the body", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
		c.CloseWrite()
		up.expectEnd()
		up.send("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		c.expect("HTTP/1.1 400 Bad Request\r\nContent-Length: 0\r\n\r\n")
		c.expectEnd()
		if n := r.ends(EndComplete); n.reqWhole {
			t.Errorf("%+v", n)
		}
	})
	t.Run("and the upstream closes", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		c.CloseWrite()
		up.expectEnd()
		up.Close()
		c.expectEnd()
		r.ends(EndCanceled)
	})
	t.Run("and nobody is there for the response", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		c.Close()
		up.expectEnd()
		up.send(okResponse)
		r.ends(EndCanceled)
	})
	t.Run("and the upstream stays silent", func(t *testing.T) {
		r := newRig(t, func(cfg *Config) { cfg.Timeouts.HalfClosed = 20 * time.Millisecond })
		c, up := r.begin(getRequest)
		c.CloseWrite()
		up.expectEnd()
		c.expectEnd()
		r.ends(EndCanceled)
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
			c.send(part)
			if reset {
				c.reset()
			} else {
				c.CloseWrite()
				c.expectEnd()
			}
			if err := r.srv.Shutdown(t.Context()); err != nil {
				t.Error(err)
			}
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
		c.expectEnd()
		up.expectEnd()
		r.ends(EndTimeout)
	})
	t.Run("half a response", func(t *testing.T) {
		t.Parallel()
		// Half of it is to arrive in time, however slow the machine is.
		r := newRig(t, func(c *Config) { c.Timeouts.Response = time.Second })
		c, up := r.begin(getRequest)
		up.send("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha")
		c.expect("HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nha")
		c.expectEnd()
		if n := r.ends(EndTimeout); n.status != 200 {
			t.Errorf("%+v", n)
		}
	})
	t.Run("no request", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.ClientIdle = inTime })
		r.client().expectEnd()
	})
	t.Run("half a head", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.ReadHead = inTime })
		c := r.client()
		c.send("GET / HTTP/1.1\r\n")
		c.expectEnd()
	})
	t.Run("half a body", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.Stall = inTime })
		c, up := r.begin("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf")
		up.expectReset()
		c.expectReset()
		r.ends(EndCanceled)
	})
	t.Run("a client that does not take the response", func(t *testing.T) {
		t.Parallel()
		r := newRig(t, func(c *Config) { c.Timeouts.Stall = inTime })
		c := r.client()
		c.SetReadBuffer(4096)
		c.send(getRequest)
		up := r.upstream()
		up.expect(getRequest)
		up.send("HTTP/1.1 200 OK\r\n\r\n")
		// More than all buffers on the way hold.
		if _, err := io.Copy(struct{ io.Writer }{up}, io.LimitReader(zeros{}, 64<<20)); err == nil {
			t.Error("all was taken")
		}
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
			if _, err := up.Read(make([]byte, 1)); !isTimeout(err) {
				t.Fatalf("the upstream saw %v", err)
			}
			up.send(okResponse)
			c.expect(okResponse)
			r.ends(EndComplete)
			up.SetReadDeadline(time.Now().Add(patience))
			c.Close()
			up.expectEnd()
		}
	})
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { return len(p), nil }
