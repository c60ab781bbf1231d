package http1

import "bytes"

// Response is the head of a response.
type Response struct {
	Head
	Status int // 100 to 999; 0 until a head was read

	odd        bool
	untilClose bool // the last transfer coding is not chunked
	codings    bool // there is a Transfer-Encoding
	badLength  bool // Content-Length is not a number, or several
}

// Odd reports whether some clients cannot parse the head, or parse it differently:
// both connections must be closed after the response.
func (p *Response) Odd() bool { return p.odd }

// Reset clears the head and keeps memory for reuse.
func (p *Response) Reset() {
	fields := p.memory()
	*p = Response{}
	p.fields, p.length = fields, -1
}

// Parse reads the head at mem[start:end], which is what ScanResponse found. An
// error means that it cannot be read.
func (p *Response) Parse(mem []byte, start, end int) error {
	p.Reset()
	p.mem, p.start, p.end = mem, start, end
	first := start + emptyLines(mem[start:end])
	p.odd = first > start
	p.line = p.nextLine(first)
	if err := p.parseStatusLine(mem[first:p.lineEnd(p.line)]); err != nil {
		return err
	}
	if err := p.parseFields(); err != nil {
		return err
	}
	return p.check()
}

// nextLine returns where the line behind at ends, and the next one starts.
func (p *Response) nextLine(at int) int {
	return at + bytes.IndexByte(p.mem[at:p.end], '\n') + 1
}

// lineEnd returns where the line before next ends, without CRLF or LF.
func (p *Response) lineEnd(next int) int {
	if p.mem[next-2] == '\r' {
		return next - 2
	}
	p.odd = true
	return next - 1
}

// parseStatusLine reads the status line. The blank after the status is often
// left out if there is no reason phrase.
func (p *Response) parseStatusLine(line []byte) error {
	const version, digits = len("HTTP/1.1"), len("200")
	if len(line) <= version || string(line[:len(versionPrefix)]) != versionPrefix {
		return errStatusLine
	}
	switch major, minor := line[len(versionPrefix)], line[version-1]; {
	case major < '1' || major > '9' || line[version-2] != '.' || minor < '0' || minor > '9':
		return errVersion
	case major != '1' || minor > '1': // clients read it as 1.1
		p.minor, p.odd = 1, true
	default:
		p.minor = minor - '0'
	}
	rest := bytes.TrimLeft(line[version:], " \t")
	blanks := len(line) - version - len(rest)
	if blanks == 0 || len(rest) < digits || len(rest) > digits && !isBlank(rest[digits]) {
		return errStatusLine
	}
	p.odd = p.odd || blanks > 1 || line[version] == '\t' || len(rest) > digits && rest[digits] == '\t'
	n, ok := number(rest[:digits])
	if !ok || n < 100 {
		return errStatusLine
	}
	p.Status = int(n)
	for _, c := range rest[digits:] {
		if c == '\r' { // some take it for the end of the line
			return errStatusLine
		}
		p.odd = p.odd || !isText[c]
	}
	return nil
}

// isReadable reports whether b, a field line, is text, or holds characters that clients
// read although they do not belong there.
func isReadable(b []byte) bool {
	for _, c := range b {
		if c == 0 || c == '\r' {
			return false
		}
	}
	return true
}

// parseFields reads all field lines.
func (p *Response) parseFields() error {
	mem := p.mem
	last := p.lineEnd(p.end) // the empty line
	for at := p.line; at < last; {
		colon := at
		for isToken[mem[colon]] {
			colon++
		}
		if colon == at || mem[colon] != ':' {
			next, err := p.parseOdd(at, last)
			if err != nil {
				return err
			}
			at = next
			continue
		}
		value := colon + 1
		for isBlank(mem[value]) {
			value++
		}
		eol := skipText(mem, value)
		if mem[eol] != '\r' || mem[eol+1] != '\n' || isBlank(mem[eol+2]) {
			next, err := p.parseOdd(at, last)
			if err != nil {
				return err
			}
			at = next
			continue
		}
		end := eol
		for end > value && isBlank(mem[end-1]) {
			end--
		}
		p.add(at, colon, value, end)
		p.note(mem[at:colon], mem[value:end])
		at = eol + 2
	}
	return nil
}

// parseOdd reads a field that is folded, ends without CR, or holds
// characters that do not belong there, or passes over a line without colon. It
// returns where the next one starts.
func (p *Response) parseOdd(at, last int) (next int, err error) {
	p.odd = true
	if isBlank(p.mem[at]) { // there is nothing that it could continue
		return 0, errFold
	}
	folded := false
	next = p.nextLine(at)
	line := p.mem[at:p.lineEnd(next)]
	n := bytes.IndexByte(line, ':')
	for readable := isReadable(line); ; {
		if !readable {
			return 0, errFieldValue
		}
		if next == last || !isBlank(p.mem[next]) {
			break
		}
		folded = true
		from := next
		next = p.nextLine(next)
		readable = isReadable(p.mem[from:p.lineEnd(next)])
	}
	switch {
	case n < 0 && folded:
		return 0, errFieldName
	case n < 0: // nobody takes it for a field
		return next, nil
	}

	name := bytes.TrimRight(line[:n], " \t")
	value, end := at+n+1, p.lineEnd(next)
	for value < end && isBlank(p.mem[value]) {
		value++
	}
	for end > value && isBlank(p.mem[end-1]) {
		end--
	}
	f := p.add(at, at+len(name), value, end)
	f.folded = folded
	if len(name) < n && (equalFold(name, "content-length") || equalFold(name, "transfer-encoding")) {
		return 0, errBlankName // some take it for the field, some for another
	}
	p.note(name, p.value(f))
	return next, nil
}

// note records what a field specifies about framing.
func (p *Response) note(name, value []byte) {
	switch len(name) {
	case len("content-length"):
		if equalFold(name, "content-length") {
			p.noteLength(value)
		}
	case len("transfer-encoding"):
		if equalFold(name, "transfer-encoding") {
			p.noteCodings(value)
		}
	}
}

// noteLength reads a Content-Length. The same number may be there repeatedly.
func (p *Response) noteLength(value []byte) {
	for part := range listed(value, ',') {
		n, ok := number(part)
		switch {
		case !ok, p.length >= 0 && p.length != n:
			p.odd, p.badLength = true, true
		case p.length >= 0:
			p.odd = true
		default:
			p.length = n
		}
	}
}

// noteCodings parses a Transfer-Encoding. Servers send only a single "chunked"
// unless the client asks for more, and "identity" has no meaning.
func (p *Response) noteCodings(value []byte) {
	p.odd = p.odd || p.codings || !equalFold(value, "chunked")
	p.codings = true
	for coding := range listed(value, ',') {
		if len(coding) > 0 && !equalFold(coding, "identity") {
			p.chunked = equalFold(coding, "chunked")
			p.untilClose = !p.chunked
		}
	}
}

// check checks that the fields do not contradict each other.
func (p *Response) check() error {
	if p.codings && (p.minor == 0 || p.length >= 0 || p.Status < 200 || p.Status == 204) {
		p.odd = true
	}
	if p.badLength && !p.chunked && !p.untilClose && !p.isBare() {
		return errLengthUnclear
	}
	return nil
}

// isBare reports whether answers with the status have no body, whatever the
// fields say.
func (p *Response) isBare() bool { return p.Status < 200 || p.Status == 204 || p.Status == 304 }

// Body returns the framing of the body that follows (RFC 9112, 6.3). head is
// set for a response to HEAD.
func (p *Response) Body(head bool) Body {
	switch {
	case head, p.isBare():
		return Body{kind: bodyLength, Done: true}
	case p.chunked:
		return Body{kind: bodyChunked, lenient: true}
	case p.length >= 0 && !p.untilClose:
		return Body{kind: bodyLength, left: p.length, Done: p.length == 0}
	}
	return Body{kind: bodyUntilClose}
}
