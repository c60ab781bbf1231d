package traces

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"time"
)

// exporter sends spans to a backend. Its methods are not called concurrently, but
// for shutdown. It keeps nothing of the slice.
type exporter interface {
	export(ctx context.Context, spans []*span) error
	shutdown(ctx context.Context) error
}

// outlet collects spans and exports them in batches, on a goroutine of its own:
// when there are enough for one, and what there is after a while. Every span that
// does not reach the backend is counted.
//
//	add ──> room? ──> waiting ──> batch ──> exporter ──> backend
//	          │no                             │failed
//	          └──> queue_full                 └──> export_failed
//
// It does what the SDK's batch processor does, which would wake its goroutine for
// each span.
type outlet struct {
	exporter exporter
	dropped  func(reason string, n int)
	reporter *reporter

	room  int           // the most spans that may wait or be exported
	batch int           // the most spans that are exported at once
	delay time.Duration // after which fewer are exported
	limit time.Duration // for one export

	full chan struct{} // capacity 1: there are enough spans for a batch
	stop chan struct{} // closed by shutdown: export what is left
	done chan struct{} // closed when the goroutine is over
	err  error         // of the exporter's shutdown; set before done is closed

	mu        sync.Mutex // guards the fields below
	waiting   []*span
	exporting int  // spans whose export has not ended
	stopped   bool // shutdown was called
	ended     bool // shutdown has counted what was left

	giveUp context.Context // done when the time to export at shutdown is over
	cancel context.CancelFunc
}

// newOutlet returns the running outlet to x, with limits as the environment says.
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

// add takes over a span. It never blocks.
func (q *outlet) add(s *span) {
	if reason := q.admit(s); reason != "" {
		q.dropped(reason, 1)
	}
}

// admit lets s wait, or returns why it may not.
func (q *outlet) admit(s *span) (refusal string) {
	q.mu.Lock()
	defer q.mu.Unlock()
	switch {
	case q.stopped:
		return reasonShutdown
	case len(q.waiting)+q.exporting >= q.room:
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

// run exports what waits until stop, and then what is left.
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
			clear(batch) // so that no span is kept alive
			if !stopping {
				least = q.batch
			}
		}
		timer.Reset(q.delay)
	}
	q.err = q.exporter.shutdown(q.giveUp)
}

// take returns the spans to be exported next, of which there must be so many at
// least; none if there are fewer. buf is memory to use.
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

// send exports a batch, and counts it if that fails.
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
	if !errors.Is(err, context.Canceled) || q.giveUp.Err() == nil { // else we ended it ourselves
		q.reporter.Handle(err)
	}
}

// export hands spans to the backend. A panic there is an error: nothing else
// would stop it from ending the program.
func (q *outlet) export(ctx context.Context, batch []*span) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("panic: %v", p)
		}
	}()
	return q.exporter.export(ctx, batch)
}

// shutdown exports what waits until ctx is done, and counts what was not exported
// by then. Later calls wait for the same end.
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
