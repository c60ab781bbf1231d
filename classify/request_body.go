package classify

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

// pairs reads a query or a form. If it is cut, its last pair is left out, because a
// part of a name would be another name.
func (q *wanted) pairs(s []byte, cut bool) {
	var buf [longestParam]byte
	for len(s) > 0 {
		end, escaped := 0, false
		for ; end < len(s); end++ { // a name is too short for a search to pay
			c := s[end]
			if c > '=' { // as letters are
				continue
			}
			if c == '=' || c == '&' {
				break
			}
			escaped = escaped || c == '%'
		}
		name, value := s[:end], s[end:]
		if i := bytes.IndexByte(value, '&'); i >= 0 {
			value = value[:i]
		} else if cut {
			return
		}
		pair := s[:end+len(value)]
		s = s[min(len(s), len(pair)+1):]
		if escaped && len(name) <= 3*longestParam {
			name = unescape.AppendURL(buf[:0], name)
		}
		if p := q.place(name); p != nil && len(value) > 0 {
			q.offer(p, value[1:], encodedURL)
		}
		if !signature.IsParam(name) {
			q.asked.add(pair)
		}
	}
}

// body reads the body as JSON, multipart or a form, whichever it looks like.
func (q *wanted) body(r *Request) {
	body := bytes.TrimPrefix(r.Body, byteOrderMark)
	signed := q.signed()
	if signed { // so that nothing in the body is of the signature
		q.asked.add(r.Body)
	}
	cut := shorter(r.Body, get(r.Header, headerContentLength))
	if q.settled() && len(body) > glanceBytes {
		body, cut = body[:glanceBytes], true
	}
	start := skipSpace(body, 0)
	switch {
	case start == len(body):
	case body[start] == '{':
		q.json(body[start:])
		if !signed {
			q.asked.add(body)
		}
	case bytes.HasPrefix(body[start:], dashes):
		eachPart(body[start:], func(name, value []byte) {
			p := q.place(name)
			if p != nil {
				q.offer(p, value, encodedNot)
			}
			if !signed && !signature.IsParam(name) {
				q.asked.addPart(name, value)
			}
		})
	case isForm(get(r.Header, headerContentType), body):
		asked := q.asked
		q.pairs(bytes.TrimRight(body[start:], "\r\n"), cut)
		if signed {
			q.asked = asked // which has the whole body
		}
	case !signed:
		q.asked.add(body)
	}
}

// shorter reports whether body is shorter than the Content-Length says.
func shorter(body, length []byte) bool {
	n := 0
	for _, c := range bytes.TrimSpace(length) {
		if c < '0' || c > '9' || n > 1<<40 {
			return false
		}
		n = 10*n + int(c-'0')
	}
	return n > len(body)
}

// isForm reports whether a body is read as a form: its Content-Type is that of a
// form, or it begins like one.
func isForm(contentType, body []byte) bool {
	media, _, _ := bytes.Cut(contentType, []byte{';'})
	if ascii.EqualFold(bytes.TrimSpace(media), "application/x-www-form-urlencoded") {
		return true
	}
	head := body[:min(len(body), 3*longestParam)]
	end := bytes.IndexByte(head, '=')
	for _, c := range head[:max(end, 0)] {
		if !isNameByte(c) && c != '%' && c != '&' {
			return false
		}
	}
	return end > 0
}

var dashes = []byte("--")

// eachPart calls f for the parts of a multipart form, without a part that is cut.
func eachPart(b []byte, f func(name, value []byte)) {
	if !bytes.HasPrefix(b, dashes) {
		return
	}
	boundary, rest, ok := cutLine(b)
	for ok && len(boundary) > len(dashes) {
		var name, line []byte
		for line, rest, ok = cutLine(rest); ok && len(line) > 0; line, rest, ok = cutLine(rest) {
			if header, value, _ := bytes.Cut(line, []byte{':'}); ascii.EqualFold(header, "content-disposition") {
				name = parameter(value, "name")
			}
		}
		end := bytes.Index(rest, boundary)
		if !ok || end < 0 {
			return
		}
		f(name, bytes.TrimRight(rest[:end], "\r\n"))
		_, rest, ok = cutLine(rest[end:])
	}
}

// cutLine cuts b after its first line, which is returned without its line end.
func cutLine(b []byte) (line, rest []byte, ok bool) {
	line, rest, ok = bytes.Cut(b, []byte{'\n'})
	return bytes.TrimSuffix(line, []byte{'\r'}), rest, ok
}

// json reads the parameters at the top of a JSON body.
func (q *wanted) json(b []byte) {
	s := scanner{b: b}
	if !s.enter('{') {
		return
	}
	var buf [maxKey]byte
	known := q.action.raw != nil // then an Action here is something else
	for key, ok := s.key(&buf); ok; key, ok = s.key(&buf) {
		p := q.place(key)
		if p == nil || p == &q.action && known {
			s.skip()
			continue
		}
		if v := s.scalar(); !v.cut {
			q.offer(p, v.raw, v.param().enc)
		}
	}
}
