package relay

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// machineRig is a machine that a test drives call by call, as a driver would.
type machineRig struct {
	t testing.TB
	machine
	route    func(x *Exchange) (Route, error)
	ends     []End
	shown    []string // the request bodies
	answered []string // the response bodies
	tails    []string // their ends
	observed Exchange // the last one; only its times and numbers are valid

	uninspected bool   // the last exchange was, for want of memory
	cutHead     string // what was received of the last response's head, if that is incomplete
	refusal     error  // of the last request that was refused
	last        bool   // its response said that the connection would be closed
	ahead       bool   // bytes of the program lie ready to be read
}

func newMachine(t testing.TB) *machineRig {
	r := &machineRig{t: t}
	r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10, InspectBytes: 64 << 10})
	r.h, r.at = r, r
	r.now = time.Unix(1, 0)
	r.since = r.now
	r.route = func(*Exchange) (Route, error) { return Route{Key: Key{Host: "h"}}, nil }
	return r
}

func (r *machineRig) Route(x *Exchange) (Route, error)                  { return r.route(x) }
func (r *machineRig) Dial(context.Context, *Exchange) (net.Conn, error) { panic("not called") }
func (r *machineRig) Sending(*Exchange)                                 {}
func (r *machineRig) Secured(error)                                     {}
func (r *machineRig) Plain()                                            {}
func (r *machineRig) broken() bool                                      { return false }
func (r *machineRig) unread() bool                                      { return r.ahead }

func (r *machineRig) Refuse(dst []byte, _ *Exchange, err error, last bool) []byte {
	r.refusal, r.last = err, last
	return append(dst, "refused"...)
}

func (r *machineRig) Done(x *Exchange) {
	body, _ := x.RequestBody()
	r.ends, r.shown = append(r.ends, x.End), append(r.shown, string(body))
	body, _ = x.ResponseBody()
	r.answered, r.tails = append(r.answered, string(body)), append(r.tails, string(x.ResponseTail()))
	r.observed = *x
	r.uninspected, r.cutHead = x.Uninspected, string(x.Broken)
}

// read has the machine read s from a side.
func (r *machineRig) read(from side, s string) {
	r.t.Helper()
	r.readBy(from, s, func(int) {})
}

// readBy is read, with what was read shown to between before the machine receives it.
func (r *machineRig) readBy(from side, s string, between func(n int)) {
	r.t.Helper()
	for len(s) > 0 {
		b := r.space(from)
		if b == nil {
			r.t.Fatalf("%.40q is not wanted", s)
		}
		n := copy(b, s)
		s = s[n:]
		between(n)
		r.received(from, n, r.now)
		if from == program && len(s) > 0 {
			r.written(upstream)
		}
	}
}

// written takes all that is to be written to a side.
func (r *machineRig) written(to side) string {
	var all strings.Builder
	for b := r.pending(to); len(b) > 0; b = r.pending(to) {
		all.Write(b)
		r.wrote(to, len(b), r.now)
	}
	return all.String()
}

func (r *machineRig) expect(to side, want string) {
	r.t.Helper()
	if got := r.written(to); got != want {
		r.t.Fatalf("%.100q is written, want %.100q", got, want)
	}
}

// connect has the dial that runs succeed.
func (r *machineRig) connect() {
	r.t.Helper()
	if r.take()&effectDial == 0 {
		r.t.Fatal("no dial runs")
	}
	r.dialed(netip.AddrPort{}, r.now)
}

// sends has the program's first request, or the beginning of one, be sent.
func (r *machineRig) sends(request string) {
	r.t.Helper()
	r.read(program, request)
	r.connect()
	r.expect(upstream, request)
}

func (r *machineRig) sendsFirst() {
	r.t.Helper()
	r.sends(getRequest)
}

// responds has the upstream's response be sent.
func (r *machineRig) responds() {
	r.t.Helper()
	r.read(upstream, okResponse)
	r.expect(program, okResponse)
}

func (r *machineRig) wantEnds(ends ...End) {
	r.t.Helper()
	if !slices.Equal(r.ends, ends) {
		r.t.Fatalf("exchanges ended as %v, want %v", r.ends, ends)
	}
}

// TestMalformedBodyAfterTheResponse checks that the exchange, which was reported with the
// response, is not reported again.
func TestMalformedBodyAfterTheResponse(t *testing.T) {
	r := newMachine(t)
	const post = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n"
	r.sends(post)
	r.responds()
	r.wantEnds(EndComplete)
	r.read(program, "oops")
	r.wantEnds(EndComplete)
	assert.Equal(t, [2]closing{closeReset, closeReset}, r.bye)
}

// TestKillDuringARefusal stops the server while the refusal of a request that
// could not be read is sent.
func TestKillDuringARefusal(t *testing.T) {
	r := newMachine(t)
	r.read(program, "GET\r\n\r\n")
	r.kill(r.now)
	r.wantEnds(EndRefused)
}

// TestNothingIsReadBehindAWholeRequestWhileDialing has a pipelined CONNECT wait
// for its turn. A read behind it would have to return before the CONNECT could be
// answered, and memory that is read into cannot be moved.
func TestNothingIsReadBehindAWholeRequestWhileDialing(t *testing.T) {
	r := newMachine(t)
	const post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n"
	r.read(program, post)
	r.read(program, "body"+connectRequest)
	require.Nil(t, r.space(program), "more is read")
	r.connect()
	r.expect(upstream, post+"body")
}

// TestNothingIsReadBehindAResponse has the upstream send bytes behind a response that comes
// before the end of its request: no more is read until the request has ended.
func TestNothingIsReadBehindAResponse(t *testing.T) {
	r := newMachine(t)
	const post = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 2\r\n\r\na"
	r.sends(post)
	r.read(upstream, okResponse+"more")
	r.expect(program, okResponse)
	assert.Nil(t, r.space(upstream), "more is read")
	r.read(program, "b")
	r.expect(upstream, "b")
	r.expect(program, "more")
}

// TestMalformedBodyWhileDialing checks that no byte of the request is sent.
func TestMalformedBodyWhileDialing(t *testing.T) {
	r := newMachine(t)
	r.read(program, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n")
	r.read(program, "1\r\na\r\n")
	r.read(program, "oops")
	assert.Nil(t, r.space(program), "more is read")
	r.connect()
	r.expect(upstream, "")
	r.expect(program, "refused")
	r.wantEnds(EndRefused)
}

// held routes requests to be rewritten, which fails if err is not nil.
func (r *machineRig) held(err error) {
	r.route = func(x *Exchange) (Route, error) {
		route := Route{Key: Key{Host: string(x.Request.Host())}}
		if x.Request.Expects() {
			route.Rewrite = func(dst []byte, _ *Exchange, _ []byte) ([]byte, error) {
				return append(dst, getRequest...), err
			}
		}
		return route, nil
	}
}

const expecting = "POST / HTTP/1.1\r\nHost: other\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"

// TestRewrittenRequests has the one that is sent be of any size. What came behind the
// program's is the next one. One that is not framed by a length is not sent.
func TestRewrittenRequests(t *testing.T) {
	const coding = "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n"
	post := func(length int, body string) string {
		return "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(length) + "\r\n\r\n" + body
	}
	full := smallBuffer - headroom - len(post(1000, "")) // with its head
	for name, tt := range map[string]struct {
		sent, rewritten string
		err             error // of the refusal
	}{
		"shorter":             {post(4, "body"), getRequest, nil},
		"longer":              {post(4, "body"), post(5, "body2"), nil},
		"much longer":         {post(4, "body"), post(3<<10, strings.Repeat("x", 3<<10)), nil},
		"very much longer":    {post(4, "body"), post(1<<18, strings.Repeat("x", 1<<18)), nil},
		"as long as a buffer": {post(4, "body"), post(full, strings.Repeat("x", full)), nil},
		"from chunks":         {coding + "4\r\nbody\r\n0\r\n\r\n", post(4, "body"), nil},
		"a length too small":  {post(4, "body"), post(3, "body"), errRewrite},
		"a length too large":  {post(4, "body"), post(5, "body"), errRewrite},
		"a body of no length": {post(4, "body"), getRequest + "body", errRewrite},
		"chunks":              {post(4, "body"), coding + "0\r\n\r\n", errRewrite},
		"malformed":           {post(4, "body"), "GET / HTTP/1.1\r\n\r\n", errRewrite},
		"no head":             {post(4, "body"), "GET / HTTP/1.1\r\nHost: h\r\n", errRewrite},
	} {
		t.Run(name, func(t *testing.T) {
			r := newMachine(t)
			r.route = func(*Exchange) (Route, error) {
				route := Route{Key: Key{Host: "h"}}
				if len(r.ends) == 0 {
					route.Rewrite = func(dst []byte, _ *Exchange, body []byte) ([]byte, error) {
						assert.Equal(t, "body", string(body))
						return append(dst, tt.rewritten...), nil
					}
				}
				return route, nil
			}
			r.read(program, tt.sent+getRequest)
			if tt.err != nil {
				r.expect(program, "refused")
				assert.ErrorIs(t, r.refusal, tt.err)
				assert.Equal(t, "lingers, FIN", r.closed())
				r.wantEnds(EndRefused)
				assert.Zero(t, r.s.bufs.inUse.Load(), "bytes are still in use")
				return
			}
			r.connect()
			r.expect(upstream, tt.rewritten)
			r.responds()
			r.expect(upstream, getRequest)
			r.responds()
			r.wantEnds(EndComplete, EndComplete)
			r.wantNothingTwice()
		})
	}
}

// TestRewritingTakesMemory has requests be rewritten where memory is short: a short one, and
// one that does not fit a large buffer.
func TestRewritingTakesMemory(t *testing.T) {
	full := newMachine(t).s.bufs.largeSize - headroom
	for name, tt := range map[string]struct {
		limit  int64
		length int
		sent   int // of the request
	}{
		"a large buffer":    {1, 7000, 0},
		"more than a large": {int64(2*full + smallBuffer), 300_000, full},
	} {
		r := newMachine(t)
		r.s.bufs.limit = tt.limit
		r.route = func(*Exchange) (Route, error) {
			return Route{Rewrite: func([]byte, *Exchange, []byte) ([]byte, error) { panic("not called") }}, nil
		}
		request := "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: " + strconv.Itoa(tt.length) + "\r\n\r\n" + strings.Repeat("x", tt.length)
		r.read(program, request[:cmp.Or(tt.sent, len(request))])
		r.expect(program, "refused")
		assert.ErrorIs(t, r.refusal, ErrNoBuffers, name)
		r.wantEnds(EndRefused)
	}
}

// TestIncompleteHeadIsShown closes the connection within the head of a response.
func TestIncompleteHeadIsShown(t *testing.T) {
	const interim, begin = "HTTP/1.1 103 E\r\n\r\n", "HTTP/1.1 500 X\r\nX-KSC-REQUEST-ID: a\r\n"
	r := newMachine(t)
	r.sendsFirst()
	r.read(upstream, interim)
	r.expect(program, interim)
	r.read(upstream, begin)
	r.ended(upstream, receivedEnd, r.now)
	r.expect(program, begin)
	r.wantEnds(EndClosed)
	assert.Equal(t, begin, r.cutHead)

	r = newMachine(t)
	r.sendsFirst()
	r.read(upstream, halfReply)
	r.ended(upstream, receivedEnd, r.now)
	r.expect(program, halfReply)
	r.wantEnds(EndClosed)
	assert.Empty(t, r.cutHead, "the head is whole")
}

// TestRefusalOfRedirectedTLS has nothing be said to a program that sent no CONNECT.
func TestRefusalOfRedirectedTLS(t *testing.T) {
	r := newMachine(t)
	r.hello, r.destination = true, netip.MustParseAddrPort("192.0.2.1:443")
	r.route = func(*Exchange) (Route, error) { return Route{}, errTest }
	r.read(program, connectRequest)
	assert.Equal(t, "RST, RST", r.closed())
	r.wantEnds(EndRefused)
	assert.Zero(t, r.s.bufs.inUse.Load(), "bytes are still in use")
}

// TestUpstreamEndsBehindAnotherProtocol has the response be complete that says that another
// protocol follows.
func TestUpstreamEndsBehindAnotherProtocol(t *testing.T) {
	const response = "HTTP/1.1 101 Switching Protocols\r\n\r\nbytes"
	r := newMachine(t)
	r.sendsFirst()
	r.read(upstream, response)
	r.expect(program, response)
	r.ended(upstream, receivedEnd, r.now)
	r.wantEnds(EndComplete)
}

// TestMalformedBodyDuringAHold is of a body that is to be rewritten.
func TestMalformedBodyDuringAHold(t *testing.T) {
	r := newMachine(t)
	r.route = func(*Exchange) (Route, error) {
		return Route{Rewrite: func([]byte, *Exchange, []byte) ([]byte, error) { panic("not called") }}, nil
	}
	r.read(program, "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n")
	r.read(program, "oops")
	r.expect(program, "refused")
	assert.Equal(t, "lingers, FIN", r.closed())
	r.wantEnds(EndRefused)
}

// TestNoContinueForHTTP10 holds a request whose program would take a 100 Continue for the
// response.
func TestNoContinueForHTTP10(t *testing.T) {
	for version, want := range map[string]string{"1.1": "HTTP/1.1 100 Continue\r\n\r\n", "1.0": ""} {
		r := newMachine(t)
		r.route = func(*Exchange) (Route, error) {
			return Route{Rewrite: func([]byte, *Exchange, []byte) ([]byte, error) { panic("not called") }}, nil
		}
		r.read(program, "POST / HTTP/"+version+"\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n")
		r.expect(program, want)
	}
}

// TestRefusalBehindAContinue refuses a request after a 100 Continue was sent in
// part.
func TestRefusalBehindAContinue(t *testing.T) {
	r := newMachine(t)
	r.held(errTest)
	r.read(program, expecting)
	const first = "HTTP/1.1 100 Con"
	r.wrote(program, len(first), r.now)
	r.read(program, "hi")
	r.expect(program, continue100[len(first):]+"refused")
	r.wantEnds(EndRefused)
}

// TestContinueOutlastsTheUpstream has the request that a 100 Continue asked for
// go to another upstream before it was written.
func TestContinueOutlastsTheUpstream(t *testing.T) {
	r := newMachine(t)
	r.held(nil)
	r.sendsFirst()
	r.responds()
	r.read(program, expecting)
	b := r.pending(program) // a write that has not returned yet
	r.flows[upstream].writing = true
	r.read(program, "hi")
	r.connect()
	r.wrote(program, len(b), r.now)
	r.expect(upstream, getRequest)
	r.responds()
	r.wantEnds(EndComplete, EndComplete)
}

// TestUpstreamEndsDuringARefusal has a read that began before the refused
// request show the end of the upstream connection: no request goes there.
func TestUpstreamEndsDuringARefusal(t *testing.T) {
	for _, how := range []reception{receivedEnd, receivedCut, receivedReset} {
		r := newMachine(t)
		r.sendsFirst()
		r.responds()
		r.space(upstream)
		r.route = func(*Exchange) (Route, error) { return Route{}, errors.New("no") }
		r.read(program, getRequest)
		r.ended(upstream, how, r.now)
		r.expect(program, "refused")
		assert.True(t, r.over(), "the pair goes on")
	}
}

// TestUpstreamRefusesTheRestOfAWholeRequest answers early and breaks: the
// connection is not used for another request.
func TestUpstreamRefusesTheRestOfAWholeRequest(t *testing.T) {
	r := newMachine(t)
	r.read(program, "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbody"+getRequest)
	r.connect()
	r.wrote(upstream, 1, r.now)
	r.refused(upstream, r.now)
	r.responds()
	r.expect(upstream, "")
	r.wantEnds(EndComplete)
}

// TestRequestBehindALongOneIsShown has a read under way behind a request that
// nearly fills its memory, as there is where calls block.
func TestRequestBehindALongOneIsShown(t *testing.T) {
	r := newMachine(t)
	post := func(body string) string {
		return "POST / HTTP/1.1\r\nHost: h\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunks(body, 1000)
	}
	first := post(strings.Repeat("x", 72_000))
	r.read(program, first[:1000])
	r.connect()
	r.written(upstream)
	r.read(program, first[1000:])
	r.written(upstream)
	under := r.space(program)
	r.responds()
	second := post("hello")
	head := strings.Index(second, "5\r\n")
	copy(under, second[:head])
	r.received(program, head, r.now)
	r.written(upstream)
	r.read(program, second[head:])
	r.written(upstream)
	r.responds()
	if r.wantEnds(EndComplete, EndComplete); r.shown[1] != "hello" {
		t.Errorf("the second body is shown as %q", r.shown[1])
	}
}

// TestResponseBeforeItsRequestIsWritten has the response be whole before the write
// of the request has returned, as happens where calls block: the read that
// follows, which lasts as long as the pair is idle, takes little memory.
func TestResponseBeforeItsRequestIsWritten(t *testing.T) {
	r := newMachine(t)
	r.read(program, getRequest)
	r.connect()
	b := r.pending(upstream)
	r.flows[program].writing = true
	r.responds()
	n := len(r.space(upstream))
	assert.LessOrEqual(t, n, smallBuffer, "a read of up to %d bytes", n)
	r.wrote(upstream, len(b), r.now)
	r.read(program, getRequest)
	r.expect(upstream, getRequest)
	r.nothing(upstream)
	r.responds()
	r.wantEnds(EndComplete, EndComplete)
}

// TestShortResponsesTakeLittleMemory has a loop read responses while others wait, which
// then use the memory that they were read into.
func TestShortResponsesTakeLittleMemory(t *testing.T) {
	short, long := strings.Repeat("a", 1000), strings.Repeat("a", 2*smallBuffer)
	const chunked = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, test := range map[string]struct {
		parts []string
		body  string
		small bool
	}{
		"short":                    {[]string{responseWith(short)}, short, true},
		"without a body":           {[]string{"HTTP/1.1 304 Not Modified\r\n\r\n"}, "", true},
		"its head in two parts":    {[]string{responseWith(short)[:20], responseWith(short)[20:]}, short, true},
		"chunked":                  {[]string{chunked + inChunks(short, 300)}, short, true},
		"behind an interim one":    {[]string{continue100, chunked + inChunks(short, 300)}, short, true},
		"as long as a small one":   {[]string{ofLength(smallBuffer - headroom)}, bodyOf(ofLength(smallBuffer - headroom)), true},
		"one byte longer":          {[]string{ofLength(smallBuffer - headroom + 1)}, bodyOf(ofLength(smallBuffer - headroom + 1)), false},
		"long":                     {[]string{responseWith(long)}, long, false},
		"its head was sent before": {[]string{chunked, inChunks(short, 300)}, short, false},
	} {
		t.Run(name, func(t *testing.T) {
			r := newMachine(t)
			bufs := &r.s.bufs
			r.sendsFirst()
			before := bufs.inUse.Load()
			var got strings.Builder
			for i, part := range test.parts {
				r.readBy(upstream, part, func(n int) { r.compact(upstream, n) })
				if i < len(test.parts)-1 {
					got.WriteString(r.written(program))
				}
			}
			if inUse := bufs.inUse.Load() - before; test.small != (inUse <= smallBuffer) {
				t.Errorf("the response takes %d bytes", inUse)
			}
			other := bufs.getLarge()
			copy(other.b, strings.Repeat("?", len(other.b)))
			got.WriteString(r.written(program))
			if got.String() != strings.Join(test.parts, "") {
				t.Errorf("%q is sent", got.String())
			}
			if r.wantEnds(EndComplete); r.answered[0] != test.body {
				t.Errorf("%q is shown, want %q", r.answered[0], test.body)
			}
			r.read(program, getRequest)
			r.expect(upstream, getRequest)
			r.responds()
			r.wantEnds(EndComplete, EndComplete)
			r.wantNothingTwice()
		})
	}
}

// ofLength is a response of n bytes.
func ofLength(n int) string {
	head := responseWith(strings.Repeat("a", n))
	return responseWith(strings.Repeat("a", n-strings.Index(head, "\r\n\r\n")-4))
}

func bodyOf(response string) string {
	_, body, _ := strings.Cut(response, "\r\n\r\n")
	return body
}

// TestEmptyReadsTakeNoMemory reads from both sides of an idle pair, as within TLS where a
// record has no data.
func TestEmptyReadsTakeNoMemory(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	r.responds()
	for _, from := range []side{program, upstream} {
		r.space(from)
		r.nothing(from)
		assert.Zero(t, r.s.bufs.inUse.Load())
	}
}

// TestInterimResponsesFillMemory has interim responses fill what the upstream is read
// into to the brim. Memory that is given back twice would be used by two pairs at
// once.
func TestInterimResponsesFillMemory(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	r.responds()
	under := r.space(upstream) // before the request, as where calls block
	r.read(program, getRequest)
	r.expect(upstream, getRequest)
	const first, last = "HTTP/1.1 103 Early\r\nA: ", "\r\n\r\n"
	interim := first + strings.Repeat("a", len(under)-len(first)-len(last)) + last
	copy(under, interim)
	r.received(upstream, len(interim), r.now)
	r.expect(program, interim)
	response := responseWith(strings.Repeat("x", 2*smallBuffer))
	head, body := response[:100], response[100:]
	r.read(upstream, head)
	r.expect(program, head)
	r.read(upstream, body)
	r.expect(program, body)
	r.wantEnds(EndComplete, EndComplete)
	r.wantNothingTwice()
}

// TestEmptyLineFillsMemory has the empty line before a request come where memory
// ends.
func TestEmptyLineFillsMemory(t *testing.T) {
	r := newMachine(t)
	const line = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n"
	first := fmt.Sprintf(line, 8000)
	first += strings.Repeat("x", smallBuffer-headroom-len("\r\n")-len(first))
	first = strings.Replace(first, "8000", strconv.Itoa(len(first)-strings.Index(first, "\r\n\r\n")-4), 1)
	second := fmt.Sprintf(line, 20_000) + strings.Repeat("y", 20_000)
	r.sends(first)
	under := r.space(program) // as where calls block
	r.responds()
	copy(under, "\r\n")
	r.received(program, len("\r\n"), r.now)
	r.read(program, second[:100])
	sent := r.written(upstream)
	r.read(program, second[100:])
	if sent += r.written(upstream); sent != second {
		t.Errorf("%d bytes are sent, want %d", len(sent), len(second))
	}
	r.responds()
	r.wantEnds(EndComplete, EndComplete)
	r.wantNothingTwice()
}

// wantNothingTwice wants that no memory was given back twice.
func (r *machineRig) wantNothingTwice() {
	r.t.Helper()
	bufs := &r.s.bufs
	a, b, c := bufs.getSmall(), bufs.getSmall(), bufs.getSmall()
	if a == b || b == c || a == c {
		r.t.Error("memory was given back twice")
	}
}

// TestResponseIsNotChangedWhileItIsWritten has an exchange end while chunks are
// written, which are shown without their framing.
func TestResponseIsNotChangedWhileItIsWritten(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	response := "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n1\r\na\r\n2\r\nbc\r\n"
	r.read(upstream, response)
	under := r.pending(program)
	r.flows[upstream].writing = true
	r.ended(program, receivedReset, r.now)
	assert.Equal(t, response, string(under), "is written")
	r.wantEnds(EndCanceled)
}

// TestUnaskedBytesDuringAHold has the upstream send bytes while a request is held
// to be signed: they are no response to it, which is not sent.
func TestUnaskedBytesDuringAHold(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	r.responds()
	r.route = func(*Exchange) (Route, error) {
		return Route{Key: Key{Host: "h"}, Rewrite: func(dst []byte, _ *Exchange, _ []byte) ([]byte, error) {
			return append(dst, getRequest...), nil
		}}, nil
	}
	const head, body = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\n", "body"
	r.read(program, head)
	r.responds()
	r.read(program, body)
	r.expect(upstream, "")
	if !r.over() && r.stage != stageLinger {
		t.Errorf("stage %d", r.stage)
	}
	r.wantEnds(EndComplete)
}

// TestUnaskedBytesDuringAHead has the upstream send bytes before the request is whole.
func TestUnaskedBytesDuringAHead(t *testing.T) {
	r := newMachine(t)
	r.sendsFirst()
	r.responds()
	r.read(program, getRequest[:5])
	r.responds()
	r.read(program, getRequest[5:])
	r.expect(upstream, "")
	assert.Equal(t, "lingers, FIN", r.closed())
	r.wantEnds(EndComplete)
}

// TestDrainingBeforeARefusal stops the server gently before a request is refused.
func TestDrainingBeforeARefusal(t *testing.T) {
	for _, draining := range []bool{false, true} {
		r := newMachine(t)
		r.route = func(*Exchange) (Route, error) {
			r.s.draining.Store(draining)
			return Route{}, errTest
		}
		r.read(program, getRequest)
		r.expect(program, "refused")
		assert.Equal(t, draining, r.last, "the response says that it is the last one")
		assert.Equal(t, draining, r.stage != stageIdle, "the connection is closed")
	}
}

// TestDrainingWithinAnExchange has draining begin when it is too late to have the
// response's head say so: the connections close all the same.
func TestDrainingWithinAnExchange(t *testing.T) {
	const half = "POST / HTTP/1.1\r\nHost: h\r\nContent-Length: 4\r\n\r\nbo"
	drain := func(r *machineRig) {
		r.s.draining.Store(true)
		r.drain(r.now)
		if r.over() {
			r.t.Fatal("the exchange was given up")
		}
	}
	for name, test := range map[string]func(r *machineRig){
		"within the response's body": func(r *machineRig) {
			r.sendsFirst()
			r.read(upstream, okResponse[:len(okResponse)-1])
			r.expect(program, okResponse[:len(okResponse)-1])
			drain(r)
			r.read(upstream, okResponse[len(okResponse)-1:])
			r.expect(program, okResponse[len(okResponse)-1:])
			r.wantEnds(EndComplete)
		},
		"before the response to half a request": func(r *machineRig) {
			r.sends(half)
			drain(r)
			r.read(upstream, okResponse)
			r.expect(program, strings.Replace(okResponse, "\r\n\r\n", "\r\nConnection: close\r\n\r\n", 1))
			r.wantEnds(EndComplete)
		},
		"within a request that was answered": func(r *machineRig) {
			r.sends(half)
			r.responds()
			drain(r)
			r.read(program, "dy")
			r.expect(upstream, "dy")
			r.wantEnds(EndComplete)
		},
		"within a refusal": func(r *machineRig) {
			r.route = func(*Exchange) (Route, error) { return Route{}, errTest }
			r.read(program, getRequest)
			drain(r)
			r.expect(program, "refused")
			r.wantEnds(EndRefused)
		},
	} {
		t.Run(name, func(t *testing.T) {
			r := newMachine(t)
			test(r)
			if !r.over() && r.stage != stageLinger {
				t.Errorf("stage %d", r.stage)
			}
		})
	}
}

// TestEarlyConnection has the first request come when there is a connection to where
// the program's was redirected from: one that is to be sent within TLS gets another.
func TestEarlyConnection(t *testing.T) {
	for _, tls := range []bool{false, true} {
		r := newMachine(t)
		r.conn = connEarly
		r.route = func(*Exchange) (Route, error) { return Route{Key: Key{Host: "h", TLS: tls}}, nil }
		r.read(program, getRequest)
		want := effects(0)
		if tls {
			want = effectDial | effectDropUpstream
		}
		assert.Equal(t, want, r.take(), "TLS: %v", tls)
	}
}

// TestRequestAtTheEndOfTheUpstream has the upstream end at the moment when the program
// sends another request.
func TestRequestAtTheEndOfTheUpstream(t *testing.T) {
	const posting = "POST / HTTP/1.1\r\nHost: h\r\nExpect: 100-continue\r\nContent-Length: 2\r\n\r\n"
	first := func(r *machineRig, pause time.Duration) {
		r.sendsFirst()
		r.responds()
		r.now = r.now.Add(pause)
	}
	for what, tt := range map[string]struct {
		before   func(r *machineRig, pause time.Duration) // the end
		rest     string                                   // of the request, behind it
		replaced bool
	}{
		"no request": {first, getRequest, false},
		"it is on its way": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.ahead = true
		}, getRequest, true},
		"its head is": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(program, "GET / HT")
		}, "TP/1.1\r\nHost: h\r\n\r\n", true},
		"its body is": {func(r *machineRig, pause time.Duration) {
			r.held(nil)
			first(r, pause)
			r.read(program, posting)
			r.expect(program, continue100)
		}, "ok", true},
		"a second one is": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(program, getRequest)
			r.expect(upstream, getRequest)
			r.responds()
			r.now = r.now.Add(pause)
			r.ahead = true
		}, getRequest, true},
		"it was sent": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(program, getRequest)
			r.expect(upstream, getRequest)
		}, "", false},
		"it is to be sent": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(program, getRequest)
		}, "", false},
		"behind unasked bytes": {func(r *machineRig, pause time.Duration) {
			first(r, pause)
			r.read(upstream, "408")
			r.expect(program, "408")
			r.ahead = true
		}, getRequest, false},
		"the first on a connection that was made early": {func(r *machineRig, _ time.Duration) {
			r.conn, r.ahead = connEarly, true
		}, getRequest, false},
	} {
		for _, end := range []reception{receivedEnd, receivedCut, receivedReset} {
			for _, pause := range []time.Duration{pauseTime, pauseTime - 1} {
				t.Run(fmt.Sprintf("%s, %d, after %v", what, end, pause), func(t *testing.T) {
					r := newMachine(t)
					tt.before(r, pause)
					require.NotNil(t, r.space(upstream), "the upstream is read")
					r.ended(upstream, end, r.now)
					if !tt.replaced || pause < pauseTime {
						for r.stage == stageLast || r.stage == stageLinger {
							r.expired(r.now.Add(time.Hour))
						}
						assert.True(t, r.over(), "the pair goes on")
						return
					}
					assert.Equal(t, effectDropUpstream, r.take(), "what is wanted")
					assert.Equal(t, (&machine{got: [2]reception{upstream: end}}).echo(upstream), r.bye[upstream], "it is closed")
					answered := len(r.ends)
					r.read(program, tt.rest)
					r.connect()
					r.expect(upstream, getRequest)
					r.responds()
					assert.Len(t, r.ends, answered+1)
					assert.Equal(t, EndComplete, r.ends[answered])
					r.ahead = false
					r.ended(upstream, end, r.now)
					assert.True(t, r.over(), "the next end is not passed on")
				})
			}
		}
	}
}
