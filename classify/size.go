package classify

import (
	"math"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// Size is how much a request for data asks for.
type Size struct {
	// Metrics is the number of metrics of a batch. It is 0 if the request is not a
	// batch, and too small if the request was not read as a whole.
	Metrics int
	// Records is the number of data points that the interval has room for, of all
	// metrics. It is 0 if the interval or the period is not known.
	Records int
}

// maxRecords bounds the records of a metric and of a batch.
const maxRecords = 1 << 30

// Size returns how much the query asks for. A metric of a batch may have an interval
// and a period of its own.
func (q *Query) Size() Size {
	var size Size
	batch := q.timings(func(t timing) {
		size.Metrics++
		size.Records = min(size.Records+t.records(), maxRecords)
	})
	if !batch {
		t := q.own()
		size.Records = t.records()
	}
	return size
}

// Period returns the interval between two data points, the shortest one of a batch, or
// 0 if one of them is not known.
func (q *Query) Period() time.Duration {
	shortest := time.Duration(math.MaxInt64)
	batch := q.timings(func(t timing) { shortest = min(shortest, t.period) })
	switch {
	case !batch || shortest == math.MaxInt64:
		return q.period.seconds()
	case q.cut:
		return 0
	}
	return shortest
}

// timing is the interval that is asked for, and its period. What is not known is zero.
type timing struct {
	start, end time.Time
	period     time.Duration
}

// own returns the timing of the request as a whole.
func (q *Query) own() timing { return timing{q.start.time(), q.end.time(), q.period.seconds()} }

// timings calls f with the timing of each metric of a batch: its own, or else that of
// the request. It returns false if the query is not a batch.
func (q *Query) timings(f func(timing)) bool {
	s := scanner{b: q.metrics.raw}
	if !s.enter('[') {
		return false
	}
	whole := q.own()
	for s.element() {
		t := whole
		var own Query
		if !s.enter('{') {
			s.skip()
		} else if own.timed(&s) {
			if own.start.raw != nil {
				t.start = own.start.time()
			}
			if own.end.raw != nil {
				t.end = own.end.time()
			}
			if own.period.raw != nil {
				t.period = own.period.seconds()
			}
		}
		f(t)
	}
	return true
}

// timed reads the interval and the period of an object, behind its opening bracket.
// It reports whether there is any.
func (q *Query) timed(s *scanner) bool {
	var buf [maxKey]byte
	found := false
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		p := q.timing(key)
		if p == nil {
			s.skip()
			continue
		}
		v := s.scalar().param()
		p.offer(v.raw, v.enc)
		found = true
	}
	return found
}

// timing returns the place of a parameter that belongs to the interval or is the
// period, or nil.
func (q *Query) timing(name []byte) *param {
	switch {
	case ascii.EqualFold(name, "starttime"), ascii.EqualFold(name, "start"):
		return &q.start
	case ascii.EqualFold(name, "endtime"), ascii.EqualFold(name, "end"):
		return &q.end
	case ascii.EqualFold(name, "period"):
		return &q.period
	}
	return nil
}

// records returns the number of data points in the interval, rounded up. It is 0 if
// that is not known.
func (t *timing) records() int {
	if t.start.IsZero() || t.end.IsZero() || t.period <= 0 || !t.end.After(t.start) {
		return 0
	}
	d := t.end.Sub(t.start)
	n := d / t.period
	if d%t.period > 0 {
		n++
	}
	return int(min(n, maxRecords))
}
