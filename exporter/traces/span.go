package traces

import (
	"context"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// origin holds the data shared by all spans.
type origin struct {
	resource *resource.Resource
	scope    instrumentation.Scope
	limits   otlp.Limits
	parent   Parent // of attempts without a parent of their own
}

// span is an attempt to be exported. It is made after the attempt has ended, so
// it does not need what the SDK does for spans that may still change. Attributes
// are computed on export. The events are the diagnoses. The link is the previous
// attempt of the same call.
type span struct {
	origin  *origin
	record  *record.Record
	context trace.SpanContext
	parent  trace.SpanContext
	end     time.Time
}

// newSpan returns the span of the attempt r.
func newSpan(from *origin, r *record.Record) *span {
	parent := remoteParent(r.Traceparent, r.Tracestate)
	if !parent.IsValid() {
		parent = remoteParent(from.parent.Traceparent, from.parent.Tracestate)
	}
	state := parent.TraceState()
	if !parent.IsValid() || r.Outcome.Failed() {
		state = withThreshold(state, r.Span.Threshold)
	}
	return &span{
		origin: from, record: r, parent: parent,
		context: contextOf(&r.Span, state),
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
	attrs, dropped := s.attributes(nil)
	return tracetest.SpanStub{
		Name: s.name(), SpanContext: s.context, Parent: s.parent, SpanKind: trace.SpanKindClient,
		StartTime: s.record.Start, EndTime: s.end, Status: s.status(),
		Attributes: attrs, DroppedAttributes: dropped, Events: s.events(), Links: s.links(),
		Resource: s.origin.resource, InstrumentationScope: s.origin.scope,
	}.Snapshot()
}

// snapshots adapts an exporter of the SDK.
type snapshots struct{ sdktrace.SpanExporter }

// Export implements otlp.Exporter.
func (x snapshots) Export(ctx context.Context, spans []*span) error {
	all := make([]sdktrace.ReadOnlySpan, len(spans))
	for i, s := range spans {
		all[i] = s.snapshot()
	}
	return x.ExportSpans(ctx, all)
}

// name returns the operation, or the method if the operation is not known. Span
// names must have low cardinality, so nothing is taken from the request as it is.
func (s *span) name() string {
	switch r := s.record; {
	case r.Operation.Action != "" && r.Operation.Service != "":
		return r.Operation.Service + "." + r.Operation.Action
	case r.Operation.Action != "":
		return r.Operation.Action
	case r.Method == classify.MethodOther || r.Method == "":
		return "HTTP"
	default:
		return r.Method
	}
}

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

// attributes returns the attributes of the attempt within the limits, and the
// number of attributes dropped by the limits. The result uses the memory of buf.
func (s *span) attributes(buf []attribute.KeyValue) (attrs []attribute.KeyValue, dropped int) {
	attrs = appendAttributes(buf[:0], s.record)
	if dropped = len(attrs) - s.origin.limits.Count; dropped > 0 {
		attrs = attrs[:s.origin.limits.Count]
	}
	for i := range attrs {
		if v := &attrs[i].Value; v.Type() == attribute.STRING {
			text := v.AsString()
			if first := s.origin.limits.Truncate(text); len(first) < len(text) {
				*v = attribute.StringValue(first)
			}
		}
	}
	return attrs, max(0, dropped)
}

// events returns an event for each diagnosis of the attempt. As in the SDK, the
// limits of span attributes do not apply to event attributes.
func (s *span) events() []sdktrace.Event {
	var all []sdktrace.Event
	for i := range s.record.Diagnoses {
		all = append(all, sdktrace.Event{
			Name: EventDiagnosis, Time: s.end, Attributes: appendDiagnosis(nil, &s.record.Diagnoses[i]),
		})
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
	return contextOf(&s.record.Previous, trace.TraceState{}), s.record.Previous.Exported
}

// appendDiagnosis appends the attributes of the event for a diagnosis.
func appendDiagnosis(attrs []attribute.KeyValue, d *diagnosis.Diagnosis) []attribute.KeyValue {
	return append(attrs,
		attrCause.Key.String(string(d.Cause)),
		attrCertainty.Key.String(string(d.Certainty)),
		attrEvidence.Key.String(d.Evidence.English),
		attrAdvice.Key.String(d.Advice.Do.English))
}

// provider is the value of cloud.provider. OpenTelemetry does not define one for
// Ksyun.
const provider = "kingsoft_cloud"

// peerPrefix and the service are the value of service.peer.name, by which service
// graphs name what is called.
const peerPrefix = "ksyun."

// appendAttributes appends the attributes of the attempt.
func appendAttributes(attrs []attribute.KeyValue, r *record.Record) []attribute.KeyValue {
	text := func(k attribute.Key, v string) {
		if v != "" {
			attrs = append(attrs, k.String(v))
		}
	}
	number := func(k attribute.Key, v int) {
		if v != 0 {
			attrs = append(attrs, k.Int(v))
		}
	}

	text(semconv.HTTPRequestMethodKey, r.Method)
	text(semconv.HTTPRequestMethodOriginalKey, r.MethodOriginal)
	text(semconv.ServerAddressKey, r.Host)
	number(semconv.ServerPortKey, int(r.Port))
	text(semconv.URLFullKey, r.URL)
	number(semconv.HTTPResponseStatusCodeKey, r.Status)
	text(semconv.ErrorTypeKey, r.Kind)
	if r.Upstream.IsValid() {
		attrs = append(attrs,
			semconv.NetworkPeerAddress(r.Upstream.Addr().String()),
			semconv.NetworkPeerPort(int(r.Upstream.Port())))
	}
	text(semconv.NetworkProtocolVersionKey, r.Protocol)
	text(semconv.UserAgentOriginalKey, r.UserAgent)
	if r.Operation.Service != "" {
		attrs = append(attrs, semconv.ServicePeerName(peerPrefix+r.Operation.Service))
	}
	text(semconv.CloudProviderKey, provider)
	text(semconv.CloudRegionKey, r.Region)

	text(attrRequestID.Key, r.RequestID)
	text(attrRequestIDSource.Key, string(r.RequestIDSource))
	text(attrFailureID.Key, r.ID)
	text(attrService.Key, r.Service)
	text(attrAction.Key, r.Action)
	text(attrVersion.Key, r.Version)
	text(attrOutcome.Key, string(r.Outcome))
	text(attrCredential.Key, r.Credential)
	text(attrCallID.Key, r.CallID)
	if r.Attempt > 1 {
		attrs = append(attrs, semconv.HTTPRequestResendCount(r.Attempt-1))
	}
	text(attrSource.Key, string(r.Source))
	if r.Outcome.Failed() {
		text(attrCode.Key, r.Code)
		text(attrInnerCode.Key, r.InnerCode)
		text(attrType.Key, string(r.Type))
		text(attrCategory.Key, string(r.Category))
		text(attrBlame.Key, string(r.Blame))
		attrs = append(attrs, attrRetryable.Key.Bool(r.Retryable))
	}
	if c := r.Cause(); c != nil {
		text(attrCause.Key, string(c.Cause))
		text(attrCertainty.Key, string(c.Certainty))
	}
	if r.Outcome == classify.OutcomePartial {
		attrs = append(attrs, attrFailedItems.Key.Int(r.FailedItems))
	}
	return attrs
}
