package traces

import (
	"slices"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// Attribute describes an attribute in addition to OpenTelemetry's semantic
// conventions. An attribute without a value is omitted.
type Attribute struct {
	Key         attribute.Key
	Type        attribute.Type
	Values      []string // the possible values; nil if they are not a fixed set
	Present     string   // when the attribute is present
	Description string
	Event       bool // an attribute of the event for a diagnosis, not only of spans
}

// EventDiagnosis is the name of the event for each diagnosis of an attempt.
const EventDiagnosis = "ksyun.diagnosis"

// When attributes are present.
const (
	always    = "always"
	ifFailed  = "on failures"
	ifKnown   = "if known"
	diagnosed = "on failures with a certain or likely cause; in each event"
	perEvent  = "in each event"
)

// The attributes. The documentation is generated from them.
var (
	attrRequestID = Attribute{
		"ksyun.request_id", attribute.STRING, nil, ifKnown,
		"Request ID of the call, for a ticket. Without a traceparent of the program, a UUID of version 4 is also the trace ID.", false,
	}
	attrRequestIDSource = Attribute{
		"ksyun.request_id.source", attribute.STRING, texts(classify.RequestIDSources()), "with ksyun.request_id",
		"Where the request ID is from.", false,
	}
	attrFailureID = Attribute{
		"ksyun.failure_id", attribute.STRING, nil, "on what the journal keeps: failures, and results without data that are reported",
		"ID of the failure, as in the log and the API. Its page is /failures/ID.", false,
	}
	attrService = Attribute{
		"ksyun.service", attribute.STRING, nil, ifKnown,
		"Service that was called, such as monitor.", false,
	}
	attrAction = Attribute{
		"ksyun.action", attribute.STRING, nil, ifKnown,
		"Action that was called. A documented action in its documented case; _several if the request names more than one.", false,
	}
	attrVersion = Attribute{
		"ksyun.api_version", attribute.STRING, nil, ifKnown,
		"Version of the API that was called, such as 2010-05-25.", false,
	}
	attrOutcome = Attribute{
		"ksyun.outcome", attribute.STRING, texts(classify.Outcomes()), always,
		"Outcome of the attempt.", false,
	}
	attrCode = Attribute{
		"ksyun.error.code", attribute.STRING, nil, ifFailed + ", if there is one",
		"Error code as received. error.type has the catalogue's case and is bounded.", false,
	}
	attrInnerCode = Attribute{
		"ksyun.error.inner_code", attribute.STRING, nil, ifFailed + ", if there is one",
		"Inner error code, which some services report in addition.", false,
	}
	attrType = Attribute{
		"ksyun.error.type", attribute.STRING, texts(classify.Types()), ifFailed,
		"Which side the vendor considers to be at fault.", false,
	}
	attrCategory = Attribute{
		"ksyun.error.category", attribute.STRING, texts(classify.Categories()), ifFailed,
		"Why the attempt failed.", false,
	}
	attrBlame = Attribute{
		"ksyun.error.blame", attribute.STRING, texts(classify.Blames()), ifFailed,
		"Whose fault the failure is.", false,
	}
	attrRetryable = Attribute{
		"ksyun.error.retryable", attribute.BOOL, nil, ifFailed,
		"Whether the same call may succeed later.", false,
	}
	attrFailedItems = Attribute{
		"ksyun.partial.failed_items", attribute.INT64, nil, "if the outcome is partial",
		"Number of items of the response that failed.", false,
	}
	attrCredential = Attribute{
		"ksyun.credential", attribute.STRING, nil, "if the request has an access key",
		"Distinguishes access keys without revealing them.", false,
	}
	attrCallID = Attribute{
		"ksyun.call_id", attribute.STRING, nil, "if the call had several attempts",
		"Identifies the attempts of one call.", false,
	}
	attrSource = Attribute{
		"ksyun.source", attribute.STRING, texts(classify.Sources()), always,
		"The way in by which the attempt was observed.", false,
	}
	attrCause = Attribute{
		"ksyun.diagnosis.cause", attribute.STRING, nil, diagnosed, // reading the causes takes time
		"Cause of the failure: one of the [diagnoses](diagnoses.md).", true,
	}
	attrCertainty = Attribute{
		"ksyun.diagnosis.certainty", attribute.STRING,
		texts([]diagnosis.Certainty{diagnosis.Certain, diagnosis.Likely, diagnosis.Possible, diagnosis.Excluded}), diagnosed,
		"How certain the cause is.", true,
	}
	attrEvidence = Attribute{
		"ksyun.diagnosis.evidence", attribute.STRING, nil, perEvent,
		"What the cause was found by, in English.", true,
	}
	attrAdvice = Attribute{
		"ksyun.diagnosis.advice", attribute.STRING, nil, perEvent,
		"What to do, in English.", true,
	}
)

// Attributes returns every attribute, in the order of spans.
func Attributes() []Attribute {
	return []Attribute{
		attrRequestID, attrFailureID, attrCallID, attrFailedItems,
		attrRequestIDSource, attrService, attrAction, attrVersion, attrOutcome, attrCredential, attrSource,
		attrCode, attrInnerCode, attrType, attrCategory, attrBlame, attrRetryable,
		attrCause, attrCertainty, attrEvidence, attrAdvice,
	}
}

// Allows reports whether v may be the value of a.
func (a *Attribute) Allows(v attribute.Value) bool {
	return v.Type() == a.Type && (a.Values == nil || slices.Contains(a.Values, v.AsString()))
}

// texts returns the names in all.
func texts[T ~string](all []T) []string {
	names := make([]string, len(all))
	for i, one := range all {
		names[i] = string(one)
	}
	return names
}
