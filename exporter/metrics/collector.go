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

	histograms func(S, func(h Histogram, labels ...string)) // instead of read; nil for other types
}

// Send sends one series with the given label values.
type Send func(value float64, labels ...string)

// Each returns a row whose series are sent by read.
func Each[S any](f Family, read func(S, Send)) Row[S] {
	r := Row[S]{desc: f.desc(), valueType: prometheus.GaugeValue, read: read}
	if f.Type == counter {
		r.valueType = prometheus.CounterValue
	}
	return r
}

// Read returns a row of one series with the given label values.
func Read[S any, N int | int64 | uint64 | float64](f Family, value func(S) N, labels ...string) Row[S] {
	return Each(f, func(s S, send Send) { send(float64(value(s)), labels...) })
}

// Histogram is one histogram of a row. The keys of Buckets are upper bounds, and the
// values are cumulative.
type Histogram struct {
	Count   uint64
	Sum     float64
	Buckets map[float64]uint64
}

// EachHistogram returns a row whose histograms are sent by read.
func EachHistogram[S any](f Family, read func(S, func(h Histogram, labels ...string))) Row[S] {
	return Row[S]{desc: f.desc(), histograms: read}
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
		if r.histograms != nil {
			r.histograms(s, func(h Histogram, labels ...string) {
				ch <- prometheus.MustNewConstHistogramWithCreatedTimestamp(r.desc, h.Count, h.Sum, h.Buckets, c.start, labels...)
			})
			continue
		}
		r.read(s, func(value float64, labels ...string) {
			if r.valueType == prometheus.CounterValue {
				ch <- prometheus.MustNewConstMetricWithCreatedTimestamp(r.desc, r.valueType, value, c.start, labels...)
			} else {
				ch <- prometheus.MustNewConstMetric(r.desc, r.valueType, value, labels...)
			}
		})
	}
}
