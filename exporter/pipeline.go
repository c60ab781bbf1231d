// Package exporter tells people what became of calls.
//
//	collector ──> Pipeline ──> metrics                        at once
//	                 │
//	                 └─ bounded queue ──> record ──> journal  on a goroutine
//	                                         ├─────> logs     of its own
//	                                         └─────> traces
//
// What the relay waits for is the metrics, and for failures one copy. All that
// reads, redacts or writes text happens behind the queue.
package exporter

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
)

// DefaultQueueSize is how many observations may wait unless told otherwise.
const DefaultQueueSize = 2048

// Options are the sinks of a pipeline.
type Options struct {
	Metrics *metrics.Metrics // needed
	Traces  *traces.Tracer   // nil for no spans
	Logs    *logs.Events     // nil for no lines
	Journal *journal.Journal // nil for no journal

	// QueueSize is how many observations may wait for the sinks behind the
	// queue; DefaultQueueSize if it is not positive.
	QueueSize int
}

// Pipeline hands observations to the sinks. It is a collector.Sink: its methods
// never block and never panic, whatever the sinks do. It is safe for concurrent
// use.
type Pipeline struct {
	metrics   *metrics.Metrics
	traces    *traces.Tracer
	logs      *logs.Events
	journal   *journal.Journal
	diagnoser *diagnosis.Diagnoser

	mu     sync.RWMutex // held for reading while offering; guards closed
	closed bool
	queue  chan kept
	filled chan struct{} // capacity 1: half of the queue is taken
	stop   chan struct{} // closed by Shutdown
	done   chan struct{} // closed when the queue is worked off
}

// linger is how long the worker lets observations gather once it has worked off
// the queue. Where failures come by the thousand, a wake-up for each would take
// the processor from the relay that often. The first one after a pause is served
// at once.
const linger = 2 * time.Millisecond

// kept is an observation on its way to the sinks that asked for it.
type kept struct {
	copy                  *observationCopy
	traces, logs, journal bool
}

// observationCopy is an observation that shares nothing with the collector.
type observationCopy struct {
	classify.Observation
	texts []byte // memory of its texts
}

var copies = sync.Pool{New: func() any { return new(observationCopy) }}

// maxKeptTexts is the most memory of texts that is used again, in bytes.
const maxKeptTexts = 4 << 10

func copyOf(o *classify.Observation) *observationCopy {
	c := copies.Get().(*observationCopy)
	c.texts = o.CloneInto(&c.Observation, c.texts)
	return c
}

// release ends the use of c, of which nothing is kept.
func (c *observationCopy) release() {
	c.Observation = classify.Observation{}
	clear(c.texts)
	if cap(c.texts) > maxKeptTexts {
		c.texts = nil
	}
	copies.Put(c)
}

// New returns a running pipeline; Shutdown stops it.
func New(opts Options) *Pipeline {
	if opts.QueueSize <= 0 {
		opts.QueueSize = DefaultQueueSize
	}
	p := &Pipeline{
		metrics: opts.Metrics,
		traces:  opts.Traces,
		logs:    opts.Logs,
		journal: opts.Journal,
		queue:   make(chan kept, opts.QueueSize),
		filled:  make(chan struct{}, 1),
		stop:    make(chan struct{}),
		done:    make(chan struct{}),

		diagnoser: diagnosis.New(),
	}
	p.metrics.Watch(p.sources())
	go p.work()
	return p
}

// sources lets the metrics tell the state of the queue and the journal.
func (p *Pipeline) sources() metrics.Sources {
	s := metrics.Sources{
		Queue: func() metrics.QueueStats {
			return metrics.QueueStats{Length: len(p.queue), Capacity: cap(p.queue)}
		},
	}
	s.Clocks = p.clocks
	if p.journal != nil {
		s.Journal = func() metrics.JournalStats { return metrics.JournalStats(p.journal.Stats()) }
	}
	return s
}

// clocks returns the clocks of programs for the metrics.
func (p *Pipeline) clocks() []metrics.ClockStats {
	var all []metrics.ClockStats
	for _, c := range p.diagnoser.Clocks(time.Now()) {
		s := metrics.ClockStats{Skew: c.Skew.Offset, Uncertainty: c.Skew.Uncertainty}
		if c.Client.IsValid() {
			s.Client = c.Client.String()
		}
		all = append(all, s)
	}
	return all
}

// Begin tells that an attempt is about to be sent upstream.
func (p *Pipeline) Begin(call *classify.Call) {
	defer p.recovered(metrics.SinkMetrics)
	p.metrics.Begin(call)
}

// Observe tells how an attempt ended. It sets o.Span, and keeps nothing of o.
func (p *Pipeline) Observe(o *classify.Observation) {
	k := kept{traces: p.decide(o)}
	p.count(o)
	p.learn(o)

	k.journal = p.journal != nil && (o.Verdict.Outcome.Failed() || o.Fault.Refused())
	k.logs = p.wantsLine(o)
	if k.traces || k.logs || k.journal {
		p.offer(k, o)
	}
}

// decide asks whether the attempt's span is kept.
func (p *Pipeline) decide(o *classify.Observation) bool {
	if p.traces == nil {
		return false
	}
	defer p.recovered(metrics.SinkTraces)
	return p.traces.Decide(o)
}

// wantsLine asks whether the attempt may be logged.
func (p *Pipeline) wantsLine(o *classify.Observation) bool {
	if p.logs == nil {
		return false
	}
	defer p.recovered(metrics.SinkLogs)
	return p.logs.Wants(o)
}

// count counts the attempt.
func (p *Pipeline) count(o *classify.Observation) {
	defer p.recovered(metrics.SinkMetrics)
	p.metrics.Observe(o)
}

// learn lets the diagnoses learn from the attempt.
func (p *Pipeline) learn(o *classify.Observation) {
	defer p.recovered(metrics.SinkDiagnosis)
	p.diagnoser.Observe(o)
}

// diagnose adds to r why the attempt failed.
func (p *Pipeline) diagnose(o *classify.Observation, r *record.Record) {
	defer p.recovered(metrics.SinkDiagnosis)
	r.Diagnose(p.diagnoser.Diagnose(o))
}

// offer queues a copy of o, or counts it as dropped. What did not fail has only
// half of the queue, so that a rush of successes pushes out no failure.
func (p *Pipeline) offer(k kept, o *classify.Observation) {
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
	if len(p.queue) == cap(p.queue) { // do not copy what is about to be dropped
		p.drop(k, metrics.ReasonQueueFull)
		return
	}
	k.copy = copyOf(o)
	select {
	case p.queue <- k:
		if len(p.queue) >= (cap(p.queue)+1)/2 {
			select {
			case p.filled <- struct{}{}:
			default:
			}
		}
	default:
		k.copy.release()
		p.drop(k, metrics.ReasonQueueFull)
	}
}

// drop counts k as dropped for every sink that asked for it.
func (p *Pipeline) drop(k kept, reason metrics.Reason) {
	if k.traces {
		p.metrics.Dropped(metrics.SinkTraces, reason, 1)
	}
	if k.logs {
		p.metrics.Dropped(metrics.SinkLogs, reason, 1)
	}
	if k.journal {
		p.metrics.Dropped(metrics.SinkJournal, reason, 1)
	}
}

// work serves the queue until it is closed and empty.
func (p *Pipeline) work() {
	defer close(p.done)
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for k := range p.queue {
		if r := p.record(k); r != nil {
			p.serve(k, r)
		}
		if len(p.queue) > 0 {
			continue
		}
		timer.Reset(linger)
		select {
		case <-timer.C:
		case <-p.filled:
		case <-p.stop:
		}
	}
}

// record writes k down; nil if that panicked.
func (p *Pipeline) record(k kept) (r *record.Record) {
	defer k.copy.release()
	defer func() {
		if recover() != nil {
			p.drop(k, metrics.ReasonPanic)
		}
	}()
	r = record.New(&k.copy.Observation)
	p.diagnose(&k.copy.Observation, r)
	return r
}

// serve hands r to the sinks that asked for it.
func (p *Pipeline) serve(k kept, r *record.Record) {
	if k.journal {
		p.guarded(metrics.SinkJournal, p.journal.Add, r)
	}
	if k.logs {
		p.guarded(metrics.SinkLogs, p.logs.Write, r)
	}
	if k.traces {
		p.guarded(metrics.SinkTraces, p.traces.Record, r)
	}
}

// guarded calls a sink, and counts its panic as a drop.
func (p *Pipeline) guarded(sink metrics.Sink, take func(*record.Record), r *record.Record) {
	defer p.recovered(sink)
	take(r)
}

// recovered ends a panic of sink and counts it. It is to be deferred.
func (p *Pipeline) recovered(sink metrics.Sink) {
	if recover() != nil {
		p.metrics.Dropped(sink, metrics.ReasonPanic, 1)
	}
}

// Shutdown works off the queue and flushes the spans, until ctx is done.
// Observations that come later still count in the metrics. The logger is the
// caller's to close, after this.
func (p *Pipeline) Shutdown(ctx context.Context) error {
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
		for k := range p.queue {
			p.drop(k, metrics.ReasonShutdown)
		}
	}
	if p.traces != nil {
		err = errors.Join(err, p.traces.Shutdown(ctx))
	}
	return err
}
