package logs

import (
	"sync"
	"time"
)

// Of the lines with the same key, the first ones of each second are logged, and
// then every hundredth.
const (
	sampleWindow = time.Second
	sampleFirst  = 10
	sampleEvery  = 100
	// sampleKeys is the maximum number of keys counted separately in a window.
	// All further keys share one count.
	sampleKeys = 256
)

// sampleKey identifies lines that are sampled together.
type sampleKey struct{ kind, code, cause string }

// sampler samples lines by key. It is safe for concurrent use.
type sampler struct {
	now func() time.Time

	mu     sync.Mutex // guards the fields below
	window time.Time  // start of the window
	counts map[sampleKey]*int
}

// newSampler returns a sampler that uses the given clock.
func newSampler(now func() time.Time) *sampler {
	return &sampler{now: now, counts: make(map[sampleKey]*int)}
}

// allow reports whether a line with the given key should be logged.
func (s *sampler) allow(key sampleKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.window) >= sampleWindow || now.Before(s.window) {
		s.window = now
		clear(s.counts)
	}
	n := s.counts[key]
	if n == nil && len(s.counts) >= sampleKeys {
		key = sampleKey{}
		n = s.counts[key]
	}
	if n == nil {
		n = new(int)
		s.counts[key] = n
	}
	*n++
	return *n <= sampleFirst || (*n-sampleFirst)%sampleEvery == 0
}
