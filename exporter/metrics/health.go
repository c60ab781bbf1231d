package metrics

import (
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// presetService is the service whose series exist before its first call.
const presetService = "monitor"

// presetCauses are the causes of failures whose series exist before the first
// one: those of every row of the catalogue that ships, and of codes that are in
// none.
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

// health is how a service does: the metrics that alerts are made of. All its
// series exist from the start, so that the first failure is an increase.
type health struct {
	attempts    func(category, blame string) prometheus.Counter
	lastSuccess prometheus.Gauge
	since       map[string]prometheus.Gauge // errors since the last success, by category; never changed
	failing     atomic.Bool                 // one of since may be above 0
}

// healthOf returns the health of the service with that label. The caller holds
// the lock, unless m is new.
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

// proves reports whether an attempt of that outcome shows that the service can
// be called: with data in full or in part, or as a dry run.
func proves(o classify.Outcome) bool {
	return o == classify.OutcomeSuccess || o == classify.OutcomePartial || o == classify.OutcomeDryRun
}

// succeeded notes a success that ended at that time.
func (h *health) succeeded(at time.Time) {
	h.lastSuccess.Set(timestamp(at))
	if h.failing.Load() && h.failing.CompareAndSwap(true, false) {
		for _, g := range h.since {
			g.Set(0)
		}
	}
}

// timestamp spells a time as metrics do: in seconds since the epoch.
func timestamp(t time.Time) float64 { return float64(t.UnixMilli()) / 1e3 }
