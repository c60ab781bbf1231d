package traces

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// received is a client that keeps what a backend would decode.
type received struct {
	t     testing.TB
	spans []*tracepb.ResourceSpans
}

func (r *received) Start(context.Context) error { return nil }
func (r *received) Stop(context.Context) error  { return nil }
func (r *received) Close()                      {}

// Send implements client.
func (r *received) Send(_ context.Context, parts ...[]byte) error {
	r.t.Helper()
	var decoded coltracepb.ExportTraceServiceRequest
	if err := proto.Unmarshal(slices.Concat(parts...), &decoded); err != nil {
		r.t.Fatal(err)
	}
	r.spans = append(r.spans, decoded.GetResourceSpans()...)
	return nil
}

func (r *received) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	r.t.Helper()
	for _, s := range spans {
		b, err := proto.Marshal(s)
		if err != nil {
			r.t.Fatal(err)
		}
		var decoded tracepb.ResourceSpans
		if err := proto.Unmarshal(b, &decoded); err != nil {
			r.t.Fatal(err)
		}
		r.spans = append(r.spans, &decoded)
	}
	return nil
}

// fixedIDs has the SDK use the IDs of a record.
type fixedIDs struct{ span record.Span }

func (f fixedIDs) NewIDs(context.Context) (trace.TraceID, trace.SpanID) {
	return f.span.TraceID, f.span.SpanID
}
func (f fixedIDs) NewSpanID(context.Context, trace.TraceID) trace.SpanID { return f.span.SpanID }

// ended is a span processor that keeps the spans that end.
type ended struct {
	sdktrace.SpanProcessor
	spans []sdktrace.ReadOnlySpan
}

func (*ended) OnStart(context.Context, sdktrace.ReadWriteSpan) {}
func (e *ended) OnEnd(s sdktrace.ReadOnlySpan)                 { e.spans = append(e.spans, s) }

// fixedState has the SDK sample every span and give it a trace state.
type fixedState struct{ trace.TraceState }

func (f fixedState) ShouldSample(sdktrace.SamplingParameters) sdktrace.SamplingResult {
	return sdktrace.SamplingResult{Decision: sdktrace.RecordAndSample, Tracestate: f.TraceState}
}
func (fixedState) Description() string { return "fixed" }

// bySDK returns the span of a as the SDK makes it, with a trace state.
func bySDK(from *origin, a recorded, state trace.TraceState) sdktrace.ReadOnlySpan {
	var e ended
	r, d := a.record, a.details
	limits := sdktrace.NewSpanLimits()
	limits.AttributeCountLimit, limits.AttributeValueLengthLimit = from.limits.Count, from.limits.Length
	provider := sdktrace.NewTracerProvider(
		sdktrace.WithResource(from.resource),
		sdktrace.WithIDGenerator(fixedIDs{d.Span}),
		sdktrace.WithSampler(fixedState{state}),
		sdktrace.WithRawSpanLimits(limits),
		sdktrace.WithSpanProcessor(&e),
	)
	tracer := provider.Tracer(from.scope.Name,
		trace.WithInstrumentationVersion(from.scope.Version), trace.WithSchemaURL(from.scope.SchemaURL))
	ctx := propagation.TraceContext{}.Extract(context.Background(),
		propagation.MapCarrier{"traceparent": d.Traceparent, "tracestate": d.Tracestate})
	options := []trace.SpanStartOption{trace.WithTimestamp(r.Start), trace.WithSpanKind(trace.SpanKindClient)}
	if p := d.Previous; p.Exported {
		options = append(options, trace.WithLinks(trace.Link{SpanContext: trace.NewSpanContext(trace.SpanContextConfig{
			TraceID: p.TraceID, SpanID: p.SpanID, TraceFlags: trace.TraceFlags(p.Flags),
		})}))
	}
	k := kindOf(a)
	_, s := tracer.Start(ctx, k.name(), options...)
	end := r.Time
	if end.Before(r.Start) {
		end = r.Start
	}
	var attrs pairs
	(&span{recorded: a, origin: newOrigin(-1, math.MaxInt)}).describe(&k, &attrs) // the SDK applies the limits
	s.SetAttributes(attrs...)
	for i := range r.Diagnoses {
		var attrs pairs
		describeDiagnosis(&attrs, &r.Diagnoses[i])
		s.AddEvent(EventDiagnosis, trace.WithTimestamp(end), trace.WithAttributes(attrs...))
	}
	if r.Outcome.Failed() {
		description := r.Message
		if description == "" {
			description = r.Meaning.English
		}
		s.SetStatus(codes.Error, description)
	}
	s.End(trace.WithTimestamp(end))
	stub := tracetest.SpanStubFromReadOnlySpan(e.spans[0])
	if !stub.Parent.IsValid() { // the SDK does not set the flag yet
		stub.SpanContext = stub.SpanContext.WithTraceFlags(stub.SpanContext.TraceFlags().WithRandom(true))
	}
	return stub.Snapshot()
}

func newOrigin(maxLength, maxCount int) *origin {
	return &origin{
		resource: resource.NewWithAttributes("https://example.com/schema",
			attribute.String("service.name", "ksyun-tap"), attribute.Int("process.pid", 7), attribute.StringSlice("list", []string{"a", "b"})),
		scope:  instrumentation.Scope{Name: scope, Version: "1.2.3", SchemaURL: "https://example.com/scope"},
		limits: otlp.Limits{Length: maxLength, Count: maxCount},
	}
}

// decide returns the span of o if every attempt is exported.
func decide(o *classify.Observation) record.Span {
	return (&Tracer{queue: &otlp.Queue[recorded]{}}).Decide(o)
}

// compare checks that a backend gets of these attempts what it would get by the
// SDK alone.
func compare(t *testing.T, from *origin, attempts ...recorded) {
	t.Helper()
	var theirs []sdktrace.ReadOnlySpan
	for i := range attempts {
		s := newSpan(from, attempts[i])
		theirs = append(theirs, bySDK(from, attempts[i], s.context.TraceState()))
	}
	got, want, slow := &received{t: t}, &received{t: t}, &received{t: t}
	x := &encoder{client: got, origin: from}
	for range 2 { // the second time with used memory
		got.spans = nil
		export(t, x.NewBatch(), attempts...)
	}
	require.NoError(t, otlptrace.NewUnstarted(want).ExportSpans(t.Context(), theirs))
	export(t, snapshots{otlptrace.NewUnstarted(slow), from}.NewBatch(), attempts...)
	got.equal("our encoding", want)
	slow.equal("our span by the SDK's encoding", want)
}

// export exports attempts in a batch.
func export(t *testing.T, b otlp.Batch[recorded], attempts ...recorded) {
	t.Helper()
	for _, a := range attempts {
		b.Add(a)
	}
	require.NoError(t, b.Export(t.Context()))
}

// equal checks that both backends got the same.
func (r *received) equal(what string, want *received) {
	r.t.Helper()
	if len(r.spans) != 1 || len(want.spans) != 1 {
		r.t.Fatalf("%s: %d and %d resources, want one", what, len(r.spans), len(want.spans))
	}
	if !proto.Equal(r.spans[0], want.spans[0]) {
		r.t.Errorf("%s: got %v\nwant %v", what, r.spans[0], want.spans[0])
	}
}

// The headers of programs that trace themselves.
var parents = [][2]string{
	{"", ""},
	{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=1,other=2"},
	{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-02", ""},
	{"cc-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-ff", ""},
	{"00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00", "=;="},
	{"nonsense", "vendor=1"},
}

// TestJSONIsTheSDKs compares the JSON of spans with that of the SDK's exporter.
func TestJSONIsTheSDKs(t *testing.T) {
	got := make(chan []byte, 1)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		assert.NoError(t, err)
		got <- bytes.ToLower(body) // the digits of IDs may be of any case
	}))
	defer backend.Close()
	o := attempt.Get("error_throttled")
	d := record.DetailsOf(o)
	a := recorded{new(record.Maker).New(o), &d}
	a.details.Span = decide(o)
	a.details.Previous = record.Span{TraceID: newTraceID(), SpanID: newSpanID(), Flags: 1, Exported: true}
	from := newOrigin(1000, 1000)

	sdk, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(backend.URL), otlptracehttp.WithEncoding(otlptracehttp.EncodingJSON))
	require.NoError(t, err)
	export(t, snapshots{sdk, from}.NewBatch(), a)
	var want, ours any
	require.NoError(t, json.Unmarshal(<-got, &want))
	endpoint, err := url.Parse(backend.URL)
	require.NoError(t, err)
	x := newSender(&otlp.Signal{Protocol: otlp.ProtocolJSON, Endpoint: endpoint, Timeout: time.Minute}, nil, from)
	export(t, x.NewBatch(), a)
	require.NoError(t, json.Unmarshal(<-got, &ours))
	assert.Equal(t, want, ours)
	assert.NoError(t, errors.Join(x.Shutdown(t.Context()), sdk.Shutdown(t.Context())))
}

func TestOTLPIsTheSDKs(t *testing.T) {
	limits := []struct{ length, count int }{{-1, 128}, {7, 128}, {-1, 5}, {1, 1}}
	for _, limit := range limits {
		from := newOrigin(limit.length, limit.count)
		for _, header := range parents {
			var all []recorded
			for _, a := range attempt.All() {
				o := a.Observation
				o.Traceparent, o.Tracestate = []byte(header[0]), []byte(header[1])
				o.Call.Region = "北京-6"
				r, d := new(record.Maker).New(o), record.DetailsOf(o)
				d.Span = decide(o)
				d.Operation = record.Operation{Service: o.Call.Service, Action: o.Call.Action}
				if r.Retryable {
					d.Previous = record.Span{TraceID: d.Span.TraceID, SpanID: newSpanID(), Flags: d.Span.Flags, Exported: true}
				}
				r.Diagnose(diagnosis.New().Diagnose(o, diagnosis.Attempt{}))
				if !d.Span.Exported {
					continue // has no span
				}
				again := *r // is of the same kind
				again.RequestID, again.URL, again.ID = "another", "http://another/", "f1"
				all = append(all, recorded{r, &d}, recorded{&again, &d})
			}
			compare(t, from, all...)
		}
	}
}

func FuzzOTLP(f *testing.F) {
	f.Add("monitor", "GetMetricStatistics", "message", "https://h/?a=b", 409, int64(1), int64(2), uint8(1), -1, 128)
	f.Add("", "", "", "", 0, int64(0), int64(-5), uint8(0), 3, 4)
	f.Add("", "", strings.Repeat("larger than a piece", 2_000), "", 0, int64(0), int64(-5), uint8(0), -1, 128)
	f.Add("北京", "\ufffd\ufffd", strings.Repeat("x", 20_000), "\x00", -1, int64(1)<<62, int64(1), uint8(3), 2, 9)
	f.Fuzz(func(t *testing.T, service, action, message, url string, status int, start, end int64, parent uint8, maxLength, maxCount int) {
		if maxCount < 1 || maxLength == 0 {
			t.Skip("the environment's numbers are from 1 on")
		}
		for _, s := range []*string{&service, &action, &message, &url} {
			*s = strings.ToValidUTF8(*s, "?") // as every text of a record
		}
		h := parents[int(parent)%len(parents)]
		r := &record.Record{
			Time: time.Unix(0, end), Start: time.Unix(0, start), Outcome: classify.OutcomeError,
			Service: service, Action: action, Message: message, URL: url, Status: status, Retryable: status%2 == 0,
			Upstream: netip.MustParseAddrPort("[2001:db8::1]:443"),
		}
		d := record.Details{
			Span:        decide(&classify.Observation{Traceparent: []byte(h[0]), Verdict: classify.Verdict{Outcome: r.Outcome}}),
			Traceparent: h[0], Tracestate: h[1], Operation: record.Operation{Service: service, Action: action},
		}
		if status > 400 {
			d.Previous = record.Span{TraceID: newTraceID(), SpanID: newSpanID(), Flags: parent, Exported: true}
		}
		compare(t, newOrigin(maxLength, maxCount), recorded{r, &d})
	})
}
