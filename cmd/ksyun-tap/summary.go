package main

import (
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"text/tabwriter"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
)

// summary is what is told of a command's calls at its end. Its keys are an
// interface.
type summary struct {
	Calls  int       `json:"calls"`
	Failed int       `json:"failed"`
	Errors []failure `json:"errors"`
	Unseen []unseen  `json:"unseen"` // the most used first
}

// unseen is a host whose requests or tunnels passed unobserved.
type unseen struct {
	Host  string `json:"host"` // and port
	Count int    `json:"count"`
	// Distrusts is that the host is tapped, but a program does not accept the
	// tap's certificates.
	Distrusts bool `json:"distrusts,omitempty"`
}

// maxUnseen limits the hosts that are counted one by one.
const maxUnseen = 1000

// unseenHosts counts what passes unobserved. It is safe for concurrent use.
type unseenHosts struct {
	mu  sync.Mutex
	all map[collector.Unseen]int
}

func (u *unseenHosts) add(one collector.Unseen) {
	u.mu.Lock()
	defer u.mu.Unlock()
	if u.all == nil {
		u.all = make(map[collector.Unseen]int)
	}
	if _, known := u.all[one]; !known && len(u.all) >= maxUnseen {
		one = collector.Unseen{Host: "others"}
	}
	u.all[one]++
}

func (u *unseenHosts) list() []unseen {
	u.mu.Lock()
	defer u.mu.Unlock()
	list := make([]unseen, 0, len(u.all))
	for one, n := range u.all {
		host := one.Host
		if one.Port != 0 { // else it stands for many
			host = net.JoinHostPort(host, strconv.Itoa(int(one.Port)))
		}
		list = append(list, unseen{host, n, one.Tapped})
	}
	slices.SortFunc(list, func(a, b unseen) int {
		return cmp.Or(b.Count-a.Count, strings.Compare(a.Host, b.Host))
	})
	return list
}

// failure is all failed calls of one kind.
type failure struct {
	Code      string            `json:"code"`
	Status    string            `json:"status"`
	Category  classify.Category `json:"category"`
	Blame     classify.Blame    `json:"blame"`
	Action    string            `json:"action"`
	Count     int               `json:"count"`
	RequestID string            `json:"last_request_id"`
	Message   string            `json:"last_message"`
	Cause     diagnosis.Cause   `json:"last_cause,omitempty"` // why the last one failed
	Evidence  string            `json:"last_evidence,omitempty"`
	Advice    string            `json:"advice"`
}

// summarise writes the summary of the tap's calls.
func (v *execVerb) summarise(std stdio, t *tap) error {
	if v.summary == "none" {
		return nil
	}
	s, err := makeSummary(t)
	if err != nil {
		return err
	}
	out := std.err
	if v.summaryFile != "" {
		f, err := createSummary(v.summaryFile)
		if err != nil {
			return fmt.Errorf("write the summary: %w", err)
		}
		defer f.Close()
		out = &patient{w: f}
	}
	if v.summary == "json" {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		return e.Encode(s)
	}
	return s.print(out)
}

// createSummary opens the file for the summary, without waiting for the reader
// of a pipe.
func createSummary(name string) (*os.File, error) {
	flags := os.O_WRONLY | os.O_CREATE | os.O_TRUNC
	if info, err := os.Stat(name); err == nil && info.Mode()&os.ModeNamedPipe != 0 {
		flags = os.O_WRONLY | syscall.O_NONBLOCK
	}
	return os.OpenFile(name, flags, 0o666) //nolint:gosec // as the shell's >
}

// makeSummary counts by the metrics, which miss no call, and takes an example
// of each kind from the journal.
func makeSummary(t *tap) (summary, error) {
	c, err := countCalls(t)
	if err != nil {
		return summary{}, err
	}
	s := summary{Calls: c.calls, Failed: c.failed, Errors: []failure{}, Unseen: t.unseen.list()}
	for kind, n := range c.kinds {
		f := failure{Code: kind.code, Status: kind.status, Category: classify.Category(kind.category), Action: kind.action, Count: n}
		for _, r := range t.journal.Select(journal.Filter{Category: kind.category, Action: known(kind.action), Code: known(kind.code)}) {
			f.Blame, f.RequestID, f.Message, f.Advice = r.Blame, r.RequestID, r.Message, r.Advice
			if c := r.Cause(); c != nil {
				f.Cause, f.Evidence = c.Cause, c.Evidence.English
			}
			break // the newest
		}
		s.Errors = append(s.Errors, f)
	}
	slices.SortFunc(s.Errors, func(a, b failure) int {
		if a.Count != b.Count {
			return b.Count - a.Count
		}
		return strings.Compare(a.Code+a.Action, b.Code+b.Action)
	})
	return s, nil
}

// known returns a label's value, "" for one that stands for none.
func known(label string) string {
	switch label {
	case "none", "unknown", "_other":
		return ""
	}
	return label
}

func (s summary) print(out io.Writer) error {
	if _, err := fmt.Fprintf(out, "ksyun-tap: %d calls, %d failed\n", s.Calls, s.Failed); err != nil {
		return err
	}
	if err := s.printUnseen(out); err != nil || s.Failed == 0 {
		return err
	}
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "COUNT\tCODE\tSTATUS\tCATEGORY\tBLAME\tACTION\tLAST REQUEST ID")
	for _, f := range s.Errors {
		fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", f.Count, f.Code, f.Status, f.Category, orDash(string(f.Blame)), f.Action, orDash(f.RequestID))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	told := map[string]bool{}
	for _, f := range s.Errors {
		if f.Advice != "" && !told[f.Advice] {
			told[f.Advice] = true
			fmt.Fprintf(out, "%s: %s\n", f.Code, strings.TrimSpace(f.Evidence+" "+f.Advice))
		}
	}
	return nil
}

// shownUnseen limits the hosts that are named.
const shownUnseen = 20

// printUnseen names what passed unobserved.
func (s summary) printUnseen(out io.Writer) error {
	var others, distrusts []string
	for _, u := range s.Unseen {
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
		if n := len(hosts) - shownUnseen; n > 0 {
			hosts = append(hosts[:shownUnseen:shownUnseen], fmt.Sprintf("%d more", n))
		}
		_, err := fmt.Fprintf(out, "%s: %s\n", why, strings.Join(hosts, ", "))
		return err
	}
	if err := line(distrusts, "passed unseen, since a program does not trust the tap's CA but brings trust of its own"); err != nil {
		return err
	}
	return line(others, "passed unseen, since not tapped")
}
