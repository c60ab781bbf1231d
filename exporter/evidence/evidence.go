// Package evidence keeps what failing exchanges looked like on the wire, without
// secrets: header fields of an allowlist, and bodies with the values of an allowlist.
// It is off by default.
//
//	Observe ── Copy ──> queue ──> worker ── Add ──> memory, bounded by count, bytes and age
//	           bounded, raw                 scrubbed
//
// Of a success, nothing is copied.
package evidence

import (
	"cmp"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/har"
)

// The defaults of Config.
const (
	DefaultEntries   = 1000
	DefaultBytes     = 16 << 20
	DefaultAge       = 24 * time.Hour
	DefaultBodyBytes = 16 << 10
)

// Config configures a store. What is 0 has the default.
type Config struct {
	Entries   int           // maximum number of exchanges
	Bytes     int64         // maximum memory for them
	Age       time.Duration // how long they are kept
	BodyBytes int           // how many bytes of each body are kept
	// Headers and Fields are names of header fields and of fields of bodies whose
	// values are kept, in addition to those that are known to be harmless.
	Headers, Fields []string
}

// Stats is the state of a store.
type Stats struct {
	Entries int
	Bytes   int64  // approximate memory
	Evicted uint64 // exchanges that exceeded a limit
}

// Store keeps exchanges by the IDs of their failures. It is safe for concurrent use. A
// nil store keeps nothing.
type Store struct {
	cfg     Config
	allowed allowlist
	copied  atomic.Int64 // memory of copies

	mu      sync.Mutex
	queue   []entry // oldest first
	byID    map[string]*har.Details
	bytes   int64
	evicted uint64
	expiry  *time.Timer // nil if the store is empty
}

type entry struct {
	id    string
	added time.Time
	size  int64
}

// New returns an empty store.
func New(cfg Config) *Store {
	cfg.Entries = cmp.Or(cfg.Entries, DefaultEntries)
	cfg.Bytes = cmp.Or(cfg.Bytes, DefaultBytes)
	cfg.Age = cmp.Or(cfg.Age, DefaultAge)
	cfg.BodyBytes = cmp.Or(cfg.BodyBytes, DefaultBodyBytes)
	return &Store{cfg: cfg, allowed: newAllowlist(cfg.Headers, cfg.Fields), byID: make(map[string]*har.Details)}
}

// Add keeps the exchange of the failure with the given ID, without secrets. o is the
// observation, or a clone of it, that c was made of. Add does not release c, which may
// be nil.
func (s *Store) Add(id string, o *classify.Observation, c *Copy) {
	if c == nil || id == "" {
		return
	}
	d := s.details(o, c)
	e := entry{id, time.Now(), int64(d.Size() + 2*len(id))}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.byID[id] = d
	s.queue = append(s.queue, e)
	s.bytes += e.size
	s.evict(e.added)
}

// Find returns the exchange of a failure, or nil if it is not kept.
func (s *Store) Find(id string) *har.Details {
	if s == nil {
		return nil
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	s.evict(time.Now())
	return s.byID[id]
}

// Stats returns the state of the store.
func (s *Store) Stats() Stats {
	s.mu.Lock()
	defer s.mu.Unlock()
	return Stats{Entries: len(s.queue), Bytes: s.bytes, Evicted: s.evicted}
}

// evict removes the oldest exchanges that exceed a limit, and has it called again
// when the next one is too old. The caller holds s.mu.
func (s *Store) evict(now time.Time) {
	for len(s.queue) > 0 {
		oldest := &s.queue[0]
		if len(s.queue) <= s.cfg.Entries && s.bytes <= s.cfg.Bytes && now.Sub(oldest.added) < s.cfg.Age {
			break
		}
		delete(s.byID, oldest.id)
		s.bytes -= oldest.size
		s.evicted++
		s.queue = s.queue[1:]
	}
	switch {
	case len(s.queue) == 0 && s.expiry != nil:
		s.expiry.Stop()
		s.expiry = nil
	case len(s.queue) > 0 && s.expiry == nil:
		s.expiry = time.AfterFunc(s.queue[0].added.Add(s.cfg.Age).Sub(now), s.expire)
	}
}

// expire removes what is too old.
func (s *Store) expire() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.expiry = nil
	s.evict(time.Now())
}
