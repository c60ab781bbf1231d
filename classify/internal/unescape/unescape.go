// Package unescape undoes the escapes of JSON, XML and URLs, one character at a time.
package unescape

import (
	"bytes"
	"strconv"
	"strings"
	"unicode/utf8"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// AppendURL appends s with percent-encoding and plus signs decoded, or nothing
// if the capacity of dst is too small. A percent sign that encodes nothing is kept.
func AppendURL(dst, s []byte) []byte {
	start := len(dst)
	for i := 0; i < len(s); i++ {
		if len(dst) == cap(dst) {
			return dst[:start]
		}
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && Hex(s[i+1:]) >= 0:
			c = byte(Hex(s[i+1:])) //nolint:gosec // two hexadecimal digits
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}

// Byte returns the byte at the start of s and the number of bytes that it takes
// in s. It undoes the escapes of JSON, the entities of XML, and percent-encoding,
// however often that was applied.
func Byte(s []byte) (c byte, n int) {
	c, n = s[0], 1
	switch {
	case c == '\\' && len(s) >= 6 && s[1] == 'u' && s[2] == '0' && s[3] == '0' && Hex(s[4:]) >= 0:
		c, n = byte(Hex(s[4:])), 6 //nolint:gosec // two hexadecimal digits
	case c == '\\' && len(s) >= 2 && (s[1] == '/' || s[1] == '"' || s[1] == '\\'):
		c, n = s[1], 2
	case c == '&':
		c, n = entity(s)
	}
	for c == '%' && Hex(s[n:]) >= 0 {
		c = byte(Hex(s[n:])) //nolint:gosec // two hexadecimal digits
		n += 2
	}
	return c, n
}

// entity returns the ASCII character of the entity at the start of s, or the
// ampersand if there is none.
func entity(s []byte) (c byte, n int) {
	r, n := XML(s)
	if n == 1 || r >= 0x80 {
		return '&', 1
	}
	return byte(r), n //nolint:gosec // below 0x80
}

// JSON reads the character at the start of the inside of a JSON string. n
// is 0 if s breaks off inside an escape.
func JSON(s []byte) (r rune, n int) {
	switch {
	case s[0] != '\\':
		return utf8.DecodeRune(s)
	case len(s) < 2:
		return 0, 0
	case s[1] == 'u':
		return unicode(s)
	}
	switch c := s[1]; c {
	case 'b', 'f', 'n', 'r', 't':
		return ' ', 2
	default:
		return rune(c), 2
	}
}

// unicode reads the \uXXXX, or the pair of them, at the start of s. n is
// 0 if s breaks off inside it.
func unicode(s []byte) (r rune, n int) {
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

// Hex returns the value of two hexadecimal digits at the start of s, or -1 if they
// are not digits.
func Hex(s []byte) int {
	if len(s) < 2 || unhex(s[0]) < 0 || unhex(s[1]) < 0 {
		return -1
	}
	return unhex(s[0])<<4 | unhex(s[1])
}

// unhex returns the value of a hexadecimal digit, or -1 if c is not one.
func unhex(c byte) int { return int(hexValues[c]) }

var hexValues = func() (t [256]int8) {
	for c := range t {
		t[c] = int8(strings.IndexByte("0123456789abcdef", ascii.Lower(byte(c)))) // -1 to 15
	}
	return t
}()

// maxEntity is the maximum length of an entity that is resolved. The longest is
// &#x10FFFF;.
const maxEntity = 12

// XML reads the character or entity at the start of s. An ampersand that does not
// begin an entity is a character.
func XML(s []byte) (r rune, n int) {
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
