package diagnosis

import (
	_ "embed"
	"fmt"
	"net/http"
	"strings"
	"sync"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Advice is what to do about a failure, in the words that every output shows. Its
// JSON form is part of the API.
type Advice struct {
	Do    Text  `json:"do"`
	Retry Retry `json:"retry"`
	// Pause is the time to wait before the first retry, in seconds. It is doubled
	// at each further retry, up to MaxPause. Both are 0 if a retry does not help
	// or needs no pause.
	Pause    int    `json:"pause_seconds,omitempty"`
	MaxPause int    `json:"max_pause_seconds,omitempty"`
	Runbook  string `json:"runbook,omitempty"` // URL
}

// advise returns advice with the pauses of the kind of retry.
func advise(do Text, r Retry, runbook string) Advice {
	first, most := r.Pauses()
	return Advice{Do: do, Retry: r, Pause: int(first.Seconds()), MaxPause: int(most.Seconds()), Runbook: runbook}
}

// Text returns what to do and whether to retry, as sentences.
func (a Advice) Text() Text {
	retry := a.Retry.Text()
	return Text{
		English: strings.TrimSpace(a.Do.English + " " + retry.English),
		Chinese: a.Do.Chinese + retry.Chinese,
	}
}

// IsZero reports whether there is no advice.
func (a Advice) IsZero() bool { return a == Advice{} }

// general is the general advice for a category or an outcome.
type general struct {
	Category classify.Category `yaml:"category"`
	Outcome  classify.Outcome  `yaml:"outcome"`
	Runbook  string            `yaml:"runbook"`
	Summary  Text              `yaml:"summary"`
	Advice   Text              `yaml:"advice"`
}

//go:embed advice.yaml
var adviceYAML []byte

// documents is the base URL of the documentation.
const documents = "https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/"

// runbookURL returns the URL of a runbook, given by its name, or of another file of
// the documentation.
func runbookURL(name string) string {
	if strings.Contains(name, ".md") {
		return documents + name
	}
	return documents + "runbooks/" + name + ".md"
}

// advice is the content of advice.yaml, with URLs of runbooks.
type advice struct {
	categories map[classify.Category]*general
	faults     map[classify.Fault]string
	outcomes   map[classify.Outcome]*general
}

var advices = sync.OnceValue(func() advice {
	var file struct {
		Categories []*general                `yaml:"categories"`
		Faults     map[classify.Fault]string `yaml:"faults"`
		Outcomes   []*general                `yaml:"outcomes"`
	}
	if err := yaml.Unmarshal(adviceYAML, &file); err != nil {
		panic(fmt.Sprintf("advice.yaml: %v", err)) // the file is embedded and tested
	}
	a := advice{make(map[classify.Category]*general), file.Faults, make(map[classify.Outcome]*general)}
	for _, g := range file.Categories {
		g.Runbook = runbookURL(g.Runbook)
		a.categories[g.Category] = g
	}
	for f := range a.faults {
		a.faults[f] = runbookURL(a.faults[f])
	}
	for _, g := range file.Outcomes {
		g.Runbook = runbookURL(g.Runbook)
		a.outcomes[g.Outcome] = g
	}
	return a
})

// ForCategory returns a summary of the failures of a category, and what to do
// about them.
func ForCategory(c classify.Category) (summary Text, a Advice) {
	g, ok := advices().categories[c]
	if !ok {
		return Text{}, Advice{}
	}
	return g.Summary, advise(g.Advice, retryOf(c, true), g.Runbook)
}

// ForOutcome returns a summary of an outcome that is not a success, and what to do
// about it whatever the category. It returns false if that depends on the category.
func ForOutcome(o classify.Outcome) (summary Text, a Advice, ok bool) {
	g, ok := advices().outcomes[o]
	if !ok {
		return Text{}, Advice{}, false
	}
	retry := RetryBackoff
	if o == classify.OutcomeDryRun {
		retry = RetryUnneeded
	}
	return g.Summary, advise(g.Advice, retry, g.Runbook), true
}

// ForEntry returns the advice of an entry of the error catalogue.
func ForEntry(e *classify.Entry) Advice {
	if e.DryRun {
		return advise(e.Advice, RetryUnneeded, advices().outcomes[classify.OutcomeDryRun].Runbook)
	}
	_, a := ForCategory(e.Category)
	runbook, do := a.Runbook, e.Advice
	if p, ok := advices().faults[e.Fault]; ok {
		runbook = p
	}
	if do == (Text{}) { // in a user's file
		do = a.Do
	}
	retry := retryOf(e.Category, e.Retryable)
	if e.Fault == classify.FaultHeadTooLong { // the program has the response
		retry = RetryUnneeded
	}
	return advise(do, retry, runbook)
}

// Meaning returns what a failure without an entry of the catalogue means.
func Meaning(v *classify.Verdict) Text {
	if summary, _, ok := ForOutcome(v.Outcome); ok {
		return summary
	}
	summary, _ := ForCategory(v.Category)
	return summary
}

// ForAttempt returns the advice for a failed attempt: that of the entry of the
// catalogue that it matches, or else of its outcome or category. It is zero for a
// success and for a call that the program canceled.
func ForAttempt(o *classify.Observation) Advice {
	v := &o.Verdict
	var a Advice
	_, special, isSpecial := ForOutcome(v.Outcome)
	switch {
	case v.Entry != nil:
		a = ForEntry(v.Entry)
	case isSpecial:
		a = special
	case v.Outcome.Failed():
		_, a = ForCategory(v.Category)
		a = advise(a.Do, retryOf(v.Category, v.Retryable), a.Runbook)
	default:
		return Advice{}
	}
	if isSpecial {
		a.Runbook = special.Runbook
	}
	if a.Retry == RetryBackoff && !readOnly(o) && !o.Fault.Refused() && !neverSent(o.Fault) {
		a = advise(a.Do, RetryCheck, a.Runbook)
	}
	return a
}

// retryOf returns the kind of retry for failures of the category.
func retryOf(c classify.Category, retryable bool) Retry {
	switch c {
	case classify.CategoryThrottled:
		if retryable {
			return RetryWindow
		}
	case classify.CategoryServer, classify.CategoryTimeout, classify.CategoryNetwork:
		if retryable {
			return RetryBackoff
		}
	case classify.CategoryAuth, classify.CategoryClock, classify.CategoryPermission, classify.CategoryRequest,
		classify.CategoryNotFound, classify.CategoryTooLarge, classify.CategoryUnknown:
	}
	return RetryNever
}

// neverSent reports whether the request did not reach the API.
func neverSent(f classify.Fault) bool {
	switch f {
	case classify.FaultDNS, classify.FaultConnRefused, classify.FaultUnreachable, classify.FaultDialTimeout, classify.FaultTLS, classify.FaultExhausted:
		return true
	default:
		return false
	}
}

// readOnly reports whether the call changes nothing, so that it may be sent twice.
func readOnly(o *classify.Observation) bool {
	action := o.Call.Action
	if action == "" {
		return o.Method == http.MethodGet || o.Method == http.MethodHead
	}
	return isRead(action)
}
