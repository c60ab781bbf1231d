package web

import (
	"cmp"
	"context"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// activityData is a number of calls and failures per interval.
//
// The counts are taken from the most exact source that has what is asked for:
//
//   - counters: calls, and failures by blame, of every attempt in the last 24 hours,
//     and with steps of less than a minute in the last 15 minutes
//   - groups: failures by what the failures of a group have in common, of the last
//     60 minutes; they are exact even if the journal has evicted some of them
//   - journal: the failures in the journal, by any dimension
type activityData struct {
	Start       time.Time `json:"start"` // of the first interval
	StepSeconds int       `json:"step_seconds"`
	Source      string    `json:"source"`
	By          []string  `json:"by"`
	// CompleteSince is the time since when all failures are counted. It is omitted
	// if all of the time range is complete.
	CompleteSince time.Time `json:"complete_since,omitzero"`
	Calls         []uint64  `json:"calls,omitempty"` // per interval; of the source counters only
	Series        []series  `json:"series"`          // the largest first
}

// series is the failures with equal values of the dimensions.
type series struct {
	Labels map[string]string `json:"labels"` // by the names of dimensions
	Total  uint64            `json:"total"`
	Counts []uint64          `json:"counts"` // per interval
}

// The values of activityData.Source.
const (
	sourceCounters = "counters"
	sourceGroups   = "groups"
	sourceJournal  = "journal"
)

// otherLabel is the value of every dimension in the series of the failures that
// belong to no other series.
const otherLabel = "_other"

// The defaults of the time range.
const (
	defaultRange = time.Hour
	maxPoints    = 1440
	fewPoints    = 240 // which the default of the step does not exceed by much
)

// activity serves the activity.
func (a api) activity(w http.ResponseWriter, r *http.Request, q *query) {
	c, err := newCounts(q, a.Now())
	if err != nil {
		fail(w, http.StatusBadRequest, errBadData, err.Error())
		return
	}
	succeed(w, a.count(r.Context(), q, &c))
}

// counts is an activity that is being counted.
type counts struct {
	start  int64 // Unix second of the first interval
	from   int64 // Unix second from which counts were asked for, in the first interval
	step   int64 // seconds
	points int
	by     []*record.Dimension
	series map[string]*series
}

// newCounts returns empty counts for the time range of q.
func newCounts(q *query, now time.Time) (counts, error) {
	f := &q.filter
	if f.To.IsZero() || f.To.After(now) {
		f.To = now
	}
	if f.From.IsZero() {
		f.From = f.To.Add(-defaultRange + time.Minute)
	}
	// The last second is the one before to. The present one may have failures.
	first, last := f.From.Unix(), max(f.To.Add(-time.Nanosecond).Unix(), f.From.Unix())
	if f.From.After(f.To) {
		return counts{}, fmt.Errorf("parameter %q is in the future", paramFrom)
	}
	c := counts{from: first, step: int64(q.step / time.Second), by: q.by, series: map[string]*series{}}
	if c.step == 0 {
		c.step = 60
		for _, s := range []int64{5 * 60, 15 * 60, 60 * 60} {
			if (last-first)/c.step < fewPoints {
				break
			}
			c.step = s
		}
	}
	// Intervals begin at multiples of the step, so that they stay the same from
	// one request to the next.
	c.start = first / c.step * c.step
	if points := (last-c.start)/c.step + 1; points <= maxPoints {
		c.points = int(points)
		f.From, f.To = time.Unix(c.start, 0), time.Unix(c.start+points*c.step, 0)
		return c, nil
	}
	return counts{}, fmt.Errorf("more than %d intervals: choose a shorter range or a longer step", maxPoints)
}

// add counts n failures with the labels of values at a time in Unix seconds.
func (c *counts) add(values []string, second int64, n uint64) {
	i := (second - c.start) / c.step
	if n == 0 || second < c.start || i >= int64(c.points) {
		return
	}
	key := strings.Join(values, "\x00")
	s := c.series[key]
	if s == nil {
		s = &series{Labels: map[string]string{}, Counts: make([]uint64, c.points)}
		for k, value := range values {
			s.Labels[c.by[k].Name] = value
		}
		c.series[key] = s
	}
	s.Counts[i] += n
	s.Total += n
}

// values returns the values of r in the dimensions.
func (c *counts) values(r *record.Record) []string {
	all := make([]string, len(c.by))
	for i, d := range c.by {
		all[i] = d.Value(r)
	}
	return all
}

// count counts what q asks for.
func (a api) count(ctx context.Context, q *query, c *counts) activityData {
	d := activityData{Start: time.Unix(c.start, 0).UTC(), StepSeconds: int(c.step), By: []string{}}
	for _, by := range c.by {
		d.By = append(d.By, by.Name)
	}
	now := a.Now()
	trend := (now.Unix()/60 - groups.TrendMinutes + 1) * 60 // begin of the groups' trends
	switch {
	case q.counted():
		d.Source, d.Calls = sourceCounters, a.countCalls(c, q)
		if oldest := now.Add(-c.kept()); q.filter.From.Before(oldest) {
			d.CompleteSince = oldest.UTC()
		}
	case q.grouped() && c.from >= trend && c.step >= 60:
		d.Source = sourceGroups
		a.countGroups(c, q, now)
		if c.start < trend {
			d.CompleteSince = time.Unix(trend, 0).UTC()
		}
	default:
		d.Source = sourceJournal
		a.countRecords(ctx, c, q)
		d.CompleteSince = a.completeSince(q.filter.From)
	}
	d.Series = c.largest(q.limit)
	return d
}

// completeSince returns the time since when the journal has all failures; zero if it
// has all since from.
func (a api) completeSince(from time.Time) time.Time {
	if a.Journal.Stats().Evicted > 0 {
		if oldest := a.Journal.Oldest(); oldest != nil && oldest.Time.After(from) {
			return oldest.Time
		}
	}
	return time.Time{}
}

// counted reports whether the counters have what q asks for.
func (q *query) counted() bool {
	f := &q.filter
	return f.ID == "" && f.RequestID == "" && f.Text == "" && len(f.Conditions) == 0 &&
		(len(q.by) == 0 || len(q.by) == 1 && q.by[0].Name == "blame")
}

// grouped reports whether the groups have what q asks for.
func (q *query) grouped() bool {
	f := &q.filter
	for _, c := range f.Conditions {
		if !c.Dimension.Grouped {
			return false
		}
	}
	for _, d := range q.by {
		if !d.Grouped {
			return false
		}
	}
	return f.ID == "" && f.RequestID == "" && f.Text == ""
}

// countCalls counts from the counters. It returns the number of calls per interval.
func (a api) countCalls(c *counts, q *query) []uint64 {
	calls := make([]uint64, c.points)
	from, to := q.filter.From, q.filter.To.Add(-time.Second)
	if oldest := q.filter.To.Add(-c.kept()); from.Before(oldest) {
		from = oldest
	}
	list := a.Activity.List
	if c.step < 60 {
		list = a.Activity.Recent
	}
	for _, m := range list(from, to) {
		second := m.Start.Unix()
		if second < c.start {
			continue
		}
		calls[(second-c.start)/c.step] += m.Calls
		for blame, n := range m.Failures {
			values := []string{string(blame)}
			c.add(values[:len(c.by)], second, n)
		}
	}
	return calls
}

// kept returns how long the counters are kept at the resolution of the step.
func (c *counts) kept() time.Duration {
	if c.step < 60 {
		return (activity.RecentSlots - 1) * activity.RecentStep
	}
	return activity.Minutes * time.Minute
}

// countGroups counts from the groups.
func (a api) countGroups(c *counts, q *query, now time.Time) {
	for _, g := range a.Groups.List(now, 0) {
		values := slices.Repeat([]string{otherLabel}, len(c.by))
		switch {
		case g.Last == nil && len(q.filter.Conditions) > 0:
			continue // it is not known whether they match
		case g.Last != nil && !q.filter.MatchesConditions(g.Last):
			continue
		case g.Last != nil:
			values = c.values(g.Last)
		}
		for i, n := range g.Trend.Counts {
			c.add(values, g.Trend.Start.Unix()+60*int64(i), uint64(n))
		}
	}
}

// countRecords counts from the journal.
func (a api) countRecords(ctx context.Context, c *counts, q *query) {
	for r := range a.Journal.All(ctx, &q.filter) {
		c.add(c.values(r), r.Time.Unix(), 1)
	}
}

// largest returns the series, the largest first. Those beyond limit are added
// together.
func (c *counts) largest(limit int) []series {
	all := make([]series, 0, len(c.series))
	for _, key := range sortedKeys(c.series) {
		all = append(all, *c.series[key])
	}
	slices.SortStableFunc(all, func(a, b series) int { return cmp.Compare(b.Total, a.Total) })
	if len(all) <= limit {
		return all
	}
	rest := series{Labels: map[string]string{}, Counts: make([]uint64, c.points)}
	for _, d := range c.by {
		rest.Labels[d.Name] = otherLabel
	}
	for _, s := range all[limit-1:] {
		rest.Total += s.Total
		for i, n := range s.Counts {
			rest.Counts[i] += n
		}
	}
	return append(all[:limit-1], rest)
}
