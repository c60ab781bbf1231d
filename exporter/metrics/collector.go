package metrics

import (
	"time"

	"github.com/prometheus/client_golang/prometheus"
)

// Row produces one series, or all series, of a family in a collector. S is the
// type of the snapshot that the values are read from.
type Row[S any] struct {
	desc      *prometheus.Desc
	valueType prometheus.ValueType
	read      func(S, Send)
}

// Send sends one series with the given label values.
type Send func(value float64, labels ...string)

// Each returns a row whose series are sent by read.
func Each[S any](f Family, read func(S, Send)) Row[S] {
	r := Row[S]{f.desc(), prometheus.GaugeValue, read}
	if f.Type == counter {
		r.valueType = prometheus.CounterValue
	}
	return r
}

// Read returns a row of one series with the given label values.
func Read[S any, N int | int64 | uint64 | float64](f Family, value func(S) N, labels ...string) Row[S] {
	return Each(f, func(s S, send Send) { send(float64(value(s)), labels...) })
}

// When returns a row that produces the series of r only if ok(snapshot) is true.
func (r Row[S]) When(ok func(S) bool) Row[S] {
	read := r.read
	r.read = func(s S, send Send) {
		if ok(s) {
			read(s, send)
		}
	}
	return r
}

// collector collects the metrics of one part of the program.
type collector[S any] struct {
	start    time.Time // creation time of the counters
	snapshot func() S
	rows     []Row[S]
}

// NewCollector returns a collector of the rows. It calls snapshot once per
// scrape, concurrently if scrapes overlap. The creation time of the counters is
// the time of the call to NewCollector.
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
