package traces

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// encoder exports spans as OTLP protobuf. The SDK's exporter encodes resource and scope
// once. It is not used for spans because it allocates an object for each attribute, which
// costs more than all other sinks together.
type encoder struct {
	client client
	origin *origin

	resource, scope []byte // encoded resource and scope of all spans; nil before the first export

	// The buffers below are reused.
	request []byte
	one     message // a span
	part    message // an event or a link
}

// message is a span or an event that is being encoded. It takes its attributes.
type message struct {
	b     []byte
	field protowire.Number // of its attributes
}

// client sends requests to a backend. It does not retain them.
type client interface {
	Send(ctx context.Context, request []byte) error
	Close()
}

// Shutdown implements otlp.Exporter.
func (x *encoder) Shutdown(context.Context) error {
	x.client.Close()
	return nil
}

// maxKeptRequest is the capacity in bytes up to which the buffer is reused.
const maxKeptRequest = 2 << 20

// Export implements otlp.Exporter.
func (x *encoder) Export(ctx context.Context, attempts []queued) error {
	if x.scope == nil {
		if err := x.encodeOrigin(ctx, &attempts[0]); err != nil {
			return err
		}
	}
	// The sizes at the start of the request are known at the end.
	start := 2*maxHeader + len(x.resource) + len(x.scope)
	x.request = append(x.request[:0], make([]byte, start)...)
	for i := range attempts {
		x.append(&attempts[i])
	}
	err := x.client.Send(ctx, x.prepend(start))
	if cap(x.request) > maxKeptRequest {
		x.request = nil
	}
	if err != nil {
		return fmt.Errorf("traces export: %w", err)
	}
	return nil
}

// maxHeader is the maximum size in bytes of the tag and size of a message.
const maxHeader = 1 + binary.MaxVarintLen64

// prepend writes what precedes the spans in the request before start, where the spans
// begin, and returns the request.
func (x *encoder) prepend(start int) []byte {
	var memory [maxHeader]byte
	put := func(b []byte) {
		start -= len(b)
		copy(x.request[start:], b)
	}
	put(x.scope)
	put(appendHeader(memory[:0], scopeSpans, len(x.request)-start))
	put(x.resource)
	put(appendHeader(memory[:0], resourceSpans, len(x.request)-start))
	return x.request[start:]
}

// encodeOrigin lets the SDK encode the resource and scope shared by all spans.
func (x *encoder) encodeOrigin(ctx context.Context, a *queued) error {
	var c capture
	s := newSpan(x.origin, a)
	if err := otlptrace.NewUnstarted(&c).ExportSpans(ctx, []sdktrace.ReadOnlySpan{s.snapshot()}); err != nil {
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

// append appends the span of a to x.request, as a field of ScopeSpans.
func (x *encoder) append(a *queued) {
	r, s := a.record, newSpan(x.origin, a)
	traceID, id := s.context.TraceID(), s.context.SpanID()
	b := appendBytes(x.one.b[:0], spanTraceID, traceID[:])
	b = appendBytes(b, spanID, id[:])
	b = appendText(b, spanTraceState, s.context.TraceState().String())
	if parent := s.parent.SpanID(); parent.IsValid() {
		b = appendBytes(b, spanParentID, parent[:])
	}
	b = appendText(b, spanName, s.name())
	b = appendVarint(b, spanKind, uint64(tracepb.Span_SPAN_KIND_CLIENT))
	b = appendFixed64(b, spanStart, r.Start.UnixNano())
	b = appendFixed64(b, spanEnd, s.end.UnixNano())
	x.one = message{b, spanAttributes}
	dropped := s.describe(&x.one)
	b = x.one.b
	if dropped > 0 {
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
	x.request = appendBytes(x.request, scopeSpans, b)
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
