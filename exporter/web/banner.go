package web

import (
	"cmp"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
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

	Leading *groups.Group // the largest group of the kind of failure that leads
	Count   uint64        // failures of that kind in the last minutes
	Actions int           // on which it occurs
	Newest  *groups.Group // of that kind, with the most recent failure
	Since   time.Time     // when its present occurrence began
	Longer  bool          // it began before Since
	Others  int           // other kinds of failure in the last minutes

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
		if g := &all[i]; b.Last == nil || g.LastSeen.After(b.Last.LastSeen) {
			b.Last = g
		}
	}
	kinds := kindsOf(all)
	switch {
	case len(kinds) > 0 && b.Failed > 0:
		b.State = bannerFailing
		b.lead(kinds[0])
		b.Others = len(kinds) - 1
		b.Usual, b.HasUsual = p.usual(b.Since, now)
	case b.Last == nil && p.Activity.Calls() == 0:
		b.State = bannerEmpty
	default:
		calls, failed := p.sums(now.Add(-59*time.Minute), now)
		b.Succeeded = calls - failed
	}
	return b
}

// lead sets the kind of failure that leads.
func (b *banner) lead(k kind) {
	b.Count = k.recent
	actions := map[string]bool{}
	most := uint64(0)
	for _, g := range k.groups {
		actions[g.Action] = true
		if n := recentOf(g, bannerMinutes); n > most {
			b.Leading, most = g, n
		}
		if b.Newest == nil || g.LastSeen.After(b.Newest.LastSeen) {
			b.Newest = g
		}
		if since, longer := onset(g); b.Since.IsZero() || since.Before(b.Since) {
			b.Since, b.Longer = since, longer
		}
	}
	b.Actions = len(actions)
}

// kind is a kind of failure: the groups with the same code, or else fault, status or
// outcome, and the same blame.
type kind struct {
	groups      []*groups.Group
	now, recent uint64 // failures in the last nowMinutes and bannerMinutes
}

// nowMinutes is how long ago a failure of a kind that goes on is at most.
const nowMinutes = 2

// kindsOf returns the kinds of failure of the last minutes: those that go on before
// those that have ended, and the most frequent first.
func kindsOf(all []groups.Group) []kind {
	type key struct {
		filter

		blame classify.Blame
	}
	var kinds []kind
	at := map[key]int{}
	for i := range all {
		g := &all[i]
		recent := recentOf(g, bannerMinutes)
		if recent == 0 || g.Last == nil {
			continue
		}
		k := key{subjectOf(g.Last), g.Blame}
		n, ok := at[k]
		if !ok {
			n = len(kinds)
			at[k], kinds = n, append(kinds, kind{})
		}
		kinds[n].groups = append(kinds[n].groups, g)
		kinds[n].recent += recent
		kinds[n].now += recentOf(g, nowMinutes)
	}
	slices.SortStableFunc(kinds, func(a, b kind) int {
		return cmp.Or(cmp.Compare(b.now, a.now), cmp.Compare(b.recent, a.recent))
	})
	return kinds
}

// recentOf returns the number of failures of g in the last minutes.
func recentOf(g *groups.Group, minutes int) uint64 {
	return sum(g.Trend.Counts[groups.TrendMinutes-minutes:])
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
