package diagnosis

import (
	"sync"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	maxBacklog   = 64        // maximum number of successes in the backlog
	backlogTexts = 128 << 10 // maximum size of their texts, in bytes
	bodyEnd      = 1 << 9    // size of the beginning and of the end of a response that are copied, in bytes
)

// backlog holds copies of successes that were not learned from yet, in the order in which
// they ended. Their texts contain secrets and are cleared after use.
type backlog struct {
	mu      sync.Mutex
	entries []classify.Observation
	texts   []byte // the memory of their texts
}

// put adds a copy of a success. It does not wait: it returns false if the backlog is full or
// in use.
func (b *backlog) put(o *classify.Observation) bool {
	if !b.mu.TryLock() {
		return false
	}
	defer b.mu.Unlock()
	if b.entries == nil {
		b.entries, b.texts = make([]classify.Observation, 0, maxBacklog), make([]byte, 0, backlogTexts)
	}
	n := len(b.entries)
	if n == cap(b.entries) {
		return false
	}
	b.entries = b.entries[:n+1]
	c := &b.entries[n]
	*c = *o
	c.RequestHeader, c.ResponseHeader = nil, nil
	c.ResponseBody, c.ResponseTail = ends(o.ResponseBody, o.ResponseTail)
	used := len(b.texts)
	for _, text := range [...]*[]byte{
		&c.Target, &c.MethodOriginal, &c.UserAgent, &c.Traceparent, &c.Tracestate, &c.RequestBody, &c.ResponseBody, &c.ResponseTail,
	} {
		if len(*text) == 0 {
			continue
		}
		start := len(b.texts)
		if len(*text) > cap(b.texts)-start {
			b.entries, b.texts = b.entries[:n], b.texts[:used]
			return false
		}
		b.texts = append(b.texts, *text...)
		*text = b.texts[start:len(b.texts):len(b.texts)]
	}
	return true
}

// ends returns the parts of a response that are read: its beginning and, if it is longer,
// its end.
func ends(body, tail []byte) (head, end []byte) {
	if tail == nil && len(body) <= 2*bodyEnd {
		return body, nil
	}
	if tail == nil {
		tail = body
	}
	return body[:min(len(body), bodyEnd)], tail[max(0, len(tail)-bodyEnd):]
}

// empty passes every entry to learn and removes it.
func (b *backlog) empty(learn func(*classify.Observation)) {
	b.mu.Lock()
	defer func() { // even if learn panics
		clear(b.entries)
		clear(b.texts)
		b.entries, b.texts = b.entries[:0], b.texts[:0]
		b.mu.Unlock()
	}()
	for i := range b.entries {
		learn(&b.entries[i])
	}
}
