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
	"text/tabwriter"
	"time"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// lookupVerb finds a failed call by its ID or request ID in the journal of a
// running tap.
type lookupVerb struct {
	id      string
	url     string
	output  string
	timeout time.Duration
}

func newLookup(app *kingpin.Application) *lookupVerb {
	v := &lookupVerb{}
	c := app.Command("lookup", "Find a failed call by its ID or request ID in the journal of the running tap.")
	c.Arg("id", "ID of the failure or its request ID, from a log line, an exemplar or the program's error message.").Required().StringVar(&v.id)
	urlFlag(c, &v.url)
	c.Flag("output", "Format: text or json.").Default("text").EnumVar(&v.output, "text", "json")
	c.Flag("timeout", "Timeout for the tap's response.").Default("5s").DurationVar(&v.timeout)
	return v
}

func (v *lookupVerb) run(ctx context.Context, std stdio) error {
	ctx, cancel := context.WithTimeout(ctx, v.timeout)
	defer cancel()
	tap := tapURL(v.url)
	status, body, err := askTap(ctx, tap, failurePath(v.id))
	if err != nil {
		return usererror.Wrap(fmt.Errorf("query the tap: %w", err), "set its --web.listen-address with --url")
	}
	var answer struct {
		Error string `json:"error"`
		Data  struct {
			Failures []record.Record `json:"failures"`
		} `json:"data"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("%s does not respond like a tap (HTTP status %d): %w", tap, status, err)
	}
	switch {
	case status == http.StatusNotFound:
		return usererror.New("no failed call with ID or request ID "+v.id, "the tap keeps only its most recent failures since its start; keep more with --journal.size, and over restarts with --journal.path")
	case status != http.StatusOK:
		return errors.New(answer.Error)
	}
	if v.output == "json" {
		e := json.NewEncoder(std.out)
		e.SetEscapeHTML(false)
		for _, r := range answer.Data.Failures {
			if err := e.Encode(r); err != nil {
				return err
			}
		}
		return nil
	}
	for _, r := range answer.Data.Failures {
		if err := printRecord(std.out, &r); err != nil {
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
	if r.HTTPStatus != 0 {
		status = strconv.Itoa(r.HTTPStatus)
	}
	row("ID", r.ID)
	row("Request ID", r.RequestID, notVendors(r.RequestIDSource))
	row("Time", r.Time.Format(time.RFC3339Nano))
	row("Call", r.Service, r.Action, r.Version, r.Region)
	row("Outcome", string(r.Outcome), status, r.ErrorCode, string(r.Fault))
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
