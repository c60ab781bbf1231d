package metrics_test

import (
	"math"
	"slices"
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

func TestExemplars(t *testing.T) {
	span := record.Span{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Exported: true}
	const (
		traceID = `trace_id="01000000000000000000000000000000"`
		spanID  = `span_id="0200000000000000"`
	)
	long := strings.Repeat("r", classify.MaxRequestID)
	tests := []struct {
		name    string
		span    record.Span
		id      string
		outcome classify.Outcome
		want    []string // in the exemplars
		not     []string
	}{
		{"exported failure", span, "id-1", classify.OutcomeError, []string{traceID, spanID, `request_id="id-1"`}, nil},
		{"longest request ID leaves out the span", span, long, classify.OutcomeError, []string{traceID, `request_id="` + long + `"`}, []string{"span_id"}},
		{"failure without a trace", record.Span{TraceID: [16]byte{1}}, "id-1", classify.OutcomeError, []string{`request_id="id-1"`}, []string{"trace_id"}},
		{"exported success", span, "id-1", classify.OutcomeSuccess, []string{traceID, `request_id="id-1"`}, nil},
		{"success", record.Span{}, "id-1", classify.OutcomeSuccess, nil, []string{" # {"}},
		{"failure without anything", record.Span{}, "", classify.OutcomeError, nil, []string{" # {"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := metrics.New()
			m.Observe(&classify.Observation{
				Verdict: classify.Verdict{Outcome: tt.outcome, RequestID: classify.MakeRequestID(tt.id), Code: "C"},
			}, tt.span)
			body, header := scrape(t, m, openMetrics)
			if !strings.HasPrefix(header.Get("Content-Type"), "application/openmetrics-text") {
				t.Fatalf("answered with %s", header.Get("Content-Type"))
			}
			families := []string{"ksyun_api_request_duration_seconds_bucket"}
			if tt.outcome.Failed() {
				families = append(families, "ksyun_api_errors_total")
			}
			for _, family := range families {
				var lines strings.Builder
				for line := range strings.Lines(body) {
					if strings.HasPrefix(line, family) {
						lines.WriteString(line)
					}
				}
				for _, want := range tt.want {
					assert.Contains(t, lines.String(), want, "%s has no", family)
				}
				for _, not := range tt.not {
					assert.NotContains(t, lines.String(), not, family)
				}
			}
		})
	}
}

// TestExemplarOfEachBucket checks that each bucket of a duration shows its last
// failure, and so does the counter.
func TestExemplarOfEachBucket(t *testing.T) {
	m := metrics.New()
	observe := func(id string, took time.Duration) {
		m.Observe(&classify.Observation{
			Start: attempt.Start, End: attempt.Start.Add(took),
			Verdict: classify.Verdict{Outcome: classify.OutcomeError, RequestID: classify.MakeRequestID(id), Code: "C"},
		}, record.Span{})
	}
	observe("fast-1", time.Millisecond)
	observe("slow-1", 70*time.Second)
	observe("edge-1", 5*time.Millisecond) // the upper bound is within the first bucket
	observe("some-1", 40*time.Millisecond)
	observe("slow-2", 80*time.Second)
	families, err := m.Gatherer().Gather()
	require.NoError(t, err)
	idOf := func(e *dto.Exemplar) string {
		for _, l := range e.GetLabel() {
			if l.GetName() == "request_id" {
				return l.GetValue()
			}
		}
		return ""
	}
	for _, f := range families {
		switch f.GetName() {
		case "ksyun_api_errors_total":
			e := f.GetMetric()[0].GetCounter().GetExemplar()
			if id := idOf(e); id != "slow-2" || e.GetValue() != 1 || e.GetTimestamp() == nil {
				t.Errorf("exemplar of the counter: %v, want the last failure", e)
			}
		case "ksyun_api_request_duration_seconds":
			h := f.GetMetric()[0].GetHistogram()
			got := map[float64]string{}
			for _, b := range h.GetBucket() {
				if id := idOf(b.GetExemplar()); id != "" {
					got[b.GetUpperBound()] = id
				}
			}
			want := map[float64]string{0.005: "edge-1", 0.05: "some-1", math.Inf(1): "slow-2"}
			assert.Equal(t, want, got, "exemplars of the buckets")
			native := make([]string, 0, len(want))
			for _, e := range h.GetExemplars() {
				native = append(native, idOf(e))
			}
			slices.Sort(native)
			assert.Equal(t, []string{"edge-1", "slow-2", "some-1"}, native, "exemplars of the native histogram")
		}
	}
}
