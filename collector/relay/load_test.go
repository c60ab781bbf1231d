package relay

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// soak has the tests of load run at full size, as make soak does.
var soak = flag.Bool("soak", false, "run the load tests at full size")

// full returns n with -soak, else a size that does not hold up others.
func full(n, else_ int) int {
	if *soak {
		return n
	}
	return else_
}

// TestIdlePairs keeps many pairs idle and then uses each again. A pair may take some
// times the memory that it is measured to take, with the test's two ends: 10 KiB on a
// loop, 40 KiB where calls block.
func TestIdlePairs(t *testing.T) {
	t.Run("loop", func(t *testing.T) { testIdlePairs(t, newRig, 40<<10) })
	t.Run("blocking", func(t *testing.T) { testIdlePairs(t, newBlockingRig, 128<<10) })
}

func testIdlePairs(t *testing.T, newRig maker, most int64) {
	// A pair has two sockets of the relay's and two of the test's.
	pairs := full(10_000, 1_000)
	if limit := descriptors(t, uint64(4*pairs+1_000)); limit < 4*pairs+1_000 {
		fewer := (limit - 1_000) / 4
		t.Logf("only %d of %d pairs, because of the limit of %d file descriptors", fewer, pairs, limit)
		pairs = fewer
	}
	require.GreaterOrEqual(t, pairs, 1_000, "only %d pairs are possible", pairs)
	r := newRig(t, func(c *Config) { c.Timeouts.ClientIdle = time.Hour })
	r.serveUpstream(func(_ int, nc net.Conn) { echo(nc) })
	before := memoryInUse()
	clients := make([]net.Conn, pairs)
	call := func(i int) {
		nc := clients[i]
		nc.SetDeadline(time.Now().Add(6 * patience))
		got := make([]byte, len(okResponse))
		_, err := io.WriteString(nc, getRequest)
		require.NoError(t, err)
		if _, err := io.ReadFull(nc, got); err != nil {
			t.Fatal(err)
		}
	}
	for i := range clients {
		nc, err := net.Dial("tcp", r.front)
		require.NoError(t, err)
		defer nc.Close()
		clients[i] = nc
		call(i)
	}
	// An idle pair needs no buffer, or where calls block one small one for each
	// side, to read into. The last exchanges may still be ending.
	limit := int64(pairs) * 2 * smallBuffer
	rawconn.Await(t, func() bool { return r.srv.bufs.inUse.Load() <= limit }, "more than %d bytes of buffers are in use", limit)
	perPair := (memoryInUse() - before) / int64(pairs)
	inUse := r.srv.bufs.inUse.Load()
	t.Logf("%d idle pairs: %d bytes each with the test's ends, of these %d in buffers", pairs, perPair, inUse/int64(pairs))
	assert.Less(t, perPair, most, "bytes for each pair")
	if s := r.srv.Stats(); s.OpenClients != int64(pairs) || s.OpenUpstreams != int64(pairs) {
		t.Errorf("%+v", s)
	}
	for i := range clients {
		call(i)
	}
}

// TestSlowPrograms has many programs send their heads and bodies byte by byte,
// and others be served meanwhile.
func TestSlowPrograms(t *testing.T) { inTurn(t, testSlowPrograms) }

func testSlowPrograms(t *testing.T, newRig maker) {
	programs := full(500, 50)
	descriptors(t, uint64(8*programs+1_000))
	const request = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 20\r\n\r\n01234567890123456789"
	r := newRig(t)
	var got atomic.Int64
	r.serveUpstream(func(_ int, nc net.Conn) {
		for b := make([]byte, len(request)); ; {
			n, err := io.ReadFull(nc, b)
			if err != nil {
				if got.Add(int64(n)); n > 0 && n != len(getRequest) {
					t.Errorf("the upstream got %q", b[:n])
				}
				return
			}
			io.WriteString(nc, okResponse)
		}
	})
	slow := make([]*peer, programs)
	for i := range slow {
		slow[i] = r.client()
		slow[i].SetDeadline(time.Now().Add(12 * patience))
	}
	quick := r.client()
	quick.SetDeadline(time.Now().Add(12 * patience))
	for i := range request {
		for _, p := range slow {
			p.Send(request[i : i+1])
		}
		if i%10 == 0 {
			quick.Send(request)
			quick.Expect(okResponse)
		}
	}
	for _, p := range slow {
		p.Expect(okResponse)
	}
	n, limit := r.srv.bufs.inUse.Load(), int64(programs+1)*2*(smallBuffer+int64(r.srv.bufs.largeSize))
	assert.LessOrEqual(t, n, limit, "bytes of buffers")
}

// TestLongBodies passes bodies far longer than memory both ways at once.
func TestLongBodies(t *testing.T) { inTurn(t, testLongBodies) }

func testLongBodies(t *testing.T, newRig maker) {
	size := int64(full(200<<20, 8<<20))
	r := newRig(t)
	r.serveUpstream(func(_ int, nc net.Conn) {
		head := make([]byte, len(longHead("POST / HTTP/1.1", size)))
		if _, err := io.ReadFull(nc, head); err != nil {
			return
		}
		if n, err := io.CopyN(io.Discard, nc, size); err != nil {
			t.Errorf("%d bytes of a request: %v", n, err)
			return
		}
		io.WriteString(nc, longHead("HTTP/1.1 200 OK", size))
		io.CopyN(nc, zeros{}, size)
	})
	watched, stop := make(chan struct{}), make(chan struct{})
	var inUse int64
	var m runtime.MemStats
	runtime.GC() // what other tests have left, and their pools
	runtime.GC()
	runtime.ReadMemStats(&m)
	before, heap := m.HeapAlloc, uint64(0)
	go func() {
		defer close(watched)
		for tick := time.NewTicker(5 * time.Millisecond); ; {
			select {
			case <-tick.C:
				inUse = max(inUse, r.srv.bufs.inUse.Load())
				runtime.ReadMemStats(&m)
				heap = max(heap, m.HeapAlloc)
			case <-stop:
				tick.Stop()
				return
			}
		}
	}()
	c := r.client()
	c.SetDeadline(time.Now().Add(12 * patience))
	c.Send(longHead("POST / HTTP/1.1", size))
	_, err := io.CopyN(struct{ io.Writer }{c}, zeros{}, size)
	require.NoError(t, err)
	c.Expect(longHead("HTTP/1.1 200 OK", size))
	if n, err := io.CopyN(io.Discard, struct{ io.Reader }{c}, size); err != nil {
		t.Errorf("%d bytes of a response: %v", n, err)
	}
	r.ends(EndComplete)
	close(stop)
	<-watched
	t.Logf("%d MB each way: at most %d bytes of buffers, a heap larger by at most %d", size>>20, inUse, heap-min(before, heap))
	// A body has a buffer and a spill each way; what TLS queues goes one way at a time.
	assert.LessOrEqual(t, inUse, int64(5*r.srv.bufs.largeSize+r.srv.bufs.tailSize), "bytes of buffers")
	assert.LessOrEqual(t, heap, before+16<<20, "the heap has grown from %d to %d bytes", before, heap)
}

func longHead(line string, size int64) string {
	return fmt.Sprintf("%s\r\nHost: h\r\nContent-Length: %d\r\n\r\n", line, size)
}

// TestShutdownUnderLoad stops the server while many programs call: each call gets
// its whole response, or none and then nothing of it was sent.
func TestShutdownUnderLoad(t *testing.T) { inTurn(t, testShutdownUnderLoad) }

func testShutdownUnderLoad(t *testing.T, newRig maker) {
	rounds := full(50, 3)
	const programs = 20
	for range rounds {
		r := newRig(t)
		var answered, complete atomic.Int64
		r.serveUpstream(func(_ int, nc net.Conn) {
			b := make([]byte, len(getRequest))
			for {
				n, err := io.ReadFull(nc, b)
				if err != nil {
					if n > 0 {
						t.Errorf("half a request: %q", b[:n])
					}
					return
				}
				answered.Add(1)
				io.WriteString(nc, okResponse)
			}
		})
		var programsDone sync.WaitGroup
		started := make(chan struct{}, programs)
		clients := make([]*peer, programs)
		for i := range clients {
			clients[i] = r.client()
		}
		for _, c := range clients {
			programsDone.Go(func() {
				for i := 0; ; i++ {
					if i == 5 {
						started <- struct{}{}
					}
					if _, err := io.WriteString(c, getRequest); err != nil {
						return
					}
					// Closing is announced in the head, before which there is room.
					head, err := readHead(c)
					if err != nil {
						assert.Empty(t, head, "half a response: %q, %v", head, err)
						return
					}
					if _, err := io.ReadFull(c, make([]byte, 2)); err != nil {
						t.Errorf("half a response: %v", err)
						return
					}
					complete.Add(1)
				}
			})
		}
		for range programs {
			<-started
		}
		ctx, cancel := context.WithTimeout(t.Context(), patience)
		assert.NoError(t, r.srv.Shutdown(ctx))
		cancel()
		programsDone.Wait()
		if s := r.srv.Stats(); s.OpenClients != 0 || s.OpenUpstreams != 0 || r.srv.bufs.inUse.Load() != 0 {
			t.Errorf("left behind: %+v and %d bytes", s, r.srv.bufs.inUse.Load())
		}
		a, c := answered.Load(), complete.Load()
		assert.Equal(t, c, a, "the upstream answered %d calls, %d were whole", a, c)
	}
}

// readHead reads byte by byte to an empty line.
func readHead(r io.Reader) (string, error) {
	var b []byte
	for one := make([]byte, 1); !strings.HasSuffix(string(b), "\r\n\r\n"); b = append(b, one[0]) {
		if _, err := io.ReadFull(r, one); err != nil {
			if errors.Is(err, io.EOF) && len(b) == 0 {
				return "", io.EOF
			}
			return string(b), err
		}
	}
	return string(b), nil
}

// TestReloadUnderLoad changes the rules by which connections are made while many
// programs call: no call is lost, and each goes by the rules of its time.
func TestReloadUnderLoad(t *testing.T) { inTurn(t, testReloadUnderLoad) }

func testReloadUnderLoad(t *testing.T, newRig maker) {
	const programs = 20
	calls := full(2_000, 100)
	r := newRig(t)
	var epoch atomic.Uint64
	r.route = func(*Exchange) (Route, error) {
		return Route{Key: Key{Host: "h", Port: 80, Epoch: epoch.Load()}}, nil
	}
	r.serveUpstream(func(_ int, nc net.Conn) { echo(nc) })
	var done sync.WaitGroup
	clients := make([]*peer, programs)
	for i := range clients {
		clients[i] = r.client()
		clients[i].SetDeadline(time.Now().Add(6 * patience))
	}
	for i, c := range clients {
		done.Go(func() {
			got := make([]byte, len(okResponse))
			for n := range calls {
				if i == 0 && n%10 == 0 {
					epoch.Add(1)
				}
				if _, err := io.WriteString(c, getRequest); err != nil {
					t.Error(err)
					return
				}
				if _, err := io.ReadFull(c, got); err != nil {
					t.Errorf("call %d: %v", n, err)
					return
				}
			}
		})
	}
	done.Wait()
	if s := r.srv.Stats(); s.OpenUpstreams != programs || s.Dials < programs+1 {
		t.Errorf("%+v", s)
	}
}
