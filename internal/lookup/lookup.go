// Package lookup finds failed calls in the journals of taps and in the backends that
// their spans and log lines are sent to.
//
//	taps            their journals, also of all taps behind a DNS name
//	Jaeger, Tempo   spans
//	Loki, VictoriaLogs, Elasticsearch
//	                log lines, as written or by OTLP
//
// A Source is asked for one ID. All asks several at the same time, and Merge joins
// what they found of the same attempt.
//
// The responses of sources are foreign: they are bounded, and texts in them are
// truncated and escaped.
package lookup

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Query is what sources are asked for.
type Query struct {
	// ID is the ID of a failure or a request ID. It contains only printable ASCII
	// characters without spaces, quotes, backslashes and angle brackets.
	ID string
	// TraceID is the trace ID of calls with this request ID by programs without
	// traces, in hexadecimal digits. It is "" if that is random.
	TraceID string
	// From and To are the time range that is searched. Taps are asked for any time.
	From, To time.Time
}

// NewQuery returns the query for an ID in the time range since before now.
func NewQuery(id string, since time.Duration, now time.Time) (*Query, error) {
	if id == "" || strings.Trim(id, ".") == "" || !record.IsID(id) && classify.MakeRequestID(id).IsZero() {
		return nil, usererror.New("not an ID of a failure or a request", fmt.Sprintf("give 1 to %d printable ASCII characters without spaces, quotes, backslashes and angle brackets, that do not look like an access key", classify.MaxRequestID))
	}
	// Clocks differ, and backends may store times with less precision.
	const ahead = 5 * time.Minute
	return &Query{ID: id, TraceID: traces.IDOf(id), From: now.Add(-since), To: now.Add(ahead)}, nil
}

// selects reports whether r is what is looked for.
func (q *Query) selects(r *record.Record) bool { return r.RequestID == q.ID || r.ID == q.ID }

// mayBeOwn reports whether the ID may be that of a failure and not a request ID.
func (q *Query) mayBeOwn() bool { return len(q.ID) == record.IDLength && record.IsID(q.ID) }

// attributes returns the attributes of spans that may have the ID.
func (q *Query) attributes() []string {
	if q.mayBeOwn() {
		return []string{"ksyun.failure_id", "ksyun.request_id"}
	}
	return []string{"ksyun.request_id"}
}

// Source is where failed calls can be found.
type Source interface {
	// Find returns the attempts that q is about. The response is empty, and the error
	// nil, if there are none. It returns soon after ctx is done.
	Find(ctx context.Context, q *Query) (Response, error)
}

// Response is what a source returns.
type Response struct {
	Found []Found
	// Partial is why the source may not have searched everything, or "".
	Partial string
	// Missing are the parts of the source that did not answer.
	Missing []Missing
}

// merge adds what another response has of the same source.
func (a *Response) merge(other Response) {
	a.Found = append(a.Found, other.Found...)
	if other.Partial != "" {
		a.Partial = other.Partial
	}
}

// Missing is a source that did not answer.
type Missing struct {
	Name string
	Err  error
}

// Found is an attempt, and where it was found.
type Found struct {
	Record  *record.Record
	Sources []string // names
	Traces  []string // URLs at which users see its trace
}

// Named is a source with its name in output, which contains no secrets.
type Named struct {
	Name string
	Source
}

// Result is what a source returned.
type Result struct {
	Name string
	Response
	Err error
}

// All asks all sources at the same time. The results are in the order of sources.
func All(ctx context.Context, sources []Named, q *Query) []Result {
	results := make([]Result, len(sources))
	var group sync.WaitGroup
	for i, s := range sources {
		group.Go(func() {
			a, err := s.Find(ctx, q)
			for j := range a.Found {
				if len(a.Found[j].Sources) == 0 {
					a.Found[j].Sources = []string{s.Name}
				}
			}
			results[i] = Result{s.Name, a, err}
		})
	}
	group.Wait()
	return results
}

// Merge returns what was found, each attempt once. The record of an attempt is that
// of the first source, so sources with complete records should be first.
func Merge(results []Result) []Found {
	var all []Found
	for _, r := range results {
	next:
		for _, f := range r.Found {
			for i := range all {
				if same(all[i].Record, f.Record) {
					all[i].Sources = union(all[i].Sources, f.Sources)
					all[i].Traces = union(all[i].Traces, f.Traces)
					continue next
				}
			}
			all = append(all, f)
		}
	}
	return all
}

// same reports whether two records are about one attempt: they have the same ID or,
// because spans have none, the same span.
func same(a, b *record.Record) bool {
	if a.ID != "" && b.ID != "" {
		return a.ID == b.ID
	}
	return a.SpanID != "" && a.SpanID == b.SpanID && a.TraceID == b.TraceID
}

// union returns the elements of a and those of b that are not in a.
func union(a, b []string) []string {
	for _, s := range b {
		if !slices.Contains(a, s) {
			a = append(a, s)
		}
	}
	return a
}
