package traces

import (
	"context"
	"errors"
	"fmt"
	"sync"

	sdktrace "go.opentelemetry.io/otel/sdk/trace"
)

// outlet stands on both sides of the SDK's batch processor: it lets in no more
// spans than the processor's queue holds, so that every one that is turned away
// is counted here, and it counts those whose export failed.
//
//	OnEnd ──> room? ──> batch processor ──> ExportSpans ──> backend
//	           │no                               │failed
//	           └──> queue_full                   └──> export_failed
type outlet struct {
	sdktrace.SpanProcessor // the batch processor

	exporter sdktrace.SpanExporter
	dropped  func(reason string, n int)
	reporter *reporter

	room int // the most spans that may wait

	mu      sync.Mutex // guards the fields below
	waiting int        // spans let in whose export has not ended
	ended   bool       // shutdown has counted those that wait

	giveUp context.Context // done when the time to flush at shutdown is over
	stop   context.CancelFunc
}

// newOutlet returns the outlet to exporter, with limits as the environment says.
func newOutlet(exporter sdktrace.SpanExporter, e *Environment, dropped func(string, int), r *reporter) *outlet {
	q := &outlet{
		exporter: exporter,
		dropped:  dropped,
		reporter: r,
		room:     e.queue,
	}
	if q.dropped == nil {
		q.dropped = func(string, int) {}
	}
	q.giveUp, q.stop = context.WithCancel(context.Background())
	q.SpanProcessor = sdktrace.NewBatchSpanProcessor(exports{q},
		sdktrace.WithMaxQueueSize(e.queue),
		sdktrace.WithMaxExportBatchSize(e.batch),
		sdktrace.WithBatchTimeout(e.delay),
		sdktrace.WithExportTimeout(e.exportLimit),
	)
	return q
}

// OnEnd implements sdktrace.SpanProcessor. It never blocks.
func (q *outlet) OnEnd(s sdktrace.ReadOnlySpan) {
	if reason := q.admit(); reason != "" {
		q.dropped(reason, 1)
		return
	}
	q.SpanProcessor.OnEnd(s)
}

// admit makes room for one span, or tells why there is none.
func (q *outlet) admit() (refusal string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.ended:
		return reasonShutdown
	case q.waiting >= q.room:
		return reasonQueueFull
	}
	q.waiting++
	return ""
}

// release takes n spans whose export has ended out of the account; false if
// shutdown has taken them out before.
func (q *outlet) release(n int) bool {
	q.mu.Lock()
	defer q.mu.Unlock()
	if q.ended {
		return false
	}
	q.waiting -= n
	return true
}

// shutdown exports what waits until ctx is done, and counts what was not
// exported by then.
func (q *outlet) shutdown(ctx context.Context) error {
	defer q.stop()
	defer context.AfterFunc(ctx, q.stop)()
	err := q.Shutdown(ctx) // the batch processor's

	q.mu.Lock()
	left := q.waiting
	q.waiting, q.ended = 0, true
	q.mu.Unlock()
	if left > 0 {
		q.dropped(reasonShutdown, left)
	}
	return err
}

// exports is the outlet's side towards the backend.
type exports struct{ *outlet }

var _ sdktrace.SpanExporter = exports{}

// ExportSpans implements sdktrace.SpanExporter. A failure is dealt with here:
// the SDK would write it to standard error.
func (e exports) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	defer context.AfterFunc(e.giveUp, cancel)()

	err := e.export(ctx, spans)
	if e.release(len(spans)) && err != nil {
		e.dropped(reasonExportFailed, len(spans))
		if !errors.Is(err, context.Canceled) || e.giveUp.Err() == nil { // else we ended it ourselves
			e.reporter.Handle(err)
		}
	}
	return nil
}

// export hands spans to the backend. A panic there is an error: nothing else
// would stop it from ending the program.
func (e exports) export(ctx context.Context, spans []sdktrace.ReadOnlySpan) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return e.exporter.ExportSpans(ctx, spans)
}

// Shutdown implements sdktrace.SpanExporter.
func (e exports) Shutdown(ctx context.Context) error { return e.exporter.Shutdown(ctx) }
