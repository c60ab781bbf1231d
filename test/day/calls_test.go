package day

import (
	"cmp"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// truthOfCalls counts the calls of the plan.
type truthOfCalls struct {
	open      map[*program]*call
	all       []*call
	asked     map[string]asked
	retries   map[diagnosis.RetryResult]uint64
	redundant map[actionReason]uint64
}

// call is one call: one or more attempts.
type call struct {
	action   string
	attempts int
	last     classify.Outcome
}

// asked is when and from where a query was made, whose result can be used again.
type asked struct {
	at   time.Time
	addr string
}

type actionReason struct {
	action string
	reason diagnosis.RedundantReason
}

func newTruthOfCalls() truthOfCalls {
	return truthOfCalls{
		open: make(map[*program]*call), asked: make(map[string]asked),
		retries: make(map[diagnosis.RetryResult]uint64), redundant: make(map[actionReason]uint64),
	}
}

// attempt counts an attempt.
func (t *truthOfCalls) attempt(o *classify.Observation, a *attempt) {
	c := t.open[a.by]
	if !a.retry || c == nil {
		c = &call{action: o.Call.Action}
		t.open[a.by] = c
		t.all = append(t.all, c)
	}
	c.attempts++
	c.last = o.Verdict.Outcome
	if a.retry {
		t.retries[cmp.Or(a.result, diagnosis.RetrySucceeded)]++
	}
	if a.wire != nil || o.Verdict.Outcome != classify.OutcomeSuccess || !reads(a.action) {
		return
	}
	// What a program asks for is the same if all of the request is, but its signature.
	what := a.host + " " + or(a.by.region, "cn-beijing-6") + " " + a.action + " " + a.version + " " + a.params.Encode() + " " + a.body + " " + a.by.key.AccessKey
	last, ok := t.asked[what]
	switch {
	case !ok || a.at.Sub(last.at) >= cmp.Or(a.lasts, minute):
		t.asked[what] = asked{a.at, a.by.addr}
	case last.addr == a.by.addr:
		t.redundant[actionReason{a.action, diagnosis.RedundantTooOften}]++
	default:
		t.redundant[actionReason{a.action, diagnosis.RedundantOtherClient}]++
	}
}

// reads reports whether an action reads.
func reads(action string) bool {
	switch action {
	case "AddAlarmReceives", "DeleteAlarmReceives", "UpdateAlertUserStatus", "CreateAlarmPolicy", "DeleteAlarmPolicy", "PutMetricData", "PutDefaultEventPolicy":
		return false
	}
	return true
}

// outcome returns how the call ended.
func (c *call) outcome() diagnosis.CallOutcome {
	switch {
	case c.last == classify.OutcomeCanceled:
		return diagnosis.CallCanceled
	case c.last != classify.OutcomeSuccess && c.last != classify.OutcomeDryRun:
		return diagnosis.CallFailed
	case c.attempts > 1:
		return diagnosis.CallSuccessAfterRetry
	}
	return diagnosis.CallSuccess
}

// totals compares the counters at the end of the day with the true numbers.
func (s *score) totals(d *diagnosis.Diagnoser, now time.Time) {
	type actionOutcome struct {
		action  string
		outcome diagnosis.CallOutcome
	}
	calls, attempts := map[actionOutcome]uint64{}, map[string]uint64{}
	for _, c := range s.calls.all {
		action := cmp.Or(c.action, "unknown")
		calls[actionOutcome{action, c.outcome()}]++
		attempts[action] += uint64(c.attempts)
	}
	given, sums, retries, redundant := map[actionOutcome]uint64{}, map[string]uint64{}, map[diagnosis.RetryResult]uint64{}, map[actionReason]uint64{}
	for _, c := range d.Calls(now) {
		for outcome, n := range c.Outcomes {
			given[actionOutcome{c.Action, outcome}] += n
		}
		for reason, n := range c.Redundant {
			redundant[actionReason{c.Action, reason}] += n
		}
		for result, n := range c.Retries {
			retries[result] += n
		}
		sums[c.Action] += c.AttemptsSum
	}
	for k := range both(calls, given) {
		s.count("metric calls_total", k.action+" "+string(k.outcome), calls[k], given[k])
	}
	for action := range both(attempts, sums) {
		s.count("metric call_attempts", action, attempts[action], sums[action])
	}
	for result := range both(s.calls.retries, retries) {
		s.count("metric retries_total", string(result), s.calls.retries[result], retries[result])
	}
	for k := range both(s.calls.redundant, redundant) {
		s.count("metric redundant_calls_total", k.action+" "+string(k.reason), s.calls.redundant[k], redundant[k])
	}
}

// both returns the keys of two maps.
func both[K comparable](a, b map[K]uint64) map[K]bool {
	keys := make(map[K]bool, len(a)+len(b))
	for k := range a {
		keys[k] = true
	}
	for k := range b {
		keys[k] = true
	}
	return keys
}
