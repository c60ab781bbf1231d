package relay

import "sync"

const (
	smallBuffer = 8 << 10
	largeBuffer = 64 << 10
	// headroom is left free before the first byte read, so that a field can be
	// added to a head without moving the body.
	headroom = 32
	// tightSpace is when a buffer counts as full: below it, reads would be
	// too short to be worth their system call.
	tightSpace = 4 << 10
)

// buffer is a piece of memory with unread bytes at b[r:w].
type buffer struct {
	b    []byte
	r, w int
}

func (b *buffer) unread() []byte { return b.b[b.r:b.w] }
func (b *buffer) free() []byte   { return b.b[b.w:] }
func (b *buffer) reset()         { b.r, b.w = headroom, headroom }

// toFront moves the unread bytes to the front to make room behind them.
func (b *buffer) toFront() {
	n := copy(b.b[headroom:], b.unread())
	b.r, b.w = headroom, headroom+n
}

// buffers is a pool of buffers of two sizes; those of other sizes are let go.
type buffers struct {
	small, large sync.Pool
	largeSize    int
}

// init sizes the large buffers so that one holds a longest head, or a usual
// head and all that is inspected of a body.
func (p *buffers) init(maxHead, inspect int) {
	p.largeSize = headroom + max(largeBuffer, maxHead, inspect) + smallBuffer
	p.small.New = func() any { return &buffer{b: make([]byte, smallBuffer)} }
	p.large.New = func() any { return &buffer{b: make([]byte, p.largeSize)} }
}

func (p *buffers) getSmall() *buffer {
	b := p.small.Get().(*buffer)
	b.reset()
	return b
}

func (p *buffers) getLarge() *buffer {
	b := p.large.Get().(*buffer)
	b.reset()
	return b
}

func (p *buffers) put(b *buffer) {
	switch {
	case b == nil:
	case len(b.b) == smallBuffer:
		p.small.Put(b)
	case len(b.b) == p.largeSize:
		p.large.Put(b)
	}
}

// grow returns a large buffer with b's content from offset keep on, moved to
// the front, and by how much it moved. It takes b.
func (p *buffers) grow(b *buffer, keep int) (grown *buffer, moved int) {
	g := p.getLarge()
	copy(g.b[headroom:], b.b[keep:b.w])
	moved = headroom - keep
	g.r, g.w = b.r+moved, b.w+moved
	p.put(b)
	return g, moved
}
