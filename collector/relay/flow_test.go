package relay

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestNothingWaitsForTheHandlerToReadACall has the handler take its time when it is informed
// that a request is sent: the upstream has the request meanwhile.
func TestNothingWaitsForTheHandlerToReadACall(t *testing.T) {
	eachWay(t, testNothingWaitsForTheHandlerToReadACall)
}

func testNothingWaitsForTheHandlerToReadACall(t *testing.T, newRig maker) {
	r := newRig(t)
	arrived := make(chan struct{}, 1)
	r.sent = func(x *Exchange) {
		rawconn.Receive(t, arrived, "the upstream does not get the request")
		assert.True(t, x.Upstream.IsValid(), "the upstream is known")
	}
	c := r.client()
	var up *peer
	for i := range 2 {
		c.Send(getRequest)
		if i == 0 {
			up = r.upstream()
		}
		up.Expect(getRequest)
		arrived <- struct{}{}
		up.Deliver(okResponse, c)
		assert.True(t, r.ends(EndComplete).began, "the handler was informed")
	}
}

func TestPipelinedRequestsAreAnsweredInOrder(t *testing.T) {
	eachWay(t, testPipelinedRequestsAreAnsweredInOrder)
}

func testPipelinedRequestsAreAnsweredInOrder(t *testing.T, newRig maker) {
	requests := []string{
		"GET /1 HTTP/1.1\r\nHost: h\r\n\r\n",
		"POST /2 HTTP/1.1\r\nHost: h\r\nContent-Length: 3\r\n\r\nabc",
		"POST /3 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
		"POST /4 HTTP/1.1\r\nHost: h\r\nContent-Length: 100000\r\n\r\n" + strings.Repeat("4", 100000),
		"POST /5 HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + strings.Repeat("400\r\n"+strings.Repeat("5", 0x400)+"\r\n", 300) + "0\r\n\r\n",
		"GET /6 HTTP/1.1\r\nHost: h\r\n\r\n",
		"GET /7 HTTP/1.1\r\nHost: h\r\n\r\n",
	}
	for how, pieces := range map[string][]string{
		"in one piece": {strings.Join(requests, "")},
		"one by one":   requests,
	} {
		t.Run(how, func(t *testing.T) {
			r := newRig(t)
			c := r.client()
			go func() {
				for _, p := range pieces {
					c.Write([]byte(p))
				}
			}()
			var up *peer
			for i, req := range requests {
				if up == nil {
					up = r.upstream()
				}
				up.Expect(req)
				up.ExpectNothing() // the next one waits for its turn
				response := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: 1\r\n\r\n%d", i)
				up.Deliver(response, c)
				if n := r.ends(EndComplete); n.target != fmt.Sprintf("/%d", i+1) || n.reqBytes != int64(len(req)) {
					t.Fatalf("request %d: %+v", i, n)
				}
			}
			assert.EqualValues(t, 1, r.dials.Load(), "connections to the upstream")
		})
	}
}

func TestPipelinedRequestWhileTheResponseIsSlow(t *testing.T) {
	eachWay(t, testPipelinedRequestWhileTheResponseIsSlow)
}

func testPipelinedRequestWhileTheResponseIsSlow(t *testing.T, newRig maker) {
	r := newRig(t)
	c, up := r.begin(getRequest)
	c.Send(strings.Replace(getRequest, "/", "/second", 1))
	up.ExpectNothing()
	up.Deliver(okResponse, c)
	up.Expect(strings.Replace(getRequest, "/", "/second", 1))
	up.Deliver(okResponse, c)
}

func TestExpectContinue(t *testing.T) { eachWay(t, testExpectContinue) }

func testExpectContinue(t *testing.T, newRig maker) {
	const head = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n"
	t.Run("the upstream consents", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(head)
		up.Deliver("HTTP/1.1 100 Continue\r\n\r\n", c)
		c.Deliver("body", up)
		up.Deliver(okResponse, c)
		if n := r.ends(EndComplete); n.reqBody != "body" || !n.reqWhole {
			t.Errorf("%+v", n)
		}
		c.Deliver(getRequest, up)
	})
	t.Run("the client does not wait", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(head)
		c.Deliver("body", up)
		up.Deliver("HTTP/1.1 100 Continue\r\n\r\n"+okResponse, c)
		r.ends(EndComplete)
	})
	t.Run("the upstream refuses", func(t *testing.T) {
		const no = "HTTP/1.1 417 Expectation Failed\r\nContent-Length: 0\r\n\r\n"
		r := newRig(t)
		c, up := r.begin(head)
		up.Deliver(no, c)
		if n := r.ends(EndComplete); n.reqWhole || n.status != 417 {
			t.Errorf("%+v", n)
		}
		c.Close()
		up.ExpectEnd()
	})
	t.Run("the upstream refuses and closes", func(t *testing.T) {
		const no = "HTTP/1.1 417 Expectation Failed\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
		r := newRig(t)
		c, up := r.begin(head)
		up.Send(no)
		up.Close()
		c.Expect(no)
		c.ExpectEnd()
		r.ends(EndComplete)
	})
}

func TestEarlyResponse(t *testing.T) { eachWay(t, testEarlyResponse) }

func testEarlyResponse(t *testing.T, newRig maker) {
	const head = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 200000\r\n\r\n"
	half := strings.Repeat("x", 100000)
	t.Run("and the upload goes on", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(head + half)
		up.Deliver(okResponse, c)
		n := r.ends(EndComplete)
		assert.False(t, n.reqWhole, n)
		go c.Write([]byte(half + getRequest))
		up.Expect(half + getRequest)
		up.Deliver(okResponse, c)
		r.ends(EndComplete)
	})
	t.Run("and the upstream closes", func(t *testing.T) {
		const no = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 3\r\n\r\nbig"
		r := newRig(t)
		c, up := r.begin(head + half)
		up.Send(no)
		up.Close()
		c.Send(half[:1000]) // the client has not seen it yet
		c.Expect(no)
		c.ExpectEnd()
		n := r.ends(EndComplete)
		assert.Equal(t, 413, n.status, n)
	})
	t.Run("and the upstream resets", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(head + half)
		up.Deliver(okResponse, c)
		r.ends(EndComplete)
		up.Reset()
		c.ExpectReset()
	})
	t.Run("in pieces between those of the upload", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin("POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
		up.Deliver("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\nA\r\n", c)
		for range 20 {
			c.Deliver("1\r\nb\r\n", up)
			up.Deliver("1\r\nB\r\n", c)
		}
		c.Deliver("0\r\n\r\n", up)
		up.Deliver("0\r\n\r\n", c)
		if n := r.ends(EndComplete); !n.reqWhole || !n.respWhole {
			t.Errorf("%+v", n)
		}
		c.Deliver(getRequest, up)
	})
	t.Run("to a client that reads only once it has sent all", func(t *testing.T) {
		const no = "HTTP/1.1 413 Content Too Large\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
		r := newRig(t)
		c, up := r.begin(head)
		up.Send(no)
		up.Close()
		c.Send(half)
		c.Send(half)
		c.Expect(no)
	})
}

func TestBodiesAreShown(t *testing.T) { eachWay(t, testBodiesAreShown) }

func testBodiesAreShown(t *testing.T, newRig maker) {
	body := strings.Repeat("0123456789", 20000)
	for _, size := range []int{0, 1, 100, 8000, 9000, 65536, 65537, 200000} {
		r := newRig(t)
		req := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n%s", size, body[:size])
		resp := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, body[:size])
		c := r.client()
		go c.Write([]byte(req))
		up := r.upstream()
		up.Expect(req)
		go up.Write([]byte(resp))
		c.Expect(resp)
		n := r.ends(EndComplete)
		want := body[:min(size, 64<<10)]
		if n.reqBody != want || n.respBody != want {
			t.Errorf("size %d: shown %d and %d bytes, want %d", size, len(n.reqBody), len(n.respBody), len(want))
		}
		if whole := size <= 64<<10; n.reqWhole != whole || n.respWhole != whole {
			t.Errorf("size %d: whole = %v, %v, want %v", size, n.reqWhole, n.respWhole, whole)
		}
	}
}

func TestEndsOfLongBodiesAreShown(t *testing.T) { eachWay(t, testEndsOfLongBodiesAreShown) }

func testEndsOfLongBodiesAreShown(t *testing.T, newRig maker) {
	const limit, end = 64 << 10, 16 << 10
	b := make([]byte, 400000)
	for i := range b {
		b[i] = byte('a' + i*i%23 + i/1000%3)
	}
	body := string(b)
	for _, size := range []int{0, 1, limit - 1, limit, limit + 1, limit + 100, limit + end - 1, limit + end, limit + end + 1, limit + 3*end, 2 * limit, 200000, 399999} {
		for how, resp := range map[string]string{
			"length":  fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", size, body[:size]),
			"chunked": "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunks(body[:size], 777),
		} {
			r := newRig(t)
			c, up := r.begin(getRequest)
			go up.Write([]byte(resp))
			c.Expect(resp)
			n := r.ends(EndComplete)
			// What was kept in one piece is less than the limit if there are
			// chunks in it; wherever it ends, the tail must not overlap it.
			if !strings.HasPrefix(body, n.respBody) || len(n.respBody) > limit || how == "length" && len(n.respBody) != min(size, limit) {
				t.Errorf("%s, %d bytes: shown %d", how, size, len(n.respBody))
			}
			if want := body[max(len(n.respBody), size-end):size]; n.respTail != want {
				t.Errorf("%s, %d bytes: a tail of %d, want %d", how, size, len(n.respTail), len(want))
			}
			assert.Equal(t, len(n.respBody) == size, n.respWhole, "%s, %d bytes: whole", how, size)
		}
	}
}

// inChunks is body in chunks of that size.
func inChunks(body string, size int) string {
	var s strings.Builder
	for body != "" {
		n := min(size, len(body))
		fmt.Fprintf(&s, "%x\r\n%s\r\n", n, body[:n])
		body = body[n:]
	}
	return s.String() + "0\r\n\r\n"
}

func TestChunkedBodiesAreShownWithoutFraming(t *testing.T) {
	eachWay(t, testChunkedBodiesAreShownWithoutFraming)
}

func testChunkedBodiesAreShownWithoutFraming(t *testing.T, newRig maker) {
	const chunks = "5\r\nhello\r\n00a;x=y\r\n, chunks!\n\r\n0\r\nA: b\r\n\r\n"
	for how, split := range splits {
		r := newRig(t)
		req := "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
		resp := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks
		c := r.client()
		for _, p := range split(req) {
			c.Send(p)
		}
		up := r.upstream()
		up.Expect(req)
		for _, p := range split(resp) {
			up.Send(p)
		}
		c.Expect(resp)
		n := r.ends(EndComplete)
		const want = "hello, chunks!\n"
		if n.reqBody != want || n.respBody != want || !n.reqWhole || !n.respWhole {
			t.Errorf("%s: shown %q (%v) and %q (%v)", how, n.reqBody, n.reqWhole, n.respBody, n.respWhole)
		}
	}
}

// TestWhatIsNotReadDoesNotSpoilTheResponse has a client send more behind its last
// request: closing over it would reset the connection.
func TestWhatIsNotReadDoesNotSpoilTheResponse(t *testing.T) {
	eachWay(t, testWhatIsNotReadDoesNotSpoilTheResponse)
}

func testWhatIsNotReadDoesNotSpoilTheResponse(t *testing.T, newRig maker) {
	r := newRig(t)
	c := r.client()
	const last = "GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n"
	c.Send(last + strings.Repeat("x", 50000))
	up := r.upstream()
	up.Expect(last)
	up.Send(okResponse)
	up.Close()
	c.Expect(okResponse)
	c.ExpectEnd()
}

// TestUpstreamDecidesOnTheEndOfAConnection has the upstream end it or not,
// whatever the request asks for.
func TestUpstreamDecidesOnTheEndOfAConnection(t *testing.T) { eachWay(t, testEndOfAConnection) }

func testEndOfAConnection(t *testing.T, newRig maker) {
	for _, req := range []string{
		"GET / HTTP/1.0\r\n\r\n",
		"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n",
		"GET / HTTP/1.1\r\nHost: h\r\nConnection: x, CLOSE\r\n\r\n",
	} {
		r := newRig(t)
		c := r.client()
		c.Send(req)
		up := r.upstream()
		for range 2 {
			up.Expect(req)
			up.Deliver(okResponse, c)
			r.ends(EndComplete)
			c.Send(req)
		}
		up.Expect(req)
		up.Send(okResponse)
		up.Close()
		c.Expect(okResponse)
		c.ExpectEnd()
	}
}

func TestDialFailureIsAnswered(t *testing.T) { eachWay(t, testDialFailureIsAnswered) }

func testDialFailureIsAnswered(t *testing.T, newRig maker) {
	r := newRig(t)
	r.dial = func(context.Context) (net.Conn, error) { return nil, errors.New("no way") }
	c := r.client()
	for range 2 { // on the same connection
		c.Send(getRequest)
		c.Expect("HTTP/1.1 501 Refused\r\nContent-Length: 0\r\n\r\n")
		n := r.ends(EndRefused)
		assert.False(t, n.began, n)
	}
}

func TestShutdown(t *testing.T) { eachWay(t, testShutdown) }

func testShutdown(t *testing.T, newRig maker) {
	t.Run("closes idle connections", func(t *testing.T) {
		r := newRig(t)
		c, up := r.serves()
		fresh := r.client()
		r.accepts(2)
		assert.NoError(t, r.srv.Shutdown(t.Context()))
		c.ExpectEnd()
		fresh.ExpectEnd()
		up.ExpectEnd()
		assert.NoError(t, r.srv.Shutdown(t.Context()), "again")
		_, err := net.Dial("tcp", r.front)
		assert.Error(t, err, "still accepts")
	})
	t.Run("lets exchanges finish", func(t *testing.T) {
		r := newRig(t)
		c, up := r.begin(getRequest)
		down := make(chan error)
		go func() { down <- r.srv.Shutdown(context.Background()) }()
		r.drains()
		up.Send("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\n\r\nok")
		c.Expect("HTTP/1.1 200 OK\r\nA: b\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok")
		c.ExpectEnd()
		r.ends(EndComplete)
		assert.NoError(t, <-down)
	})
	t.Run("resets what does not end", func(t *testing.T) {
		for name, request := range map[string]string{
			"waiting":   getRequest,
			"uploading": "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 10\r\n\r\nhalf",
		} {
			r := newRig(t)
			c, up := r.begin(request)
			ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
			assert.ErrorIs(t, r.srv.Shutdown(ctx), context.DeadlineExceeded, name)
			cancel()
			c.ExpectReset()
			up.ExpectReset()
			r.ends(EndStopped)
		}
	})
	t.Run("while connecting", func(t *testing.T) {
		r := newRig(t)
		c := r.connecting(getRequest)
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Millisecond)
		defer cancel()
		r.srv.Shutdown(ctx)
		c.ExpectReset()
	})
	t.Run("with a handler that blocks", func(t *testing.T) {
		t.Parallel()
		r := newRig(t)
		dialing, release := make(chan struct{}), make(chan struct{})
		defer close(release)
		r.dial = func(context.Context) (net.Conn, error) {
			close(dialing)
			<-release
			return nil, errTest
		}
		r.client().Send(getRequest)
		<-dialing
		ctx, cancel := context.WithCancel(t.Context())
		cancel()
		assert.ErrorIs(t, r.srv.Shutdown(ctx), context.Canceled)
	})
	t.Run("before Serve", func(t *testing.T) {
		r := newRig(t)
		r.srv.Shutdown(t.Context())
		ln := rawconn.Listen(t)
		assert.NoError(t, r.srv.Serve(ln, r.intake(false)))
		_, err := ln.Accept()
		assert.ErrorIs(t, err, net.ErrClosed, "the listener was left open")
	})
}

// TestShutdownWhileConnectionsCome stops the server at any moment of the
// beginning of a connection.
func TestShutdownWhileConnectionsCome(t *testing.T) { eachWay(t, testShutdownWhileConnectionsCome) }

func testShutdownWhileConnectionsCome(t *testing.T, newRig maker) {
	const programs = 8
	for range full(300, 30) {
		r := newRig(t)
		var come sync.WaitGroup
		for range programs {
			come.Go(func() {
				for {
					c, err := net.Dial("tcp", r.front)
					if err != nil {
						return
					}
					defer c.Close()
				}
			})
		}
		r.accepts(programs)
		assert.NoError(t, r.srv.Shutdown(t.Context()))
		come.Wait()
	}
}

// TestNothingIsLeftBehind runs many requests, whole and broken off; TestMain
// looks for goroutines.
func TestNothingIsLeftBehind(t *testing.T) { eachWay(t, testNothingIsLeftBehind) }

func testNothingIsLeftBehind(t *testing.T, newRig maker) {
	const clients, each = 20, 100
	r := newRig(t)
	r.serveUpstream(func(_ int, nc net.Conn) { echo(nc) })
	done := make(chan error, clients)
	for i := range clients {
		go func() { done <- hammer(r.front, each, i%2 == 0) }()
	}
	for range clients {
		assert.NoError(t, <-done)
	}
	assert.NoError(t, r.srv.Shutdown(t.Context()))
	s := r.srv.Stats()
	if s.OpenClients != 0 || s.OpenUpstreams != 0 || s.Panics != 0 {
		t.Errorf("left behind: %+v", s)
	}
}

// echo answers each request without a body.
func echo(nc net.Conn) {
	defer nc.Close()
	b := make([]byte, 4096)
	for {
		if _, err := nc.Read(b); err != nil {
			return
		}
		if _, err := io.WriteString(nc, okResponse); err != nil {
			return
		}
	}
}

// hammer sends n requests; if rude, every tenth connection is reset before the
// response.
func hammer(addr string, n int, rude bool) error {
	var nc net.Conn
	b := make([]byte, len(okResponse))
	for i := range n {
		if nc == nil {
			var err error
			if nc, err = net.Dial("tcp", addr); err != nil {
				return err
			}
			nc.SetDeadline(time.Now().Add(6 * patience))
		}
		if _, err := io.WriteString(nc, getRequest); err != nil {
			return err
		}
		if rude && i%10 == 9 {
			nc.(*net.TCPConn).SetLinger(0)
			nc.Close()
			nc = nil
			continue
		}
		if _, err := io.ReadFull(nc, b); err != nil {
			return err
		}
	}
	if nc != nil {
		nc.Close()
	}
	return nil
}

// TestShutdownWithinTheResponse stops the server when the program has the head of
// the response, which allowed further requests.
func TestShutdownWithinTheResponse(t *testing.T) { eachWay(t, testShutdownWithinTheResponse) }

func testShutdownWithinTheResponse(t *testing.T, newRig maker) {
	r := newRig(t)
	c, up := r.begin(getRequest)
	up.Deliver(okResponse[:len(okResponse)-1], c)
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	stopped := make(chan error)
	go func() { stopped <- r.srv.Shutdown(ctx) }()
	r.drains()
	up.Deliver(okResponse[len(okResponse)-1:], c)
	c.ExpectEnd()
	up.ExpectEnd()
	assert.NoError(t, <-stopped)
	r.ends(EndComplete)
}
