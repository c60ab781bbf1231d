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

// Item is what a queue holds.
type Item interface {
	// TextBytes returns the length of the item's texts. It must not change.
	TextBytes() int
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
// Both the queue and a batch are bounded by the number of items and by the length of
// their texts, which programs and the API choose. Batches are also bounded because they
// are held encoded, and compressed, as long as the backend does not respond, and because
// backends refuse requests that are too large: of gRPC, by default those over 4 MiB.
//
// It replaces the SDK's batch processors, which wake their goroutine for each item
// and do not report what they drop.
type Queue[T Item] struct {
	exporter Exporter[T]
	dropped  func(reason string, n int)
	reporter *Reporter
	limits   Batch

	full chan struct{} // capacity 1: a batch is full
	stop chan struct{} // closed by Shutdown: export the remaining items
	done chan struct{} // closed when the goroutine has ended
	err  error         // result of the exporter's Shutdown; set before done is closed

	mu             sync.Mutex // guards the fields below
	waiting        []waiting[T]
	waitingTexts   int  // length of the texts of waiting
	exporting      int  // items whose export has not ended
	exportingTexts int  // length of their texts
	stopped        bool // Shutdown was called
	ended          bool // Shutdown has counted the items that were not exported

	giveUp context.Context // done when the time limit of Shutdown has passed
	cancel context.CancelFunc
}

// waiting is an item that waits.
type waiting[T Item] struct {
	item  T
	texts int // the item's TextBytes
}

const (
	// meanTexts is how many bytes of text an item may have, on the average of as many as
	// there may be. Usual failures have 0.6 to 2.4 KiB, others up to 19.
	meanTexts = 2 << 10
	// leastItems is the number of items for whose texts there is room in a small queue
	// or batch, so that any one fits.
	leastItems = 128
)

// texts returns how many bytes of text n items may have together.
func texts(n int) int { return max(n, leastItems) * meanTexts }

// NewQueue returns a running queue to x. dropped is called with the reason and the
// number of items that did not reach the backend; it must be safe for concurrent
// use. If it is nil, it is not called.
func NewQueue[T Item](x Exporter[T], limits Batch, dropped func(reason string, n int), r *Reporter) *Queue[T] {
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
	w := waiting[T]{item, item.TextBytes()}
	items, bytes := q.limits.Queue, texts(q.limits.Queue)
	if !important {
		items, bytes = (items+1)/2, bytes/2
	}
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return ReasonShutdown
	case len(q.waiting)+q.exporting >= items, q.waitingTexts+q.exportingTexts+w.texts > bytes:
		return ReasonQueueFull
	}
	q.waiting = append(q.waiting, w)
	q.waitingTexts += w.texts
	if q.isBatch() {
		select {
		case q.full <- struct{}{}:
		default:
		}
	}
	return ""
}

// isBatch reports whether the waiting items fill a batch. The caller holds the lock.
func (q *Queue[T]) isBatch() bool {
	return len(q.waiting) >= q.limits.Size || q.waitingTexts >= texts(q.limits.Size)
}

// run exports items until stop is closed, and then the remaining ones.
func (q *Queue[T]) run() {
	defer close(q.done)
	timer := time.NewTimer(q.limits.Delay)
	defer timer.Stop()
	var batch []T
	for stopping := false; !stopping; {
		whole := false
		select {
		case <-timer.C:
		case <-q.full:
			whole = true
		case <-q.stop:
			stopping = true
		}
		for batch = q.take(batch, whole); len(batch) > 0; batch = q.take(batch, whole) {
			q.send(batch)
			clear(batch) // release the items for garbage collection
			whole = !stopping
		}
		timer.Reset(q.limits.Delay)
	}
	q.err = q.exporter.Shutdown(q.giveUp)
}

// take returns the next items to export, or none if whole is set and they do not fill a
// batch. The result uses the memory of buf.
func (q *Queue[T]) take(buf []T, whole bool) []T {
	buf = buf[:0]
	q.mu.Lock()
	defer q.mu.Unlock()
	if whole && !q.isBatch() {
		return buf
	}
	bytes := 0
	for _, w := range q.waiting[:min(q.limits.Size, len(q.waiting))] {
		if bytes += w.texts; bytes > texts(q.limits.Size) && len(buf) > 0 {
			bytes -= w.texts
			break
		}
		buf = append(buf, w.item)
	}
	rest := copy(q.waiting, q.waiting[len(buf):])
	clear(q.waiting[rest:])
	q.waiting = q.waiting[:rest]
	q.waitingTexts -= bytes
	q.exporting, q.exportingTexts = len(buf), bytes
	return buf
}

// send exports a batch. If that fails, its items are counted as dropped.
func (q *Queue[T]) send(batch []T) {
	ctx, cancel := context.WithTimeout(q.giveUp, q.limits.Timeout)
	defer cancel()
	err := q.export(ctx, batch)

	q.mu.Lock()
	q.exporting, q.exportingTexts = 0, 0
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
