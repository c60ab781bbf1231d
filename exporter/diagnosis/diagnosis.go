// Package diagnosis finds out why a call failed: the cause, the evidence for it in
// the request and its response, who is to blame, and what to do.
//
//	collector ──> Diagnoser.Observe   learns from every attempt, synchronously
//	                  │     .Hidden   explains successful responses without data
//	                queue
//	                  │
//	                  └─> Diagnoser.Diagnose   explains a failed attempt, behind the queue
//
// The package consists of analysers, each with a file and a table of tests. An
// analyser has an input type with the parts of an observation that it needs, uses
// a bounded amount of memory, and returns nothing if it cannot tell the cause.
package diagnosis

import (
	"hash/maphash"
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
// found by a classify.Check, it is the name of the check.
type Cause string

// The causes that do not correspond to a classify.Check.
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
	notify    func(Notice) // nil if nobody wants notices
	clocks    clocks
	usages    usages
	keys      keys
	actions   actions
	calls     calls
	repeats   repeats
	limits    []QuotaLimit // immutable
	sized     budget       // of requests whose size is read
	hidden    hidden
	uses      uses
	incidents incidents
	triggers  happenings
	unknown   unknownCodes
	redundant redundantQueries
}

// New returns a Diagnoser without observations.
func New() *Diagnoser {
	return &Diagnoser{
		usages:  usages{seed: maphash.MakeSeed()},
		keys:    keys{known: make(map[string]*key)},
		actions: actions{known: make(map[actionName]*action)},
		calls:   calls{seed: maphash.MakeSeed()},
		limits:  DocumentedLimits(),
		uses:    uses{seed: maphash.MakeSeed()},
	}
}

// Observe learns from an attempt and returns its place in a call. It is fast, so
// that it can be called while the call is being relayed. It does not block and does
// not retain o.
func (d *Diagnoser) Observe(o *classify.Observation) Attempt {
	if o.Fault.Refused() {
		return Attempt{}
	}
	u, isNew := d.uses.observe(o)
	usage := d.usageOf(o, u)
	d.observeCredential(o, usage)
	d.observeUse(o, u, isNew)
	d.observeClock(o, u)
	d.observeRepeat(o, u, usage)
	d.observeQuota(o, usage)
	size := d.observeSize(o, usage)
	at := d.observeCall(o, usage)
	at.Size = size
	return at
}

// usageOf returns the usage that an attempt of the use u belongs to. u remembers it:
// one with an attempt within usageMemory is still in the table.
func (d *Diagnoser) usageOf(o *classify.Observation, u *use) *usage {
	if u == nil {
		return d.usages.of(o, d)
	}
	second := o.End.Unix()
	if known := u.usage.Load(); known != nil {
		switch seen := known.seen.Load(); {
		case seen == second:
			return known
		case second-seen <= int64(usageMemory/time.Second):
			known.seen.Store(second)
			return known
		}
	}
	known := d.usages.of(o, d)
	u.usage.Store(known)
	return known
}

// clockDue reports whether a sample of the clock of an attempt of the use u is due. u
// remembers the clock: one with a sample within clockInterval is still in the table.
func (d *Diagnoser) clockDue(o *classify.Observation, u *use) bool {
	if u == nil {
		return d.clocks.due(clockOf(o), o.End)
	}
	if k := u.clock.Load(); k != nil {
		if since := o.End.UnixNano() - k.taken.Load(); 0 <= since && since < int64(clockInterval) {
			return false
		}
	}
	client := clockOf(o)
	u.clock.Store(d.clocks.find(client))
	return d.clocks.due(client, o.End)
}

// observeClock takes a sample of the program's clock if one is due.
func (d *Diagnoser) observeClock(o *classify.Observation, u *use) {
	if o.Date.IsZero() || o.Call.Signing == classify.SigningPresigned || o.Call.SignedAt.IsZero() || !d.clockDue(o, u) {
		return
	}
	if in, ok := clockInputOf(o); ok {
		d.clocks.observe(in, o.End)
	}
}

// observeUse learns which program calls what, and which failures occur.
func (d *Diagnoser) observeUse(o *classify.Observation, u *use, isNew bool) {
	failed := o.Verdict.Outcome.Failed()
	if isNew || failed {
		d.triggers.clock(o.End)
	}
	if isNew {
		d.uses.introduce(u, &d.triggers, o.End)
	}
	if failed {
		if u != nil {
			u.failed.Add(1)
		}
		d.incidents.observe(o, u, &d.triggers)
		d.unknown.observe(o)
	}
}

// Diagnose returns the causes of the failed attempt, whose place is at, the most
// likely first and the excluded last. It returns nil if the attempt did not fail, or
// if the catalogue already says all there is.
func (d *Diagnoser) Diagnose(o *classify.Observation, at Attempt) []Diagnosis {
	if !o.Verdict.Outcome.Failed() {
		return nil
	}
	var all []Diagnosis
	u := d.usages.find(o)
	if lost, ok := d.revoked(o, u); ok {
		all = append(all, lost)
	}
	if limit, ok := throttled(o, u); ok {
		all = append(all, limit)
	}
	if large, ok := oversized(o, u, at.Size); ok {
		all = append(all, large)
	}
	if again, ok := retried(at); ok {
		all = append(all, again)
	}
	if saved, ok := redundant(o, u); ok {
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
func (d *Diagnoser) Clocks(now time.Time) []Clock { return d.clocks.list(now) }
