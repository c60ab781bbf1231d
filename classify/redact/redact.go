// Package redact finds secrets in texts and replaces them with REDACTED.
//
// Secrets are recognised by how they look, such as key IDs, JSON web tokens and long
// random runs, and by the names of parameters, fields and authentication schemes
// before them. A Set also finds secrets that are known, in any notation.
package redact

import (
	"bytes"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
)

// redacted replaces a secret.
const redacted = "REDACTED"

// secretWords make a parameter secret if its name, as isSecretName compares
// names, contains one of them. Some parameters that are not secret, such as
// SignatureMethod and NextToken, are hidden as well.
var secretWords = []string{
	"accesskey", "accountkey", "apikey", "authkey", "authorization", "bearer", "cookie", "credential", "jwt",
	"passphrase", "passwd", "password", "privatekey", "secret", "sessionid", "sessionkey", "signature",
	"signingkey", "token",
}

// secretNames make a parameter secret if they are its name, or the last word of it.
var secretNames = []string{"ak", "auth", "pass", "pwd", "session", "sig", "sign", "sk"}

// maxParamName is the length beyond which a parameter's value is hidden without
// reading its name.
const maxParamName = 256

// isSecretName reports whether the value behind a name must be hidden. Names
// are compared without case, escapes, and anything but letters and digits:
// access_key, Access-Key, access%4Bey and accessKey are one. atEnd reports that
// the name ends with what makes it secret: SecurityToken does,
// SignatureDoesNotMatch does not.
func isSecretName(name []byte) (secret, atEnd bool) {
	switch {
	case len(name) > maxParamName:
		return true, true
	case isPlainName(name):
		return false, false
	}
	return readSecretName(name)
}

// readSecretName is isSecretName without shortcuts.
func readSecretName(name []byte) (secret, atEnd bool) {
	var buf [maxParamName]byte
	plain, last, parted := buf[:0], 0, false
	first := len(name) // where the first word may begin in plain
	for i := 0; i < len(name); {
		c, n := name[i], 1
		if isIn(c, escapes) {
			c, n = unescape.Byte(name[i:])
		}
		c = folded[c]
		i += n
		switch {
		case !isAlnum(c):
			parted = true
			continue
		case parted:
			last, parted = len(plain), false
		}
		if n := len(plain); n > 0 && n <= first && secretStarts.of(plain[n-1], c) != nil {
			first = n - 1
		}
		plain = append(plain, c)
	}
	if isSecretWhole(plain) || isSecretWhole(plain[last:]) {
		return true, true
	}
	for i := first; i < len(plain)-1; i++ {
		for _, w := range secretStarts.of(plain[i], plain[i+1]) {
			if bytes.HasPrefix(plain[i:], []byte(w)) {
				secret = true
				atEnd = atEnd || i+len(w) == len(plain)
			}
		}
	}
	return secret, atEnd
}

// isPlainName reports whether name has no escapes and, without what is between words, no
// three letters that begin the name of a secret, as most names.
func isPlainName(name []byte) bool {
	last, total := 0, 0 // lengths of the last word and of all
	for pair := uint(0); ; {
		var n int
		n, pair = plainWord(name, pair)
		if n > 0 {
			last = n
			total += n
		}
		if n == len(name) {
			return last != 2 && total != 2 // some names of secrets have two letters
		}
		if letters[name[n]] != noLetter {
			return false
		}
		name = name[n+1:]
	}
}

// plainWord returns how many letters and digits name begins with of which no three begin the
// name of a secret. pair is the last two before name, as an index of secretThirds, and after
// the last two of the word.
func plainWord(name []byte, pair uint) (n int, after uint) {
	for i, c := range name {
		l := letters[c] % 32
		if secretThirds[pair%1024]>>l&1 != 0 {
			return i, pair
		}
		pair = pair<<5 | uint(l)
	}
	return len(name), pair
}

// letters numbers the letters from 1, without case. Digits are 0, what an escape begins
// with escapeLetter, and other bytes noLetter.
var letters = func() (t [256]byte) {
	for c := range t {
		switch l := ascii.Lower(byte(c)); {
		case 'a' <= l && l <= 'z':
			t[c] = l - 'a' + 1
		case isIn(l, escapes):
			t[c] = escapeLetter
		case l < '0' || l > '9':
			t[c] = noLetter
		}
	}
	return t
}()

const (
	noLetter     = 31
	escapeLetter = 30
)

// secretThirds are the letters that follow two letters at the beginning of the name of a
// secret, as bits. escapeLetter and noLetter are always among them.
var secretThirds = func() (t [1024]uint32) {
	for pair := range t {
		t[pair] = 1<<escapeLetter | 1<<noLetter
	}
	for _, w := range slices.Concat(secretWords, secretNames) {
		if len(w) > 2 {
			t[int(letters[w[0]])<<5|int(letters[w[1]])] |= 1 << letters[w[2]]
		}
	}
	return t
}()

// isSecretWhole reports whether a name, or the last word of one, makes a
// parameter secret.
func isSecretWhole(name []byte) bool {
	return slices.ContainsFunc(secretNames, func(n string) bool { return string(name) == n })
}

// wordStarts finds words by their first two letters, because few names contain
// any of these pairs.
type wordStarts struct {
	words  [26][]string // by the first letter
	second [26]uint32   // the letters that follow it in words, as bits
}

// of returns the words that may begin with ab, which are lower case.
func (s *wordStarts) of(a, b byte) []string {
	a, b = a-'a', b-'a'
	if a >= 26 || b >= 26 || s.second[a]&(1<<b) == 0 {
		return nil
	}
	return s.words[a]
}

var secretStarts = func() (s wordStarts) {
	for _, w := range secretWords {
		a := w[0] - 'a'
		s.words[a] = append(s.words[a], w)
		s.second[a] |= 1 << (w[1] - 'a')
	}
	return s
}()

// Text returns text with everything that looks like a secret replaced with
// REDACTED, even if it is escaped.
func Text(text string) string {
	if isHarmless(text) {
		return text
	}
	f := newFinder()
	defer f.release()
	f.text = append(f.text[:0], text...)
	f.read(f.text, true)
	if len(f.found) == 0 {
		return text
	}
	return string(f.hide(f.text))
}

// Target returns a request target with the values of secret parameters, and
// everything else that looks like a secret, replaced with REDACTED. The user
// information of an absolute-form target is also redacted. Bytes that are not
// valid in a target are percent-encoded. The names of parameters and all other
// values are unchanged.
func Target(target []byte) string {
	var buf [1 << 10]byte // for most targets; not beyond this call
	return string(AppendTarget(buf[:0], target))
}

// AppendTarget is like Target but appends the result, which is
// printable ASCII, to dst and returns the extended slice.
func AppendTarget(dst, target []byte) []byte {
	path, query, hasQuery := bytes.Cut(target, []byte{'?'})
	start := len(dst)
	dst = appendPath(dst, path)
	dst = append(dst[:start], hideFound(dst[start:], false)...)
	if !hasQuery {
		return dst
	}
	dst = append(dst, '?')
	if out, ok := appendSimpleQuery(dst, query); ok {
		return out
	}
	return appendRedactedQuery(dst, query)
}

// appendRedactedQuery appends a query.
func appendRedactedQuery(dst, query []byte) []byte {
	f := newFinder()
	defer f.release()
	start := len(dst)
	f.read(query, false)
	clean := f.isClean()
	dst = f.appendQuery(dst, query, clean)
	if !clean || !bytes.Equal(dst[start:], query) {
		f.read(dst[start:], false)
		dst = append(dst[:start], f.hide(dst[start:])...)
	}
	return dst
}

// isHarmlessRun reports whether a run has nothing that looks like a secret by itself. One
// of less than minKeyID bytes never has.
func isHarmlessRun[T string | []byte](run T) bool {
	switch n := len(run); {
	case uuidLength(run) == n:
		return true
	case n >= min(minHexRun, minBase64):
		return false
	}
	for word := 0; word < len(run); {
		stop := word
		for stop < len(run) && isAlnum(run[stop]) {
			stop++
		}
		if start, end := keyID(run, word, stop, len(run)); end > start {
			return false
		}
		word = stop + 1
	}
	return true
}

// appendPath appends what is before the query.
func appendPath(dst, path []byte) []byte {
	host := syntax.Authority(path)
	at := bytes.LastIndexByte(host, '@')
	if at < 0 {
		return appendEncoded(dst, path)
	}
	start := bytes.Index(path, host)
	dst = appendEncoded(dst, path[:start])
	dst = append(dst, redacted+":"+redacted...)
	return appendEncoded(dst, path[start+at:])
}

// appendQuery appends a query with its secret values hidden. A value that
// contains a secret, such as an address or JSON, is hidden as a whole. If the
// query is clean, no value contains one, because the search treats '=' and '&'
// as ends of a value.
func (f *finder) appendQuery(dst, query []byte, clean bool) []byte {
	for {
		name, value, rest := syntax.CutPair(query)
		dst = appendEncoded(dst, name)
		if value != nil {
			dst = append(dst, '=')
			if secret, _ := isSecretName(name); len(value) > 0 && (secret || !clean && f.has(value)) {
				dst = append(dst, redacted...)
			} else {
				dst = appendEncoded(dst, value)
			}
		}
		if rest == nil {
			return dst
		}
		dst = append(dst, rest[0])
		query = rest[1:]
	}
}

// appendEncoded appends s, and percent-encodes the bytes that are not valid in a
// target.
func appendEncoded(dst, s []byte) []byte {
	const digits = "0123456789ABCDEF"
	done := 0
	for i, c := range s {
		if isIn(c, notInTarget) {
			dst = append(append(dst, s[done:i]...), '%', digits[c>>4], digits[c&15])
			done = i + 1
		}
	}
	return append(dst, s[done:]...)
}
