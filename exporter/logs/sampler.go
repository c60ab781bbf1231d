package logs

import (
	"sync"
	"time"
)

// Of lines alike, the first ones of each second are logged, then every
// hundredth.
const (
	sampleWindow = time.Second
	sampleFirst  = 10
	sampleEvery  = 100
	// sampleKeys bounds the codes told apart within a window; what comes after
	// shares one count.
	sampleKeys = 256
)

// sampleKey is what makes lines alike.
type sampleKey struct{ kind, code, cause string }

// sampler thins out lines alike. It is safe for concurrent use.
type sampler struct {
	now func() time.Time

	mu     sync.Mutex // guards the fields below
	window time.Time  // when the window began
	counts map[sampleKey]int
}

// newSampler returns a sampler that reads that clock.
func newSampler(now func() time.Time) *sampler {
	return &sampler{now: now, counts: make(map[sampleKey]int)}
}

// allow reports whether a line with that key is to be logged.
func (s *sampler) allow(key sampleKey) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now := s.now(); now.Sub(s.window) >= sampleWindow || now.Before(s.window) {
		s.window = now
		clear(s.counts)
	}
	if _, ok := s.counts[key]; !ok && len(s.counts) >= sampleKeys {
		key = sampleKey{}
	}
	s.counts[key]++
	n := s.counts[key]
	return n <= sampleFirst || (n-sampleFirst)%sampleEvery == 0
}
