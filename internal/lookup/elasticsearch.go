package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"net/http"
	"net/url"
)

// elasticsearch is Elasticsearch or OpenSearch.
type elasticsearch struct{ endpoint }

// NewElasticsearch returns the Elasticsearch or OpenSearch with the URL, whose path is
// the index, a pattern of indices or a data stream. Without a path, all are searched.
func NewElasticsearch(base *url.URL, clients Clients) (Named, error) {
	return named("Elasticsearch ", base, clients, func(e endpoint) Source { return elasticsearch{e} })
}

// Find implements Source.
func (e elasticsearch) Find(ctx context.Context, q *Query) (Response, error) {
	request, err := json.Marshal(queryDSL(q))
	if err != nil {
		return Response{}, err
	}
	body, err := e.do(ctx, http.MethodPost, "/_search", url.Values{"ignore_unavailable": {"true"}, "allow_partial_search_results": {"true"}},
		"application/json", bytes.NewReader(request))
	if err != nil {
		return Response{}, err
	}
	return readElasticsearch(body, q)
}

// queryDSL returns the body of a search request. A phrase matches in text fields as
// well as in keywords.
func queryDSL(q *Query) any {
	type object map[string]any
	fields := []string{"request_id", "*.request_id"}
	if q.mayBeOwn() {
		fields = append(fields, "id", "*.id")
	}
	var times []object
	for _, field := range []string{"@timestamp", "ts"} {
		times = append(times, object{"range": object{field: object{"gte": rfc3339(q.From), "lte": rfc3339(q.To), "format": "strict_date_optional_time_nanos||strict_date_optional_time"}}})
	}
	return object{
		"size": maxFound,
		"query": object{"bool": object{"filter": []object{
			{"multi_match": object{"query": q.ID, "type": "phrase", "fields": fields, "lenient": true}},
			{"bool": object{"should": times, "minimum_should_match": 1}},
		}}},
	}
}

// readElasticsearch reads the hits of a response.
func readElasticsearch(body []byte, q *Query) (a Response, err error) {
	var response struct {
		TimedOut bool `json:"timed_out"`
		Shards   struct {
			Total    int `json:"total"`
			Failed   int `json:"failed"`
			Failures []struct {
				Reason struct {
					Reason string `json:"reason"`
				} `json:"reason"`
			} `json:"failures"`
		} `json:"_shards"`
		Hits *struct {
			Hits []struct {
				Source map[string]any `json:"_source"`
			} `json:"hits"`
		} `json:"hits"`
	}
	if err := decode(body, &response); err != nil {
		return a, err
	}
	if response.Hits == nil {
		return a, errNotExpected
	}
	switch {
	case response.TimedOut:
		a.Partial = "the search timed out"
	case response.Shards.Failed > 0:
		a.Partial = fmt.Sprintf("%d of %d shards failed", response.Shards.Failed, response.Shards.Total)
		if len(response.Shards.Failures) > 0 {
			a.Partial += ": " + errorText([]byte(response.Shards.Failures[0].Reason.Reason))
		}
	}
	for _, hit := range response.Hits.Hits {
		fields := flatten(hit.Source)
		// Spans that are stored as documents have their attributes.
		for key, name := range spanFields {
			for _, prefix := range append(logPrefixes, "") {
				if value, ok := fields[prefix+key]; ok && fields[name] == "" {
					fields[name] = value
				}
			}
		}
		a.add(q, fromLog(fields, "@timestamp"))
	}
	return a, nil
}
