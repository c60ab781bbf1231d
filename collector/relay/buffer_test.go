package relay

import (
	"io"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

// TestBuffersAreCounted takes buffers of every kind, which are as large as was asked for,
// and gives them back.
func TestBuffersAreCounted(t *testing.T) {
	p := &newMachine(t).s.bufs
	p.tailSize = 4 << 10
	for name, tt := range map[string]struct {
		get  func(n int) *buffer
		room int
	}{
		"small":              {func(int) *buffer { return p.getSmall() }, smallBuffer - headroom},
		"large":              {func(int) *buffer { return p.getLarge() }, largeBuffer},
		"tail":               {func(int) *buffer { return p.getTail() }, 1},
		"head of a request":  {func(int) *buffer { return p.getHead(program) }, largeBuffer},
		"head of a response": {func(int) *buffer { return p.getHead(upstream) }, largeBuffer},
		"held, small":        {p.holding, smallBuffer - headroom},
		"held, large":        {p.holding, smallBuffer},
		"held, larger":       {p.holding, 1 << 20},
		"exactly, small":     {p.exactly, smallBuffer - headroom},
		"exactly, larger":    {p.exactly, smallBuffer},
		"exactly, large":     {p.exactly, 1 << 20},
	} {
		b := tt.get(tt.room)
		assert.GreaterOrEqual(t, len(b.free()), tt.room, name)
		assert.Equal(t, int64(len(b.b)), p.inUse.Load(), name)
		p.put(b)
		assert.Zero(t, p.inUse.Load(), name)
	}
}

// TestLargeBuffersFitTheSettings has a longest head, and a body of which all is inspected.
func TestLargeBuffersFitTheSettings(t *testing.T) {
	const size = 200 << 10
	r := newMachine(t)
	r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: size, InspectBytes: 1 << 10})
	head := "GET / HTTP/1.1\r\nHost: h\r\nA: "
	head += strings.Repeat("a", size-len(head)-4) + "\r\n\r\n"
	r.sends(head)

	r = newMachine(t)
	r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: 1 << 10, InspectBytes: size})
	r.sendsFirst()
	body := strings.Repeat("b", size)
	response := "HTTP/1.1 200 OK\r\nContent-Length: " + strconv.Itoa(size) + "\r\n\r\n" + body
	r.read(upstream, response)
	r.expect(program, response)
	r.wantEnds(EndComplete)
	assert.Equal(t, body, r.answered[0])
}

// reads is a reader of pieces of these sizes, which notes how much it was asked for.
type reads struct{ sizes, asked []int }

func (r *reads) Read(b []byte) (int, error) {
	r.asked = append(r.asked, len(b))
	if len(r.sizes) == 0 {
		return 0, io.EOF
	}
	n := min(r.sizes[0], len(b))
	r.sizes = r.sizes[1:]
	return n, nil
}

// TestCopyTakesALargeBufferWhileMuchIsSent copies pieces of different sizes.
func TestCopyTakesALargeBufferWhileMuchIsSent(t *testing.T) {
	p := &newMachine(t).s.bufs
	from := &reads{sizes: []int{1, smallBuffer, smallBuffer, 1 << 20, 1, 1}}
	n, err := p.copy(io.Discard, from, []byte("ahead"))
	require.NoError(t, err)
	large := p.largeSize
	assert.Equal(t, []int{smallBuffer, smallBuffer, large, large, large, smallBuffer, smallBuffer}, from.asked)
	assert.Equal(t, int64(len("ahead")+1+smallBuffer+smallBuffer+large+1+1), n)
	assert.Zero(t, p.inUse.Load(), "bytes are still in use")
}
