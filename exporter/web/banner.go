package web

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
)

const (
	bannerMinutes = 5
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
func (p pages) newBanner(ctx context.Context, all []groups.Group, now time.Time) banner {
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
	kinds := p.kindsOf(ctx, all, now)
	switch {
	case len(kinds) > 0 && b.Failed > 0:
		b.State = bannerFailing
		b.lead(kinds[0])
		b.Others = len(kinds) - 1
		b.Usual, b.HasUsual = p.usual(b.Newest.Last.Since(), now)
	case b.Last == nil && p.Activity.Calls() == 0:
		b.State = bannerEmpty
	default:
		calls, failed := p.sums(now.Add(-59*time.Minute), now)
		b.Succeeded = calls - failed
	}
	return b
}

// lead sets the kind of failure that leads.
func (b *banner) lead(k *kind) {
	b.Count = k.recent
	actions := map[string]bool{}
	most := uint64(0)
	for _, g := range k.groups {
		actions[g.Action] = true
		if n := recentOf(g); n > most {
			b.Leading, most = g, n
		}
		if b.Newest == nil || g.LastSeen.After(b.Newest.LastSeen) {
			b.Newest = g
		}
	}
	b.Actions = len(actions)
}

// kind is a kind of failure: the groups with the same code, or else fault, status or
// outcome, and the same blame.
type kind struct {
	groups []*groups.Group
	recent uint64        // failures in the last bannerMinutes
	last   time.Time     // the last failure
	oldest time.Time     // the oldest failure of the last bannerMinutes that is in the journal
	pause  time.Duration // the longest one between the failures since then
}

// A kind of failure goes on for minQuiet after its last failure, or for half as long again
// as it paused before, up to maxQuiet. So programs that fail once a minute go on, and a
// burst that ends does not.
const (
	minQuiet = 15 * time.Second
	maxQuiet = 2 * time.Minute
)

// current returns the recent failures of a kind that goes on, or else 0.
func (k *kind) current(now time.Time) uint64 {
	if now.Sub(k.last) > min(max(minQuiet, k.pause*3/2), maxQuiet) {
		return 0
	}
	return k.recent
}

// kindsOf returns the kinds of failure of the last minutes: those that go on before
// those that have ended, and the most frequent first.
func (p pages) kindsOf(ctx context.Context, all []groups.Group, now time.Time) []*kind {
	type key struct {
		filter

		blame classify.Blame
	}
	var kinds []*kind
	byKey := map[key]*kind{}
	for i := range all {
		g := &all[i]
		recent := recentOf(g)
		if recent == 0 || g.Last == nil {
			continue
		}
		at := key{subjectOf(g.Last), g.Blame}
		k := byKey[at]
		if k == nil {
			k = new(kind)
			byKey[at], kinds = k, append(kinds, k)
		}
		k.groups = append(k.groups, g)
		k.recent += recent
		k.last = latest(k.last, g.LastSeen)
	}
	if len(kinds) > 1 { // the journal is read from the newest failure on
		for r := range p.Journal.All(ctx, &journal.Filter{From: now.Add(-bannerMinutes * time.Minute)}) {
			if k := byKey[key{subjectOf(r), r.Blame}]; k != nil {
				if !k.oldest.IsZero() {
					k.pause = max(k.pause, k.oldest.Sub(r.Time))
				}
				k.oldest = r.Time
			}
		}
	}
	slices.SortStableFunc(kinds, func(a, b *kind) int {
		return cmp.Or(cmp.Compare(b.current(now), a.current(now)), cmp.Compare(b.recent, a.recent))
	})
	return kinds
}

// recentOf returns the number of failures of g in the last bannerMinutes.
func recentOf(g *groups.Group) uint64 {
	return sum(g.Trend.Counts[groups.TrendMinutes-bannerMinutes:])
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

func sum(counts []uint32) (n uint64) {
	for _, c := range counts {
		n += uint64(c)
	}
	return n
}
