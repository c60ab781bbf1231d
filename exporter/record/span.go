package record

import (
	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

// Span identifies the span of an attempt. The zero value is an attempt that
// belongs to no trace.
type Span struct {
	TraceID [16]byte
	SpanID  [8]byte
	// Flags are the W3C trace flags of the span: 1 is sampled, 2 is random.
	Flags byte
	// Exported reports that the span is sent to a trace backend, where it can be
	// found. If it is not, the IDs and flags are those of the program's span, if any.
	Exported bool
	// Threshold is the rejection threshold of OpenTelemetry's consistent
	// probability sampling that the span has passed, of 1<<56. It is 0 for spans
	// that are always exported. It has no meaning for a success in a trace of the
	// program, for which the program decides.
	Threshold uint64
}

// Operation is the operation of the API that an attempt called, by values of the
// metrics' labels service and action, which are bounded. A value that is not known,
// or for which there was no room, is "".
type Operation struct{ Service, Action string }

// Details are what only the span of an attempt needs, besides its record. They are no part
// of the record, which is kept for longer.
type Details struct {
	Span           Span // set by the caller of DetailsOf, as the next two
	Previous       Span // of the call's previous attempt; zero if it is not known
	Operation      Operation
	MethodOriginal string // the method as received if the record's is classify.MethodOther
	Port           uint16
	Traceparent    string
	Tracestate     string
}

// DetailsOf returns the details of the attempt o. They contain no secrets and do not share
// the buffers of o.
func DetailsOf(o *classify.Observation) Details {
	d := Details{
		MethodOriginal: scrub(string(o.MethodOriginal), maxMethod),
		Port:           o.Port,
		Traceparent:    cut(string(o.Traceparent), maxWord),
	}
	// A part of a trace state would be a different one.
	if text := string(o.Tracestate); len(text) <= maxTracestate && !redact.LooksSecret(text) {
		d.Tracestate = text
	}
	return d
}
