package evidence

import (
	"iter"
	"strings"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	maxHead   = 64 << 10 // bytes of the header fields of a message that are copied
	maxCopied = 8 << 20  // memory of all copies that wait to be scrubbed
	maxReused = 64 << 10 // of a copy that is reused
)

// Copy is a copy of what a failing exchange looked like on the wire, with its
// secrets.
type Copy struct {
	store             *Store
	memory            []byte // of all texts
	request, response message
	wait              time.Duration
}

// message is a request or a response. It implements classify.Header.
type message struct {
	fields []field
	body   []byte
}

type field struct{ name, value []byte }

var copies = sync.Pool{New: func() any { return new(Copy) }}

// Copy copies the exchange of o, whose buffers are valid only until Observe returns.
// It returns nil if too many copies wait to be scrubbed, or if s is nil. The caller
// must release the copy.
func (s *Store) Copy(o *classify.Observation) *Copy {
	if s == nil {
		return nil
	}
	requestBody := o.RequestBody // complete, because the response may quote any part of it
	responseBody := o.ResponseBody[:min(len(o.ResponseBody), s.cfg.BodyBytes)]
	size := len(requestBody) + len(responseBody) + sizeOf(o.RequestHeader) + sizeOf(o.ResponseHeader)
	if s.copied.Add(int64(size)) > maxCopied {
		s.copied.Add(-int64(size))
		return nil
	}
	c := copies.Get().(*Copy) //nolint:forcetypeassert // the pool holds nothing else
	c.store = s
	if cap(c.memory) < size {
		c.memory = make([]byte, 0, size)
	}
	c.memory = c.memory[:size] // so that release knows it
	m := memory(c.memory)
	c.request.fields, c.response.fields = m.header(c.request.fields[:0], o.RequestHeader), m.header(c.response.fields[:0], o.ResponseHeader)
	c.request.body, c.response.body = m.copy(requestBody), m.copy(responseBody)
	c.wait = 0
	if !o.FirstByte.IsZero() {
		c.wait = o.FirstByte.Sub(o.Start)
	}
	return c
}

// Release forgets the copy, which may be nil and must not be used afterwards.
func (c *Copy) Release() {
	if c == nil {
		return
	}
	c.store.copied.Add(-int64(len(c.memory)))
	c.store = nil
	clear(c.memory)
	clear(c.request.fields)
	clear(c.response.fields)
	c.request.body, c.response.body = nil, nil
	if cap(c.memory) <= maxReused {
		copies.Put(c)
	}
}

// fieldsOf yields the fields of h that are copied.
func fieldsOf(h classify.Header) iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		if h == nil {
			return
		}
		size := 0
		for name, value := range h.Fields() {
			if size += len(name) + len(value); size > maxHead || !yield(name, value) {
				return
			}
		}
	}
}

func sizeOf(h classify.Header) (size int) {
	for name, value := range fieldsOf(h) {
		size += len(name) + len(value)
	}
	return size
}

// memory is what is left of a piece of memory.
type memory []byte

func (m *memory) copy(b []byte) []byte {
	n := copy(*m, b)
	to := (*m)[:n:n]
	*m = (*m)[n:]
	return to
}

func (m *memory) header(dst []field, h classify.Header) []field {
	for name, value := range fieldsOf(h) {
		dst = append(dst, field{m.copy(name), m.copy(value)})
	}
	return dst
}

var _ classify.Header = (*message)(nil)

// Get implements classify.Header.
func (m *message) Get(name string) []byte {
	for _, f := range m.fields {
		if strings.EqualFold(string(f.name), name) {
			return f.value
		}
	}
	return nil
}

// Fields implements classify.Header.
func (m *message) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, f := range m.fields {
			if !yield(f.name, f.value) {
				return
			}
		}
	}
}
