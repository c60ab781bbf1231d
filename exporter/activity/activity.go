// Package activity counts calls and failures over time: per minute for a day, and per
// ten seconds for the last quarter of an hour.
//
//	Observe ──> rings of one slot per interval ──> List, Recent
//
// Counting is a few atomic additions, so that it can be done while a call is being
// relayed.
package activity

import (
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Minutes is the number of minutes that are kept.
const Minutes = 24 * 60

// What is kept of the most recent time at a higher resolution.
const (
	RecentStep  = 10 * time.Second
	RecentSlots = 96 // intervals of RecentStep, some more than a quarter of an hour
)

const (
	minuteSeconds = 60
	recentSeconds = int64(RecentStep / time.Second)
)

// Activity counts calls. The zero value is ready for use. It is safe for
// concurrent use.
type Activity struct {
	minutes [Minutes]slot
	recent  [RecentSlots]slot
	mu      sync.Mutex // serialises the reuse of slots
	past    atomic.Uint64
}

// slot holds the counts of one interval, in one cache line.
type slot struct {
	interval atomic.Int64 // since 1970; 0 if the slot was never used
	calls    atomic.Uint64
	failed   [len(blames)]atomic.Uint64
}

// Interval is the activity of one interval.
type Interval struct {
	Start    time.Time
	Calls    uint64
	Failures map[classify.Blame]uint64 // without those that are 0
}

// Observe counts an attempt, or a request that ksyun-tap refused.
func (a *Activity) Observe(o *classify.Observation) {
	second := o.End.Unix()
	if second < minuteSeconds {
		return
	}
	failed := -1
	if v := &o.Verdict; v.Outcome.Failed() || o.Fault.Refused() {
		failed = max(0, slices.Index(blames[:], v.Blame)) // the tap without any
	}
	minute, recent := second/minuteSeconds, second/recentSeconds
	if s := a.use(&a.minutes[minute%Minutes], minute, &a.past); s != nil {
		s.count(failed)
	} else {
		a.past.Add(1)
	}
	if s := a.use(&a.recent[recent%RecentSlots], recent, nil); s != nil {
		s.count(failed)
	}
}

// count counts a call, and a failure if failed is the index of a blame.
func (s *slot) count(failed int) {
	s.calls.Add(1)
	if failed >= 0 {
		s.failed[failed].Add(1)
	}
}

// use returns s, the slot of an interval, after it has taken it into use. It returns nil if
// the slot is in use for a later one. If it was in use for an earlier one, its calls are
// added to past, which may be nil.
func (a *Activity) use(s *slot, interval int64, past *atomic.Uint64) *slot {
	if s.interval.Load() == interval {
		return s
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	switch used := s.interval.Load(); {
	case used == interval:
		return s
	case used > interval:
		return nil
	}
	calls := s.calls.Swap(0)
	if past != nil {
		past.Add(calls)
	}
	for i := range s.failed {
		s.failed[i].Store(0)
	}
	s.interval.Store(interval)
	return s
}

// blames are the blames in the order of slot.failed.
var blames = [...]classify.Blame{
	classify.BlameTap, classify.BlameClient, classify.BlameCredential, classify.BlameQuota, classify.BlameProvider, classify.BlameNetwork,
}

// Calls returns the number of all calls.
func (a *Activity) Calls() uint64 {
	n := a.past.Load()
	for i := range a.minutes {
		n += a.minutes[i].calls.Load()
	}
	return n
}

// List returns the activity from the minute of from to that of to, inclusive,
// oldest first. Minutes that are not kept are empty. The range must not be longer
// than Minutes.
func (a *Activity) List(from, to time.Time) []Interval {
	return list(a.minutes[:], minuteSeconds, from, to)
}

// Recent is like List, with intervals of RecentStep. The range must not be longer than
// RecentSlots of them.
func (a *Activity) Recent(from, to time.Time) []Interval {
	return list(a.recent[:], recentSeconds, from, to)
}

// list returns the activity from the interval of from to that of to, inclusive.
func list(ring []slot, step int64, from, to time.Time) []Interval {
	first, last := from.Unix()/step, to.Unix()/step
	all := make([]Interval, 0, max(0, last-first+1))
	for n := first; n <= last; n++ {
		i := Interval{Start: time.Unix(n*step, 0).UTC(), Failures: map[classify.Blame]uint64{}}
		if n > 0 {
			ring[n%int64(len(ring))].read(n, &i)
		}
		all = append(all, i)
	}
	return all
}

// read sets the counts of i if the slot has those of the interval n.
func (s *slot) read(n int64, i *Interval) {
	if s.interval.Load() != n {
		return
	}
	i.Calls = s.calls.Load()
	for k, b := range blames {
		if n := s.failed[k].Load(); n > 0 {
			i.Failures[b] = n
		}
	}
}
