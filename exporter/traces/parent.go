package traces

import (
	"context"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// parent is what a traceparent header says. It is read for every attempt, and
// therefore by hand; fuzzing holds it to what OpenTelemetry's propagator reads,
// which is laxer in one point (a "-" at the end of version 00).
type parent struct {
	traceID [16]byte
	spanID  [8]byte
	sampled bool
}

// The parts of a traceparent of version 00: version, trace ID, span ID, flags.
const (
	traceIDAt       = 3
	spanIDAt        = traceIDAt + 32 + 1
	flagsAt         = spanIDAt + 16 + 1
	traceparentSize = flagsAt + 2
)

// parseParent reads a W3C traceparent; false if it is not a valid one.
func parseParent(b []byte) (parent, bool) {
	if len(b) < traceparentSize || b[traceIDAt-1] != '-' || b[spanIDAt-1] != '-' || b[flagsAt-1] != '-' {
		return parent{}, false
	}
	var (
		p              parent
		version, flags [1]byte
	)
	ok := unhex(version[:], b[:2]) &&
		unhex(p.traceID[:], b[traceIDAt:]) &&
		unhex(p.spanID[:], b[spanIDAt:]) &&
		unhex(flags[:], b[flagsAt:])
	switch {
	case !ok, version[0] == 0xff, p.traceID == [16]byte{}, p.spanID == [8]byte{}:
		return parent{}, false
	case version[0] == 0 && (len(b) != traceparentSize || flags[0] > 3):
		// Version 00 has nothing after the flags and two flags only; later
		// versions may have more.
		return parent{}, false
	case len(b) > traceparentSize && b[traceparentSize] != '-':
		return parent{}, false
	}
	p.sampled = flags[0]&1 != 0
	return p, true
}

// unhex decodes lower-case hexadecimal digits from src until dst is full.
func unhex(dst, src []byte) bool {
	for i := range dst {
		hi, ok1 := digit(src[2*i])
		lo, ok2 := digit(src[2*i+1])
		if !ok1 || !ok2 {
			return false
		}
		dst[i] = hi<<4 | lo
	}
	return true
}

// digit decodes one lower-case hexadecimal digit.
func digit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// remoteParent returns a context that joins the trace of the headers; ctx
// itself where they name none. Baggage is not read.
func remoteParent(ctx context.Context, traceparent, tracestate string) context.Context {
	if _, ok := parseParent([]byte(traceparent)); !ok {
		return ctx
	}
	return propagation.TraceContext{}.Extract(ctx, propagation.MapCarrier{
		"traceparent": traceparent,
		"tracestate":  tracestate,
	})
}

// ids is the SDK's source of IDs: those that were decided when the attempt was
// seen, taken from the context.
type ids struct{}

// spanKey is the context key of the trace.SpanContext with the decided IDs.
type spanKey struct{}

// withIDs returns a context that makes the SDK use those IDs.
func withIDs(ctx context.Context, traceID trace.TraceID, spanID trace.SpanID) context.Context {
	return context.WithValue(ctx, spanKey{}, trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: traceID, SpanID: spanID,
	}))
}

// NewIDs implements sdktrace.IDGenerator.
func (ids) NewIDs(ctx context.Context) (trace.TraceID, trace.SpanID) {
	sc, _ := ctx.Value(spanKey{}).(trace.SpanContext)
	return sc.TraceID(), sc.SpanID()
}

// NewSpanID implements sdktrace.IDGenerator.
func (ids) NewSpanID(ctx context.Context, _ trace.TraceID) trace.SpanID {
	sc, _ := ctx.Value(spanKey{}).(trace.SpanContext)
	return sc.SpanID()
}
