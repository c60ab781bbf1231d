package classify

import "bytes"

// scanner scans JSON text without building values. It accepts arbitrary input:
// truncated text, invalid UTF-8, deep nesting, garbage. It never goes back, so its
// time is linear in the length of the text, and it never recurses. It stops
// where the text is not JSON; the values found before are kept.
type scanner struct {
	b []byte
	i int

	unescaped bool // there is no backslash in b

	closed  bool // key passed the end of the object
	wrapped bool // the fields of the response are nested in one field
	nested  bool // an error is nested in an error
}

// response parses the body of a response. Only top-level fields and the fields of
// known objects are used: an "error" inside the data is data.
//
// If the root is a list, only its first element is read.
func (s *scanner) response(rd *reading) {
	if s.enter('[') {
		rd.list = true
		if !s.element() {
			return
		}
	}
	if s.enter('{') {
		s.fields(rd)
		rd.whole = s.closed
	}
}

// fields reads the fields of a response.
func (s *scanner) fields(rd *reading) {
	var buf [maxKey]byte
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		s.topField(key, rd)
	}
}

// topField reads the value of one top-level field of a response.
func (s *scanner) topField(key []byte, rd *reading) {
	switch len(key) {
	case len("code"):
		if equalFold(key, "code") {
			rd.flatCode.offerWhole(s.scalar())
			return
		}
		if equalFold(key, "type") {
			rd.flatKind.offerWhole(s.scalar())
			return
		}
	case len("error"), len("errors"):
		if equalFold(key, "error") || equalFold(key, "errors") {
			s.errorValue(rd)
			return
		}
	case len("message"):
		if equalFold(key, "message") {
			rd.flatMessage.offer(s.scalar())
			return
		}
	case len("codeDesc"): // and Response
		if equalFold(key, "codedesc") {
			rd.flatDesc.offerWhole(s.scalar())
			return
		}
		if equalFold(key, "response") && s.wrapper(rd) {
			return
		}
	case len("isPartial"):
		if equalFold(key, "ispartial") {
			v := s.scalar()
			rd.partial = rd.partial || equalFold(v.raw, "true") && !v.cut
			return
		}
	case len("errorMessage"), len("errorMessages"): // and ErrorResponse
		if equalFold(key, "errormessage") || equalFold(key, "errormessages") {
			s.itemErrors(rd)
			return
		}
		if equalFold(key, "errorresponse") {
			rd.failed = rd.failed || !s.emptyValue()
			if s.wrapper(rd) {
				return
			}
		}
	case len("responseMetadata"):
		if equalFold(key, "responsemetadata") {
			s.metadata(rd)
			return
		}
	}
	if isRequestID(key) {
		rd.requestID.offerWhole(s.scalar())
		return
	}
	rd.data = rd.data || s.dataValue() && !isEnvelope(key)
	s.skip()
}

// wrapper reads the fields of a response that is nested in one field, as in
// {"Response":{...}}. It returns false if it is not.
func (s *scanner) wrapper(rd *reading) bool {
	if s.wrapped || !s.enter('{') {
		return false
	}
	s.wrapped = true
	s.fields(rd)
	return true
}

// isEnvelope reports whether a field of that name is metadata of the response
// rather than requested data.
func isEnvelope(key []byte) bool {
	for _, name := range []string{"msg", "status", "success", "path", "timestamp", "time", "traceid", "detail", "details", "description", "reason"} {
		if equalFold(key, name) {
			return true
		}
	}
	return false
}

// dataValue reports whether the next value may be data: it is not empty, 0, true
// or false.
func (s *scanner) dataValue() bool {
	c := s.peek()
	return c != '0' && c != 't' && c != 'f' && !s.emptyValue()
}

// errorValue reads the value of Error: an object, a list of objects, or a message.
func (s *scanner) errorValue(rd *reading) {
	switch s.peek() {
	case '"':
		s.errorText(rd)
	case '[':
		s.i++
		for s.element() {
			switch s.peek() {
			case '{':
				s.errorObject(rd)
			case '"':
				s.errorText(rd)
			default:
				s.skip()
			}
		}
	case '{':
		s.errorObject(rd)
	default:
		s.skip()
	}
}

// errorText reads an error that is a string.
func (s *scanner) errorText(rd *reading) {
	v := s.scalar()
	rd.failed = rd.failed || !v.empty()
	rd.message.offer(v)
}

// errorObject reads an error object. It is not an error if its code is the number
// 0 or all of its fields are empty.
func (s *scanner) errorObject(rd *reading) {
	s.i++
	var buf [maxKey]byte
	var found, fine bool
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		switch {
		case equalFold(key, "code"):
			v := s.scalar()
			if string(v.raw) == "0" {
				fine = true
				continue
			}
			found = found || !v.empty()
			rd.code.offerWhole(v)
		case equalFold(key, "message"):
			v := s.scalar()
			found = found || !v.empty()
			rd.message.offer(v)
		case equalFold(key, "type"):
			v := s.scalar()
			found = found || !v.empty()
			rd.kind.offerWhole(v)
		case equalFold(key, "innercode"):
			rd.inner.offerWhole(s.scalar())
		case isRequestID(key):
			rd.requestID.offerWhole(s.scalar())
		case equalFold(key, "error") && !s.nested:
			s.nested = true
			s.errorValue(rd)
			s.nested = false
		default:
			found = found || !s.emptyValue()
			s.skip()
		}
	}
	rd.failed = rd.failed || found && !fine
}

// itemErrors counts the error messages of a batch, which are a list or an object
// that contains one.
func (s *scanner) itemErrors(rd *reading) {
	switch s.peek() {
	case '[':
		s.itemList(rd)
	case '{':
		s.i++
		var buf [maxKey]byte
		for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
			if s.peek() == '[' && (equalFold(key, "errormessage") || equalFold(key, "member")) {
				s.itemList(rd)
				continue
			}
			s.skip()
		}
	case '"':
		rd.flatMessage.offer(s.scalar()) // not a list, so it does not concern an item
	default:
		s.skip()
	}
}

// itemList counts the elements of a list of messages.
func (s *scanner) itemList(rd *reading) {
	s.i++
	for s.element() {
		if !s.emptyValue() {
			rd.items++
		}
		if s.peek() == '"' {
			rd.firstItem.offer(s.scalar())
			continue
		}
		s.skip()
	}
}

// metadata reads the request ID of responseMetadata.
func (s *scanner) metadata(rd *reading) {
	if !s.enter('{') {
		s.skip()
		return
	}
	var buf [maxKey]byte
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		if isRequestID(key) {
			rd.requestID.offerWhole(s.scalar())
			continue
		}
		s.skip()
	}
}

// peek returns the next byte that is no blank, 0 at the end, without passing
// it.
func (s *scanner) peek() byte {
	s.i = skipSpace(s.b, s.i)
	if s.i == len(s.b) {
		return 0
	}
	return s.b[s.i]
}

// enter passes the byte open if it comes next.
func (s *scanner) enter(open byte) bool {
	if s.peek() != open {
		return false
	}
	s.i++
	return true
}

// maxKey is the length of the longest field name that is known, responseMetadata,
// with each letter escaped.
const maxKey = 96

// key passes the next field name of an object and the colon behind it. At the
// end of the object, which it passes too, and where the text breaks off or is
// no JSON, ok is false. The name is unescaped, in buf where need be; one that
// is too long to be known is "".
func (s *scanner) key(buf *[maxKey]byte) (name []byte, ok bool) {
	c := s.peek()
	if c == ',' {
		s.i++
		c = s.peek()
	}
	s.closed = c == '}'
	if c != '"' {
		if s.closed {
			s.i++
		} else {
			s.i = len(s.b)
		}
		return nil, false
	}
	v := s.text()
	if s.peek() != ':' {
		s.i = len(s.b)
		return nil, false
	}
	s.i++
	if bytes.IndexByte(v.raw, '\\') < 0 {
		return v.raw, true
	}
	if len(v.raw) > maxKey {
		return nil, true
	}
	name, _ = appendJSON(buf[:0], v.raw)
	return name, true
}

// element moves to the next element of a list. At the end of the list, which
// it passes, and where the text breaks off it is false.
func (s *scanner) element() bool {
	c := s.peek()
	if c == ',' {
		s.i++
		c = s.peek()
	}
	switch c {
	case ']':
		s.i++
		return false
	case 0, '}', ':':
		s.i = len(s.b)
		return false
	}
	return true
}

// scalar passes any value and returns it if it is a string, a number or a
// literal other than null; else the field is empty.
func (s *scanner) scalar() field {
	switch c := s.peek(); c {
	case '"':
		return s.text()
	case '{', '[':
		s.skip()
		return field{}
	default:
		start := s.i
		s.skip()
		raw := s.b[start:s.i]
		if string(raw) == "null" {
			return field{}
		}
		return field{raw: raw, cut: s.i == len(s.b)}
	}
}

// text passes a string, from its opening quote on.
func (s *scanner) text() field {
	start := s.i + 1
	end, ok := stringEnd(s.b, start)
	if !ok {
		s.i = len(s.b)
		return field{raw: s.b[start:], esc: escapeJSON, cut: true}
	}
	s.i = end + 1
	return field{raw: s.b[start:end], esc: escapeJSON}
}

// stringEnd returns the place of the quote that ends the string whose text
// starts at i. A quote ends it unless an odd run of backslashes is before it;
// runs of different quotes share no byte, so that looking back costs nothing
// in the long run.
func stringEnd(b []byte, i int) (end int, ok bool) {
	start := i
	for {
		n := bytes.IndexByte(b[i:], '"')
		if n < 0 {
			return 0, false
		}
		q := i + n
		run := q
		for run > start && b[run-1] == '\\' {
			run--
		}
		if (q-run)%2 == 0 {
			return q, true
		}
		i = q + 1
		start = i
	}
}

// emptyValue reports whether the next value is null, "", {}, [] or missing.
func (s *scanner) emptyValue() bool {
	c := s.peek()
	rest := s.b[s.i:]
	switch c {
	case '"':
		return len(rest) > 1 && rest[1] == '"'
	case '{', '[':
		i := skipSpace(rest, 1)
		return i == len(rest) || rest[i] == '}' || rest[i] == ']'
	case 'n':
		return bytes.HasPrefix(rest, []byte("null"))
	case 0, ',', '}', ']':
		return true
	}
	return false
}

// The classes of bytes that matter outside of strings.
const (
	classOther = iota
	classQuote
	classOpen
	classClose
)

var class = [256]uint8{
	'"': classQuote,
	'{': classOpen, '[': classOpen,
	'}': classClose, ']': classClose,
}

// skip passes any value. Within a value the kinds of brackets are not told
// apart; only text that is no JSON can tell the difference.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '"':
		s.text()
	case '{', '[':
		s.skipNested()
	case '}', ']', ',', ':':
		// No value. The caller's loop deals with it.
	default:
		b, i := s.b, s.i
		for i < len(b) && b[i] > ' ' && b[i] != ',' && b[i] != '}' && b[i] != ']' {
			i++
		}
		s.i = min(max(i, s.i+1), len(b)) // a byte that begins no value is passed alone
	}
}

// skipNested passes an object or a list, of any depth. Most of a response's
// bytes are passed here.
func (s *scanner) skipNested() {
	b, i, depth := s.b, s.i, 0
	m := marks{b: b}
	if s.unescaped {
		m.backslash = mark{at: len(b), known: true}
	}
	for i < len(b) {
		stop := i + minWalk
		if depth > 1 {
			i, stop = m.skipElements(i)
		}
		i, depth = walk(b, i, stop, depth)
		if depth == 0 {
			break
		}
	}
	s.i = i
}

// minWalk is how many bytes at least are passed one by one before the next try
// to pass many at once.
const minWalk = 64

// walk passes b from i, outside of strings, to stop or a little further, byte
// by byte. It ends behind the bracket that brings depth to 0.
func walk(b []byte, i, stop, depth int) (end, newDepth int) {
	for stop = min(stop, len(b)); i < stop; i++ {
		switch class[b[i]] {
		case classQuote:
			end, ok := stringEnd(b, i+1)
			if !ok {
				return len(b), depth
			}
			i = end
		case classOpen:
			depth++
		case classClose:
			depth--
			if depth == 0 {
				return i + 1, 0
			}
		}
	}
	return i, depth
}

// marks knows where in b the next of some bytes are. Each is looked for again
// only behind the last one found, so that all of them cost one pass over b.
type marks struct {
	b                      []byte
	backslash, open, close mark // open and close are those of lists
	brace                  mark // that closes an object
}

// mark is the place of a byte: the first from where it was looked for.
type mark struct {
	at    int // len(b) if there is none
	known bool
}

// next returns where the first c from i on is, len(b) if there is none. i never
// goes back.
func (m *mark) next(b []byte, i int, c byte) int {
	if !m.known || m.at < i {
		m.known, m.at = true, len(b)
		if n := bytes.IndexByte(b[i:], c); n >= 0 {
			m.at = i + n
		}
	}
	return m.at
}

// skipElements passes elements of a list of objects at once, from i on, which
// is outside of strings and at a depth above 1. It returns where it came to,
// and up to where the rest is better walked.
//
// As long as every closing brace is followed by ",{" and there are no other
// brackets, the depth is the same behind each of these, whether they stand
// within a string or not. So it is enough to count quotes once, at the end.
func (m *marks) skipElements(i int) (next, stop int) {
	b, start, elements := m.b, i, 0
	end := min(m.backslash.next(b, i, '\\'), m.open.next(b, i, '['), m.close.next(b, i, ']'))
	p := m.brace.next(b, i, '}')
	for p+2 < end && b[p+1] == ',' && b[p+2] == '{' {
		i = p + len("},{")
		elements++
		p = m.brace.next(b, i, '}')
	}
	stop = max(min(p, end)+1, i+minWalk)
	switch {
	case elements == 0:
		return i, stop
	case bytes.Count(b[start:i], openBrace) != elements:
		return start, i // another brace opens
	case bytes.Count(b[start:i], quote)%2 == 0:
		return i, stop
	}
	if end, ok := stringEnd(b, i); ok {
		return end + 1, stop
	}
	return len(b), stop
}

var (
	openBrace = []byte{'{'}
	quote     = []byte{'"'}
)
