package relay

import (
	"crypto/tls"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// waits waits until so many connections wait for a request.
func (r *rig) waits(n int) {
	r.t.Helper()
	rawconn.Await(r.t, func() bool {
		waiting := 0
		r.srv.each(func(p *pair) {
			if since := p.idle.since.Load(); since > 0 && since <= time.Now().UnixNano() {
				waiting++
			}
		})
		return waiting == n
	}, "%d connections do not come to wait", n)
}

func TestConnectionsAreLimited(t *testing.T) { eachWay(t, testConnectionsAreLimited) }

func testConnectionsAreLimited(t *testing.T, newRig maker) {
	r := newRig(t, func(c *Config) { c.MaxConnections = 2 })
	first, firstUp := r.begin(getRequest)
	firstUp.Deliver(okResponse, first)
	r.waits(1)
	second, secondUp := r.begin(getRequest)
	third, thirdUp := r.begin(getRequest)
	first.ExpectEnd() // it waited, and makes room
	firstUp.ExpectEnd()

	turned := r.plainClient() // no driver waits any more
	turned.Send(getRequest)
	turned.Expect("HTTP/1.1 503 Busy\r\n\r\n")
	turned.ExpectEnd()
	secondUp.Deliver(okResponse, second)
	thirdUp.Deliver(okResponse, third)
	if s := r.srv.Stats(); s.Reclaimed != 1 || s.Refused != 1 || s.Accepted != 4 {
		t.Errorf("%+v", s)
	}
}

// TestLimitHoldsForAllListeners has many programs connect by two listeners at once,
// each of which makes room for the next.
func TestLimitHoldsForAllListeners(t *testing.T) { eachWay(t, testLimitHoldsForAllListeners) }

func testLimitHoldsForAllListeners(t *testing.T, newRig maker) {
	const limit, programs = 3, 60
	r := newRig(t, func(c *Config) { c.MaxConnections = limit })
	most := make(chan int64, 2*programs)
	served, dialed := make(chan error), make(chan struct{})
	for range 2 {
		in := r.intake(false)
		in.NewHandler = func(netip.AddrPort) Handler {
			most <- r.srv.Stats().OpenClients
			return &testHandler{rig: r}
		}
		ln := rawconn.Listen(t)
		go func() { served <- r.srv.Serve(ln, in) }()
		go func() {
			defer func() { dialed <- struct{}{} }()
			for range programs {
				nc, err := net.Dial("tcp", ln.Addr().String())
				if err != nil {
					t.Error(err)
					return
				}
				t.Cleanup(func() { nc.Close() })
			}
		}()
	}
	<-dialed
	<-dialed
	r.accepts(2 * programs)
	assert.NoError(t, r.srv.Shutdown(t.Context()))
	for range 2 {
		assert.NoError(t, <-served)
	}
	close(most)
	for n := range most {
		if n > limit {
			t.Fatalf("%d connections at once, want at most %d", n, limit)
		}
	}
}

// TestMemoryIsLimited passes many large bodies at once with less memory than
// looking at them would take.
func TestMemoryIsLimited(t *testing.T) { inTurn(t, testMemoryIsLimited) }

func testMemoryIsLimited(t *testing.T, newRig maker) {
	const calls, limit = 12, 1 << 19
	body := strings.Repeat("0123456789abcdef", 1<<18) // more than the system takes
	request := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", 1<<17) + body[:1<<17]
	response := fmt.Sprintf("HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n", len(body)) + body
	r := newRig(t, func(c *Config) { c.BufferBytes = limit })
	r.serveUpstream(func(_ int, nc net.Conn) {
		tcp, _ := layers(nc)
		tcp.(*net.TCPConn).SetWriteBuffer(256 << 10)
		if _, err := io.ReadFull(nc, make([]byte, len(request))); err == nil {
			io.WriteString(nc, response)
		}
	})
	// Every program has its response before any reads it.
	programs := make([]*peer, calls)
	for i := range programs {
		programs[i] = r.client()
		programs[i].TCPConn.SetReadBuffer(256 << 10)
		programs[i].SetDeadline(time.Now().Add(6 * patience))
		programs[i].Send(request)
	}
	// What no call can do without: a small buffer for each direction, a spill.
	const most = limit + calls*4*smallBuffer + 2*(largeBuffer+smallBuffer+headroom)
	for i, c := range programs {
		if n := r.srv.Stats().BufferBytes; n > most {
			t.Fatalf("call %d: %d bytes in use, want at most %d", i, n, most)
		}
		c.Expect(response)
	}
	short := 0
	for range programs {
		if n := r.ends(EndComplete); !n.respWhole && len(n.respBody) < 32<<10 {
			short++
		}
	}
	assert.NotZero(t, short, "all bodies were kept")
	for _, c := range programs {
		c.Close()
	}
	assert.NoError(t, r.srv.Shutdown(t.Context()))
	assert.Zero(t, r.srv.Stats().BufferBytes, "bytes are still in use")
}

// TestRequestIsNotReclaimed makes room at the moment at which a connection that
// was idle is used again.
func TestRequestIsNotReclaimed(t *testing.T) { eachWay(t, testRequestIsNotReclaimed) }

func testRequestIsNotReclaimed(t *testing.T, newRig maker) {
	r := newRig(t)
	c, up := r.serves()
	r.waits(1)
	c.Send(getRequest[:3])
	r.waits(0)
	r.srv.each((*pair).yield)
	c.Send(getRequest[3:])
	up.Expect(getRequest)
	up.Deliver(okResponse, c)
	r.ends(EndComplete)

	c = r.plainClient()
	r.tls = testTLS()
	c.Send(connectRequest)
	c.Expect(established)
	r.srv.each((*pair).yield)
	c.handshake(tls.Client)
}

// TestLargeRequestsShareTheBudget has many requests that are held until they are whole, and
// heads that are large. Beyond the budget they are refused; small ones are not.
func TestLargeRequestsShareTheBudget(t *testing.T) { eachWay(t, testLargeRequestsShareTheBudget) }

func testLargeRequestsShareTheBudget(t *testing.T, newRig maker) {
	const budget, programs = 1 << 20, 40
	for name, tt := range map[string]struct{ begin, rest string }{
		"held bodies": {
			"POST /held HTTP/1.1\r\nHost: h\r\nContent-Length: 900000\r\n\r\n" + strings.Repeat("b", 200_000), strings.Repeat("b", 700_000),
		},
		"heads": {"GET / HTTP/1.1\r\nHost: h\r\nX: " + strings.Repeat("h", 9<<10), "\r\n\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.BufferBytes = budget })
			r.route = func(x *Exchange) (Route, error) {
				route := Route{Key: Key{Host: "h", Port: 80}}
				if string(x.Request.Target()) == "/held" {
					route.Rewrite = func(dst []byte, _ *Exchange, body []byte) ([]byte, error) {
						dst = append(dst, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: "+strconv.Itoa(len(body))+"\r\n\r\n"...)
						return append(dst, body...), nil
					}
				}
				return route, nil
			}
			all := make([]*peer, programs)
			for i := range all {
				all[i] = r.client()
				go all[i].Write([]byte(tt.begin)) // a refusal may come before the end
			}
			for range programs / 4 { // at least so many do not fit
				assert.ErrorIs(t, r.ends(EndRefused).refusal, ErrNoBuffers)
			}
			assert.LessOrEqual(t, r.srv.Stats().BufferBytes, int64(budget+programs*4*smallBuffer))
			c, up := r.begin(getRequest) // it needs little
			up.Deliver(okResponse, c)
			for n := r.done(); n.end != EndComplete; n = r.done() {
				assert.ErrorIs(t, n.refusal, ErrNoBuffers)
			}
		})
	}
}

// TestTurnedAway has connections beyond the limit at the same time. Where TLS is
// expected none is answered, elsewhere no more than MaxTurnedAway at once; all are
// counted and closed.
func TestTurnedAway(t *testing.T) {
	const more, most = 40, 8
	for name, tt := range map[string]struct {
		addr func(r *rig) string
		most int
	}{
		"plain":               {func(r *rig) string { return r.front }, most},
		"TLS":                 {func(r *rig) string { return r.frontTLS }, 0},
		"TLS in our own name": {(*rig).ownTLS, 0},
		"redirected":          {func(r *rig) string { return r.redirected("h") }, 0},
	} {
		t.Run(name, func(t *testing.T) {
			r := newRig(t, func(c *Config) { c.MaxConnections, c.MaxTurnedAway, c.Timeouts.Linger = 1, most, time.Hour })
			r.begin(getRequest)
			turned := make([]net.Conn, more)
			for i := range turned { // open until all are refused, so that each answered one takes its place
				nc, err := net.Dial("tcp", tt.addr(r))
				require.NoError(t, err)
				defer nc.Close()
				turned[i] = nc
			}
			rawconn.Await(t, func() bool { return r.srv.Stats().Refused == more }, "not all are refused")
			answered := 0
			for _, nc := range turned {
				nc.(*net.TCPConn).CloseWrite()
				got, err := io.ReadAll(nc)
				require.NoError(t, err)
				if len(got) > 0 {
					assert.Equal(t, "HTTP/1.1 503 Busy\r\n\r\n", string(got))
					answered++
				}
			}
			assert.Equal(t, tt.most, answered)
		})
	}
}

// TestTurnedAwayStays has a connection beyond the limit stay open: its place is for others.
func TestTurnedAwayStays(t *testing.T) {
	r := newRig(t, func(c *Config) { c.MaxConnections, c.Timeouts.Linger = 1, 20*time.Millisecond })
	r.begin(getRequest)
	r.plainClient().Expect("HTTP/1.1 503 Busy\r\n\r\n")
	rawconn.Await(t, func() bool { return len(r.srv.turned) == 0 }, "the connection is not closed")
}

// TestQueuesOfAll has connections come and go in any order: what was allotted to those that
// there are is never more than the limit, but for the shortest queues.
func TestQueuesOfAll(t *testing.T) {
	r := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		q := queues{memory: r.Int64N(64 << 20)}
		unlimited := q.memory == 0
		var sizes []int
		sum := int64(0)
		for range 2000 {
			if n := len(sizes); n > 0 && r.IntN(1000) < 300+n/2 {
				i := r.IntN(n)
				q.free(sizes[i])
				sum -= int64(sizes[i])
				sizes[i] = sizes[n-1]
				sizes = sizes[:n-1]
				continue
			}
			size := q.allot()
			require.True(t, leastQueue <= size && size <= mostQueue, "%d bytes", size)
			sizes = append(sizes, size)
			sum += int64(size)
			require.True(t, unlimited || pairQueues*(sum-int64(len(sizes)*leastQueue)) <= q.memory, "%d bytes for %d pairs of %d", sum, len(sizes), q.memory)
		}
		for _, size := range sizes {
			q.free(size)
		}
		require.Zero(t, q.allotted)
	}
}

// TestQueuesOfMany has connections begin one after another: the first have the longest queues,
// and later ones shorter ones. docs/design.md has these numbers.
func TestQueuesOfMany(t *testing.T) {
	q := queues{memory: (128 << 20) / 10 * 9 / 10}
	var sizes []int
	for range 614 {
		sizes = append(sizes, q.allot()>>10)
	}
	assert.True(t, slices.IsSortedFunc(sizes, func(a, b int) int { return b - a }), "sizes %v", sizes)
	first := map[int]int{} // connection with less than so many KiB
	for _, size := range []int{128, 64, 32, 16, 9} {
		first[size] = slices.IndexFunc(sizes, func(n int) bool { return n < size }) + 1
	}
	assert.Equal(t, map[int]int{128: 1, 64: 17, 32: 44, 16: 78, 9: 144}, first)
	assert.Equal(t, mostQueue, (&queues{}).allot())
}

// TestQueuesOfPairsThatEnd has pairs end, be refused, and come too late: nothing stays allotted.
func TestQueuesOfPairsThatEnd(t *testing.T) { eachWay(t, testQueuesOfPairsThatEnd) }

func testQueuesOfPairsThatEnd(t *testing.T, newRig maker) {
	r := newRig(t, func(c *Config) { c.QueueBytes, c.MaxConnections = 16<<20, 1 })
	allotted := func() int64 {
		r.srv.mu.Lock()
		defer r.srv.mu.Unlock()
		return r.srv.queues.allotted
	}
	c, up := r.begin(getRequest)
	one := allotted()
	assert.Positive(t, one)
	turned := r.plainClient()
	turned.Expect("HTTP/1.1 503 Busy\r\n\r\n")
	assert.Equal(t, one, allotted(), "one was refused")
	up.Deliver(okResponse, c)
	r.ends(EndComplete)
	c.Close()
	r.isEmpty()
	assert.Zero(t, allotted())
}
