package diagnosis

import (
	"math/rand/v2"
	"slices"
	"strconv"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

const (
	// retryWindow is the maximum time from the end of a failed attempt to the start
	// of the next attempt of the same call. The longest pause of the vendor's SDKs
	// is 8 seconds (the fifth attempt of the Python SDK).
	retryWindow = 8 * time.Second
	// retryHold and retryHoldSlow are how long a call is kept open after its last
	// attempt, which includes the duration of the next one. The SDKs wait for a
	// response for 60 seconds.
	retryHold     = retryWindow + 4*time.Second
	retryHoldSlow = retryWindow + time.Minute
	slowAttempt   = 3 * time.Second // an attempt that takes so long is likely to be followed by one

	maxOpenCalls = 1024 // maximum number of calls that are kept open
	callProbes   = 8    // number of slots where an open call may be stored
	maxAttempts  = 16   // number of attempts after which a call is counted as failed
)

// CallOutcome is the outcome of a call after its last attempt.
type CallOutcome string

// The outcomes of calls.
const (
	CallSuccess           CallOutcome = "success"
	CallSuccessAfterRetry CallOutcome = "success_after_retry"
	CallFailed            CallOutcome = "failed"
	CallCanceled          CallOutcome = "canceled" // the program went away during the last attempt
)

// outcomeIndex is an index of callOutcomes.
type outcomeIndex uint8

const (
	indexSuccess outcomeIndex = iota
	indexSuccessAfterRetry
	indexFailed
	indexCanceled
)

var callOutcomes = [...]CallOutcome{
	indexSuccess: CallSuccess, indexSuccessAfterRetry: CallSuccessAfterRetry, indexFailed: CallFailed, indexCanceled: CallCanceled,
}

// Attempt is what Observe finds out about an attempt. The first fields are its place in
// a call, which is one operation that the program wanted: one or more attempts. They are
// zero for the only attempt of a call that succeeded, and if the call is not known.
type Attempt struct {
	CallID uint64        // the same for all attempts of a call
	Number int           // 1 for the first attempt
	Pause  time.Duration // since the end of the previous attempt
	Result RetryResult   // "" for the first attempt, unless it follows maxAttempts others

	// Size is how much the attempt asks for, if it failed and that may be the cause.
	Size classify.Size

	// Finding is why a success has no data, or not all of it; nil if there is nothing to report.
	Finding *Finding
}

// RetryResult is the result of a retry.
type RetryResult string

// The results of retries.
const (
	RetrySucceeded RetryResult = "success"
	RetryFailed    RetryResult = "failed"
	RetryWasted    RetryResult = "wasted"    // failed again, for a reason that a retry cannot fix
	RetryThrottled RetryResult = "throttled" // throttled again: the retry added to the load
)

// retryResults are the results of retries.
var retryResults = [...]RetryResult{RetrySucceeded, RetryFailed, RetryWasted, RetryThrottled}

// AttemptBuckets are the upper bounds of the buckets of attempts per call. The last
// one is maxAttempts, so that none is larger.
var AttemptBuckets = [...]int{1, 2, 3, 4, 5, 8, maxAttempts}

// calls remembers the calls whose last attempt failed, because another attempt may
// follow. A success takes no lock unless it is that attempt.
type calls struct {
	keys  [maxOpenCalls]atomic.Uint64    // what identifies the call in each slot; 0 if it is free
	asked [4 * maxOpenCalls]atomic.Int32 // number of open calls by fingerprint

	mu    sync.Mutex                  // held while keys is changed; guards the fields below
	ended [maxOpenCalls]time.Duration // when the last attempt of the call in each slot ended, since began
	slots [maxOpenCalls]openCall
}

// began is the time that the ends of attempts are relative to.
var began = time.Now()

// openCall is a call whose last attempt failed.
type openCall struct {
	id       uint64
	asked    uint64 // the fingerprint
	action   *action
	attempts uint8        // 0 if maxAttempts were counted as a call
	outcome  outcomeIndex // of the last attempt, as the fields below: see callOutcomeOf
	slow     bool         // see slowAttempt
	final    bool         // a retry cannot succeed
	category classify.Category
}

// callKey identifies the call that an attempt belongs to: what it asks for, with which
// credential, and by which program, whose use has the given key. Programs are
// distinguished by address and User-Agent; the port differs if the SDK opens a new
// connection.
func callKey(o *classify.Observation, use uint64) uint64 { return max(1, o.Call.Fingerprint^use) }

// succeeded reports whether an attempt did what the program wanted.
func succeeded(o *classify.Observation) bool {
	return o.Verdict.Outcome == classify.OutcomeSuccess || o.Verdict.Outcome == classify.OutcomeDryRun
}

// fingerprinted reports whether an attempt can be compared with others.
func fingerprinted(o *classify.Observation) bool {
	return o.Call.Fingerprint != 0 && o.Call.Unread != classify.UnreadMemory
}

// atOnce reports whether an attempt, of the use with the given key, is certainly a call
// that succeeded at once.
func (d *Diagnoser) atOnce(o *classify.Observation, use uint64) bool {
	return succeeded(o) && o.Source != classify.SourceCSM &&
		(!d.calls.mayHave(o) || !d.calls.has(callKey(o, use)))
}

// observeCall assigns the attempt to a call and returns its place in it.
func (d *Diagnoser) observeCall(o *classify.Observation, f found) Attempt {
	if o.Source == classify.SourceCSM {
		return Attempt{} // its records have no parameters
	}
	a := f.usage.act
	if !fingerprinted(o) {
		a.finish(1, callOutcomeOf(o.Verdict.Outcome))
		return Attempt{}
	}
	at := d.calls.add(callKey(o, f.key), a, o, succeeded(o))
	if at.Result == RetryWasted {
		d.reportWasted(o, a, at)
	}
	return at
}

// reportWasted reports that retries of an action are wasted, once in noticePause.
func (d *Diagnoser) reportWasted(o *classify.Observation, a *action, at Attempt) {
	now, last := o.End.Unix(), a.reported.Load()
	if now-last < noticePause || !a.reported.CompareAndSwap(last, now) {
		return
	}
	d.report(o, CauseRetryWasted, SeverityInfo,
		Fact{Name: "code", Value: orDash(o.Verdict.CanonicalCode())},
		Fact{Name: "attempt", Value: strconv.Itoa(at.Number)},
		Fact{Name: "pause", Value: at.Pause.Round(time.Millisecond).String()})
}

// mayHave reports whether a call that asks for the same as an attempt may be open.
func (c *calls) mayHave(o *classify.Observation) bool {
	return fingerprinted(o) && c.open(o.Call.Fingerprint).Load() != 0
}

// open returns the number of open calls with a fingerprint, and with others that share its counter.
func (c *calls) open(fingerprint uint64) *atomic.Int32 {
	return &c.asked[fingerprint%uint64(len(c.asked))]
}

// has reports whether a call with the key may be open.
func (c *calls) has(key uint64) bool {
	for i := range uint64(callProbes) {
		if c.keys[(key+i)%maxOpenCalls].Load() == key {
			return true
		}
	}
	return false
}

// add adds an attempt to its call. It closes the call if the attempt succeeded, and
// keeps it open otherwise.
func (c *calls) add(key uint64, a *action, o *classify.Observation, succeeded bool) (at Attempt) {
	c.mu.Lock()
	defer c.mu.Unlock()
	start, end := o.Start.Sub(began), o.End.Sub(began)
	slot := c.previous(key, start)
	if slot >= 0 {
		last := &c.slots[slot]
		at = Attempt{CallID: last.id, Number: int(last.attempts) + 1, Pause: start - c.ended[slot], Result: last.result(o, succeeded)}
		if i := slices.Index(retryResults[:], at.Result); i >= 0 {
			a.retries[i].Add(1)
		}
	} else if !succeeded {
		at = Attempt{CallID: newCallID(), Number: 1}
	}
	switch {
	case slot < 0 && succeeded:
		a.outcomes[indexSuccess].Add(1)
	case succeeded:
		a.finish(at.Number, callOutcomeOf(o.Verdict.Outcome))
		c.free(slot)
	default:
		asked := o.Call.Fingerprint
		if slot < 0 {
			slot = c.place(key, asked, end)
		} else {
			asked = c.slots[slot].asked
		}
		c.ended[slot] = end
		c.slots[slot] = openCall{
			id: at.CallID, asked: asked, action: a, attempts: uint8(at.Number), //nolint:gosec // at most maxAttempts
			outcome: callOutcomeOf(o.Verdict.Outcome), slow: o.Duration() > slowAttempt,
			final: o.Verdict.Outcome.Failed() && !o.Verdict.Retryable, category: o.Verdict.Category,
		}
		if at.Number >= maxAttempts { // the next attempt is a retry all the same
			a.finish(at.Number, callOutcomeOf(o.Verdict.Outcome))
			c.slots[slot].id, c.slots[slot].attempts = newCallID(), 0
		}
	}
	return at
}

// newCallID returns an identifier for a call.
func newCallID() uint64 { return max(1, rand.Uint64()) } //nolint:gosec // not a secret

// previous returns the slot of the open call that an attempt which started at the
// given time continues, or -1. Attempts that overlap are different calls.
func (c *calls) previous(key uint64, start time.Duration) int {
	found := -1
	for i := range uint64(callProbes) {
		slot := int((key + i) % maxOpenCalls)
		if c.keys[slot].Load() != key {
			continue
		}
		pause := start - c.ended[slot]
		if pause >= 0 && pause <= retryWindow && (found < 0 || c.ended[slot] > c.ended[found]) {
			found = slot
		}
	}
	return found
}

// place returns a slot for a new open call: a free one, or that of the call whose
// last attempt is the longest ago, which is closed.
func (c *calls) place(key, asked uint64, now time.Duration) int {
	oldest := -1
	for i := range uint64(callProbes) {
		slot := int((key + i) % maxOpenCalls)
		if c.keys[slot].Load() == 0 || c.expired(slot, now) {
			oldest = slot
			break
		}
		if oldest < 0 || c.ended[slot] < c.ended[oldest] {
			oldest = slot
		}
	}
	if c.keys[oldest].Load() != 0 {
		c.close(oldest)
	}
	c.keys[oldest].Store(key)
	c.open(asked).Add(1)
	return oldest
}

// expired reports whether no further attempt is expected of the call in a slot. It reads
// the slot only if it has to: place asks for several, which are in memory that is not cached.
func (c *calls) expired(slot int, now time.Duration) bool {
	age := (now - c.ended[slot]).Abs() // the clock may have been set back
	return age > retryHold && (age > retryHoldSlow || !c.slots[slot].slow)
}

// close counts the open call in a slot by its last attempt, and frees the slot.
func (c *calls) close(slot int) {
	k := &c.slots[slot]
	if k.attempts > 0 {
		k.action.finish(int(k.attempts), k.outcome)
	}
	c.free(slot)
}

// free frees a slot.
func (c *calls) free(slot int) {
	c.keys[slot].Store(0)
	c.open(c.slots[slot].asked).Add(-1)
	c.slots[slot] = openCall{}
}

// expire closes the calls that no further attempt is expected of.
func (c *calls) expire(now time.Time) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i := range c.slots {
		if c.keys[i].Load() != 0 && c.expired(i, now.Sub(began)) {
			c.close(i)
		}
	}
}

// result returns the result of a retry, after the last attempt k.
func (k *openCall) result(o *classify.Observation, succeeded bool) RetryResult {
	category := o.Verdict.Category
	switch {
	case succeeded:
		return RetrySucceeded
	case k.final && k.category == category:
		return RetryWasted
	case k.category == category && category == classify.CategoryThrottled:
		return RetryThrottled
	}
	return RetryFailed
}

// callOutcomeOf returns the outcome of a call that did not succeed at once by that of its
// last attempt.
func callOutcomeOf(last classify.Outcome) outcomeIndex {
	switch last {
	case classify.OutcomeSuccess, classify.OutcomeDryRun:
		return indexSuccessAfterRetry
	case classify.OutcomeCanceled:
		return indexCanceled
	default:
		return indexFailed
	}
}

// finish counts a call with its number of attempts and its outcome, see callOutcomeOf.
func (a *action) finish(attempts int, outcome outcomeIndex) {
	a.outcomes[outcome].Add(1)
	for i, bound := range AttemptBuckets {
		if attempts <= bound {
			a.attempts[i].Add(1)
			break
		}
	}
	a.sum.Add(uint64(attempts)) //nolint:gosec // positive
}

// Calls is what is known about the calls of one action.
type Calls struct {
	Service, Action string // "unknown" if the request did not name it, OtherAction for the rest
	Outcomes        map[CallOutcome]uint64
	Redundant       map[RedundantReason]uint64
	Retries         map[RetryResult]uint64
	Attempts        [len(AttemptBuckets)]uint64 // number of calls by number of attempts; not cumulative
	AttemptsSum     uint64
}

// Calls returns the counts of calls by action. A call whose last attempt failed is
// counted when no further attempt is expected.
func (d *Diagnoser) Calls(now time.Time) []Calls {
	d.Flush()
	d.calls.expire(now)
	actions, counted := d.counted()
	var list []Calls
	for _, a := range actions {
		c := Calls{Service: a.name.service, Action: a.name.action, Outcomes: make(map[CallOutcome]uint64), Retries: make(map[RetryResult]uint64)}
		total := uint64(0)
		for i, outcome := range callOutcomes {
			n := a.outcomes[i].Load()
			if outcome == CallSuccess {
				n = counted[a].successes
			}
			c.Outcomes[outcome] = n
			total += n
		}
		if a == &d.actions.other {
			if total == 0 {
				continue
			}
			c.Service, c.Action = OtherAction, OtherAction
		}
		for i, r := range retryResults {
			c.Retries[r] = a.retries[i].Load()
		}
		if a.reads {
			c.Redundant = make(map[RedundantReason]uint64)
			for i, r := range redundantReasons {
				c.Redundant[r] = counted[a].redundant[i]
			}
		}
		for i := range a.attempts {
			c.Attempts[i] = a.attempts[i].Load()
		}
		atOnce := c.Outcomes[CallSuccess]
		c.Attempts[0] += atOnce
		c.AttemptsSum = a.sum.Load() + atOnce
		list = append(list, c)
	}
	return list
}

// counts are the numbers of calls of an action that are counted by use.
type counts struct {
	successes uint64 // at once
	redundant [len(redundantReasons)]uint64
}

// add adds the calls of a use.
func (c *counts) add(u *use) {
	c.successes += u.successes.Load()
	for i := range u.redundant {
		c.redundant[i] += u.redundant[i].Load()
	}
}

// counted returns every action, and the numbers of its calls that are counted by use.
func (d *Diagnoser) counted() ([]*action, map[*action]*counts) {
	d.uses.mu.Lock() // so that none is dropped meanwhile
	defer d.uses.mu.Unlock()
	actions := d.actions.all()
	n := make(map[*action]*counts, len(actions))
	for _, a := range actions {
		n[a] = &counts{successes: a.outcomes[indexSuccess].Load()}
		for i := range a.redundant {
			n[a].redundant[i] = a.redundant[i].Load()
		}
	}
	for e := range d.uses.all {
		n[e.value.act].add(&e.value)
	}
	return actions, n
}

// retried returns the diagnosis of a retry that was throttled again.
func retried(at Attempt) (Diagnosis, bool) {
	if at.Result != RetryThrottled {
		return Diagnosis{}, false
	}
	return say(CauseRetryThrottled, Likely,
		Fact{Name: "attempt", Value: strconv.Itoa(at.Number)},
		Fact{Name: "pause", Value: at.Pause.Round(time.Millisecond).String()}), true
}
