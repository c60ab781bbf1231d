package classify

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/structural"
)

// scanner scans JSON text without building values. It accepts arbitrary input:
// truncated text, invalid UTF-8, deep nesting, garbage. It never goes back, so its
// time is linear in the length of the text, and it never recurses. It stops
// where the text is not JSON; the values found before are kept.
type scanner struct {
	b []byte
	i int

	blocks [16]structural.Block // of skipNested, where clearing them would take longer than a small value

	closed  bool // key passed the end of the object
	wrapped bool // the fields of the response are nested in one field
	nested  bool // an error is nested in an error
}

// peek returns the next byte that is not white space, or 0 at the end. It does
// not pass it.
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

// key passes the next field name of an object and the colon after it. ok is
// false at the end of the object, which is passed too, and where the text ends
// or is not JSON. The name is unescaped, into buf if necessary. A name that is
// too long to be a known one is "".
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

// element moves to the next element of a list. It returns false at the end of
// the list, which it passes, and where the text ends.
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
// no byte is looked at for two quotes, so the total time is linear.
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
