package traces

import "go.opentelemetry.io/otel/trace"

// parent is a parsed traceparent header. The parser is handwritten because it runs
// for every attempt. A fuzz test compares it with OpenTelemetry's propagator,
// which is less strict in one point (it accepts a trailing "-" in version 00).
type parent struct {
	traceID [16]byte
	spanID  [8]byte
	flags   trace.TraceFlags // the known flags: sampled and random
}

// The parts of a traceparent of version 00: version, trace ID, span ID, flags.
const (
	traceIDAt       = 3
	spanIDAt        = traceIDAt + 32 + 1
	flagsAt         = spanIDAt + 16 + 1
	traceparentSize = flagsAt + 2
)

// parseParent parses a W3C traceparent. It returns false if s is not valid.
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
		// Version 00 defines only two flags and nothing after them. Later
		// versions may have more.
		return parent{}, false
	case len(b) > traceparentSize && b[traceparentSize] != '-':
		return parent{}, false
	}
	p.flags = trace.TraceFlags(flags[0]) & (trace.FlagsSampled | trace.FlagsRandom)
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

// digit decodes a lower-case hexadecimal digit.
func digit(c byte) (byte, bool) {
	switch {
	case '0' <= c && c <= '9':
		return c - '0', true
	case 'a' <= c && c <= 'f':
		return c - 'a' + 10, true
	}
	return 0, false
}

// remoteParent returns the parent span context given by the headers, or the zero
// value if there is none. Baggage is not read.
func remoteParent(traceparent, tracestate string) trace.SpanContext {
	p, ok := parseParent([]byte(traceparent))
	if !ok {
		return trace.SpanContext{}
	}
	state, _ := trace.ParseTraceState(tracestate) // empty if malformed
	return trace.NewSpanContext(trace.SpanContextConfig{
		TraceID: p.traceID, SpanID: p.spanID, TraceFlags: p.flags, TraceState: state, Remote: true,
	})
}
