package main

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// explainVerb prints the catalogue's entry for an error code, a fault, or each code
// that an HTTP status comes with, or the description of a cause.
type explainVerb struct {
	code     string
	output   string
	catalogs []string
}

func newExplain(app *kingpin.Application) *explainVerb {
	v := &explainVerb{}
	c := app.Command("explain", "Print what an error code, a fault, an HTTP status or the cause of a diagnosis means, who must fix it and how. Without an argument, list all codes.")
	c.Arg("code", "Error code, in any case; fault, such as dns; HTTP status, such as 409, for the codes that come with it; or cause.").StringVar(&v.code)
	c.Flag("output", "Format: text or json.").Default("text").SetValue(config.OneOf(&v.output, "text", "json"))
	c.Flag("tap.catalog-file", "File with additional error codes. Repeatable.").PlaceHolder("FILE").StringsVar(&v.catalogs)
	return v
}

func (v *explainVerb) run(_ context.Context, std stdio) error {
	catalog, err := loadCatalog(v.catalogs)
	if err != nil {
		return usageError{err}
	}
	entries := catalog.Entries()
	if status, err := strconv.Atoi(v.code); err == nil {
		entries = slices.DeleteFunc(slices.Clone(entries), func(e *classify.Entry) bool { return !e.HasStatus(status) })
		if len(entries) == 0 {
			return usageError{usererror.New(fmt.Sprintf("no entry of the catalogue has HTTP status %d", status), "run ksyun-tap explain to list all codes")}
		}
	} else if v.code != "" {
		e, ok := catalog.Lookup(v.code)
		entries = slices.DeleteFunc(slices.Clone(entries), func(other *classify.Entry) bool { return !ok || other.Code != e.Code })
		if d, isCause := diagnosis.Describe(diagnosis.Cause(v.code)); !ok && isCause {
			return v.explainCause(std, d)
		}
		if !ok && v.code == string(classify.FaultCanceled) {
			entries, ok = []*classify.Entry{canceled}, true
		}
		if !ok {
			return usageError{usererror.New(v.code+" is not in the catalogue"+near(catalog.Entries(), v.code), "run ksyun-tap explain to list all codes, or add it with --tap.catalog-file")}
		}
		if v.output == "text" {
			for i, e := range entries {
				if i > 0 {
					fmt.Fprintln(std.out)
				}
				if err := explainEntry(std, e); err != nil {
					return err
				}
			}
			return nil
		}
	}
	if v.output == "json" {
		for _, entry := range entries {
			if err := output.JSON(std.out, newExplained(entry)); err != nil {
				return err
			}
		}
		return nil
	}
	w := tabwriter.NewWriter(std.out, 0, 8, 2, ' ', 0)
	fmt.Fprintln(w, "CODE\tSTATUS\tCATEGORY\tBLAME\tRETRY\tGRADE\tMEANING")
	for _, e := range entries {
		fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", e.Code, statuses(e), e.Category, e.Blame, newExplained(e).Advice.Retry, e.Grade, e.Meaning.English)
	}
	return w.Flush()
}

// canceled explains the only fault that the catalogue has no entry for, because it is
// no failure.
var canceled = &classify.Entry{
	Code: string(classify.FaultCanceled), Fault: classify.FaultCanceled, Source: "ksyun-tap",
	Meaning: diagnosis.Text{English: "The program closed the connection before the response was complete, for example after its own timeout.", Chinese: "程序在收到完整响应之前关闭了连接，例如因为程序自身的超时。"},
}

// explained is an entry of the catalogue with the advice that every other output has.
// Its JSON form is a public interface.
type explained struct {
	*classify.Entry

	Advice diagnosis.Advice `json:"advice,omitzero"`
}

func newExplained(e *classify.Entry) explained {
	if e == canceled {
		return explained{Entry: e}
	}
	return explained{e, diagnosis.ForEntry(e)}
}

func explainEntry(std stdio, e *classify.Entry) error {
	kind := "Code"
	if slices.Contains(classify.Faults(), classify.Fault(e.Code)) {
		kind = "Fault"
	}
	advice := newExplained(e).Advice
	return output.Fields(
		std.out,
		output.Value(kind, e.Code),
		output.Value("Also seen as", strings.Join(e.Aliases, ", ")),
		output.Prose("Means", e.Meaning.English),
		output.Prose("Do", advice.Text().English),
		output.Prose("含义", e.Meaning.Chinese),
		output.Prose("处理", advice.Text().Chinese),
		output.Value("HTTP status", statuses(e)),
		output.Prose("Message", e.Example),
		output.Value("Type", string(e.Type)),
		output.Value("Category", string(e.Category)),
		output.Value("Blame", string(e.Blame)),
		output.Value("Retry", string(advice.Retry)),
		output.Value("Runbook", advice.Runbook),
		output.Value("Grade", string(e.Grade)),
		output.Prose("Source", e.Source),
	)
}

// explainCause prints the texts of a cause, in both languages.
func (v *explainVerb) explainCause(std stdio, d diagnosis.Description) error {
	if v.output == "json" {
		return output.JSON(std.out, d)
	}
	return output.Fields(
		std.out,
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
