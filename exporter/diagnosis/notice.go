package diagnosis

import (
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Notice is something that was noticed in the calls of programs and is not the
// failure of a single attempt, such as a key that has stopped working. It contains
// no secrets. Its JSON form is part of the API; its cause, texts and certainty are
// those of a Diagnosis.
type Notice struct {
	Time       time.Time `json:"ts"` // UTC
	Credential string    `json:"credential,omitempty"`
	Service    string    `json:"service,omitempty"`
	Action     string    `json:"action,omitempty"`
	Region     string    `json:"region,omitempty"`
	RequestID  string    `json:"request_id,omitempty"` // of the attempt with which it was noticed
	Severity   Severity  `json:"severity"`
	Diagnosis
}

const (
	limitWarn   = 0.8     // used share of a limit from which a notice is given
	noticePause = 60 * 60 // time between two notices of a kind about an action, in seconds
)

// Severity is how important a notice is. Its values are names of log levels.
type Severity string

// The severities.
const (
	SeverityDebug Severity = "debug" // expected
	SeverityInfo  Severity = "info"  // worth knowing
	SeverityWarn  Severity = "warn"  // somebody should look into it
)

// Notify sets the function that notices are passed to. It must be called before the
// first Observe. The function is called on the goroutine that relays the call, so
// it must not block. Notices are rare: each is bounded to a few per credential and
// hour.
func (d *Diagnoser) Notify(f func(Notice)) { d.notify = f }

// OnFinding sets the function that Flush passes findings to, each with the success that it
// concerns, which is valid until the function returns. It must be called before the first
// ObserveLater, and the function must not block.
func (d *Diagnoser) OnFinding(f func(*classify.Observation, *Finding)) { d.onFinding = f }
