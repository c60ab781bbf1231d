package diagnosis

import (
	"strings"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// The documented properties of the data of Cloud Monitor, and the tolerances of the
// analyser.
const (
	dataLag       = 2 * time.Minute     // data is available this long after its time
	dataAge       = 30 * 24 * time.Hour // older data is not available
	futureSlack   = time.Minute         // the uncertainty of the time that is compared with
	zoneSlack     = 4 * time.Minute     // how far an interval may end before or after now
	staleAfter    = 15 * time.Minute    // beyond dataLag and the period
	stoppedWithin = 24 * time.Hour      // how long a query that had data is remembered
)

// givesPoints reports whether the action responds with data points.
func givesPoints(action string) bool {
	return strings.HasPrefix(action, "GetMetricStatistics") || action == "QueryRange"
}

// emptyInput is the input for finding out why there are no data points.
type emptyInput struct {
	start, end time.Time // of the interval; zero if not known
	now        time.Time
	period     time.Duration
	last       time.Time // the end of the last interval that had data; zero if not known
}

// judgeEmpty returns why there are no data points. The cause is CauseDataNone if it
// is not known.
func judgeEmpty(in emptyInput) (Cause, Certainty) {
	start, end := in.start, in.end
	if !start.IsZero() && !end.IsZero() {
		ahead := Skew{Offset: end.Sub(in.now), Uncertainty: zoneSlack}
		switch {
		case start.After(end):
			return CauseIntervalReversed, Certain
		case start.After(in.now.Add(futureSlack)) && ahead.ofZones():
			return CauseIntervalZone, Likely
		case start.After(in.now.Add(futureSlack)):
			return CauseIntervalFuture, Certain
		case end.Before(in.now.Add(-dataAge)):
			return CauseIntervalOld, Certain
		case start.After(in.now.Add(-dataLag - in.period)):
			return CauseIntervalRecent, Likely
		}
	}
	if !in.last.IsZero() && (end.IsZero() || !end.Before(in.last)) { // an earlier interval may never have had data
		return CauseDataStopped, Likely
	}
	return CauseDataNone, Possible
}

// empty returns why a response has no data points.
func (h *hidden) empty(o *classify.Observation, q *classify.Query, key uint64) *Finding {
	in := emptyInput{now: clockTime(o), period: q.Period()}
	in.start, in.end = q.Interval()
	in.last = h.queries.last(key, o.End)
	f := &Finding{}
	f.Cause, f.Certainty = judgeEmpty(in)
	if f.Cause == CauseDataNone || !h.queries.report(key, o.End) {
		return f
	}
	f.Report = true
	f.facts = intervalFacts(q, in)
	return f
}

// data learns that a query had data, and returns a finding if the data is stale.
func (h *hidden) data(o *classify.Observation, q *classify.Query, key uint64) *Finding {
	_, end := q.Interval()
	until := o.End
	if !end.IsZero() && end.Before(until) {
		until = end
	}
	h.queries.hadData(key, until)
	if end.IsZero() || !plain(o.ResponseBody) {
		return nil
	}
	in := emptyInput{end: end, now: clockTime(o), period: q.Period()}
	in.last = classify.NewestPoint(o.ResponseBody, o.ResponseTail)
	if !stale(in) {
		return nil
	}
	f := &Finding{Cause: CauseDataStale, Certainty: Likely}
	if h.queries.report(key, o.End) {
		f.Report = true
		in.start, _ = q.Interval()
		f.facts = intervalFacts(q, in)
	}
	return f
}

// stale reports whether the newest data point, at in.last, is much older than the
// data that can be expected.
func stale(in emptyInput) bool {
	if in.last.IsZero() {
		return false
	}
	expected := in.now.Add(-dataLag)
	if in.end.Before(expected) {
		expected = in.end
	}
	return in.last.Add(in.period + staleAfter).Before(expected)
}

// intervalFacts returns the facts of a finding about an interval.
func intervalFacts(q *classify.Query, in emptyInput) []Fact {
	stamp := func(t time.Time) string {
		if t.IsZero() {
			return "-"
		}
		return t.UTC().Format(time.RFC3339)
	}
	return []Fact{
		{Name: "name", Value: orDash(q.Name())},
		{Name: "start", Value: stamp(in.start)},
		{Name: "end", Value: stamp(in.end)},
		{Name: "now", Value: stamp(in.now)},
		{Name: "ahead", Value: spell(in.end.Sub(in.now))},
		{Name: "last", Value: stamp(in.last)},
		{Name: "age", Value: in.now.Sub(in.last).Round(time.Second).String()},
	}
}

const (
	maxQueries  = 2048 // maximum number of queries remembered
	queryProbes = 4    // number of slots where a query may be stored
)

// queries remembers which queries had data, and which were reported. Its memory is
// bounded by maxQueries. If several attempts use a slot at the same time, one of
// them may be forgotten.
type queries struct {
	slots [maxQueries]query
}

// query is one query. Times are Unix seconds; 0 is never.
type query struct {
	key      atomic.Uint64 // 0 if the slot is free
	data     atomic.Int64  // the end of the last interval that had data
	reported atomic.Int64
}

// find returns the slot of a query, or nil.
func (t *queries) find(key uint64) *query {
	for i := range uint64(queryProbes) {
		if q := &t.slots[(key>>1+i)%maxQueries]; q.key.Load() == key {
			return q
		}
	}
	return nil
}

// place returns the slot of a query, in place of the one that was used longest ago
// if there is none.
func (t *queries) place(key uint64) *query {
	if q := t.find(key); q != nil {
		return q
	}
	var oldest *query
	for i := range uint64(queryProbes) {
		q := &t.slots[(key>>1+i)%maxQueries]
		if q.key.Load() == 0 {
			oldest = q
			break
		}
		if oldest == nil || q.used() < oldest.used() {
			oldest = q
		}
	}
	oldest.data.Store(0)
	oldest.reported.Store(0)
	oldest.key.Store(key)
	return oldest
}

// used returns when the slot was last used.
func (q *query) used() int64 { return max(q.data.Load(), q.reported.Load()) }

// hadData records that a query had data for an interval that ended at the given time.
func (t *queries) hadData(key uint64, end time.Time) {
	if q := t.place(key); q.data.Load() < end.Unix() {
		q.data.Store(end.Unix())
	}
}

// last returns the end of the last interval for which a query had data, or the zero time.
func (t *queries) last(key uint64, now time.Time) time.Time {
	q := t.find(key)
	if q == nil {
		return time.Time{}
	}
	at := q.data.Load()
	if at == 0 || now.Unix()-at > int64(stoppedWithin/time.Second) {
		return time.Time{}
	}
	return time.Unix(at, 0)
}

// report reports whether a finding about a query is to be reported, and records
// that it is.
func (t *queries) report(key uint64, now time.Time) bool {
	q := t.place(key)
	at := q.reported.Load()
	since := now.Unix() - at
	if at != 0 && 0 <= since && since < int64(reportPause/time.Second) {
		return false
	}
	return q.reported.CompareAndSwap(at, now.Unix())
}
