package push

import (
	"context"
	"encoding/hex"
	"net/http"

	"go.opentelemetry.io/contrib/bridges/otelzap"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlplog/otlploghttp"
	"go.opentelemetry.io/otel/log"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// scope is the name of the instrumentation scope of loggers without a name.
const scope = "github.com/ksyun-tap/ksyun-tap/exporter/logs"

// newLogExporter returns the exporter for log records that s selects. It sets every
// option, to override what the SDK reads from the environment.
func newLogExporter(ctx context.Context, s *otlp.Signal, find otlp.ProxyFunc) (otlp.Exporter[sdklog.Record], error) {
	client, url, compress, err := s.Sender(find)
	if err != nil {
		return nil, err
	}
	compression := otlploghttp.NoCompression
	if compress {
		compression = otlploghttp.GzipCompression
	}
	x, err := otlploghttp.New(ctx,
		otlploghttp.WithEndpointURL(url),
		otlploghttp.WithHeaders(s.Headers),
		otlploghttp.WithCompression(compression),
		otlploghttp.WithTimeout(s.Timeout),
		otlploghttp.WithTLSClientConfig(nil), // the TLS configuration of the client is used
		otlploghttp.WithHTTPClient(client),
	)
	if err != nil {
		return nil, err
	}
	return closingLogs{x, client}, nil
}

// closingLogs closes the connections of its client on shutdown.
type closingLogs struct {
	otlp.Exporter[sdklog.Record]
	client *http.Client
}

// Shutdown implements otlp.Exporter.
func (c closingLogs) Shutdown(ctx context.Context) error {
	defer c.client.CloseIdleConnections()
	return c.Exporter.Shutdown(ctx)
}

// processor queues log records. The queue is shut down by Pusher, because the SDK's
// provider does not do so if no time is left.
type processor struct{ queue *otlp.Queue[sdklog.Record] }

var _ sdklog.Processor = processor{}

// Enabled implements sdklog.Processor.
func (processor) Enabled(context.Context, sdklog.EnabledParameters) bool { return true }

// OnEmit implements sdklog.Processor. Warnings and errors have precedence.
func (p processor) OnEmit(_ context.Context, r *sdklog.Record) error {
	own := r.Clone()
	lift(&own)
	p.queue.Add(own, r.Severity() >= log.SeverityWarn)
	return nil
}

// Shutdown implements sdklog.Processor. It is never called.
func (processor) Shutdown(context.Context) error { return nil }

// ForceFlush implements sdklog.Processor. It is never called.
func (processor) ForceFlush(context.Context) error { return nil }

// lift moves the fields of a line that are fields of a log record out of its
// attributes: the name of the event, and the trace context.
func lift(r *sdklog.Record) {
	attrs := make([]attribute.KeyValue, 0, r.AttributesLen())
	for kv := range r.WalkAttributes {
		text := kv.Value.AsString() // "" if it is not a string
		switch kv.Key {
		case "event":
			r.SetEventName(text)
		case "trace_id":
			if id, err := trace.TraceIDFromHex(text); err == nil {
				r.SetTraceID(id)
			}
		case "span_id":
			if id, err := trace.SpanIDFromHex(text); err == nil {
				r.SetSpanID(id)
			}
		case "trace_flags":
			if flags, err := hex.DecodeString(text); err == nil && len(flags) == 1 {
				r.SetTraceFlags(trace.TraceFlags(flags[0]))
			}
		default:
			attrs = append(attrs, kv)
		}
	}
	r.SetAttributes(attrs...)
}

// core is a zapcore.Core whose Write never panics.
type core struct{ zapcore.Core }

// newCore returns a core that writes to p.
func newCore(p *sdklog.LoggerProvider, version string) zapcore.Core {
	return core{otelzap.NewCore(scope,
		otelzap.WithLoggerProvider(p), otelzap.WithVersion(version), otelzap.WithSchemaURL(semconv.SchemaURL))}
}

// With implements zapcore.Core.
func (c core) With(fields []zapcore.Field) zapcore.Core { return core{c.Core.With(fields)} }

// Check implements zapcore.Core.
func (c core) Check(entry zapcore.Entry, checked *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return checked.AddCore(entry, c)
}

// Write implements zapcore.Core.
func (c core) Write(entry zapcore.Entry, fields []zapcore.Field) (err error) {
	defer recovered(&err)
	return c.Core.Write(entry, fields)
}
