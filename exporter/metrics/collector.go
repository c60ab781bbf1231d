package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Row is one series of a collector.
type Row[S any] struct {
	desc      *prometheus.Desc
	valueType prometheus.ValueType
	value     func(S) float64
	labels    []string
	when      func(S) bool // nil for always
}

// Read returns a row of the family f, which has the given values of its labels.
// value reads it from a snapshot of the collector's subject.
func Read[S any, N int | int64 | uint64 | float64](f Family, value func(S) N, labels ...string) Row[S] {
	r := Row[S]{f.desc(), prometheus.GaugeValue, func(s S) float64 { return float64(value(s)) }, labels, nil}
	if f.Type == counter {
		r.valueType = prometheus.CounterValue
	}
	return r
}

// When returns r for the snapshots of which ok is true; it is absent for others.
func (r Row[S]) When(ok func(S) bool) Row[S] {
	r.when = ok
	return r
}

// collector collects the metrics of one subject.
type collector[S any] struct {
	start    time.Time // of the counters
	snapshot func() S
	rows     []Row[S]
}

// NewCollector returns a collector of the rows. It calls snapshot once per scrape;
// scrapes may run at the same time. Counters start at the time of the call.
func NewCollector[S any](snapshot func() S, rows ...Row[S]) prometheus.Collector {
	return &collector[S]{time.Now(), snapshot, rows}
}

// Describe implements prometheus.Collector.
func (c *collector[S]) Describe(ch chan<- *prometheus.Desc) {
	for _, r := range c.rows {
		ch <- r.desc
	}
}

// Collect implements prometheus.Collector.
func (c *collector[S]) Collect(ch chan<- prometheus.Metric) {
	s := c.snapshot()
	for _, r := range c.rows {
		switch {
		case r.when != nil && !r.when(s):
		case r.valueType == prometheus.CounterValue:
			ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(r.desc, r.valueType, r.value(s), c.start, r.labels...)
		default:
			ch <- prometheus.MustNewConstMetric(r.desc, r.valueType, r.value(s), r.labels...)
		}
	}
}
