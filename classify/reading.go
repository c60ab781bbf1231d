package classify

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// reading is the result of scanning a response body. Its fields alias the body and
// are still escaped. If a field is repeated, the first non-empty value is used.
type reading struct {
	form Form

	// The fields of the error object. failed reports that there was one and that
	// it was not empty.
	failed                     bool
	code, inner, kind, message field
	// The top-level fields next to the data.
	flatCode, flatDesc, flatKind, flatMessage field

	requestID field

	whole bool // the root object or element was closed
	data  bool // it has another non-empty field
	list  bool // the root is a list; its first element was read
	plain bool // it is text that an API may respond with, such as OK

	body []byte // the decoded body, if it is complete

	// The errors that a batch reports for its items.
	items     int
	firstItem field
	partial   bool // isPartial
}

// field is one value in its escaped form.
type field struct {
	raw []byte
	esc escaping
	cut bool // the body ended inside it
}

// escaping is how a field's bytes are written.
type escaping uint8

const (
	escapeNone escaping = iota
	escapeJSON
	escapeXML
)

// empty reports whether f contains only spaces.
func (f *field) empty() bool { return len(bytes.TrimSpace(f.raw)) == 0 }

// offer sets f to v if f is empty.
func (f *field) offer(v field) {
	if f.raw == nil && !v.empty() {
		*f = v
	}
}

// offerWhole sets f to v if f is empty and v is complete, because a part of a code
// is a different code.
func (f *field) offerWhole(v field) {
	if !v.cut {
		f.offer(v)
	}
}

// bestCode returns the code of the body. A name is preferred to a number.
func (rd *reading) bestCode() field {
	if rd.code.raw != nil {
		return rd.code
	}
	if rd.flatDesc.raw != nil && isNumber(rd.flatCode.raw) {
		return rd.flatDesc
	}
	return rd.flatCode
}

// bestMessage returns the message of the body.
func (rd *reading) bestMessage() field {
	for _, f := range []*field{&rd.message, &rd.flatMessage} {
		if f.raw != nil {
			return *f
		}
	}
	return rd.firstItem
}

// number10 returns the value of b, which consists of digits, or a large number if
// b is too long.
func number10(b []byte) int {
	n := 0
	for _, c := range b[:min(len(b), 9)] {
		n = 10*n + int(c-'0')
	}
	return n
}

// isNumber reports whether b consists of digits only.
func isNumber(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// readBody parses a body. The format is detected from the body, because the
// Content-Type is often wrong.
func readBody(body []byte, rd *reading) {
	body = bytes.TrimPrefix(body, byteOrderMark)
	start := skipSpace(body, 0)
	if start == len(body) {
		rd.form = FormEmpty
		return
	}
	if body[start] == '<' {
		rd.form = FormXML
		x := xmlScanner{b: body, i: start}
		x.response(rd)
		return
	}
	if body[start] != '{' && body[start] != '[' {
		wrapped := wrappedJSON(body[start:])
		if wrapped == 0 {
			readText(body[start:], rd)
			return
		}
		start += wrapped
	}
	rd.form = FormJSON
	s := scanner{b: body, i: start}
	s.response(rd)
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// wrappedJSON returns the index of the JSON in a JSONP response (a function call)
// or after a prefix that keeps browsers from running it as a script. It returns 0
// if text is neither.
func wrappedJSON(text []byte) int {
	if rest, ok := bytes.CutPrefix(text, []byte(")]}'")); ok {
		return len(text) - len(bytes.TrimLeft(rest, ", \r\n"))
	}
	head := text[:min(len(text), maxCallback)]
	i := bytes.LastIndexByte(head[:max(0, bytes.IndexAny(head, "{\""))], '(')
	if i <= 0 {
		return 0
	}
	for _, c := range head[:i] {
		if !isNameByte(c) && bytes.IndexByte([]byte("$[]'(=&!/* \r\n"), c) < 0 {
			return 0
		}
	}
	if start := skipSpace(text, i+1); start < len(text) && (text[start] == '{' || text[start] == '[') {
		return start
	}
	return 0
}

// maxCallback bounds the text before JSONP's parenthesis.
const maxCallback = 256

// maxTextLine is the maximum length of the message taken from a plain text body.
// Proxies and load balancers write one short line.
const maxTextLine = 160

// readText uses the first line of the text as the message.
func readText(text []byte, rd *reading) {
	sample := text[:min(len(text), 512)]
	for _, c := range sample {
		if c < ' ' && c != '\n' && c != '\r' && c != '\t' || c == 0x7f {
			rd.form = FormBinary
			return
		}
	}
	rd.form = FormText
	if i := bytes.IndexByte(sample, '\n'); i >= 0 {
		sample = sample[:i]
	}
	rd.message = field{raw: bytes.TrimSpace(sample[:min(len(sample), maxTextLine)]), cut: true}
	rd.plain = isPlain(bytes.TrimSpace(text))
}

// isPlain reports whether text is a valid response as a whole: a JSON value other
// than an object or list, or a word that means success.
func isPlain(text []byte) bool {
	for _, word := range []string{"ok", "success", "true", "false", "null"} {
		if ascii.EqualFold(text, word) {
			return true
		}
	}
	quoted := len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"'
	return quoted || isNumber(text)
}

// skipSpace returns the index of the first byte from i on that is not a space.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// isRequestID reports whether name is a known name of the request ID field.
func isRequestID(name []byte) bool {
	switch len(name) {
	case len("requestid"):
		return ascii.EqualFold(name, "requestid")
	case len("request_id"):
		return ascii.EqualFold(name, "request_id")
	case len("reqid"):
		return ascii.EqualFold(name, "reqid")
	}
	return false
}
