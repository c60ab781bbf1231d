// Package record writes an attempt down in the form in which people may see it:
// secrets redacted, long texts cut, nothing shared with the collector. It is
// the one door between observations and every output that tells of single
// attempts (spans, log lines, the journal, the pages).
package record

import (
	"encoding/hex"
	"net"
	"net/netip"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
)

// Record is one attempt, ready for output. It holds no secret and does not
// change once made, so that all outputs may share it.
//
// Its JSON is part of the API: the keys are those of the log lines, and what is
// not known is left out.
type Record struct {
	Time  time.Time `json:"ts"`    // when the attempt ended, UTC
	Start time.Time `json:"start"` // when it began, UTC

	RequestID string `json:"request_id,omitempty"`
	TraceID   string `json:"trace_id,omitempty"`
	SpanID    string `json:"span_id,omitempty"`

	Service string `json:"service,omitempty"`
	Action  string `json:"action,omitempty"`
	Version string `json:"version,omitempty"`
	Region  string `json:"region,omitempty"`

	Outcome     classify.Outcome  `json:"outcome"`
	HTTPStatus  int               `json:"http_status,omitempty"`
	ErrorCode   string            `json:"error_code,omitempty"` // as it came on the wire
	InnerCode   string            `json:"inner_code,omitempty"` // the vendor's inner code
	ErrorType   classify.Type     `json:"error_type,omitempty"`
	Category    classify.Category `json:"category,omitempty"`
	Blame       classify.Blame    `json:"blame,omitempty"`
	Retryable   bool              `json:"retryable"`
	Message     string            `json:"message,omitempty"`
	FailedItems int               `json:"failed_items,omitempty"`
	Fault       classify.Fault    `json:"fault,omitempty"`

	DurationSeconds float64         `json:"duration_seconds"`
	Method          string          `json:"method,omitempty"`
	URL             string          `json:"url,omitempty"` // secrets redacted
	Host            string          `json:"host,omitempty"`
	Upstream        netip.AddrPort  `json:"upstream,omitzero"`
	Client          netip.AddrPort  `json:"client,omitzero"`
	UserAgent       string          `json:"user_agent,omitempty"`
	Credential      string          `json:"credential,omitempty"`
	Source          classify.Source `json:"source,omitempty"`

	CatalogCode string         `json:"catalog_code,omitempty"` // the catalogue's row that explains it
	Match       classify.Match `json:"match,omitempty"`        // what led to that row
	Meaning     string         `json:"meaning,omitempty"`      // what the row says it means
	Advice      string         `json:"advice,omitempty"`       // what to do: by the likely cause, else by the row

	Diagnoses []diagnosis.Diagnosis `json:"diagnoses,omitempty"` // why it failed, the likeliest cause first

	// Kind is the failure in one word of few: the code as the catalogue spells
	// it, the fault, the status, or OtherKind. "" if the attempt did not fail.
	Kind string `json:"-"`
	// Span and Scheme, Port, Traceparent and Tracestate are what the trace
	// needs besides.
	Span        classify.Span `json:"-"`
	Scheme      string        `json:"-"`
	Port        uint16        `json:"-"`
	Traceparent string        `json:"-"`
	Tracestate  string        `json:"-"`
}

// OtherKind is the Kind of a failure whose code the catalogue does not know.
const OtherKind = "_OTHER"

// The most bytes that are kept of each text.
const (
	maxWord       = 128  // names, codes
	maxMessage    = 1024 // also meaning and advice
	maxURL        = 2048
	maxAgent      = 256
	maxTracestate = 512

	words = 16 // texts bounded by maxWord
)

// MaxBytes bounds the memory of one record with all its texts.
const MaxBytes = 1024 + words*maxWord + 3*maxMessage + maxURL + maxAgent + maxTracestate + diagnosis.MaxBytes

// New writes the attempt o down. It keeps nothing of o's buffers.
func New(o *classify.Observation) *Record {
	v := &o.Verdict
	r := &Record{
		Time:  o.End.UTC(),
		Start: o.Start.UTC(),

		RequestID: v.RequestID.String(),

		Service: scrub(o.Call.Service, maxWord),
		Action:  scrub(o.Call.Action, maxWord),
		Version: scrub(o.Call.Version, maxWord),
		Region:  scrub(o.Call.Region, maxWord),

		Outcome:     v.Outcome,
		HTTPStatus:  v.Status,
		ErrorCode:   scrub(v.Code, maxWord),
		InnerCode:   scrub(v.Inner, maxWord),
		Retryable:   v.Retryable,
		Message:     scrub(v.Message, maxMessage),
		FailedItems: v.FailedItems,
		Fault:       o.Fault,

		DurationSeconds: max(0, o.Duration().Seconds()),
		Method:          cut(o.Method, maxWord),
		URL:             redactedURL(o),
		Host:            scrub(o.Call.Host, maxWord),
		Upstream:        unmapped(o.Upstream),
		Client:          unmapped(o.Client),
		UserAgent:       scrub(string(o.UserAgent), maxAgent),
		Credential:      cut(o.Credential, maxWord),
		Source:          o.Source,

		Span:        o.Span,
		Scheme:      o.Scheme,
		Port:        o.Port,
		Traceparent: cut(string(o.Traceparent), maxWord),
	}
	if o.Span.TraceID != [16]byte{} {
		var digits [48]byte
		hex.Encode(digits[:32], o.Span.TraceID[:])
		hex.Encode(digits[32:], o.Span.SpanID[:])
		both := string(digits[:]) // one allocation for two
		r.TraceID, r.SpanID = both[:32], both[32:]
	}
	// Cut or redacted, it would be another one.
	if text := string(o.Tracestate); len(text) <= maxTracestate && !classify.LooksSecret(text) {
		r.Tracestate = text
	}
	if v.Outcome.Failed() {
		r.ErrorType, r.Category, r.Blame = v.Type, v.Category, v.Blame
		r.Kind = kind(o)
	}
	if e := v.Entry; e != nil {
		r.CatalogCode, r.Match = cut(e.Code, maxWord), v.Match
		r.Meaning, r.Advice = cut(e.Meaning, maxMessage), cut(e.Advice, maxMessage)
	}
	return r
}

// Diagnose adds the diagnoses of the attempt. It is to be called before r is
// shared.
func (r *Record) Diagnose(all []diagnosis.Diagnosis) {
	r.Diagnoses = all
	if c := r.Cause(); c != nil {
		r.Advice = cut(c.Advice.English, maxMessage)
	}
}

// Cause returns the cause that is surely or likely the attempt's, or nil.
func (r *Record) Cause() *diagnosis.Diagnosis {
	if len(r.Diagnoses) == 0 {
		return nil
	}
	switch d := &r.Diagnoses[0]; d.Certainty {
	case diagnosis.Certain, diagnosis.Likely:
		return d
	case diagnosis.Possible, diagnosis.Excluded:
	}
	return nil
}

// kind tells the failure o in one word of few.
func kind(o *classify.Observation) string {
	v := &o.Verdict
	switch {
	case o.Fault != classify.FaultNone:
		return string(o.Fault)
	case v.Match == classify.MatchCode && v.Entry != nil && v.Entry.Grade != classify.GradePlaceholder:
		return v.CanonicalCode()
	case v.Code == "" && v.Status >= 400 && v.Status <= 599:
		return strconv.Itoa(v.Status)
	}
	return OtherKind
}

// Failed reports whether the attempt is a failure to tell people of: a failed
// call, or a request the tap refused.
func (r *Record) Failed() bool { return r.Outcome.Failed() || r.Fault.Refused() }

// redactedURL spells the URL of the attempt without its secrets, and without
// the port where it is the scheme's own.
func redactedURL(o *classify.Observation) string {
	var memory [1 << 10]byte // for most URLs; not beyond this call
	url := memory[:0]
	host := scrub(o.Call.Host, maxWord)
	if host != "" && o.Scheme != "" { // else it is of the SDK's records, which have neither
		url = append(append(url, o.Scheme...), "://"...)
		ownPort := o.Port == 0 || o.Scheme == "http" && o.Port == 80 || o.Scheme == "https" && o.Port == 443
		if ownPort {
			url = append(url, host...)
		} else {
			url = append(url, net.JoinHostPort(host, strconv.Itoa(int(o.Port)))...)
		}
	}
	start := len(url)
	url = classify.AppendRedactedTarget(url, o.Target)
	if len(url)-start > maxURL {
		url = append(url[:start+maxURL-len(mark)], mark...)
	}
	return string(url)
}

// scrub returns the first bytes of s with what looks like a secret redacted. It
// reads all of s before it cuts: half a secret no longer looks like one.
func scrub(s string, limit int) string {
	return cut(classify.Scrub(s), limit)
}

// unmapped returns a with an IPv4 address in its plain form.
func unmapped(a netip.AddrPort) netip.AddrPort {
	if !a.IsValid() {
		return a
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// mark shows that some of a text is missing.
const mark = "..."

// cut returns s as valid UTF-8 of at most limit bytes, controls escaped; "..."
// at the end shows that some is missing.
func cut(s string, limit int) string {
	s = printable.Escape(s)
	if len(s) <= limit {
		return s
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}
