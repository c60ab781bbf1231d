package relay

import (
	"net/netip"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestProgramIsReadBehindItsRequestWhileDialing has a read behind a whole request show that
// the program is gone.
func TestProgramIsReadBehindItsRequestWhileDialing(t *testing.T) {
	r := newMachine(t)
	r.read(program, getRequest)
	require.Equal(t, effectDial, r.take())
	require.NotNil(t, r.space(program), "the program is read")
	r.ended(program, receivedReset, r.now)
	require.Equal(t, effectCancelDial, r.take())
	r.notDialed(errTest, r.now)
	r.wantEnds(EndCanceled)
}

// TestUnaskedBytesFillMemory has the upstream fill memory to the brim with what nobody asked
// for. The next read has nothing, and the one after it has more.
func TestUnaskedBytesFillMemory(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	r.responds()
	unasked := strings.Repeat("x", len(r.space(upstream)))
	r.nothing(upstream)
	r.read(upstream, unasked)
	r.expect(program, unasked)
	require.NotNil(t, r.space(upstream))
	r.nothing(upstream)
	r.read(upstream, "more")
	r.expect(program, "more")
	r.ended(upstream, receivedEnd, r.now)
	assert.Equal(t, "FIN, FIN", r.closed())
	assert.Zero(t, r.s.bufs.inUse.Load(), "bytes are still in use")
	r.wantNothingTwice()
}

// TestLateWrites has writes return after what they wrote was given up.
func TestLateWrites(t *testing.T) {
	for what, test := range map[string]struct {
		to     side
		giveUp func(r *machineRig)
	}{
		"to the program":       {program, func(r *machineRig) { r.kill(r.now) }},
		"to the upstream":      {upstream, func(r *machineRig) { r.kill(r.now) }},
		"that was in part":     {upstream, func(r *machineRig) { r.refused(upstream, r.now) }},
		"to a program, broken": {program, func(r *machineRig) { r.ended(program, receivedReset, r.now) }},
	} {
		t.Run(what, func(t *testing.T) {
			r := newMachine(t)
			r.read(program, getRequest)
			r.connect()
			if test.to == program {
				r.written(upstream)
				r.read(upstream, okResponse)
			}
			n := len(r.pending(test.to))
			r.flows[test.to.other()].writing = true
			test.giveUp(r)
			r.wrote(test.to, n-1, r.now)
			assert.Empty(t, r.pending(test.to), "more is to be written")
		})
	}
}

// TestUpstreamThatRefusesAProxiedRequest takes nothing of one whose head has another form.
func TestUpstreamThatRefusesAProxiedRequest(t *testing.T) {
	r := newMachine(t)
	r.route = func(*Exchange) (Route, error) {
		return Route{Key: Key{Host: "h", Forwarding: true}, Proxied: &Proxied{Origin: "http://h"}}, nil
	}
	r.read(program, getRequest)
	r.connect()
	require.NotEmpty(t, r.pending(upstream))
	r.refused(upstream, r.now)
	assert.Empty(t, r.pending(upstream), "more is to be written")
}

// TestNothingIsReadBehindARoutedConnect: it is for who takes the connections over.
func TestNothingIsReadBehindARoutedConnect(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	r.responds()
	r.read(program, connectRequest)
	require.Equal(t, stageConnect, r.stage)
	for _, from := range []side{program, upstream} {
		assert.Nil(t, r.space(from), "side %d is read", from)
	}
}

// TestMemoryThatIsReadIntoIsNotReused kills a pair while both sides are read.
func TestMemoryThatIsReadIntoIsNotReused(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	r.responds()
	under := [2][]byte{r.space(program), r.space(upstream)}
	r.kill(r.now)
	assert.Zero(t, r.s.bufs.inUse.Load(), "bytes are still in use")
	for range 8 {
		b := r.s.bufs.getSmall().free()
		for from, space := range under {
			assert.NotSame(t, &space[0], &b[0], "what side %d is read into", from)
		}
	}
}

// TestTimesAreObserved has the parts of a request and of its responses come a second after
// each other.
func TestTimesAreObserved(t *testing.T) {
	const final = "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"
	for what, tt := range map[string]struct {
		parts []string // of what the upstream sends
		first int      // the part that has the first byte of the final response
	}{
		"in one part":            {[]string{final}, 0},
		"the head in two":        {[]string{final[:5], final[5:]}, 0},
		"the head and the body":  {[]string{final[:len(final)-2], final[len(final)-2:]}, 0},
		"byte by byte":           {strings.Split(final, ""), 0},
		"behind an interim one":  {[]string{continue100, final}, 1},
		"together with it":       {[]string{continue100 + final}, 0},
		"together with its end":  {[]string{continue100[:5], continue100[5:] + final}, 1},
		"begun behind its end":   {[]string{continue100[:5], continue100[5:] + final[:3], final[3:]}, 1},
		"an interim one is all":  {[]string{continue100}, -1},
		"half of another behind": {[]string{continue100, continue100[:5], continue100[5:] + final}, 2},
	} {
		t.Run(what, func(t *testing.T) {
			r := newMachine(t)
			start := r.now
			r.read(program, getRequest[:5])
			r.later()
			r.read(program, getRequest[5:])
			r.later()
			r.connect()
			r.written(upstream)
			var times []time.Time
			for _, part := range tt.parts {
				r.later()
				times = append(times, r.now)
				r.read(upstream, part)
				r.written(program)
			}
			var first time.Time
			if tt.first >= 0 {
				first = times[tt.first]
			} else {
				r.ended(upstream, receivedEnd, r.now)
			}
			x := &r.observed
			assert.Equal(t, [3]time.Time{start, first, times[len(times)-1]}, [3]time.Time{x.Start, x.FirstByte, x.Finish})
		})
	}
}

// TestBytesAreObserved has a request and a response be forwarded in parts, behind other
// ones, and be counted with heads, framing and interim responses.
func TestBytesAreObserved(t *testing.T) {
	r := newMachine(t)
	address := netip.MustParseAddrPort("192.0.2.1:80")
	request := []string{"POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n3\r", "\nabc\r\n", "0\r\n\r\n"}
	response := []string{continue100, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r", "\nabc\r\n", "0\r\n\r\n"}
	sum := func(parts []string) int64 { return int64(len(strings.Join(parts, ""))) }
	for range 2 {
		for _, part := range request {
			r.read(program, part)
			if r.take()&effectDial != 0 {
				r.dialed(address, r.now)
			}
			r.written(upstream)
		}
		for _, part := range response {
			r.read(upstream, part)
			r.written(program)
		}
		x := &r.observed
		assert.Equal(t, [2]int64{sum(request), sum(response)}, [2]int64{x.RequestBytes, x.ResponseBytes})
		assert.Equal(t, address, x.Upstream)
	}
	r.wantEnds(EndComplete, EndComplete)
	s := r.s.Stats()
	assert.Equal(t, [3]int64{1, 2 * sum(request), 2 * sum(response)}, [3]int64{s.Dials, s.RequestBytes, s.ResponseBytes})
}

// TestEndsOfLongBodiesAreKept has long responses follow each other, while the program still
// sends its request or not.
func TestEndsOfLongBodiesAreKept(t *testing.T) {
	const end = 16 << 10
	r := newMachine(t)
	r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10, InspectBytes: 64 << 10, TailBytes: end})
	g := newGenerator(1)
	for _, tt := range []struct {
		size, parts int
		upload      bool
	}{{300_000, 40, false}, {200_000, 40, true}, {80_000, 1, false}, {90_000, 40, true}, {500_000, 40, true}, {82_000, 2, false}} {
		if tt.upload {
			r.pass(program, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 40\r\n\r\n")
		} else {
			r.pass(program, getRequest)
		}
		body := string(g.bytes(tt.size))
		response := responseWith(body)
		for i := range tt.parts {
			for part := response[i*len(response)/tt.parts : (i+1)*len(response)/tt.parts]; part != ""; r.written(program) {
				n := copy(r.space(upstream), part)
				r.received(upstream, n, r.now)
				part = part[n:]
			}
			if tt.upload {
				r.pass(program, "x")
			}
		}
		require.NotEmpty(t, r.tails)
		n := len(r.answered) - 1
		assert.Equal(t, body[:64<<10], r.answered[n], "the beginning of %+v", tt)
		assert.Equal(t, body[max(64<<10, len(body)-end):], r.tails[n], "the end of %+v", tt)
	}
}

// TestEndOfAnIncompleteBodyIsNotShown: it is not known where it would be.
func TestEndOfAnIncompleteBodyIsNotShown(t *testing.T) {
	r := newMachine(t)
	r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10, InspectBytes: 64 << 10, TailBytes: 16 << 10})
	r.sendsFirst()
	response := responseWith(strings.Repeat("x", 200_000))
	r.pass(upstream, response[:len(response)-1])
	r.ended(upstream, receivedEnd, r.now)
	r.wantEnds(EndClosed)
	assert.Equal(t, []string{""}, r.tails)
}

// TestExchangesShowNothingOfFormerOnes resets an exchange, which is used again.
func TestExchangesShowNothingOfFormerOnes(t *testing.T) {
	x := &Exchange{limit: 1000}
	const head = "HTTP/1.1 200 OK\r\nA: b\r\n\r\n"
	require.NoError(t, x.Request.Parse([]byte(getRequest), 0, len(getRequest)))
	require.NoError(t, x.Response.Parse([]byte(head), 0, len(head)))
	x.RequestBytes, x.Uninspected = 1, true
	x.reset(time.Unix(2, 0), 10)
	assert.Empty(t, x.Request.Method())
	assert.Empty(t, x.Request.Get("Host"))
	assert.Zero(t, x.Response.Status)
	assert.Empty(t, x.Response.Get("A"))
	assert.Equal(t, &Exchange{Request: x.Request, Response: x.Response, Start: time.Unix(2, 0), limit: 1000, unchunked: x.unchunked, tail: tail{size: 10}}, x)
}

// TestFirstBytesAreCounted gives a machine what was read before it.
func TestFirstBytesAreCounted(t *testing.T) {
	for _, n := range []int{100, 100_000} {
		r := newMachine(t)
		r.feed(make([]byte, n))
		assert.GreaterOrEqual(t, r.s.bufs.inUse.Load(), int64(n))
		r.forget()
		assert.Zero(t, r.s.bufs.inUse.Load())
	}
}
