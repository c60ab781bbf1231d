package traces_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"flag"
	"math"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
)

var update = flag.Bool("update", false, "rewrite the golden file")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// Headers of a program that traces itself.
const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)

// backend is an exporter that keeps what it gets, beyond its shutdown.
type backend struct {
	export func(context.Context, []sdktrace.ReadOnlySpan) error // nil accepts

	mu    sync.Mutex
	spans tracetest.SpanStubs
	down  bool
}

func (b *backend) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if b.export != nil {
		return b.export(ctx, spans)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spans = append(b.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	return nil
}

func (b *backend) Shutdown(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = true
	return nil
}

// drops counts what was dropped, by reason.
type drops struct {
	mu sync.Mutex
	by map[string]int
}

func (d *drops) add(reason string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by == nil {
		d.by = make(map[string]int)
	}
	d.by[reason] += n
}

func (d *drops) get(reason string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.by[reason]
}

// newTracer returns a tracer to b that is shut down with the test.
func newTracer(t testing.TB, cfg traces.Config) *traces.Tracer {
	t.Helper()
	tr := traces.New(t.Context(), cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = tr.Shutdown(ctx)
	})
	return tr
}

// shutdown flushes tr.
func shutdown(t *testing.T, tr *traces.Tracer) {
	t.Helper()
	if err := tr.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// observe passes the attempt o through tr, as the pipeline does, and returns its span.
func observe(tr *traces.Tracer, o *classify.Observation) record.Span {
	r := newRecord(o, tr.Decide(o))
	tr.Record(r)
	return r.Span
}

// newRecord returns the record of o, as the pipeline makes it.
func newRecord(o *classify.Observation, span record.Span) *record.Record {
	r := record.New(o)
	r.SetSpan(span)
	r.Operation = metrics.New().Observe(o, span)
	return r
}

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
			r := newRecord(a.Observation, span)
			r.Diagnose(diagnosis.New().Diagnose(a.Observation, diagnosis.Attempt{}))
			if a.Name == "error_throttled" {
				r.SetAttempt(diagnosis.Attempt{CallID: 7, Number: 2})
			}
			tr.Record(r)
			names, ids = append(names, a.Name), append(ids, span)
		}
	}
	if slices.Contains(names, "host_refused") {
		t.Error("a refused request has a span")
	}
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
	if err := enc.Encode(got); err != nil {
		t.Fatal(err)
	}
	const path = "testdata/spans.golden"
	if *update {
		if err := os.WriteFile(path, out.Bytes(), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(out.Bytes(), want) {
		t.Errorf("differs from %s (run with -update to accept):\n%s", path, out.Bytes())
	}
	if !b.down {
		t.Error("the exporter was not shut down")
	}
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
		if !seen[key] {
			t.Errorf("no attempt has %s", key)
		}
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
			if b.spans[0].Name != tt.span {
				t.Errorf("span %q, want %q", b.spans[0].Name, tt.span)
			}
			attrs := attribute.NewSet(b.spans[0].Attributes...)
			for key, want := range tt.want {
				if got, _ := attrs.Value(key); got.AsString() != want {
					t.Errorf("%s is %q, want %q", key, got.AsString(), want)
				}
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
		r := record.New(o)
		r.SetSpan(tr.Decide(o))
		r.Operation = m.Observe(o, r.Span)
		tr.Record(r)
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
	if s := b.spans[0]; !s.EndTime.Equal(s.StartTime) {
		t.Errorf("from %v to %v", s.StartTime, s.EndTime)
	}
}

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
			if invalid := tt.parent == "00-what"; invalid != slices.ContainsFunc(tr.Problems(), func(p otlp.Problem) bool { return p.Variable == "TRACEPARENT" }) {
				t.Errorf("problems %v", tr.Problems())
			}
			o := attempt.Get(tt.outcome)
			o.Traceparent = []byte(tt.traceparent)
			span := observe(tr, o)
			shutdown(t, tr)
			if tt.wantTrace == "" {
				tt.wantTrace = strings.ReplaceAll(o.Verdict.RequestID.String(), "-", "")
			}
			if got := trace.TraceID(span.TraceID).String(); got != tt.wantTrace {
				t.Errorf("trace ID %s, want %s", got, tt.wantTrace)
			}
			if len(b.spans) == 1 != tt.wantSpan {
				t.Fatalf("%d spans", len(b.spans))
			}
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
			if !span.Exported {
				t.Fatal("a failure is not kept")
			}
			shutdown(t, tr)

			if len(b.spans) != 1 {
				t.Fatalf("%d spans, want 1", len(b.spans))
			}
			s := b.spans[0]
			if id := s.SpanContext.TraceID(); id != span.TraceID || !id.IsValid() {
				t.Errorf("trace ID %s, decided was %x", id, span.TraceID)
			}
			if id := s.SpanContext.SpanID(); id != span.SpanID || !id.IsValid() {
				t.Errorf("span ID %s, decided was %x", id, span.SpanID)
			}
			if s.SpanContext.TraceID().String() != tt.wantTrace {
				t.Errorf("trace ID %s, want %s", s.SpanContext.TraceID(), tt.wantTrace)
			}
			parent := ""
			if s.Parent.IsValid() {
				parent = s.Parent.SpanID().String()
			}
			if parent != tt.wantParent {
				t.Errorf("parent %q, want %q", parent, tt.wantParent)
			}
			if state := s.SpanContext.TraceState().String(); state != tt.wantState {
				t.Errorf("trace state %q, want %q", state, tt.wantState)
			}
			if !s.SpanContext.IsSampled() {
				t.Error("an exported span is not sampled")
			}
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
				if got := tr.Decide(o).Exported; got != tt.want {
					t.Fatalf("exported %t, want %t", got, tt.want)
				}
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
	if n := kept(); n != 0 {
		t.Errorf("%d of 10,000 kept with ratio 0", n)
	}
	tr.SetSuccessRatio(0.25)
	if n := kept(); n < 2200 || n > 2800 { // seven standard deviations
		t.Errorf("%d of 10,000 kept with ratio 0.25", n)
	}
}

func TestWithoutBackend(t *testing.T) {
	clearEnvironment(t)
	tr := newTracer(t, traces.Config{SuccessRatio: 1})
	if tr.Exports() {
		t.Fatal("exports without being asked to")
	}
	o := attempt.Get("error_throttled")
	o.Traceparent = []byte(unsampled)
	span := tr.Decide(o)
	if span.Exported {
		t.Error("keeps a span without a backend")
	}
	// The log line can still name the program's own span.
	r := record.New(o)
	r.SetSpan(span)
	if r.TraceID != "0af7651916cd43dd8448eb211c80319c" || r.SpanID != "b7ad6b7169203331" {
		t.Errorf("trace %s span %s, want the program's", r.TraceID, r.SpanID)
	}
	o = attempt.Get("error_throttled")
	if span := observe(tr, o); span != (record.Span{}) {
		t.Errorf("span %+v of an attempt without any trace", span)
	}
	shutdown(t, tr)
}

// clearEnvironment makes the test independent of the developer's telemetry.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

func TestResource(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=web-0,service.version=overridden")
	b := &backend{}
	core, log := observer.New(zap.DebugLevel)
	tr := newTracer(t, traces.Config{Exporter: b, Version: "1.2.3", Log: zap.New(core)})
	o := attempt.Get("error_throttled")
	observe(tr, o)
	shutdown(t, tr)

	got := make(map[string]string)
	for _, kv := range b.spans[0].Resource.Attributes() {
		got[string(kv.Key)] = kv.Value.String()
	}
	for k, want := range map[string]string{
		"service.name": "ksyun-tap", "service.version": "overridden", "k8s.pod.name": "web-0",
		"telemetry.sdk.language": "go", "process.runtime.name": "go",
	} {
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
	for _, k := range []string{"service.instance.id", "host.name", "process.pid"} {
		if got[k] == "" {
			t.Errorf("%s is missing", k)
		}
	}
	for k := range got {
		if strings.HasPrefix(k, "process.command") {
			t.Errorf("%s contains the command line", k)
		}
	}
	if log.Len() != 0 {
		t.Errorf("making the resource logged %v", log.All())
	}
}

func TestServiceNameFromEnvironment(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("OTEL_SERVICE_NAME", "my-tap")
	b := &backend{}
	tr := newTracer(t, traces.Config{Exporter: b})
	o := attempt.Get("error_throttled")
	observe(tr, o)
	shutdown(t, tr)
	if v, _ := b.spans[0].Resource.Set().Value("service.name"); v.AsString() != "my-tap" {
		t.Errorf("service.name is %q, want my-tap", v.AsString())
	}
}

func TestBackendDownDoesNotBlock(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			clearEnvironment(t)
			l, err := net.Listen("tcp", "127.0.0.1:0")
			if err != nil {
				t.Fatal(err)
			}
			l.Close() // nobody listens there now
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")

			var d drops
			tr := traces.New(t.Context(), traces.Config{Dropped: d.add})
			const n = 1000
			for range n {
				o := attempt.Get("error_throttled")
				observe(tr, o)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_ = tr.Shutdown(ctx) // an error, or not: what counts is that it returns
			if got := d.get("queue_full") + d.get("export_failed") + d.get("shutdown"); got != n {
				t.Errorf("%d of %d spans accounted for: %v", got, n, d.by)
			}
			if d.get("queue_full") == 0 {
				t.Error("a full queue was not counted")
			}
		})
	}
}

// TestQueueIsKeptForFailures checks that spans of successes leave half of the queue
// to failures.
func TestQueueIsKeptForFailures(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	started, proceed := make(chan struct{}, 8), make(chan struct{})
	var failed, all int
	b := &backend{export: func(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
		started <- struct{}{}
		<-proceed
		for _, s := range spans {
			all++
			if s.Status().Code == codes.Error {
				failed++
			}
		}
		return nil
	}}
	var d drops
	tr := newTracer(t, traces.Config{Exporter: b, SuccessRatio: 1, Dropped: d.add})
	observe(tr, attempt.Get("success"))
	<-started // the export of this span, which does not end before the others have come
	for _, name := range []string{"success", "error_throttled"} {
		for range 7 {
			observe(tr, attempt.Get(name))
		}
	}
	close(proceed)
	shutdown(t, tr)
	if failed != 4 || all != 8 || d.get("queue_full") != 7 {
		t.Errorf("%d spans of %d are of failures, %d were dropped; want 4 of 8 and 7", failed, all, d.get("queue_full"))
	}
}

func TestFailedExportsAreCountedAndLoggedOnce(t *testing.T) {
	for name, export := range map[string]func(context.Context, []sdktrace.ReadOnlySpan) error{
		"error": func(context.Context, []sdktrace.ReadOnlySpan) error { return errors.New("backend says no") },
		"panic": func(context.Context, []sdktrace.ReadOnlySpan) error { panic("backend says ouch") },
	} {
		t.Run(name, func(t *testing.T) { testFailedExports(t, export) })
	}
}

func testFailedExports(t *testing.T, export func(context.Context, []sdktrace.ReadOnlySpan) error) {
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	b := &backend{export: export}
	core, log := observer.New(zap.DebugLevel)
	var d drops
	tr := newTracer(t, traces.Config{Exporter: b, Dropped: d.add, Log: zap.New(core)})
	for range 5 {
		o := attempt.Get("error_throttled")
		observe(tr, o)
	}
	shutdown(t, tr)
	if got := d.get("export_failed"); got != 5 {
		t.Errorf("%d spans counted as export_failed, want 5", got)
	}
	if n := log.FilterMessage("span export failed").Len(); n != 1 {
		t.Errorf("logged %d times, want once", n)
	}
}

func TestShutdownEndsAHangingExport(t *testing.T) {
	started := make(chan struct{}, 1)
	b := &backend{export: func(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
		started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	var d drops
	tr := traces.New(t.Context(), traces.Config{Exporter: b, Dropped: d.add})
	for range 3 {
		o := attempt.Get("error_throttled")
		observe(tr, o)
	}
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no time at all
	if err := tr.Shutdown(ctx); !errors.Is(err, context.Canceled) {
		t.Errorf("shutdown returned %v, want %v", err, context.Canceled)
	}
	if got := d.get("shutdown") + d.get("export_failed"); got != 3 {
		t.Errorf("%d of 3 spans accounted for: %v", got, d.by)
	}
	<-started // the rest is given up, one by one,
	<-started // so that no goroutine stays behind: see TestMain
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

func BenchmarkRecord(b *testing.B) {
	tr := newTracer(b, traces.Config{Exporter: &backend{export: func(context.Context, []sdktrace.ReadOnlySpan) error { return nil }}})
	o := attempt.Get("error_throttled")
	r := record.New(o)
	r.SetSpan(tr.Decide(o))
	b.ReportAllocs()
	for b.Loop() {
		tr.Record(r)
	}
}

// TestBatches checks when spans are exported, and how many at once.
func TestBatches(t *testing.T) {
	record := func(tr *traces.Tracer, n int) {
		for range n {
			o := attempt.Get("error_throttled")
			observe(tr, o)
		}
	}
	sizes := make(chan int, 16)
	b := &backend{export: func(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
		sizes <- len(spans)
		return nil
	}}
	t.Run("full", func(t *testing.T) {
		t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
		t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
		tr := newTracer(t, traces.Config{Exporter: b})
		record(tr, 9)
		for range 2 {
			if n := <-sizes; n != 4 {
				t.Errorf("%d spans exported, want 4", n)
			}
		}
		shutdown(t, tr)
		if n := <-sizes; n != 1 || len(sizes) != 0 {
			t.Errorf("%d spans exported at the end, want 1", n)
		}
	})
	t.Run("after a while", func(t *testing.T) {
		t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
		tr := newTracer(t, traces.Config{Exporter: b})
		for range 3 {
			record(tr, 1)
			if n := <-sizes; n != 1 {
				t.Errorf("%d spans exported, want 1", n)
			}
		}
	})
	t.Run("late", func(t *testing.T) {
		var d drops
		tr := newTracer(t, traces.Config{Exporter: b, Dropped: d.add})
		shutdown(t, tr)
		record(tr, 2)
		shutdown(t, tr)
		if n := d.get("shutdown"); n != 2 || len(sizes) != 0 {
			t.Errorf("%d spans counted that came after the end, want 2", n)
		}
	})
}
