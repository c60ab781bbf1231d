package http1

import "bytes"

// Form is the form of a request target (RFC 9112, 3.2).
type Form uint8

// The forms.
const (
	FormOrigin    Form = iota // "/path?query"
	FormAbsolute              // "http://host/path?query"
	FormAuthority             // "host:port", of CONNECT
	FormAsterisk              // "*", of OPTIONS
)

// Request is the head of a request.
type Request struct {
	Head
	Form Form
	// TLS tells that an absolute-form target began with "https".
	TLS bool

	method    int    // its length
	target    [2]int // as it is passed on
	authority [2]int // of absolute and authority form
	bare      bool   // absolute form without a path
}

// Method returns the method as it came.
func (q *Request) Method() []byte { return q.mem[q.start : q.start+q.method] }

// Version returns the version: "HTTP/1.1" or "HTTP/1.0".
func (q *Request) Version() []byte { return q.mem[q.target[1]+1 : q.line-2] }

// Target returns the target; of an absolute-form target, what follows the
// authority, which may be empty until the request is sent.
func (q *Request) Target() []byte { return q.mem[q.target[0]:q.target[1]] }

// Authority returns the host, with the port if there is one, of an absolute-
// or authority-form target. It is overwritten when the request is sent.
func (q *Request) Authority() []byte { return q.mem[q.authority[0]:q.authority[1]] }

// Host returns the value of the Host field, nil without one.
func (q *Request) Host() []byte {
	if q.hosts == 0 {
		return nil
	}
	return q.mem[q.host[0]:q.host[1]]
}

// Reset forgets the head, but for memory to be used again.
func (q *Request) Reset() {
	q.Head.Reset()
	*q = Request{Head: q.Head}
}

// Rebase makes q a view of mem, where everything lies moved bytes further on.
func (q *Request) Rebase(mem []byte, moved int) {
	q.Head.Rebase(mem, moved)
	q.target[0] += moved
	q.target[1] += moved
	q.authority[0] += moved
	q.authority[1] += moved
}

// Parse reads the head at mem[start:end], which ends with its empty line.
func (q *Request) Parse(mem []byte, start, end int) error {
	q.Reset()
	line := q.startLine(mem, start, end)
	if err := q.parseRequestLine(line); err != nil {
		return err
	}
	if err := q.parseFields(); err != nil {
		return err
	}
	return q.check()
}

func (q *Request) parseRequestLine(line []byte) error {
	const version = len(" HTTP/1.1")
	for q.method < len(line) && isToken[line[q.method]] {
		q.method++
	}
	switch {
	case q.method == len(line):
		return ErrRequestLine
	case q.method == 0 || line[q.method] != ' ':
		return errMethod
	case len(line) < q.method+1+version:
		return ErrRequestLine
	}
	at := len(line) - version
	switch string(line[at:]) {
	case " HTTP/1.1":
		q.minor = 1
	case " HTTP/1.0":
	default:
		return errVersion
	}
	target := line[q.method+1 : at]
	if len(target) == 0 {
		return errTarget
	}
	for _, c := range target {
		if c <= ' ' || c == 0x7f {
			return errTarget
		}
	}
	q.target = [2]int{q.start + q.method + 1, q.start + at}
	return q.parseTarget(target)
}

func (q *Request) parseTarget(target []byte) error {
	if string(q.Method()) == "CONNECT" {
		q.Form = FormAuthority
		q.authority = q.target
		if _, port, ok := SplitAuthority(target); !ok || port == 0 {
			return errTarget
		}
		return nil
	}
	if target[0] == '/' {
		return nil
	}
	if string(target) == "*" {
		q.Form = FormAsterisk
		if string(q.Method()) != "OPTIONS" {
			return errTarget
		}
		return nil
	}

	q.Form = FormAbsolute
	var scheme int
	switch {
	case len(target) > len("http://") && foldEqual(target[:len("http://")], "http://"):
		scheme = len("http://")
	case len(target) > len("https://") && foldEqual(target[:len("https://")], "https://"):
		scheme = len("https://")
		q.TLS = true
	default:
		return errTarget
	}
	n := bytes.IndexAny(target[scheme:], "/?#")
	if n < 0 {
		n = len(target) - scheme
	}
	if host, _, ok := SplitAuthority(target[scheme : scheme+n]); !ok || len(host) == 0 {
		return errTarget
	}
	q.authority = [2]int{q.target[0] + scheme, q.target[0] + scheme + n}
	q.target[0] = q.authority[1]
	q.bare = q.target[0] == q.target[1] || q.mem[q.target[0]] != '/'
	return nil
}

// check holds the fields against each other.
func (q *Request) check() error {
	switch {
	case q.hosts > 1:
		return errHosts
	case q.hosts == 0 && q.minor == 1:
		return errNoHost
	case q.codings > 0 && q.length >= 0:
		return errBothFramings
	case q.codings > 0 && q.minor == 0:
		return errCodingIn10
	case q.codings > 1:
		return errCodings
	case q.foreign:
		return errCoding
	case q.Form == FormAuthority && (q.length > 0 || q.codings > 0):
		return errConnectBody
	}
	if host := q.Host(); len(host) > 0 {
		if name, _, ok := SplitAuthority(host); !ok || len(name) == 0 {
			return errHost
		}
	}
	if q.markOptions() {
		return errHopFraming
	}
	return nil
}

// Body returns the framing of the body that follows the head.
func (q *Request) Body() Body {
	if q.chunked {
		return Body{kind: bodyChunked}
	}
	return Body{kind: bodyLength, left: max(q.length, 0), Done: q.length <= 0}
}

// Persistent reports whether the client may send another request, by what it
// says itself.
func (q *Request) Persistent() bool { return q.minor == 1 && !q.close }

// Close reports whether the client asked for the end of the connection in a
// field that is not passed on.
func (q *Request) Close() bool { return q.close }

// Length returns the Content-Length, -1 without one.
func (q *Request) Length() int64 { return q.length }

// Expects reports whether the client waits for a 100 Continue.
func (q *Request) Expects() bool { return q.expect }

// Prepare makes the head what is passed on: without the fields that are for a
// proxy alone, but for those named in keep, and with an origin-form target.
func (q *Request) Prepare(keep []byte) {
	start := q.start
	q.strip(keep)
	moved := q.start - start
	q.target[0] += moved
	q.target[1] += moved
	q.toOrigin()
}

// toOrigin turns an absolute-form request line into the origin-form one, in
// place: the method moves up to the path.
func (q *Request) toOrigin() {
	if q.Form != FormAbsolute {
		return
	}
	if q.bare {
		q.target[0]--
		q.mem[q.target[0]] = '/'
		if q.target[1]-q.target[0] == 1 && string(q.Method()) == "OPTIONS" {
			q.mem[q.target[0]] = '*' // RFC 9112, 3.2.4
		}
	}
	start := q.target[0] - q.method - 1
	copy(q.mem[start:], q.mem[q.start:q.start+q.method+1])
	q.start = start
}

// proxied returns the request line, once the head was prepared, and the field
// that a proxy wants besides.
func (q *Request) Proxied(origin, authorization string) []byte {
	line := append([]byte(nil), q.mem[q.start:q.start+q.method+1]...)
	line = append(line, origin...)
	target := q.Target()
	if string(target) == "*" {
		target = nil // RFC 9112, 3.2.4
	}
	line = append(line, target...)
	line = append(line, q.mem[q.target[1]:q.line]...)
	if authorization != "" {
		line = append(line, "Proxy-Authorization: "+authorization+"\r\n"...)
	}
	return line
}

// SplitAuthority splits "host", "host:port", "[v6]" or "[v6]:port"; port is 0
// where none is given. Neither user information nor percent-encoding is taken,
// nor anything else that is not spelled the same everywhere.
func SplitAuthority(b []byte) (host []byte, port uint16, ok bool) {
	host = b
	var rest []byte
	if len(b) > 0 && b[0] == '[' {
		i := bytes.IndexByte(b, ']')
		if i < 0 {
			return nil, 0, false
		}
		host, rest = b[1:i], b[i+1:]
		for _, c := range host {
			if c != ':' && c != '.' && !isHex(c) {
				return nil, 0, false
			}
		}
	} else {
		if i := bytes.IndexByte(b, ':'); i >= 0 {
			host, rest = b[:i], b[i:]
		}
		for _, c := range host {
			if c != '.' && c != '-' && c != '_' && !isAlnum(c) {
				return nil, 0, false
			}
		}
	}
	if len(host) > 255 {
		return nil, 0, false
	}
	if len(rest) <= 1 {
		return host, 0, len(rest) == 0 || rest[0] == ':'
	}
	if rest[0] != ':' || len(rest) > len(":65535") {
		return nil, 0, false
	}
	n := 0
	for _, c := range rest[1:] {
		if c < '0' || c > '9' {
			return nil, 0, false
		}
		n = n*10 + int(c-'0')
	}
	if n == 0 || n > 65535 {
		return nil, 0, false
	}
	return host, uint16(n), true
}

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'f'
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'z'
}
