package classify

import "bytes"

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

// skip passes any value. Within a value all kinds of brackets count as one; that
// makes a difference only in text that is not JSON.
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

// walk passes b byte by byte from i, which is outside of strings, to stop or
// slightly further. It ends after the bracket that reduces depth to 0.
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

// marks remembers the places of the next of certain bytes in b. Each is
// searched for again only after the last one found, so that all searches
// together cost one pass over b.
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

// next returns the place of the first c from i on, or len(b) if there is none.
// i must not decrease between calls.
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
// within a string or not. So it is enough to count quotes once, at the end. Of the
// last element, what is before its closing brace is passed if it has no other brace.
func (m *marks) skipElements(i int) (next, stop int) {
	b, start, elements := m.b, i, 0
	end := min(m.backslash.next(b, i, '\\'), m.open.next(b, i, '['), m.close.next(b, i, ']'))
	p := m.brace.next(b, i, '}')
	for p+2 < end && b[p+1] == ',' && b[p+2] == '{' {
		i = p + len("},{")
		elements++
		n := bytes.IndexByte(b[i:], '}')
		if n < 0 {
			n = len(b) - i
		}
		p = i + n
	}
	m.brace.at = p
	last := min(p, end) // there is no bracket up to it but braces that open
	stop = max(last+1, i+minWalk)
	if elements > 0 && bytes.Count(b[start:i], openBrace) != elements {
		return start, i // another brace opens
	}
	if bytes.Count(b[start:i], quote)%2 == 1 {
		behind, ok := stringEnd(b, i)
		if !ok {
			return len(b), stop
		}
		return behind + 1, stop
	}
	if bytes.IndexByte(b[i:last], '{') < 0 && bytes.Count(b[i:last], quote)%2 == 0 {
		return last, stop // in the last element
	}
	return i, stop
}

var (
	openBrace = []byte{'{'}
	quote     = []byte{'"'}
)
