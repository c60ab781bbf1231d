package redact

import (
	"bytes"
	"encoding/base64"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// isScheme reports whether name is that of an authentication scheme whose
// credentials are looked for.
func isScheme[T string | []byte](name T) bool {
	switch len(name) {
	case len("kss"):
		return ascii.EqualFold(name, "kss") || ascii.EqualFold(name, "aws") || ascii.EqualFold(name, "ks3")
	case len("basic"):
		return ascii.EqualFold(name, "basic") || ascii.EqualFold(name, "token")
	case len("bearer"):
		return ascii.EqualFold(name, "bearer")
	}
	return false
}

// scheme returns what follows the name of an authentication scheme,
// plain[i:end].
func (f *finder) scheme(i, end int) (start, stop int) {
	b := f.plain
	name := b[i:end]
	if !isScheme(name) {
		return 0, 0
	}
	basic, pair := ascii.Lower(name[0]) == 'b' && len(name) == len("basic"), len(name) == len("kss")
	start = end
	for start < len(b) && (b[start] == ' ' || b[start] == '+') {
		start++
	}
	if start == end {
		return 0, 0
	}
	stop = start
	for stop < len(b) && !isIn(b[stop], valueEnds) {
		stop++
	}
	token := b[start:stop]
	switch {
	case pair && bytes.IndexByte(token, ':') > 0, basic && unbase64(token) != nil:
	case !pair && !basic && len(token) >= minPart && !isWords(token):
	default:
		return 0, 0
	}
	return start, stop
}

// unbase64 returns the user and password of Basic authentication, nil if b is
// not one.
func unbase64(b []byte) []byte {
	text := make([]byte, base64.RawStdEncoding.DecodedLen(len(b)))
	n, err := base64.RawStdEncoding.Decode(text, bytes.TrimRight(b, "="))
	if err != nil || bytes.IndexByte(text[:n], ':') < 0 {
		return nil
	}
	return text[:n]
}

// isWords reports whether b is made of letters and the characters between and
// after words.
func isWords(b []byte) bool {
	for _, c := range b {
		if c < 'A' && c != '.' && c != '-' && c != '!' && c != ',' || c > 'z' {
			return false
		}
	}
	return len(b) <= 24
}

// name returns where the name that ends at end begins.
func (f *finder) name(end int) int {
	start := end
	for start > 0 && end-start < maxParamName && isIn(f.plain[start-1], nameParts) {
		start--
	}
	return start
}

// assigned returns the value behind the separator at i where the name of a
// secret is before it: name=value, name: value, "name":"value", and so on.
func (f *finder) assigned(i int) (start, end int) {
	b := f.plain
	e, quoted := i, false
	for e > 0 && (isIn(b[e-1], quotes) || b[e-1] == ' ') {
		e--
		quoted = quoted || isIn(b[e], quotes)
	}
	loose := b[i] == ':' && !quoted // as in prose
	if e == 0 || loose && '0' <= b[e-1] && b[e-1] <= '9' {
		return 0, 0 // no name, or one that ends with no word, such as the hours of a time
	}
	secret, atEnd := isSecretName(b[f.name(e):e])
	if !secret || loose && !atEnd {
		return 0, 0
	}
	start = i + 1
	for start < len(b) && b[start] == ' ' {
		start++
	}
	spaced := start > i+1
	closing, width := byte(0), f.width(i)
	for start < len(b) && (isIn(b[start], quotes) || b[start] == '[') {
		switch c := b[start]; {
		case c == '[':
			closing, width = ']', f.width(start)
		case closing != ']':
			closing, width = c, f.width(start)
		}
		start++
	}
	end = start
	for end < len(b) && !f.ends(end, closing, width) {
		end++
	}
	value := b[start:end]
	switch {
	case closing == 0 && loose && spaced && isWords(value):
		return 0, 0
	case isSchemed(value) && end < len(b) && b[end] == ' ':
		return 0, 0 // what follows is found by itself
	}
	return start, end
}

// ends reports whether a value ends before i: at the closing quote or, if it is
// not quoted, at a separator. Characters that are escaped more deeply than the
// value are part of it.
func (f *finder) ends(i int, closing byte, width int) bool {
	c := f.plain[i]
	if f.width(i) > width && f.width(i) > 1 {
		return false
	}
	if closing != 0 && closing != '\\' {
		return c == closing
	}
	return isIn(c, valueEnds)
}

// maxScheme is the length of the longest name of a scheme.
const maxScheme = 32

// isSchemed reports whether a value of Authorization is the name of a scheme.
func isSchemed(value []byte) bool {
	if len(value) > maxScheme {
		return false
	}
	for _, s := range []string{"bearer", "basic", "kss", "aws", "ks3", "token", "digest"} {
		if ascii.EqualFold(value, s) {
			return true
		}
	}
	return bytes.Contains(value, []byte("HMAC-"))
}

// element adds the text of an XML element that is named as a secret, whose start
// tag ends at i.
func (f *finder) element(i int) {
	b := f.plain
	start := f.name(i)
	if start == 0 || b[start-1] != '<' {
		return
	}
	if secret, _ := isSecretName(b[start:i]); !secret {
		return
	}
	end := bytes.IndexByte(b[i+1:], '<')
	if end < 0 {
		end = len(b) - i - 1
	}
	f.add(i+1, i+1+end)
}

// user adds the user and password before the at sign at i.
func (f *finder) user(i int) {
	b := f.plain
	if i+1 == len(b) || !isAlnum(b[i+1]) && b[i+1] != '[' && b[i+1] != '(' {
		return
	}
	start, colon := i, false
	for start > 0 && (!isIn(b[start-1], userEnds) || f.width(start-1) > f.width(i)) {
		start--
		colon = colon || b[start] == ':' && start+1 < i
	}
	if n := len(f.found); n > 0 && f.found[n-1].end == start-1 && b[start-1] == '@' {
		start, colon = f.found[n-1].start, true // of a password with an at sign
	}
	inURL := start >= 3 && string(b[start-3:start]) == "://"
	if start < i && b[start] != ':' && (colon || inURL) {
		f.add(start, i)
	}
}
