package web

import (
	"encoding/csv"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// nextLink returns the value of a Link field for the next page of u, as a relative
// reference.
func nextLink(u *url.URL, cursor string) string {
	q := u.Query()
	q.Set(paramCursor, cursor)
	return "<" + u.Path + "?" + q.Encode() + `>; rel="next"`
}

// writeNDJSON writes one JSON object per line.
func writeNDJSON(w http.ResponseWriter, page []*record.Record) {
	w.Header().Set("Content-Type", "application/x-ndjson; charset=utf-8")
	for _, r := range page {
		_, _ = w.Write(encode(r))
	}
}

// column is a column of the CSV format. Its name is the JSON key of the field.
type column struct {
	name  string
	value func(*record.Record) string
}

var columns = []column{
	{"ts", func(r *record.Record) string { return r.Time.Format(time.RFC3339Nano) }},
	{"id", func(r *record.Record) string { return r.ID }},
	{"group", func(r *record.Record) string { return r.Group }},
	{"request_id", func(r *record.Record) string { return r.RequestID }},
	{"request_id_source", func(r *record.Record) string { return string(r.RequestIDSource) }},
	{"trace_id", func(r *record.Record) string { return r.TraceID }},
	{"service", func(r *record.Record) string { return r.Service }},
	{"action", func(r *record.Record) string { return r.Action }},
	{"version", func(r *record.Record) string { return r.Version }},
	{"region", func(r *record.Record) string { return r.Region }},
	{"outcome", func(r *record.Record) string { return string(r.Outcome) }},
	{"status", func(r *record.Record) string { return number(r.Status) }},
	{"code", func(r *record.Record) string { return r.Code }},
	{"inner_code", func(r *record.Record) string { return r.InnerCode }},
	{"fault", func(r *record.Record) string { return string(r.Fault) }},
	{"type", func(r *record.Record) string { return string(r.Type) }},
	{"category", func(r *record.Record) string { return string(r.Category) }},
	{"blame", func(r *record.Record) string { return string(r.Blame) }},
	{"retryable", func(r *record.Record) string { return strconv.FormatBool(r.Retryable) }},
	{"message", func(r *record.Record) string { return r.Message }},
	{"failed_items", func(r *record.Record) string { return number(r.FailedItems) }},
	{"duration_seconds", func(r *record.Record) string { return strconv.FormatFloat(r.DurationSeconds, 'f', -1, 64) }},
	{"method", func(r *record.Record) string { return r.Method }},
	{"url", func(r *record.Record) string { return r.URL }},
	{"host", func(r *record.Record) string { return r.Host }},
	{"upstream", func(r *record.Record) string { return address(r.Upstream) }},
	{"client", func(r *record.Record) string { return address(r.Client) }},
	{"user_agent", func(r *record.Record) string { return r.UserAgent }},
	{"credential", func(r *record.Record) string { return r.Credential }},
	{"source", func(r *record.Record) string { return string(r.Source) }},
	{"cause", func(r *record.Record) string {
		if c := r.Cause(); c != nil {
			return string(c.Cause)
		}
		return ""
	}},
	{"advice", func(r *record.Record) string { return r.Advice.Do.English }},
	{"retry", func(r *record.Record) string { return string(r.Advice.Retry) }},
}

// address formats a, or returns "" if there is none.
func address(a netip.AddrPort) string {
	if !a.IsValid() {
		return ""
	}
	return a.String()
}

// writeCSV writes a heading and one row per record (RFC 4180).
func writeCSV(w http.ResponseWriter, page []*record.Record) {
	w.Header().Set("Content-Type", "text/csv; charset=utf-8; header=present")
	w.Header().Set("Content-Disposition", `attachment; filename="failures.csv"`)
	out := csv.NewWriter(w)
	row := make([]string, len(columns))
	for i, c := range columns {
		row[i] = c.name
	}
	_ = out.Write(row)
	for _, r := range page {
		for i, c := range columns {
			row[i] = inert(c.value(r))
		}
		_ = out.Write(row)
	}
	out.Flush()
}

// inert returns s so that no spreadsheet takes it for a formula.
func inert(s string) string {
	if s != "" && strings.ContainsRune("=+-@\t\r", rune(s[0])) {
		return "'" + s
	}
	return s
}
