package http1

import (
	"bytes"
	"encoding/binary"
	"iter"
	"math/bits"
	"unsafe"
)

// field is one field line, as offsets into the head's memory.
type field struct {
	line, colon, value, valueEnd int32
	kind                         kind
	folded                       bool // of a response: the value spans lines
}

// kind distinguishes the fields that Prepare may drop.
type kind uint8

const (
	kindOther kind = iota
	kindConnection
	kindUpgrade
	kindSettings // HTTP2-Settings
	kindProxyConnection
	kindProxyAuthorization
)

// Head is the head of a message: start line and fields. It is a view of the
// memory the message was read into and lasts as long as the exchange.
type Head struct {
	mem    []byte // everything offsets refer to
	start  int    // of the start line
	line   int    // end of the start line, line end included
	end    int    // of the empty line
	fields []field
	sizes  uint64 // the sizeBit of each field's name

	minor   byte  // of the version: 0 or 1
	length  int64 // Content-Length; -1 without one
	chunked bool
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

// Protocol returns the version of HTTP, "1.0" or "1.1".
func (h *Head) Protocol() string {
	if h.minor == 0 {
		return "1.0"
	}
	return "1.1"
}

// Get returns the value of the first field of that name, compared without
// case, or nil. The bytes are not to be changed or kept. A field that is not
// passed on cannot be got once the request was prepared.
func (h *Head) Get(name string) []byte {
	if h.sizes&sizeBit(len(name)) == 0 {
		return nil // as most fields that are looked for are not there
	}
	for i := range h.fields {
		f := &h.fields[i]
		if int(f.colon-f.line) != len(name) {
			continue
		}
		if n := h.name(f); string(n) == name || equalFold(n, name) { // most are written as they are looked for
			return h.value(f)
		}
	}
	return nil
}

// Fields yields name and value of every field that is not dropped, in order.
// The bytes are not to be changed or kept.
func (h *Head) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for i := range h.fields {
			f := &h.fields[i]
			if !yield(h.name(f), h.value(f)) {
				return
			}
		}
	}
}

// add appends a field of a head, which is far smaller than 2 GiB, and returns it.
func (h *Head) add(line, colon, value, valueEnd int) *field {
	h.fields = append(h.fields, field{})
	h.sizes |= sizeBit(colon - line)
	f := &h.fields[len(h.fields)-1]
	f.line, f.colon, f.value, f.valueEnd = int32(line), int32(colon), int32(value), int32(valueEnd) //nolint:gosec // see above
	return f
}

// sizeBit is one of 64 bits, by the length of a name.
func sizeBit(n int) uint64 { return 1 << (n & 63) }

// name returns the field's name, without blanks before the colon.
func (h *Head) name(f *field) []byte { return h.mem[f.line:f.colon] }

// value returns the field's value. That of a folded field is a copy, with a
// blank for every fold.
func (h *Head) value(f *field) []byte {
	v := h.mem[f.value:f.valueEnd:f.valueEnd]
	if f.folded {
		return unfolded(v)
	}
	return v
}

func unfolded(value []byte) []byte {
	var lines [][]byte
	for line := range bytes.SplitSeq(value, []byte("\n")) {
		lines = append(lines, bytes.Trim(line, " \t\r"))
	}
	return bytes.Join(lines, []byte(" "))
}

// keptFields is the number of fields whose memory is reused. That of a foreign head with
// thousands is let go.
const keptFields = 128

// Memory returns the size of the memory of the fields if they are more than usual. It may be
// several times the head's bytes.
func (h *Head) Memory() int {
	if cap(h.fields) <= keptFields {
		return 0
	}
	return cap(h.fields) * int(unsafe.Sizeof(field{}))
}

// memory returns the memory of the fields for reuse.
func (h *Head) memory() []field {
	if cap(h.fields) > keptFields {
		return nil
	}
	return h.fields[:0]
}

// Rebase makes h a view of mem, to which its bytes were copied, moved bytes further on.
func (h *Head) Rebase(mem []byte, moved int) {
	h.mem = mem
	h.start += moved
	h.line += moved
	h.end += moved
	h.shift(moved)
}

// shift moves the fields.
func (h *Head) shift(by int) {
	for i := range h.fields {
		h.fields[i].shift(by)
	}
}

func (f *field) shift(by int) {
	n := int32(by) //nolint:gosec // see add
	f.line += n
	f.colon += n
	f.value += n
	f.valueEnd += n
}

const closeField = "Connection: close\r\n"

// AddClose adds "Connection: close" as the last field, moving the rest of the
// head towards the front of the memory, where there must be room for it.
func (h *Head) AddClose() {
	n := len(closeField)
	last := h.end - 1 // of the empty line
	if h.mem[last-1] == '\r' {
		last--
	}
	copy(h.mem[h.start-n:], h.mem[h.start:last])
	copy(h.mem[last-n:], closeField)
	h.start -= n
	h.line -= n
	h.shift(-n)
}

// listed yields the parts of a list, without the blanks around them.
func listed(b []byte, sep byte) iter.Seq[[]byte] {
	return func(yield func([]byte) bool) {
		for more := true; more; {
			var part []byte
			i := bytes.IndexByte(b, sep)
			if more = i >= 0; more {
				part, b = b[:i], b[i+1:]
			} else {
				part = b
			}
			if !yield(trimBlanks(part)) {
				return
			}
		}
	}
}

// equalFold compares b with a name in ASCII, without case.
func equalFold(b []byte, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range len(name) {
		if b[i] != name[i] && lower(b[i]) != lower(name[i]) {
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

// trimBlanks is bytes.Trim(b, " \t") in less time.
func trimBlanks(b []byte) []byte {
	for len(b) > 0 && isBlank(b[0]) {
		b = b[1:]
	}
	for len(b) > 0 && isBlank(b[len(b)-1]) {
		b = b[:len(b)-1]
	}
	return b
}

func isBlank(c byte) bool { return c == ' ' || c == '\t' }

func isHex(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'f'
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= lower(c) && lower(c) <= 'z'
}

// IsToken reports whether a token, as a method's name is, may hold c.
func IsToken(c byte) bool { return isToken[c] }

// isToken has the characters of a token, isText those of a field value.
var isToken, isText = func() (token, text [256]bool) {
	for c := range 256 {
		text[c] = c == '\t' || c >= ' ' && c != 0x7f
		token[c] = isAlnum(byte(c)) || bytes.IndexByte([]byte("!#$%&'*+-.^_`|~"), byte(c)) >= 0
	}
	return token, text
}()

// ones and tops are the lowest and the highest bit of eight bytes. In a sum, the
// highest bit of a byte is set from some value of the byte on; only a byte of 0x80 or
// more can also change that of the bytes after it.
const ones, tops = 0x0101010101010101, 0x8080808080808080

// skipText returns the first index from i on whose byte is not of a field
// value. There is to be one.
func skipText(b []byte, i int) int {
	for i+8 <= len(b) { // eight bytes at once, up to one that is not printable ASCII
		x := binary.LittleEndian.Uint64(b[i:])
		if others := (x | ^(x + (0x80-' ')*ones) | (x + ones)) & tops; others != 0 {
			i += bits.TrailingZeros64(others) / 8
			break
		}
		i += 8
	}
	for isText[b[i]] {
		i++
	}
	return i
}

// isAllTarget reports whether all bytes are of a target.
func isAllTarget(b []byte) bool {
	for ; len(b) >= 8; b = b[8:] { // as in skipText
		x := binary.LittleEndian.Uint64(b)
		if (x|^(x+(0x80-'!')*ones)|(x+ones)|^(x^'#'*ones+0x7f*ones))&tops != 0 {
			return false
		}
	}
	for _, c := range b {
		if !isTarget[c] {
			return false
		}
	}
	return true
}

// allToken reports whether b is a token.
func allToken(b []byte) bool {
	for _, c := range b {
		if !isToken[c] {
			return false
		}
	}
	return len(b) > 0
}

// number parses an unsigned decimal number that fits an int64.
func number(b []byte) (n int64, ok bool) {
	const digits = 18 // fit an int64 whatever they are
	if len(b) == 0 || len(b) > digits {
		return 0, false
	}
	for _, c := range b {
		if c < '0' || c > '9' {
			return 0, false
		}
		n = n*10 + int64(c-'0')
	}
	return n, true
}
