package traces

import (
	"encoding/binary"
	"encoding/hex"
	"math"
	"math/rand/v2"
	"strconv"
	"strings"

	"go.opentelemetry.io/otel/trace"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// maxThreshold is the rejection threshold that keeps nothing.
//
// Successes are sampled by OpenTelemetry's consistent probability sampling: the
// last 56 bits of a trace ID are random, and a span is kept if they are not less
// than a rejection threshold. The threshold is in the trace state of the span
// ("ot=th:c" keeps a quarter), so that backends can compute how many spans a kept
// one represents.
const maxThreshold = 1 << 56

// thresholdOf returns the rejection threshold for a ratio of kept spans, 0 to 1.
// Values outside are clamped.
func thresholdOf(ratio float64) uint64 {
	if !(ratio > 0) { // also true for NaN
		return maxThreshold
	}
	return maxThreshold - uint64(math.Round(min(ratio, 1)*maxThreshold))
}

// randomness returns the bits of a trace ID that are compared with a threshold.
func randomness(id [16]byte) uint64 {
	return binary.BigEndian.Uint64(id[8:]) & (maxThreshold - 1)
}

// newTraceID returns a random trace ID, which is not all zero.
func newTraceID() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], max(1, rand.Uint64())) //nolint:gosec // must be unlikely to repeat, not secret
	binary.BigEndian.PutUint64(id[8:], rand.Uint64())         //nolint:gosec // as above
	return id
}

// newSpanID returns a random span ID, which is not all zero.
func newSpanID() (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], max(1, rand.Uint64())) //nolint:gosec // as above
	return id
}

// traceIDOf returns the trace ID of an attempt without a parent: the request ID,
// so that a trace is found by the ID that the vendor reports. It returns a random
// one if the request ID is not a UUID of version 4. All of its last 56 bits are
// random, as W3C Trace Context requires of a trace with the random flag.
func traceIDOf(request *classify.RequestID) [16]byte {
	if id, ok := request.UUID4(); ok {
		return id
	}
	return newTraceID()
}

// IDOf returns the trace ID, in hexadecimal digits, of an attempt with the request ID
// that has no parent. It returns "" if that is random.
func IDOf(requestID string) string {
	request := classify.MakeRequestID(requestID)
	id, ok := request.UUID4()
	if !ok {
		return ""
	}
	return hex.EncodeToString(id[:])
}

// The trace state of OpenTelemetry: the key of its entry, and the key of the
// threshold in it. See OpenTelemetry's "TraceState: Probability Sampling".
const (
	stateKey     = "ot"
	thresholdKey = "th:"
	maxState     = 256 // maximum length of an entry's value in bytes
)

// withThreshold returns the state with a threshold below maxThreshold. The other
// values of OpenTelemetry's entry are kept if they fit.
func withThreshold(state trace.TraceState, threshold uint64) trace.TraceState {
	if threshold == 0 && state.Len() == 0 {
		return alwaysKept
	}
	return insertThreshold(state, threshold)
}

// alwaysKept is the state of failures that are not part of a trace of the program.
var alwaysKept = insertThreshold(trace.TraceState{}, 0)

func insertThreshold(state trace.TraceState, threshold uint64) trace.TraceState {
	value := thresholdKey + formatThreshold(threshold)
	for item := range strings.SplitSeq(state.Get(stateKey), ";") {
		if item != "" && !strings.HasPrefix(item, thresholdKey) && len(value)+1+len(item) <= maxState {
			value += ";" + item
		}
	}
	with, err := state.Insert(stateKey, value)
	if err != nil {
		return state
	}
	return with
}

// formatThreshold returns the 14 hexadecimal digits of a threshold without the
// zeros at their end, or "0".
func formatThreshold(t uint64) string {
	digits := strings.TrimRight(strconv.FormatUint(maxThreshold|t, 16)[1:], "0")
	if digits == "" {
		return "0"
	}
	return digits
}
