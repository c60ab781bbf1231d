package exporter

import (
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// found reports a finding about a success that was learned from later.
func (p *Pipeline) found(o *classify.Observation, f *diagnosis.Finding) {
	if f = p.reported(o, f); f == nil {
		return
	}
	k := kept{span: p.decide(o), operation: p.metrics.Operation(o), attempt: diagnosis.Attempt{Finding: f}}
	k.traces = k.span.Exported
	p.pass(&k, o)
}

// learnLater passes the attempt to the diagnoser if learn need not be called.
func (p *Pipeline) learnLater(o *classify.Observation) bool {
	defer p.recovered(metrics.SinkDiagnosis)
	return p.diagnoser.ObserveLater(o)
}

// learn passes the attempt to the diagnoser, which learns from it. The finding that it
// returns is nil if it is not to be reported.
func (p *Pipeline) learn(o *classify.Observation) diagnosis.Attempt {
	defer p.recovered(metrics.SinkDiagnosis)
	at := p.diagnoser.Observe(o)
	at.Finding = p.reported(o, at.Finding)
	return at
}

// reported counts a successful response without data, or without all of it. It returns the
// finding about it, or nil if that is not to be reported.
func (p *Pipeline) reported(o *classify.Observation, f *diagnosis.Finding) *diagnosis.Finding {
	if f == nil {
		return nil
	}
	p.metrics.Incomplete(o, f.Cause)
	if !f.Report {
		return nil
	}
	return f
}

// learnPause is the maximum time until learnRest learns from an attempt.
const learnPause = time.Second

// learnRest lets the diagnoser learn from what learnLater left, until Shutdown.
func (p *Pipeline) learnRest() {
	ticker := time.NewTicker(learnPause)
	defer ticker.Stop()
	for {
		select {
		case <-ticker.C:
			p.learnNow()
		case <-p.stop:
			return
		}
	}
}

// learnNow lets the diagnoser learn from what learnLater left.
func (p *Pipeline) learnNow() {
	defer p.recovered(metrics.SinkDiagnosis)
	p.diagnoser.Flush()
}

// diagnose adds the causes of the failure, or the finding about a success, to r.
func (p *Pipeline) diagnose(o *classify.Observation, at diagnosis.Attempt, r *record.Record) {
	defer p.recovered(metrics.SinkDiagnosis)
	r.Diagnose(p.diagnoser.Diagnose(o, at))
	r.Scope, _ = p.diagnoser.Scope(r.Kind, o.End)
}

// notice passes a notice to the journal, its subscribers and the log. None of them
// blocks, and notices are rare, so they do not pass through the queue.
func (p *Pipeline) notice(e diagnosis.Notice) {
	r := record.OfNotice(&e)
	if p.journal != nil {
		p.journal.AddNotice(r)
	}
	if p.feed != nil {
		p.feed.PublishNotice(r)
	}
	if p.logs != nil {
		p.logs.WriteNotice(r)
	}
}
