// Package diagnosis says why a call failed: what in this very request and its
// answer shows the cause, whose doing it is, and what to do.
//
//	collector ──> Diagnoser.Observe   learns from every attempt, at once
//	                  │
//	                queue
//	                  │
//	                  └─> Diagnoser.Diagnose   of a failed one, behind the queue
//
// It is made of analysers, a file and a table of tests each. An analyser names
// as its input what it needs of an observation, keeps a bounded amount of
// memory, and stays silent where it knows nothing.
package diagnosis

import (
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Diagnosis is one cause of a failure, likely or excluded. It holds no secret.
// Its JSON is part of the API.
type Diagnosis struct {
	Cause     Cause          `json:"cause"`
	Certainty Certainty      `json:"certainty"`
	Blame     classify.Blame `json:"blame"`
	Retry     Retry          `json:"retry"`
	Summary   Text           `json:"summary"`
	Evidence  Text           `json:"evidence"`
	Advice    Text           `json:"advice"`
	Runbook   string         `json:"runbook,omitempty"` // an address
}

// Text is a text in the languages it is shown in.
type Text struct {
	English string `json:"en" yaml:"en"`
	Chinese string `json:"zh" yaml:"zh"`
}

// Cause identifies a cause. It is the cause's key in causes.yaml, and for those
// found by a check of the classifier's that check.
type Cause string

// The causes that no check of the classifier's stands for.
const (
	CauseClockSkew      Cause = "clock_skew"
	CauseClockZone      Cause = "clock_zone"
	CauseClockRight     Cause = "clock_right" // always excluded: it is not the clock
	CauseSignatureStale Cause = "signature_stale"
	CauseSecretWrong    Cause = "secret_wrong"
	CauseKeyUnknown     Cause = "key_unknown"
	CauseTokenRefused   Cause = "token_refused"
	CauseTokenExpired   Cause = "token_expired"
)

// Certainty is how sure a cause is.
type Certainty string

// The certainties.
const (
	Certain  Certainty = "certain"
	Likely   Certainty = "likely"
	Possible Certainty = "possible"
	Excluded Certainty = "excluded" // what one might think of, and is not the cause
)

// Retry is whether the same call may succeed when it is tried again.
type Retry string

// The kinds of retry.
const (
	RetryNever  Retry = "never"  // not before something is changed
	RetryResign Retry = "resign" // at once, if it is signed again
)

// MaxDiagnoses is how many diagnoses one failure gets at most.
const MaxDiagnoses = 5

// Diagnoser is the room of the analysers. It is safe for concurrent use.
type Diagnoser struct {
	clocks clocks
}

// New returns a Diagnoser that has seen nothing.
func New() *Diagnoser { return &Diagnoser{} }

// Observe learns from an attempt. It is quick, and meant to be called while the
// call is relayed: it neither blocks nor keeps anything of o.
func (d *Diagnoser) Observe(o *classify.Observation) {
	if o.Date.IsZero() || o.Call.Signing == classify.SigningPresigned || o.Call.SignedAt.IsZero() || !d.clocks.due(clockOf(o), o.End) {
		return
	}
	if in, ok := clockInputOf(o); ok {
		d.clocks.observe(in, o.End)
	}
}

// Diagnose says why the attempt failed, the likeliest cause first, what is
// excluded last; nil where there is nothing to say beyond the catalogue.
func (d *Diagnoser) Diagnose(o *classify.Observation) []Diagnosis {
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

// Clocks returns the clocks that programs sign by, those furthest off first, of
// programs heard of in the last quarter of an hour.
func (d *Diagnoser) Clocks(now time.Time) []Clock { return d.clocks.list(now) }
