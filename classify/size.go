package classify

import "time"

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
	start, end := q.Interval()
	period := q.Period()
	each := records(start, end, period)
	s := scanner{b: q.metrics.raw}
	if !s.enter('[') {
		return Size{Records: each}
	}
	var size Size
	for s.element() {
		size.Metrics++
		if !s.enter('{') {
			s.skip()
			size.Records = min(size.Records+each, maxRecords)
			continue
		}
		var own Query
		if !own.timed(&s) {
			size.Records = min(size.Records+each, maxRecords)
			continue
		}
		from, to, step := start, end, period
		if own.start.raw != nil {
			from = own.start.time()
		}
		if own.end.raw != nil {
			to = own.end.time()
		}
		if own.period.raw != nil {
			step = own.Period()
		}
		size.Records = min(size.Records+records(from, to, step), maxRecords)
	}
	return size
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
	case equalFold(name, "starttime"), equalFold(name, "start"):
		return &q.start
	case equalFold(name, "endtime"), equalFold(name, "end"):
		return &q.end
	case equalFold(name, "period"):
		return &q.period
	}
	return nil
}

// records returns the number of data points in an interval, rounded up. It is 0 if
// that is not known.
func records(start, end time.Time, period time.Duration) int {
	if start.IsZero() || end.IsZero() || period <= 0 || !end.After(start) {
		return 0
	}
	d := end.Sub(start)
	n := d / period
	if d%period > 0 {
		n++
	}
	return int(min(n, maxRecords))
}
