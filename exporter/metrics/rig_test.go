package metrics_test

import (
	"maps"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// full returns metrics that have seen every sort of attempt, and everything
// else they can be reported.
func full() *metrics.Metrics {
	m := metrics.New()
	m.Register(metrics.NewCollector(func() float64 { return 0 },
		fixed(metrics.ClientConnections, 3), fixed(metrics.UpstreamConnections, 2),
		fixed(metrics.ConnectionsAccepted, 11), fixed(metrics.ConnectionsRefused, 13), fixed(metrics.ConnectionsReclaimed, 14),
		fixed(metrics.BufferBytes, 8192), fixed(metrics.BytesReceived, 4096), fixed(metrics.BytesSent, 8192),
		fixed(metrics.Dials, 5), fixed(metrics.Panics, 1), fixed(metrics.Unobserved, 2), fixed(metrics.Intercepted, 12),
		fixed(metrics.Tunnels, 8), fixed(metrics.TappedTunnels, 3), fixed(metrics.OpenTunnels, 2),
		fixed(metrics.TransparentRefused, 0, "direct"), fixed(metrics.TransparentRefused, 0, "loop"),
		fixed(metrics.CSMDatagrams, 20), fixed(metrics.CSMAttempts, 15), fixed(metrics.CSMAnnounced, 16),
		fixed(metrics.CSMDuplicates, 4), fixed(metrics.CSMRejected, 1),
		fixed(metrics.ResignRefused, 3, "address"), fixed(metrics.ResignRefused, 2, "tls"),
		fixed(metrics.ResignReloadOK, 1), fixed(metrics.ResignReloadTime, float64(attempt.Start.Unix())),
		fixed(metrics.PathSuccess, 0), fixed(metrics.PathFailed, 0, "proxy"), fixed(metrics.PathFailed, 1, "dns"),
		fixed(metrics.PathTime, float64(attempt.Start.Unix())), fixed(metrics.PathDuration, 1.5),
		fixed(metrics.ClockSkew, -90, "192.0.2.9"), fixed(metrics.ClockSkew, 1, "self"),
		fixed(metrics.ClockUncertainty, 1.02, "192.0.2.9"), fixed(metrics.ClockUncertainty, 1, "self"),
		fixed(metrics.RedundantCalls, 3, "monitor", "ListMetrics", "too_often"), fixed(metrics.QuotaLimit, 180, "monitor", "GetMetricStatisticsBatch", "2018-11-14"),
		fixed(metrics.QuotaUsed, 0.75, "billing", "GetMetricStatisticsBatch", "2018-11-14"), fixed(metrics.QuotaExhaustion, 25, "billing", "GetMetricStatisticsBatch", "2018-11-14"),
		fixed(metrics.RequestSizeUsed, 0.95, "billing", "GetMetricStatisticsBatch", "2018-11-14", "metrics"),
		fixed(metrics.Calls, 5, "monitor", "ListMetrics", "success"), fixed(metrics.Retries, 2, "monitor", "ListMetrics", "wasted"),
		metrics.EachHistogram(metrics.CallAttempts, func(_ float64, send func(metrics.Histogram, ...string)) {
			send(metrics.Histogram{Count: 5, Sum: 7, Buckets: map[float64]uint64{1: 4, 4: 5}}, "monitor", "ListMetrics")
		}),
		fixed(metrics.ProgramInfo, 1, "aws-sdk-go/1.25", "sigv4", "http"),
		fixed(metrics.CredentialErrors, 3, "billing", "throttled"), fixed(metrics.CredentialErrors, 1, "_other", "auth"),
		fixed(metrics.CredentialRefused, 1, "billing", "key"), fixed(metrics.CredentialRefused, 0, "billing", "token"), fixed(metrics.CredentialRefused, 0, "billing", "permission"),
		fixed(metrics.QueueLength, 7), fixed(metrics.QueueCapacity, 2048),
		fixed(metrics.JournalEntries, 9), fixed(metrics.JournalCapacity, 1000), fixed(metrics.JournalEvicted, 1),
		fixed(metrics.JournalFileHealthy, 1), fixed(metrics.JournalFileEntries, 8), fixed(metrics.JournalFileBytes, 131072), fixed(metrics.JournalWritten, 8),
		fixed(metrics.JournalWriteLost, 0), fixed(metrics.JournalWriteFailures, 2), fixed(metrics.JournalCorrupt, 1),
		fixed(metrics.EvidenceEntries, 4), fixed(metrics.EvidenceBytes, 16384), fixed(metrics.EvidenceEvicted, 0),
		fixed(metrics.FailureGroups, 5), fixed(metrics.FailureGroupsEvicted, 0), fixed(metrics.EventSubscribers, 2), fixed(metrics.EventSubscribersDropped, 1),
	), metrics.NewCollector(func() time.Time { return attempt.Start.Add(time.Hour) }, metrics.Read(metrics.CANotAfter, time.Time.Unix)))
	handshakeFailed := metrics.Count(m, metrics.HandshakeErrors, []string{"untrusted_ca", "other"})
	handshakeFailed("untrusted_ca")
	handshakeFailed("a reason it does not know")
	m.SetReload(nil, attempt.Start)
	m.SetIgnoredVariables([]string{"OTEL_SDK_DISABLED"})
	m.Incomplete(attempt.Get("success"), diagnosis.CauseIntervalZone)
	m.Incomplete(attempt.Get("success"), "a cause it does not know")
	for _, a := range attempt.All() {
		if !a.Observation.Fault.Refused() {
			m.Begin(&a.Observation.Call)
		}
		m.Observe(a.Observation, record.Span{})
	}
	m.Begin(&classify.Call{Service: "monitor"})
	m.Dropped(metrics.SinkLogs, metrics.ReasonSampled, 3)
	return m
}

// fixed returns a row with that value.
func fixed(f metrics.Family, v float64, labels ...string) metrics.Row[float64] {
	return metrics.Read(f, func(zero float64) float64 { return zero + v }, labels...)
}

// scrape reads the metrics by HTTP.
func scrape(t *testing.T, m *metrics.Metrics, accept string) (string, http.Header) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	require.Equal(t, http.StatusOK, w.Code, "scrape: status %d: %s", w.Code, w.Body)
	return w.Body.String(), w.Result().Header
}

// gather returns the families by name.
func gather(t *testing.T, m *metrics.Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := m.Gatherer().Gather()
	require.NoError(t, err)
	byName := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return byName
}

// labelNames returns the names of m's labels, sorted.
func labelNames(m *dto.Metric) []string {
	var names []string
	for _, l := range m.GetLabel() {
		names = append(names, l.GetName())
	}
	return names
}

// value returns the value of the series with those labels, and whether it is there.
func value(t *testing.T, m *metrics.Metrics, family string, labels map[string]string) (float64, bool) {
	t.Helper()
	f := gather(t, m)[family]
	for _, s := range f.GetMetric() {
		have := make(map[string]string)
		for _, l := range s.GetLabel() {
			have[l.GetName()] = l.GetValue()
		}
		if !maps.Equal(have, labels) {
			continue
		}
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			return s.GetCounter().GetValue(), true
		case dto.MetricType_GAUGE:
			return s.GetGauge().GetValue(), true
		default:
			return float64(s.GetHistogram().GetSampleCount()), true
		}
	}
	return 0, false
}
