// Package har writes failures as HTTP Archive files (HAR 1.2), which browsers and
// support tools read. An entry holds what a record holds: the URL with secrets
// redacted and no header fields or bodies. These are added where they were kept as
// evidence (see package evidence).
//
// The field _ksyun of an entry is the record itself: the verdict, the IDs and the
// advice, with the keys of the API.
package har

import (
	"bytes"
	"cmp"
	"encoding/json"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/redact"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// Details is what is known of an exchange besides its record, without secrets. It is
// immutable once shared.
type Details struct {
	Wait     time.Duration // until the first byte of the response; 0 if there was none
	Request  Message
	Response Message
}

// Message is a request or a response.
type Message struct {
	Fields []Field
	Body   Body
}

// Field is a header field or a parameter.
type Field struct {
	Name  string `json:"name"`
	Value string `json:"value"`
}

// Body is a body in UTF-8, without content codings. It is either a text or the
// parameters of a form.
type Body struct {
	MIMEType string
	Text     string
	Params   []Field
	Comment  string // what was left out
}

// Size returns the memory of d in bytes, approximately.
func (d *Details) Size() int {
	const struc, field = 256, 32 // of the structs and of each field, without texts
	size := struc
	for _, m := range []*Message{&d.Request, &d.Response} {
		size += len(m.Body.MIMEType) + len(m.Body.Text) + len(m.Body.Comment)
		for _, all := range [][]Field{m.Fields, m.Body.Params} {
			for _, f := range all {
				size += field + len(f.Name) + len(f.Value)
			}
		}
	}
	return size
}

// Encode returns a file with the exchanges of the failures in their order. details
// returns what is known besides a record, or nil; it may itself be nil. version is
// that of ksyun-tap.
func Encode(failures []*record.Record, details func(id string) *Details, version string) ([]byte, error) {
	log := logOf{Version: "1.2", Creator: creator{"ksyun-tap", cmp.Or(version, "unknown")}, Entries: []entry{}}
	for _, r := range failures {
		var d *Details
		if details != nil {
			d = details(r.ID)
		}
		log.Entries = append(log.Entries, entryOf(r, d))
	}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false) // so that URLs can be read
	e.SetIndent("", "  ")
	err := e.Encode(file{log})
	return printable.EscapeBytes(b.Bytes()), err
}

// The types of a file, as far as it is written. Fields that the format requires are
// written even if nothing is known.
type (
	file struct {
		Log logOf `json:"log"`
	}
	logOf struct {
		Version string  `json:"version"`
		Creator creator `json:"creator"`
		Entries []entry `json:"entries"`
	}
	creator struct {
		Name    string `json:"name"`
		Version string `json:"version"`
	}
	entry struct {
		Started  time.Time      `json:"startedDateTime"`
		Time     float64        `json:"time"` // in milliseconds, as are timings
		Request  request        `json:"request"`
		Response response       `json:"response"`
		Cache    struct{}       `json:"cache"`
		Timings  timings        `json:"timings"`
		Server   string         `json:"serverIPAddress,omitempty"`
		Comment  string         `json:"comment,omitempty"`
		Record   *record.Record `json:"_ksyun"`
	}
	request struct {
		Method      string    `json:"method"`
		URL         string    `json:"url"`
		HTTPVersion string    `json:"httpVersion"`
		Cookies     []Field   `json:"cookies"`
		Headers     []Field   `json:"headers"`
		Query       []Field   `json:"queryString"`
		Post        *postData `json:"postData,omitempty"`
		HeadersSize int       `json:"headersSize"`
		BodySize    int       `json:"bodySize"`
	}
	postData struct {
		MIMEType string  `json:"mimeType"`
		Params   []Field `json:"params"`
		Text     string  `json:"text"`
		Comment  string  `json:"comment,omitempty"`
	}
	response struct {
		Status      int     `json:"status"` // 0 without a response
		StatusText  string  `json:"statusText"`
		HTTPVersion string  `json:"httpVersion"`
		Cookies     []Field `json:"cookies"`
		Headers     []Field `json:"headers"`
		Content     content `json:"content"`
		RedirectURL string  `json:"redirectURL"`
		HeadersSize int     `json:"headersSize"`
		BodySize    int     `json:"bodySize"`
	}
	content struct {
		Size     int    `json:"size"`
		MIMEType string `json:"mimeType"`
		Text     string `json:"text,omitempty"`
		Comment  string `json:"comment,omitempty"`
	}
	timings struct {
		Send    float64 `json:"send"`
		Wait    float64 `json:"wait"`
		Receive float64 `json:"receive"`
	}
)

// unknownSize is the format's value for a size that is not known.
const unknownSize = -1

// entryOf returns the exchange of a failure. d may be nil.
func entryOf(r *record.Record, d *Details) entry {
	millis := r.DurationSeconds * 1000
	protocol := ""
	if r.Protocol != "" {
		protocol = "HTTP/" + r.Protocol
	}
	e := entry{
		Started: r.Start, Time: millis, Timings: timings{Wait: millis},
		Request: request{
			Method: r.Method, URL: r.URL, HTTPVersion: protocol, Cookies: []Field{}, Headers: []Field{},
			Query: queryOf(r.URL), HeadersSize: unknownSize, BodySize: unknownSize,
		},
		Response: response{
			Status: r.Status, StatusText: http.StatusText(r.Status), HTTPVersion: protocol, Cookies: []Field{}, Headers: []Field{},
			HeadersSize: unknownSize, BodySize: unknownSize,
		},
		Comment: strings.Join(strings.Fields(strings.Join([]string{r.Code, string(r.Fault), r.RequestID, r.Message}, " ")), " "),
		Record:  r,
	}
	if r.Upstream.IsValid() {
		e.Server = net.IP(r.Upstream.Addr().AsSlice()).String()
	}
	if d != nil {
		e.add(d)
	}
	return e
}

// add adds the details of an exchange.
func (e *entry) add(d *Details) {
	if d.Wait > 0 {
		e.Timings.Wait = min(e.Time, float64(d.Wait)/float64(time.Millisecond))
		e.Timings.Receive = e.Time - e.Timings.Wait
	}
	e.Request.Headers = append(e.Request.Headers, d.Request.Fields...)
	e.Response.Headers = append(e.Response.Headers, d.Response.Fields...)
	if b := &d.Request.Body; b.Text != "" || b.Params != nil || b.Comment != "" {
		e.Request.Post = &postData{MIMEType: b.MIMEType, Params: append([]Field{}, b.Params...), Text: b.Text, Comment: b.Comment}
	}
	b := &d.Response.Body
	e.Response.Content = content{Size: len(b.Text), MIMEType: b.MIMEType, Text: b.Text, Comment: b.Comment}
}

// queryOf returns the parameters of a URL in their order.
func queryOf(text string) []Field {
	fields := []Field{}
	_, query, _ := strings.Cut(text, "?")
	for part := range strings.SplitSeq(query, "&") {
		name, value, _ := strings.Cut(part, "=")
		if name != "" {
			fields = append(fields, Field{unescaped(name), unescaped(value)})
		}
	}
	return fields
}

// unescaped returns s without percent-encoding. An encoding can hide what looks like a
// secret, which is redacted.
func unescaped(s string) string {
	if d, err := url.QueryUnescape(s); err == nil {
		return redact.Text(d)
	}
	return s
}
