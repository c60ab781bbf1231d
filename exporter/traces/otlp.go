package traces

import (
	"context"
	"fmt"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/encoding/protowire"
)

// otlp exports spans as OTLP protobuf. It encodes only the spans itself. The SDK's
// client compresses, sends and retries, and the SDK's exporter encodes resource
// and scope once. The SDK's exporter is not used for spans because it allocates
// an object for each attribute, which costs more than all other sinks together.
type otlp struct {
	client otlptrace.Client
	frame  *tracepb.ResourceSpans // resource and scope of all spans; nil before the first export

	spans []byte // buffers that are reused, as are the fields below
	one   []byte
	attrs []attribute.KeyValue
}

// newOTLP starts client and returns an exporter that sends protobuf through it.
func newOTLP(ctx context.Context, client otlptrace.Client) (exporter, error) {
	return &otlp{client: client}, client.Start(ctx)
}

// newOTLPBySDK returns the SDK's exporter, which can also encode JSON.
func newOTLPBySDK(ctx context.Context, client otlptrace.Client) (exporter, error) {
	x, err := otlptrace.New(ctx, client)
	return snapshots{x}, err
}

func (x *otlp) shutdown(ctx context.Context) error { return x.client.Stop(ctx) }

// maxKeptSpans is the capacity in bytes up to which the buffer is reused.
const maxKeptSpans = 1 << 20

func (x *otlp) export(ctx context.Context, spans []*span) error {
	if x.frame == nil {
		if err := x.makeFrame(ctx, spans[0]); err != nil {
			return err
		}
	}
	x.spans = x.spans[:0]
	for _, s := range spans {
		x.append(s)
	}
	clear(x.attrs[:cap(x.attrs)]) // release the texts for garbage collection
	scope := x.frame.GetScopeSpans()[0]
	// The protobuf library treats these as unknown fields and copies them
	// unchanged.
	scope.ProtoReflect().SetUnknown(x.spans)
	err := x.client.UploadTraces(ctx, []*tracepb.ResourceSpans{x.frame})
	scope.ProtoReflect().SetUnknown(nil)
	if cap(x.spans) > maxKeptSpans {
		x.spans = nil
	}
	if err != nil {
		return fmt.Errorf("traces export: %w", err)
	}
	return nil
}

// makeFrame lets the SDK encode the resource and scope shared by all spans.
func (x *otlp) makeFrame(ctx context.Context, s *span) error {
	var c capture
	if err := otlptrace.NewUnstarted(&c).ExportSpans(ctx, []sdktrace.ReadOnlySpan{s.snapshot()}); err != nil {
		return err
	}
	x.frame = c.spans[0]
	x.frame.ScopeSpans[0].Spans = nil
	return nil
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

// The field numbers in opentelemetry/proto/trace/v1/trace.proto and
// common/v1/common.proto.
const (
	scopeSpans = 2

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

// append appends s to x.spans, as a field of ScopeSpans.
func (x *otlp) append(s *span) {
	b := x.one[:0]
	traceID, id := s.context.TraceID(), s.context.SpanID()
	b = appendBytes(b, spanTraceID, traceID[:])
	b = appendBytes(b, spanID, id[:])
	b = appendText(b, spanTraceState, s.context.TraceState().String())
	if parent := s.parent.SpanID(); parent.IsValid() {
		b = appendBytes(b, spanParentID, parent[:])
	}
	b = appendText(b, spanName, s.name())
	b = appendVarint(b, spanKind, uint64(tracepb.Span_SPAN_KIND_CLIENT))
	b = appendFixed64(b, spanStart, s.record.Start.UnixNano())
	b = appendFixed64(b, spanEnd, s.end.UnixNano())
	var dropped int
	x.attrs, dropped = s.attributes(x.attrs)
	for i := range x.attrs {
		b = appendAttribute(b, spanAttributes, &x.attrs[i])
	}
	if dropped > 0 {
		b = appendVarint(b, spanDroppedAttrs, uint64(dropped))
	}
	for _, e := range s.events() {
		b = appendEvent(b, &e)
	}
	for _, l := range s.links() {
		b = appendLink(b, l.SpanContext)
	}
	b = appendStatus(b, s.status())
	b = appendFlags(b, spanFlags, s.context.TraceFlags(), s.parent.IsRemote())

	x.one = b
	x.spans = appendBytes(x.spans, scopeSpans, b)
}

// appendAttribute appends an attribute of one of the types of appendAttributes.
func appendAttribute(b []byte, field protowire.Number, kv *attribute.KeyValue) []byte {
	const tag = 1 // a tag takes one byte, because every field number is below 16
	var text string
	size := tag + 1 // size of the value
	switch kv.Value.Type() {
	case attribute.STRING:
		text = kv.Value.AsString()
		size = tag + protowire.SizeBytes(len(text))
	case attribute.INT64:
		size = tag + protowire.SizeVarint(uint64(kv.Value.AsInt64())) //nolint:gosec // as protobuf has it
	}
	b = appendHeader(b, field, tag+protowire.SizeBytes(len(kv.Key))+tag+protowire.SizeBytes(size))
	b = append(appendHeader(b, pairKey, len(kv.Key)), kv.Key...)
	b = appendHeader(b, pairValue, size)
	switch kv.Value.Type() {
	case attribute.STRING:
		return append(appendHeader(b, valueString, len(text)), text...)
	case attribute.INT64:
		return appendVarint(b, valueInt, uint64(kv.Value.AsInt64())) //nolint:gosec // as protobuf has it
	default: // a bool
		return appendVarint(b, valueBool, protowire.EncodeBool(kv.Value.AsBool()))
	}
}

// appendEvent appends an event. Events are rare, so the size is not computed in
// advance.
func appendEvent(b []byte, e *sdktrace.Event) []byte {
	one := appendFixed64(nil, eventTime, e.Time.UnixNano())
	one = appendText(one, eventName, e.Name)
	for i := range e.Attributes {
		one = appendAttribute(one, eventAttributes, &e.Attributes[i])
	}
	return appendBytes(b, spanEvents, one)
}

// appendLink appends a link to a span without attributes.
func appendLink(b []byte, to trace.SpanContext) []byte {
	traceID, id := to.TraceID(), to.SpanID()
	one := appendBytes(nil, linkTraceID, traceID[:])
	one = appendBytes(one, linkSpanID, id[:])
	one = appendText(one, linkTraceState, to.TraceState().String())
	one = appendFlags(one, linkFlags, to.TraceFlags(), to.IsRemote())
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
	const tag, code = 1, 1
	b = protowire.AppendTag(b, spanStatus, protowire.BytesType)
	if s.Code != codes.Error {
		return protowire.AppendVarint(b, 0) // present but unset
	}
	size := tag + code
	if s.Description != "" {
		size += tag + protowire.SizeBytes(len(s.Description))
	}
	b = protowire.AppendVarint(b, uint64(size))
	b = appendText(b, statusMessage, s.Description)
	return appendVarint(b, statusCode, uint64(tracepb.Status_STATUS_CODE_ERROR))
}

// appendHeader appends the tag of a field of type bytes, whose number is below 16, and
// the size of its value. It is inlined, unlike the library's functions.
func appendHeader(b []byte, field protowire.Number, size int) []byte {
	if size < 1<<7 {
		return append(b, byte(field)<<3|byte(protowire.BytesType), byte(size)) //nolint:gosec // both are below 128
	}
	return appendLongHeader(b, field, size)
}

func appendLongHeader(b []byte, field protowire.Number, size int) []byte {
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
