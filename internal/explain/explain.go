// Package explain finds what an error code, a fault, an HTTP status or the cause of a
// diagnosis means, and prints who must fix it and how.
package explain

import (
	"fmt"
	"io"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Answer is what was found: entries of the catalogue, or a cause.
type Answer struct {
	entries []*classify.Entry
	cause   *diagnosis.Description // nil if entries were found
	table   bool                   // the entries are listed, because none was named
}

// Find returns the entry for an error code in any case or a fault, the entries that come
// with an HTTP status, or a cause. If asked is "", it returns all entries. Its errors are
// for users.
func Find(catalog *classify.Catalog, asked string) (Answer, error) {
	if asked == "" {
		return Answer{entries: catalog.Entries(), table: true}, nil
	}
	if status, err := strconv.Atoi(asked); err == nil {
		entries := slices.DeleteFunc(slices.Clone(catalog.Entries()), func(e *classify.Entry) bool { return !e.HasStatus(status) })
		if len(entries) == 0 {
			return Answer{}, usererror.New(fmt.Sprintf("no entry of the catalogue has HTTP status %d", status), "run ksyun-tap explain to list all codes")
		}
		return Answer{entries: entries, table: true}, nil
	}
	if e, ok := catalog.Lookup(asked); ok {
		return Answer{entries: slices.DeleteFunc(slices.Clone(catalog.Entries()), func(other *classify.Entry) bool { return other.Code != e.Code })}, nil
	}
	if d, ok := diagnosis.Describe(diagnosis.Cause(asked)); ok {
		return Answer{cause: &d}, nil
	}
	if asked == string(classify.FaultCanceled) {
		return Answer{entries: []*classify.Entry{canceled}}, nil
	}
	return Answer{}, usererror.New(asked+" is not in the catalogue"+near(catalog.Entries(), asked), "run ksyun-tap explain to list all codes, or add it with --tap.catalog-file")
}

// WriteJSON writes each entry or the cause as one line of JSON.
func (a Answer) WriteJSON(out io.Writer) error {
	if a.cause != nil {
		return output.JSON(out, a.cause)
	}
	for _, e := range a.entries {
		if err := output.JSON(out, newEntry(e)); err != nil {
			return err
		}
	}
	return nil
}

// WriteText writes what was named in full, and other entries as a table.
func (a Answer) WriteText(out io.Writer) error {
	switch {
	case a.cause != nil:
		return writeCause(out, a.cause)
	case a.table:
		return a.writeTable(out)
	}
	for i, e := range a.entries {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if err := newEntry(e).writeText(out); err != nil {
			return err
		}
	}
	return nil
}

func (a Answer) writeTable(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CODE\tSTATUS\tCATEGORY\tBLAME\tRETRY\tGRADE\tMEANING")
	for _, e := range a.entries {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Code, statuses(e), e.Category, e.Blame, newEntry(e).Advice.Retry, e.Grade, e.Meaning.English)
	}
	return w.Flush()
}

// canceled explains the only fault that the catalogue has no entry for, because it is
// no failure.
var canceled = &classify.Entry{
	Code: string(classify.FaultCanceled), Fault: classify.FaultCanceled, Source: "ksyun-tap",
	Meaning: diagnosis.Text{English: "The program closed the connection before the response was complete, for example after its own timeout.", Chinese: "程序在收到完整响应之前关闭了连接，例如因为程序自身的超时。"},
}

// Entry is an entry of the catalogue with the advice that every other output has. Its JSON
// form is a public interface.
type Entry struct {
	*classify.Entry

	Advice diagnosis.Advice `json:"advice,omitzero"`
}

func newEntry(e *classify.Entry) Entry {
	if e == canceled {
		return Entry{Entry: e}
	}
	return Entry{e, diagnosis.ForEntry(e)}
}

// writeText writes the entry in both languages.
func (e Entry) writeText(out io.Writer) error {
	kind := "Code"
	if slices.Contains(classify.Faults(), classify.Fault(e.Code)) {
		kind = "Fault"
	}
	return output.Fields(
		out,
		output.Value(kind, e.Code),
		output.Value("Also seen as", strings.Join(e.Aliases, ", ")),
		output.Prose("Means", e.Meaning.English),
		output.Prose("Do", e.Advice.Text().English),
		output.Prose("含义", e.Meaning.Chinese),
		output.Prose("处理", e.Advice.Text().Chinese),
		output.Value("HTTP status", statuses(e.Entry)),
		output.Prose("Message", e.Example),
		output.Value("Type", string(e.Type)),
		output.Value("Category", string(e.Category)),
		output.Value("Blame", string(e.Blame)),
		output.Value("Retry", string(e.Advice.Retry)),
		output.Value("Runbook", e.Advice.Runbook),
		output.Value("Grade", string(e.Grade)),
		output.Prose("Source", e.Source),
	)
}

// writeCause writes the texts of a cause, in both languages.
func writeCause(out io.Writer, d *diagnosis.Description) error {
	return output.Fields(
		out,
		output.Value("Cause", string(d.Cause)),
		output.Prose("Means", d.Summary.English),
		output.Prose("Do", d.Advice.Text().English),
		output.Prose("含义", d.Summary.Chinese),
		output.Prose("处理", d.Advice.Text().Chinese),
		output.Value("Blame", string(d.Blame)),
		output.Value("Retry", string(d.Advice.Retry)),
		output.Value("Runbook", d.Advice.Runbook),
	)
}

func statuses(e *classify.Entry) string { return strings.Join(e.StatusNames(), ",") }

// near returns the code that is spelled most like text, or else up to three that contain
// it or are contained in it.
func near(entries []*classify.Entry, text string) string {
	var found, codes []string
	spelled := map[string]string{} // by code in lower case
	text = strings.ToLower(text)
	for _, e := range entries {
		code := strings.ToLower(e.Code)
		spelled[code], codes = e.Code, append(codes, code)
		if len(found) < 3 && (strings.Contains(code, text) || strings.Contains(text, code)) && !slices.Contains(found, e.Code) {
			found = append(found, e.Code)
		}
	}
	if nearest, ok := usererror.Nearest(text, codes); ok {
		found = []string{spelled[nearest]}
	}
	if found == nil {
		return ""
	}
	return " (similar: " + strings.Join(found, ", ") + ")"
}
