package traces_test

import (
	"math"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/trace"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// TestParent checks that attempts without a traceparent continue the trace that
// the tracer was started in, and others their own.
func TestParent(t *testing.T) {
	const own = "00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"
	for _, tt := range []struct {
		name, parent, traceparent, outcome string
		wantTrace, wantParent, wantState   string // "" is the request ID, and no parent
		wantSpan                           bool
	}{
		{"failure", sampled, "", "error_throttled", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "ot=th:0,vendor=1", true},
		{"success", sampled, "", "success", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "vendor=1", true},
		{"success, not sampled", unsampled, "", "success", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "", false},
		{"a parent of its own", sampled, own, "success", "4bf92f3577b34da6a3ce929d0e0e4736", "00f067aa0ba902b7", "", true},
		{"invalid header", sampled, "00-what", "success", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "vendor=1", true},
		{"invalid", "00-what", "", "error_throttled", "", "", "ot=th:0", true},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &backend{}
			tr := newTracer(t, traces.Config{Exporter: b, Parent: traces.Parent{Traceparent: tt.parent, Tracestate: "vendor=1"}})
			if invalid := tt.parent == "00-what"; invalid != slices.ContainsFunc(tr.Problems(), func(p usererror.Ignored) bool { return p.Variable == "TRACEPARENT" }) {
				t.Errorf("problems %v", tr.Problems())
			}
			o := attempt.Get(tt.outcome)
			o.Traceparent = []byte(tt.traceparent)
			span := observe(tr, o)
			shutdown(t, tr)
			if tt.wantTrace == "" {
				tt.wantTrace = strings.ReplaceAll(o.Verdict.RequestID.String(), "-", "")
			}
			assert.Equal(t, tt.wantTrace, trace.TraceID(span.TraceID).String(), "trace ID")
			require.Equal(t, tt.wantSpan, len(b.spans) == 1, "%d spans", len(b.spans))
			if !tt.wantSpan {
				return
			}
			parent := ""
			if p := b.spans[0].Parent; p.IsValid() {
				parent = p.SpanID().String()
			}
			if state := b.spans[0].SpanContext.TraceState().String(); parent != tt.wantParent || state != tt.wantState {
				t.Errorf("parent %q, state %q", parent, state)
			}
		})
	}
}

func TestSpanHasTheDecidedIDs(t *testing.T) {
	tests := []struct {
		name, traceparent, tracestate string
		wantTrace, wantParent         string // "" is no parent
		wantState                     string
	}{
		{"no parent", "", "", "00000000111142228333444444444403", "", "ot=th:0"},
		{"sampled parent", sampled, "vendor=1", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "ot=th:0,vendor=1"},
		{"unsampled parent", unsampled, "", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "ot=th:0"},
		{"malformed parent", strings.ToUpper(sampled), "vendor=1", "00000000111142228333444444444403", "", "ot=th:0"},
		{"malformed state", sampled, "=;=", "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", "ot=th:0"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			b := &backend{}
			tr := newTracer(t, traces.Config{Exporter: b})
			o := attempt.Get("error_signature")
			o.Traceparent, o.Tracestate = []byte(tt.traceparent), []byte(tt.tracestate)
			span := observe(tr, o)
			require.True(t, span.Exported, "a failure is not kept")
			shutdown(t, tr)

			require.Len(t, b.spans, 1)
			s := b.spans[0]
			if id := s.SpanContext.TraceID(); id != span.TraceID || !id.IsValid() {
				t.Errorf("trace ID %s, decided was %x", id, span.TraceID)
			}
			if id := s.SpanContext.SpanID(); id != span.SpanID || !id.IsValid() {
				t.Errorf("span ID %s, decided was %x", id, span.SpanID)
			}
			assert.Equal(t, tt.wantTrace, s.SpanContext.TraceID().String(), "trace ID")
			parent := ""
			if s.Parent.IsValid() {
				parent = s.Parent.SpanID().String()
			}
			assert.Equal(t, tt.wantParent, parent)
			state := s.SpanContext.TraceState().String()
			assert.Equal(t, tt.wantState, state, "trace state")
			assert.True(t, s.SpanContext.IsSampled(), "an exported span is not sampled")
		})
	}
}

func TestDecide(t *testing.T) {
	tests := []struct {
		name, attempt, traceparent string
		ratio                      float64
		want                       bool
	}{
		{"failure", "error_throttled", "", 0, true},
		{"failure in an unsampled trace", "error_throttled", unsampled, 0, true},
		{"partial", "partial", "", 0, true},
		{"masked", "masked", "", 0, true},
		{"no response", "refused_connection", "", 0, true},
		{"refused request", "host_refused", sampled, 1, false},
		{"success", "success", "", 0, false},
		{"success, all wanted", "success", "", 1, true},
		{"success in a sampled trace", "success", sampled, 0, true},
		{"success in an unsampled trace", "success", unsampled, 1, false},
		{"success with a malformed parent", "success", "00-nonsense", 1, true},
		{"dry run is no failure", "dry_run", "", 0, false},
		{"canceled is no failure", "canceled", "", 0, false},
		{"ratio that is no number", "success", "", math.NaN(), false},
		{"negative ratio", "success", "", -1, false},
		{"ratio above one", "success", "", 7, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			tr := newTracer(t, traces.Config{Exporter: &backend{}, SuccessRatio: tt.ratio})
			for range 100 {
				o := attempt.Get(tt.attempt)
				o.Traceparent = []byte(tt.traceparent)
				require.Equal(t, tt.want, tr.Decide(o).Exported, "exported")
			}
		})
	}
}

// TestRatio samples successes without a UUID. See TestSamplingIsConsistent for
// those with one.
func TestRatio(t *testing.T) {
	tr := newTracer(t, traces.Config{Exporter: &backend{}})
	kept := func() (n int) {
		o := attempt.Get("success")
		o.Verdict.RequestID = classify.MakeRequestID("req-1")
		for range 10_000 {
			if tr.Decide(o).Exported {
				n++
			}
		}
		return n
	}
	assert.Zero(t, kept(), "of 10,000 kept with ratio 0")
	tr.SetSuccessRatio(0.25)
	if n := kept(); n < 2200 || n > 2800 { // seven standard deviations
		t.Errorf("%d of 10,000 kept with ratio 0.25", n)
	}
}

func BenchmarkDecide(b *testing.B) {
	tr := newTracer(b, traces.Config{Exporter: &backend{}, SuccessRatio: 0.01})
	for _, tt := range []struct{ name, attempt, traceparent string }{
		{"success", "success", ""},
		{"success_unsampled", "success", unsampled},
		{"failure", "error_throttled", ""},
	} {
		b.Run(tt.name, func(b *testing.B) {
			o := attempt.Get(tt.attempt)
			o.Traceparent = []byte(tt.traceparent)
			b.ReportAllocs()
			for b.Loop() {
				tr.Decide(o)
			}
		})
	}
}
