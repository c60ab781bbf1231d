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

// TestTailTakesLittle has a body be longer than what is shown of its beginning: its end takes
// memory for twice what is shown of it, so that it is not moved with each read.
func TestTailTakesLittle(t *testing.T) {
	const inspect, size = 64 << 10, 16 << 10
	r := newMachine(t)
	r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10, InspectBytes: inspect, TailBytes: size})
	r.sendsFirst()
	before := r.s.bufs.inUse.Load()
	body := strings.Repeat("b", 4*inspect)
	r.pass(upstream, responseWith(body)[:3*inspect])
	withoutTail := before + 2*int64(r.s.bufs.largeSize) // the beginning, and what passes
	assert.Greater(t, r.s.bufs.inUse.Load(), withoutTail)
	assert.LessOrEqual(t, r.s.bufs.inUse.Load(), withoutTail+2*size)
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

// TestMemoryIsReserved asks for memory up to the limit, and for one byte more.
func TestMemoryIsReserved(t *testing.T) {
	p := &buffers{limit: 100}
	assert.True(t, p.reserve(99, 0))
	assert.False(t, p.reserve(2, 0))
	assert.True(t, p.reserve(1, 0), "up to the limit")
	assert.False(t, p.reserve(26, 25))
	assert.True(t, p.reserve(25, 25), "what may exceed it")
	assert.Equal(t, int64(125), p.inUse.Load())
}

// lastBytes come together with the end.
type lastBytes string

func (s lastBytes) Read(b []byte) (int, error) { return copy(b, s), io.EOF }

// short is a writer that takes so many bytes and then fails.
type short struct{ room int }

func (s *short) Write(b []byte) (int, error) {
	n := min(len(b), s.room)
	if s.room -= n; n < len(b) {
		return n, errTest
	}
	return n, nil
}

// TestCopyCountsWhatIsWritten copies to a side that takes a part, which is known even if the
// other side has ended.
func TestCopyCountsWhatIsWritten(t *testing.T) {
	for _, tt := range []struct {
		room int
		want error
	}{{0, errTest}, {3, errTest}, {7, errTest}, {8, nil}} {
		p := &newMachine(t).s.bufs
		n, err := p.copy(&short{tt.room}, lastBytes("bytes"), []byte("ahe"))
		assert.Equal(t, tt.want, err)
		assert.EqualValues(t, tt.room, n)
		assert.Zero(t, p.inUse.Load(), "bytes are still in use")
	}
}

// TestCopyGivesItsBuffersBackOnce ends with a large one.
func TestCopyGivesItsBuffersBackOnce(t *testing.T) {
	r := newMachine(t)
	_, err := r.s.bufs.copy(io.Discard, lastBytes(strings.Repeat("x", smallBuffer)), nil)
	require.NoError(t, err)
	assert.Zero(t, r.s.bufs.inUse.Load(), "bytes are still in use")
	r.wantNothingTwice()
}
