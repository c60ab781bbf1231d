package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/url"
	"strconv"
)

// jaegerV3 is Jaeger by its public API, /api/v3, which version 2 recommends.
type jaegerV3 struct {
	endpoint
	services []string // of the taps' spans
}

// NewJaegerV3 returns the Jaeger with the URL. A search by request ID is limited to
// the services.
func NewJaegerV3(base *url.URL, clients Clients, services []string) (Named, error) {
	return named("Jaeger /api/v3 ", base, clients, func(e endpoint) Source { return jaegerV3{e, services} })
}

// Find implements Source.
func (j jaegerV3) Find(ctx context.Context, q *Query) (Response, error) {
	return findTrace(q, j.services, func(traceID string) (Response, error) {
		return j.read(ctx, "/api/v3/traces/"+traceID, url.Values{"start_time": {rfc3339(q.From)}, "end_time": {rfc3339(q.To)}}, q)
	}, func(service, attribute string) (Response, error) {
		return j.read(ctx, "/api/v3/traces", url.Values{
			"query.service_name": {service}, "query.attributes": {tags(attribute, q)},
			"query.num_traces": {strconv.Itoa(maxTraces)}, "query.search_depth": {strconv.Itoa(maxTraces)},
			"query.start_time_min": {rfc3339(q.From)}, "query.start_time_max": {rfc3339(q.To)},
		}, q)
	})
}

func (j jaegerV3) read(ctx context.Context, path string, query url.Values, q *Query) (Response, error) {
	body, err := j.find(ctx, path, query, json.Valid)
	if body == nil || err != nil {
		return Response{}, err
	}
	return readJaegerV3(body, j.base, q)
}

// readJaegerV3 reads the chunks of a response, which are JSON objects one after
// another.
func readJaegerV3(body []byte, base *url.URL, q *Query) (a Response, err error) {
	others := false // spans that have nothing to do with q
	dec := json.NewDecoder(bytes.NewReader(body))
	for {
		var chunk struct {
			Result *otlpTraces `json:"result"`
		}
		switch err := dec.Decode(&chunk); {
		case errors.Is(err, io.EOF):
			if others && len(a.Found) == 0 {
				a.Partial = "this version of Jaeger does not search by attribute in /api/v3; use --lookup.jaeger"
			}
			return a, nil
		case err != nil || chunk.Result == nil:
			return a, errNotExpected
		}
		chunk.Result.spans(func(s *span) {
			if !a.add(q, fromSpan(s), traceLink(base, s.traceID)) && s.traceID != q.TraceID {
				others = true
			}
		})
	}
}
