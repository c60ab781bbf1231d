package http1

// Response is the head of a response.
type Response struct {
	Head
	Status int // 100 to 999; 0 until a final head was read
}

// Reset forgets the head, but for memory to be used again.
func (p *Response) Reset() {
	p.Head.Reset()
	p.Status = 0
}

// parse reads the head at mem[start:end], which ends with its empty line. An
// error means that the bytes could be read in more than one way.
func (p *Response) Parse(mem []byte, start, end int) error {
	p.Reset()
	if err := p.parseStatusLine(p.startLine(mem, start, end)); err != nil {
		return err
	}
	if err := p.parseFields(); err != nil {
		return err
	}
	switch {
	case p.codings > 0 && p.length >= 0:
		return errBothFramings
	case p.codings > 0 && p.minor == 0:
		return errCodingIn10
	case p.codings > 1:
		return errCodings
	case p.foreign:
		return errCoding
	}
	p.markOptions()
	return nil
}

func (p *Response) parseStatusLine(line []byte) error {
	const version, status = len("HTTP/1.1 "), len("HTTP/1.1 200")
	if len(line) < status {
		return errStatusLine
	}
	switch string(line[:version]) {
	case "HTTP/1.1 ":
		p.minor = 1
	case "HTTP/1.0 ":
	default:
		return errVersion
	}
	n := 0
	for _, c := range line[version:status] {
		if c < '0' || c > '9' {
			return errStatusLine
		}
		n = n*10 + int(c-'0')
	}
	// The blank after the status is often left out where there is no reason.
	if n < 100 || len(line) > status && line[status] != ' ' {
		return errStatusLine
	}
	for _, c := range line[status:] {
		if !isText[c] {
			return errStatusLine
		}
	}
	p.Status = n
	return nil
}

// Body returns the framing of the body that follows, for an answer to a
// request with that method.
func (p *Response) Body(head bool) Body {
	switch {
	case head, p.Status < 200, p.Status == 204, p.Status == 304:
		return Body{kind: bodyLength, Done: true}
	case p.chunked:
		return Body{kind: bodyChunked}
	case p.length >= 0:
		return Body{kind: bodyLength, left: p.length, Done: p.length == 0}
	}
	return Body{kind: bodyUntilClose}
}

// Odd reports whether the answer was framed by leniency, so that the connection
// ends with it.
func (p *Response) Odd() bool { return false }
