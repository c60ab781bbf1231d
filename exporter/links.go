package exporter

import (
	"slices"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// maxLinks is the number of calls in links.
const maxLinks = 256

// links remembers the spans of the last failed attempts by call, so that the span of
// a retry is linked to that of the attempt before it. It is a ring.
type links struct {
	calls [maxLinks]uint64
	spans [maxLinks]record.Span
	next  int
}

// link returns the span of the attempt before at in its call, if it is known, and
// remembers that of at if it failed.
func (l *links) link(at *diagnosis.Attempt, span record.Span, failed bool) (previous record.Span) {
	if at.CallID == 0 {
		return previous
	}
	slot := -1
	if at.Number > 1 {
		if slot = slices.Index(l.calls[:], at.CallID); slot >= 0 {
			previous = l.spans[slot]
		}
	}
	if !failed {
		return previous
	}
	if slot < 0 {
		slot = l.next
		l.next = (l.next + 1) % maxLinks
	}
	l.calls[slot], l.spans[slot] = at.CallID, span
	return previous
}
