package lookup

import (
	"context"
	"encoding/json"
	"fmt"
	"net/url"
	"strconv"
	"time"
)

// jaeger is Jaeger by the API of its page, which versions 1 and 2 have.
type jaeger struct {
	endpoint
	services []string // of the taps' spans
}

// NewJaeger returns the Jaeger with the URL. A search by request ID is limited to the
// services.
func NewJaeger(base *url.URL, clients Clients, services []string) (Named, error) {
	return named("Jaeger ", base, clients, func(e endpoint) Source { return jaeger{e, services} })
}

// Find implements Source.
func (j jaeger) Find(ctx context.Context, q *Query) (Response, error) {
	return findTrace(q, j.services, func(traceID string) (Response, error) {
		return j.read(ctx, "/api/traces/"+traceID, url.Values{}, q)
	}, func(service, attribute string) (Response, error) {
		return j.read(ctx, "/api/traces", url.Values{
			"service": {service}, "tags": {tags(attribute, q)}, "limit": {strconv.Itoa(maxTraces)},
		}, q)
	})
}

// maxTraces is the maximum number of traces that a search returns.
const maxTraces = 20

// findTrace finds a call by its trace ID or, if there is none or it is not found, by
// a search in each service by each attribute that may have the ID.
func findTrace(q *Query, services []string, get func(traceID string) (Response, error), search func(service, attribute string) (Response, error)) (Response, error) {
	if q.TraceID != "" {
		if a, err := get(q.TraceID); err != nil || len(a.Found) > 0 {
			return a, err
		}
	}
	var all Response
	for _, service := range services {
		for _, attribute := range q.attributes() {
			a, err := search(service, attribute)
			if err != nil {
				return all, err
			}
			all.merge(a)
		}
	}
	return all, nil
}

// tags returns the condition of a search in Jaeger, a JSON object.
func tags(attribute string, q *Query) string {
	text, err := json.Marshal(map[string]string{attribute: q.ID})
	if err != nil {
		return "{}" // cannot happen for a map of texts
	}
	return string(text)
}

func (j jaeger) read(ctx context.Context, path string, query url.Values, q *Query) (Response, error) {
	query.Set("start", strconv.FormatInt(q.From.UnixMicro(), 10))
	query.Set("end", strconv.FormatInt(q.To.UnixMicro(), 10))
	body, err := j.find(ctx, path, query, json.Valid)
	if body == nil || err != nil {
		return Response{}, err
	}
	return readJaeger(body, j.base, q)
}

// jaegerTags are the attributes of a span or an event.
type jaegerTags []struct {
	Key   string `json:"key"`
	Value any    `json:"value"`
}

func (tags jaegerTags) fields() map[string]string {
	all := make(map[string]any, len(tags))
	for _, t := range tags {
		all[t.Key] = t.Value
	}
	return flatten(all)
}

// readJaeger reads the traces of a response.
func readJaeger(body []byte, base *url.URL, q *Query) (a Response, err error) {
	var response struct {
		Data []struct {
			Spans []struct {
				TraceID   string     `json:"traceID"`
				SpanID    string     `json:"spanID"`
				StartTime int64      `json:"startTime"` // microseconds
				Duration  int64      `json:"duration"`
				Tags      jaegerTags `json:"tags"`
				Logs      []struct {
					Fields jaegerTags `json:"fields"`
				} `json:"logs"`
			} `json:"spans"`
		} `json:"data"`
		Errors []struct {
			Msg string `json:"msg"`
		} `json:"errors"`
	}
	if err := decode(body, &response); err != nil {
		return a, err
	}
	for _, t := range response.Data {
		for _, x := range t.Spans {
			start := time.UnixMicro(x.StartTime).UTC()
			s := span{traceID: x.TraceID, spanID: x.SpanID, start: start, end: start.Add(time.Duration(x.Duration) * time.Microsecond), attributes: x.Tags.fields()}
			s.message = s.attributes["otel.status_description"]
			for _, event := range x.Logs {
				if fields := event.Fields.fields(); fields["event"] == diagnosisEvent && s.diagnosis == nil {
					s.diagnosis = fields
				}
			}
			a.add(q, fromSpan(&s), traceLink(base, x.TraceID))
		}
	}
	if len(response.Errors) > 0 && len(response.Data) == 0 {
		return a, fmt.Errorf("%s", errorText(body))
	}
	return a, nil
}

// traceLink returns the URL of a trace in Jaeger's page.
func traceLink(base *url.URL, traceID string) string {
	return withoutUser(base.JoinPath("trace", url.PathEscape(traceID)))
}
