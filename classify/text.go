package classify

import (
	"bytes"
	"strconv"
	"unicode/utf8"
)

// The bounds of what is kept of a response, in bytes.
const (
	maxMessage = 512
	maxCode    = 128
)

// writer makes foreign text fit to keep: unescaped, valid UTF-8, without
// control characters, at most max bytes long, cut between characters.
type writer struct {
	b    []byte // within its capacity nothing is allocated
	max  int
	full bool
}

// field writes f.
func (w *writer) field(f field) {
	raw := bytes.TrimSpace(f.raw)
	switch f.esc {
	case escapeJSON:
		w.json(raw)
	case escapeXML:
		w.xml(raw)
	default:
		w.bytes(raw)
	}
	w.b = bytes.TrimSpace(w.b)
}

// rune writes one character, a control character as a blank.
func (w *writer) rune(r rune) {
	if w.full {
		return
	}
	if isControl(r) {
		r = ' '
	}
	n := utf8.RuneLen(r)
	if n < 0 {
		r, n = utf8.RuneError, len("\uFFFD")
	}
	if len(w.b)+n > w.max {
		w.full = true
		return
	}
	w.b = utf8.AppendRune(w.b, r)
}

// isControl reports whether r is a control character, a line separator, or
// turns the direction of text, by which a log line could be made to lie.
func isControl(r rune) bool {
	switch {
	case r < ' ', 0x7f <= r && r < 0xa0:
		return true
	case r == 0x2028, r == 0x2029, r == 0x200e, r == 0x200f, r == 0xfeff:
		return true
	case 0x202a <= r && r <= 0x202e, 0x2066 <= r && r <= 0x2069:
		return true
	}
	return false
}

// bytes writes text that is not escaped.
func (w *writer) bytes(s []byte) {
	for len(s) > 0 && !w.full {
		if n := plain(s); n > 0 {
			w.ascii(s[:n])
			s = s[n:]
			continue
		}
		r, n := utf8.DecodeRune(s)
		w.rune(r)
		s = s[n:]
	}
}

// ascii writes printable ASCII.
func (w *writer) ascii(s []byte) {
	if room := w.max - len(w.b); len(s) > room {
		s = s[:room]
		w.full = true
	}
	w.b = append(w.b, s...)
}

// plain is the length of the printable ASCII at the start of s that is written
// as itself in JSON and in XML.
func plain(s []byte) int {
	for i, c := range s {
		if c < ' ' || c >= 0x7f || c == '\\' || c == '&' || c == '<' {
			return i
		}
	}
	return len(s)
}

// json writes the inside of a JSON string.
func (w *writer) json(s []byte) {
	for len(s) > 0 && !w.full {
		if n := plain(s); n > 0 {
			w.ascii(s[:n])
			s = s[n:]
			continue
		}
		if s[0] != '\\' {
			r, n := utf8.DecodeRune(s)
			w.rune(r)
			s = s[n:]
			continue
		}
		if len(s) < 2 {
			return // cut inside an escape
		}
		if s[1] == 'u' {
			r, n := unicodeEscape(s)
			if n == 0 {
				return
			}
			w.rune(r)
			s = s[n:]
			continue
		}
		w.rune(simpleEscape(s[1]))
		s = s[2:]
	}
}

// simpleEscape returns the character of a two-byte JSON escape.
func simpleEscape(c byte) rune {
	switch c {
	case 'b', 'f', 'n', 'r', 't':
		return ' '
	}
	return rune(c)
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

// hex4 reads four hexadecimal digits, -1 if they are none.
func hex4(s []byte) rune {
	var r rune
	for _, c := range s {
		d := unhex(c)
		if d < 0 {
			return -1
		}
		r = r<<4 | rune(d)
	}
	return r
}

// unhex returns the value of a hexadecimal digit, -1 if c is none.
func unhex(c byte) int {
	switch {
	case '0' <= c && c <= '9':
		return int(c - '0')
	case 'a' <= c && c <= 'f':
		return int(c-'a') + 10
	case 'A' <= c && c <= 'F':
		return int(c-'A') + 10
	}
	return -1
}

var (
	cdataOpen  = []byte("<![CDATA[")
	cdataClose = []byte("]]>")
)

// xml writes the text of an element: entities and CDATA resolved, tags left
// out.
func (w *writer) xml(s []byte) {
	for len(s) > 0 && !w.full {
		if n := plain(s); n > 0 {
			w.ascii(s[:n])
			s = s[n:]
			continue
		}
		switch {
		case s[0] == '&':
			r, n := entity(s)
			w.rune(r)
			s = s[n:]
		case bytes.HasPrefix(s, cdataOpen):
			s = s[len(cdataOpen):]
			end := bytes.Index(s, cdataClose)
			if end < 0 {
				w.bytes(s)
				return
			}
			w.bytes(s[:end])
			s = s[end+len(cdataClose):]
		case s[0] == '<':
			end := bytes.IndexByte(s, '>')
			if end < 0 {
				return
			}
			s = s[end+1:]
		default:
			r, n := utf8.DecodeRune(s)
			w.rune(r)
			s = s[n:]
		}
	}
}

// maxEntity is the length of the longest entity that is resolved, &#x10FFFF;
// with a little room.
const maxEntity = 12

// entity resolves the entity at the start of s. What is none stands for
// itself.
func entity(s []byte) (r rune, n int) {
	end := bytes.IndexByte(s[:min(len(s), maxEntity)], ';')
	if end < 2 {
		return '&', 1
	}
	switch name := s[1:end]; {
	case string(name) == "lt":
		return '<', end + 1
	case string(name) == "gt":
		return '>', end + 1
	case string(name) == "amp":
		return '&', end + 1
	case string(name) == "quot":
		return '"', end + 1
	case string(name) == "apos":
		return '\'', end + 1
	case name[0] == '#' && len(name) > 1:
		digits, base := name[1:], 10
		if digits[0] == 'x' || digits[0] == 'X' {
			digits, base = digits[1:], 16
		}
		v, err := strconv.ParseUint(string(digits), base, 32)
		if err != nil || v > utf8.MaxRune {
			return utf8.RuneError, end + 1
		}
		return rune(v), end + 1
	}
	return '&', 1
}
