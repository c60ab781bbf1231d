package http1

// Body follows the framing of a message body as its bytes pass.
type Body struct {
	// Done reports whether the last byte of the body was taken.
	Done bool

	kind    bodyKind
	lenient bool // of a response: chunk lines that every client reads are taken
	odd     bool
	state   chunkState
	left    int64 // of a length, or of the current chunk
	line    int   // bytes of the current chunk line, or of the trailers
	name    [longestName]byte
	named   int // how many bytes of the current trailer's name are in name
}

type bodyKind uint8

const (
	bodyLength bodyKind = iota
	bodyChunked
	bodyUntilClose
)

// Take returns how many of the bytes in p belong to the body. All of them do
// unless it ends, when Done is set, or is malformed.
func (b *Body) Take(p []byte) (n int, err error) {
	if b.Done {
		return 0, nil
	}
	switch b.kind {
	case bodyUntilClose:
		return len(p), nil
	case bodyChunked:
		return b.takeChunks(p)
	}
	n = int(min(int64(len(p)), b.left))
	b.left -= int64(n)
	b.Done = b.left == 0
	return n, nil
}

// UntilClose reports whether the body ends with the connection.
func (b *Body) UntilClose() bool { return b.kind == bodyUntilClose }

// Odd reports whether the body of a response had chunk lines or trailers so far
// that are read, but are malformed. As after an odd head, both connections are
// to be closed.
func (b *Body) Odd() bool { return b.odd }

// Fits reports whether the rest of the body is known to fit into n bytes.
func (b *Body) Fits(n int) bool { return b.kind == bodyLength && b.left <= int64(n) }

// EndsIn reports whether the body ends with one of the bytes in p, which come next.
func (b *Body) EndsIn(p []byte) bool {
	rest := *b
	_, err := rest.Take(p)
	return err == nil && rest.Done
}

// The limits are those of net/http, so that what passes here can be read
// there.
const (
	maxChunkLine   = 4096
	maxChunkDigits = 16
	maxTrailers    = 64 << 10
	// maxOddLine limits a chunk line of a response, which other clients read.
	maxOddLine = 64 << 10
)

type chunkState uint8

const (
	chunkSize   chunkState = iota // the first digit, or none yet
	chunkDigits                   // further digits
	chunkBlanks                   // after the size, in a response
	extensionStart
	extensionName
	extensionNameEnd // blanks after the name
	extensionEqual   // blanks before the value
	extensionValue
	extensionQuoted
	extensionEscaped
	extensionEnd // after a quoted value
	extensionBlank
	extensionOdd // what else there is up to the end of the line
	chunkLineLF
	chunkData
	chunkDataCR
	chunkDataLF
	trailerFirst // the first byte of the first trailer line
	trailerLine  // of another one
	trailerName
	trailerValue
	trailerLF
	trailerEndLF // LF of the last line
)

func (b *Body) takeChunks(p []byte) (n int, err error) {
	for n < len(p) {
		if b.state == chunkData {
			k := int(min(int64(len(p)-n), b.left))
			n += k
			if b.left -= int64(k); b.left == 0 {
				b.state = chunkDataCR
			}
			continue
		}
		if err := b.chunkByte(p[n]); err != nil {
			return n, err
		}
		n++
		if b.Done {
			return n, nil
		}
	}
	return n, nil
}

// chunkByte takes one byte outside of chunk data.
func (b *Body) chunkByte(c byte) error {
	b.line++
	switch b.state {
	case chunkSize:
		if !isHex(c) {
			return errChunkSize
		}
		b.left, b.line, b.state = int64(unhex(c)), 1, chunkDigits
	case chunkDigits:
		switch {
		case isHex(c):
			if b.line > maxChunkDigits {
				if !b.lenient || b.line > maxChunkLine {
					return errChunkLarge
				}
				b.odd = true // leading zeros
			}
			if b.left >= 1<<59 {
				return errChunkLarge
			}
			b.left = b.left<<4 | int64(unhex(c))
		case c == ';':
			b.state = extensionStart
		case c == '\r':
			b.state = chunkLineLF
		case b.lenient && c == '\n':
			b.odd = true
			b.sized()
		case b.lenient && isBlank(c):
			b.odd, b.state = true, chunkBlanks
		default:
			return errChunkSize
		}
	case chunkBlanks:
		switch {
		case c == '\r':
			b.state = chunkLineLF
		case c == ';':
			b.state = extensionStart
		case !isBlank(c) || b.line > maxChunkLine-2:
			return errChunkSize
		}
	case chunkLineLF:
		if c != '\n' {
			return errChunkLine
		}
		b.sized()
	case chunkDataCR:
		if c != '\r' { // behind a bare LF, Python reads on at another byte than curl
			return errChunkEnd
		}
		b.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return errChunkEnd
		}
		b.state = chunkSize
	case trailerFirst, trailerLine, trailerName, trailerValue, trailerLF, trailerEndLF:
		return b.trailerByte(c)
	default:
		return b.extensionByte(c)
	}
	return nil
}

// sized acts on the end of a chunk line.
func (b *Body) sized() {
	b.state = chunkData
	if b.left == 0 {
		b.line, b.state = 0, trailerFirst
	}
}

// extensionByte takes one byte of chunk extensions (RFC 9112, 7.1.1).
func (b *Body) extensionByte(c byte) error {
	if b.line > maxChunkLine-2 && c != '\r' {
		if !b.lenient || b.line > maxOddLine-2 {
			return errChunkLine
		}
		b.odd = true
	}
	next := b.state.extended(c)
	if next == extensionOdd && b.state != extensionOdd {
		if !b.lenient {
			return errChunkExtension
		}
		b.odd = true
	}
	if next == extensionOdd {
		switch c {
		case '\r':
			next = chunkLineLF
		case '\n':
			return errChunkExtension
		}
	}
	b.state = next
	return nil
}

// extended returns the state after one byte of chunk extensions: extensionOdd
// if there may be no such byte.
func (s chunkState) extended(c byte) chunkState {
	switch s {
	case extensionStart:
		switch {
		case isBlank(c):
			return extensionStart
		case isToken[c]:
			return extensionName
		}
	case extensionName:
		switch {
		case isToken[c]:
			return extensionName
		case c == '=':
			return extensionEqual
		case isBlank(c):
			return extensionNameEnd
		case c == ';':
			return extensionStart
		case c == '\r':
			return chunkLineLF
		}
	case extensionNameEnd:
		switch {
		case isBlank(c):
			return extensionNameEnd
		case c == '=':
			return extensionEqual
		case c == ';':
			return extensionStart
		}
	case extensionEqual:
		switch {
		case isBlank(c):
			return extensionEqual
		case c == '"':
			return extensionQuoted
		case isToken[c]:
			return extensionValue
		}
	case extensionValue, extensionEnd:
		switch {
		case s == extensionValue && isToken[c]:
			return extensionValue
		case isBlank(c):
			return extensionBlank
		case c == ';':
			return extensionStart
		case c == '\r':
			return chunkLineLF
		}
	case extensionBlank:
		switch {
		case isBlank(c):
			return extensionBlank
		case c == ';':
			return extensionStart
		}
	case extensionQuoted:
		switch {
		case c == '"':
			return extensionEnd
		case c == '\\':
			return extensionEscaped
		case isText[c]:
			return extensionQuoted
		}
	case extensionEscaped:
		if isText[c] {
			return extensionQuoted
		}
	}
	return extensionOdd
}

func (b *Body) trailerByte(c byte) error {
	if b.line > maxTrailers {
		return errTrailerLarge
	}
	if b.lenient {
		return b.oddTrailerByte(c)
	}
	switch b.state {
	case trailerFirst, trailerLine:
		switch {
		case c == '\r':
			b.state = trailerEndLF
		case isToken[c]:
			b.name[0], b.named, b.state = c, 1, trailerName
		default:
			return errTrailer
		}
	case trailerName:
		switch {
		case c == ':':
			if isForbiddenTrailer(b.name[:b.named]) {
				return errTrailerName
			}
			b.state = trailerValue
		case isToken[c]:
			if b.named < longestName {
				b.name[b.named] = c
				b.named++
			}
		default:
			return errTrailer
		}
	case trailerValue:
		switch {
		case c == '\r':
			b.state = trailerLF
		case !isText[c]:
			return errTrailer
		}
	case trailerLF:
		if c != '\n' {
			return errTrailer
		}
		b.state = trailerLine
	case trailerEndLF:
		if c != '\n' {
			return errTrailer
		}
		b.Done = true
	}
	return nil
}

// oddTrailerByte takes one byte of the trailers of a response. Clients pass over them:
// only where they end matters.
func (b *Body) oddTrailerByte(c byte) error {
	first := b.state == trailerFirst || b.state == trailerLine
	switch {
	case b.state == trailerLF && c == '\n':
		b.state = trailerLine
	case b.state == trailerEndLF && c == '\n':
		b.Done = true
	case b.state == trailerLF, b.state == trailerEndLF:
		return errTrailer // CR within a line
	case c == '\r' && first:
		b.state = trailerEndLF
	case c == '\r':
		b.odd = b.odd || b.state == trailerName // no colon
		b.state = trailerLF
	case c == '\n':
		b.odd, b.Done, b.state = true, first, trailerLine
	case b.state == trailerValue:
		b.odd = b.odd || !isText[c]
	case c == ':' && b.state == trailerName:
		b.state = trailerValue
	default:
		b.odd, b.state = b.odd || !isToken[c], trailerName
	}
	return nil
}

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}

// Data removes the framing from p in place and returns the data. p must be what
// Take has taken, starting from b's state.
func (b *Body) Data(p []byte) []byte {
	if b.kind != bodyChunked {
		return p
	}
	data := p[:0]
	for n := 0; n < len(p); {
		if b.state != chunkData {
			b.chunkByte(p[n]) //nolint:errcheck // it was taken before
			n++
			continue
		}
		k := int(min(int64(len(p)-n), b.left))
		data = append(data, p[n:n+k]...)
		n += k
		if b.left -= int64(k); b.left == 0 {
			b.state = chunkDataCR
		}
	}
	return data
}

// Dechunk is Data for the first bytes of a chunked body, of a request or a
// response.
func Dechunk(p []byte) []byte {
	b := Body{kind: bodyChunked, lenient: true}
	return b.Data(p)
}
