// Package exporter turns observations into metrics, log lines, spans and journal entries.
//
//	collector ──> Pipeline ──> metrics, activity                            at once
//	                 │
//	                 └─ bounded queue ──> record ──> groups, journal, feed  on a goroutine
//	                                         ├─────> logs, journal's file   of its own
//	                                         └─────> traces
//
// The relay waits only for the metrics to be updated, for the diagnoser to learn from the
// attempt or to copy it, and, for failures, for one copy of the observation. Text is read,
// redacted and written behind the queue.
package exporter

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/evidence"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal/disk"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
)

// DefaultQueueSize is the default of Options.QueueSize.
const DefaultQueueSize = 2048

// Options are the sinks of a pipeline.
type Options struct {
	Metrics *metrics.Metrics // required
	Traces  *traces.Tracer   // if nil, no spans are made
	Logs    *logs.Events     // if nil, no attempts are logged
	Journal *journal.Journal // if nil, no failures are kept

	// Activity, Groups and Feed may be nil. Groups and Feed get the failures that
	// the journal gets.
	Activity *activity.Activity
	Groups   *groups.Table
	Feed     *feed.Feed

	// Disk keeps the failures that the journal gets in a file; Shutdown closes it. It
	// may be nil. Restored are the failures of earlier runs, oldest first.
	Disk     *disk.Store
	Restored []*record.Record

	// Evidence keeps the exchanges of the failures that the journal gets. It may be
	// nil.
	Evidence *evidence.Store

	// Flush is called by Shutdown when the queue is empty, while the spans are
	// flushed. It may be nil.
	Flush func(context.Context) error

	// Limits are the limits on the rates of actions. If nil, they are those that the
	// vendor documents.
	Limits []diagnosis.QuotaLimit

	// QueueSize is the maximum number of observations in the queue. If it is not
	// positive, DefaultQueueSize is used.
	QueueSize int
}

// Pipeline passes observations to the sinks. It implements classify.Sink: its
// methods never block and never panic, whatever the sinks do. It is safe for
// concurrent use.
type Pipeline struct {
	metrics   *metrics.Metrics
	traces    *traces.Tracer
	logs      *logs.Events
	journal   *journal.Journal
	disk      *disk.Store     // may be nil
	evidence  *evidence.Store // may be nil
	activity  *activity.Activity
	groups    *groups.Table
	feed      *feed.Feed
	ids       *record.IDs
	diagnoser *diagnosis.Diagnoser
	flush     func(context.Context) error // may be nil

	mu     sync.RWMutex // held for reading while offering; guards closed
	closed bool
	queue  chan *queued
	// texts is the memory of the texts of what is queued, in bytes.
	texts atomic.Int64
	// offered counts the observations that were to be queued, served those of them that
	// were served or dropped since. Both are the same while nothing is queued.
	offered, served atomic.Uint64

	filled chan struct{} // capacity 1: the worker should not wait any longer
	stop   chan struct{} // closed by Shutdown
	done   chan struct{} // closed when the queue is empty after Shutdown

	// The fields below are used by the worker only.
	records record.Maker
	details record.Details // of the attempt that is exported
	links   links
}

const (
	// linger is how long the worker waits for more observations after it has
	// emptied the queue. When it wakes up, the processor's caches hold nothing of its
	// work, and afterwards nothing of the relay's. The first observation after a pause
	// is served at once.
	linger = 100 * time.Millisecond
	// maxBatch is the number of queued observations for which the worker stops
	// waiting. They are served in about five milliseconds, in which the relay's
	// threads come first.
	maxBatch = 512
	// maxQueuedTexts limits the memory of texts in the queue, such as URLs, which may have
	// tens of KiB each, and the vendor's messages. Usual ones take a fifth of it in a full queue.
	maxQueuedTexts = 8 << 20
)

// New returns a running pipeline. Call Shutdown to stop it.
func New(opts Options) *Pipeline {
	if opts.QueueSize <= 0 {
		opts.QueueSize = DefaultQueueSize
	}
	p := &Pipeline{
		metrics:  opts.Metrics,
		traces:   opts.Traces,
		logs:     opts.Logs,
		journal:  opts.Journal,
		disk:     opts.Disk,
		evidence: opts.Evidence,
		activity: opts.Activity,
		groups:   opts.Groups,
		feed:     opts.Feed,
		flush:    opts.Flush,
		ids:      record.NewIDs(),
		queue:    make(chan *queued, opts.QueueSize),
		filled:   make(chan struct{}, 1),
		stop:     make(chan struct{}),
		done:     make(chan struct{}),

		diagnoser: diagnosis.New(),
	}
	p.diagnoser.Notify(p.notice)
	p.diagnoser.OnFinding(p.found)
	p.restore(opts.Restored)
	if opts.Limits != nil {
		p.diagnoser.SetLimits(opts.Limits)
	}
	p.register()
	go p.work()
	go p.learnRest()
	return p
}

// restore adds failures of earlier runs to the journal and the groups.
func (p *Pipeline) restore(records []*record.Record) {
	for _, r := range records {
		p.ids.Follow(r.ID)
		if p.groups != nil {
			p.groups.Restore(r)
		}
		if p.journal != nil {
			p.journal.Add(r)
		}
	}
}

// Diagnoser returns the diagnoser, for events to note and for its summaries.
func (p *Pipeline) Diagnoser() *diagnosis.Diagnoser { return p.diagnoser }

// Begin reports that an attempt is being sent upstream.
func (p *Pipeline) Begin(call *classify.Call) {
	defer p.recovered(metrics.SinkMetrics)
	p.metrics.Begin(call)
}

// Observe reports a finished attempt. It neither changes nor retains o.
func (p *Pipeline) Observe(o *classify.Observation) {
	span := p.decide(o)
	operation := p.count(o, span)
	line := p.wantsLine(o)
	if !span.Exported && !line && p.learnLater(o) {
		return
	}
	p.pass(&kept{span: span, operation: operation, attempt: p.learn(o), traces: span.Exported, logs: line}, o)
}

// pass queues the attempt if a sink asks for it.
func (p *Pipeline) pass(k *kept, o *classify.Observation) {
	failed := o.Verdict.Outcome.Failed() || o.Fault.Refused()
	k.journal = p.journal != nil && (failed || k.attempt.Finding != nil)
	k.evidence = k.journal && failed && p.evidence != nil
	k.logs = k.logs || p.logs != nil && k.attempt.Finding != nil
	if k.traces || k.logs || k.journal || k.resolves() {
		p.offer(k, o)
	}
}

// decide returns the span of the attempt.
func (p *Pipeline) decide(o *classify.Observation) record.Span {
	if p.traces == nil {
		return record.Span{}
	}
	defer p.recovered(metrics.SinkTraces)
	return p.traces.Decide(o)
}

// wantsLine reports whether the attempt may be logged.
func (p *Pipeline) wantsLine(o *classify.Observation) bool {
	if p.logs == nil {
		return false
	}
	defer p.recovered(metrics.SinkLogs)
	return p.logs.Wants(o)
}

// count updates the metrics for the attempt and returns its operation.
func (p *Pipeline) count(o *classify.Observation, span record.Span) record.Operation {
	defer p.recovered(metrics.SinkMetrics)
	if p.activity != nil {
		p.activity.Observe(o)
	}
	return p.metrics.Observe(o, span)
}

// offer queues a copy of o, or counts it as dropped. Attempts that did not fail
// may use only half of the queue, so that they never displace failures.
func (p *Pipeline) offer(k *kept, o *classify.Observation) {
	p.mu.RLock()
	defer p.mu.RUnlock()
	if p.closed {
		p.drop(k, metrics.ReasonShutdown)
		return
	}
	if !k.journal && !o.Verdict.Outcome.Failed() && len(p.queue) >= (cap(p.queue)+1)/2 {
		p.drop(k, metrics.ReasonQueueFull)
		return
	}
	if len(p.queue) == cap(p.queue) { // avoid a copy that would be dropped
		p.drop(k, metrics.ReasonQueueFull)
		return
	}
	texts := textBytes(o)
	if p.texts.Add(texts) > maxQueuedTexts {
		p.texts.Add(-texts)
		p.drop(k, metrics.ReasonQueueFull)
		return
	}
	q := newQueued(k, o, texts)
	if k.evidence {
		q.exchange = p.copyExchange(o)
	}
	p.offered.Add(1)
	select {
	case p.queue <- q:
		if len(p.queue) >= min(maxBatch, (cap(p.queue)+1)/2) {
			p.hurry()
		}
	default:
		p.served.Add(1)
		p.release(q)
		p.drop(k, metrics.ReasonQueueFull)
	}
}

// hurry ends the worker's pause.
func (p *Pipeline) hurry() {
	select {
	case p.filled <- struct{}{}:
	default:
	}
}

// settlePoll is how often Settle looks whether it is over.
const settlePoll = time.Millisecond

// Settle waits until everything that was observed before has been passed to the sinks, or
// ctx is done. It reports whether it had to wait.
func (p *Pipeline) Settle(ctx context.Context) (waited bool) {
	p.learnNow()
	before := p.offered.Load()
	for p.served.Load() < before {
		waited = true
		p.hurry()
		select {
		case <-ctx.Done():
			return waited
		case <-time.After(settlePoll):
		}
	}
	return waited
}

// copyExchange copies what a failure looks like on the wire.
func (p *Pipeline) copyExchange(o *classify.Observation) *evidence.Copy {
	defer p.recovered(metrics.SinkEvidence)
	return p.evidence.Copy(o)
}

// drop counts k as dropped for every sink that asked for it.
func (p *Pipeline) drop(k *kept, reason metrics.Reason) {
	if k.traces {
		p.metrics.Dropped(metrics.SinkTraces, reason, 1)
	}
	if k.logs {
		p.metrics.Dropped(metrics.SinkLogs, reason, 1)
	}
	if k.journal {
		p.metrics.Dropped(metrics.SinkJournal, reason, 1)
	}
	if k.evidence {
		p.metrics.Dropped(metrics.SinkEvidence, reason, 1)
	}
}

// Shutdown empties the queue, closes the feed, flushes the spans and the journal's
// file, and calls Options.Flush, until ctx is done. Observations made later are
// still counted in the metrics. The caller closes the logger after Shutdown has
// returned.
func (p *Pipeline) Shutdown(ctx context.Context) error {
	p.learnNow()
	p.mu.Lock()
	if !p.closed {
		p.closed = true
		close(p.stop)
		close(p.queue)
	}
	p.mu.Unlock()

	var err error
	select {
	case <-p.done:
	case <-ctx.Done():
		err = ctx.Err()
		for q := range p.queue {
			p.drop(&q.kept, metrics.ReasonShutdown)
			p.release(q)
			p.served.Add(1)
		}
	}
	if p.feed != nil {
		p.feed.Close()
	}
	// A backend that is slow takes no time from the others.
	var flushes []func(context.Context) error
	if p.disk != nil {
		flushes = append(flushes, p.disk.Shutdown)
	}
	if p.flush != nil {
		flushes = append(flushes, p.flush)
	}
	if p.traces != nil {
		flushes = append(flushes, p.traces.Shutdown)
	}
	flushed := make(chan error, len(flushes))
	for _, flush := range flushes {
		go func() { flushed <- flush(ctx) }()
	}
	for range flushes {
		err = errors.Join(err, <-flushed)
	}
	return err
}
