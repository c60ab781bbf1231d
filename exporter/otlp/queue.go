package otlp

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"
)

// Exporter makes the batches that are sent to a backend.
type Exporter[T any] interface {
	// NewBatch returns an empty batch.
	NewBatch() Batch[T]
	Shutdown(ctx context.Context) error
}

// Batch collects items that are exported together, in the form in which they are sent: an
// item that was just made is encoded faster than one that has waited, and takes less memory.
type Batch[T any] interface {
	// Add adds an item, and returns how many bytes it takes. It must not retain what the
	// item refers to. It is not called concurrently with Add of other batches of an
	// exporter, so that they may share memory.
	Add(item T) int
	// Export sends the items to the backend, and is the last use of the batch. It is not called
	// concurrently with Export of other batches.
	Export(ctx context.Context) error
}

// The reasons why items are dropped.
const (
	ReasonQueueFull    = "queue_full"
	ReasonExportFailed = "export_failed"
	ReasonShutdown     = "shutdown"
)

// Queue collects items in batches and exports them on its own goroutine, when a
// batch is full or after a delay. Every item that does not reach the backend is
// counted as dropped.
//
//	Add ──> room? ──> batch ──> exporter ──> backend
//	          │no                  │failed
//	          └──> queue_full      └──> export_failed
//
// Both the queue and a batch are bounded by the number of items and by their size, which
// programs and the API choose. Batches are also bounded because they are compressed, and
// held as long as the backend does not respond, and because backends refuse requests that
// are too large: of gRPC, by default those over 4 MiB.
//
// It replaces the SDK's batch processors, which wake their goroutine for each item
// and do not report what they drop.
type Queue[T any] struct {
	exporter Exporter[T]
	dropped  func(reason string, n int)
	reporter *Reporter
	limits   BatchLimits

	full chan struct{} // capacity 1: a batch is full
	stop chan struct{} // closed by Shutdown: export the remaining items
	done chan struct{} // closed when the goroutine has ended
	err  error         // result of the exporter's Shutdown; set before done is closed

	mu      sync.Mutex // guards the fields below
	waiting []load[T]  // all but the last one are full
	held    amount     // waiting and being exported
	stopped bool       // Shutdown was called
	ended   bool       // Shutdown has counted the items that were not exported

	giveUp context.Context // done when the time limit of Shutdown has passed
	cancel context.CancelFunc
}

// load is a batch with what it holds.
type load[T any] struct {
	batch Batch[T]
	amount
}

// amount is a number of items and their size.
type amount struct{ items, bytes int }

const (
	// meanSize is how many bytes an item may take, on the average of as many as there
	// may be. Usual failures take 1.5 to 3.3 KiB, others up to 20.
	meanSize = 3 << 10
	// leastItems is the number of items for which there is room in a small queue or batch,
	// so that any one fits.
	leastItems = 128
)

// reaches reports whether a has so many items, or as many bytes as these may take. The last
// item may exceed that.
func (a amount) reaches(items int) bool {
	return a.items >= items || a.bytes >= max(items, leastItems)*meanSize
}

// NewQueue returns a running queue to x. dropped is called with the reason and the
// number of items that did not reach the backend; it must be safe for concurrent
// use. If it is nil, it is not called.
func NewQueue[T any](x Exporter[T], limits BatchLimits, dropped func(reason string, n int), r *Reporter) *Queue[T] {
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

// Add queues an item, or counts it as dropped. It never waits for the backend. Items that are
// not important may use only half of the queue, so that they never displace those that
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
	case q.held.reaches(room):
		return ReasonQueueFull
	}
	last := q.last()
	size := last.batch.Add(item)
	last.add(amount{1, size})
	q.held.add(amount{1, size})
	if last.reaches(q.limits.Size) {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
	return ""
}

func (a *amount) add(b amount) { a.items, a.bytes = a.items+b.items, a.bytes+b.bytes }

// last returns the batch that takes the next item. mu is held.
func (q *Queue[T]) last() *load[T] {
	if n := len(q.waiting); n > 0 && !q.waiting[n-1].reaches(q.limits.Size) {
		return &q.waiting[n-1]
	}
	q.waiting = append(q.waiting, load[T]{batch: q.exporter.NewBatch()})
	return &q.waiting[len(q.waiting)-1]
}

// run exports items until stop is closed, and then the remaining ones.
func (q *Queue[T]) run() {
	defer close(q.done)
	timer := time.NewTimer(q.limits.Delay)
	defer timer.Stop()
	for stopping := false; !stopping; {
		whole := false
		select {
		case <-timer.C:
		case <-q.full:
			whole = true
		case <-q.stop:
			stopping = true
		}
		for next := q.take(whole); next.batch != nil; next = q.take(whole) {
			q.send(next)
			whole = !stopping
		}
		timer.Reset(q.limits.Delay)
	}
	q.err = q.exporter.Shutdown(q.giveUp)
}

// take returns the next batch to export, or none if there is none, or none that is full and
// whole is set.
func (q *Queue[T]) take(whole bool) load[T] {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.waiting) == 0 {
		return load[T]{}
	}
	first := q.waiting[0]
	if first.items == 0 || whole && !first.reaches(q.limits.Size) {
		return load[T]{}
	}
	q.waiting = slices.Delete(q.waiting, 0, 1)
	return first
}

// send exports a batch. If that fails, its items are counted as dropped.
func (q *Queue[T]) send(l load[T]) {
	ctx, cancel := context.WithTimeout(q.giveUp, q.limits.Timeout)
	defer cancel()
	err := q.export(ctx, l.batch)

	q.mu.Lock()
	q.held.add(amount{-l.items, -l.bytes})
	ended := q.ended
	q.mu.Unlock()
	if err == nil || ended {
		return
	}
	q.dropped(ReasonExportFailed, l.items)
	if !errors.Is(err, context.Canceled) || q.giveUp.Err() == nil { // otherwise, Shutdown canceled the export
		q.reporter.Handle(err)
	}
}

// export exports a batch. It returns a panic of the exporter as
// an error, so that the program does not crash.
func (q *Queue[T]) export(ctx context.Context, b Batch[T]) (err error) {
	defer Recovered(&err)
	return b.Export(ctx)
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
	left := q.held.items
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
