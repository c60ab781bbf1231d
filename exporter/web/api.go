package web

import (
	"bytes"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// The limits of a list.
const (
	defaultLimit = 100
	maxLimit     = 1000
)

// api serves the journal as JSON, in the response format of Prometheus' HTTP API.
type api struct {
	journal *journal.Journal
}

// answer is the response body: status "success" with Data, or status "error".
type answer struct {
	Status    string `json:"status"`
	Data      *data  `json:"data,omitempty"`
	ErrorType string `json:"errorType,omitempty"`
	Error     string `json:"error,omitempty"`
}

// data is the content of a successful response.
type data struct {
	Errors []*record.Record `json:"errors"` // newest first
}

// eventsAnswer is the response body of the list of events, which has no errors.
type eventsAnswer struct {
	Status string     `json:"status"`
	Data   eventsData `json:"data"`
}

// eventsData is the content of an eventsAnswer.
type eventsData struct {
	Events []*diagnosis.Event `json:"events"` // newest first
}

// The values of answer.ErrorType.
const (
	errBadData  = "bad_data"
	errNotFound = "not_found"
)

// list serves recent failures.
func (a api) list(w http.ResponseWriter, r *http.Request) {
	f, err := parseFilter(r.URL.Query(), time.Now())
	if err != nil {
		fail(w, http.StatusBadRequest, errBadData, err.Error())
		return
	}
	succeed(w, a.journal.Select(f))
}

// one serves the failed attempts with one request ID.
func (a api) one(w http.ResponseWriter, r *http.Request) {
	id := r.PathValue("request_id")
	if err := checkRequestID(id); err != nil {
		fail(w, http.StatusBadRequest, errBadData, err.Error())
		return
	}
	found := a.journal.Find(id)
	if len(found) == 0 {
		fail(w, http.StatusNotFound, errNotFound, fmt.Sprintf("no failed call with request ID %q in the journal", id))
		return
	}
	succeed(w, found)
}

// events serves what was noticed besides failures of single calls.
func (a api) events(w http.ResponseWriter, _ *http.Request) {
	reply(w, http.StatusOK, eventsAnswer{Status: "success", Data: eventsData{a.journal.Events()}})
}

// succeed responds with records.
func succeed(w http.ResponseWriter, found []*record.Record) {
	if found == nil {
		found = []*record.Record{} // [] in JSON, not null
	}
	reply(w, http.StatusOK, answer{Status: "success", Data: &data{found}})
}

// fail responds with an error.
func fail(w http.ResponseWriter, status int, kind, message string) {
	reply(w, status, answer{Status: "error", ErrorType: kind, Error: message})
}

// reply writes a as JSON. "&" is not escaped, so that URLs can be read and
// searched for. The response headers keep browsers from treating it as HTML.
func reply(w http.ResponseWriter, status int, a any) {
	var body bytes.Buffer
	enc := json.NewEncoder(&body)
	enc.SetEscapeHTML(false)
	if err := enc.Encode(a); err != nil { // cannot happen with the types above
		http.Error(w, "cannot encode the answer", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(printable.EscapeBytes(body.Bytes()))
}

// parseFilter parses the query parameters of a list. Unknown and repeated
// parameters are errors, because ignoring a filter would be misleading.
func parseFilter(q url.Values, now time.Time) (journal.Filter, error) {
	f := journal.Filter{Limit: defaultLimit}
	for _, name := range slices.Sorted(maps.Keys(q)) { // sorted, so that the same error is always reported first
		v := q.Get(name)
		if n := len(q[name]); n > 1 {
			return f, fmt.Errorf("parameter %q is given %d times", name, n)
		}
		if v == "" {
			continue // an empty field of the form
		}
		var err error
		switch name {
		case "request_id":
			f.RequestID, err = v, checkRequestID(v)
		case "code":
			f.Code = v
		case "category":
			f.Category = v
		case "outcome":
			f.Outcome = v
		case "blame":
			f.Blame = v
		case "action":
			f.Action = v
		case "call_id":
			f.CallID = v
		case "since":
			f.Since, err = parseSince(v, now)
		case "limit":
			f.Limit, err = parseLimit(v)
		default:
			err = fmt.Errorf("unknown parameter %q", name)
		}
		if err != nil {
			return f, err
		}
	}
	return f, nil
}

// checkRequestID returns an error if the text cannot be a request ID.
func checkRequestID(id string) error {
	if classify.MakeRequestID(id).IsZero() {
		return fmt.Errorf("invalid parameter \"request_id\": want 1 to %d printable ASCII characters without spaces, quotes, backslashes and angle brackets, that do not look like an access key",
			classify.MaxRequestID)
	}
	return nil
}

// parseSince parses an RFC 3339 time, a Unix time in seconds, or a duration before now.
func parseSince(s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	const maxSeconds = 1 << 40 // far in the future, and exact as a float
	if sec, err := strconv.ParseFloat(s, 64); err == nil && sec >= 0 && sec < maxSeconds {
		whole, frac := math.Modf(sec)
		return time.Unix(int64(whole), int64(frac*1e9)), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("invalid parameter \"since\": %q is not an RFC 3339 time, a Unix time in seconds or a duration such as 15m", s)
}

// parseLimit parses the maximum length of a list.
func parseLimit(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLimit {
		return 0, fmt.Errorf("invalid parameter \"limit\": want a number from 1 to %d", maxLimit)
	}
	return n, nil
}
