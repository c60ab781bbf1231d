package traces

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// encoder exports spans as OTLP protobuf. The SDK's exporter encodes resource and scope
// once. It is not used for spans because it allocates an object for each attribute, which
// costs more than all other sinks together.
type encoder struct {
	client client
	origin *origin

	resource, scope []byte // encoded resource and scope of all spans; nil before the first export

	// The buffers below are reused.
	header []byte // of a request
	kinds  kinds
	one    message // a span
	part   message // an event or a link
}

// message is a span or an event that is being encoded. It takes its attributes.
type message struct {
	b     []byte
	field protowire.Number // of its attributes
}

// client sends requests, which are the concatenation of parts, to a backend. It does not
// retain them.
type client interface {
	Send(ctx context.Context, parts ...[]byte) error
	Close()
}

// Shutdown implements otlp.Exporter.
func (x *encoder) Shutdown(context.Context) error {
	x.client.Close()
	return nil
}

// encoded are encoded spans, each as a field of ScopeSpans. They lie one after the other in
// pieces of memory that are shared by all batches.
type encoded struct {
	by     *encoder
	pieces [][]byte
}

// NewBatch implements otlp.Exporter.
func (x *encoder) NewBatch() otlp.Batch[recorded] { return &encoded{by: x} }

// piece is memory for spans, of which usual ones have 1 to 3 KiB.
type piece [32 << 10]byte

var pieces = sync.Pool{New: func() any { return new(piece) }}

// Add implements otlp.Batch.
func (e *encoded) Add(a recorded) int {
	span := e.by.encode(a)
	size := tag + sizeOf(len(span))
	last := len(e.pieces) - 1
	if last < 0 || cap(e.pieces[last])-len(e.pieces[last]) < size {
		var next []byte
		if size <= len(piece{}) {
			next = pieces.Get().(*piece)[:0]
		}
		e.pieces, last = append(e.pieces, next), last+1
	}
	e.pieces[last] = appendBytes(e.pieces[last], scopeSpans, span)
	return size
}

// release gives the memory of the spans back.
func (e *encoded) release() {
	for _, b := range e.pieces {
		if cap(b) == len(piece{}) {
			pieces.Put((*piece)(b[:cap(b)]))
		}
	}
	e.pieces = nil
}

// Export implements otlp.Batch.
func (e *encoded) Export(ctx context.Context) error {
	defer e.release()
	x := e.by
	if x.scope == nil {
		if err := x.encodeOrigin(ctx); err != nil {
			return err
		}
	}
	inScope := len(x.scope)
	for _, b := range e.pieces {
		inScope += len(b)
	}
	inResource := len(x.resource) + len(appendHeader(x.header[:0], scopeSpans, inScope)) + inScope
	x.header = append(appendHeader(x.header[:0], resourceSpans, inResource), x.resource...)
	x.header = append(appendHeader(x.header, scopeSpans, inScope), x.scope...)
	if err := x.client.Send(ctx, slices.Concat([][]byte{x.header}, e.pieces)...); err != nil {
		return fmt.Errorf("traces export: %w", err)
	}
	return nil
}

// encodeOrigin lets the SDK encode the resource and scope shared by all spans.
func (x *encoder) encodeOrigin(ctx context.Context) error {
	var c capture
	s := tracetest.SpanStub{Resource: x.origin.resource, InstrumentationScope: x.origin.scope}.Snapshot()
	if err := otlptrace.NewUnstarted(&c).ExportSpans(ctx, []sdktrace.ReadOnlySpan{s}); err != nil {
		return err
	}
	resource := c.spans[0]
	scope := resource.GetScopeSpans()[0]
	resource.ScopeSpans, scope.Spans = nil, nil
	var err, scopeErr error
	x.resource, err = proto.Marshal(resource)
	x.scope, scopeErr = proto.Marshal(scope)
	return errors.Join(err, scopeErr)
}

// capture is a client that keeps the spans instead of sending them.
type capture struct{ spans []*tracepb.ResourceSpans }

// Start implements otlptrace.Client.
func (c *capture) Start(context.Context) error { return nil }

// Stop implements otlptrace.Client.
func (c *capture) Stop(context.Context) error { return nil }

// UploadTraces implements otlptrace.Client.
func (c *capture) UploadTraces(_ context.Context, spans []*tracepb.ResourceSpans) error {
	c.spans = spans
	return nil
}

// The field numbers in opentelemetry/proto/collector/trace/v1/trace_service.proto,
// trace/v1/trace.proto and common/v1/common.proto.
const (
	resourceSpans = 1
	scopeSpans    = 2

	spanTraceID      = 1
	spanID           = 2
	spanTraceState   = 3
	spanParentID     = 4
	spanName         = 5
	spanKind         = 6
	spanStart        = 7
	spanEnd          = 8
	spanAttributes   = 9
	spanDroppedAttrs = 10
	spanEvents       = 11
	spanLinks        = 13
	spanStatus       = 15
	spanFlags        = 16

	eventTime       = 1
	eventName       = 2
	eventAttributes = 3

	linkTraceID    = 1
	linkSpanID     = 2
	linkTraceState = 3
	linkFlags      = 6

	statusMessage = 2
	statusCode    = 3

	pairKey   = 1
	pairValue = 2

	valueString = 1
	valueBool   = 2
	valueInt    = 3
)

// encode returns the span of a. The next call overwrites it.
func (x *encoder) encode(a recorded) []byte {
	r, s := a.record, newSpan(x.origin, a)
	traceID, id := s.context.TraceID(), s.context.SpanID()
	b := appendBytes(x.one.b[:0], spanTraceID, traceID[:])
	b = appendBytes(b, spanID, id[:])
	b = appendText(b, spanTraceState, s.context.TraceState().String())
	if parent := s.parent.SpanID(); parent.IsValid() {
		b = appendBytes(b, spanParentID, parent[:])
	}
	b = appendVarint(b, spanKind, uint64(tracepb.Span_SPAN_KIND_CLIENT))
	b = appendFixed64(b, spanStart, r.Start.UnixNano())
	b = appendFixed64(b, spanEnd, s.end.UnixNano())
	x.one = message{b, spanAttributes}
	l := limiter{to: &x.one, limits: x.origin.limits}
	s.identify(&l)
	k := kindOf(a)
	common := x.kinds.of(&k, &l)
	b = append(x.one.b, common.attributes...)
	b = appendText(b, spanName, common.name)
	if dropped := l.dropped(); dropped > 0 {
		b = appendVarint(b, spanDroppedAttrs, uint64(dropped))
	}
	for i := range r.Diagnoses {
		b = x.appendEvent(b, s.end, &r.Diagnoses[i])
	}
	if previous, ok := s.previous(); ok {
		b = x.appendLink(b, previous)
	}
	b = appendStatus(b, s.status())
	b = appendFlags(b, spanFlags, s.context.TraceFlags(), s.parent.IsRemote())

	x.one.b = b
	return b
}

// begin appends an attribute up to its value, whose encoding has the given size.
func (m *message) begin(k attribute.Key, size int) {
	m.b = appendHeader(m.b, m.field, tag+sizeOf(len(k))+tag+sizeOf(size))
	m.b = appendHeader(m.b, pairKey, len(k))
	m.b = append(m.b, k...)
	m.b = appendHeader(m.b, pairValue, size)
}

const (
	bytesType = byte(protowire.BytesType)
	// small is the size up to which the number of bytes is one byte.
	small = 1<<7 - 1
	// overhead is the size of an attribute without its key and text, if it is small.
	overhead = 3 * (tag + 1)
)

func (m *message) text(k attribute.Key, v string) {
	if size := overhead + len(k) + len(v); size <= small { // most attributes
		m.b = append(m.b, byte(m.field)<<3|bytesType, byte(size), pairKey<<3|bytesType, byte(len(k))) //nolint:gosec // all are small
		m.b = append(m.b, k...)
		m.b = append(m.b, pairValue<<3|bytesType, byte(tag+1+len(v)), valueString<<3|bytesType, byte(len(v))) //nolint:gosec // likewise
		m.b = append(m.b, v...)
		return
	}
	m.begin(k, tag+sizeOf(len(v)))
	m.b = appendHeader(m.b, valueString, len(v))
	m.b = append(m.b, v...)
}

func (m *message) number(k attribute.Key, v int) {
	n := uint64(v) //nolint:gosec // as protobuf has it
	m.begin(k, tag+protowire.SizeVarint(n))
	m.b = appendVarint(m.b, valueInt, n)
}

func (m *message) truth(k attribute.Key, v bool) {
	m.begin(k, tag+1)
	m.b = appendVarint(m.b, valueBool, protowire.EncodeBool(v))
}

// appendEvent appends the event for a diagnosis.
func (x *encoder) appendEvent(b []byte, at time.Time, d *diagnosis.Diagnosis) []byte {
	x.part = message{appendFixed64(x.part.b[:0], eventTime, at.UnixNano()), eventAttributes}
	x.part.b = appendText(x.part.b, eventName, EventDiagnosis)
	describeDiagnosis(&x.part, d)
	return appendBytes(b, spanEvents, x.part.b)
}

// appendLink appends a link to a span without attributes.
func (x *encoder) appendLink(b []byte, to trace.SpanContext) []byte {
	traceID, id := to.TraceID(), to.SpanID()
	one := appendBytes(x.part.b[:0], linkTraceID, traceID[:])
	one = appendBytes(one, linkSpanID, id[:])
	one = appendText(one, linkTraceState, to.TraceState().String())
	one = appendFlags(one, linkFlags, to.TraceFlags(), to.IsRemote())
	x.part.b = one
	return appendBytes(b, spanLinks, one)
}

// appendFlags appends trace flags, and whether the span, or the parent of the
// span, is of another process.
func appendFlags(b []byte, field protowire.Number, flags trace.TraceFlags, remote bool) []byte {
	all := uint32(flags) | uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK)
	if remote {
		all |= uint32(tracepb.SpanFlags_SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK)
	}
	b = protowire.AppendTag(b, field, protowire.Fixed32Type)
	return protowire.AppendFixed32(b, all)
}

func appendStatus(b []byte, s sdktrace.Status) []byte {
	const code = 1 // size of a code
	b = protowire.AppendTag(b, spanStatus, protowire.BytesType)
	if s.Code != codes.Error {
		return protowire.AppendVarint(b, 0) // present but unset
	}
	size := tag + code
	if s.Description != "" {
		size += tag + sizeOf(len(s.Description))
	}
	b = protowire.AppendVarint(b, uint64(size))
	b = appendText(b, statusMessage, s.Description)
	return appendVarint(b, statusCode, uint64(tracepb.Status_STATUS_CODE_ERROR))
}

// tag is the size of a tag in bytes, because every field number is below 16.
const tag = 1

// sizeOf returns the size in bytes of a value of n bytes and of the number n before it. It
// is inlined, unlike the library's function.
func sizeOf(n int) int {
	if n < 1<<7 {
		return 1 + n
	}
	return protowire.SizeBytes(n)
}

func appendHeader(b []byte, field protowire.Number, size int) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.BytesType), uint64(size)) //nolint:gosec // a size
}

// appendText appends a text field, which is omitted if it is empty.
func appendText(b []byte, field protowire.Number, text string) []byte {
	if text == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, field, protowire.BytesType), text)
}

func appendBytes(b []byte, field protowire.Number, v []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, field, protowire.BytesType), v)
}

func appendVarint(b []byte, field protowire.Number, v uint64) []byte {
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), v)
}

// appendFixed64 appends a time, which is omitted if it is zero or negative.
func appendFixed64(b []byte, field protowire.Number, nanoseconds int64) []byte {
	if nanoseconds <= 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, field, protowire.Fixed64Type), uint64(nanoseconds))
}
