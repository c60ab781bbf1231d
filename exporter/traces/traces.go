// Package traces turns attempts into OpenTelemetry spans.
//
//	Decide   while the call is relayed: is the span kept, and what are its IDs
//	Record   later, elsewhere: the span itself, with the times of the attempt
//
// Failures are always kept. A success is kept if the program's own trace is
// sampled, is not kept if that is not sampled, and is kept by ratio if there is
// none. The decision is made here and not by an SDK sampler, because by then
// the outcome is known; OTEL_TRACES_SAMPLER therefore has no effect. Nothing is
// injected into the call.
//
// Where spans go is set by OpenTelemetry's environment: OTEL_TRACES_EXPORTER and
// OTEL_EXPORTER_OTLP_*. Without any of it no span is made and nothing dialled. A
// variable that is wrong is ignored and reported (Problem): it never keeps the
// program from running.
package traces

import (
	"context"
	"encoding/binary"
	"fmt"
	"io"
	"math"
	"math/rand/v2"
	"os"
	"slices"
	"sync/atomic"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/sdk/instrumentation"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// scope names the instrumentation that makes the spans.
const scope = "github.com/ksyun-tap/ksyun-tap/exporter/traces"

// The reasons handed to Config.Dropped.
const (
	reasonQueueFull    = "queue_full"
	reasonExportFailed = "export_failed"
	reasonShutdown     = "shutdown"
)

// Config says how spans are made. The zero value will do.
type Config struct {
	// Version is the program's, for the resource and the scope.
	Version string
	// SuccessRatio is the share of successes without a trace of their own that
	// is kept, 0 to 1.
	SuccessRatio float64
	// Environment is what the OTEL_* variables say; nil is those of the process.
	Environment *Environment
	// Exporter takes the spans; nil for the one the environment names, if any.
	Exporter sdktrace.SpanExporter
	// Console takes what the exporter "console" writes; nil if there is no
	// output that is ours to write to.
	Console io.Writer
	// Proxy returns the proxy for connections to the backend; nil is the one of
	// the environment.
	Proxy ProxyFunc
	// Dropped is told of spans that were made and did not reach the backend. It
	// must be safe for concurrent use.
	Dropped func(reason string, n int)
	// Log is told of failing exports, at most once a minute; nil for silence.
	Log *zap.Logger
}

// Tracer makes the spans. It is safe for concurrent use.
type Tracer struct {
	outlet   *outlet // nil if no spans are exported
	origin   *origin
	problems []Problem

	// threshold is the success ratio as a share of all 63-bit numbers.
	threshold atomic.Uint64
}

// New returns a tracer. It never fails: what cannot be had of what the
// environment asks for is among Problems. It becomes the handler of the
// OpenTelemetry SDK's errors, of which a process has one.
func New(ctx context.Context, cfg Config) *Tracer {
	t := &Tracer{}
	t.SetSuccessRatio(cfg.SuccessRatio)
	if cfg.Environment == nil {
		cfg.Environment = ReadEnvironment(os.Getenv)
	}
	t.problems = slices.Clone(cfg.Environment.Problems)
	if cfg.Environment.console && cfg.Console == nil {
		t.problems = append(t.problems, Problem{"OTEL_TRACES_EXPORTER", "names console, but standard output is the command's"})
	}
	report := newReporter(cfg.Log)
	// While it is built the SDK reads the environment, too, and would report
	// the values of variables.
	otel.SetLogger(logr.Discard())
	otel.SetErrorHandler(otel.ErrorHandlerFunc(func(error) {}))
	defer otel.SetErrorHandler(report)
	var exporter exporter
	if cfg.Exporter != nil {
		exporter = snapshots{cfg.Exporter}
	} else {
		var err error
		if exporter, err = buildExporter(ctx, cfg); err != nil {
			t.problems = append(t.problems, Problem{"OTEL_TRACES_EXPORTER", "the exporter cannot be made; no spans are sent"})
		}
	}
	if exporter == nil {
		return t
	}

	t.outlet = newOutlet(exporter, cfg.Environment, cfg.Dropped, report)
	t.origin = &origin{
		resource:  newResource(ctx, cfg),
		scope:     instrumentation.Scope{Name: scope, Version: cfg.Version, SchemaURL: semconv.SchemaURL},
		maxLength: cfg.Environment.maxLength,
		maxCount:  cfg.Environment.maxCount,
	}
	return t
}

// buildExporter keeps a panic in the SDK from ending the program.
func buildExporter(ctx context.Context, cfg Config) (x exporter, err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return newExporter(ctx, cfg.Environment, cfg.Console, cfg.Proxy)
}

// Problems returns what was ignored of the environment.
func (t *Tracer) Problems() []Problem { return t.problems }

// Exports reports whether there is a backend the spans go to.
func (t *Tracer) Exports() bool { return t.outlet != nil }

// SetSuccessRatio sets the share of successes without a trace of their own that
// is kept, 0 to 1.
func (t *Tracer) SetSuccessRatio(ratio float64) {
	if !(ratio > 0) { // not a number is nothing
		ratio = 0
	}
	t.threshold.Store(uint64(min(ratio, 1) * (1 << 63)))
}

// Decide reports whether the attempt's span is kept, and sets o.Span. A span
// that is not kept leaves there the program's own trace and span, if it sent
// them, so that whatever is told of the attempt can be found by them. A refused
// request is no attempt at a call and has no span.
func (t *Tracer) Decide(o *classify.Observation) bool {
	failed := o.Verdict.Outcome.Failed()
	if !failed && t.outlet == nil {
		return false // nobody will be told
	}
	p, joined := parseParent(o.Traceparent)
	if t.outlet == nil || o.Fault.Refused() || !t.keeps(failed, joined, p.flags.IsSampled()) {
		o.Span = classify.Span{TraceID: p.traceID, SpanID: p.spanID}
		return false
	}
	o.Span = classify.Span{TraceID: p.traceID, SpanID: newSpanID(), Exported: true}
	if !joined {
		o.Span.TraceID = newTraceID()
	}
	return true
}

// keeps makes the decision itself.
func (t *Tracer) keeps(failed, joined, sampled bool) bool {
	switch {
	case failed:
		return true
	case joined:
		return sampled
	}
	threshold := t.threshold.Load()
	return threshold > 0 && rand.Uint64()>>1 < threshold //nolint:gosec // a sample, no secret
}

// Record makes the span of an attempt that Decide keeps.
func (t *Tracer) Record(r *record.Record) {
	if t.outlet == nil || !r.Span.Exported {
		return
	}
	t.outlet.add(newSpan(t.origin, r))
}

// Shutdown sends what is left and releases the exporter. What cannot be sent
// until ctx is done is counted as dropped, and so is what is recorded later.
func (t *Tracer) Shutdown(ctx context.Context) error {
	if t.outlet == nil {
		return nil
	}
	return t.outlet.shutdown(ctx)
}

// newTraceID returns a random trace ID, which is not all zero.
func newTraceID() (id [16]byte) {
	binary.BigEndian.PutUint64(id[:8], rand.Uint64())                  //nolint:gosec // must be unlikely to repeat, not secret
	binary.BigEndian.PutUint64(id[8:], rand.Uint64N(math.MaxUint64)+1) //nolint:gosec // as above
	return id
}

// newSpanID returns a random span ID, which is not all zero.
func newSpanID() (id [8]byte) {
	binary.BigEndian.PutUint64(id[:], rand.Uint64N(math.MaxUint64)+1) //nolint:gosec // as above
	return id
}
