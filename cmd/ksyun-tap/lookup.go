package main

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// lookupVerb finds a failed call by its ID or request ID in the journals of running
// taps.
type lookupVerb struct {
	id      string
	urls    []string
	output  string
	ticket  string // language; "" for the fields
	timeout time.Duration
}

func newLookup(app *kingpin.Application) *lookupVerb {
	v := &lookupVerb{}
	c := app.Command("lookup", "Find a failed call by its ID or request ID in the journal of the running tap. Exit codes: 0 if it is found, 1 if it is not, 2 if no tap answers.")
	c.Arg("id", "ID of the failure or its request ID, from a log line, an exemplar or the program's error message.").Required().StringVar(&v.id)
	c.Flag("url", urlHelp+" Repeatable: all of them are queried at the same time.").PlaceHolder("URL").StringsVar(&v.urls)
	c.Flag("ticket", "Print the text for a support ticket, in this language: en or zh.").PlaceHolder("LANGUAGE").EnumVar(&v.ticket, "en", "zh")
	c.Flag("output", "Format: text or json.").Default("text").EnumVar(&v.output, "text", "json")
	c.Flag("timeout", "Timeout for the taps' responses.").Default("5s").DurationVar(&v.timeout)
	return v
}

// found is the response of one tap.
type found struct {
	failures []record.Record
	ticket   string
	err      error
}

func (v *lookupVerb) run(ctx context.Context, std stdio) error {
	if v.ticket != "" && v.output == "json" {
		return usageError{usererror.New("--ticket and --output=json cannot be combined", "omit one of them")}
	}
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	taps := v.urls
	if len(taps) == 0 {
		taps = []string{tapURL("")}
	}
	responses := make([]found, len(taps))
	var group sync.WaitGroup
	for i, tap := range taps {
		group.Go(func() { responses[i] = v.ask(ctx, tap) })
	}
	group.Wait()

	var failed []error
	n := 0
	for i, a := range responses {
		var api apiError
		switch {
		case errors.As(a.err, &api) && api.status == http.StatusNotFound:
		case errors.As(a.err, &api) && api.status == http.StatusBadRequest:
			return usageError{a.err}
		case a.err != nil:
			failed = append(failed, a.err)
			if len(taps) > 1 {
				fmt.Fprintf(std.err, "ksyun-tap: no response from %s: %s\n", taps[i], oneLine(a.err))
			}
		default:
			if err := v.print(std.out, taps, i, a, n > 0); err != nil {
				return err
			}
			n++
		}
	}
	switch {
	case n > 0:
		return nil
	case len(failed) == len(taps) && len(taps) == 1:
		return exitError{exitNoResponse, failed[0]}
	case len(failed) == len(taps):
		return exitError{exitNoResponse, usererror.New("no tap answered", "set the --web.listen-address of each with --url")}
	}
	return exitError{exitNone, usererror.New("no failed call with ID or request ID "+v.id, "the tap keeps only its most recent failures; keep more with --journal.size, and over restarts with --journal.path")}
}

// oneLine returns the text of err without its hint.
func oneLine(err error) string {
	text, _, _ := strings.Cut(err.Error(), "\n")
	return text
}

// ask queries one tap.
func (v *lookupVerb) ask(ctx context.Context, tap string) (f found) {
	if v.ticket != "" {
		f.ticket, f.err = queryTicket(ctx, tap, v.id, v.ticket)
		return f
	}
	data, err := queryTap[struct {
		Failures []record.Record `json:"failures"`
	}](ctx, tap, failurePath(v.id))
	return found{failures: data.Failures, err: err}
}

// print prints what the tap with index i found. Of the tickets, which are about the
// same call, only the first is printed.
func (v *lookupVerb) print(out io.Writer, taps []string, i int, f found, more bool) error {
	if v.ticket != "" {
		if more {
			return nil
		}
		_, err := io.WriteString(out, f.ticket)
		return err
	}
	if v.output == "json" {
		e := json.NewEncoder(out)
		e.SetEscapeHTML(false)
		for _, r := range f.failures {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	for _, r := range f.failures {
		if more {
			fmt.Fprintln(out)
		}
		more = true
		if len(taps) > 1 {
			fmt.Fprintf(out, "From %s:\n", taps[i])
		}
		if err := printRecord(out, &r); err != nil {
			return err
		}
	}
	return nil
}

func printRecord(out io.Writer, r *record.Record) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name string, parts ...string) {
		if text := strings.Join(strings.Fields(strings.Join(parts, " ")), " "); text != "" {
			fmt.Fprintf(w, "%s\t%s\n", name, text)
		}
	}
	status := ""
	if r.Status != 0 {
		status = strconv.Itoa(r.Status)
	}
	row("ID", r.ID)
	row("Request ID", r.RequestID, notVendors(r.RequestIDSource))
	row("Time", r.Time.Format(time.RFC3339Nano))
	row("Call", r.Service, r.Action, r.Version, r.Region)
	row("Outcome", string(r.Outcome), status, r.Code, string(r.Fault))
	row("Category", string(r.Category))
	row("Blame", string(r.Blame))
	row("Message", r.Message)
	row("Means", r.Meaning.English)
	row("Do", r.Advice.Text().English)
	row("含义", r.Meaning.Chinese)
	row("处理", r.Advice.Text().Chinese)
	row("Runbook", r.Advice.Runbook)
	row("URL", r.Method, r.URL)
	row("Took", time.Duration(r.DurationSeconds*float64(time.Second)).String())
	row("Trace", r.TraceID)
	row("Client", r.UserAgent)
	return w.Flush()
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
