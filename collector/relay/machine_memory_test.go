package relay

import (
	"fmt"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

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

// TestLongHeadsTakeMemory has the head of a response be longer than a large buffer. It is
// read, and shown with its body, if there is memory for it; it passes all the same.
func TestLongHeadsTakeMemory(t *testing.T) {
	response := "HTTP/1.1 200 OK\r\nA: " + strings.Repeat("a", 150<<10) + "\r\nContent-Length: 5\r\n\r\nhello"
	for name, tt := range map[string]struct {
		limit int64
		end   End
		shown string
	}{
		"no limit":        {0, EndComplete, "hello"},
		"enough memory":   {1 << 20, EndComplete, "hello"},
		"too little":      {200 << 10, EndHeadTooLong, ""},
		"none for a body": {1, EndHeadTooLong, ""},
	} {
		t.Run(name, func(t *testing.T) {
			r := newMachine(t)
			r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10, InspectBytes: 64 << 10, BufferBytes: tt.limit})
			r.sendsFirst()
			passed := ""
			for rest := response; len(rest) > 0; passed += r.written(program) {
				n := copy(r.space(upstream), rest)
				require.NotZero(t, n, "nothing is wanted")
				rest = rest[n:]
				r.received(upstream, n, r.now)
			}
			r.ended(upstream, receivedEnd, r.now)
			assert.Equal(t, response, passed)
			r.wantEnds(tt.end)
			assert.Equal(t, []string{tt.shown}, r.answered)
			assert.Zero(t, r.s.bufs.inUse.Load(), "memory in use")
		})
	}
}
