package main

import (
	"encoding/json"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"text/tabwriter"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
)

// summary is what is told of a command's calls at its end. Its keys are an
// interface.
type summary struct {
	Calls  int       `json:"calls"`
	Failed int       `json:"failed"`
	Errors []failure `json:"errors"`
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
		f, err := os.Create(v.summaryFile)
		if err != nil {
			return fmt.Errorf("write the summary: %w", err)
		}
		defer f.Close()
		out = f
	}
	if v.summary == "json" {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		return e.Encode(s)
	}
	return s.print(out)
}

// makeSummary counts by the metrics, which miss no call, and takes an example
// of each kind from the journal.
func makeSummary(t *tap) (summary, error) {
	c, err := countCalls(t)
	if err != nil {
		return summary{}, err
	}
	s := summary{Calls: c.calls, Failed: c.failed, Errors: []failure{}}
	for kind, n := range c.kinds {
		f := failure{Code: kind.code, Status: kind.status, Category: classify.Category(kind.category), Action: kind.action, Count: n}
		for _, r := range t.journal.Select(journal.Filter{Category: kind.category, Action: known(kind.action), Code: known(kind.code)}) {
			f.Blame, f.RequestID, f.Message, f.Advice = r.Blame, r.RequestID, r.Message, r.Advice
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
	if _, err := fmt.Fprintf(out, "ksyun-tap: %d calls, %d failed\n", s.Calls, s.Failed); err != nil || s.Failed == 0 {
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
			fmt.Fprintf(out, "%s: %s\n", f.Code, f.Advice)
		}
	}
	return nil
}
