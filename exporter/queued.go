package exporter

import (
	"sync"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/evidence"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// kept is what is known of an attempt besides its observation, and the sinks that
// asked for it.
type kept struct {
	span                  record.Span
	operation             record.Operation
	attempt               diagnosis.Attempt
	traces, logs, journal bool
	evidence              bool
}

// resolves reports whether the attempt is a retry that succeeded, which is noted in
// the earlier attempts of its call.
func (k *kept) resolves() bool { return k.attempt.Result == diagnosis.RetrySucceeded }

// queued is an attempt in the queue. It shares no memory with the collector.
type queued struct {
	kept
	observation classify.Observation
	texts       []byte         // the memory of the observation's texts
	held        int64          // see textBytes
	exchange    *evidence.Copy // nil if there was no room for it, or evidence is false
}

var spare = sync.Pool{New: func() any { return new(queued) }}

// maxKeptTexts is the capacity in bytes up to which the memory of texts is reused.
const maxKeptTexts = 4 << 10

// textBytes returns the length of the texts that an observation in the queue holds. Those of
// the verdict count although they are shared if the catalogue has them: most of the longest
// are not.
func textBytes(o *classify.Observation) int64 {
	v := &o.Verdict
	return int64(o.TextBytes() + len(v.Code) + len(v.Inner) + len(v.Message))
}

// newQueued returns a copy of o, whose texts are so many bytes.
func newQueued(k *kept, o *classify.Observation, texts int64) *queued {
	q := spare.Get().(*queued)
	q.kept, q.held = *k, texts
	q.texts = o.CloneInto(&q.observation, q.texts)
	return q
}

// release gives the memory of q back. The caller must not use q afterwards.
func (p *Pipeline) release(q *queued) {
	p.texts.Add(-q.held)
	q.exchange.Release()
	q.exchange = nil
	clear(q.texts) // which have secrets, unlike what the next use of q overwrites
	if cap(q.texts) > maxKeptTexts {
		q.texts = nil
	}
	spare.Put(q)
}
