package exporter

import (
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// maxLinks is the maximum number of calls in links.
const maxLinks = 256

// links remembers the spans of the last failed attempts by call, so that the span of
// a retry is linked to that of the attempt before it.
type links struct {
	spans map[uint64]record.Span
	calls [maxLinks]uint64 // the keys of spans, a ring
	next  int
}

// link sets r.Previous for the attempt at, and remembers its span.
func (l *links) link(at diagnosis.Attempt, r *record.Record) {
	if at.CallID == 0 {
		return
	}
	if at.Number > 1 {
		r.Previous = l.spans[at.CallID]
	}
	if !r.Outcome.Failed() {
		return
	}
	if _, known := l.spans[at.CallID]; !known {
		delete(l.spans, l.calls[l.next])
		l.calls[l.next] = at.CallID
		l.next = (l.next + 1) % maxLinks
	}
	l.spans[at.CallID] = r.Span
}
