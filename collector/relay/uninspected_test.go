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
