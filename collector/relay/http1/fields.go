package http1

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// fieldNotes is what the fields of a request specify about framing, routing and
// the connection.
type fieldNotes struct {
	hosts, host   int // how many Host fields; index of the last
	codings       int // Transfer-Encoding fields
	expects       bool
	maxForwards   int64 // -1 without one
	badForwards   bool
	close         bool // Connection: close
	keepAlive     bool // Connection: keep-alive
	namesUpgrade  bool // in Connection
	namesSettings bool // HTTP2-Settings in Connection

	once                                once // which of these fields there are
	proxyConnection, proxyAuthorization bool // the field is there
	upgrade, h2c                        bool // Upgrade is there; it offers h2c
	settings                            int  // HTTP2-Settings fields
}

// once has a bit for each field that decides whether and how a request is carried
// out, and of which recipients read only one: not all of them the same.
type once uint8

const (
	onceAuthorization once = 1 << iota
	onceContentRange
	onceIfMatch
	onceIfNoneMatch
	onceIfModifiedSince
	onceIfUnmodifiedSince
	onceIfRange
)

// parseFields reads all field lines. Every line is known to end with CRLF.
func (q *Request) parseFields() error {
	mem, last := q.mem, q.end-2
	q.maxForwards = -1
	for at := q.line; at < last; {
		colon := at
		for isToken[mem[colon]] {
			colon++
		}
		switch {
		case isBlank(mem[at]):
			return errFold
		case colon == at || mem[colon] != ':':
			return errFieldName
		}
		value := colon + 1
		for isBlank(mem[value]) {
			value++
		}
		eol := skipText(mem, value)
		if mem[eol] != '\r' || mem[eol+1] != '\n' {
			return errFieldValue
		}
		end := eol
		for end > value && isBlank(mem[end-1]) {
			end--
		}
		kind, err := q.note(mem[at:colon], mem[colon+1:eol], mem[value:end])
		if err != nil {
			return err
		}
		q.add(at, colon, value, end).kind = kind
		at = eol + 2
	}
	return nil
}

// note records what a field specifies about framing, routing and the connection.
// raw is the value with the surrounding blanks: not all parsers trim tabs.
func (q *Request) note(name, raw, value []byte) (kind, error) {
	switch len(name) {
	case len("host"):
		if equalFold(name, "host") {
			if hasTab(raw) {
				return 0, errTab
			}
			q.hosts++
			q.host = len(q.fields)
		}
	case len("expect"):
		if equalFold(name, "expect") {
			if q.expects || hasTab(raw) || !equalFold(value, "100-continue") {
				return 0, errExpect
			}
			q.expects = true
		}
	case len("upgrade"):
		if equalFold(name, "upgrade") {
			q.upgrade = true
			for protocol := range listed(value, ',') {
				q.h2c = q.h2c || equalFold(protocol, "h2c")
			}
			return kindUpgrade, nil
		}
	case len("if-match"): // and if-range
		switch {
		case equalFold(name, "if-match"):
			return 0, q.noteOnce(onceIfMatch)
		case equalFold(name, "if-range"):
			return 0, q.noteOnce(onceIfRange)
		}
	case len("connection"):
		if equalFold(name, "connection") {
			return kindConnection, q.noteOptions(value)
		}
	case len("max-forwards"):
		if equalFold(name, "max-forwards") {
			n, ok := number(value)
			q.badForwards = !ok || q.maxForwards >= 0 // which it is after the first
			q.maxForwards = n
		}
	case len("authorization"): // and content-range, if-none-match
		switch {
		case equalFold(name, "authorization"):
			return 0, q.noteOnce(onceAuthorization)
		case equalFold(name, "content-range"):
			return 0, q.noteOnce(onceContentRange)
		case equalFold(name, "if-none-match"):
			return 0, q.noteOnce(onceIfNoneMatch)
		}
	case len("content-length"): // and http2-settings
		switch {
		case equalFold(name, "content-length"):
			if hasTab(raw) {
				return 0, errTab
			}
			return 0, q.noteLength(value)
		case equalFold(name, "http2-settings"):
			q.settings++
			return kindSettings, nil
		}
	case len("proxy-connection"):
		if equalFold(name, "proxy-connection") {
			q.proxyConnection = true
			return kindProxyConnection, nil
		}
	case len("transfer-encoding"): // and if-modified-since
		switch {
		case equalFold(name, "transfer-encoding"):
			if hasTab(raw) {
				return 0, errTab
			}
			q.codings++
			q.chunked = equalFold(value, "chunked")
		case equalFold(name, "if-modified-since"):
			return 0, q.noteOnce(onceIfModifiedSince)
		}
	case len("proxy-authorization"): // and if-unmodified-since
		switch {
		case equalFold(name, "proxy-authorization"):
			q.proxyAuthorization = true
			return kindProxyAuthorization, nil
		case equalFold(name, "if-unmodified-since"):
			return 0, q.noteOnce(onceIfUnmodifiedSince)
		}
	}
	return kindOther, nil
}

func (q *Request) noteOnce(field once) error {
	if q.once&field != 0 {
		return errRepeated
	}
	q.once |= field
	return nil
}

func hasTab(b []byte) bool { return bytes.IndexByte(b, '\t') >= 0 }

func (q *Request) noteLength(value []byte) error {
	n, ok := number(value)
	switch {
	case q.length >= 0:
		return errLengths
	case !ok, value[0] == '0' && len(value) > 1:
		return errLength
	}
	q.length = n
	return nil
}

// noteOptions reads a Connection field. Options that are the names of fields
// that are not for one connection are refused: a recipient would drop them.
func (q *Request) noteOptions(value []byte) error {
	for option := range listed(value, ',') {
		switch {
		case len(option) == 0:
		case equalFold(option, "close"):
			q.close = true
		case equalFold(option, "keep-alive"):
			q.keepAlive = true
		case equalFold(option, "upgrade"):
			q.namesUpgrade = true
		case equalFold(option, "http2-settings"):
			q.namesSettings = true
		case !allToken(option):
			return errConnection
		case isEndToEnd(option):
			return errEndToEnd
		}
	}
	return nil
}

// check checks that the fields do not contradict each other.
func (q *Request) check() error {
	method := q.Method()
	trace := string(method) == "TRACE"
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
	case q.codings > 0 && !q.chunked:
		return errCoding
	case (q.Form == FormAuthority || trace) && (q.length > 0 || q.chunked):
		return errNoBody
	case q.minor == 0 && q.length > 0 && ignoresBody(method):
		return errBodyIn10
	case q.halfOffer():
		return errHalfOffer
	}
	if q.hosts > 0 {
		if name, _, ok := hostname.SplitAuthority(q.Host()); !ok || len(name) == 0 {
			return errHost
		}
	}
	// Other methods may ignore Max-Forwards (RFC 9110, 7.6.2). Its value is
	// forwarded unchanged; at 0, the request must not be forwarded.
	if trace || string(method) == "OPTIONS" {
		switch {
		case q.badForwards:
			return errMaxForwards
		case q.maxForwards == 0:
			return errNoForward
		}
	}
	return nil
}

// ignoresBody reports whether servers of HTTP/1.0 may take the body of a request of
// that method for the next request (RFC 1945, 7.2 and 8).
func ignoresBody(method []byte) bool {
	switch string(method) {
	case "GET", "HEAD", "DELETE":
		return true
	}
	return false
}

// halfOffer reports whether there are some, but not all parts of an offer to
// upgrade to HTTP/2 (RFC 7540, 3.2).
func (q *Request) halfOffer() bool {
	if !q.h2c && !q.namesSettings && q.settings == 0 {
		return false
	}
	return !q.h2c || !q.namesUpgrade || !q.namesSettings || q.settings != 1
}

// longestName is longer than the names that isEndToEnd and isForbiddenTrailer compare
// with, so that none equals the beginning of a name that is longer still.
const longestName = 24

// isEndToEnd reports whether a field of that name frames, routes, authorizes or
// describes the message, so that it cannot be meant for one connection only.
func isEndToEnd(name []byte) bool {
	var buf [longestName]byte
	n := copy(buf[:], name)
	for i, c := range buf[:n] {
		buf[i] = lower(c)
	}
	switch string(buf[:n]) {
	case "host", "transfer-encoding", "expect", "max-forwards",
		"authorization", "cookie", "cookie2", "date",
		"cache-control", "pragma", "range", "accept", "user-agent", "origin", "referer",
		"forwarded", "via", "x-real-ip",
		"x-http-method", "x-http-method-override", "x-method-override",
		"x-original-url", "x-rewrite-url":
		return true
	}
	for _, prefix := range endToEndPrefixes {
		if bytes.HasPrefix(buf[:n], prefix) {
			return true
		}
	}
	return false
}

var endToEndPrefixes = [][]byte{
	[]byte("content-"), []byte("if-"), []byte("accept-"), []byte("x-forwarded-"), []byte("x-amz-"), []byte("x-ksc-"),
}

// isForbiddenTrailer reports whether a field of that name must not be a trailer
// (RFC 9110, 6.5.1).
func isForbiddenTrailer(name []byte) bool {
	switch {
	case equalFold(name, "content-digest"), equalFold(name, "content-md5"): // RFC 9530
		return false
	case equalFold(name, "connection"), equalFold(name, "keep-alive"), equalFold(name, "te"),
		equalFold(name, "trailer"), equalFold(name, "upgrade"), equalFold(name, "http2-settings"),
		equalFold(name, "set-cookie"), len(name) >= len("proxy-") && equalFold(name[:len("proxy-")], "proxy-"):
		return true
	}
	return isEndToEnd(name)
}
