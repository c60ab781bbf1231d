// Package otlprecv is a small OTLP trace receiver for HTTP and gRPC. The demo and
// tests use it to show and check the exported spans.
package otlprecv

import (
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"sync"
	"time"

	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"
)

// maxRequest is the maximum size of an export request, in bytes.
const maxRequest = 16 << 20

// Span is a received span.
type Span struct {
	TraceID    string            `json:"trace_id"` // lower-case hex
	SpanID     string            `json:"span_id"`
	ParentID   string            `json:"parent_span_id,omitempty"`
	Name       string            `json:"name"`
	Kind       string            `json:"kind"`
	Start      time.Time         `json:"start"`
	End        time.Time         `json:"end"`
	Status     string            `json:"status"`
	Message    string            `json:"status_message,omitempty"`
	Attributes map[string]string `json:"attributes"`
	Resource   map[string]string `json:"resource"`
	Scope      string            `json:"scope"`
}

// Receiver keeps the most recently received spans. It is safe for concurrent use.
type Receiver struct {
	mu    sync.Mutex
	limit int
	spans []Span
	came  chan struct{} // closed and replaced when spans arrive
}

// New returns a Receiver that keeps at most limit spans.
func New(limit int) *Receiver {
	return &Receiver{limit: limit, came: make(chan struct{})}
}

// method is the path of the gRPC method.
const method = "/opentelemetry.proto.collector.trace.v1.TraceService/Export"

// ServeHTTP receives spans over OTLP/HTTP with protobuf on POST /v1/traces, and over gRPC
// if the server has HTTP/2. On GET /spans it returns the kept spans, optionally filtered
// by trace_id or name.
func (r *Receiver) ServeHTTP(w http.ResponseWriter, req *http.Request) {
	switch {
	case req.URL.Path == "/v1/traces" && req.Method == http.MethodPost:
		if err := r.receive(req.Body, req.Header.Get("Content-Encoding") == "gzip"); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		w.Header().Set("Content-Type", "application/x-protobuf")
	case req.URL.Path == method && req.Method == http.MethodPost:
		w.Header().Set("Content-Type", "application/grpc")
		w.Header().Set("Trailer", "Grpc-Status")
		var frame [5]byte // whether the message is compressed, and its size
		_, err := io.ReadFull(req.Body, frame[:])
		if err == nil {
			err = r.receive(req.Body, frame[0] != 0)
		}
		if err != nil {
			w.Header().Set("Grpc-Status", "3") // invalid argument
			return
		}
		_, _ = w.Write(make([]byte, len(frame))) // an empty message
		w.Header().Set("Grpc-Status", "0")
	case req.URL.Path == "/spans" && req.Method == http.MethodGet:
		traceID, name := req.FormValue("trace_id"), req.FormValue("name")
		w.Header().Set("Content-Type", "application/json")
		e := json.NewEncoder(w)
		e.SetIndent("", "  ")
		_ = e.Encode(r.Select(func(s Span) bool { // fails if the client has gone away
			return (traceID == "" || s.TraceID == traceID) && (name == "" || s.Name == name)
		}))
	default:
		http.NotFound(w, req)
	}
}

// receive keeps the spans of a request.
func (r *Receiver) receive(body io.Reader, compressed bool) error {
	if compressed {
		z, err := gzip.NewReader(body)
		if err != nil {
			return err
		}
		body = z
	}
	data, err := io.ReadAll(io.LimitReader(body, maxRequest))
	if err != nil {
		return err
	}
	var export tracepb.TracesData // has the fields of a request
	if err := proto.Unmarshal(data, &export); err != nil {
		return err
	}
	r.add(&export)
	return nil
}

func (r *Receiver) add(export *tracepb.TracesData) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, rs := range export.GetResourceSpans() {
		resource := attributes(rs.GetResource().GetAttributes())
		for _, ss := range rs.GetScopeSpans() {
			for _, s := range ss.GetSpans() {
				span := convert(s)
				span.Resource, span.Scope = resource, ss.GetScope().GetName()
				r.spans = append(r.spans, span)
			}
		}
	}
	if over := len(r.spans) - r.limit; over > 0 {
		r.spans = slices.Delete(r.spans, 0, over)
	}
	close(r.came)
	r.came = make(chan struct{})
}

// Select returns the spans for which match returns true, the oldest first. It
// never returns nil.
func (r *Receiver) Select(match func(Span) bool) []Span {
	r.mu.Lock()
	defer r.mu.Unlock()
	found := []Span{}
	for _, s := range r.spans {
		if match(s) {
			found = append(found, s)
		}
	}
	return found
}

// Wait waits for a span that matches until ctx is done, and returns it.
func (r *Receiver) Wait(ctx context.Context, match func(Span) bool) (Span, error) {
	for {
		r.mu.Lock()
		came := r.came
		i := slices.IndexFunc(r.spans, match)
		if i >= 0 {
			s := r.spans[i]
			r.mu.Unlock()
			return s, nil
		}
		r.mu.Unlock()
		select {
		case <-came:
		case <-ctx.Done():
			return Span{}, ctx.Err()
		}
	}
}

func convert(s *tracepb.Span) Span {
	return Span{
		TraceID:    hex.EncodeToString(s.GetTraceId()),
		SpanID:     hex.EncodeToString(s.GetSpanId()),
		ParentID:   hex.EncodeToString(s.GetParentSpanId()),
		Name:       s.GetName(),
		Kind:       s.GetKind().String(),
		Start:      time.Unix(0, int64(s.GetStartTimeUnixNano())).UTC(), //nolint:gosec // nanoseconds of this age fit
		End:        time.Unix(0, int64(s.GetEndTimeUnixNano())).UTC(),   //nolint:gosec // as above
		Status:     s.GetStatus().GetCode().String(),
		Message:    s.GetStatus().GetMessage(),
		Attributes: attributes(s.GetAttributes()),
	}
}

func attributes(kvs []*commonpb.KeyValue) map[string]string {
	m := make(map[string]string, len(kvs))
	for _, kv := range kvs {
		m[kv.GetKey()] = text(kv.GetValue())
	}
	return m
}

func text(v *commonpb.AnyValue) string {
	switch v := v.GetValue().(type) {
	case *commonpb.AnyValue_StringValue:
		return v.StringValue
	case nil:
		return ""
	default:
		b, err := json.Marshal(v)
		if err != nil {
			return ""
		}
		// AnyValue is a struct with one field; print its value only.
		var m map[string]json.RawMessage
		if json.Unmarshal(b, &m) != nil || len(m) != 1 {
			return string(b)
		}
		for _, raw := range m {
			return string(raw)
		}
		return ""
	}
}
