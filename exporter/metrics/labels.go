package metrics

import (
	"slices"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// The words that stand in for a label's value.
const (
	labelOther   = "_other"  // a value past a limit, or unfit for a label
	labelUnknown = "unknown" // the request did not tell
	labelNone    = "none"    // the answer had no code, or there was no answer
	clientSelf   = "self"    // the tap signs, or the program that it is a part of
)

// The most values a label takes beside those that are documented, which always
// have their place, and the stand-ins. The first ones seen keep their own
// series.
const (
	MaxServices     = 16
	MaxActions      = 128
	MaxVersions     = 32
	MaxRegions      = 32
	MaxUnknownCodes = 32 // codes which are not in the catalogue
	MaxClients      = 16 // whose clocks are shown

	// maxLabelBytes keeps a stranger's text from filling the memory.
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

// values is the set of values a label has taken. It is not safe for concurrent
// use.
type values struct {
	label string
	limit int
	seen  map[string]string
}

// bound returns the label value for s, and false where that is not s itself
// because the label is at its limit or s is no text for a label. empty stands
// in for "".
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
	// s may be a part of a much longer text, which would be kept with it.
	own := strings.Clone(s)
	v.seen[own] = own
	return own, true
}

// fit reports whether s may be a label's value: short printable UTF-8 without a
// key.
func fit(s string) bool {
	if len(s) > maxLabelBytes || !utf8.ValidString(s) || classify.LooksKey(s) {
		return false
	}
	return strings.IndexFunc(s, func(r rune) bool { return !unicode.IsPrint(r) }) < 0
}

// catalogued returns the catalogue's spelling of the code on the wire, of an
// alias as the alias, and false where the catalogue does not know that code. A
// row under a name of our own does not count: the wire's word is the better one.
func catalogued(v *classify.Verdict) (string, bool) {
	if v.Entry == nil || v.Match != classify.MatchCode || v.Entry.Grade == classify.GradePlaceholder {
		return "", false
	}
	return v.CanonicalCode(), true
}

// statusLabel spells an HTTP status, "none" for 0.
func statusLabel(status int) (string, bool) {
	switch {
	case status == 0:
		return labelNone, true
	case status < 100 || status > 599:
		return labelOther, false
	}
	return strconv.Itoa(status), true
}

// outcomes lists every outcome.
var outcomes = []classify.Outcome{
	classify.OutcomeSuccess, classify.OutcomeError, classify.OutcomePartial, classify.OutcomeMasked,
	classify.OutcomeDryRun, classify.OutcomeCanceled, classify.OutcomeProxy,
}

// blames lists whose doing a failure can be.
var blames = []classify.Blame{
	classify.BlameClient, classify.BlameCredential, classify.BlameQuota,
	classify.BlameProvider, classify.BlameNetwork, classify.BlameTap,
}

// types lists every error type.
var types = []classify.Type{classify.TypeSender, classify.TypeReceiver, classify.TypeUnknown}

// faults lists every reason of ksyun_tap_proxy_errors_total.
var faults = []classify.Fault{
	classify.FaultBadRequest, classify.FaultNoRoute, classify.FaultHostRefused, classify.FaultLoop,
	classify.FaultUnsupported,
	classify.FaultSignature,
	classify.FaultDNS, classify.FaultConnRefused, classify.FaultUnreachable, classify.FaultDialTimeout,
	classify.FaultTLS,
	classify.FaultTimeout, classify.FaultReset, classify.FaultClosed, classify.FaultBadResponse,
	classify.FaultCanceled, classify.FaultShutdown,
}

// oneOf returns the label value for v, which is "unknown" if it is not among
// known.
func oneOf[T ~string](v T, known []T) string {
	for _, k := range known {
		if k == v {
			return string(k)
		}
	}
	return labelUnknown
}
