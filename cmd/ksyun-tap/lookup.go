package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/lookup"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
	"github.com/ksyun-tap/ksyun-tap/internal/tapclient"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// lookupVerb finds a failed call by its ID or request ID in the journals of running
// taps and in the backends that their spans and log lines are sent to.
type lookupVerb struct {
	id       string
	urls     []string
	settings *config.Settings
	since    time.Duration
	output   string
	ticket   string // language; "" for the fields
	timeout  time.Duration
}

func newLookup(app *kingpin.Application, s *config.Settings, file config.File) *lookupVerb {
	v := &lookupVerb{settings: s}
	c := app.Command("lookup", "Find a failed call by its ID or request ID: in the journals of running taps, and in the backends of the --lookup.* settings. Exit codes: 0 if it is found, 1 if it is not, 2 if it is not found but some of them did not answer.")
	c.Arg("id", "ID of the failure or its request ID, from a log line, an exemplar or the program's error message.").Required().StringVar(&v.id)
	c.Flag("url", urlHelp+" Repeatable: all of them are queried at the same time.").PlaceHolder("URL").SetValue(config.List(&v.urls, parseTapURL))
	c.Flag("since", "Time before now that is searched in backends. Taps search all that they keep.").Default("24h").SetValue(config.Positive(&v.since))
	c.Flag("ticket", "Print the text for a support ticket, in this language: en or zh.").PlaceHolder("LANGUAGE").SetValue(config.OneOf(&v.ticket, "en", "zh"))
	c.Flag("output", "Format: text or json.").Default("text").SetValue(config.OneOf(&v.output, "text", "json"))
	c.Flag("timeout", "How long to wait for responses.").Default("5s").SetValue(config.Positive(&v.timeout))
	s.RegisterLookup(c, file)
	return v
}

func (v *lookupVerb) run(ctx context.Context, std stdio) error {
	if v.ticket != "" && v.output == "json" {
		return usageError{usererror.New("--ticket and --output=json cannot be combined", "omit one of them")}
	}
	query, err := lookup.NewQuery(v.id, v.since, time.Now())
	if err != nil {
		return usageError{err}
	}
	sources, optional, err := v.sources()
	if err != nil {
		return usageError{err}
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	results := lookup.All(ctx, sources, query)
	found := lookup.Merge(results)
	if len(results) == 1 && results[0].Err != nil {
		return exitError{exitNoResponse, usererror.Wrap(fmt.Errorf("no response from %s: %w", results[0].Name, results[0].Err), hintOf(results[0].Err))}
	}
	missing := reportMissing(std.err, results, optional)
	switch {
	case len(found) > 0:
		return v.print(std.out, found, len(sources) > 1)
	case missing > 0:
		return exitError{exitNoResponse, usererror.New("no failed call with ID or request ID "+v.id+" was found, but not everything was searched", "see the lines above; try again, or with a longer --timeout")}
	}
	return exitError{exitNone, usererror.New("no failed call with ID or request ID "+v.id, notFoundHint(len(sources) > 1))}
}

// hintOf returns what to do if the only source does not answer.
func hintOf(err error) string {
	if hint := usererror.Hint(err); hint != "" {
		return hint
	}
	return "set the --web.listen-address of the tap with --url, or a backend with --lookup.*"
}

func notFoundHint(backends bool) string {
	const tap = "the tap keeps only its most recent failures; keep more with --journal.size, and over restarts with --journal.path"
	if backends {
		return tap + "; search a longer time with --since"
	}
	return tap
}

// sources returns what is asked. The last result is the name of the local tap if it is
// asked only by default, and therefore need not be running.
func (v *lookupVerb) sources() (all []lookup.Named, optional string, err error) {
	set := &v.settings.Lookup
	clients, err := set.HTTPClients()
	if err != nil {
		return nil, "", err
	}
	urls := v.urls
	if len(urls) == 0 {
		urls = []string{""}
	}
	add := func(s lookup.Named, failed error) {
		err = errors.Join(err, failed)
		all = append(all, s)
	}
	for _, text := range urls {
		u, wrong := lookup.ParseURL(tapclient.URL(text))
		if wrong != nil {
			return nil, "", usererror.At("--url", wrong)
		}
		add(lookup.NewTap(u, clients))
	}
	for _, a := range set.DNS {
		add(lookup.NewTaps(a, clients))
	}
	for _, backend := range []struct {
		urls []*url.URL
		open func(*url.URL) (lookup.Named, error)
	}{
		{set.VictoriaLogs, func(u *url.URL) (lookup.Named, error) { return lookup.NewVictoriaLogs(u, clients) }},
		{set.Loki, func(u *url.URL) (lookup.Named, error) { return lookup.NewLoki(u, clients, set.LokiSelector) }},
		{set.Elasticsearch, func(u *url.URL) (lookup.Named, error) { return lookup.NewElasticsearch(u, clients) }},
		{set.Jaeger, func(u *url.URL) (lookup.Named, error) { return lookup.NewJaeger(u, clients, set.JaegerServices) }},
		{set.JaegerV3, func(u *url.URL) (lookup.Named, error) { return lookup.NewJaegerV3(u, clients, set.JaegerServices) }},
		{set.Tempo, func(u *url.URL) (lookup.Named, error) { return lookup.NewTempo(u, clients) }},
	} {
		for _, u := range backend.urls {
			add(backend.open(u))
		}
	}
	if len(v.urls) == 0 && len(all) > 1 && tapclient.URL("") == tapclient.LocalURL("", config.DefaultWebListen) {
		optional = all[0].Name
	}
	return all, optional, err
}

// reportMissing writes a line for each source, or part of one, that did not answer or
// whose response may be incomplete. It returns their number, without the optional one.
func reportMissing(out io.Writer, results []lookup.Result, optional string) (n int) {
	line := func(what, name, why string) {
		fmt.Fprintf(out, "ksyun-tap: %s from %s: %s\n", what, name, record.Escape(why))
		if name != optional {
			n++
		}
	}
	for _, r := range results {
		if r.Err != nil {
			line("no response", r.Name, oneLine(r.Err))
		}
		if r.Partial != "" {
			line("incomplete response", r.Name, r.Partial)
		}
		for _, m := range r.Missing {
			line("no response", m.Name, oneLine(m.Err))
		}
	}
	return n
}

// oneLine returns the text of err without its hint.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// foundJSON is a failure in JSON: its record, the sources that it was found in, and the
// URLs of its trace.
type foundJSON struct {
	*record.Record

	Sources []string `json:"found_in"`
	Traces  []string `json:"trace_urls,omitempty"`
}

// print prints what was found. Of the tickets, which are about the same call, only that
// of the newest attempt is printed.
func (v *lookupVerb) print(out io.Writer, found []lookup.Found, several bool) error {
	if v.ticket != "" {
		newest := slices.MaxFunc(found, func(a, b lookup.Found) int { return a.Record.Time.Compare(b.Record.Time) })
		_, err := io.WriteString(out, web.Ticket(newest.Record, diagnosis.Language(v.ticket)))
		return err
	}
	if v.output == "json" {
		for _, f := range found {
			if err := output.JSON(out, foundJSON{f.Record, f.Sources, f.Traces}); err != nil {
				return err
			}
		}
		return nil
	}
	for i, f := range found {
		if i > 0 {
			fmt.Fprintln(out)
		}
		if several {
			fmt.Fprintf(out, "From %s:\n", strings.Join(f.Sources, ", "))
		}
		if err := printRecord(out, f.Record, f.Traces); err != nil {
			return err
		}
	}
	return nil
}

func printRecord(out io.Writer, r *record.Record, traces []string) error {
	took := "" // not known
	if r.DurationSeconds > 0 {
		took = fmt.Sprintf("%.1f ms", r.DurationSeconds*1000)
	}
	join := func(parts ...string) string { return record.Escape(strings.Join(parts, " ")) }
	fields := []output.Field{
		output.Value("ID", join(r.ID)),
		output.Value("Request ID", join(r.RequestID, notVendors(r.RequestIDSource))),
		output.Value("Time", r.Time.Format(time.RFC3339Nano)),
		output.Value("Call", join(r.Service, r.Action, r.Version, r.Region)),
		output.Value("Outcome", join(string(r.Outcome), output.OrEmpty(r.Status), r.Code, string(r.Fault))),
		output.Value("Category", join(string(r.Category))),
		output.Value("Blame", join(string(r.Blame))),
		output.Prose("Message", join(r.Message)),
		output.Prose("Means", join(r.Meaning.English)),
	}
	for _, d := range r.Diagnoses {
		if d.Certainty != diagnosis.Excluded {
			fields = append(fields, output.Prose("Why", join("["+string(d.Certainty)+"]", d.Summary.English, d.Evidence.English)))
		}
	}
	if r.Scope != (diagnosis.Scope{}) {
		fields = append(fields, output.Prose("Scope", join(r.Scope.Sentence(diagnosis.English, r.Blame, r.Time))))
	}
	return output.Fields(out, append(
		fields,
		output.Prose("Do", join(r.Advice.Text().English)),
		output.Prose("含义", join(r.Meaning.Chinese)),
		output.Prose("处理", join(r.Advice.Text().Chinese)),
		output.Value("Runbook", join(r.Advice.Runbook)),
		output.Value("URL", join(r.Method, r.URL)),
		output.Value("Took", took),
		output.Value("Trace", join(append([]string{r.TraceID}, traces...)...)),
		output.Value("User-Agent", join(r.UserAgent)),
	)...)
}

// notVendors explains a request ID that the vendor does not know.
func notVendors(source classify.RequestIDSource) string {
	switch source {
	case classify.RequestIDProgram:
		return "(sent by the program)"
	case classify.RequestIDTap:
		return "(made by ksyun-tap for its own response)"
	case classify.RequestIDVendor:
	}
	return ""
}
