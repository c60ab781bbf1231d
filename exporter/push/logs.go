package push

import (
	"cmp"
	"context"
	"encoding/hex"
	"slices"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"go.uber.org/zap/zapcore"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// scopeLogs is the name of the instrumentation scope of loggers without a name.
const scopeLogs = "github.com/ksyun-tap/ksyun-tap/exporter/logs"

// line is a line of the log as a log record, which is encoded: that takes less than
// half of the memory, and its size is known.
type line struct {
	scope  string
	record []byte
}

// logRecords is the number of the field of ScopeLogs in opentelemetry/proto/logs/v1/logs.proto.
const logRecords = 2

// lineExporter sends lines.
type lineExporter struct {
	client *otlp.Client
	origin origin
}

// lines is a batch of lines.
type lines struct {
	to  lineExporter
	all []line
}

// NewBatch implements otlp.Exporter.
func (x lineExporter) NewBatch() otlp.Batch[line] { return &lines{to: x} }

// Add implements otlp.Batch.
func (b *lines) Add(l line) int {
	b.all = append(b.all, l)
	return len(l.record)
}

// Export implements otlp.Batch.
func (b *lines) Export(ctx context.Context) error {
	x := b.to
	all := &logspb.ResourceLogs{SchemaUrl: x.origin.resource.SchemaURL()}
	scopes := map[string]*logspb.ScopeLogs{}
	for _, l := range b.all {
		scope := scopes[l.scope]
		if scope == nil {
			scope = &logspb.ScopeLogs{SchemaUrl: x.origin.schema}
			all.Resource, scope.Scope = x.origin.encode(l.scope)
			all.ScopeLogs = append(all.ScopeLogs, scope)
			scopes[l.scope] = scope
		}
		// What is encoded is passed on like a field that is not known.
		m := scope.ProtoReflect()
		m.SetUnknown(protowire.AppendBytes(protowire.AppendTag(m.GetUnknown(), logRecords, protowire.BytesType), l.record))
	}
	request, err := proto.Marshal(&logspb.LogsData{ResourceLogs: []*logspb.ResourceLogs{all}})
	if err != nil {
		return err
	}
	return x.client.Send(ctx, request)
}

// Shutdown implements otlp.Exporter.
func (x lineExporter) Shutdown(context.Context) error {
	x.client.Close()
	return nil
}

// core is a zapcore.Core that queues lines. Its Write never panics.
type core struct {
	queue   *otlp.Queue[line]
	limits  otlp.Limits
	dropped func(reason string, n int)
	fields  []zapcore.Field // of With
}

// Enabled implements zapcore.Core.
func (core) Enabled(zapcore.Level) bool { return true }

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core {
	c.fields = slices.Concat(c.fields, fields)
	return c
}

// Check implements zapcore.Core.
func (c core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return checked.AddCore(entry, c)
}

// Write implements zapcore.Core. Warnings and errors have precedence.
func (c core) Write(entry zapcore.Entry, fields []zapcore.Field) error {
	record, err := c.encode(entry, fields)
	if err != nil {
		c.dropped(otlp.ReasonExportFailed, 1)
		return err
	}
	c.queue.Add(line{cmp.Or(entry.LoggerName, scopeLogs), record}, entry.Level >= zapcore.WarnLevel)
	return nil
}

// encode returns a line as an encoded log record.
func (c core) encode(entry zapcore.Entry, fields []zapcore.Field) (record []byte, err error) {
	defer otlp.Recovered(&err)
	r := &logspb.LogRecord{
		TimeUnixNano: nanoseconds(entry.Time), ObservedTimeUnixNano: nanoseconds(time.Now()),
		SeverityNumber: cmp.Or(severities[entry.Level], logspb.SeverityNumber_SEVERITY_NUMBER_FATAL), SeverityText: entry.Level.String(), Body: textValue(entry.Message),
	}
	for _, kv := range encodeFields(slices.Concat(c.fields, fields)) {
		if !lift(r, kv) {
			r.Attributes = append(r.Attributes, kv)
		}
	}
	if dropped := len(r.Attributes) - c.limits.Count; dropped > 0 {
		r.Attributes, r.DroppedAttributesCount = r.Attributes[:c.limits.Count], uint32(dropped) //nolint:gosec // a few
	}
	for _, kv := range r.Attributes {
		truncate(kv.GetValue(), c.limits)
	}
	return proto.Marshal(r)
}

// Sync implements zapcore.Core.
func (core) Sync() error { return nil }

// lift moves a field of a line that is a field of a log record to r: the name of the
// event, and the trace context. It reports whether kv is one of them.
func lift(r *logspb.LogRecord, kv *commonpb.KeyValue) bool {
	text := kv.GetValue().GetStringValue()
	id := func(to *[]byte, size int) {
		if b, err := hex.DecodeString(text); err == nil && len(b) == size {
			*to = b
		}
	}
	switch kv.GetKey() {
	case "event":
		r.EventName = text
	case "trace_id":
		id(&r.TraceId, 16)
	case "span_id":
		id(&r.SpanId, 8)
	case "trace_flags":
		var flags []byte
		if id(&flags, 1); flags != nil {
			r.Flags = uint32(flags[0])
		}
	default:
		return false
	}
	return true
}

// severities are the numbers of the levels. All others are fatal.
var severities = map[zapcore.Level]logspb.SeverityNumber{
	zapcore.DebugLevel: logspb.SeverityNumber_SEVERITY_NUMBER_DEBUG,
	zapcore.InfoLevel:  logspb.SeverityNumber_SEVERITY_NUMBER_INFO,
	zapcore.WarnLevel:  logspb.SeverityNumber_SEVERITY_NUMBER_WARN,
	zapcore.ErrorLevel: logspb.SeverityNumber_SEVERITY_NUMBER_ERROR,
}
