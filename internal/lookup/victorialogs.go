package lookup

import (
	"bytes"
	"context"
	"errors"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"time"
)

// victoriaLogs is VictoriaLogs, a single node or a cluster. Log lines must have been
// split into fields when they were stored, or sent by OTLP.
type victoriaLogs struct{ endpoint }

// NewVictoriaLogs returns the VictoriaLogs with the URL.
func NewVictoriaLogs(base *url.URL, clients Clients) (Named, error) {
	return named("VictoriaLogs ", base, clients, func(e endpoint) Source { return victoriaLogs{e} })
}

// Find implements Source. A cluster fails if a storage node does not answer. Then the
// others are asked.
func (v victoriaLogs) Find(ctx context.Context, q *Query) (Response, error) {
	form := url.Values{
		"query": {logsQL(q)}, "start": {rfc3339(q.From)}, "end": {rfc3339(q.To)},
		"limit": {strconv.Itoa(maxFound)}, "allow_partial_response": {"0"},
	}
	body, err := v.query(ctx, form)
	var failed statusError
	if errors.As(err, &failed) && failed.status >= http.StatusInternalServerError {
		form.Set("allow_partial_response", "1")
		if body, err := v.query(ctx, form); err == nil {
			a, err := readVictoriaLogs(body, q)
			a.Partial = failed.Error()
			if _, why, ok := strings.Cut(failed.text, "]: "); ok { // after the query
				a.Partial = why
			}
			return a, err
		}
	}
	if err != nil {
		return Response{}, err
	}
	return readVictoriaLogs(body, q)
}

func (v victoriaLogs) query(ctx context.Context, form url.Values) ([]byte, error) {
	return v.do(ctx, http.MethodPost, "/select/logsql/query", nil, "application/x-www-form-urlencoded", strings.NewReader(form.Encode()))
}

// logsQL returns the query in LogsQL.
func logsQL(q *Query) string {
	text := "request_id:=" + strconv.Quote(q.ID)
	if q.mayBeOwn() {
		text += " or id:=" + strconv.Quote(q.ID)
	}
	return text
}

// readVictoriaLogs reads lines of JSON objects, whose values are text.
func readVictoriaLogs(body []byte, q *Query) (a Response, err error) {
	for line := range bytes.Lines(body) {
		if line = bytes.TrimSpace(line); len(line) == 0 {
			continue
		}
		var fields map[string]any
		if err := decode(line, &fields); err != nil {
			return a, err
		}
		a.add(q, fromLog(flatten(fields), "_time"))
	}
	return a, nil
}

// rfc3339 returns t as text for APIs.
func rfc3339(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) }
