package redact

import (
	"bytes"
	"slices"
	"sync"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
)

// The minimum lengths of what is looked for in a text. Shorter values would be
// found everywhere.
const (
	minSecret = 4
	minCookie = 8 // of a cookie's value, which may be a setting
	minPart   = 8 // of the start of a secret, where the text ends
)

// maxNeedles bounds the secrets that are kept of one request, the first ones. It
// keeps a body of nothing but secrets from holding up the relay.
const maxNeedles = 1024

// Set is a set of secrets, usually those of one request, to look for in other texts,
// in whatever notation they are there. It must not be used concurrently.
type Set struct {
	needles [][]byte // normalized; parts of mem
	mem     []byte
	text    []byte    // memory for the text that is searched
	first   [256]bool // the bytes that needles begin with
	within  within    // where they are looked for
}

var sets = sync.Pool{New: func() any { return new(Set) }}

// NewSet returns an empty set. The caller must release it.
func NewSet() *Set { return sets.Get().(*Set) }

// Release forgets the secrets. The set must not be used afterwards.
func (s *Set) Release() {
	clear(s.mem) // nothing is kept of a request
	clear(s.text)
	s.needles, s.mem, s.first = s.needles[:0], s.mem[:0], [256]bool{}
	s.within.forget()
	sets.Put(s)
}

// Add adds a secret in any notation, without the blanks and quotes around it.
func (s *Set) Add(secret []byte) {
	if len(s.needles) == maxNeedles {
		return
	}
	secret = bytes.Trim(secret, " \t\"'")
	start := len(s.mem)
	for i := 0; i < len(secret); {
		c, n := folded[secret[i]], 1
		if isIn(secret[i], escapes) {
			c, n = normalized(secret[i:])
		}
		s.mem = append(s.mem, c)
		i += n
	}
	needle := s.mem[start:len(s.mem):len(s.mem)]
	useless := len(needle) < minSecret || !s.within.mayHave(needle) || string(needle) == "null" || string(needle) == "true" || string(needle) == "false"
	if useless || slices.ContainsFunc(s.needles, func(n []byte) bool { return bytes.Equal(n, needle) }) {
		s.mem = s.mem[:start]
		return
	}
	s.needles = append(s.needles, needle)
	s.first[needle[0]] = true
}

// addParts adds a secret and, if it is user:password, its two parts.
func (s *Set) addParts(secret []byte) {
	s.Add(secret)
	if user, password, ok := bytes.Cut(secret, []byte{':'}); ok {
		s.Add(user)
		s.Add(password)
	}
}

// addValue adds the value of a parameter and, if it is a credential with a scope,
// the key in it.
func (s *Set) addValue(value []byte) {
	s.Add(value)
	if key, scope := syntax.SplitCredential(value); scope != nil && bytes.HasSuffix(bytes.Trim(scope, " \"'"), []byte("_request")) {
		s.Add(key)
	}
}

// AddText adds what looks like a secret in text.
func (s *Set) AddText(text []byte) {
	if isHarmless(text) {
		return
	}
	f := find(text, false)
	defer f.release()
	for _, found := range f.found {
		if end := found.end; end < len(f.plain) && f.plain[end] == '@' {
			s.addParts(f.plain[found.start:end])
			continue
		}
		value := f.original(text, found)
		s.addValue(value)
		if bytes.IndexByte(value, '"') >= 0 { // a list
			for item := range bytes.SplitSeq(value, []byte{'"'}) {
				s.Add(item)
			}
		}
	}
}

// AddForm adds the secret parameters of a query or a form.
func (s *Set) AddForm(text []byte) {
	for {
		name, value, rest := syntax.CutPair(text)
		s.AddParameter(name, value)
		if rest == nil {
			return
		}
		text = rest[1:]
	}
}

// AddParameter adds the value of a parameter if its name is that of a secret.
func (s *Set) AddParameter(name, value []byte) {
	if secret, _ := isSecretName(name); secret {
		s.addValue(value)
	}
}

// AddTarget adds the secrets of a request target.
func (s *Set) AddTarget(target []byte) {
	if s.IsApart(target) {
		return
	}
	path, query, _ := bytes.Cut(target, []byte{'?'})
	s.AddText(path)
	if !isHarmlessQuery(query) {
		s.AddForm(query)
		s.AddText(query)
	}
}

// AddField adds the secrets of one header field.
func (s *Set) AddField(name, value []byte) {
	value = bytes.TrimSpace(value)
	switch {
	case len(name) >= len("authorization") && ascii.EqualFold(name[len(name)-len("authorization"):], "authorization"):
		s.addAuthorization(value) // which may be encoded
	case s.IsApart(value):
		return
	case ascii.EqualFold(name, "cookie"):
		for pair := range bytes.SplitSeq(value, []byte{';'}) {
			name, value, _ := bytes.Cut(pair, []byte{'='})
			if secret, _ := isSecretName(name); secret || len(bytes.TrimSpace(value)) >= minCookie {
				s.addValue(value)
			}
		}
	default:
		s.AddParameter(name, value)
	}
	s.AddText(value)
}

// openParameters are the parameters of an Authorization field that are not secret.
var openParameters = []string{"signedheaders", "algorithm", "realm", "uri", "qop", "nc", "version", "headers"}

// addAuthorization adds the credentials of any scheme.
func (s *Set) addAuthorization(value []byte) {
	blank := bytes.IndexAny(value, " \t")
	if blank < 0 {
		s.addParts(value)
		return
	}
	rest := bytes.TrimSpace(value[blank:])
	if ascii.EqualFold(value[:blank], "basic") {
		if pair := unbase64(rest); pair != nil {
			s.addParts(pair)
		}
	}
	if bytes.IndexByte(rest, ',') < 0 {
		s.addParts(rest)
	}
	for len(rest) > 0 {
		var name []byte
		name, value, rest = syntax.CutParameter(rest)
		name, value = bytes.TrimSpace(name), bytes.TrimSpace(value)
		if len(bytes.Trim(value, "=")) == 0 { // the end of Base64
			continue
		}
		open := false
		for _, p := range openParameters {
			open = open || ascii.EqualFold(name, p)
		}
		if !open {
			value = bytes.Trim(value, " \"'")
			s.addValue(value)
			if key, scope := syntax.SplitCredential(value); scope != nil && ascii.EqualFold(name, "credential") {
				s.Add(key)
			}
		}
	}
}

// Redact returns text with the secrets of s, and everything that looks like a secret,
// replaced with REDACTED, even if they are escaped.
func (s *Set) Redact(text string) string {
	s.text = append(s.text[:0], text...)
	b := hideFound(s.hide(s.text), true)
	if string(b) == text {
		return text
	}
	return string(b)
}

// RedactCode is like Redact for an error code. A code that looks like a key is replaced
// as a whole.
func (s *Set) RedactCode(code string) string {
	if code == "" {
		return ""
	}
	if text := s.Redact(code); text != code || !LooksKey(code) {
		return text
	}
	return redacted
}

// IsIn reports whether text contains one of the secrets.
func (s *Set) IsIn(text []byte) bool { return !bytes.Equal(s.hide(text), text) }

// hide replaces the secrets in b. A secret is looked for at each byte, because the
// byte before it may make its start look like a part of an escape.
func (s *Set) hide(b []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(b); {
		n := 0
		c := folded[b[i]]
		if isIn(b[i], escapes) {
			c, _ = normalized(b[i:])
		}
		if s.first[c] {
			for _, needle := range s.needles {
				n = max(n, secretAt(b[i:], needle))
			}
		}
		if n == 0 {
			i++
			continue
		}
		out = append(append(out, b[done:i]...), redacted...)
		i += n
		done = i
	}
	if out == nil {
		return b
	}
	return append(out, b[done:]...)
}

// secretAt returns the number of bytes at the start of s that spell secret, or its
// beginning (at least minPart bytes) if s ends within it. It returns 0 if there is
// neither.
func secretAt(s, secret []byte) int {
	i := 0
	for k, want := range secret {
		if i == len(s) {
			if k < minPart {
				return 0
			}
			return i
		}
		c, n := normalized(s[i:])
		if c != want {
			return 0
		}
		i += n
	}
	return i
}

// normalized returns the byte at the start of s in normalized form (lower case,
// without escapes, a blank for a plus sign) and the number of bytes that it takes
// in s.
func normalized(s []byte) (c byte, n int) {
	c, n = s[0], 1
	if isIn(c, escapes) {
		c, n = unescape.Byte(s)
	}
	return folded[c], n
}

// folded is each byte in lower case, and a blank for the plus sign.
var folded = func() (t [256]byte) {
	for c := range t {
		t[c] = ascii.Lower(byte(c))
	}
	t['+'] = ' '
	return t
}()
