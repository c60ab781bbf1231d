package web

import (
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
)

const (
	bannerMinutes = 5
	// quietMinutes is how long the failures of a group may pause before they are
	// another occurrence.
	quietMinutes = 5
	// usualCalls is the number of calls of which a usual share is computed.
	usualCalls = 100
)

// banner answers what is failing now, why, whose fault it is, since when, and what
// to do.
type banner struct {
	State   string // bannerEmpty, bannerCalm or bannerFailing
	Minutes int
	Calls   uint64 // in the last minutes
	Failed  uint64
	Share   float64
	// Usual is the share of failures before the leading group appeared, if HasUsual.
	Usual    float64
	HasUsual bool

	Leading   *groups.Group // the group with the most failures
	Count     uint64        // its failures in the last minutes
	Since     time.Time     // when its present occurrence began
	Longer    bool          // it began before Since
	Others    int           // other groups with failures in the last minutes
	Succeeded uint64        // calls in the last hour, if nothing is failing
	Last      *groups.Group // with the most recent failure, if nothing is failing
	Proxy     string        // URL to point programs to
}

// The states of a banner.
const (
	bannerEmpty   = "empty"
	bannerCalm    = "calm"
	bannerFailing = "failing"
)

// newBanner returns the banner for the present time.
func (p pages) newBanner(all []groups.Group, now time.Time) banner {
	b := banner{State: bannerCalm, Minutes: bannerMinutes, Proxy: p.Proxy}
	b.Calls, b.Failed = p.sums(now.Add(-(bannerMinutes-1)*time.Minute), now)
	if b.Calls > 0 {
		b.Share = float64(b.Failed) / float64(b.Calls)
	}
	for i := range all {
		g := &all[i]
		if b.Last == nil || g.LastSeen.After(b.Last.LastSeen) {
			b.Last = g
		}
		recent := sum(g.Trend.Counts[groups.TrendMinutes-bannerMinutes:])
		if recent == 0 {
			continue
		}
		b.Others++
		if g.Last != nil && recent > b.Count {
			b.Leading, b.Count = g, recent
		}
	}
	switch {
	case b.Leading != nil && b.Failed > 0:
		b.State = bannerFailing
		b.Others--
		b.Since, b.Longer = onset(b.Leading)
		b.Usual, b.HasUsual = p.usual(b.Since, now)
	case b.Last == nil && p.Activity.Calls() == 0:
		b.State = bannerEmpty
	default:
		calls, failed := p.sums(now.Add(-59*time.Minute), now)
		b.Succeeded = calls - failed
	}
	return b
}

// sums returns the number of calls and of failures from the minute of from to that
// of to.
func (p pages) sums(from, to time.Time) (calls, failed uint64) {
	for _, m := range p.Activity.List(from, to) {
		calls += m.Calls
		for _, n := range m.Failures {
			failed += n
		}
	}
	return calls, min(failed, calls)
}

// usual returns the share of failures in the day before since. ok is false if there
// were too few calls.
func (p pages) usual(since, now time.Time) (share float64, ok bool) {
	from := now.Add(-(activity.Minutes - 1) * time.Minute)
	if !from.Before(since.Add(-time.Minute)) {
		return 0, false
	}
	calls, failed := p.sums(from, since.Add(-time.Minute))
	if calls < usualCalls {
		return 0, false
	}
	return float64(failed) / float64(calls), true
}

// onset returns when the present occurrence of a group began: after the last pause
// of quietMinutes. If there is none in its trend, longer is true.
func onset(g *groups.Group) (since time.Time, longer bool) {
	counts := g.Trend.Counts
	first, quiet := len(counts), 0
	for i := range slices.Backward(counts) {
		if counts[i] > 0 {
			first, quiet = i, 0
		} else if quiet++; quiet >= quietMinutes && first < len(counts) {
			break
		}
	}
	start := g.Trend.Start.Add(time.Duration(first) * time.Minute)
	switch {
	case g.FirstSeen.After(start.Add(-time.Minute)):
		return g.FirstSeen, false
	case first < quietMinutes:
		return g.Trend.Start, true
	}
	return start, false
}

func sum(counts []uint32) (n uint64) {
	for _, c := range counts {
		n += uint64(c)
	}
	return n
}
