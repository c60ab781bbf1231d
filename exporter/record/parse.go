package record

import (
	"cmp"
	"math"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
)

// Parse returns the record of a log line with the given fields, as far as they hold
// it: the inverse of what package logs writes, with all values as text. Fields that
// are missing, malformed or not known are left out. Meaning and advice are those of
// the cause, or else of the default catalogue.
//
// The fields may come from anywhere. Texts are truncated, and control characters are
// escaped.
func Parse(fields map[string]string) *Record {
	word := func(key string) string { return cut(fields[key], maxWord) }
	number := func(key string) int {
		n, err := strconv.ParseFloat(fields[key], 64)
		if err != nil || !(n >= 0 && n <= math.MaxInt32) {
			return 0
		}
		return int(n)
	}
	address := func(key string) netip.AddrPort {
		a, _ := netip.ParseAddrPort(fields[key]) // the zero value if it is none
		return unmapped(netip.AddrPortFrom(a.Addr().WithZone(""), a.Port()))
	}
	r := &Record{
		ID: word("id"), Group: word("group"),
		RequestID: word("request_id"), RequestIDSource: classify.RequestIDSource(word("request_id_source")),
		TraceID: word("trace_id"), SpanID: word("span_id"),
		Service: word("service"), Action: word("action"), Version: word("version"), Region: word("region"),
		Outcome: classify.Outcome(word("outcome")), Status: number("status"), Code: word("code"), InnerCode: word("inner_code"),
		Type: classify.Type(word("type")), Category: classify.Category(word("category")), Blame: classify.Blame(word("blame")),
		Retryable: fields["retryable"] == "true", Message: cut(fields["message"], maxMessage),
		FailedItems: number("failed_items"), Fault: classify.Fault(word("fault")),
		Method: word("method"), URL: cut(fields["url"], maxURL), Host: word("host"),
		Upstream: address("upstream"), Client: address("client"), UserAgent: cut(fields["user_agent"], maxAgent),
		Credential: word("credential"), Source: classify.Source(word("source")),
		CallID: word("call_id"), Attempt: number("attempt"), CallOutcome: diagnosis.CallOutcome(word("call_outcome")),
		Scope: diagnosis.Scope{Extent: sole(cut(fields["scope"], diagnosis.MaxScope))},
	}
	if t, err := time.Parse(time.RFC3339Nano, fields["ts"]); err == nil {
		r.Time = t.UTC()
	}
	if s, err := strconv.ParseFloat(fields["duration_seconds"], 64); err == nil && s >= 0 && s < math.MaxInt32 {
		r.DurationSeconds = s
	}
	r.Start = r.Time.Add(-time.Duration(r.DurationSeconds * float64(time.Second)))
	r.explain()
	if d, ok := diagnosis.Describe(diagnosis.Cause(fields["cause"])); ok {
		r.Diagnose([]diagnosis.Diagnosis{{
			Cause: d.Cause, Certainty: diagnosis.Certainty(cmp.Or(word("certainty"), string(diagnosis.Likely))),
			Blame: d.Blame, Summary: d.Summary, Advice: d.Advice,
			Evidence: sole(cut(fields["evidence"], maxMessage)),
		}})
	}
	// What the tap advised follows from the response, too, and from its own catalogue.
	if do := cut(fields["advice"], maxMessage); do != "" {
		r.Advice = diagnosis.ParseAdvice(do, diagnosis.Retry(word("retry")), cut(fields["runbook"], maxURL))
	}
	return r
}

// sole returns a text that is known in one language only.
func sole(s string) diagnosis.Text { return diagnosis.Text{English: s, Chinese: s} }

// explain sets meaning and advice from the default catalogue.
func (r *Record) explain() {
	o := classify.Observation{
		Method: r.Method, Fault: r.Fault, Call: classify.Call{Action: r.Action},
		Verdict: classify.Verdict{Outcome: r.Outcome, Status: r.Status, Code: r.Code, Category: r.Category, Retryable: r.Retryable},
	}
	if e, ok := classify.DefaultCatalog().Lookup(cmp.Or(r.Code, string(r.Fault))); ok && r.Outcome.Failed() {
		o.Verdict.Entry, r.CatalogCode, r.Meaning = e, e.Code, e.Meaning
	} else if r.Outcome.Failed() {
		r.Meaning = diagnosis.Meaning(&o.Verdict)
	}
	r.Advice = diagnosis.ForAttempt(&o)
}

// Truncate returns s if it has at most limit bytes, otherwise its beginning and "...".
func Truncate(s string, limit int) string { return printable.Truncate(s, limit) }

// Escape returns text from a foreign source in a form that is safe to print on one
// line.
func Escape(s string) string { return strings.Join(strings.Fields(printable.Escape(s)), " ") }
