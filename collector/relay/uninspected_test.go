package relay

import (
	"fmt"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

// TestBodiesThatMemoryIsShortFor has bodies be longer than what they may be kept in.
// The handler learns that memory was the reason, and only if it was.
func TestBodiesThatMemoryIsShortFor(t *testing.T) {
	long, longest := strings.Repeat("a", 3*smallBuffer), strings.Repeat("a", 4*largeBuffer)
	post := fmt.Sprintf("POST / HTTP/1.1\r\nHost: h\r\nContent-Length: %d\r\n\r\n", len(long)) + long
	const never, twoLarge = 1, smallBuffer + 2*(largeBuffer+smallBuffer)
	for name, test := range map[string]struct {
		request, response string
		limit             int64
		want              bool
	}{
		"neither is long":                 {getRequest, okResponse, never, false},
		"the request":                     {post, okResponse, never, true},
		"the response":                    {getRequest, responseWith(long), never, true},
		"there is memory for both":        {post, responseWith(long), 0, false},
		"longer than what is ever kept":   {getRequest, responseWith(longest), 0, false},
		"there is no memory for its end":  {getRequest, responseWith(longest), twoLarge, true},
		"with chunks, none for its end":   {getRequest, "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + inChunks(longest, 9000), twoLarge, true},
		"until close, there is no memory": {getRequest, "HTTP/1.1 200 OK\r\n\r\n" + longest, never, true},
	} {
		t.Run(name, func(t *testing.T) {
			r := newMachine(t)
			r.s = New(Config{
				Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10,
				InspectBytes: 64 << 10, TailBytes: 16 << 10, BufferBytes: test.limit,
			})
			r.pass(program, test.request)
			r.pass(upstream, test.response)
			if strings.HasPrefix(name, "until close") {
				r.ended(upstream, receivedEnd, r.now)
			}
			r.wantEnds(EndComplete)
			assert.Equal(t, test.want, r.uninspected, "memory was short")
		})
	}
}

// pass has the machine forward s as it reads it.
func (r *machineRig) pass(from side, s string) {
	r.t.Helper()
	for len(s) > 0 {
		n := min(len(s), len(r.space(from)))
		r.nothing(from)
		r.read(from, s[:n])
		s = s[n:]
		if r.effects&effectDial != 0 {
			r.connect()
		}
		r.written(from.other())
	}
}

// TestHeadThatMemoryIsShortFor has a head be longer than a small buffer. A request is refused
// if there is no memory for it, but a response never is.
func TestHeadThatMemoryIsShortFor(t *testing.T) {
	fields := "X: " + strings.Repeat("a", smallBuffer) + "\r\n\r\n"
	const large = largeBuffer + smallBuffer
	for name, test := range map[string]struct {
		limit   int64
		refused bool
	}{
		"no memory":               {1, true},
		"none but for heads":      {large, false},
		"none even for heads":     {large * 4 / 5, true},
		"a limit that is not met": {1 << 20, false},
	} {
		t.Run(name, func(t *testing.T) {
			limited := func() *machineRig {
				r := newMachine(t)
				r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10, InspectBytes: 64 << 10, TailBytes: 16 << 10, BufferBytes: test.limit})
				return r
			}
			r := limited()
			for rest := "GET / HTTP/1.1\r\nHost: h\r\n" + fields; len(rest) > 0 && r.stage != stageRefuse; {
				n := min(len(rest), len(r.space(program)))
				r.nothing(program)
				r.read(program, rest[:n])
				rest = rest[n:]
			}
			assert.Equal(t, test.refused, r.stage == stageRefuse, "the request is refused")

			r = limited()
			r.sendsFirst()
			r.pass(upstream, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n"+fields)
			r.wantEnds(EndComplete)
		})
	}
}

// TestFieldsThatMemoryIsShortFor has heads have many fields, which take more memory than
// their bytes: it is counted, and a request is refused that there is not enough for.
func TestFieldsThatMemoryIsShortFor(t *testing.T) {
	many := strings.Repeat("a:\r\n", 1500)
	request, response := "GET / HTTP/1.1\r\nHost: h\r\n"+many+"\r\n", "HTTP/1.1 200 OK\r\n"+many+"Content-Length: 0\r\n\r\n"
	for name, test := range map[string]struct {
		limit             int64
		request, response string
		end               End
	}{
		"the request":       {1, request, "", EndRefused},
		"the response":      {1, getRequest, response, EndComplete},
		"there is memory":   {1 << 20, request, response, EndComplete},
		"they are not many": {1, getRequest, okResponse, EndComplete},
	} {
		t.Run(name, func(t *testing.T) {
			r := newMachine(t)
			r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10, InspectBytes: 64 << 10, BufferBytes: test.limit})
			r.read(program, test.request)
			if test.response != "" {
				r.connect()
				r.expect(upstream, test.request)
				r.read(upstream, test.response)
				if test.end == EndComplete && strings.Contains(test.response, many) {
					assert.Greater(t, r.s.bufs.inUse.Load(), int64(smallBuffer+strings.Count(test.request+test.response, many)*20*1500))
				}
			}
			r.written(program)
			r.wantEnds(test.end)
			r.forget()
			assert.Zero(t, r.s.bufs.inUse.Load(), "bytes are left")
		})
	}
}
