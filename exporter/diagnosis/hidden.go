package diagnosis

import (
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// The causes of successful responses that have no data, or not all of it.
const (
	CauseIntervalFuture   Cause = "interval_future"
	CauseIntervalZone     Cause = "interval_zone"
	CauseIntervalOld      Cause = "interval_old"
	CauseIntervalRecent   Cause = "interval_recent"
	CauseIntervalReversed Cause = "interval_reversed"
	CauseDataStopped      Cause = "data_stopped"
	CauseDataStale        Cause = "data_stale"
	CausePagesUnread      Cause = "pages_unread"
	CauseDataNone         Cause = "data_none" // no cause was found
)

// HiddenCauses lists the causes of a Finding.
func HiddenCauses() []Cause {
	return []Cause{
		CauseIntervalFuture, CauseIntervalZone, CauseIntervalOld, CauseIntervalRecent, CauseIntervalReversed,
		CauseDataStopped, CauseDataStale, CausePagesUnread, CauseDataNone,
	}
}

// Finding is why a successful response has no data, or not all of it. It contains
// no secrets.
type Finding struct {
	Cause     Cause
	Certainty Certainty
	// Report reports that the finding has not been reported lately, and is to be
	// logged and kept. It is false if there is no definite cause.
	Report bool

	facts []Fact
}

// diagnoses returns the diagnosis of the finding, or nil if it has none.
func (f *Finding) diagnoses() []Diagnosis {
	if f.Cause == CauseDataNone {
		return nil
	}
	return []Diagnosis{say(f.Cause, f.Certainty, f.facts...)}
}

// reportPause is the time between two reports of the same query.
const reportPause = 10 * time.Minute

// hidden holds the state of the analysers of successful responses.
type hidden struct {
	queries queries
	pages   pages
}

// observe learns from the query q of a success, whose use has the given key. It returns
// why it has no data, or not all of it, and nil if there is nothing to report. For a
// response with data it does not allocate.
func (h *hidden) observe(o *classify.Observation, q *classify.Query, use uint64) *Finding {
	key := q.Key ^ use | 1 // not 0
	switch {
	case o.Verdict.Empty:
		return h.empty(o, q, key)
	case givesPoints(o.Call.Action):
		return h.data(o, q, key)
	case givesLists(o.Call.Action):
		return h.page(o, q, key)
	}
	return nil
}

// plain reports whether a body is not content-encoded, judging by its beginning.
func plain(body []byte) bool {
	return len(body) > 0 && (body[0] == '{' || body[0] == '[' || body[0] == '<' || body[0] == ' ' || body[0] == '\n')
}

// clockTime returns the API's time at the end of the attempt, or that of the tap.
func clockTime(o *classify.Observation) time.Time {
	if !o.Date.IsZero() {
		return o.Date
	}
	return o.End
}
