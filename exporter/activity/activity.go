// Package activity counts calls and failures per minute.
//
//	Observe ──> ring of one slot per minute ──> List
//
// Counting is a few atomic additions, so that it can be done while a call is being
// relayed.
package activity

import (
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Minutes is the number of minutes that are kept.
const Minutes = 24 * 60

// blames is the number of values of classify.Blame.
const blames = 6

// Activity counts calls. The zero value is ready for use. It is safe for
// concurrent use.
type Activity struct {
	ring  [Minutes]slot
	mu    sync.Mutex // serialises the reuse of slots
	past  atomic.Uint64
	since atomic.Int64 // the first minute that was counted; 0 if there is none
}

// slot holds the counts of one minute, in one cache line.
type slot struct {
	minute atomic.Int64 // since 1970; 0 if the slot was never used
	calls  atomic.Uint64
	failed [blames]atomic.Uint64
}

// Minute is the activity of one minute.
type Minute struct {
	Start    time.Time
	Calls    uint64
	Failures map[classify.Blame]uint64 // without those that are 0
}

// Observe counts an attempt, or a request that ksyun-tap refused.
func (a *Activity) Observe(o *classify.Observation) {
	minute := o.End.Unix() / 60
	if minute <= 0 {
		return
	}
	s := &a.ring[minute%Minutes]
	if s.minute.Load() != minute && !a.reuse(s, minute) {
		a.past.Add(1)
		return
	}
	s.calls.Add(1)
	if v := &o.Verdict; v.Outcome.Failed() || o.Fault.Refused() {
		s.failed[index(v.Blame)].Add(1)
	}
}

// reuse prepares s for a minute. It returns false if s is in use for a later one.
func (a *Activity) reuse(s *slot, minute int64) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	switch used := s.minute.Load(); {
	case used == minute:
		return true
	case used > minute:
		return false
	}
	a.past.Add(s.calls.Swap(0))
	for i := range s.failed {
		s.failed[i].Store(0)
	}
	if first := a.since.Load(); first == 0 || minute < first {
		a.since.Store(minute)
	}
	s.minute.Store(minute)
	return true
}

// index returns the index of a blame in slot.failed.
func index(b classify.Blame) int {
	switch b {
	case classify.BlameClient:
		return 0
	case classify.BlameCredential:
		return 1
	case classify.BlameQuota:
		return 2
	case classify.BlameProvider:
		return 3
	case classify.BlameNetwork:
		return 4
	case classify.BlameTap:
	}
	return 5
}

// Calls returns the number of all calls.
func (a *Activity) Calls() uint64 {
	n := a.past.Load()
	for i := range a.ring {
		n += a.ring[i].calls.Load()
	}
	return n
}

// List returns the activity from the minute of from to that of to, inclusive,
// oldest first. Minutes that are not kept are empty. The range must not be longer
// than Minutes.
func (a *Activity) List(from, to time.Time) []Minute {
	first, last := from.Unix()/60, to.Unix()/60
	all := make([]Minute, 0, max(0, last-first+1))
	for minute := first; minute <= last; minute++ {
		m := Minute{Start: time.Unix(minute*60, 0).UTC(), Failures: map[classify.Blame]uint64{}}
		if minute > 0 {
			a.read(minute, &m)
		}
		all = append(all, m)
	}
	return all
}

// read sets the counts of m.
func (a *Activity) read(minute int64, m *Minute) {
	s := &a.ring[minute%Minutes]
	if s.minute.Load() != minute {
		return
	}
	m.Calls = s.calls.Load()
	for _, b := range classify.Blames() {
		if n := s.failed[index(b)].Load(); n > 0 {
			m.Failures[b] = n
		}
	}
}
