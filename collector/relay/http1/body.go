package http1

// Body follows the framing of a message body as its bytes pass.
type Body struct {
	// Done reports whether the last byte of the body was taken.
	Done bool

	kind  bodyKind
	left  int64 // of a length, or of the current chunk
	state chunkState
	line  int // bytes of the current chunk line, or of the trailers
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

// Fits reports whether the rest of the body is known to fit into n bytes.
func (b *Body) Fits(n int) bool { return b.kind == bodyLength && b.left <= int64(n) }

// The limits are those of net/http, so that what passes here can be read
// there.
const (
	maxChunkLine   = 4096
	maxChunkDigits = 16
	maxTrailers    = 64 << 10
)

var (
	errChunkSize    = malformed("a chunk size is not a hexadecimal number")
	errChunkLarge   = malformed("a chunk size is too large")
	errChunkLine    = malformed("a chunk line is malformed")
	errChunkEnd     = malformed("a chunk does not end where its size says")
	errTrailer      = malformed("a trailer field is malformed")
	errTrailerLarge = malformed("the trailer fields are too large")
)

type chunkState uint8

const (
	chunkSize      chunkState = iota // the first digit, or none yet
	chunkDigits                      // further digits
	chunkExtension                   // after ";"
	chunkLineLF                      // LF of a chunk line
	chunkData
	chunkDataCR
	chunkDataLF
	trailerLine // the first byte of a trailer line
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
			if b.line > maxChunkDigits || b.left >= 1<<59 {
				return errChunkLarge
			}
			b.left = b.left<<4 | int64(unhex(c))
		case c == ';':
			b.state = chunkExtension
		case c == '\r':
			b.state = chunkLineLF
		default:
			return errChunkSize
		}
	case chunkExtension:
		switch {
		case c == '\r':
			b.state = chunkLineLF
		case !isText[c] || b.line > maxChunkLine-2:
			return errChunkLine
		}
	case chunkLineLF:
		if c != '\n' {
			return errChunkLine
		}
		b.state = chunkData
		if b.left == 0 {
			b.line, b.state = 0, trailerLine
		}
	case chunkDataCR:
		if c != '\r' {
			return errChunkEnd
		}
		b.state = chunkDataLF
	case chunkDataLF:
		if c != '\n' {
			return errChunkEnd
		}
		b.state = chunkSize
	default:
		return b.trailerByte(c)
	}
	return nil
}

func (b *Body) trailerByte(c byte) error {
	if b.line > maxTrailers {
		return errTrailerLarge
	}
	switch b.state {
	case trailerLine:
		switch {
		case c == '\r':
			b.state = trailerEndLF
		case isToken[c]:
			b.state = trailerName
		default:
			return errTrailer
		}
	case trailerName:
		switch {
		case c == ':':
			b.state = trailerValue
		case !isToken[c]:
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

func unhex(c byte) byte {
	if c <= '9' {
		return c - '0'
	}
	return lower(c) - 'a' + 10
}

// Data moves together, in place, what of p is data and no framing. p is to be
// what Take has taken from b's state on.
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

// Dechunk is data for the first bytes of a chunked body.
func Dechunk(p []byte) []byte {
	b := Body{kind: bodyChunked}
	return b.Data(p)
}
