package classify

import (
	"bytes"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/timestamp"
)

// givesPoints reports whether the action responds with data points.
func givesPoints(action string) bool {
	return strings.HasPrefix(action, "GetMetricStatistics") || action == "QueryRange"
}

// list is what was found of a list.
type list uint8

const (
	listNone list = iota // there is no list
	listEmpty
	listFull
)

// empty reports whether a complete response to action holds lists of data
// points all of which are empty. It stops at the first one that is not, so that
// it takes almost no time for a response with data.
func (rd *reading) empty(action string) bool {
	if !givesPoints(action) || rd.form != FormJSON && rd.form != FormXML {
		return false
	}
	body := rd.body
	// The ends of the names datapoints, Datapoints and points; and of result.
	key := []byte("oints")
	if action == "QueryRange" {
		key = []byte(`"result`)
	}
	found := lists(body, key)
	if found == listNone && action != "QueryRange" {
		found = lists(body, []byte("Results")) // of a batch without any
	}
	return found == listEmpty
}

// lists looks for the lists that follow names with the given end, or for the
// elements in elements with such names.
func lists(body, end []byte) list {
	found := listNone
	for {
		i := bytes.Index(body, end)
		if i < 0 {
			return found
		}
		body = body[i+len(end):]
		switch l, rest := listAt(body); l {
		case listFull:
			return listFull
		case listEmpty:
			found, body = listEmpty, rest
		case listNone:
		}
	}
}

// listAt returns what follows a name: a list, an object with one list, or the end
// of a start tag and a list of elements. rest is what is behind an empty one.
func listAt(b []byte) (l list, rest []byte) {
	if bytes.HasPrefix(b, []byte(`":{"member":[{`)) {
		return listFull, nil // as the vendor writes it
	}
	if len(b) > 0 && b[0] == '>' || bytes.HasPrefix(b, []byte("/>")) {
		return elementsAt(b)
	}
	s := scanner{b: b}
	if !s.enter('"') || !s.enter(':') {
		return listNone, nil
	}
	if s.enter('{') {
		var buf [maxKey]byte
		if _, ok := s.key(&buf); !ok {
			return listEmpty, s.b[s.i:]
		}
	}
	switch s.peek() {
	case '[':
		s.i++
		if s.peek() == ']' {
			return listEmpty, s.b[s.i:]
		}
		return listFull, nil
	case 'n':
		return listEmpty, s.b[s.i:]
	}
	return listNone, nil
}

// elementsAt is listAt for the end of a start tag.
func elementsAt(b []byte) (l list, rest []byte) {
	if b[0] == '/' {
		return listEmpty, b
	}
	i := skipSpace(b, 1)
	if !bytes.HasPrefix(b[i:], []byte("</")) {
		return listFull, nil
	}
	if end := bytes.IndexByte(b[i:], '>'); end >= 0 {
		return listEmpty, b[i+end:][1:]
	}
	return listEmpty, nil
}

// pointReach is how many bytes of the beginning and the end of a body are searched
// for the time of a data point.
const pointReach = 1 << 10

// NewestPoint returns the time of the newest data point of a response that is not
// content-encoded: the later one of the first and the last point, as the order is
// not documented. It returns the zero time if either is not found. tail is the end of a
// body that is longer than body; see Response.Tail.
func NewestPoint(body, tail []byte) time.Time {
	head := body[:min(len(body), pointReach)]
	if tail == nil {
		tail = body
	}
	tail = tail[max(0, len(tail)-pointReach):]
	key := []byte("imestamp")
	var newest time.Time
	if _, rest, ok := bytes.Cut(head, key); ok {
		newest = pointTime(rest)
	}
	i := bytes.LastIndex(tail, key)
	if i < 0 {
		return time.Time{} // the last point is before the tail
	}
	rest := tail[i+len(key):]
	if bytes.HasPrefix(rest, []byte(">")) { // an end tag, maybe
		if start := bytes.LastIndex(tail[:i], key); start >= 0 && bytes.Contains(tail[start:i], []byte("</")) {
			rest = tail[start+len(key):]
		}
	}
	if t := pointTime(rest); t.After(newest) {
		newest = t
	}
	return newest
}

// pointTime reads the time behind the name of a field or element.
func pointTime(b []byte) time.Time {
	b = bytes.TrimLeft(b[:min(len(b), 64)], `":> `)
	end := bytes.IndexAny(b, `",}<`)
	if end < 0 {
		return time.Time{}
	}
	return readTime(b[:end])
}

// readTime reads a time in one of the forms of ISO 8601, or as Unix seconds or
// milliseconds. It returns the zero time if b is neither.
func readTime(b []byte) time.Time {
	if isNumber(b) {
		n := int64(0)
		for _, c := range b[:min(len(b), 15)] {
			n = 10*n + int64(c-'0')
		}
		switch len(b) {
		case len("1773813600"):
			return time.Unix(n, 0).UTC()
		case len("1773813600000"):
			return time.UnixMilli(n).UTC()
		}
		return time.Time{}
	}
	t, _ := timestamp.Parse(b)
	return t
}

// TotalCount returns the number of items that a response says there are on all
// pages. It returns false if it does not say so.
func TotalCount(body []byte) (int, bool) {
	_, b, ok := bytes.Cut(body, []byte("otalCount"))
	if !ok {
		return 0, false
	}
	b = bytes.TrimLeft(b[:min(len(b), 32)], `":> `)
	n := 0
	for n < len(b) && '0' <= b[n] && b[n] <= '9' {
		n++
	}
	return number10(b[:n]), 0 < n && n < len(b) && n <= 9
}
