package exporter

import (
	"context"
	"io"
	"testing"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
)

// discard is a trace backend that discards spans.
type discard struct{}

func (discard) ExportSpans(context.Context, []sdktrace.ReadOnlySpan) error { return nil }
func (discard) Shutdown(context.Context) error                             { return nil }

// newBench returns a pipeline with every sink, no disk or network behind it, and
// a goroutine that does nothing.
func newBench(b *testing.B) *Pipeline {
	b.Helper()
	m := metrics.New()
	tracer := traces.New(b.Context(), traces.Config{Exporter: discard{}})
	log, err := logs.New(logs.Config{Writer: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	p := &Pipeline{
		metrics: m, traces: tracer, journal: journal.New(0), logs: logs.NewEvents(log.Logger, logs.EventsConfig{Access: true}),
		diagnoser: diagnosis.New(),
		queue:     make(chan *queued, DefaultQueueSize), filled: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	go func() {
		defer close(p.done)
		for q := range p.queue {
			p.release(q)
		}
	}()
	b.Cleanup(func() {
		_ = p.Shutdown(context.Background())
		_ = log.Close()
	})
	return p
}

// BenchmarkObserve measures what the relay waits for: of a failure, the copy
// and the hand-over, which the other goroutine takes at once.
func BenchmarkObserve(b *testing.B) {
	for _, name := range []string{"success", "error_throttled"} {
		b.Run(name, func(b *testing.B) {
			p := newBench(b)
			p.logs = nil // its access log would keep the successes
			o := attempt.Get(name)
			b.ReportAllocs()
			for b.Loop() {
				p.Begin(&o.Call)
				p.Observe(o)
			}
		})
	}
}

// BenchmarkObserveParallel measures whether relaying goroutines hinder each
// other.
func BenchmarkObserveParallel(b *testing.B) {
	p := newBench(b)
	p.logs = nil
	b.ReportAllocs()
	b.RunParallel(func(pb *testing.PB) {
		o := attempt.Get("success")
		for pb.Next() {
			p.Begin(&o.Call)
			p.Observe(o)
		}
	})
}
