package http1

import (
	"bytes"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

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
	// TLS is set if an absolute-form target began with "https".
	TLS bool

	// Offsets from the start of the request line.
	method    int    // end of the method
	target    [2]int // as it is passed on
	authority [2]int // of absolute and authority form
	bare      bool   // absolute form without a path

	fieldNotes
	closes bool // Prepare dropped Connection: close
}

// Method returns the method as it came.
func (q *Request) Method() []byte { return q.mem[q.start : q.start+q.method] }

// Version returns the version: "HTTP/1.1" or "HTTP/1.0".
func (q *Request) Version() []byte { return q.mem[q.start+q.target[1]+1 : q.line-2] }

// Target returns the target; of an absolute-form target, what follows the
// authority, which may be empty until the request is prepared.
func (q *Request) Target() []byte { return q.mem[q.start+q.target[0] : q.start+q.target[1]] }

// Authority returns the host, with the port if there is one, of an absolute-
// or authority-form target. It is overwritten when the request is prepared.
func (q *Request) Authority() []byte { return q.mem[q.start+q.authority[0] : q.start+q.authority[1]] }

// Host returns the value of the Host field, nil without one.
func (q *Request) Host() []byte {
	if q.hosts == 0 {
		return nil
	}
	return q.value(&q.fields[q.host])
}

// Length returns the Content-Length, -1 without one.
func (q *Request) Length() int64 { return q.length }

// Expects reports whether the client waits for a 100 Continue.
func (q *Request) Expects() bool { return q.expects && q.minor == 1 }

// HopByHop reports whether Prepare drops a field that it passes on if keep
// names it.
func (q *Request) HopByHop() bool { return q.proxyConnection || q.upgrade }

// Persists reports whether the client is ready to keep its connection open after the
// exchange (RFC 9112, 9.3).
func (q *Request) Persists() bool { return !q.close && (q.minor == 1 || q.keepAlive) }

// Close reports whether the client asked to close the connection after the
// exchange, and Prepare dropped the field that says so.
func (q *Request) Close() bool { return q.closes }

// Body returns the framing of the body that follows the head.
func (q *Request) Body() Body {
	if q.chunked {
		return Body{kind: bodyChunked}
	}
	return Body{kind: bodyLength, left: max(q.length, 0), Done: q.length <= 0}
}

// Reset clears the head and keeps memory for reuse.
func (q *Request) Reset() {
	fields := q.memory()
	*q = Request{}
	q.fields, q.length = fields, -1
}

// Parse reads the head at mem[start:end], which is what ScanRequest found. A
// *RefusalError is returned for a request that two readers could understand
// differently, and for one that must not be forwarded.
func (q *Request) Parse(mem []byte, start, end int) error {
	q.Reset()
	q.mem, q.start, q.end = mem, start, end
	q.line = start + bytes.IndexByte(mem[start:end], '\n') + 1
	if err := q.parseRequestLine(mem[start : q.line-2]); err != nil {
		return err
	}
	if err := q.parseFields(); err != nil {
		return err
	}
	return q.check()
}

func (q *Request) parseRequestLine(line []byte) error {
	const version = len(" HTTP/1.1")
	n := 0
	for n < len(line) && isToken[line[n]] {
		n++
	}
	switch {
	case n == len(line):
		return errRequestLine
	case n == 0 || line[n] != ' ':
		return errMethod
	case string(line[:n]) == "PRI":
		return errPreface
	case len(line) < n+1+version:
		return errRequestLine
	}
	q.method = n
	at := len(line) - version
	switch string(line[at:]) {
	case " HTTP/1.1":
		q.minor = 1
	case " HTTP/1.0":
	default:
		return errVersion
	}
	target := line[n+1 : at]
	if len(target) == 0 || !isAllTarget(target) {
		return errTarget
	}
	q.target = [2]int{n + 1, at}
	return q.parseTarget(target)
}

// isTarget has the characters of a target: visible ASCII. Clients send some that
// are not allowed in a URI, and all servers accept them. Not so a fragment, which
// only some servers cut off.
var isTarget = func() (is [256]bool) {
	for c := '!'; c <= '~'; c++ {
		is[c] = c != '#'
	}
	return is
}()

func (q *Request) parseTarget(target []byte) error {
	if string(q.Method()) == "CONNECT" {
		q.Form = FormAuthority
		q.authority = q.target
		if _, port, ok := hostname.SplitAuthority(target); !ok || port == 0 {
			return errTarget
		}
		return nil
	}
	if target[0] == '/' {
		return checkPath(target)
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
	case len(target) > len("http://") && equalFold(target[:len("http://")], "http://"):
		scheme = len("http://")
	case len(target) > len("https://") && equalFold(target[:len("https://")], "https://"):
		scheme = len("https://")
		q.TLS = true
	default:
		return errTarget
	}
	n := bytes.IndexAny(target[scheme:], "/?")
	if n < 0 {
		n = len(target) - scheme
	}
	if host, _, ok := hostname.SplitAuthority(target[scheme : scheme+n]); !ok || len(host) == 0 {
		return errTarget
	}
	q.authority = [2]int{q.target[0] + scheme, q.target[0] + scheme + n}
	q.target[0] = q.authority[1]
	q.bare = n == len(target)-scheme || target[scheme+n] != '/'
	return checkPath(target[scheme+n:])
}

// checkPath refuses the paths that servers read in different ways: those with a
// malformed escape, an escaped NUL, or segments that lead above the root. rest begins
// with the path, and may go on with a query, of which only the upstream knows the form.
func checkPath(rest []byte) error {
	depth, length, dots := 0, 0, 0 // of segments; of the last segment, and how many dots of it
	for i := 0; ; i++ {
		end := i == len(rest) || rest[i] == '?'
		var c byte
		if !end {
			c = rest[i]
		}
		if c == '%' {
			if len(rest) < i+3 || !isHex(rest[i+1]) || !isHex(rest[i+2]) {
				return errEscape
			}
			if c = unhex(rest[i+1])<<4 | unhex(rest[i+2]); c == 0 {
				return errEscape
			}
			i += 2
		}
		switch {
		case !end && c != '/':
			length++
			if c == '.' {
				dots++
			}
			continue
		case dots == 2 && length == 2:
			depth--
		case length > 1 || length == 1 && dots == 0:
			depth++
		}
		if depth < 0 {
			return errAboveRoot
		}
		if end {
			return nil
		}
		length, dots = 0, 0
	}
}

// Prepare turns the head into the one that is forwarded, with an origin-form
// target and without
//   - Proxy-Authorization, which contains a secret not meant for the upstream,
//   - Proxy-Connection, unless keep names it,
//   - an offer to upgrade: Upgrade, HTTP2-Settings and Connection, if there is
//     an Upgrade field, unless keep names one of the three.
//
// keep is a list of field names separated by semicolons: those that a signature
// covers.
func (q *Request) Prepare(keep []byte) {
	q.drop(keep)
	q.toOrigin()
}

// drop removes fields. What stays before a removed field moves towards the end,
// so that head and body remain in one piece.
func (q *Request) drop(keep []byte) {
	if !q.proxyConnection && !q.proxyAuthorization && !q.upgrade {
		return
	}
	keepConnection, keepOffer := kept(keep)
	drop := func(k kind) bool {
		switch k {
		case kindProxyAuthorization:
			return true
		case kindProxyConnection:
			return !keepConnection
		case kindConnection, kindUpgrade, kindSettings:
			return q.upgrade && !keepOffer
		}
		return false
	}
	q.closes = q.close && drop(kindConnection)

	gap, stay, fieldEnd := 0, len(q.fields), q.end-2
	for i, f := range slices.Backward(q.fields) {
		start, end := int(f.line), fieldEnd
		fieldEnd = start
		if drop(f.kind) {
			gap += end - start
			continue
		}
		if gap > 0 {
			copy(q.mem[start+gap:], q.mem[start:end])
			f.shift(gap)
		}
		stay--
		q.fields[stay] = f
		if i == q.host {
			q.host = stay
		}
	}
	q.fields = q.fields[:copy(q.fields, q.fields[stay:])]
	q.host -= stay
	copy(q.mem[q.start+gap:], q.mem[q.start:q.line])
	q.start += gap
	q.line += gap
}

// kept reports what of the fields that may be dropped keep names.
func kept(keep []byte) (proxyConnection, offer bool) {
	for name := range listed(keep, ';') {
		switch {
		case equalFold(name, "proxy-connection"):
			proxyConnection = true
		case equalFold(name, "connection"), equalFold(name, "upgrade"), equalFold(name, "http2-settings"):
			offer = true
		}
	}
	return proxyConnection, offer
}

// toOrigin turns an absolute-form request line into the origin-form one, in
// place: the method moves up to the path.
func (q *Request) toOrigin() {
	if q.Form != FormAbsolute {
		return
	}
	if q.bare {
		q.target[0]--
		q.mem[q.start+q.target[0]] = '/'
		if q.target[1]-q.target[0] == 1 && string(q.Method()) == "OPTIONS" {
			q.mem[q.start+q.target[0]] = '*' // RFC 9112, 3.2.4
		}
	}
	by := q.target[0] - q.method - 1
	copy(q.mem[q.start+by:], q.mem[q.start:q.start+q.method+1])
	q.start += by
	for _, offset := range []*int{&q.target[0], &q.target[1], &q.authority[0], &q.authority[1]} {
		*offset -= by
	}
}

// Proxied returns the request line for a proxy that forwards the request to
// origin, and the field with its credentials if authorization is not empty. The
// request is to be prepared.
func (q *Request) Proxied(origin, authorization string) []byte {
	line := append([]byte(nil), q.mem[q.start:q.start+q.method+1]...)
	line = append(line, origin...)
	target := q.Target()
	if string(target) == "*" {
		target = nil // RFC 9112, 3.2.4
	}
	line = append(line, target...)
	line = append(line, q.mem[q.start+q.target[1]:q.line]...)
	if authorization != "" {
		line = append(line, "Proxy-Authorization: "+authorization+"\r\n"...)
	}
	return line
}
