package classify

import (
	"bytes"
	"unicode/utf8"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
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
		r, n := unescape.JSON(s)
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
			r, n := unescape.XML(s)
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
