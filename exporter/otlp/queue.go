package otlp

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// Exporter sends items to a backend. Its methods are not called concurrently,
// except for Shutdown. It must not retain the slice.
type Exporter[T any] interface {
	Export(ctx context.Context, items []T) error
	Shutdown(ctx context.Context) error
}

// The reasons why items are dropped.
const (
	ReasonQueueFull    = "queue_full"
	ReasonExportFailed = "export_failed"
	ReasonShutdown     = "shutdown"
)

// Queue collects items and exports them in batches on its own goroutine, when a
// batch is full or after a delay. Every item that does not reach the backend is
// counted as dropped.
//
//	Add ──> room? ──> waiting ──> batch ──> exporter ──> backend
//	          │no                             │failed
//	          └──> queue_full                 └──> export_failed
//
// It replaces the SDK's batch processors, which wake their goroutine for each item
// and do not report what they drop.
type Queue[T any] struct {
	exporter Exporter[T]
	dropped  func(reason string, n int)
	reporter *Reporter
	limits   Batch

	full chan struct{} // capacity 1: a batch is full
	stop chan struct{} // closed by Shutdown: export the remaining items
	done chan struct{} // closed when the goroutine has ended
	err  error         // result of the exporter's Shutdown; set before done is closed

	mu        sync.Mutex // guards the fields below
	waiting   []T
	exporting int  // items whose export has not ended
	stopped   bool // Shutdown was called
	ended     bool // Shutdown has counted the items that were not exported

	giveUp context.Context // done when the time limit of Shutdown has passed
	cancel context.CancelFunc
}

// NewQueue returns a running queue to x. dropped is called with the reason and the
// number of items that did not reach the backend; it must be safe for concurrent
// use. If it is nil, it is not called.
func NewQueue[T any](x Exporter[T], limits Batch, dropped func(reason string, n int), r *Reporter) *Queue[T] {
	q := &Queue[T]{
		exporter: x, dropped: dropped, reporter: r, limits: limits,
		full: make(chan struct{}, 1), stop: make(chan struct{}), done: make(chan struct{}),
	}
	if q.dropped == nil {
		q.dropped = func(string, int) {}
	}
	q.giveUp, q.cancel = context.WithCancel(context.Background()) //nolint:gosec // Shutdown cancels it
	go q.run()
	return q
}

// Add queues an item, or counts it as dropped. It never blocks. Items that are not
// important may use only half of the queue, so that they never displace those that
// are.
func (q *Queue[T]) Add(item T, important bool) {
	if reason := q.admit(item, important); reason != "" {
		q.dropped(reason, 1)
	}
}

// admit queues an item, or returns the reason why it is dropped.
func (q *Queue[T]) admit(item T, important bool) (refusal string) {
	room := q.limits.Queue
	if !important {
		room = (room + 1) / 2
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return ReasonShutdown
	case len(q.waiting)+q.exporting >= room:
		return ReasonQueueFull
	}
	q.waiting = append(q.waiting, item)
	if len(q.waiting) >= q.limits.Size {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
	return ""
}

// run exports items until stop is closed, and then the remaining ones.
func (q *Queue[T]) run() {
	defer close(q.done)
	timer := time.NewTimer(q.limits.Delay)
	defer timer.Stop()
	var batch []T
	for stopping := false; !stopping; {
		least := 1
		select {
		case <-timer.C:
		case <-q.full:
			least = q.limits.Size
		case <-q.stop:
			stopping = true
		}
		for batch = q.take(batch, least); len(batch) > 0; batch = q.take(batch, least) {
			q.send(batch)
			clear(batch) // release the items for garbage collection
			if !stopping {
				least = q.limits.Size
			}
		}
		timer.Reset(q.limits.Delay)
	}
	q.err = q.exporter.Shutdown(q.giveUp)
}

// take returns the next items to export, or none if fewer than least are waiting.
// The result uses the memory of buf.
func (q *Queue[T]) take(buf []T, least int) []T {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) < least {
		return buf[:0]
	}
	n := min(q.limits.Size, len(q.waiting))
	buf = append(buf[:0], q.waiting[:n]...)
	rest := copy(q.waiting, q.waiting[n:])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	q.exporting = n
	return buf
}

// send exports a batch. If that fails, its items are counted as dropped.
func (q *Queue[T]) send(batch []T) {
	ctx, cancel := context.WithTimeout(q.giveUp, q.limits.Timeout)
	defer cancel()
	err := q.export(ctx, batch)

	q.mu.Lock()
	q.exporting = 0
	ended := q.ended
	q.mu.Unlock()
	if err == nil || ended {
		return
	}
	q.dropped(ReasonExportFailed, len(batch))
	if !errors.Is(err, context.Canceled) || q.giveUp.Err() == nil { // otherwise, Shutdown canceled the export
		q.reporter.Handle(err)
	}
}

// export passes the items to the exporter. It returns a panic of the exporter as
// an error, so that the program does not crash.
func (q *Queue[T]) export(ctx context.Context, batch []T) (err error) {
	defer Recovered(&err)
	return q.exporter.Export(ctx, batch)
}

// Recovered stores a panic in err. It must be deferred.
func Recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}

// Shutdown exports the waiting items until ctx is done, and counts the others as
// dropped. Further calls wait for the first one to finish.
func (q *Queue[T]) Shutdown(ctx context.Context) error {
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
		q.dropped(ReasonShutdown, left)
	}
	return err
}
