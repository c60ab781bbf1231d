package lookup

import (
	"encoding/json"
	"fmt"
	"maps"
	"net"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// flatten returns the values of a JSON object as text by their paths, such as
// "attributes.request_id". Lists are left out, because no field is one.
func flatten(object map[string]any) map[string]string {
	fields := make(map[string]string, len(object))
	flattenInto(fields, "", object)
	return fields
}

func flattenInto(fields map[string]string, prefix string, object map[string]any) {
	for _, key := range slices.Sorted(maps.Keys(object)) {
		switch value := object[key].(type) {
		case map[string]any:
			flattenInto(fields, prefix+key+".", value)
		case string:
			fields[prefix+key] = value
		case bool:
			fields[prefix+key] = strconv.FormatBool(value)
		case float64:
			fields[prefix+key] = strconv.FormatFloat(value, 'f', -1, 64)
		}
	}
}

// The prefixes below which the fields of a log line may be stored, and the fields that
// may contain the whole line.
var (
	logPrefixes = []string{"attributes.", "Attributes.", "json.", "log.attributes.", "structured_metadata."}
	logTexts    = []string{"message", "_msg", "log", "body", "body.text", "Body", "event.original"}
)

// fromLog returns the record of a stored log line. If it has no time, that of the field
// timeKey is used.
func fromLog(fields map[string]string, timeKey string) *record.Record {
	own := make(map[string]string, len(fields))
	maps.Copy(own, fields)
	for key, value := range fields {
		for _, prefix := range logPrefixes {
			if name, ok := strings.CutPrefix(key, prefix); ok {
				own[name] = value
			}
		}
	}
	for _, key := range logTexts {
		if own["request_id"] != "" {
			break
		}
		var line map[string]any
		if strings.HasPrefix(fields[key], "{") && json.Unmarshal([]byte(fields[key]), &line) == nil {
			delete(own, key)
			maps.Copy(own, flatten(line))
		}
	}
	for key, other := range map[string]string{"trace_id": "TraceId", "span_id": "SpanId"} {
		if own[key] == "" {
			own[key] = own[other]
		}
	}
	for _, key := range []string{timeKey, "@timestamp"} {
		if own["ts"] == "" {
			own["ts"] = own[key]
		}
	}
	return record.Parse(own)
}

// spanFields are the fields of log lines by the attributes of spans with the same value.
var spanFields = map[string]string{
	"ksyun.request_id": "request_id", "ksyun.request_id.source": "request_id_source", "ksyun.failure_id": "id",
	"ksyun.service": "service", "ksyun.action": "action", "ksyun.api_version": "version", "cloud.region": "region",
	"ksyun.outcome": "outcome", "ksyun.credential": "credential", "ksyun.call_id": "call_id", "ksyun.source": "source",
	"ksyun.error.code": "code", "ksyun.error.inner_code": "inner_code", "ksyun.error.type": "type",
	"ksyun.error.category": "category", "ksyun.error.blame": "blame", "ksyun.error.retryable": "retryable",
	"ksyun.partial.failed_items": "failed_items",
	"ksyun.diagnosis.cause":      "cause", "ksyun.diagnosis.certainty": "certainty", "ksyun.diagnosis.evidence": "evidence",
	"http.request.method": "method", "http.response.status_code": "status", "url.full": "url",
	"server.address": "host", "user_agent.original": "user_agent",
}

// span is a span of any backend.
type span struct {
	traceID, spanID string // hexadecimal digits
	start, end      time.Time
	message         string // the description of its status
	attributes      map[string]string
	diagnosis       map[string]string // attributes of the first event for a diagnosis
}

// fromSpan returns the record of a span.
func fromSpan(s *span) *record.Record {
	fields := map[string]string{
		"trace_id": s.traceID, "span_id": s.spanID, "message": s.message,
		"ts": s.end.Format(time.RFC3339Nano), "duration_seconds": fmt.Sprint(s.end.Sub(s.start).Seconds()),
	}
	for _, attributes := range []map[string]string{s.diagnosis, s.attributes} {
		for key, value := range attributes {
			if name, ok := spanFields[key]; ok {
				fields[name] = value
			}
		}
	}
	if f := classify.Fault(s.attributes["error.type"]); slices.Contains(classify.Faults(), f) {
		fields["fault"] = string(f)
	}
	if n, err := strconv.Atoi(s.attributes["http.request.resend_count"]); err == nil && n > 0 {
		fields["attempt"] = strconv.Itoa(n + 1)
	}
	if ip := s.attributes["network.peer.address"]; ip != "" {
		fields["upstream"] = net.JoinHostPort(ip, s.attributes["network.peer.port"])
	}
	return record.Parse(fields)
}

// add adds the record if it is what q is about, and returns whether it is.
func (a *Response) add(q *Query, r *record.Record, traces ...string) bool {
	if !q.selects(r) {
		return false
	}
	a.Found = append(a.Found, Found{Record: r, Traces: traces})
	return true
}
