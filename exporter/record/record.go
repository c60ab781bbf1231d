// Package record makes records of attempts that are safe to output: secrets are
// redacted, long texts are truncated, and no memory is shared with the collector.
// Every output that describes single attempts (spans, log lines, the journal, the
// pages) uses records instead of observations.
package record

import (
	"cmp"
	"net"
	"net/netip"
	"strconv"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
)

// Record is one attempt, ready for output. It contains no secrets and is
// immutable once shared, so that all outputs can use it.
//
// Its JSON form is part of the API. The keys are the same as in log lines, and
// unknown values are omitted.
type Record struct {
	Time  time.Time `json:"ts"`    // when the attempt ended, UTC
	Start time.Time `json:"start"` // when it began, UTC

	ID              string                   `json:"id,omitempty"`    // of a failure; see IDs
	Group           string                   `json:"group,omitempty"` // ID of the group of equal failures
	RequestID       string                   `json:"request_id,omitempty"`
	RequestIDSource classify.RequestIDSource `json:"request_id_source,omitempty"`
	TraceID         string                   `json:"trace_id,omitempty"`
	SpanID          string                   `json:"span_id,omitempty"`

	Service string `json:"service,omitempty"`
	Action  string `json:"action,omitempty"`
	Version string `json:"version,omitempty"`
	Region  string `json:"region,omitempty"`

	Outcome     classify.Outcome  `json:"outcome"`
	Status      int               `json:"status,omitempty"`
	Code        string            `json:"code,omitempty"`       // as received
	InnerCode   string            `json:"inner_code,omitempty"` // the vendor's inner code
	Type        classify.Type     `json:"type,omitempty"`
	Category    classify.Category `json:"category,omitempty"`
	Blame       classify.Blame    `json:"blame,omitempty"`
	Retryable   bool              `json:"retryable"`
	Message     string            `json:"message,omitempty"`
	FailedItems int               `json:"failed_items,omitempty"`
	// RequestedItems is the number of items of a batch, and FailedItemNames are the
	// instance and the metric of the first of them without data.
	RequestedItems  int      `json:"requested_items,omitempty"`
	FailedItemNames []string `json:"failed_item_names,omitempty"`

	Fault classify.Fault `json:"fault,omitempty"`

	DurationSeconds float64         `json:"duration_seconds"`
	Method          string          `json:"method,omitempty"`
	URL             string          `json:"url,omitempty"` // secrets redacted
	Host            string          `json:"host,omitempty"`
	Upstream        netip.AddrPort  `json:"upstream,omitzero"`
	Client          netip.AddrPort  `json:"client,omitzero"`
	UserAgent       string          `json:"user_agent,omitempty"`
	Credential      string          `json:"credential,omitempty"`
	Source          classify.Source `json:"source,omitempty"`

	CallID      string                `json:"call_id,omitempty"`      // the same for all attempts of a call
	Attempt     int                   `json:"attempt,omitempty"`      // number of the attempt; 1 is the first
	CallOutcome diagnosis.CallOutcome `json:"call_outcome,omitempty"` // success_after_retry once a later attempt has succeeded

	CatalogCode string           `json:"catalog_code,omitempty"` // code of the catalogue entry that explains the failure
	Match       classify.Match   `json:"match,omitempty"`        // what the entry was selected by
	Meaning     diagnosis.Text   `json:"meaning,omitzero"`       // the meaning given by the entry
	Advice      diagnosis.Advice `json:"advice,omitzero"`        // what to do, from the likely cause, or else from the entry or the category

	// Diagnoses are the causes of the failure, the most likely first, or why a
	// successful response has no data or not all of it.
	Diagnoses []diagnosis.Diagnosis `json:"diagnoses,omitempty"`

	// Scope is since when failures of this kind occur, and what is affected.
	Scope diagnosis.Scope `json:"scope,omitzero"`

	// Kind is a word of low cardinality for the failure: the code as spelled in
	// the catalogue, the fault, the status, or diagnosis.OtherKind. It is "" if the
	// attempt did not fail.
	Kind string `json:"-"`
	// Protocol is the version of HTTP, as in classify.Observation.
	Protocol   string `json:"-"`
	TraceFlags byte   `json:"-"` // W3C trace flags of the span
}

// The maximum lengths of texts, in bytes.
const (
	maxWord       = 128 // names, codes
	maxMessage    = 1024
	maxURL        = 2048
	maxAgent      = 256
	maxTracestate = 512
	maxMethod     = 32

	words = 17 // number of a record's texts bounded by maxWord
)

// MaxBytes is the maximum memory of one record including its texts, in bytes. Meaning
// and advice are shared with the catalogue and not counted.
const MaxBytes = 896 + (words+classify.MaxItemNames)*maxWord + maxMessage + maxURL + maxAgent + diagnosis.MaxBytes + diagnosis.MaxScope

// New returns the record of the attempt o without an ID, a span and a call. It does not retain
// the buffers of o.
func (m *Maker) New(o *classify.Observation) *Record { return m.Identified(o, &Identity{}) }

// Identified is New with what identifies the attempt.
func (m *Maker) Identified(o *classify.Observation, id *Identity) *Record {
	v := &o.Verdict
	r := &Record{
		Time:  o.End.UTC(),
		Start: o.Start.UTC(),

		RequestID: v.RequestID.String(),

		Service: m.words.scrub(o.Call.Service, maxWord),
		Action:  m.words.scrub(o.Call.Action, maxWord),
		Version: m.words.scrub(o.Call.Version, maxWord),
		Region:  m.words.scrub(o.Call.Region, maxWord),

		Outcome:     v.Outcome,
		Status:      v.Status,
		Code:        m.words.scrub(v.Code, maxWord),
		InnerCode:   m.words.scrub(v.Inner, maxWord),
		Retryable:   v.Retryable,
		Message:     m.messages.scrub(v.Message, maxMessage),
		FailedItems: v.FailedItems,
		Fault:       o.Fault,

		DurationSeconds: max(0, o.Duration().Seconds()),
		Method:          cut(o.Method, maxWord),
		Host:            m.words.scrub(o.Call.Host, maxWord),
		Upstream:        unmapped(o.Upstream),
		Client:          unmapped(o.Client),
		UserAgent:       m.agents.safe(o.UserAgent, func() string { return scrub(string(o.UserAgent), maxAgent) }),
		Credential:      cut(o.Credential, maxWord),
		Source:          o.Source,
		Protocol:        o.Protocol,
	}
	m.identify(r, o, id)
	if r.RequestID != "" {
		r.RequestIDSource = cmp.Or(v.RequestIDSource, classify.RequestIDVendor)
	}
	if o.Items != nil {
		r.RequestedItems = o.Items.Total
		for _, name := range o.Items.Names {
			r.FailedItemNames = append(r.FailedItemNames, cut(name, maxWord))
		}
	}
	if v.Outcome.Failed() {
		r.Type, r.Category, r.Blame = v.Type, v.Category, v.Blame
		r.Kind = diagnosis.Kind(o)
	}
	if e := v.Entry; e != nil {
		r.CatalogCode, r.Match = cut(e.Code, maxWord), v.Match
		r.Meaning = e.Meaning
	} else if v.Outcome.Failed() {
		r.Meaning = diagnosis.Meaning(v)
	}
	r.Advice = diagnosis.ForAttempt(o)
	return r
}

// TextBytes returns the length of the texts of r, those included that r shares with other
// records.
func (r *Record) TextBytes() int {
	n := len(r.ID) + len(r.Group) + len(r.RequestID) + len(r.TraceID) + len(r.SpanID) + len(r.CallID) +
		len(r.Service) + len(r.Action) + len(r.Version) + len(r.Region) + len(r.Code) + len(r.InnerCode) + len(r.CatalogCode) +
		len(r.Message) + len(r.Method) + len(r.URL) + len(r.Host) + len(r.UserAgent) + len(r.Credential) + r.Scope.Extent.Bytes()
	for _, name := range r.FailedItemNames {
		n += len(name)
	}
	for i := range r.Diagnoses {
		n += r.Diagnoses[i].Evidence.Bytes() + r.Diagnoses[i].Advice.Do.Bytes()
	}
	return n
}

// Diagnose adds diagnoses to the record. It must be called before r is shared.
func (r *Record) Diagnose(all []diagnosis.Diagnosis) {
	r.Diagnoses = all
	if c := r.Cause(); c != nil {
		r.Advice = c.Advice
		if r.Incomplete() {
			r.Meaning = c.Summary
		}
	}
}

// Cause returns the first diagnosis if it is certain or likely, or nil.
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

// Failed reports whether the attempt is a failure: a failed call, or a request
// that ksyun-tap refused.
func (r *Record) Failed() bool { return r.Outcome.Failed() || r.Fault.Refused() }

// Since returns since when failures of this kind have occurred: the begin of the scope, or
// the time of the failure itself if that is not known. Every output uses it.
func (r *Record) Since() time.Time {
	if r.Scope.Since.IsZero() {
		return r.Time
	}
	return r.Scope.Since
}

// Incomplete reports whether the attempt is a success whose response has no data, or
// not all of it.
func (r *Record) Incomplete() bool { return !r.Failed() && r.Cause() != nil }

// appendURL appends the URL of the attempt with secrets redacted. host is that of the record.
func appendURL(dst []byte, o *classify.Observation, host string) []byte {
	dst = appendOrigin(dst, o, host)
	start := len(dst)
	dst = redact.AppendTarget(dst, o.Target)
	if len(dst)-start > maxURL {
		dst = append(dst[:start+maxURL-len("...")], "..."...)
	}
	return dst
}

// appendOrigin appends the part of the URL before the target, without the port if it
// is the default of the scheme.
func appendOrigin(url []byte, o *classify.Observation, host string) []byte {
	if host == "" || o.Scheme == "" { // SDK records have neither
		return url
	}
	url = append(append(url, o.Scheme...), "://"...)
	if o.Port == 0 || o.Scheme == "http" && o.Port == 80 || o.Scheme == "https" && o.Port == 443 {
		return append(url, host...)
	}
	return append(url, net.JoinHostPort(host, strconv.Itoa(int(o.Port)))...)
}

// scrub returns the beginning of s with everything that looks like a secret
// redacted. It redacts before it truncates, because a part of a secret may not
// look like one.
func scrub(s string, limit int) string {
	return cut(redact.Text(s), limit)
}

// unmapped returns a with an IPv4-mapped IPv6 address converted to IPv4.
func unmapped(a netip.AddrPort) netip.AddrPort {
	if !a.IsValid() {
		return a
	}
	return netip.AddrPortFrom(a.Addr().Unmap(), a.Port())
}

// cut returns s as valid UTF-8 of at most limit bytes, with control characters
// escaped. A truncated text ends in "...".
func cut(s string, limit int) string { return printable.Truncate(printable.Escape(s), limit) }
