// Package printable makes text safe to show in terminals and web pages by escaping
// control characters and characters that change the direction of text.
package printable

import (
	"encoding/binary"
	"fmt"
	"strings"
	"unicode/utf8"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// Escape returns s with control characters (except tab, line feed and carriage
// return), bidirectional controls and line separators written as \uXXXX, and
// invalid UTF-8 as the replacement character. In a JSON string, the result has the
// same meaning.
func Escape(s string) string {
	i := first([]byte(s))
	if i < 0 {
		return s
	}
	var b strings.Builder
	b.Grow(len(s) + 16)
	b.WriteString(s[:i])
	for _, r := range s[i:] {
		if isUnsafe(r) {
			fmt.Fprintf(&b, `\u%04x`, r)
			continue
		}
		b.WriteRune(r)
	}
	return b.String()
}

// mark is at the end of truncated texts.
const mark = "..."

// Truncate returns s if it has at most limit bytes, otherwise its beginning, up to the end
// of a character, and "...".
func Truncate(s string, limit int) string {
	if len(s) <= limit {
		return s
	}
	end := limit - len(mark)
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return s[:end] + mark
}

// EscapeBytes is Escape for bytes. It returns b itself if nothing needs escaping.
func EscapeBytes(b []byte) []byte {
	if first(b) < 0 {
		return b
	}
	return []byte(Escape(string(b)))
}

// first returns the index of the first character that must be escaped, or -1 if
// there is none.
func first(s []byte) int {
	for i := 0; i < len(s); {
		if len(s)-i >= 8 && areASCII(binary.LittleEndian.Uint64(s[i:])) {
			i += 8
			continue
		}
		c := s[i]
		if ' ' <= c && c < 0x7f {
			i++
			continue
		}
		r, n := utf8.DecodeRune(s[i:])
		if isUnsafe(r) || r == utf8.RuneError && n == 1 {
			return i
		}
		i += n
	}
	return -1
}

// areASCII reports whether all eight bytes of the word are printable ASCII.
func areASCII(bytes uint64) bool {
	const ones = 0x0101010101010101
	// The highest bit of each byte is set if the byte is not ASCII, is below the
	// space, or is DEL.
	return (bytes|(bytes-' '*ones)|(bytes+ones))&(0x80*ones) == 0
}

func isUnsafe(r rune) bool {
	return classify.IsControl(r) && r != '\t' && r != '\n' && r != '\r'
}
