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
// the Content-Type is often wrong.
func readBody(body []byte, rd *reading) {
	body = bytes.TrimPrefix(body, byteOrderMark)
	start := skipSpace(body, 0)
	if start == len(body) {
		rd.form = FormEmpty
		return
	}
	switch body[start] {
	case '{', '[':
		rd.form = FormJSON
		s := scanner{b: body, i: start}
		s.response(rd)
	case '<':
		rd.form = FormXML
		x := xmlScanner{b: body, i: start}
		x.response(rd)
	default:
		readText(body[start:], rd)
	}
}

var byteOrderMark = []byte("\xef\xbb\xbf")

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
