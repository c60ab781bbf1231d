package diagnosis

import (
	"sync/atomic"
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

// HiddenCauses lists the causes that Hidden returns.
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

	facts []classify.Fact
}

// Diagnoses returns the diagnosis of the finding, or nil if it has none.
func (f *Finding) Diagnoses() []Diagnosis {
	if f.Cause == CauseDataNone {
		return nil
	}
	return []Diagnosis{say(f.Cause, f.Certainty, f.facts...)}
}

// The limits of the analysers of successful responses.
const (
	hiddenBudget = 64               // responses with data that are read in a second
	reportPause  = 10 * time.Minute // between two reports of the same query
)

// hidden holds the state of the analysers of successful responses.
type hidden struct {
	budget  budget
	queries queries
	pages   pages
}

// Hidden returns why a successful response has no data, or not all of it, and nil
// if there is nothing to report. It does not retain o. For a response with data it
// does not allocate, and takes next to no time beyond hiddenBudget responses in a
// second.
func (d *Diagnoser) Hidden(o *classify.Observation) *Finding {
	v := &o.Verdict
	switch {
	case v.Outcome != classify.OutcomeSuccess || o.Fault != classify.FaultNone:
		return nil
	case v.Empty:
		return d.hidden.empty(o)
	case d.hidden.budget.spent(o.End.Unix(), hiddenBudget):
		return nil
	case givesPoints(o.Call.Action):
		d.hidden.budget.spend()
		return d.hidden.data(o)
	case givesLists(o.Call.Action):
		d.hidden.budget.spend()
		return d.hidden.page(o)
	}
	return nil
}

// budget limits how often something is done in a second.
type budget struct {
	second atomic.Int64
	used   atomic.Int32
}

// spent reports whether the budget of the second is used up. Callers that ask at the
// same time may exceed it by a few.
func (b *budget) spent(second int64, limit int32) bool {
	if b.second.Load() != second {
		b.second.Store(second)
		b.used.Store(0)
	}
	return b.used.Load() >= limit
}

// spend uses a part of the budget.
func (b *budget) spend() { b.used.Add(1) }

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
