package web

import (
	"net/url"
	"regexp"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// OutLink is a template of URLs that lead from a failure to another system, such as
// a trace store:
//
//	https://jaeger.example.com/trace/{trace_id}
//
// The zero value makes no links.
type OutLink struct{ template string }

// outValues are the values of the placeholders.
var outValues = map[string]func(*record.Record) string{
	"id":         func(r *record.Record) string { return r.ID },
	"request_id": func(r *record.Record) string { return r.RequestID },
	"trace_id":   func(r *record.Record) string { return r.TraceID },
	"span_id":    func(r *record.Record) string { return r.SpanID },
	"action":     func(r *record.Record) string { return r.Action },
	"code":       func(r *record.Record) string { return r.Code },
	"from_ms":    func(r *record.Record) string { return strconv.FormatInt(r.Start.Add(-outMargin).UnixMilli(), 10) },
	"to_ms":      func(r *record.Record) string { return strconv.FormatInt(r.Time.Add(outMargin).UnixMilli(), 10) },
}

// outMargin is how much longer than an attempt the range from_ms to to_ms is, at
// both ends.
const outMargin = 5 * time.Minute

// Placeholders returns the names of the placeholders.
func Placeholders() []string { return sortedKeys(outValues) }

var placeholder = regexp.MustCompile(`\{([^{}]*)\}`)

// ParseOutLink parses a template. "" is the zero value. The scheme must be http or
// https and have no placeholder, as must the host.
func ParseOutLink(s string) (OutLink, error) {
	if s == "" {
		return OutLink{}, nil
	}
	for _, m := range placeholder.FindAllStringSubmatch(s, -1) {
		if outValues[m[1]] == nil {
			return OutLink{}, unknown("placeholder", m[1], Placeholders())
		}
	}
	u, err := url.Parse(placeholder.ReplaceAllString(s, "x"))
	if err == nil && u.User != nil {
		return OutLink{}, usererror.New("a URL with a password would be shown to everyone", "leave it out")
	}
	if err != nil || u.Scheme != "http" && u.Scheme != "https" || u.Host == "" {
		return OutLink{}, usererror.New(strconv.Quote(s)+" is not a URL of pages", "write one that begins with http:// or https:// and a host")
	}
	_, rest, _ := strings.Cut(s, "://")
	host, _, _ := strings.Cut(rest, "/")
	if authority, _, _ := strings.Cut(host, "?"); strings.ContainsAny(authority, "{}#") {
		return OutLink{}, usererror.New("the host of "+strconv.Quote(s)+" has a placeholder", "write the host itself")
	}
	if !placeholder.MatchString(s) {
		return OutLink{}, usererror.New(strconv.Quote(s)+" has no placeholder", "write one of {"+strings.Join(Placeholders(), "}, {")+"}")
	}
	return OutLink{s}, nil
}

// For returns the URL for r. It is "" if r does not have all the values.
func (l OutLink) For(r *record.Record) string {
	complete := true
	link := placeholder.ReplaceAllStringFunc(l.template, func(p string) string {
		v := outValues[strings.Trim(p, "{}")](r)
		complete = complete && v != ""
		return escape(v)
	})
	if !complete {
		return ""
	}
	return link
}

// String returns the template.
func (l OutLink) String() string { return l.template }

// escape escapes everything that has a meaning in a path, a query or a fragment.
func escape(s string) string { return strings.ReplaceAll(url.QueryEscape(s), "+", "%20") }
