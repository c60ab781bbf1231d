package relay

import (
	"cmp"
	"errors"
	"io"
	"sync"
	"sync/atomic"
)

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

// buffer is a piece of memory. Of the bytes read into it, b[r:t] are ready to be
// sent, and b[t:w] were not parsed yet.
type buffer struct {
	b       []byte
	r, t, w int
}

func (b *buffer) unsent() []byte { return b.b[b.r:b.t] }
func (b *buffer) unread() []byte { return b.b[b.t:b.w] }
func (b *buffer) free() []byte   { return b.b[b.w:] }
func (b *buffer) reset()         { b.r, b.t, b.w = headroom, headroom, headroom }

// buffers is a pool of buffers of three sizes; buffers of other sizes are not
// reused. The memory in use is limited. Small buffers, of which the number of
// connections bounds the number, are handed out all the same; larger ones are
// reserved first, so that those who ask at the same time cannot exceed the limit together.
type buffers struct {
	small, large, tail  sync.Pool
	largeSize, tailSize int
	limit               int64
	inUse               atomic.Int64
}

// init sizes the large buffers so that one holds a longest head, or a usual
// head and all that is inspected of a body. limit is in bytes; 0 is none.
func (p *buffers) init(maxHead, inspect, tail int, limit int64) {
	p.limit = limit
	p.largeSize = max(largeBuffer, maxHead, inspect) + smallBuffer // by default whole pages of the Go heap
	p.tailSize = 2 * tail
	p.small.New = func() any { return &buffer{b: make([]byte, smallBuffer)} }
	p.large.New = func() any { return &buffer{b: make([]byte, p.largeSize)} }
	p.tail.New = func() any { return &buffer{b: make([]byte, p.tailSize)} }
}

func (p *buffers) getSmall() *buffer {
	p.inUse.Add(smallBuffer)
	return taken(&p.small)
}

func taken(from *sync.Pool) *buffer {
	b := from.Get().(*buffer)
	b.reset()
	return b
}

// reserve counts n bytes as in use. It reports false, and counts nothing, if that would
// be beyond the limit, which is exceeded by more bytes at most.
func (p *buffers) reserve(n int, more int64) bool {
	if p.inUse.Add(int64(n)) <= p.limit+more || p.limit <= 0 {
		return true
	}
	p.inUse.Add(-int64(n))
	return false
}

// headShare is the divisor of the limit for what heads may take beyond it.
const headShare = 4

// getHead is getLarge for a head, without which a call cannot go on. For that of a response
// there always is memory: the request was sent, and may have been carried out.
func (p *buffers) getHead(from side) *buffer {
	if from == upstream {
		p.inUse.Add(int64(p.largeSize))
	} else if !p.reserve(p.largeSize, p.limit/headShare) {
		return nil
	}
	return taken(&p.large)
}

// getLarge returns a large buffer, or nil if there is no memory for it.
func (p *buffers) getLarge() *buffer {
	if !p.reserve(p.largeSize, 0) {
		return nil
	}
	return taken(&p.large)
}

// getTail returns a buffer for the end of a body, or nil if there is no memory for it.
func (p *buffers) getTail() *buffer {
	if !p.reserve(p.tailSize, 0) {
		return nil
	}
	return taken(&p.tail)
}

// holding returns a buffer with room for n bytes and more, or nil if there is no memory
// for it.
func (p *buffers) holding(n int) *buffer {
	switch {
	case n <= smallBuffer-headroom:
		return p.getSmall()
	case n <= p.largeSize-headroom-tightSpace:
		return p.getLarge()
	}
	size := headroom + n + tightSpace
	if !p.reserve(size, 0) {
		return nil
	}
	return unusual(size)
}

// longer returns a buffer with more room than b, for the head of a response, or nil if
// there is no memory for it.
func (p *buffers) longer(b *buffer) *buffer {
	size := len(b.b) + p.largeSize
	if !p.reserve(size, p.limit/headShare) {
		return nil
	}
	return unusual(size)
}

// exactly returns a buffer with room for n bytes, also beyond the limit. It is for what a
// connection begins with, when it has no other buffers.
func (p *buffers) exactly(n int) *buffer {
	if n <= smallBuffer-headroom {
		return p.getSmall()
	}
	p.inUse.Add(int64(headroom + n))
	return unusual(headroom + n)
}

// unusual returns a buffer of a size that is not reused.
func unusual(size int) *buffer {
	b := &buffer{b: make([]byte, size)}
	b.reset()
	return b
}

// spare returns a large buffer if there is memory for it, else a small one.
func (p *buffers) spare() *buffer {
	if b := p.getLarge(); b != nil {
		return b
	}
	return p.getSmall()
}

// copy copies ahead, and then all that from sends, to to. The buffer is large only while
// much is sent. io.Copy would take a pipe for each direction: two descriptors, and
// memory of the system.
func (p *buffers) copy(to io.Writer, from io.Reader, ahead []byte) (copied int64, err error) {
	write := func(b []byte) error {
		if len(b) == 0 {
			return nil
		}
		n, err := to.Write(b)
		copied += int64(n)
		return err
	}
	b := p.getSmall()
	defer func() { p.put(b) }()
	for err = write(ahead); err == nil; {
		n, end := from.Read(b.b)
		err = cmp.Or(write(b.b[:n]), end)
		switch {
		case n == smallBuffer && len(b.b) == smallBuffer:
			p.put(b)
			b = p.spare()
		case n < smallBuffer && len(b.b) > smallBuffer:
			p.put(b)
			b = p.getSmall()
		}
	}
	if errors.Is(err, io.EOF) {
		err = nil
	}
	return copied, err
}

func (p *buffers) put(b *buffer) {
	if b == nil {
		return
	}
	p.drop(b)
	switch len(b.b) {
	case smallBuffer:
		p.small.Put(b)
	case p.largeSize:
		p.large.Put(b)
	case p.tailSize:
		p.tail.Put(b)
	}
}

// drop is put for a buffer that may still be written to: it is not reused.
func (p *buffers) drop(b *buffer) { p.inUse.Add(-int64(len(b.b))) }
