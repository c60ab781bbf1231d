package traces

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// origin holds the data shared by all spans, which are made one after the other.
type origin struct {
	resource *resource.Resource
	scope    instrumentation.Scope
	limits   otlp.Limits
	parent   trace.SpanContext // of attempts without a parent of their own
}

// recorded is an attempt whose span is made.
type recorded struct {
	record  *record.Record
	details *record.Details
}

// span is an attempt that is being recorded. It is made after the attempt has ended, so
// it does not need what the SDK does for spans that may still change. The events are the
// diagnoses. The link is the previous attempt of the same call.
type span struct {
	recorded
	origin  *origin
	context trace.SpanContext
	parent  trace.SpanContext
	end     time.Time
}

// newSpan returns the span of the attempt a.
func newSpan(from *origin, a recorded) span {
	r, d := a.record, a.details
	parent := from.parent
	if own := remoteParent(d.Traceparent, d.Tracestate); own.IsValid() {
		parent = own
	}
	state := parent.TraceState()
	if !parent.IsValid() || r.Outcome.Failed() {
		state = withThreshold(state, d.Span.Threshold)
	}
	return span{
		recorded: a, origin: from, parent: parent,
		context: contextOf(&d.Span, state),
		// Both times have a monotonic clock reading. Their difference is right
		// even if the system's clock was set back in between.
		end: r.Start.Add(max(0, r.Time.Sub(r.Start))),
	}
}

// contextOf returns the span context of s.
func contextOf(s *record.Span, state trace.TraceState) trace.SpanContext {
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: s.TraceID, SpanID: s.SpanID, TraceFlags: trace.TraceFlags(s.Flags), TraceState: state,
	})
}

// snapshot returns s in the form expected by the SDK's exporters.
func (s *span) snapshot() sdktrace.ReadOnlySpan {
	var attrs pairs
	k := kindOf(s.recorded)
	dropped := s.describe(&k, &attrs)
	return tracetest.SpanStub{
		Name: k.name(), SpanContext: s.context, Parent: s.parent, SpanKind: trace.SpanKindClient,
		StartTime: s.record.Start, EndTime: s.end, Status: s.status(),
		Attributes: attrs, DroppedAttributes: dropped, Events: s.events(), Links: s.links(),
		Resource: s.origin.resource, InstrumentationScope: s.origin.scope,
	}.Snapshot()
}

// snapshots adapts an exporter of the SDK.
type snapshots struct {
	sdktrace.SpanExporter
	origin *origin
}

// stubs are spans in the form expected by the SDK's exporters.
type stubs struct {
	to  snapshots
	all []sdktrace.ReadOnlySpan
}

// NewBatch implements otlp.Exporter.
func (x snapshots) NewBatch() otlp.Batch[recorded] { return &stubs{to: x} }

// Add implements otlp.Batch.
func (b *stubs) Add(a recorded) int {
	s := newSpan(b.to.origin, a)
	b.all = append(b.all, s.snapshot())
	return a.record.TextBytes()
}

// Export implements otlp.Batch.
func (b *stubs) Export(ctx context.Context) error { return b.to.ExportSpans(ctx, b.all) }

// status returns the status of the span, described by the vendor's message or
// else by the catalogue. It is unset if the attempt did not fail.
func (s *span) status() sdktrace.Status {
	switch r := s.record; {
	case !r.Outcome.Failed():
		return sdktrace.Status{}
	case r.Message == "":
		return sdktrace.Status{Code: codes.Error, Description: r.Meaning.English}
	default:
		return sdktrace.Status{Code: codes.Error, Description: r.Message}
	}
}

// events returns an event for each diagnosis of the attempt.
func (s *span) events() []sdktrace.Event {
	var all []sdktrace.Event
	for i := range s.record.Diagnoses {
		var attrs pairs
		describeDiagnosis(&attrs, &s.record.Diagnoses[i])
		all = append(all, sdktrace.Event{Name: EventDiagnosis, Time: s.end, Attributes: attrs})
	}
	return all
}

// links returns the link to the previous attempt of the call, if that was exported.
func (s *span) links() []sdktrace.Link {
	if previous, ok := s.previous(); ok {
		return []sdktrace.Link{{SpanContext: previous}}
	}
	return nil
}

// previous returns the span of the previous attempt of the call, if that was exported.
func (s *span) previous() (trace.SpanContext, bool) {
	return contextOf(&s.details.Previous, trace.TraceState{}), s.details.Previous.Exported
}
