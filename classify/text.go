package classify

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"
)

// The bounds of what is kept of a response, in bytes.
const (
	maxMessage = 512
	maxCode    = 128
)

// The functions below make foreign text safe to keep: unescaped, valid UTF-8,
// without control characters. They never allocate: what does not fit into the
// capacity of dst is left out, from the start of a character on, and ok is false.

// appendField appends the text of f, without blanks around it.
func appendField(dst []byte, f field) []byte {
	raw := bytes.TrimSpace(f.raw)
	if f.cut {
		raw = wholeRunes(raw)
	}
	switch f.esc {
	case escapeJSON:
		dst, _ = appendJSON(dst, raw)
	case escapeXML:
		dst, _ = appendXML(dst, raw)
	case escapeNone:
		dst, _ = appendText(dst, raw)
	}
	return bytes.TrimSpace(dst)
}

// wholeRunes returns s without the first half of a character at its end.
func wholeRunes(s []byte) []byte {
	for i := len(s) - 1; i >= 0 && i >= len(s)-utf8.UTFMax; i-- {
		if utf8.RuneStart(s[i]) {
			if !utf8.FullRune(s[i:]) {
				return s[:i]
			}
			break
		}
	}
	return s
}

// appendText appends text that is not escaped.
func appendText(dst, s []byte) (text []byte, ok bool) {
	for ok = true; len(s) > 0 && ok; {
		if n := plain(s); n > 0 {
			dst, ok = appendPlain(dst, s[:n])
			s = s[n:]
			continue
		}
		r, n := utf8.DecodeRune(s)
		dst, ok = appendRune(dst, r)
		s = s[n:]
	}
	return dst, ok
}

// appendJSON appends the inside of a JSON string.
func appendJSON(dst, s []byte) (text []byte, ok bool) {
	for ok = true; len(s) > 0 && ok; {
		if n := plain(s); n > 0 {
			dst, ok = appendPlain(dst, s[:n])
			s = s[n:]
			continue
		}
		r, n := jsonRune(s)
		if n == 0 {
			return dst, ok // cut inside an escape
		}
		dst, ok = appendRune(dst, r)
		s = s[n:]
	}
	return dst, ok
}

// appendXML appends the text of an element: entities and CDATA resolved, tags
// left out.
func appendXML(dst, s []byte) (text []byte, ok bool) {
	for ok = true; len(s) > 0 && ok; {
		if n := plain(s); n > 0 {
			dst, ok = appendPlain(dst, s[:n])
			s = s[n:]
			continue
		}
		switch {
		case bytes.HasPrefix(s, cdataOpen):
			s = s[len(cdataOpen):]
			inside, rest, _ := bytes.Cut(s, cdataClose)
			dst, ok = appendText(dst, inside)
			s = rest
		case s[0] == '<':
			_, s, _ = bytes.Cut(s, []byte{'>'})
		default:
			r, n := xmlRune(s)
			dst, ok = appendRune(dst, r)
			s = s[n:]
		}
	}
	return dst, ok
}

var (
	cdataOpen  = []byte("<![CDATA[")
	cdataClose = []byte("]]>")
)

// appendRune appends one character, a control character as a blank.
func appendRune(dst []byte, r rune) (text []byte, ok bool) {
	if IsControl(r) {
		r = ' '
	}
	if len(dst)+utf8.RuneLen(r) > cap(dst) {
		return dst, false
	}
	return utf8.AppendRune(dst, r), true
}

// appendPlain appends printable ASCII.
func appendPlain(dst, s []byte) (text []byte, ok bool) {
	if room := cap(dst) - len(dst); len(s) > room {
		return append(dst, s[:room]...), false
	}
	return append(dst, s...), true
}

// plain returns the length of the printable ASCII at the start of s that needs no
// escape in JSON and XML.
func plain(s []byte) int {
	for i, c := range s {
		if unplain[c] {
			return i
		}
	}
	return len(s)
}

var unplain = func() (t [256]bool) {
	for c := range t {
		t[c] = c < ' ' || c >= 0x7f || c == '\\' || c == '&' || c == '<'
	}
	return t
}()

// IsControl reports whether r is a control character, a line separator, or
// changes the direction of text, which could make a log line look different
// from what it is.
func IsControl(r rune) bool {
	switch {
	case r < ' ', 0x7f <= r && r < 0xa0:
		return true
	case r == 0x2028, r == 0x2029, r == 0x061c, r == 0x200e, r == 0x200f, r == 0xfeff:
		return true
	case 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x206f:
		return true
	}
	return false
}

// jsonRune reads the character at the start of the inside of a JSON string. n
// is 0 if s breaks off inside an escape.
func jsonRune(s []byte) (r rune, n int) {
	switch {
	case s[0] != '\\':
		return utf8.DecodeRune(s)
	case len(s) < 2:
		return 0, 0
	case s[1] == 'u':
		return unicodeEscape(s)
	}
	switch c := s[1]; c {
	case 'b', 'f', 'n', 'r', 't':
		return ' ', 2
	default:
		return rune(c), 2
	}
}

// unicodeEscape reads the \uXXXX, or the pair of them, at the start of s. n is
// 0 if s breaks off inside it.
func unicodeEscape(s []byte) (r rune, n int) {
	if len(s) < 6 {
		return 0, 0
	}
	r = hex4(s[2:6])
	if r < 0 {
		return utf8.RuneError, 2
	}
	if 0xd800 <= r && r < 0xdc00 && len(s) >= 12 && s[6] == '\\' && s[7] == 'u' {
		if low := hex4(s[8:12]); 0xdc00 <= low && low < 0xe000 {
			return (r-0xd800)<<10 + (low - 0xdc00) + 0x10000, 12
		}
	}
	if 0xd800 <= r && r < 0xe000 {
		return utf8.RuneError, 6
	}
	return r, 6
}

// hex4 returns the value of four hexadecimal digits, or -1 if they are not digits.
func hex4(s []byte) rune {
	var r rune
	for _, c := range s {
		d := unhex(c)
		if d < 0 {
			return -1
		}
		r = r<<4 | rune(d) //nolint:gosec // 0 to 15
	}
	return r
}

// hex2 returns the value of two hexadecimal digits at the start of s, or -1 if they
// are not digits.
func hex2(s []byte) int {
	if len(s) < 2 || unhex(s[0]) < 0 || unhex(s[1]) < 0 {
		return -1
	}
	return unhex(s[0])<<4 | unhex(s[1])
}

// unhex returns the value of a hexadecimal digit, or -1 if c is not one.
func unhex(c byte) int { return int(hexValues[c]) }

var hexValues = func() (t [256]int8) {
	for c := range t {
		t[c] = int8(strings.IndexByte("0123456789abcdef", lower(byte(c)))) //nolint:gosec // -1 to 15
	}
	return t
}()

// maxEntity is the maximum length of an entity that is resolved. The longest is
// &#x10FFFF;.
const maxEntity = 12

// xmlRune reads the character or entity at the start of s. An ampersand that does not
// begin an entity is a character.
func xmlRune(s []byte) (r rune, n int) {
	if s[0] != '&' {
		return utf8.DecodeRune(s)
	}
	end := bytes.IndexByte(s[:min(len(s), maxEntity)], ';')
	if end < 2 {
		return '&', 1
	}
	switch name := string(s[1:end]); {
	case name == "lt":
		return '<', end + 1
	case name == "gt":
		return '>', end + 1
	case name == "amp":
		return '&', end + 1
	case name == "quot":
		return '"', end + 1
	case name == "apos":
		return '\'', end + 1
	case name[0] == '#' && len(name) > 1:
		return reference(name[1:]), end + 1
	}
	return '&', 1
}

// reference returns the character of a numeric reference.
func reference(digits string) rune {
	base := 10
	if digits[0] == 'x' || digits[0] == 'X' {
		digits, base = digits[1:], 16
	}
	v, err := strconv.ParseUint(digits, base, 32)
	if err != nil || v > utf8.MaxRune || 0xd800 <= v && v < 0xe000 {
		return utf8.RuneError
	}
	return rune(v)
}
