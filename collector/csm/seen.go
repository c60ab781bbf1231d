package csm

import (
	"hash/maphash"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
)

// The limits of what Seen remembers.
const (
	maxSeen = 4096
	// slack is how far the ends of one attempt may lie apart as two see them:
	// the SDK's times are cut to milliseconds, and either may be late.
	slack = 100 * time.Millisecond
	// maxAgent is where the SDK cuts its User-Agent.
	maxAgent = 256
)

// Seen remembers the last attempts another way in has told of, so that a call
// which is seen by both is counted once. It stands between that way in and its
// sink:
//
//	proxy ──> Seen ──> sink <── Intake
//	            └── asked by ────┘
//
// A record is known if an attempt had its request ID. Where one of the two has
// no ID, as with every success, it is known if an attempt with the same access
// key, action, User-Agent and, where both have one, status lies within its
// time. Each attempt makes but one record known, so that the numbers are right
// where many alike run at once.
//
// They are wrong by one where, within the very time of a call that did not pass
// the proxy, a call alike of another program did, and that program sends no
// records. And an attempt is counted twice where the proxy tells of it more than
// a second after the program does, as of one that the program gave up and the
// upstream did not end; or where maxSeen later ones pushed it out by then.
//
// Seen is safe for concurrent use and allocates nothing after NewSeen.
type Seen struct {
	next collector.Sink
	seed maphash.Seed

	mu    sync.Mutex // guards the fields below
	ring  [maxSeen]sighting
	count int // ever
}

var _ collector.Sink = (*Seen)(nil)

// sighting is an attempt that was told of.
type sighting struct {
	alike      uint64 // hash of what two views of an attempt have in common
	id         uint64 // hash of the request ID; 0 without one
	status     int
	start, end time.Time
	taken      bool // it has made a record known
}

// match is how an attempt is known.
type match uint8

const (
	seenNot match = iota
	seenByID
	seenByTime
)

// NewSeen returns a Seen that passes everything on to next.
func NewSeen(next collector.Sink) *Seen {
	return &Seen{next: next, seed: maphash.MakeSeed()}
}

// Begin implements collector.Sink.
func (s *Seen) Begin(call *classify.Call) { s.next.Begin(call) }

// Observe implements collector.Sink.
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

// sight reduces o to what is remembered.
func (s *Seen) sight(o *classify.Observation) sighting {
	g := sighting{status: o.Verdict.Status, start: o.Start, end: o.End}
	if !o.Verdict.RequestID.IsZero() {
		var buf [classify.MaxRequestID]byte
		g.id = maphash.Bytes(s.seed, o.Verdict.RequestID.AppendTo(buf[:0])) | 1 // never 0
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

// take tells whether o, of a record, is an attempt that was told of.
func (s *Seen) take(o *classify.Observation) match {
	g := s.sight(o)
	s.mu.Lock()
	defer s.mu.Unlock()
	var byTime *sighting
	// From the newest to the oldest, so that of several alike the oldest is
	// taken: what ends first is reported first.
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

// covers reports whether have may be the attempt g, as the program saw it: the
// program begins earlier and ends later.
func (have *sighting) covers(g *sighting) bool {
	return (have.id == 0 || g.id == 0) &&
		(have.status == g.status || have.status == 0 || g.status == 0) &&
		!have.start.Before(g.start.Add(-slack)) && !have.end.After(g.end.Add(slack))
}
