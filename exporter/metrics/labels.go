package metrics

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
)

// The placeholder values of labels.
const (
	labelOther   = "_other"  // the value is beyond a limit or not valid as a label
	labelUnknown = "unknown" // the request did not contain the value
	labelNone    = "none"    // the response had no code, or there was no response
)

// Unknown and None are the values of labels for which there is no value.
const (
	Unknown = labelUnknown
	None    = labelNone
)

// The maximum number of values of a label in addition to the documented values,
// which are always kept, and the placeholders. The first values seen keep their
// own series.
const (
	MaxServices     = 16
	MaxActions      = 128
	MaxVersions     = 32
	MaxRegions      = 32
	MaxUnknownCodes = 32 // codes that are not in the catalogue
	MaxClients      = 16 // clients whose clock skew is exposed
	MaxPrograms     = 32 // programs with their signature form and scheme

	// maxLabelBytes bounds the memory of a value received from outside.
	maxLabelBytes = 128
)

// knownServices, knownActions and knownVersions are the documented values of
// their labels, each once.
func knownServices() []string { return known(func(a classify.Action) string { return a.Service }) }
func knownVersions() []string { return known(func(a classify.Action) string { return a.Version }) }
func knownActions() []string {
	return append(known(func(a classify.Action) string { return a.Name }), classify.SeveralActions)
}

func known(of func(classify.Action) string) []string {
	var all []string
	for _, a := range classify.KnownActions() {
		all = append(all, of(a))
	}
	slices.Sort(all)
	return slices.Compact(all)
}

// values is the set of values that a label has had. It is not safe for
// concurrent use.
type values struct {
	label string
	limit int
	seen  map[string]string
}

// bound returns the label value for s. It returns false if the label has reached
// its limit or s is not valid as a label. If s is "", the value is empty.
func (v *values) bound(s, empty string) (string, bool) {
	if s == "" {
		return empty, true
	}
	if own, ok := v.seen[s]; ok {
		return own, true
	}
	if len(v.seen) >= v.limit || !fit(s) {
		return labelOther, false
	}
	// s may be a substring of a much longer text, which would be kept alive.
	own := strings.Clone(s)
	v.seen[own] = own
	return own, true
}

// fit reports whether s is valid as a label value: short, printable UTF-8 that
// does not look like an access key.
func fit(s string) bool {
	if len(s) > maxLabelBytes || !utf8.ValidString(s) || redact.LooksKey(s) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// catalogued returns the code received from the API in the spelling of the
// catalogue; an alias stays an alias. It returns false if the catalogue does not
// have the code. Placeholder names are not used: the received code is better.
func catalogued(v *classify.Verdict) (string, bool) {
	if v.Entry == nil || v.Match != classify.MatchCode || v.Entry.Grade == classify.GradePlaceholder {
		return "", false
	}
	return v.CanonicalCode(), true
}

// statusLabel returns the label value for an HTTP status: "none" for 0.
func statusLabel(status int) (string, bool) {
	switch {
	case status == 0:
		return labelNone, true
	case status < 100 || status > 599:
		return labelOther, false
	}
	return strconv.Itoa(status), true
}

// The known values of labels.
var (
	outcomes = classify.Outcomes()
	blames   = classify.Blames()
	types    = classify.Types()
	faults   = classify.Faults()
)

// oneOf returns v as a label value, or "unknown" if v is not in known.
func oneOf[T ~string](v T, known []T) string {
	if slices.Contains(known, v) {
		return string(v)
	}
	return labelUnknown
}
