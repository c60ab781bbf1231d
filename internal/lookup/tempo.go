package lookup

import (
	"bytes"
	"context"
	"net/url"
	"strconv"
)

// tempo is Grafana Tempo.
type tempo struct{ endpoint }

// NewTempo returns the Tempo with the URL.
func NewTempo(base *url.URL, clients Clients) (Named, error) {
	return named("Tempo ", base, clients, func(e endpoint) Source { return tempo{e} })
}

// Find implements Source. TraceQL is not limited to a service.
func (t tempo) Find(ctx context.Context, q *Query) (Response, error) {
	return findTrace(q, []string{""}, func(traceID string) (Response, error) {
		return t.trace(ctx, traceID, q)
	}, func(_, attribute string) (Response, error) {
		var found struct {
			Traces []struct {
				TraceID string `json:"traceID"`
			} `json:"traces"`
		}
		query := seconds(q)
		query.Set("q", traceQL(attribute, q))
		query.Set("limit", strconv.Itoa(maxTraces))
		if err := t.get(ctx, "/api/search", query, &found); err != nil {
			return Response{}, err
		}
		var all Response
		for i, one := range found.Traces {
			if i == maxTraces {
				break
			}
			a, err := t.trace(ctx, one.TraceID, q)
			if err != nil {
				return all, err
			}
			all.merge(a)
		}
		return all, nil
	})
}

// traceQL returns the query in TraceQL.
func traceQL(attribute string, q *Query) string {
	return "{ span." + attribute + " = " + strconv.Quote(q.ID) + " }"
}

// seconds returns the time range as parameters.
func seconds(q *Query) url.Values {
	return url.Values{"start": {strconv.FormatInt(q.From.Unix(), 10)}, "end": {strconv.FormatInt(q.To.Unix()+1, 10)}}
}

// trace returns the attempts in a trace.
func (t tempo) trace(ctx context.Context, traceID string, q *Query) (Response, error) {
	path := "/api/v2/traces/" + url.PathEscape(traceID)
	body, err := t.find(ctx, path, seconds(q), isTempo)
	if body == nil || err != nil {
		return Response{}, err
	}
	return readTempo(body, withoutUser(t.base.JoinPath(path)), q)
}

// isTempo reports whether a body with the status 404 is Tempo's.
func isTempo(body []byte) bool { return !bytes.Contains(body, []byte("page not found")) }

// readTempo reads a trace.
func readTempo(body []byte, link string, q *Query) (a Response, err error) {
	var response struct {
		Trace   *otlpTraces `json:"trace"`
		Status  string      `json:"status"`
		Message string      `json:"message"`
	}
	if err := decode(body, &response); err != nil {
		return a, err
	}
	if response.Status == "PARTIAL" {
		a.Partial = errorText([]byte("partial trace: " + response.Message))
	}
	if response.Trace != nil {
		response.Trace.spans(func(s *span) { a.add(q, fromSpan(s), link) })
	}
	return a, nil
}
