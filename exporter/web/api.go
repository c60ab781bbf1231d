package web

import (
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/har"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// api serves the failures as JSON, in the response format of Prometheus' HTTP API.
type api struct {
	Options
}

// response is the body of a response: status "success" with Data, or status "error".
type response struct {
	Status    string `json:"status"`
	Data      any    `json:"data,omitempty"`
	ErrorType string `json:"errorType,omitempty"`
	Error     string `json:"error,omitempty"`
}

// failuresData is a page of failures, newest first.
type failuresData struct {
	Failures   []*record.Record `json:"failures"`
	NextCursor string           `json:"next_cursor,omitempty"` // "" on the last page
	Journal    journal.Stats    `json:"journal"`
}

// object is data with other keys.
type object map[string]any

// incident is a kind of failure of the last 15 minutes.
type incident struct {
	diagnosis.Incident
	Sentence diagnosis.Text `json:"sentence"` // the scope in words, in UTC
}

// The values of response.ErrorType.
const (
	errBadData     = "bad_data"
	errNotFound    = "not_found"
	errUnavailable = "unavailable"
)

// parsed returns a handler that parses the query string, which may have the parameters in
// allowed, before it calls serve.
func (a api) parsed(allowed []string, serve func(http.ResponseWriter, *http.Request, *query)) http.HandlerFunc {
	return func(w http.ResponseWriter, r *http.Request) {
		values, err := parameters(r)
		var q query
		if err == nil {
			q, err = parseQuery(values, allowed, a.Now())
		}
		if err != nil {
			fail(w, http.StatusBadRequest, errBadData, err.Error())
			return
		}
		serve(w, r, &q)
	}
}

// failures serves a page of failures.
func (a api) failures(w http.ResponseWriter, r *http.Request, q *query) {
	page, more := a.Journal.Select(r.Context(), &q.filter, q.cursor, q.limit)
	next := ""
	if more {
		next = page[len(page)-1].ID
	}
	if next != "" {
		w.Header().Set("Link", nextLink(r.URL, next))
	}
	switch formatOf(q, r.Header.Get("Accept")) {
	case formatNDJSON:
		writeNDJSON(w, page)
	case formatCSV:
		writeCSV(w, page)
	default:
		if page == nil {
			page = []*record.Record{} // [] in JSON, not null
		}
		succeed(w, failuresData{page, next, a.Journal.Stats()})
	}
}

// failure serves the failures with one ID or request ID.
func (a api) failure(w http.ResponseWriter, r *http.Request, _ *query) {
	if found := a.find(w, r); found != nil {
		succeed(w, object{"failures": found})
	}
}

// ticket serves the text of a support ticket about the failure with an ID, or
// about the newest one with a request ID.
func (a api) ticket(w http.ResponseWriter, r *http.Request, q *query) {
	found := a.find(w, r)
	if found == nil {
		return
	}
	text := Ticket(found[0], diagnosis.Language(cmp.Or(q.lang, string(diagnosis.English))))
	w.Header().Set("Content-Type", "text/plain; charset=utf-8")
	_, _ = w.Write([]byte(text))
}

// har serves the exchanges of the failures with one ID or request ID as an HTTP
// archive, the oldest first.
func (a api) har(w http.ResponseWriter, r *http.Request, _ *query) {
	found := a.find(w, r)
	switch {
	case found == nil:
		return
	case a.Evidence == nil:
		fail(w, http.StatusNotFound, errNotFound, "exchanges are not kept: set --evidence")
		return
	}
	slices.Reverse(found)
	archive, err := har.Encode(found, a.Evidence, a.Version)
	if err != nil { // cannot happen with its types
		http.Error(w, "cannot encode the archive", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.Header().Set("Content-Disposition", `attachment; filename="`+found[0].ID+`.har"`)
	_, _ = w.Write(archive)
}

// languages are the languages of tickets.
var languages = []string{string(diagnosis.English), string(diagnosis.Chinese)}

// find returns the failures named by the path. If there are none, it responds
// with an error and returns nil.
func (a api) find(w http.ResponseWriter, r *http.Request) []*record.Record {
	id := r.PathValue("id")
	if !record.IsID(id) {
		if err := checkRequestID(id); err != nil {
			fail(w, http.StatusBadRequest, errBadData, err.Error())
			return nil
		}
	}
	found := a.lookUp(r.Context(), id)
	if len(found) == 0 {
		fail(w, http.StatusNotFound, errNotFound, fmt.Sprintf("no failure with ID or request ID %q in the journal", id))
	}
	return found
}

// settleTime is how long a look-up waits for failures that are not in the journal yet.
const settleTime = 500 * time.Millisecond

// lookUp returns the failures with the ID or request ID, newest first. Those that were
// observed before, but are still in the queue of the journal, are waited for.
func (a api) lookUp(ctx context.Context, id string) []*record.Record {
	found := a.Journal.Find(id)
	if len(found) > 0 || a.Settle == nil {
		return found
	}
	ctx, cancel := context.WithTimeout(ctx, settleTime)
	defer cancel()
	if !a.Settle(ctx) {
		return nil
	}
	return a.Journal.Find(id)
}

// groups returns all groups, the largest first, and the number of calls since the start.
func (a api) groups() any {
	calls := a.Activity.Calls()
	return object{"calls": calls, "groups": a.Groups.List(a.Now(), calls), "table": a.Groups.Stats()}
}

// group serves one group.
func (a api) group(w http.ResponseWriter, r *http.Request, _ *query) {
	id := r.PathValue("id")
	g, ok := a.Groups.Find(id, a.Now(), a.Activity.Calls())
	if !ok {
		fail(w, http.StatusNotFound, errNotFound, fmt.Sprintf("no group with ID %q", id))
		return
	}
	succeed(w, object{"group": g})
}

// incidents returns the onset and scope of the kinds of failure that go on, the most
// frequent first.
func (a api) incidents() any {
	all := []incident{} // [] in JSON, not null
	for _, i := range a.Diagnoser.Incidents(a.Now()) {
		all = append(all, incident{i, diagnosis.Text{
			English: i.Sentence(diagnosis.English, i.Blame, i.Last), Chinese: i.Sentence(diagnosis.Chinese, i.Blame, i.Last),
		}})
	}
	return object{"incidents": all}
}

// succeed responds with data.
func succeed(w http.ResponseWriter, data any) {
	reply(w, http.StatusOK, response{Status: "success", Data: data})
}

// fail responds with an error.
func fail(w http.ResponseWriter, status int, kind, message string) {
	reply(w, status, response{Status: "error", ErrorType: kind, Error: message})
}

// reply writes a as JSON.
func reply(w http.ResponseWriter, status int, a response) {
	body := encode(a)
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(body)
}

// encode returns v as one line of JSON. "&" is not escaped, so that URLs can be
// read and searched for. The response headers keep browsers from treating it as
// HTML.
func encode(v any) []byte {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(v); err != nil {
		panic(err) // v is none of the types of the API
	}
	return printable.EscapeBytes(body.Bytes())
}
