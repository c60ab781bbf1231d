package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// presetService is the service whose series exist before its first call.
const presetService = "monitor"

// presetCauses are the causes of failures whose series are initialized to 0:
// the causes of every entry of the embedded catalogue and of unknown codes.
var presetCauses = []struct {
	category classify.Category
	blame    classify.Blame
}{
	{classify.CategoryAuth, classify.BlameCredential},
	{classify.CategoryClock, classify.BlameCredential},
	{classify.CategoryPermission, classify.BlameCredential},
	{classify.CategoryThrottled, classify.BlameQuota},
	{classify.CategoryRequest, classify.BlameClient},
	{classify.CategoryNotFound, classify.BlameClient},
	{classify.CategoryTooLarge, classify.BlameClient},
	{classify.CategoryServer, classify.BlameProvider},
	{classify.CategoryTimeout, classify.BlameProvider},
	{classify.CategoryTimeout, classify.BlameNetwork},
	{classify.CategoryNetwork, classify.BlameNetwork},
	{classify.CategoryUnknown, classify.BlameClient},
	{classify.CategoryUnknown, classify.BlameProvider},
}

// health holds the metrics of a service that alerts are based on. All series are
// created at the start, so that increase() includes the first failure.
type health struct {
	attempts    func(category, blame string) prometheus.Counter
	lastSuccess prometheus.Gauge
	since       map[string]prometheus.Gauge // errors since the last success, by category; the map is never modified
	failing     atomic.Bool                 // true if a gauge in since may be above 0
}

// healthOf returns the health of the service with the given label value. The
// caller holds m.mu, unless m is still being built.
func (m *Metrics) healthOf(service string) *health {
	if h, ok := m.health[service]; ok {
		return h
	}
	h := &health{
		attempts: func(category, blame string) prometheus.Counter {
			return m.attemptsVec.WithLabelValues(service, category, blame)
		},
		lastSuccess: m.lastSuccessVec.WithLabelValues(service),
		since:       make(map[string]prometheus.Gauge, len(m.categories)),
	}
	h.attempts(labelNone, labelNone)
	for _, c := range presetCauses {
		h.attempts(string(c.category), string(c.blame))
	}
	for _, c := range m.categories {
		h.since[string(c)] = m.sinceVec.WithLabelValues(service, string(c))
	}
	m.health[service] = h
	return h
}

// proves reports whether the outcome shows that the service is available: a
// success, a partial success or a dry run.
func proves(o classify.Outcome) bool {
	return o == classify.OutcomeSuccess || o == classify.OutcomePartial || o == classify.OutcomeDryRun
}

// succeeded records a success that ended at the given time.
func (h *health) succeeded(at time.Time) {
	h.lastSuccess.Set(timestamp(at))
	if h.failing.Load() && h.failing.CompareAndSwap(true, false) {
		for _, g := range h.since {
			g.Set(0)
		}
	}
}

// timestamp returns t in seconds since the Unix epoch.
func timestamp(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
