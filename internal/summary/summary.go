// Package summary reports what a tap observed while a command ran: how many calls there
// were, which failed, and what was not observed.
package summary

import (
	"cmp"
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
)

// Summary is printed at the end of exec. Its JSON keys are a public interface.
type Summary struct {
	Calls      int          `json:"calls"`
	Failed     int          `json:"failed"`
	Failures   []Failure    `json:"failures"`
	Unobserved []Unobserved `json:"unobserved"` // the most frequent first

	connected bool // something connected to the tap
}

// Failure is a group of similar failed calls. Its keys are those of a record; those
// that differ among the calls are of the last one.
type Failure struct {
	Code      string                   `json:"code,omitempty"`
	Status    int                      `json:"status,omitempty"`
	Category  classify.Category        `json:"category"`
	Blame     classify.Blame           `json:"blame"`
	Action    string                   `json:"action,omitempty"`
	Count     int                      `json:"count"`
	ID        string                   `json:"id,omitempty"`
	RequestID string                   `json:"request_id,omitempty"`
	IDSource  classify.RequestIDSource `json:"request_id_source,omitempty"`
	Fault     classify.Fault           `json:"fault,omitempty"`
	Message   string                   `json:"message,omitempty"`
	Region    string                   `json:"region,omitempty"`
	LastSeen  time.Time                `json:"last_seen,omitzero"`
	// RequestIDs are the last ones, newest first, at most groups.MaxRequestIDs.
	RequestIDs []string `json:"request_ids,omitempty"`

	Cause     diagnosis.Cause     `json:"cause,omitempty"`
	Certainty diagnosis.Certainty `json:"certainty,omitempty"`
	Evidence  diagnosis.Text      `json:"evidence,omitzero"`
	Advice    diagnosis.Advice    `json:"advice,omitzero"`

	labels metrics.Failures
}

// New takes the counts from the metrics, which count every call, and the last example
// of each kind from the groups. connected reports that something connected to the tap.
func New(m *metrics.Metrics, g *groups.Table, hosts *Hosts, connected bool) Summary {
	calls, counted := m.Counted()
	s := Summary{Calls: calls, Failures: []Failure{}, Unobserved: hosts.list(), connected: connected}
	examples := g.List(time.Now(), 0)
	for _, of := range counted {
		s.Failed += of.Count
		s.Failures = append(s.Failures, newFailure(of, examplesOf(of, examples)))
	}
	slices.SortFunc(s.Failures, func(a, b Failure) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.labels.Code+a.labels.Action, b.labels.Code+b.labels.Action))
	})
	return s
}

// examplesOf returns the groups of failures that were counted in of, the one that
// was seen last first.
func examplesOf(of metrics.Failures, all []groups.Group) (examples []groups.Group) {
	for _, g := range all {
		r := g.Last
		if r != nil && r.Category == of.Category && r.Blame == of.Blame && of.Counts(r.Action, r.Code, r.CatalogCode) {
			examples = append(examples, g)
		}
	}
	slices.SortFunc(examples, func(a, b groups.Group) int { return strings.Compare(b.LastID, a.LastID) })
	return examples
}

// newFailure returns the failures counted in of. examples are their groups, the one
// that was seen last first.
func newFailure(of metrics.Failures, examples []groups.Group) Failure {
	f := Failure{Category: of.Category, Blame: of.Blame, Count: of.Count, labels: of}
	if of.Code != metrics.None {
		f.Code = of.Code
	}
	if of.Action != metrics.Unknown {
		f.Action = of.Action
	}
	if status, err := strconv.Atoi(of.Status); err == nil {
		f.Status = status
	}
	if len(examples) == 0 {
		return f
	}
	r := examples[0].Last
	f.Region, f.LastSeen = r.Region, examples[0].LastSeen
	for _, g := range examples {
		f.RequestIDs = append(f.RequestIDs, g.RequestIDs...)
	}
	f.RequestIDs = f.RequestIDs[:min(len(f.RequestIDs), groups.MaxRequestIDs)]
	f.ID, f.RequestID, f.IDSource, f.Fault, f.Message, f.Advice = r.ID, r.RequestID, r.RequestIDSource, r.Fault, r.Message, r.Advice
	if c := r.Cause(); c != nil {
		f.Cause, f.Certainty, f.Evidence = c.Cause, c.Certainty, c.Evidence
	}
	return f
}

// Print writes the summary as text.
func (s Summary) Print(out io.Writer) error {
	line := fmt.Sprintf("%s, %d failed", output.Plural(s.Calls, "call"), s.Failed)
	if s.Calls == 0 {
		line = "no call was seen, because " + s.whyNone()
	}
	distrusts := hostsLine(s.Unobserved, true, "a program does not trust the tap's CA")
	others := hostsLine(s.Unobserved, false, "not tapped")
	if _, err := fmt.Fprintf(out, "ksyun-tap: %s\n%s%s", line, distrusts, others); err != nil || s.Failed == 0 {
		return err
	}
	t := output.NewTable(out, time.Now(), "COUNT", "CODE", "STATUS", "CATEGORY", "BLAME", "ACTION", "REGION", "LAST")
	printed := map[string]bool{}
	for _, f := range s.Failures {
		texts := []string{f.Message}
		if do := f.Advice.Text().English; do != "" && !printed[do] {
			printed[do] = true
			texts = append(texts, f.Evidence.English+" "+do)
		}
		last := "-"
		if !f.LastSeen.IsZero() {
			last = t.Time(f.LastSeen)
		}
		switch len(f.RequestIDs) {
		case 0:
		case 1:
			texts = append(texts, "Request ID: "+f.RequestIDs[0])
		default:
			texts = append(texts, "Request IDs: "+strings.Join(f.RequestIDs, ", "))
		}
		t.Add(f.Blame, texts, strconv.Itoa(f.Count), f.labels.Code, f.labels.Status, string(f.Category), output.OrDash(f.Blame), f.labels.Action, output.OrDash(f.Region), last)
	}
	return t.Flush()
}

// whyNone explains why no call was observed.
func (s Summary) whyNone() string {
	distrusts := slices.ContainsFunc(s.Unobserved, func(u Unobserved) bool { return u.Distrusts })
	switch {
	case distrusts:
		return "the program does not trust the tap's CA, so its connections were tunnelled unobserved"
	case len(s.Unobserved) > 0:
		return "the program called only hosts that are not tapped (add them with --tap.host)"
	case s.connected:
		return "the program connected to the tap, but sent no complete request"
	}
	return "nothing connected to the tap: the program made no call, or it ignores the proxy variables"
}
