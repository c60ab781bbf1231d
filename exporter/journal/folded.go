package journal

import (
	"strings"
	"unicode"
	"unicode/utf8"
)

// folded is a text that is searched for, ignoring case. Only where its byte number at is
// found in either case, the rest is compared: searching for a byte is many times faster.
type folded struct {
	text         string
	at           int // -1 if every place must be compared
	lower, upper byte
}

// newFolded returns the text to search for. The byte to look for is that of a character
// without case, if there is one, which only has to be searched for once.
func newFolded(text string) folded {
	f := folded{text: text, at: -1}
	caseless := false
	for i, r := range text {
		switch cased := unicode.SimpleFold(r) != r; {
		case r == utf8.RuneError, cased && r >= utf8.RuneSelf: // it also matches what has another length
			return folded{text: text, at: -1}
		case caseless:
		case !cased && r != ' ': // texts have many spaces
			caseless = true
			f.at = i + utf8.RuneLen(r) - 1 // Chinese characters differ most in the last byte
			f.lower, f.upper = text[f.at], text[f.at]
		case f.at < 0 || f.lower == ' ':
			f.at, f.lower, f.upper = i, byte(unicode.ToLower(r)), byte(unicode.ToUpper(r)) //nolint:gosec // ASCII
		}
	}
	return f
}

// in reports whether s contains f.
func (f *folded) in(s string) bool {
	if f.at < 0 {
		return f.anywhere(s)
	}
	last := len(s) - len(f.text)
	if last < 0 {
		return false
	}
	// The places where f may be are those of the byte: s is cut off before and after.
	places := s[f.at : f.at+last+1]
	lower := index(places, f.lower, 0)
	upper := lower
	if f.upper != f.lower {
		upper = index(places, f.upper, 0)
	}
	for {
		i := min(lower, upper)
		if i == len(places) {
			return false
		}
		if strings.EqualFold(s[i:i+len(f.text)], f.text) {
			return true
		}
		if lower == i {
			lower = index(places, f.lower, i+1)
		}
		if f.upper == f.lower {
			upper = lower
		} else if upper == i {
			upper = index(places, f.upper, i+1)
		}
	}
}

// index returns the index of c in s at from or behind, or the length of s.
func index(s string, c byte, from int) int {
	if i := strings.IndexByte(s[from:], c); i >= 0 {
		return from + i
	}
	return len(s)
}

// anywhere is in for texts without a byte to look for.
func (f *folded) anywhere(s string) bool {
	for i := 0; i+len(f.text) <= len(s); i++ {
		if strings.EqualFold(s[i:i+len(f.text)], f.text) {
			return true
		}
	}
	return false
}
