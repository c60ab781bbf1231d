package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Row is a family of a collector, or one of its series. S is a snapshot of the
// collector's subject.
type Row[S any] struct {
	desc      *prometheus.Desc
	valueType prometheus.ValueType
	read      func(S, Send)
}

// Send sends a series with the given values of the family's labels.
type Send func(value float64, labels ...string)

// Each returns a row whose series read sends.
func Each[S any](f Family, read func(S, Send)) Row[S] {
	r := Row[S]{f.desc(), prometheus.GaugeValue, read}
	if f.Type == counter {
		r.valueType = prometheus.CounterValue
	}
	return r
}

// Read returns a row of one series with the given values of the family's labels.
func Read[S any, N int | int64 | uint64 | float64](f Family, value func(S) N, labels ...string) Row[S] {
	return Each(f, func(s S, send Send) { send(float64(value(s)), labels...) })
}

// When returns r for the snapshots of which ok is true; it is absent for others.
func (r Row[S]) When(ok func(S) bool) Row[S] {
	read := r.read
	r.read = func(s S, send Send) {
		if ok(s) {
			read(s, send)
		}
	}
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
		r.read(s, func(value float64, labels ...string) {
			if r.valueType == prometheus.CounterValue {
				ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(r.desc, r.valueType, value, c.start, labels...)
			} else {
				ch <- prometheus.MustNewConstMetric(r.desc, r.valueType, value, labels...)
			}
		})
	}
}
