package metrics

import (
	"encoding/hex"
	"slices"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// exemplar refers from a metric to an attempt, by its trace ID if the span is
// exported, and by its request ID. The labels are built at scrape time, because
// only the last exemplar before a scrape is exposed.
type exemplar struct {
	at    time.Time
	value float64
	span  record.Span
	id    classify.RequestID
}

// labels returns the exemplar labels of e.
//
// They are limited to prometheus.ExemplarMaxRunes in total. A request ID of the
// maximum length leaves no room for the span ID, which can be found by the trace
// ID.
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

// exemplars holds the last exemplar of each bucket of a histogram, or the last
// exemplar of a counter. It is safe for concurrent use.
type exemplars struct {
	mu  sync.Mutex
	all []*exemplar // by bucket; nil if the bucket has none
}

// set replaces the exemplar of a bucket with x, unless x has neither an exported
// span nor a request ID.
func (e *exemplars) set(bucket int, x *exemplar) {
	if !x.span.Exported && x.id.IsZero() {
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
	*e.all[bucket] = *x
}

// with returns m with its exemplars.
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

// increment adds one, with the exemplar x of the value 1.
func (c *errorCount) increment(x *exemplar) {
	c.Inc()
	c.exemplars.set(0, x)
}

// durationHistogram is a histogram of durations with exemplars.
type durationHistogram struct {
	prometheus.Histogram
	exemplars exemplars
}

func (d *durationHistogram) withExemplars() prometheus.Metric { return d.exemplars.with(d.Histogram) }

// observe adds the duration that is the value of x, in seconds, with x as exemplar.
func (d *durationHistogram) observe(x *exemplar) {
	d.Observe(x.value)
	bucket, _ := slices.BinarySearch(buckets, x.value)
	d.exemplars.set(bucket, x)
}

// exemplified is a collector for a vector whose series have exemplars.
type exemplified struct {
	prometheus.Collector // the vector

	mu     sync.Mutex
	series []interface{ withExemplars() prometheus.Metric }
}

// errors adds the counter c, a series of the vector.
func (e *exemplified) errors(c prometheus.Counter) *errorCount {
	e.mu.Lock()
	defer e.mu.Unlock()
	s := &errorCount{Counter: c}
	e.series = append(e.series, s)
	return s
}

// durations adds the histogram h, a series of the vector.
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
