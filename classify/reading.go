package classify

import "bytes"

// reading is what a scan of a response body found. Its fields alias the body,
// still escaped; of a repeated field the first that is not empty counts.
type reading struct {
	form Form

	// The error object: E1 to E7 and E10. failed tells that there was one and
	// that it was not empty.
	failed                     bool
	code, inner, kind, message field
	// The flat fields beside the data: E8, E9, E11, E14.
	flatCode, flatDesc, flatKind, flatMessage field

	requestID field

	whole bool // the answer's own object or element was closed
	data  bool // it has a field that is neither empty nor of the kinds here
	list  bool // it is a list, of which the first element was read
	plain bool // it is a text that an API may well answer with, as OK

	// What a batch reports of its items: E12.
	items     int
	firstItem field
	partial   bool // isPartial
}

// field is one value as it stands in the body.
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

// empty reports whether f holds nothing but blanks.
func (f *field) empty() bool { return len(bytes.TrimSpace(f.raw)) == 0 }

// offer sets f to v if f is empty still.
func (f *field) offer(v field) {
	if f.raw == nil && !v.empty() {
		*f = v
	}
}

// offerWhole sets f to v if f is empty still and v is whole: the first half of
// a code is another code.
func (f *field) offerWhole(v field) {
	if !v.cut {
		f.offer(v)
	}
}

// bestCode returns the body's code. A name is better than a number that has a
// name beside it.
func (rd *reading) bestCode() field {
	if rd.code.raw != nil {
		return rd.code
	}
	if rd.flatDesc.raw != nil && isNumber(rd.flatCode.raw) {
		return rd.flatDesc
	}
	return rd.flatCode
}

// bestMessage returns the body's message.
func (rd *reading) bestMessage() field {
	for _, f := range []*field{&rd.message, &rd.flatMessage} {
		if f.raw != nil {
			return *f
		}
	}
	return rd.firstItem
}

// failureNumber returns the number that a flat code is, if it stands for a
// failure and nothing else is in the answer.
func (rd *reading) failureNumber() (number int, ok bool) {
	if rd.data || rd.list || !rd.whole || !isNumber(rd.flatCode.raw) {
		return 0, false
	}
	n := number10(rd.flatCode.raw)
	return n, n >= 400
}

// number10 returns the number b, which is digits only; a large one for one
// that is too long.
func number10(b []byte) int {
	n := 0
	for _, c := range b[:min(len(b), 9)] {
		n = 10*n + int(c-'0')
	}
	return n
}

// isNumber reports whether b is digits only.
func isNumber(b []byte) bool {
	for _, c := range b {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(b) > 0
}

// readBody finds what a body says. A body's own look decides how it is read:
// the Content-Type is often wrong. escaped is false if it has no backslash.
func readBody(body []byte, escaped bool, rd *reading) {
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
	s := scanner{b: body, i: start, unescaped: !escaped}
	s.response(rd)
}

var byteOrderMark = []byte("\xef\xbb\xbf")

// wrappedJSON returns where the JSON begins in a text that a browser is to run
// (JSONP: a call of a function) or not to run (a prefix that makes it no
// script); 0 if it is neither.
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

// maxTextLine is how much of a plain text body is taken for its message: what
// a proxy or load balancer writes is one short line, the rest is not for us.
const maxTextLine = 160

// readText takes the first line of a text for its message.
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

// isPlain reports whether a whole answer may consist of text: a JSON value that
// is no object or list, or a word that says that all is well.
func isPlain(text []byte) bool {
	for _, word := range []string{"ok", "success", "true", "false", "null"} {
		if equalFold(text, word) {
			return true
		}
	}
	quoted := len(text) >= 2 && text[0] == '"' && text[len(text)-1] == '"'
	return quoted || isNumber(text)
}

// skipSpace returns the place of the first byte from i on that is no blank.
func skipSpace(b []byte, i int) int {
	for i < len(b) && (b[i] == ' ' || b[i] == '\n' || b[i] == '\r' || b[i] == '\t') {
		i++
	}
	return i
}

// equalFold reports whether b is name without case; name is in lower case.
func equalFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range len(name) {
		if lower(b[i]) != name[i] {
			return false
		}
	}
	return true
}

// lower lowers an ASCII letter.
func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// isRequestID reports whether name is one of the spellings of the request ID.
func isRequestID(name []byte) bool {
	switch len(name) {
	case len("requestid"):
		return equalFold(name, "requestid")
	case len("request_id"):
		return equalFold(name, "request_id")
	case len("reqid"):
		return equalFold(name, "reqid")
	}
	return false
}
