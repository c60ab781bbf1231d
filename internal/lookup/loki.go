package lookup

import (
	"context"
	"encoding/json"
	"maps"
	"net/url"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// loki is Loki. Log lines are JSON, or have their fields as structured metadata, as
// those by OTLP.
type loki struct {
	endpoint
	selector string // of the streams
}

// NewLoki returns the Loki with the URL. The selector is that of the taps' streams in
// LogQL.
func NewLoki(base *url.URL, clients Clients, selector string) (Named, error) {
	return named("Loki ", base, clients, func(e endpoint) Source { return loki{e, selector} })
}

// ParseSelector parses the selector of streams, without filters.
func ParseSelector(text string) (string, error) {
	text = strings.TrimSpace(text)
	if !strings.HasPrefix(text, "{") || !strings.HasSuffix(text, "}") {
		return "", usererror.New(strconv.Quote(text)+" is not a selector of streams", `write one such as {service_name="ksyun-tap"}`)
	}
	return text, nil
}

// Find implements Source.
func (l loki) Find(ctx context.Context, q *Query) (Response, error) {
	queries := logQL(l.selector, q)
	responses := make([]Response, len(queries))
	group, ctx := errgroup.WithContext(ctx)
	for i, text := range queries {
		group.Go(func() (err error) {
			var body json.RawMessage
			if err := l.get(ctx, "/loki/api/v1/query_range", url.Values{
				"query": {text}, "limit": {strconv.Itoa(maxFound)}, "direction": {"backward"},
				"start": {strconv.FormatInt(q.From.UnixNano(), 10)}, "end": {strconv.FormatInt(q.To.UnixNano(), 10)},
			}, &body); err != nil {
				return err
			}
			responses[i], err = readLoki(body, q)
			return err
		})
	}
	if err := group.Wait(); err != nil {
		return Response{}, err
	}
	var a Response
	for _, one := range responses {
		a.merge(one)
	}
	return a, nil
}

// logQL returns the queries in LogQL: for lines with the ID, and for those with it in
// structured metadata.
func logQL(selector string, q *Query) []string {
	id := strconv.Quote(q.ID)
	metadata := selector + " | request_id=" + id
	if q.mayBeOwn() {
		metadata += " or id=" + id
	}
	return []string{selector + " |= " + id, metadata}
}

// readLoki reads the streams of a response.
func readLoki(body []byte, q *Query) (a Response, err error) {
	var response struct {
		Data struct {
			Result []struct {
				Stream map[string]string   `json:"stream"`
				Values [][]json.RawMessage `json:"values"` // time, line and, in some versions, metadata
			} `json:"result"`
		} `json:"data"`
		Warnings []string `json:"warnings"`
	}
	if err := decode(body, &response); err != nil {
		return a, err
	}
	if len(response.Warnings) > 0 {
		a.Partial = errorText([]byte(response.Warnings[0]))
	}
	for _, s := range response.Data.Result {
		for _, value := range s.Values {
			fields := map[string]string{}
			maps.Copy(fields, s.Stream)
			for i, raw := range value {
				switch i {
				case 0:
					var ns string
					if json.Unmarshal(raw, &ns) == nil {
						fields["_time"] = unixNano(ns)
					}
				case 1:
					var line string
					var object map[string]any
					if json.Unmarshal(raw, &line) == nil && json.Unmarshal([]byte(line), &object) == nil {
						maps.Copy(fields, flatten(object))
					}
				case 2:
					var metadata map[string]any
					if json.Unmarshal(raw, &metadata) == nil {
						for _, part := range metadata { // structuredMetadata, parsed
							if part, ok := part.(map[string]any); ok {
								flattenInto(fields, "", part)
							}
						}
					}
				}
			}
			a.add(q, fromLog(fields, "_time"))
		}
	}
	return a, nil
}

// unixNano returns a time in nanoseconds since 1970 as in log lines, or "".
func unixNano(text string) string {
	ns, err := strconv.ParseInt(text, 10, 64)
	if err != nil {
		return ""
	}
	return time.Unix(0, ns).UTC().Format(time.RFC3339Nano)
}
