package push

import (
	"context"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/sdk/resource"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"
)

// registry returns metrics of all types.
func registry(t *testing.T) prometheus.Gatherer {
	t.Helper()
	r := prometheus.NewRegistry()
	labels := prometheus.Labels{"b": "2", "a": "ö"}
	gauge := prometheus.NewGauge(prometheus.GaugeOpts{Name: "level", Help: "Help."})
	gauge.Set(-1.5)
	counters := prometheus.NewCounterVec(prometheus.CounterOpts{Name: "some_counters_total", Help: "Help."}, []string{"code"})
	counters.WithLabelValues("x").Inc()
	counters.WithLabelValues("y").(prometheus.ExemplarAdder).AddWithExemplar(2, prometheus.Labels{"k": "v"})
	classic := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "classic", Help: "Help.", Buckets: []float64{1, 2, 4}, ConstLabels: labels})
	empty := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "empty", Help: "Help.", Buckets: []float64{1}})
	native := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "native", Help: "Help.", NativeHistogramBucketFactor: 1.1})
	unused := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "native_unused", Help: "Help.", NativeHistogramBucketFactor: 1.1})
	summary := prometheus.NewSummary(prometheus.SummaryOpts{Name: "summary", Help: "Help.", Objectives: map[float64]float64{0.5: 0.05, 0.9: 0.01}})
	for _, v := range []float64{0.5, 1.5, 1.7, 3, 100, 1e-9, 0, -3, -3.1, 1e6} {
		classic.Observe(v)
		native.Observe(v)
		summary.Observe(v)
	}
	classic.(prometheus.ExemplarObserver).ObserveWithExemplar(3, prometheus.Labels{"k": "v"})
	classic.(prometheus.ExemplarObserver).ObserveWithExemplar(math.Inf(1), prometheus.Labels{"k": "of the last bucket"})
	r.MustRegister(gauge, counters, classic, empty, native, unused, summary,
		prometheus.NewUntypedFunc(prometheus.UntypedOpts{Name: "untyped", Help: "Help."}, func() float64 { return 7 }))
	return r
}

// bySDK returns what a backend gets of the metrics by the SDK.
func bySDK(t *testing.T, from prometheus.Gatherer) []*metricspb.Metric {
	t.Helper()
	got := make(chan []byte, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		got <- body
	}))
	defer backend.Close()
	x, err := otlpmetrichttp.New(t.Context(), otlpmetrichttp.WithEndpointURL(backend.URL))
	require.NoError(t, err)
	defer func() { _ = x.Shutdown(context.Background()) }()
	scopes, err := bridge.NewMetricProducer(bridge.WithGatherer(from)).Produce(t.Context())
	require.NoError(t, err)
	if err := x.Export(t.Context(), &metricdata.ResourceMetrics{Resource: resource.Empty(), ScopeMetrics: scopes}); err != nil {
		t.Fatal(err)
	}
	var all metricspb.MetricsData
	require.NoError(t, proto.Unmarshal(<-got, &all))
	return all.GetResourceMetrics()[0].GetScopeMetrics()[0].GetMetrics()
}

// comparable removes what differs between two exports, and what the SDK does not have:
// the exact time, and the exemplars of native histograms.
func comparable(all []*metricspb.Metric) {
	for _, m := range all {
		for _, p := range slices.Concat(m.GetSum().GetDataPoints(), m.GetGauge().GetDataPoints()) {
			p.TimeUnixNano = 0
		}
		for _, p := range m.GetHistogram().GetDataPoints() {
			p.TimeUnixNano = 0
		}
		for _, p := range m.GetSummary().GetDataPoints() {
			p.TimeUnixNano = 0
		}
		for _, p := range m.GetExponentialHistogram().GetDataPoints() {
			p.TimeUnixNano, p.Exemplars = 0, nil
		}
	}
}

func TestMetricsAreTheSDKs(t *testing.T) {
	from := registry(t)
	families, err := from.Gather()
	require.NoError(t, err)
	want, got := bySDK(t, from), convert(families, time.Now())
	comparable(want)
	comparable(got)
	require.Len(t, got, len(want), "metrics")
	for i := range want {
		if !proto.Equal(got[i], want[i]) {
			t.Errorf("got %v\nwant %v", got[i], want[i])
		}
	}
}

// TestNativeExemplars checks that exemplars of native histograms arrive with their IDs.
func TestNativeExemplars(t *testing.T) {
	h := prometheus.NewHistogram(prometheus.HistogramOpts{Name: "h", Help: "Help.", NativeHistogramBucketFactor: 1.1})
	h.(prometheus.ExemplarObserver).ObserveWithExemplar(3, prometheus.Labels{
		"trace_id": strings.Repeat("0a", 16), "span_id": strings.Repeat("0b", 8), "other": "x",
	})
	r := prometheus.NewRegistry()
	r.MustRegister(h)
	families, err := r.Gather()
	require.NoError(t, err)
	all := convert(families, time.Now())[0].GetExponentialHistogram().GetDataPoints()[0].GetExemplars()
	if len(all) != 1 || all[0].GetAsDouble() != 3 || len(all[0].GetTraceId()) != 16 || len(all[0].GetSpanId()) != 8 || len(all[0].GetFilteredAttributes()) != 1 {
		t.Errorf("got %v", all)
	}
}
