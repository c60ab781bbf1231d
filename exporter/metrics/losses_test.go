package metrics_test

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)

// TestLosses checks that what is dropped is a loss of its kind, and that each sink has one.
func TestLosses(t *testing.T) {
	m := metrics.New()
	m.Dropped(metrics.SinkTraces, metrics.ReasonQueueFull, 2)
	m.Dropped(metrics.SinkTraces, metrics.ReasonPanic, 1)
	m.Dropped(metrics.SinkJournal, metrics.ReasonQueueFull, 4)
	m.Dropped(metrics.SinkEvidence, metrics.ReasonQueueFull, 5)
	m.Dropped(metrics.SinkLogs, metrics.ReasonSampled, 6)
	m.Dropped(metrics.SinkLogs, metrics.ReasonQueueFull, 7)
	got := map[string]uint64{}
	for _, l := range m.Losses() {
		got[l.Kind] = l.Count
	}
	assert.Equal(t, map[string]uint64{
		"metrics": 0, "traces": 3, "logs": 7, "sampled": 6, "diagnosis": 0, "failures": 4, "evidence": 5, "unread": 0, "unobserved": 0, "panics": 0,
	}, got)
}
