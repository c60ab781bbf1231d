package traces

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// exporter sends spans to a backend. Its methods are not called concurrently,
// except for shutdown. It must not retain the slice.
type exporter interface {
	export(ctx context.Context, spans []*span) error
	shutdown(ctx context.Context) error
}

// outlet collects spans and exports them in batches on its own goroutine, when a
// batch is full or after a delay. Every span that does not reach the backend is
// counted as dropped.
//
//	add ──> room? ──> waiting ──> batch ──> exporter ──> backend
//	          │no                             │failed
//	          └──> queue_full                 └──> export_failed
//
// It replaces the SDK's batch processor, which wakes its goroutine for each span.
type outlet struct {
	exporter exporter
	dropped  func(reason string, n int)
	reporter *reporter

	room  int           // maximum number of spans waiting or being exported
	batch int           // maximum number of spans in one export
	delay time.Duration // time after which an incomplete batch is exported
	limit time.Duration // timeout of one export

	full chan struct{} // capacity 1: a batch is full
	stop chan struct{} // closed by shutdown: export the remaining spans
	done chan struct{} // closed when the goroutine has ended
	err  error         // result of the exporter's shutdown; set before done is closed

	mu        sync.Mutex // guards the fields below
	waiting   []*span
	exporting int  // spans whose export has not ended
	stopped   bool // shutdown was called
	ended     bool // shutdown has counted the spans that were not exported

	giveUp context.Context // done when the time limit of shutdown has passed
	cancel context.CancelFunc
}

// newOutlet returns a running outlet to x, with the limits set in e.
func newOutlet(x exporter, e *Environment, dropped func(string, int), r *reporter) *outlet {
	q := &outlet{
		exporter: x, dropped: dropped, reporter: r,
		room: e.queue, batch: e.batch, delay: e.delay, limit: e.exportLimit,
		full: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if q.dropped == nil {
		q.dropped = func(string, int) {}
	}
	q.giveUp, q.cancel = context.WithCancel(context.Background())
	go q.run()
	return q
}

// add queues a span, or counts it as dropped. It never blocks.
func (q *outlet) add(s *span) {
	if reason := q.admit(s); reason != "" {
		q.dropped(reason, 1)
	}
}

// admit queues s, or returns the reason why s is dropped.
func (q *outlet) admit(s *span) (refusal string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return reasonShutdown
	case len(q.waiting)+q.exporting >= q.roomFor(s):
		return reasonQueueFull
	}
	q.waiting = append(q.waiting, s)
	if len(q.waiting) >= q.batch {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
	return ""
}

// roomFor returns the maximum number of spans that may be queued already if s is to
// be. Spans of attempts that did not fail may use only half of the queue, so that
// they never displace those of failures.
func (q *outlet) roomFor(s *span) int {
	if s.record.Outcome.Failed() {
		return q.room
	}
	return (q.room + 1) / 2
}

// run exports spans until stop is closed, and then the remaining ones.
func (q *outlet) run() {
	defer close(q.done)
	timer := time.NewTimer(q.delay)
	defer timer.Stop()
	var batch []*span
	for stopping := false; !stopping; {
		least := 1
		select {
		case <-timer.C:
		case <-q.full:
			least = q.batch
		case <-q.stop:
			stopping = true
		}
		for batch = q.take(batch, least); len(batch) > 0; batch = q.take(batch, least) {
			q.send(batch)
			clear(batch) // release the spans for garbage collection
			if !stopping {
				least = q.batch
			}
		}
		timer.Reset(q.delay)
	}
	q.err = q.exporter.shutdown(q.giveUp)
}

// take returns the next spans to export, or none if fewer than least are
// waiting. The result uses the memory of buf.
func (q *outlet) take(buf []*span, least int) []*span {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) < least {
		return buf[:0]
	}
	n := min(q.batch, len(q.waiting))
	buf = append(buf[:0], q.waiting[:n]...)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	q.exporting = n
	return buf
}

// send exports a batch. If that fails, its spans are counted as dropped.
func (q *outlet) send(batch []*span) {
	ctx, cancel := context.WithTimeout(q.giveUp, q.limit)
	defer cancel()
	err := q.export(ctx, batch)

	q.mu.Lock()
	q.exporting = 0
	ended := q.ended
	q.mu.Unlock()
	if err == nil || ended {
		return
	}
	q.dropped(reasonExportFailed, len(batch))
	if !errors.Is(err, context.Canceled) || q.giveUp.Err() == nil { // otherwise, shutdown canceled the export
		q.reporter.Handle(err)
	}
}

// export passes the spans to the exporter. It returns a panic of the exporter as
// an error, so that the program does not crash.
func (q *outlet) export(ctx context.Context, batch []*span) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return q.exporter.export(ctx, batch)
}

// shutdown exports the waiting spans until ctx is done, and counts the others as
// dropped. Further calls wait for the first one to finish.
func (q *outlet) shutdown(ctx context.Context) error {
	defer q.cancel()
	defer context.AfterFunc(ctx, q.cancel)()
	q.mu.Lock()
	if !q.stopped {
		q.stopped = true
		close(q.stop)
	}
	q.mu.Unlock()
	var err error
	select {
	case <-q.done:
		err = q.err
	case <-ctx.Done():
		err = ctx.Err()
	}

	q.mu.Lock()
	left := len(q.waiting) + q.exporting
	if q.ended {
		left = 0
	}
	q.ended = true
	q.mu.Unlock()
	if left > 0 {
		q.dropped(reasonShutdown, left)
	}
	return err
}
