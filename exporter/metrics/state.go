package metrics

import (
	"sync/atomic"

	"github.com/prometheus/client_golang/prometheus"
)

// ProxyStats is the state of the relay at one moment. The counts are since the
// start of the program.
type ProxyStats struct {
	ClientConnections   int // open
	UpstreamConnections int // open, those at rest included
	UpstreamIdle        int // at rest
	ConnectionsAccepted uint64
	BytesReceived       uint64 // from programs
	BytesSent           uint64 // to programs
	Dials               uint64
	Reused              uint64 // requests sent on a connection used before
	Panics              uint64
	UnobservedRequests  uint64 // relayed without being looked into
	TruncatedBodies     uint64 // longer than what is looked into
}

// QueueStats is the state of the queue before the sinks other than the metrics.
type QueueStats struct {
	Length   int
	Capacity int
}

// JournalStats is the state of the journal of failures.
type JournalStats struct {
	Entries  int
	Capacity int
	Evicted  uint64 // since the start of the program
}

// Sources read what the exporter itself keeps when a scrape asks. They are
// called from several goroutines; nil leaves out the families.
type Sources struct {
	Queue   func() QueueStats
	Journal func() JournalStats
}

// state collects the metrics that are read when they are asked for.
type state struct {
	proxy   func() ProxyStats
	sources atomic.Pointer[Sources]
}

var _ prometheus.Collector = (*state)(nil)

// The descriptions of what state collects.
var (
	descClientConns     = famClientConns.desc()
	descAccepted        = famAccepted.desc()
	descReceived        = famReceived.desc()
	descSent            = famSent.desc()
	descUpstreamConns   = famUpstreamConns.desc()
	descUpstreamIdle    = famUpstreamIdle.desc()
	descDials           = famDials.desc()
	descReused          = famReused.desc()
	descPanics          = famPanics.desc()
	descUnobserved      = famUnobserved.desc()
	descTruncated       = famTruncated.desc()
	descQueueLength     = famQueueLength.desc()
	descQueueCapacity   = famQueueCapacity.desc()
	descJournalEntries  = famJournalEntries.desc()
	descJournalCapacity = famJournalCapacity.desc()
	descJournalEvicted  = famJournalEvicted.desc()
)

// Describe implements prometheus.Collector.
func (s *state) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{
		descClientConns, descAccepted, descReceived, descSent,
		descUpstreamConns, descUpstreamIdle, descDials, descReused,
		descPanics, descUnobserved, descTruncated,
		descQueueLength, descQueueCapacity,
		descJournalEntries, descJournalCapacity, descJournalEvicted,
	} {
		ch <- d
	}
}

// Collect implements prometheus.Collector.
func (s *state) Collect(ch chan<- prometheus.Metric) {
	gauge := func(d *prometheus.Desc, v int) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.GaugeValue, float64(v))
	}
	count := func(d *prometheus.Desc, v uint64) {
		ch <- prometheus.MustNewConstMetric(d, prometheus.CounterValue, float64(v))
	}
	if s.proxy != nil {
		p := s.proxy()
		gauge(descClientConns, p.ClientConnections)
		gauge(descUpstreamConns, p.UpstreamConnections)
		gauge(descUpstreamIdle, p.UpstreamIdle)
		count(descAccepted, p.ConnectionsAccepted)
		count(descReceived, p.BytesReceived)
		count(descSent, p.BytesSent)
		count(descDials, p.Dials)
		count(descReused, p.Reused)
		count(descPanics, p.Panics)
		count(descUnobserved, p.UnobservedRequests)
		count(descTruncated, p.TruncatedBodies)
	}
	src := s.sources.Load()
	if src == nil {
		return
	}
	if src.Queue != nil {
		q := src.Queue()
		gauge(descQueueLength, q.Length)
		gauge(descQueueCapacity, q.Capacity)
	}
	if src.Journal != nil {
		j := src.Journal()
		gauge(descJournalEntries, j.Entries)
		gauge(descJournalCapacity, j.Capacity)
		count(descJournalEvicted, j.Evicted)
	}
}
