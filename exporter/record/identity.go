package record

import (
	"encoding/binary"
	"encoding/hex"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// Identity is what identifies an attempt besides its request ID.
type Identity struct {
	ID      ID                // of a failure
	Span    Span              // its span
	Attempt diagnosis.Attempt // its place in its call
}

// Lengths of IDs as text.
const (
	traceIDLength = 32
	spanIDLength  = 16
	callIDLength  = 16
)

// identify sets the URL and the IDs of r, which few other records share, with one allocation.
// The request ID has its own, because groups keep it for longer than the record.
func (m *Maker) identify(r *Record, o *classify.Observation, id *Identity) {
	var memory, more [1 << 10]byte // enough for most URLs; do not escape
	received := append(appendOrigin(memory[:0], o, o.Call.Host), o.Target...)
	known, hash, ok := m.urls.look(received)
	texts := more[:0]
	if !ok {
		texts = appendURL(texts, o, r.Host)
	}
	url := len(texts)
	rest := string(id.append(texts))
	next := func(n int) (text string) {
		text, rest = rest[:n], rest[n:]
		return text
	}
	r.URL = known
	if !ok {
		r.URL = next(url)
		if r.URL == string(received) {
			m.urls.add(r.URL, hash)
		}
	}
	if id.hasID() {
		r.ID = next(IDLength)
	}
	if r.TraceFlags = id.Span.Flags; id.inTrace() {
		r.TraceID, r.SpanID = next(traceIDLength), next(spanIDLength)
	}
	if id.inCall() {
		r.CallID, r.Attempt = next(callIDLength), id.Attempt.Number
		if id.Attempt.Result == diagnosis.RetrySucceeded {
			r.CallOutcome = diagnosis.CallSuccessAfterRetry
		}
	}
}

func (id *Identity) hasID() bool   { return id.ID != ID{} }
func (id *Identity) inTrace() bool { return id.Span.TraceID != [16]byte{} }
func (id *Identity) inCall() bool  { return id.Attempt.CallID != 0 }

// append appends the IDs that the attempt has as text.
func (id *Identity) append(dst []byte) []byte {
	if id.hasID() {
		dst = append(dst, id.ID[:]...)
	}
	if id.inTrace() {
		dst = hex.AppendEncode(dst, id.Span.TraceID[:])
		dst = hex.AppendEncode(dst, id.Span.SpanID[:])
	}
	if id.inCall() {
		var call [8]byte
		binary.BigEndian.PutUint64(call[:], id.Attempt.CallID)
		dst = hex.AppendEncode(dst, call[:])
	}
	return dst
}
