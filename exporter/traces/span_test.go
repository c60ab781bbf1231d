package traces_test

import (
	"bytes"
	"context"
	"encoding/json"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
)

// spanJSON is a span in the golden file.
type spanJSON struct {
	TraceID, State, Name, Kind, Status, Description, Parent, Scope, Schema string
	Start, End                                                             time.Time
	Attributes                                                             map[string]any
	Events                                                                 []string `json:",omitempty"`
}

func TestSpans(t *testing.T) {
	b := &backend{}
	tr := newTracer(t, traces.Config{Exporter: b, Version: "1.2.3", SuccessRatio: 1})
	var names []string
	var ids []record.Span
	for _, a := range attempt.All() {
		if span := tr.Decide(a.Observation); span.Exported {
			r, d := newRecord(a.Observation, span)
			r.Diagnose(diagnosis.New().Diagnose(a.Observation, diagnosis.Attempt{}))
			if a.Name == "error_throttled" {
				r.ID = "1m4q7t9k2zjx7f2"
				r.CallID, r.Attempt = "0000000000000007", 2
			}
			tr.Record(r, d)
			names, ids = append(names, a.Name), append(ids, span)
		}
	}
	assert.NotContains(t, names, "host_refused", "a refused request has a span")
	shutdown(t, tr)

	got := make(map[string]spanJSON)
	for i, s := range b.spans {
		attrs := make(map[string]any)
		for _, kv := range s.Attributes {
			attrs[string(kv.Key)] = kv.Value.AsInterface()
		}
		parent := ""
		if s.Parent.IsValid() {
			parent = s.Parent.SpanID().String()
		}
		id := s.SpanContext.TraceID().String()
		if s.SpanContext.SpanID() != ids[i].SpanID || s.SpanContext.TraceFlags() != trace.FlagsSampled|trace.FlagsRandom {
			t.Errorf("%s: %v", names[i], s.SpanContext)
		}
		if attrs["ksyun.request_id"] == nil {
			id = "random"
		}
		got[names[i]] = spanJSON{
			TraceID: id, State: s.SpanContext.TraceState().String(), Name: s.Name, Kind: s.SpanKind.String(), Status: s.Status.Code.String(), Description: s.Status.Description,
			Parent: parent, Scope: s.InstrumentationScope.Name + " " + s.InstrumentationScope.Version,
			Schema: s.InstrumentationScope.SchemaURL, Start: s.StartTime, End: s.EndTime, Attributes: attrs,
			Events: eventsOf(s.Events),
		}
	}
	checkAttributes(t, b.spans)
	var out bytes.Buffer
	enc := json.NewEncoder(&out)
	enc.SetEscapeHTML(false)
	enc.SetIndent("", "  ")
	require.NoError(t, enc.Encode(got))
	golden.Check(t, "testdata/spans.golden", out.Bytes())
	assert.True(t, b.down, "the exporter was not shut down")
}

// checkAttributes checks that the attributes of every kind of attempt are those of
// the documented table, no more and no fewer.
func checkAttributes(t *testing.T, spans tracetest.SpanStubs) {
	t.Helper()
	documented, seen := map[attribute.Key]traces.Attribute{}, map[attribute.Key]bool{}
	for _, a := range traces.Attributes() {
		documented[a.Key] = a
	}
	check := func(span string, attrs []attribute.KeyValue, event bool) {
		for _, kv := range attrs {
			seen[kv.Key] = true
			a, found := documented[kv.Key]
			if strings.HasPrefix(string(kv.Key), "ksyun.") && (!found || !a.Allows(kv.Value) || event && !a.Event) {
				t.Errorf("%s: %s=%v is not as documented", span, kv.Key, kv.Value.AsInterface())
			}
		}
	}
	for _, s := range spans {
		check(s.Name, s.Attributes, false)
		attrs := attribute.NewSet(s.Attributes...)
		for _, a := range documented {
			if a.Present == "always" && !attrs.HasValue(a.Key) {
				t.Errorf("%s: %s is missing", s.Name, a.Key)
			}
			if a.Present == "on failures" && attrs.HasValue(a.Key) != (s.Status.Code == codes.Error) {
				t.Errorf("%s: %s is present: %t", s.Name, a.Key, attrs.HasValue(a.Key))
			}
		}
		for _, e := range s.Events {
			check(e.Name, e.Attributes, true)
		}
	}
	for key := range documented {
		assert.True(t, seen[key], "no attempt has %s", key)
	}
}

// eventsOf writes events down for the golden file.
func eventsOf(events []sdktrace.Event) (all []string) {
	for _, e := range events {
		text := []string{e.Time.UTC().Format(time.RFC3339Nano), e.Name}
		for _, kv := range e.Attributes {
			text = append(text, string(kv.Key)+"="+kv.Value.String())
		}
		all = append(all, strings.Join(text, " "))
	}
	return all
}

// TestMethodAndProtocol checks the attributes that the request decides, and that
// nothing of it gets into the span's name.
func TestMethodAndProtocol(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*classify.Observation)
		span   string
		want   map[attribute.Key]string
	}{
		{"documented", func(*classify.Observation) {}, "monitor.GetMetricStatistics", map[attribute.Key]string{
			"http.request.method": "GET", "network.protocol.version": "1.1", "service.peer.name": "ksyun.monitor",
		}},
		{"no action", func(o *classify.Observation) { o.Call.Action = "" }, "GET", map[attribute.Key]string{
			"service.peer.name": "ksyun.monitor",
		}},
		{"no service", func(o *classify.Observation) { o.Call.Service = "" }, "GetMetricStatistics", map[attribute.Key]string{
			"service.peer.name": "",
		}},
		{"a method of its own", func(o *classify.Observation) {
			o.Call.Action, o.Method, o.MethodOriginal = "", classify.MethodOther, []byte("AKLTcanaryAccessKey0123")
		}, "HTTP", map[attribute.Key]string{
			"http.request.method": "_OTHER", "http.request.method_original": "REDACTED",
		}},
		{"a long method", func(o *classify.Observation) {
			o.Call.Action, o.Method, o.MethodOriginal = "", classify.MethodOther, bytes.Repeat([]byte("PURGE "), 100)
		}, "HTTP", map[attribute.Key]string{
			"http.request.method_original": "PURGE PURGE PURGE PURGE PURGE...",
		}},
		{"HTTP/1.0", func(o *classify.Observation) { o.Protocol = "1.0" }, "monitor.GetMetricStatistics", map[attribute.Key]string{
			"network.protocol.version": "1.0",
		}},
		{"reported by the SDK", func(o *classify.Observation) { o.Protocol = "" }, "monitor.GetMetricStatistics", map[attribute.Key]string{
			"network.protocol.version": "",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			b := &backend{}
			tr := newTracer(t, traces.Config{Exporter: b})
			o := attempt.Get("error_throttled")
			tt.change(o)
			observe(tr, o)
			shutdown(t, tr)
			assert.Equal(t, tt.span, b.spans[0].Name, "span")
			attrs := attribute.NewSet(b.spans[0].Attributes...)
			for key, want := range tt.want {
				got, _ := attrs.Value(key)
				assert.Equal(t, want, got.AsString(), "%s is", key)
			}
		})
	}
}

// TestNamesAreBounded sends more actions than there is room for.
func TestNamesAreBounded(t *testing.T) {
	b := &backend{}
	tr := newTracer(t, traces.Config{Exporter: b})
	m := metrics.New()
	for i := range 3 * metrics.MaxActions {
		o := attempt.Get("error_throttled")
		o.Call.Action = "Random" + strconv.Itoa(i)
		d := record.DetailsOf(o)
		d.Span = tr.Decide(o)
		d.Operation = m.Observe(o, d.Span)
		tr.Record(new(record.Maker).New(o), &d)
	}
	shutdown(t, tr)
	names := map[string]bool{}
	for _, s := range b.spans {
		names[s.Name] = true
	}
	if len(names) != metrics.MaxActions+1 || !names["GET"] {
		t.Errorf("%d names, want %d and the method", len(names), metrics.MaxActions)
	}
}

// TestClockSetBack checks that a span does not end before it begins.
func TestClockSetBack(t *testing.T) {
	b := &backend{}
	tr := newTracer(t, traces.Config{Exporter: b})
	o := attempt.Get("error_throttled")
	o.Start = time.Now()
	// Round strips the monotonic clock reading, so that this is an hour earlier.
	o.End = o.Start.Round(0).Add(-time.Hour)
	observe(tr, o)
	shutdown(t, tr)
	s := b.spans[0]
	assert.True(t, s.EndTime.Equal(s.StartTime), "from %v to %v", s.StartTime, s.EndTime)
}

func BenchmarkRecord(b *testing.B) {
	tr := newTracer(b, traces.Config{Exporter: &backend{export: func(context.Context, []sdktrace.ReadOnlySpan) error { return nil }}})
	o := attempt.Get("error_throttled")
	r, d := newRecord(o, tr.Decide(o))
	b.ReportAllocs()
	for b.Loop() {
		tr.Record(r, d)
	}
}
