package main

import (
	"cmp"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
)

// summary is printed at the end of exec. Its JSON keys are a public interface.
type summary struct {
	Calls      int          `json:"calls"`
	Failed     int          `json:"failed"`
	Failures   []failure    `json:"failures"`
	Unobserved []unobserved `json:"unobserved"` // the most frequent first

	connected bool // something connected to the tap
}

// unobserved is a host whose requests or tunnels were not observed.
type unobserved struct {
	Host  string `json:"host"` // with the port
	Count int    `json:"count"`
	// Distrusts reports that the host is tapped, but a program does not accept
	// the tap's certificates.
	Distrusts bool `json:"distrusts,omitempty"`
}

// maxHosts limits the number of hosts that are counted separately.
const maxHosts = 1000

// unobservedHosts counts what was not observed. It is safe for concurrent use.
type unobservedHosts struct {
	mu  sync.Mutex
	all map[collector.Unobserved]int
}

func (u *unobservedHosts) add(one collector.Unobserved) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = make(map[collector.Unobserved]int)
	}
	if _, known := u.all[one]; !known && len(u.all) >= maxHosts {
		one = collector.Unobserved{Host: "others"}
	}
	u.all[one]++
}

func (u *unobservedHosts) list() []unobserved {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make([]unobserved, 0, len(u.all))
	for one, n := range u.all {
		host := one.Host
		if one.Port != 0 { // otherwise it stands for several hosts
			host = net.JoinHostPort(host, strconv.Itoa(int(one.Port)))
		}
		list = append(list, unobserved{host, n, one.Tapped})
	}
	slices.SortFunc(list, func(a, b unobserved) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Host, b.Host))
	})
	return list
}

// failure is a group of similar failed calls. Its keys are those of a record; those
// that differ among the calls are of the last one.
type failure struct {
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

// summarise writes the summary of the tap's calls.
func (v *execVerb) summarise(std stdio, t *tap) error {
	if v.summary == "none" {
		return nil
	}
	s := makeSummary(t)
	out := std.err
	if v.summaryFile != "" {
		f, err := createSummary(v.summaryFile)
		if err != nil {
			return fmt.Errorf("write the summary: %w", err)
		}
		defer f.Close()
		out = &output.Patient{Out: f}
	}
	if v.summary == "json" {
		return output.JSON(out, s)
	}
	return s.print(out)
}

// createSummary opens the file for the summary, without waiting for a pipe to have
// a reader.
func createSummary(name string) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		flags = os.O_WRONLY | syscall.O_NONBLOCK
	}
	return os.OpenFile(name, flags, 0o666) //nolint:gosec // like a shell's redirection
}

// makeSummary takes the counts from the metrics, which count every call, and the
// last example of each kind from the groups.
func makeSummary(t *tap) summary {
	calls, counted := t.metrics.Counted()
	s := summary{Calls: calls, Failures: []failure{}, Unobserved: t.missed.list(), connected: t.proxy != nil && t.proxy.Stats().Accepted > 0}
	examples := t.groups.List(time.Now(), 0)
	for _, of := range counted {
		s.Failed += of.Count
		s.Failures = append(s.Failures, newFailure(of, examplesOf(of, examples)))
	}
	slices.SortFunc(s.Failures, func(a, b failure) int {
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
func newFailure(of metrics.Failures, examples []groups.Group) failure {
	f := failure{Category: of.Category, Blame: of.Blame, Count: of.Count, labels: of}
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

func (s summary) print(out io.Writer) error {
	line := fmt.Sprintf("%s, %d failed", output.Plural(s.Calls, "call"), s.Failed)
	if s.Calls == 0 {
		line = "no call was seen, because " + s.whyNone()
	}
	if _, err := fmt.Fprintf(out, "ksyun-tap: %s\n", line); err != nil {
		return err
	}
	if err := s.printUnobserved(out); err != nil || s.Failed == 0 {
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
func (s summary) whyNone() string {
	distrusts := slices.ContainsFunc(s.Unobserved, func(u unobserved) bool { return u.Distrusts })
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

// shownHosts limits the number of hosts that are printed.
const shownHosts = 20

// printUnobserved prints the hosts whose calls were not observed.
func (s summary) printUnobserved(out io.Writer) error {
	var others, distrusts []string
	for _, u := range s.Unobserved {
		text := fmt.Sprintf("%s (%d)", u.Host, u.Count)
		if u.Distrusts {
			distrusts = append(distrusts, text)
		} else {
			others = append(others, text)
		}
	}
	line := func(hosts []string, why string) error {
		if len(hosts) == 0 {
			return nil
		}
		if n := len(hosts) - shownHosts; n > 0 {
			hosts = append(hosts[:shownHosts:shownHosts], fmt.Sprintf("%d more", n))
		}
		_, err := fmt.Fprintf(out, "%s: %s\n", why, strings.Join(hosts, ", "))
		return err
	}
	if err := line(distrusts, "not observed, because a program does not trust the tap's CA"); err != nil {
		return err
	}
	return line(others, "not observed, because not tapped")
}
