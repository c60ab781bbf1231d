package web

import (
	"cmp"
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// failureData is the data of the page of one failure.
type failureData struct {
	frame
	ID       string           // an ID or a request ID, as given in the path
	Failure  *record.Record   // nil if there is none
	Attempts []*record.Record // of the same call, oldest first; one or more
	Group    *groups.Group    // nil if it is not known
	Spark    sparkline
	English  string // ticket
	Chinese  string // ticket
	Curl     string // "" if the call cannot be repeated by curl
	Trace    string // URL of the trace; may be ""
	Logs     string // URL of the log lines; may be ""
	Exchange bool   // what it looked like on the wire is kept
}

// failurePage serves the page of the failure with an ID, or of the newest one with
// a request ID.
func (p pages) failurePage(w http.ResponseWriter, r *http.Request) {
	d := failureData{frame: p.frameOf(r, "failure"), ID: r.PathValue("id")}
	if !record.IsID(d.ID) && checkRequestID(d.ID) != nil {
		d.status = http.StatusBadRequest
		render(w, "failure.html", d)
		return
	}
	found := p.lookUp(r.Context(), d.ID)
	if len(found) == 0 {
		d.status = http.StatusNotFound
		render(w, "failure.html", d)
		return
	}
	f := found[0]
	d.Failure, d.Title = f, language(d.Language).subject(f)
	d.Attempts = p.attempts(r.Context(), f)
	d.English, d.Chinese = ticket(f, diagnosis.English), ticket(f, diagnosis.Chinese)
	d.Curl = curl(f)
	d.Trace, d.Logs = p.TraceURL.For(f), p.LogsURL.For(f)
	if p.Evidence != nil {
		d.Exchange = p.Evidence(f.ID) != nil
	}
	if g, ok := p.api.Groups.Find(f.Group, p.Now(), p.Activity.Calls()); ok {
		d.Group, d.Spark = &g, newSparkline(g.Trend.Counts)
	}
	render(w, "failure.html", d)
}

// maxAttempts is the maximum number of attempts of one call that are shown.
const maxAttempts = 50

// attempts returns the failed attempts of the call of f or, if its other attempts
// are not known, those with its request ID, oldest first.
func (p pages) attempts(ctx context.Context, f *record.Record) (all []*record.Record) {
	if call, ok := record.DimensionNamed("call_id"); ok && f.CallID != "" {
		all, _ = p.Journal.Select(ctx, &journal.Filter{Conditions: []journal.Condition{{Dimension: call, Values: []string{f.CallID}}}}, "", maxAttempts)
	} else {
		all = p.Journal.Find(cmp.Or(f.RequestID, f.ID))
	}
	slices.Reverse(all)
	return all
}

// Recovered reports whether a later attempt of the call succeeded.
func (d failureData) Recovered() bool {
	return slices.ContainsFunc(d.Attempts, func(r *record.Record) bool { return r.CallOutcome == diagnosis.CallSuccessAfterRetry })
}

// Only returns the link to the failures with one value of a dimension, and no other
// filter, in a time range that includes this failure.
func (d failureData) Only(name, value string) string {
	if d.Now.Sub(d.Failure.Time) < 24*time.Hour {
		return d.Day(name, value)
	}
	return "/?" + url.Values{name: {value}, paramFrom: {unix(d.Failure.Time.Add(-time.Hour))}}.Encode()
}

// Path returns the URL of the page of a failure.
func (d failureData) Path() string { return "/failures/" + url.PathEscape(d.Failure.ID) }
