package http1

import (
	"bytes"
	"iter"
	"slices"
)

// RefusalError is why a request cannot be relayed. It is an error whose text may be
// shown to the program: it quotes nothing of the request.
type RefusalError struct {
	Status int // 400, 413, 431 or 501
	Reason string
}

func (r *RefusalError) Error() string { return r.Reason }

func malformed(reason string) *RefusalError { return &RefusalError{400, reason} }

var (
	errBareLF       = malformed("a line of the head ends without CR")
	errNotHTTP      = malformed("this is not HTTP/1.1")
	errTLS          = malformed("this is TLS, sent to a port that speaks plain HTTP")
	ErrRequestLine  = malformed("the request line is malformed")
	errMethod       = malformed("the method is not a token")
	errTarget       = malformed("the request target is malformed")
	errVersion      = malformed("the HTTP version is neither 1.0 nor 1.1")
	errFold         = malformed("a field is folded over several lines")
	errFieldName    = malformed("a field name is not a token followed by a colon")
	errFieldValue   = malformed("a field value holds a control character")
	errLength       = malformed("Content-Length is not one decimal number")
	errLengths      = malformed("there is more than one Content-Length")
	errBothFramings = malformed("there are both Content-Length and Transfer-Encoding")
	errCodingIn10   = malformed("Transfer-Encoding does not exist in HTTP/1.0")
	errCodings      = malformed("there is more than one Transfer-Encoding")
	errNoHost       = malformed("the Host field is missing")
	errHosts        = malformed("there is more than one Host field")
	errHost         = malformed("the Host field is malformed")
	errConnectBody  = malformed("a CONNECT has a body")
	errHopFraming   = malformed("the Connection field names a field that frames or routes the message")
	errStatusLine   = malformed("the status line is malformed")
	ErrBodyTooLarge = &RefusalError{413, "the body is too large to be signed anew"}
	ErrHeadTooLarge = &RefusalError{431, "the head is too large"}
	errCoding       = &RefusalError{501, "the transfer coding is not chunked"}
)

// field is one field line, as offsets into the head's memory.
type field struct {
	line, colon, value, valueEnd, end int
	hop                               bool // hop-by-hop: not passed on
}

// Head is the head of a message: start line and fields. It is a view of the
// memory the message was read into and lasts as long as the exchange.
type Head struct {
	mem    []byte // everything offsets refer to
	start  int    // of the start line
	line   int    // end of the start line, CRLF included
	end    int    // of the empty line
	fields []field
	framing
}

// framing is what the fields say on the message's length and connection.
type framing struct {
	minor     byte  // of the version: 0 or 1
	length    int64 // Content-Length; -1 without one
	chunked   bool
	codings   int // Transfer-Encoding fields
	foreign   bool
	hosts     int
	host      [2]int // value of the Host field
	close     bool   // Connection: close
	keepAlive bool   // Connection: keep-alive
	options   bool   // Connection names further fields
	hop       bool   // a hop-by-hop field is there
	expect    bool   // Expect: 100-continue
}

// Bytes returns the head as it is passed on.
func (h *Head) Bytes() []byte { return h.mem[h.start:h.end] }

// Start returns the offset of the start line in the memory that was parsed.
func (h *Head) Start() int { return h.start }

// Rest returns the offset of what follows the start line.
func (h *Head) Rest() int { return h.line }

// End returns the offset of what follows the head.
func (h *Head) End() int { return h.end }

// Chunked reports whether the body comes in chunks.
func (h *Head) Chunked() bool { return h.chunked }

// Get returns the value of the first field of that name, compared without
// case, or nil. The bytes are not to be changed or kept. A hop-by-hop field
// that is not passed on cannot be got once the request was sent.
func (h *Head) Get(name string) []byte {
	for i := range h.fields {
		f := &h.fields[i]
		if f.colon-f.line == len(name) && foldEqual(h.mem[f.line:f.colon], name) {
			return h.mem[f.value:f.valueEnd:f.valueEnd]
		}
	}
	return nil
}

// Fields yields name and value of every field that is not hop-by-hop, in order.
// The bytes are not to be changed or kept.
func (h *Head) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := range h.fields {
			f := &h.fields[i]
			if !f.hop && !yield(h.mem[f.line:f.colon], h.mem[f.value:f.valueEnd]) {
				return
			}
		}
	}
}

// HopByHop reports whether the head has a hop-by-hop field.
func (h *Head) HopByHop() bool { return h.hop }

// Reset forgets the head, but for memory to be used again.
func (h *Head) Reset() {
	const keptFields = 128 // of a foreign head with thousands, the memory is let go
	fields := h.fields[:0]
	if cap(fields) > keptFields {
		fields = nil
	}
	*h = Head{fields: fields, framing: framing{length: -1}}
}

// Rebase makes h a view of mem, where everything lies moved bytes further on.
func (h *Head) Rebase(mem []byte, moved int) {
	h.mem = mem
	h.start += moved
	h.line += moved
	h.end += moved
	h.host[0] += moved
	h.host[1] += moved
	for i := range h.fields {
		h.fields[i].shift(moved)
	}
}

func (f *field) shift(by int) {
	f.line += by
	f.colon += by
	f.value += by
	f.valueEnd += by
	f.end += by
}

// FindEnd looks for the empty line that ends the head at the start of b. from
// is where the last search stopped. It returns the head's length, or 0 and
// where to go on once more was read.
func FindEnd(b []byte, from int) (end, next int, err error) {
	for {
		i := bytes.IndexByte(b[from:], '\n')
		if i < 0 {
			return 0, from, nil
		}
		lf := from + i
		if lf == 0 || b[lf-1] != '\r' {
			return 0, from, errBareLF
		}
		if i == 1 {
			return lf + 1, 0, nil
		}
		from = lf + 1
	}
}

// startLine returns the first line of mem[start:end] without its CRLF and sets
// h up to parse the rest.
func (h *Head) startLine(mem []byte, start, end int) []byte {
	h.mem, h.start, h.end = mem, start, end
	n := bytes.IndexByte(mem[start:end], '\n')
	h.line = start + n + 1
	return mem[start : h.line-2]
}

// parseFields reads all field lines. Every line is known to end with CRLF.
func (h *Head) parseFields() error {
	mem, last := h.mem, h.end-2
	for at := h.line; at < last; {
		eol := at + bytes.IndexByte(mem[at:h.end], '\n') - 1
		if c := mem[at]; c == ' ' || c == '\t' {
			return errFold
		}
		colon := at
		for isToken[mem[colon]] {
			colon++
		}
		if colon == at || mem[colon] != ':' {
			return errFieldName
		}
		v, ve := colon+1, eol
		for v < ve && isBlank(mem[v]) {
			v++
		}
		for ve > v && isBlank(mem[ve-1]) {
			ve--
		}
		for _, c := range mem[v:ve] {
			if !isText[c] {
				return errFieldValue
			}
		}
		h.fields = append(h.fields, field{line: at, colon: colon, value: v, valueEnd: ve, end: eol + 2})
		if err := h.note(&h.fields[len(h.fields)-1]); err != nil {
			return err
		}
		at = eol + 2
	}
	return nil
}

// note takes down what a field says on framing and connection.
func (h *Head) note(f *field) error {
	name, value := h.mem[f.line:f.colon], h.mem[f.value:f.valueEnd]
	switch len(name) {
	case len("te"):
		f.hop = foldEqual(name, "te")
	case len("host"):
		if foldEqual(name, "host") {
			h.hosts++
			h.host = [2]int{f.value, f.valueEnd}
		}
	case len("expect"):
		if foldEqual(name, "expect") && foldEqual(value, "100-continue") {
			h.expect = true
		}
	case len("upgrade"):
		f.hop = foldEqual(name, "upgrade")
	case len("connection"): // and keep-alive
		if foldEqual(name, "connection") {
			f.hop = true
			h.noteOptions(value)
		} else {
			f.hop = foldEqual(name, "keep-alive")
		}
	case len("content-length"):
		if foldEqual(name, "content-length") {
			return h.noteLength(value)
		}
	case len("proxy-connection"):
		f.hop = foldEqual(name, "proxy-connection")
	case len("transfer-encoding"):
		if foldEqual(name, "transfer-encoding") {
			h.codings++
			h.chunked = foldEqual(value, "chunked")
			h.foreign = h.foreign || !h.chunked
		}
	case len("proxy-authenticate"):
		f.hop = foldEqual(name, "proxy-authenticate")
	case len("proxy-authorization"):
		f.hop = foldEqual(name, "proxy-authorization")
	}
	h.hop = h.hop || f.hop
	return nil
}

func (h *Head) noteLength(value []byte) error {
	const digits = 18 // fits an int64 whatever they are
	if h.length >= 0 {
		return errLengths
	}
	if len(value) == 0 || len(value) > digits {
		return errLength
	}
	n := int64(0)
	for _, c := range value {
		if c < '0' || c > '9' {
			return errLength
		}
		n = n*10 + int64(c-'0')
	}
	h.length = n
	return nil
}

func (h *Head) noteOptions(value []byte) {
	for option := range listed(value, ',') {
		switch {
		case foldEqual(option, "close"):
			h.close = true
		case foldEqual(option, "keep-alive"):
			h.keepAlive = true
		case len(option) > 0:
			h.options = true
		}
	}
}

// markOptions marks the fields that Connection names as hop-by-hop. It reports
// whether one of them is a field that frames or routes the message; such a
// field stays, and so does Trailer, since the trailers do.
func (h *Head) markOptions() (essential bool) {
	if !h.options {
		return false
	}
	for i := range h.fields {
		c := &h.fields[i]
		if !foldEqual(h.mem[c.line:c.colon], "connection") {
			continue
		}
		for option := range listed(h.mem[c.value:c.valueEnd], ',') {
			if foldEqual(option, "trailer") {
				continue
			}
			if isEssential(option) {
				essential = true
				continue
			}
			for j := range h.fields {
				f := &h.fields[j]
				if bytes.EqualFold(h.mem[f.line:f.colon], option) {
					f.hop = true
				}
			}
		}
	}
	return essential
}

func isEssential(name []byte) bool {
	return foldEqual(name, "host") || foldEqual(name, "content-length") || foldEqual(name, "transfer-encoding")
}

// strip removes the hop-by-hop fields, but for those named in keep, a list
// parted by semicolons. What stays before a removed field moves towards the
// end, so that head and body remain in one piece.
func (h *Head) strip(keep []byte) {
	if !h.hop {
		return
	}
	gap, kept := 0, len(h.fields)
	for _, f := range slices.Backward(h.fields) {
		if f.hop && !h.isKept(&f, keep) {
			gap += f.end - f.line
			continue
		}
		if gap > 0 {
			copy(h.mem[f.line+gap:], h.mem[f.line:f.end])
			if h.host[0] == f.value {
				h.host[0] += gap
				h.host[1] += gap
			}
			f.shift(gap)
		}
		kept--
		h.fields[kept] = f
	}
	h.fields = h.fields[:copy(h.fields, h.fields[kept:])]
	if gap > 0 {
		copy(h.mem[h.start+gap:], h.mem[h.start:h.line])
		h.start += gap
		h.line += gap
	}
}

// isKept reports whether a hop-by-hop field is passed on all the same.
// Proxy-Authorization never is: it holds a secret that is not the upstream's.
func (h *Head) isKept(f *field, keep []byte) bool {
	name := h.mem[f.line:f.colon]
	if len(keep) == 0 || foldEqual(name, "proxy-authorization") {
		return false
	}
	for k := range listed(keep, ';') {
		if bytes.EqualFold(k, name) {
			return true
		}
	}
	return false
}

const closeField = "Connection: close\r\n"

// AddClose adds "Connection: close" as the last field, moving the rest of the
// head into the headroom before it.
func (h *Head) AddClose() {
	n := len(closeField)
	if h.start < n {
		return
	}
	last := h.end - 2
	copy(h.mem[h.start-n:], h.mem[h.start:last])
	copy(h.mem[last-n:], closeField)
	h.start -= n
	h.line -= n
	for i := range h.fields {
		h.fields[i].shift(-n)
	}
}

// listed yields the parts of a list, without the blanks around them.
func listed(b []byte, sep byte) func(yield func([]byte) bool) {
	return func(yield func([]byte) bool) {
		for more := true; more; {
			var part []byte
			i := bytes.IndexByte(b, sep)
			if more = i >= 0; more {
				part, b = b[:i], b[i+1:]
			} else {
				part = b
			}
			if !yield(bytes.Trim(part, " \t")) {
				return
			}
		}
	}
}

// foldEqual compares b with a lower-case or mixed ASCII name without case.
func foldEqual(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range len(name) {
		if lower(b[i]) != lower(name[i]) {
			return false
		}
	}
	return true
}

func lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c | 0x20
	}
	return c
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

// IsToken reports whether a token may hold c, as a method's name.
func IsToken(c byte) bool { return isToken[c] }

// isToken tells the characters of a token, isText those of a field value.
var isToken, isText = func() (token, text [256]bool) {
	for c := range 256 {
		text[c] = c == '\t' || c >= ' ' && c != 0x7f
		token[c] = '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' ||
			bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return token, text
}()
