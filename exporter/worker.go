package exporter

import (
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// work serves the queue until it is closed and empty.
func (p *Pipeline) work() {
	defer close(p.done)
	timer := time.NewTimer(linger)
	defer timer.Stop()
	for q := range p.queue {
		if r := p.record(q); r != nil {
			p.serve(q, r)
		}
		p.release(q)
		p.served.Add(1)
		if len(p.queue) == 0 {
			p.pause(timer)
		}
	}
}

// pause waits for more observations.
func (p *Pipeline) pause(timer *time.Timer) {
	select {
	case <-p.filled: // sent for observations that have been served
	default:
	}
	timer.Reset(linger)
	select {
	case <-timer.C:
	case <-p.filled:
	case <-p.stop:
	}
}

// record returns the record of q, or nil if making it panicked.
func (p *Pipeline) record(q *queued) (r *record.Record) {
	k, o := &q.kept, &q.observation
	defer func() {
		if recover() != nil {
			p.drop(k, metrics.ReasonPanic)
		}
	}()
	id := record.Identity{Span: k.span, Attempt: k.attempt}
	if k.journal {
		id.ID = p.ids.Next(time.Now())
	}
	r = p.records.Identified(o, &id)
	p.diagnose(o, k.attempt, r)
	if k.journal && p.groups != nil {
		p.guarded(metrics.SinkJournal, p.groups.Add, r)
	}
	if k.evidence {
		p.keepExchange(q, r)
	}
	return r
}

// keepExchange keeps what the failure looked like on the wire.
func (p *Pipeline) keepExchange(q *queued, r *record.Record) {
	if q.exchange == nil {
		p.metrics.Dropped(metrics.SinkEvidence, metrics.ReasonQueueFull, 1)
		return
	}
	defer p.recovered(metrics.SinkEvidence)
	p.evidence.Add(r.ID, &q.observation, q.exchange)
}

// keep adds the failure r to the journal and passes it on to the subscribers.
func (p *Pipeline) keep(r *record.Record) {
	p.journal.Add(r)
	if p.disk != nil {
		p.disk.Add(r)
	}
	if p.feed != nil {
		p.feed.Publish(r)
	}
}

// resolve notes that the call of r succeeded after the failures of its earlier
// attempts.
func (p *Pipeline) resolve(r *record.Record) {
	for _, failure := range p.journal.Resolve(r) {
		if p.disk != nil {
			p.disk.Add(failure)
		}
		if p.groups != nil {
			p.groups.Recover(failure)
		}
	}
}

// export passes the span of the attempt to the tracer.
func (p *Pipeline) export(q *queued, r *record.Record) {
	defer p.recovered(metrics.SinkTraces)
	d := &p.details
	*d = record.DetailsOf(&q.observation)
	d.Span, d.Operation = q.span, q.operation
	d.Previous = p.links.link(&q.attempt, q.span, r.Outcome.Failed())
	p.traces.Record(r, d)
}

// serve passes r to the sinks that asked for it.
func (p *Pipeline) serve(q *queued, r *record.Record) {
	if q.journal {
		p.guarded(metrics.SinkJournal, p.keep, r)
	}
	if p.journal != nil && q.resolves() {
		p.guarded(metrics.SinkJournal, p.resolve, r)
	}
	if q.logs {
		p.guarded(metrics.SinkLogs, p.logs.Write, r)
	}
	if q.traces {
		p.export(q, r)
	}
}

// guarded calls a sink and counts a panic as a drop.
func (p *Pipeline) guarded(sink metrics.Sink, take func(*record.Record), r *record.Record) {
	defer p.recovered(sink)
	take(r)
}

// recovered recovers from a panic of sink and counts it. It must be deferred.
func (p *Pipeline) recovered(sink metrics.Sink) {
	if recover() != nil {
		p.metrics.Dropped(sink, metrics.ReasonPanic, 1)
	}
}
