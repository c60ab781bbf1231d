package record

import "encoding/hex"

// Span identifies the span of an attempt. The zero value is an attempt that
// belongs to no trace.
type Span struct {
	TraceID [16]byte
	SpanID  [8]byte
	// Exported reports that the span is sent to a trace backend, where it can be
	// found. If it is not, the IDs are those of the program's span, if any.
	Exported bool
}

// SetSpan sets the span of the attempt. It must be called before r is shared.
func (r *Record) SetSpan(s Span) {
	r.Span, r.TraceID, r.SpanID = s, "", ""
	if s.TraceID == [16]byte{} {
		return
	}
	var digits [48]byte
	hex.Encode(digits[:32], s.TraceID[:])
	hex.Encode(digits[32:], s.SpanID[:])
	both := string(digits[:]) // one allocation for both strings
	r.TraceID, r.SpanID = both[:32], both[32:]
}
