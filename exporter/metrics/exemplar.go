package metrics

import (
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// exemplar leads from a metric to an attempt: by its trace, where that is
// exported, and its request ID. It is kept as it is, and made into labels when a
// scrape asks, since of the many attempts between two scrapes only the last ones
// are asked for.
type exemplar struct {
	at    time.Time
	value float64
	span  classify.Span
	id    classify.RequestID
}

// labels returns what is shown of e.
//
// There may not be more than prometheus.ExemplarMaxRunes in all. A request ID of
// full length leaves no room for the span's ID, which the trace tells too.
func (e *exemplar) labels() prometheus.Labels {
	labels := make(prometheus.Labels, 3)
	runes := 0
	add := func(name, value string) {
		if n := len(name) + len(value); runes+n <= prometheus.ExemplarMaxRunes {
			labels[name] = value
			runes += n
		}
	}
	if e.span.Exported {
		add("trace_id", hex.EncodeToString(e.span.TraceID[:]))
	}
	if !e.id.IsZero() {
		add("request_id", e.id.String())
	}
	if e.span.Exported {
		add("span_id", hex.EncodeToString(e.span.SpanID[:]))
	}
	return labels
}

// exemplars are the last exemplar of each bucket of a series, of a counter one.
// They are safe for concurrent use.
type exemplars struct {
	mu  sync.Mutex
	all []*exemplar // by bucket; nil for those that have none
}

// set replaces the exemplar of a bucket by that of o, unless nothing of o leads
// anywhere.
func (e *exemplars) set(bucket int, value float64, now time.Time, o *classify.Observation) {
	if !o.Span.Exported && o.Verdict.RequestID.IsZero() {
		return
	}
	e.mu.Lock()
	defer e.mu.Unlock()
	if missing := bucket + 1 - len(e.all); missing > 0 {
		e.all = append(e.all, make([]*exemplar, missing)...)
	}
	if e.all[bucket] == nil {
		e.all[bucket] = new(exemplar)
	}
	*e.all[bucket] = exemplar{now, value, o.Span, o.Verdict.RequestID}
}

// with returns m with the exemplars.
func (e *exemplars) with(m prometheus.Metric) prometheus.Metric {
	e.mu.Lock()
	defer e.mu.Unlock()
	var all []prometheus.Exemplar
	for _, x := range e.all {
		if x != nil {
			all = append(all, prometheus.Exemplar{Value: x.value, Labels: x.labels(), Timestamp: x.at})
		}
	}
	if len(all) == 0 {
		return m
	}
	with, err := prometheus.NewMetricWithExemplars(m, all...)
	if err != nil {
		return m
	}
	return with
}

// errorCount is a counter of errors with an exemplar.
type errorCount struct {
	prometheus.Counter
	exemplars exemplars
}

func (c *errorCount) withExemplars() prometheus.Metric { return c.exemplars.with(c.Counter) }

// increment adds one for the attempt o.
func (c *errorCount) increment(now time.Time, o *classify.Observation) {
	c.Inc()
	c.exemplars.set(0, 1, now, o)
}

// durationHistogram is a histogram of durations with exemplars.
type durationHistogram struct {
	prometheus.Histogram
	exemplars exemplars
}

func (d *durationHistogram) withExemplars() prometheus.Metric { return d.exemplars.with(d.Histogram) }

// observe adds the duration of the attempt o, with an exemplar.
func (d *durationHistogram) observe(seconds float64, now time.Time, o *classify.Observation) {
	d.Observe(seconds)
	bucket, _ := slices.BinarySearch(buckets, seconds)
	d.exemplars.set(bucket, seconds, now, o)
}

// exemplified collects a vector whose series have exemplars.
type exemplified struct {
	prometheus.Collector // the vector

	mu     sync.Mutex
	series []interface{ withExemplars() prometheus.Metric }
}

// errors adds c, a series of the vector.
func (e *exemplified) errors(c prometheus.Counter) *errorCount {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &errorCount{Counter: c}
	e.series = append(e.series, s)
	return s
}

// durations adds h, a series of the vector.
func (e *exemplified) durations(h prometheus.Histogram) *durationHistogram {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &durationHistogram{Histogram: h}
	e.series = append(e.series, s)
	return s
}

// Collect implements prometheus.Collector.
func (e *exemplified) Collect(to chan<- prometheus.Metric) {
	e.mu.Lock()
	series := e.series
	e.mu.Unlock()
	for _, s := range series {
		to <- s.withExemplars()
	}
}
