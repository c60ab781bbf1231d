package traces

import (
	"sync"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// The attributes beyond OpenTelemetry's own. They are left out where there is
// nothing to tell.
const (
	attrRequestID   = attribute.Key("ksyun.request_id")
	attrService     = attribute.Key("ksyun.service")
	attrAction      = attribute.Key("ksyun.action")
	attrVersion     = attribute.Key("ksyun.api_version")
	attrOutcome     = attribute.Key("ksyun.outcome")
	attrCode        = attribute.Key("ksyun.error.code")
	attrInnerCode   = attribute.Key("ksyun.error.inner_code")
	attrType        = attribute.Key("ksyun.error.type")
	attrCategory    = attribute.Key("ksyun.error.category")
	attrBlame       = attribute.Key("ksyun.error.blame")
	attrRetryable   = attribute.Key("ksyun.error.retryable")
	attrFailedItems = attribute.Key("ksyun.partial.failed_items")
	attrCredential  = attribute.Key("ksyun.credential")
	attrSource      = attribute.Key("ksyun.source")
	attrCause       = attribute.Key("ksyun.diagnosis.cause")
	attrCertainty   = attribute.Key("ksyun.diagnosis.certainty")
	attrEvidence    = attribute.Key("ksyun.diagnosis.evidence")
	attrAdvice      = attribute.Key("ksyun.diagnosis.advice")
)

// eventDiagnosis is the name of the event for each diagnosis of an attempt.
const eventDiagnosis = "ksyun.diagnosis"

// provider is the value of cloud.provider, for which OpenTelemetry has no word
// of its own.
const provider = "kingsoft_cloud"

// name is the span's: the operation, or the method where that is not known.
// Never the path: names are few.
func name(r *record.Record) string {
	switch {
	case r.Action == "":
		return r.Method
	case r.Service == "":
		return r.Action
	}
	return r.Service + "." + r.Action
}

// buffers are slices to collect attributes in: the SDK keeps a copy.
var buffers = sync.Pool{New: func() any { return new([]attribute.KeyValue) }}

// setAttributes sets what is known of the attempt.
func setAttributes(span trace.Span, r *record.Record) {
	buf := buffers.Get().(*[]attribute.KeyValue)
	*buf = appendAttributes((*buf)[:0], r)
	span.SetAttributes(*buf...)
	clear(*buf) // so that no text is kept alive
	buffers.Put(buf)
}

// appendAttributes appends what is known of the attempt.
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
	text(semconv.ServerAddressKey, r.Host)
	number(semconv.ServerPortKey, int(r.Port))
	text(semconv.URLFullKey, r.URL)
	number(semconv.HTTPResponseStatusCodeKey, r.HTTPStatus)
	text(semconv.ErrorTypeKey, r.Kind)
	if r.Upstream.IsValid() {
		attrs = append(attrs,
			semconv.NetworkPeerAddress(r.Upstream.Addr().String()),
			semconv.NetworkPeerPort(int(r.Upstream.Port())))
	}
	if r.Source != classify.SourceCSM && r.Source != classify.SourceTransport {
		text(semconv.NetworkProtocolVersionKey, "1.1") // the relay speaks no other
	}
	text(semconv.UserAgentOriginalKey, r.UserAgent)
	text(semconv.CloudProviderKey, provider)
	text(semconv.CloudRegionKey, r.Region)

	text(attrRequestID, r.RequestID)
	text(attrService, r.Service)
	text(attrAction, r.Action)
	text(attrVersion, r.Version)
	text(attrOutcome, string(r.Outcome))
	text(attrCredential, r.Credential)
	text(attrSource, string(r.Source))
	if r.Outcome.Failed() {
		text(attrCode, r.ErrorCode)
		text(attrInnerCode, r.InnerCode)
		text(attrType, string(r.ErrorType))
		text(attrCategory, string(r.Category))
		text(attrBlame, string(r.Blame))
		attrs = append(attrs, attrRetryable.Bool(r.Retryable))
	}
	if c := r.Cause(); c != nil {
		text(attrCause, string(c.Cause))
		text(attrCertainty, string(c.Certainty))
	}
	if r.Outcome == classify.OutcomePartial {
		attrs = append(attrs, attrFailedItems.Int(r.FailedItems))
	}
	return attrs
}

// addDiagnoses adds why the attempt failed, an event for each diagnosis.
func addDiagnoses(span trace.Span, r *record.Record) {
	for _, d := range r.Diagnoses {
		span.AddEvent(eventDiagnosis, trace.WithTimestamp(r.Time), trace.WithAttributes(
			attrCause.String(string(d.Cause)),
			attrCertainty.String(string(d.Certainty)),
			attrEvidence.String(d.Evidence.English),
			attrAdvice.String(d.Advice.English)))
	}
}

// status returns the span's status, described in the vendor's words or else the
// catalogue's; false for one that is left unset.
func status(r *record.Record) (codes.Code, string, bool) {
	if !r.Outcome.Failed() {
		return codes.Unset, "", false
	}
	if r.Message == "" {
		return codes.Error, r.Meaning, true
	}
	return codes.Error, r.Message, true
}
