package evidence

import (
	"bytes"
	"regexp"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
	"github.com/ksyun-tap/ksyun-tap/exporter/har"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
)

// harmlessHeaders are the header fields whose values are kept.
var harmlessHeaders = []string{
	"Accept", "Accept-Encoding", "Accept-Language", "Age", "Allow", "Cache-Control", "Connection", "Content-Encoding", "Content-Language",
	"Content-Length", "Content-Type", "Date", "Expect", "Host", "Keep-Alive", "Retry-After", "Server", "Te", "Traceparent",
	"Transfer-Encoding", "User-Agent", "Vary", "Via", "X-Amz-Content-Sha256", "X-Amz-Date", "X-Cache", "X-Ksc-Content-Sha256", "X-Ksc-Date",
	"X-Ksc-Errortype", "X-Ksc-Request-Id", "X-Ksyun-Tap-Error",
}

// secretHeaders are the header fields that are shown without their values: it helps to
// know whether they were sent.
var secretHeaders = []string{
	"Authorization", "Cookie", "Proxy-Authorization", "Set-Cookie", "X-Amz-Security-Token", "X-Ksc-Security-Token",
}

// harmlessFields are the fields of bodies whose values are kept, of requests and of
// responses.
var harmlessFields = []string{
	"Action", "Version", "Service", "Region", "Namespace", "MetricName", "Metric_Name", "StartTime", "EndTime", "Period", "Aggregate", "Interval",
	"Limit", "Offset", "PageIndex", "PageSize", "MaxRecords", "MaxResults", "DryRun",
	"Code", "ErrorCode", "ErrCode", "Message", "ErrorMessage", "ErrorMsg", "Msg", "Type", "Status", "StatusCode", "Success", "IsPartial",
	"RequestId", "Request_Id", "Timestamp", "Total", "TotalCount", "Count",
	"title", "h1", // of the page of a gateway
}

// The limits of what is kept of a body, in bytes.
const (
	maxName  = 64
	maxValue = 1024
	maxDepth = 64 // of nesting
)

// hidden replaces the value of a header field.
const hidden = "REDACTED"

// allowlist is what may be kept. Names are in lower case.
type allowlist struct {
	headers map[string]bool // false for a field that is shown without its value
	fields  map[string]bool
}

func newAllowlist(headers, fields []string) allowlist {
	a := allowlist{headers: map[string]bool{}, fields: map[string]bool{}}
	for _, n := range slices.Concat(harmlessHeaders, headers) {
		a.headers[strings.ToLower(n)] = true
	}
	for _, n := range secretHeaders { // even if they are among headers
		a.headers[strings.ToLower(n)] = false
	}
	for _, n := range slices.Concat(harmlessFields, fields) {
		a.fields[strings.ToLower(n)] = true
	}
	return a
}

// scrubbing is the scrubbing of one exchange.
type scrubbing struct {
	*allowlist
	secrets *redact.Set
	limit   int // of a body, in bytes
}

// details returns the exchange of o without secrets.
func (s *Store) details(o *classify.Observation, c *Copy) *har.Details {
	request := classify.Request{Method: o.Method, Target: o.Target, Header: &c.request, Body: classify.Plain(&c.request, c.request.body)}
	x := scrubbing{&s.allowed, classify.SecretsOf(&request), s.cfg.BodyBytes}
	defer x.secrets.Release()
	return &har.Details{Wait: c.wait, Request: x.message(&c.request), Response: x.message(&c.response)}
}

func (x *scrubbing) message(m *message) har.Message {
	var to har.Message
	for _, f := range m.fields {
		open, known := x.headers[strings.ToLower(string(f.name))]
		if !known {
			continue
		}
		value := hidden
		if open {
			value = x.value(string(f.value))
		}
		to.Fields = append(to.Fields, har.Field{Name: string(f.name), Value: value})
	}
	if len(m.body) > 0 {
		to.Body = x.body(m)
	}
	return to
}

// body returns the body of m.
func (x *scrubbing) body(m *message) (to har.Body) {
	media, _, _ := strings.Cut(string(m.Get("Content-Type")), ";")
	to.MIMEType = x.value(strings.TrimSpace(media))
	text := classify.Plain(m, m.body)
	text = bytes.TrimLeft(text[:min(len(text), x.limit)], " \t\r\n\ufeff")
	var whole bool
	switch {
	case len(text) == 0:
		to.Comment = "left out: the content coding is not supported"
		return to
	case text[0] == '{' || text[0] == '[':
		to.Text, whole = x.json(text)
	case text[0] == '<':
		to.Text, whole = x.xml(text)
	case classify.IsForm(m, text):
		to.Params, whole = x.form(text), true
	default:
		to.Comment = "left out: it is neither JSON nor XML nor a form"
		return to
	}
	to.Comment = "the values of other fields than those of an allowlist are replaced by their types"
	if !whole {
		to.Comment += "; the rest is left out"
	}
	return to
}

// keeps reports whether the values of the field may be kept. Of Metrics.1.MetricName
// and of ns:MetricName, the last word that is no number counts.
func (a *allowlist) keeps(name string) bool {
	name = strings.ToLower(name)
	for name != "" {
		i := strings.LastIndexAny(name, ".:")
		last := name[i+1:]
		if strings.Trim(last, "0123456789") != "" {
			return a.fields[last]
		}
		name = name[:max(i, 0)]
	}
	return false
}

var fieldName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_.:-]*$`)

// name returns the name of a field if it looks like one.
func (x *scrubbing) name(s string) string {
	if len(s) > maxName || !fieldName.MatchString(s) || x.secrets.Redact(s) != s {
		return "_name"
	}
	return s
}

// value returns a value that may be kept, without secrets. It is scrubbed before it is
// truncated, because a part of a secret may not look like one.
func (x *scrubbing) value(s string) string {
	return printable.Truncate(x.secrets.Redact(strings.ToValidUTF8(s, "\ufffd")), maxValue)
}

// text returns the value of a field: the value itself, or its type.
func (x *scrubbing) text(name, s string) string {
	if s == "" || x.keeps(name) {
		return x.value(s)
	}
	return typeString
}

// The placeholders of values.
const (
	typeString  = "[string]"
	typeNumber  = "[number]"
	typeBoolean = "[boolean]"
)
