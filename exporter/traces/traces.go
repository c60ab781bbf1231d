// Package traces turns attempts into OpenTelemetry spans.
//
//	Decide   while the call is relayed: whether the span is kept, and its IDs
//	Record   later, behind the queue: the span is made, with the times of the attempt, and
//	         encoded into the next request to the backend
//
// Spans of failures are always kept. The span of a success is kept if the trace of
// the program, given by its traceparent, is sampled. If the program sent none, a
// configurable ratio is kept, and the trace ID is the request ID if that is a
// UUID. The decision is not left to an SDK sampler, because it depends on the
// outcome; OTEL_TRACES_SAMPLER therefore has no effect. Nothing is injected into
// the call.
//
// The destination of spans is set by OpenTelemetry's environment variables
// OTEL_TRACES_EXPORTER and OTEL_EXPORTER_OTLP_*. If none is set, no spans are made
// and no connections are opened. Invalid variables are ignored and reported (see
// usererror.Ignored); they never keep the program from running.
package traces

import (
	"context"
	"io"
	"os"
	"slices"
	"sync/atomic"

	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// scope is the name of the instrumentation scope.
const scope = "github.com/ksyun-tap/ksyun-tap/exporter/traces"

// Config is the configuration of a Tracer. The zero value is valid.
type Config struct {
	// Version is the version of the program, for the resource and the scope.
	Version string
	// SuccessRatio is the ratio, 0 to 1, of kept spans among the successes that
	// are not part of a trace of the program.
	SuccessRatio float64
	// Parent is the traceparent and the tracestate that attempts without a valid
	// traceparent continue. If Parent is invalid or "", they are new traces.
	Parent Parent
	// Environment holds the OTEL_* variables. If nil, those of the process are read.
	Environment *otlp.Environment
	// Exporter receives the spans. If nil, the environment selects the exporter.
	Exporter sdktrace.SpanExporter
	// Console receives the output of the exporter "console". If nil, that
	// exporter is not available.
	Console io.Writer
	// Proxy returns the proxy for connections to the backend. If nil, the proxy
	// is taken from the environment.
	Proxy otlp.ProxyFunc
	// Dropped is called with the reason, as in package otlp, and the number of
	// spans that did not reach the backend. It must be safe for concurrent use.
	Dropped func(reason string, n int)
	// Log receives export errors, at most one per minute. If nil, they are not logged.
	Log *zap.Logger
}

// Parent is a span of another program, as in the header fields of the same names.
type Parent struct{ Traceparent, Tracestate string }

// Tracer makes the spans. It is safe for concurrent use.
type Tracer struct {
	queue    *otlp.Queue[recorded] // nil if spans are not exported
	origin   *origin
	problems []usererror.Ignored
	parent   parent // Config.Parent.Traceparent
	joins    bool   // parent is valid

	threshold atomic.Uint64 // of successes that are not part of a trace
}

// New returns a tracer. It never fails: settings of the environment that cannot
// be applied are reported by Problems. New installs the global error handler of
// the OpenTelemetry SDK.
func New(ctx context.Context, cfg Config) *Tracer {
	t := &Tracer{}
	t.parent, t.joins = parseParent([]byte(cfg.Parent.Traceparent))
	t.SetSuccessRatio(cfg.SuccessRatio)
	if cfg.Environment == nil {
		cfg.Environment = otlp.ReadEnvironment(os.Getenv)
	}
	t.problems = slices.Clone(cfg.Environment.Problems)
	if cfg.Environment.Traces.Console && cfg.Console == nil {
		t.problems = append(t.problems, usererror.Ignored{Variable: "OTEL_TRACES_EXPORTER", Reason: "names console, but standard output is used by the command"})
	}
	if cfg.Parent.Traceparent != "" && !t.joins {
		t.problems = append(t.problems, usererror.Ignored{Variable: "TRACEPARENT", Reason: "is not a W3C traceparent; calls are traces of their own"})
	}
	t.origin = &origin{
		scope:  instrumentation.Scope{Name: scope, Version: cfg.Version, SchemaURL: semconv.SchemaURL},
		limits: cfg.Environment.SpanLimits,
		parent: remoteParent(cfg.Parent.Traceparent, cfg.Parent.Tracestate),
	}
	report := otlp.NewReporter(cfg.Log, "span export failed")
	var exporter exporter
	if cfg.Exporter != nil {
		exporter = snapshots{cfg.Exporter, t.origin}
	} else {
		var err error
		otlp.Quietly(report, func() { exporter, err = buildExporter(cfg, t.origin) })
		if err != nil {
			t.problems = append(t.problems, usererror.Ignored{Variable: "OTEL_TRACES_EXPORTER", Reason: "the exporter cannot be created; no spans are sent"})
		}
	}
	if exporter == nil {
		return t
	}

	var err error
	if t.origin.resource, err = cfg.Environment.Resource(ctx, cfg.Version); err != nil && cfg.Log != nil {
		cfg.Log.Warn("trace resource is incomplete", zap.Error(err))
	}
	t.queue = otlp.NewQueue(exporter, cfg.Environment.Traces.Batch, cfg.Dropped, report)
	return t
}

// buildExporter returns the exporter. It returns a panic in the SDK as an error.
func buildExporter(cfg Config, from *origin) (x exporter, err error) {
	defer otlp.Recovered(&err)
	return newExporter(&cfg.Environment.Traces, cfg.Console, cfg.Proxy, from)
}

// Problems returns the environment variables that were ignored.
func (t *Tracer) Problems() []usererror.Ignored { return t.problems }

// Exports reports whether spans are exported.
func (t *Tracer) Exports() bool { return t.queue != nil }

// SetSuccessRatio sets Config.SuccessRatio, 0 to 1. Values outside are clamped.
func (t *Tracer) SetSuccessRatio(ratio float64) {
	t.threshold.Store(thresholdOf(ratio))
}

// Decide returns the span of the finished attempt o. If the span is not to be
// exported, the IDs are those of the span given by the program, if any, so that
// logs of the attempt can be correlated with it. A refused request is not an
// attempt at a call and has no span.
func (t *Tracer) Decide(o *classify.Observation) (span record.Span) {
	failed := o.Verdict.Outcome.Failed()
	if !failed && t.queue == nil {
		return span // nothing is reported for it
	}
	p, joined := &t.parent, t.joins
	if own, ok := parseParent(o.Traceparent); ok {
		p, joined = &own, true
	}
	span.TraceID, span.SpanID, span.Flags = p.traceID, p.spanID, byte(p.flags)
	if t.queue == nil || o.Fault.Refused() {
		return span
	}
	threshold := uint64(0) // failures are always kept
	switch {
	case failed:
	case joined:
		if !p.flags.IsSampled() {
			return span
		}
	default:
		if threshold = t.threshold.Load(); threshold == maxThreshold {
			return span
		}
	}
	if !joined {
		span.TraceID = traceIDOf(&o.Verdict.RequestID)
		if randomness(span.TraceID) < threshold {
			return record.Span{}
		}
		span.Flags = byte(trace.FlagsRandom)
	}
	span.SpanID, span.Exported, span.Threshold = newSpanID(), true, threshold
	span.Flags |= byte(trace.FlagsSampled)
	return span
}

// Record makes the span of an attempt and queues it. d.Span must be what Decide returned for
// the attempt. Spans that are not to be exported are ignored.
func (t *Tracer) Record(r *record.Record, d *record.Details) {
	if t.queue == nil || !d.Span.Exported {
		return
	}
	t.queue.Add(recorded{r, d}, r.Outcome.Failed())
}

// Shutdown exports the remaining spans and shuts down the exporter. Spans that
// cannot be exported before ctx is done, or that are recorded later, are counted
// as dropped.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t.queue == nil {
		return nil
	}
	return t.queue.Shutdown(ctx)
}
