// Package savedhttp reads HTTP/1 messages that somebody saved: a request as it was on
// the wire, or as curl -v printed it, with the response; and a response as curl -i
// printed it.
package savedhttp

import (
	"bytes"
	"errors"
	"io"
	"iter"
	"net/http"
	"net/http/httputil"
	"strconv"
	"strings"
)

// Exchange is what was saved.
type Exchange struct {
	Request  Request
	Response *Response // nil without one
}

// Request is a saved request. What is missing of it is "".
type Request struct {
	Method string
	Target string
	Fields Fields
	Body   []byte
	// Whole reports that Body is all of the body, which may be none.
	Whole bool
}

// Response is the head of a saved response, and as much of its body as was saved.
type Response struct {
	Status int
	Fields Fields
	Body   []byte
}

// Field is one field of a head.
type Field struct{ Name, Value string }

// Fields are the fields of a head in their order. They implement
// classify.Header.
type Fields []Field

// Get returns the value of the first field of that name, compared without case,
// or nil.
func (f Fields) Get(name string) []byte {
	for _, one := range f {
		if strings.EqualFold(one.Name, name) {
			return []byte(one.Value)
		}
	}
	return nil
}

// Fields yields name and value of every field.
func (f Fields) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, one := range f {
			if !yield([]byte(one.Name), []byte(one.Value)) {
				return
			}
		}
	}
}

// ErrNoRequest is returned for data in which there is no request.
var ErrNoRequest = errors.New("there is no HTTP/1 request in it: it begins with a line such as \"GET /?Action=... HTTP/1.1\", or \"> GET ...\" where curl -v printed it")

// Parse reads a saved request, its lines ended by LF or CRLF. Of what curl -v
// printed it takes the last request that is no CONNECT, and the response to it;
// curl does not print the body that it sends.
func Parse(data []byte) (*Exchange, error) {
	if x := parseCurl(data); x != nil {
		return x, nil
	}
	head, body := splitHead(data)
	q, ok := request(head)
	if !ok {
		return nil, ErrNoRequest
	}
	q.setBody(body)
	return &Exchange{Request: *q}, nil
}

// splitHead cuts a message into the lines of its head and its body.
func splitHead(data []byte) (head []string, body []byte) {
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		data = rest
		line = bytes.TrimSuffix(line, []byte{'\r'})
		switch {
		case len(line) == 0 && head == nil:
			continue // blank lines before a request are passed over
		case len(line) == 0:
			return head, data
		}
		head = append(head, string(line))
	}
	return head, nil
}

// request reads a request's head.
func request(head []string) (*Request, bool) {
	if len(head) == 0 {
		return nil, false
	}
	parts := strings.Split(head[0], " ")
	if len(parts) != 3 || !strings.HasPrefix(parts[2], "HTTP/") || !isMethod(parts[0]) || parts[1] == "" {
		return nil, false
	}
	return &Request{Method: parts[0], Target: parts[1], Fields: fields(head[1:])}, true
}

func isMethod(s string) bool {
	return s != "" && strings.IndexFunc(s, func(r rune) bool { return r < 'A' || r > 'Z' }) < 0
}

// fields reads the lines of fields; what is none is passed over.
func fields(lines []string) Fields {
	var all Fields
	for _, line := range lines {
		name, value, ok := strings.Cut(line, ":")
		if !ok || name == "" || strings.ContainsAny(name, " \t") {
			continue
		}
		all = append(all, Field{name, strings.Trim(value, " \t")})
	}
	return all
}

// setBody takes the body from what follows the head, and leaves out what an
// editor added.
func (q *Request) setBody(rest []byte) {
	if q.Fields.chunked() {
		body, err := joinChunks(rest)
		q.Body, q.Whole = body, err == nil
		return
	}
	n, err := strconv.Atoi(string(q.Fields.Get("Content-Length")))
	switch {
	case err != nil || n < 0:
		q.Whole = len(bytes.TrimSpace(rest)) == 0
		if !q.Whole {
			q.Body = rest
		}
	case len(rest) >= n:
		q.Body, q.Whole = rest[:n], true
	default:
		q.Body = rest
	}
}

// parseCurl reads what curl -v printed; nil if it is something else.
func parseCurl(data []byte) *Exchange {
	var last, one transcript
	for len(data) > 0 {
		line, rest, _ := bytes.Cut(data, []byte{'\n'})
		whole := data[:len(data)-len(rest)]
		data = rest
		switch mark, content := cutMark(strings.TrimSuffix(string(line), "\r")); mark {
		case '>':
			if one.sent != nil && one.headDone && content != "" {
				one = transcript{} // another request begins
			}
			one.send(content)
		case '<':
			one.receive(content)
		case '*', '{', '}':
		default:
			if one.received != nil {
				one.body = append(one.body, whole...)
			}
		}
		if q, ok := request(one.sent); ok && q.Method != http.MethodConnect {
			last = one
		}
	}
	q, ok := request(last.sent)
	if !ok {
		return nil
	}
	length := string(q.Fields.Get("Content-Length"))
	q.Whole = (length == "" || length == "0") && q.Fields.Get("Transfer-Encoding") == nil
	return &Exchange{Request: *q, Response: last.response()}
}

// transcript is what curl -v printed of one exchange.
type transcript struct {
	sent, received []string // the lines of the heads
	headDone       bool     // the request's
	body           []byte   // the response's
}

// send adds a line of the request's head, which an empty one ends.
func (t *transcript) send(line string) {
	if line == "" {
		t.headDone = t.sent != nil
		return
	}
	t.sent = append(t.sent, line)
}

// receive adds a line of the response's head. An interim response goes before.
func (t *transcript) receive(line string) {
	if strings.HasPrefix(line, "HTTP/") {
		t.received, t.body = nil, nil
	}
	if line != "" {
		t.received = append(t.received, line)
	}
}

// response returns the response, or nil.
func (t *transcript) response() *Response {
	if len(t.received) == 0 {
		return nil
	}
	return response(t.received, t.body)
}

// response reads a response's head; nil if it is something else.
func response(head []string, body []byte) *Response {
	parts := strings.Fields(head[0])
	if len(parts) < 2 || !strings.HasPrefix(parts[0], "HTTP/") {
		return nil
	}
	status, err := strconv.Atoi(parts[1])
	if err != nil || status < 100 || status > 999 {
		return nil
	}
	return &Response{Status: status, Fields: fields(head[1:]), Body: body}
}

// ParseResponse reads a whole response, its lines ended by LF or CRLF, and its body
// chunked or not. Of what curl -i printed it takes the last response: those before are
// interim ones, a proxy's to CONNECT, and redirects. It returns nil for other data, such
// as a body alone.
func ParseResponse(data []byte) (last *Response) {
	for bytes.HasPrefix(data, []byte("HTTP/")) {
		head, body := splitHead(data)
		r := response(head, body)
		if r == nil {
			break
		}
		last, data = r, body
		// A response before the last one has a body only if it has a length.
		if n, err := strconv.Atoi(string(r.Fields.Get("Content-Length"))); err == nil && 0 < n && n < len(body) {
			data = body[n:]
		}
	}
	if last != nil && last.Fields.chunked() {
		// A body that curl has joined is not chunked any more.
		if body, err := joinChunks(last.Body); err == nil || len(body) > 0 {
			last.Body = body
		}
	}
	return last
}

func (f Fields) chunked() bool {
	return strings.EqualFold(string(f.Get("Transfer-Encoding")), "chunked")
}

func joinChunks(body []byte) ([]byte, error) {
	return io.ReadAll(httputil.NewChunkedReader(bytes.NewReader(body)))
}

// cutMark cuts the mark off that curl puts before what is no body.
func cutMark(line string) (mark byte, content string) {
	switch {
	case line == "", !strings.Contains("><*{}", line[:1]):
		return 0, line
	case len(line) == 1:
		return line[0], ""
	case line[1] != ' ':
		return 0, line
	}
	return line[0], line[2:]
}
