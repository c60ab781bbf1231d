// Package diagnosis finds out why a call failed: the cause, the evidence for it in
// the request and its response, who is to blame, and what to do.
//
//	collector ──> Diagnoser.Observe        learns from every attempt, synchronously, and
//	                  │     │              explains successful responses without data
//	                queue   └─> backlog    holds copies of successes
//	                  │             │
//	                  │             └─> Diagnoser.Flush   learns from them
//	                  │
//	                  └─> Diagnoser.Diagnose   explains a failed attempt
//
// Only Observe and ObserveLater are called on the goroutines that relay calls.
//
// The package consists of analysers, each with a file and a table of tests. An
// analyser has an input type with the parts of an observation that it needs, uses
// a bounded amount of memory, and returns nothing if it cannot tell the cause.
package diagnosis

import (
	"sync/atomic"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Diagnosis is a possible or excluded cause of a failure. It contains no secrets.
// Its JSON form is part of the API.
type Diagnosis struct {
	Cause     Cause          `json:"cause"`
	Certainty Certainty      `json:"certainty"`
	Blame     classify.Blame `json:"blame"`
	Summary   Text           `json:"summary"`
	Evidence  Text           `json:"evidence"`
	Advice    Advice         `json:"advice"`
}

// Cause identifies a cause. It is the key of the cause in causes.yaml. For a cause
// found by a signature.Check, it is the name of the check.
type Cause string

// The causes that do not correspond to a signature.Check.
const (
	CauseClockSkew      Cause = "clock_skew"
	CauseClockZone      Cause = "clock_zone"
	CauseClockRight     Cause = "clock_right" // always Excluded: the clock is not the cause
	CauseSignatureStale Cause = "signature_stale"
	CauseSecretWrong    Cause = "secret_wrong"
	CauseKeyUnknown     Cause = "key_unknown"
	CauseTokenRefused   Cause = "token_refused"
	CauseTokenExpired   Cause = "token_expired"

	CauseRetryThrottled Cause = "retry_throttled"
	CauseRetryWasted    Cause = "retry_wasted" // of a Notice only

	CauseCallsRedundant Cause = "calls_redundant"
	CauseQuotaExceeded  Cause = "quota_exceeded"
	CauseQuotaShared    Cause = "quota_shared"
	CauseQuotaNear      Cause = "quota_near" // of a Notice only
	CauseSizeExceeded   Cause = "size_exceeded"
	CauseSizeNear       Cause = "size_near" // of a Notice only

	CauseKeyRevoked     Cause = "key_revoked"
	CauseKeyExpired     Cause = "key_expired"
	CausePermissionLost Cause = "permission_lost"
	CauseKeyRecovered   Cause = "key_recovered"   // of a Notice only
	CauseKeyFirstSeen   Cause = "key_first_seen"  // of a Notice only
	CauseKeyNewRegion   Cause = "key_new_region"  // of a Notice only
	CauseKeyNewService  Cause = "key_new_service" // of a Notice only
)

// Certainty is how certain a cause is.
type Certainty string

// The certainties.
const (
	Certain  Certainty = "certain"
	Likely   Certainty = "likely"
	Possible Certainty = "possible"
	Excluded Certainty = "excluded" // plausible, but not the cause
)

// Retry is whether and how the same call can succeed on a retry.
type Retry string

// The kinds of retry.
const (
	RetryNever    Retry = "never"    // not until something is changed
	RetryResign   Retry = "resign"   // immediately, if it is signed again
	RetryBackoff  Retry = "backoff"  // with increasing pauses
	RetryWindow   Retry = "window"   // in the next window of a rate limit, at a lower rate
	RetryCheck    Retry = "check"    // after making sure that the call was not carried out
	RetryUnneeded Retry = "unneeded" // nothing failed
)

// Retries lists every kind of retry.
func Retries() []Retry {
	return []Retry{RetryNever, RetryResign, RetryBackoff, RetryWindow, RetryCheck, RetryUnneeded}
}

// MaxDiagnoses is the maximum number of diagnoses of one failure.
const MaxDiagnoses = 5

// Diagnoser runs the analysers and holds their state. It is safe for concurrent use.
type Diagnoser struct {
	notify    func(Notice)                          // nil if nobody wants notices
	onFinding func(*classify.Observation, *Finding) // nil if nobody wants findings of Flush
	backlog   backlog
	clocks    clocks
	usages    usages
	uses      uses
	noUsage   row[usage] // of the attempts that there is no room for in usages
	noUse     use        // likewise
	keys      keys
	actions   actions
	calls     calls
	repeats   repeats
	limits    []QuotaLimit // immutable
	throttled [throttlings]atomic.Pointer[throttling]
	queries   budget // of requests that are read
	hidden    hidden
	incidents incidents
	triggers  happenings
	unknown   unknownCodes
	redundant redundantQueries
}

// New returns a Diagnoser without observations.
func New() *Diagnoser {
	d := &Diagnoser{
		clocks:  clocks{newTable[clock](maxClocks)},
		usages:  usages{newTable[usage](maxUsages)},
		uses:    uses{table: newTable[use](maxUses)},
		keys:    keys{known: make(map[string]*key)},
		actions: actions{known: make(map[actionName]*action)},
		limits:  DocumentedLimits(),
	}
	d.noUsage.value.key, d.noUsage.value.act = &d.keys.other, &d.actions.other
	d.noUse.act = &d.actions.other
	return d
}

// Observe learns from an attempt and returns what it found out. It can be called while
// the call is being relayed: it waits only for locks that are held for microseconds. It does
// not retain o.
func (d *Diagnoser) Observe(o *classify.Observation) Attempt {
	if o.Fault.Refused() {
		d.incidents.observe(o, &d.noUse, &d.triggers) // what called is not known
		return Attempt{}
	}
	if o.Verdict.Outcome.Failed() {
		d.Flush() // the successes before it come first
	}
	second := o.End.Unix()
	return d.observe(o, d.find(o, second), second, asks(o.Call.Action) && d.queries.take(second, queryBudget))
}

// ObserveLater is Observe for a success that is no retry. Of up to 64 of them in a second, it
// only makes a copy, from which Flush learns. It returns false, and has learned nothing, if
// the attempt has to be passed to Observe.
func (d *Diagnoser) ObserveLater(o *classify.Observation) bool {
	if o.Verdict.Outcome != classify.OutcomeSuccess || o.Fault != classify.FaultNone {
		return false
	}
	second := o.End.Unix()
	var f found
	if d.calls.mayHave(o) {
		if f = d.find(o, second); !d.atOnce(o, f.key) {
			return false
		}
	}
	switch {
	case d.mayCopy(o.Call.Action, second) && d.backlog.put(o):
		return true
	case o.Verdict.Empty:
		return false
	case f.use == nil:
		f = d.find(o, second)
	}
	d.observe(o, f, second, false)
	return true
}

// mayCopy reports whether one more success may be copied. Those whose queries are not of
// interest get only half of queryBudget.
func (d *Diagnoser) mayCopy(action string, second int64) bool {
	if d.queries.isSpent(second, queryBudget) { // as it is for most
		return false
	}
	if asks(action) {
		return d.queries.take(second, queryBudget)
	}
	return d.queries.take(second, queryBudget/2)
}

// Flush learns from what ObserveLater copied. It passes findings to the function set with
// OnFinding.
func (d *Diagnoser) Flush() {
	d.backlog.empty(func(o *classify.Observation) {
		second := o.End.Unix()
		if at := d.observe(o, d.find(o, second), second, true); at.Finding != nil && d.onFinding != nil {
			d.onFinding(o, at.Finding)
		}
	})
}

// observe learns from an attempt, for which find returned f. If read is true, its query is
// read if that is of interest.
func (d *Diagnoser) observe(o *classify.Observation, f found, second int64, read bool) Attempt {
	failed := o.Verdict.Outcome.Failed()
	d.observeCredential(o, f.usage, second, failed)
	if failed {
		d.observeFailure(o, f.use)
	}
	d.observeClock(o, f.use, second)
	d.observeRepeat(o, f, second)
	d.observeQuota(o, f.usage, second)
	size, finding := d.observeQuery(o, f, second, failed, read)
	if d.atOnce(o, f.key) {
		if f.use.successes.Add(1); f.use == &d.noUse {
			f.usage.act.outcomes[indexSuccess].Add(1)
		}
		return Attempt{Finding: finding}
	}
	f.use.others.Add(1)
	at := d.observeCall(o, f)
	at.Size, at.Finding = size, finding
	return at
}

// queryBudget is the number of attempts whose query is read in a second, in addition to
// those that have no data or that may have failed for their size.
const queryBudget = maxBacklog

// asks reports whether the queries of an action are of interest.
func asks(action string) bool { return givesPoints(action) || givesLists(action) }

// observeQuery learns from what an attempt asks for: if read is true, if it has no data, or
// if it may have failed for its size, which is returned then. It returns the finding about a
// success.
func (d *Diagnoser) observeQuery(o *classify.Observation, f found, second int64, failed, read bool) (classify.Size, *Finding) {
	u, v := f.usage, &o.Verdict
	success := v.Outcome == classify.OutcomeSuccess && o.Fault == classify.FaultNone
	suspect := failed && u.sizes != nil && sizeMatters(v.Category)
	read = read && (u.sizes != nil || success && asks(o.Call.Action))
	if empty := success && v.Empty; !read && !suspect && !empty {
		if success && givesLists(o.Call.Action) {
			d.hidden.pages.miss(second)
		}
		return classify.Size{}, nil
	}
	q := classify.ReadQuery(o.Target, o.RequestBody)
	size := classify.Size{}
	if u.sizes != nil {
		size = q.Size()
		d.observeSize(o, u, size, suspect, second)
	}
	switch {
	case success:
		return classify.Size{}, d.hidden.observe(o, &q, f.key)
	case suspect:
		return size, nil
	}
	return classify.Size{}, nil
}

// budget limits how often something is done in a second. It holds the second, and how often
// it was done in its lowest byte.
type budget struct{ atomic.Int64 }

// take reports whether it may be done once more. It may return false wrongly if others ask
// at the same time.
func (b *budget) take(second, limit int64) bool {
	last := b.Load()
	next := second<<8 + 1
	if last>>8 == second {
		next = last + 1
	}
	return next&0xff <= limit && b.CompareAndSwap(last, next)
}

// isSpent reports whether it was done that often in the second.
func (b *budget) isSpent(second, limit int64) bool {
	last := b.Load()
	return last>>8 == second && last&0xff >= limit
}

// found is what the analysers need to know of an attempt besides its observation. It
// is looked up once for all of them.
type found struct {
	key   uint64 // of the use: who called what, and how
	use   *use
	usage *usage
}

// find finds what an attempt belongs to.
func (d *Diagnoser) find(o *classify.Observation, second int64) found {
	recent := d.uses.recentOf(o)
	if e := recent.Load(); e != nil && e.used.Load() == second && e.value.is(o) {
		return found{e.key, &e.value, &e.value.usage.Load().value}
	}
	key := useKey(o)
	e, of := d.renew(o, key, second)
	recent.Store(e)
	f := found{key, &d.noUse, &of.value}
	if e != nil {
		f.use = &e.value
	}
	return f
}

// renew returns the use of an attempt, or nil if there is no room, and its usage.
func (d *Diagnoser) renew(o *classify.Observation, key uint64, second int64) (e *row[use], of *row[usage]) {
	if e = d.uses.find(key); e != nil && e.used.renew(second) {
		if of = e.value.usage.Load(); of == &d.noUsage || !of.used.renew(second) {
			of = d.usageOf(o, second)
			e.value.usage.Store(of)
			d.meet(o, of.value.key)
		}
		of.value.key.used.Store(second)
	} else {
		of = d.usageOf(o, second)
		d.meet(o, of.value.key)
		var isNew bool
		if e, isNew = d.useOf(o, key, second, of); isNew {
			d.triggers.clock(o.End)
			d.uses.introduce(&e.value, &d.triggers, o.End)
		}
	}
	return e, of
}

// observeClock takes a sample of the program's clock if there is none of this second.
func (d *Diagnoser) observeClock(o *classify.Observation, u *use, second int64) {
	if o.Date.IsZero() || o.Call.SignedAt.IsZero() || u.sampled.Load() == second || o.Call.Signing == classify.SigningPresigned {
		return
	}
	if in, ok := clockInputOf(o); ok {
		d.clocks.observe(in, o.End)
		u.sampled.Store(second)
	}
}

// observeFailure learns which failures occur.
func (d *Diagnoser) observeFailure(o *classify.Observation, u *use) {
	d.triggers.clock(o.End)
	u.failed.Add(1)
	d.incidents.observe(o, u, &d.triggers)
	d.unknown.observe(o)
}

// Diagnose returns the causes of the failed attempt, of which Observe returned at, the
// most likely first and the excluded last, or why a success has no data. It returns nil
// if the catalogue already says all there is. The result may be shared with other attempts.
func (d *Diagnoser) Diagnose(o *classify.Observation, at Attempt) []Diagnosis {
	if at.Finding != nil {
		return at.Finding.diagnoses()
	}
	if !o.Verdict.Outcome.Failed() {
		return nil
	}
	d.Flush()
	u, key := &d.noUsage.value, usageKey(o)
	if e := d.usages.find(key); e != nil {
		u = &e.value
	}
	all := throttled(o, u, &d.throttled[key%throttlings])
	if lost, ok := d.revoked(o, u); ok {
		all = append([]Diagnosis{lost}, all...)
	}
	if large, ok := oversized(o, u, at.Size); ok {
		all = append(all, large)
	}
	if again, ok := retried(at); ok {
		all = append(all, again)
	}
	if saved, ok := d.redundantCalls(o, u); ok {
		all = append(all, saved)
	}
	all = append(all, d.refused(o)...)
	all = append(all, inside(o)...)
	return all[:min(len(all), MaxDiagnoses)]
}

// refused returns the causes of an attempt that was refused because of its
// signature, key or time.
func (d *Diagnoser) refused(o *classify.Observation) []Diagnosis {
	v := &o.Verdict
	if !v.NotAuthenticated() {
		return nil
	}
	in := authenticationInput{
		code:      v.CanonicalCode(),
		foreign:   v.Code != "" && v.Match != classify.MatchCode,
		category:  v.Category,
		signing:   o.Call.Signing,
		signature: o.Signature,
	}
	if in.signature != nil {
		in.hasToken = in.signature.HasToken
	}
	if c, ok := clockInputOf(o); ok {
		if in.signature != nil {
			c.expires = in.signature.Expires
		}
		usual, known := d.clocks.usual(c.client, o.End)
		in.clock = judgeClock(c, usual, known, v.Category)
	}
	return authentication(in)
}

// Clocks returns the clocks that programs sign with, ordered by absolute skew,
// largest first. Only programs seen in the last 15 minutes are included.
func (d *Diagnoser) Clocks(now time.Time) []Clock {
	d.Flush()
	return d.clocks.list(now)
}
