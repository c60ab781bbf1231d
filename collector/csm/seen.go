package csm

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// The limits of Seen.
const (
	maxSeen = 4096
	// slack is the tolerance when the times of an attempt are compared: the SDK's
	// are in milliseconds, and either side may be late.
	slack = 100 * time.Millisecond
	// maxAgent is the length to which the SDK cuts its User-Agent, in bytes.
	maxAgent = 256
)

// Seen remembers the last attempts that another way in observed, so that a call
// that is observed by both is counted once. It stands between that way in and its
// sink:
//
//	proxy ──> Seen ──> sink <── Intake
//	            └── queried by ───┘
//
// A record is a duplicate if an attempt has the same request ID. If one of them
// has no request ID, as with every success, the record is a duplicate if an
// attempt with the same access key, action, User-Agent and, if both have one,
// status lies within its time. Each attempt makes only one record a duplicate, so
// that the counts are right even if many similar calls run at the same time.
//
// There are two known errors. A record is dropped although the call did not pass
// the proxy if, within its time, a similar call by a program without records did.
// A call is counted twice if the proxy reports it more than a second after the
// program, for example because the program gave up and the upstream did not; or
// if maxSeen later calls were observed in between.
//
// Seen is safe for concurrent use. It does not allocate after NewSeen.
type Seen struct {
	next classify.Sink
	seed maphash.Seed

	mu    sync.Mutex // guards the fields below
	ring  [maxSeen]sighting
	count int // attempts so far
}

var _ classify.Sink = (*Seen)(nil)

// sighting is an attempt that was observed.
type sighting struct {
	alike      uint64 // hash of what record and attempt have in common
	id         uint64 // hash of the request ID; 0 if there is none
	status     int
	start, end time.Time
	taken      bool // a record was matched with it
}

// match says how a record was matched with an attempt.
type match uint8

const (
	seenNot match = iota
	seenByID
	seenByTime
)

// NewSeen returns a Seen that passes everything on to next.
func NewSeen(next classify.Sink) *Seen {
	return &Seen{next: next, seed: maphash.MakeSeed()}
}

// Begin implements classify.Sink.
func (s *Seen) Begin(call *classify.Call) { s.next.Begin(call) }

// Observe implements classify.Sink.
func (s *Seen) Observe(o *classify.Observation) {
	if !o.Fault.Refused() {
		s.note(s.sight(o))
	}
	s.next.Observe(o)
}

func (s *Seen) note(g sighting) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.ring[s.count%maxSeen] = g
	s.count++
}

// sight reduces o to what is compared.
func (s *Seen) sight(o *classify.Observation) sighting {
	g := sighting{status: o.Verdict.Status, start: o.Start, end: o.End}
	if !o.Verdict.RequestID.IsZero() {
		var buf [classify.MaxRequestID]byte
		g.id = maphash.Bytes(s.seed, o.Verdict.RequestID.AppendTo(buf[:0])) | 1 // not 0
	}
	var h maphash.Hash
	h.SetSeed(s.seed)
	for _, part := range [...]string{o.Credential, o.Call.Action} {
		h.WriteString(part)
		h.WriteByte(0)
	}
	h.Write(o.UserAgent[:min(len(o.UserAgent), maxAgent)])
	g.alike = h.Sum64()
	return g
}

// take looks for the attempt of o, which is from a record.
func (s *Seen) take(o *classify.Observation) match {
	g := s.sight(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	var byTime *sighting
	// It looks from the newest to the oldest, so that the oldest of several
	// similar attempts is taken: the one that ended first is reported first.
	for i := s.count - 1; i >= max(0, s.count-maxSeen); i-- {
		have := &s.ring[i%maxSeen]
		switch {
		case have.taken:
		case g.id != 0 && have.id == g.id:
			have.taken = true
			return seenByID
		case have.alike == g.alike && have.covers(&g):
			byTime = have
		}
	}
	if byTime == nil {
		return seenNot
	}
	byTime.taken = true
	return seenByTime
}

// covers reports whether have may be the attempt g, which is from a record. The
// program begins an attempt earlier and ends it later than the proxy.
func (have *sighting) covers(g *sighting) bool {
	return (have.id == 0 || g.id == 0) &&
		(have.status == g.status || have.status == 0 || g.status == 0) &&
		!have.start.Before(g.start.Add(-slack)) && !have.end.After(g.end.Add(slack))
}
