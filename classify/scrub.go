package classify

import (
	"bytes"
	"sync"
)

// The minimum lengths of what is looked for in a text. Shorter values would be
// found everywhere.
const (
	minSecret = 4
	minCookie = 8 // of a cookie's value, which may be a setting
	minPart   = 8 // of the start of a secret, where the text ends
)

// Scrub replaces every secret of the request r, and everything that looks like a
// secret, with REDACTED in the code, the inner code and the message of v. A request
// ID that contains a secret is removed. r may be nil. known lists additional
// secrets.
//
// A code or message that is in the catalogue, and an ID that is a UUID, are not
// secrets. If there is nothing else, as in most responses, r is not read and nothing
// is allocated.
func (v *Verdict) Scrub(r *Request, known ...Secrets) {
	code := v.Code != "" && v.Match != MatchCode
	message := v.Message != "" && (v.Entry == nil || v.Message != v.Entry.Example)
	id := !v.RequestID.IsZero() && !v.RequestID.uuid
	if !code && !message && !id && v.Inner == "" {
		return
	}
	s := secretsOf(r, known)
	defer s.release()
	if code {
		v.Code = s.scrubCode(v.Code)
	}
	v.Inner = s.scrubCode(v.Inner)
	if message {
		v.Message = s.scrub(v.Message)
	}
	if text := v.RequestID.b[:v.RequestID.n]; id && !bytes.Equal(s.hide(text), text) {
		v.RequestID = RequestID{}
	}
}

// secretsOf returns the secrets of r, which may be nil, and the known ones.
func secretsOf(r *Request, known []Secrets) *secretSet {
	s := newSecretSet()
	for _, k := range known {
		s.add(k.AccessKey)
		s.add(k.Signature)
		s.add(k.Token)
	}
	if r != nil {
		s.addRequest(r)
	}
	return s
}

// Scrub returns text with everything that looks like a secret replaced with
// REDACTED, even if it is escaped.
func Scrub(text string) string {
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

// maxNeedles bounds the secrets that are kept of one request, the first ones. It
// keeps a body of nothing but secrets from holding up the relay.
const maxNeedles = 1024

// secretSet are the secrets of one request: needles to look for in other texts.
type secretSet struct {
	needles [][]byte // normalized; parts of mem
	mem     []byte
	text    []byte    // memory for the text that is searched
	first   [256]bool // the bytes that needles begin with
}

var secretSets = sync.Pool{New: func() any { return new(secretSet) }}

func newSecretSet() *secretSet { return secretSets.Get().(*secretSet) }

func (s *secretSet) release() {
	clear(s.mem) // nothing is kept of a request
	clear(s.text)
	s.needles, s.mem, s.first = s.needles[:0], s.mem[:0], [256]bool{}
	secretSets.Put(s)
}

// add adds a secret in any notation, without the blanks and quotes around it.
func (s *secretSet) add(secret []byte) {
	if len(s.needles) == maxNeedles {
		return
	}
	secret = bytes.Trim(secret, " \t\"'")
	start := len(s.mem)
	for i := 0; i < len(secret); {
		c, n := folded[secret[i]], 1
		if isIn(secret[i], escapes) {
			c, n = unescape(secret[i:])
		}
		s.mem = append(s.mem, c)
		i += n
	}
	needle := s.mem[start:len(s.mem):len(s.mem)]
	known := len(needle) < minSecret || string(needle) == "null" || string(needle) == "true" || string(needle) == "false"
	for _, n := range s.needles {
		known = known || bytes.Equal(n, needle)
	}
	if known {
		s.mem = s.mem[:start]
		return
	}
	s.needles = append(s.needles, needle)
	s.first[needle[0]] = true
}

// addParts adds a secret and, if it is user:password, its two parts.
func (s *secretSet) addParts(secret []byte) {
	s.add(secret)
	if user, password, ok := bytes.Cut(secret, []byte{':'}); ok {
		s.add(user)
		s.add(password)
	}
}

// addValue adds the value of a parameter and, if it is a credential with a scope,
// the key in it.
func (s *secretSet) addValue(value []byte) {
	s.add(value)
	if key, scope := splitCredential(value); scope != nil && bytes.HasSuffix(bytes.Trim(scope, " \"'"), []byte("_request")) {
		s.add(key)
	}
}

// addText adds what looks like a secret in text.
func (s *secretSet) addText(text []byte) {
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
				s.add(item)
			}
		}
	}
}

// addPairs adds the secrets of a query or a form.
func (s *secretSet) addPairs(text []byte) {
	for {
		name, value, rest := cutPair(text)
		if secret, _ := isSecretName(name); secret {
			s.addValue(value)
		}
		if rest == nil {
			return
		}
		text = rest[1:]
	}
}

// addRequest adds the secrets in the target, the fields and the body of r.
func (s *secretSet) addRequest(r *Request) {
	path, query, _ := bytes.Cut(r.Target, []byte{'?'})
	s.addText(path)
	if !isHarmlessQuery(query) {
		s.addPairs(query)
		s.addText(query)
	}
	if r.Header != nil {
		for name, value := range r.Header.Fields() {
			s.addField(name, value)
		}
	}
	if len(r.Body) == 0 {
		return
	}
	if isForm(get(r.Header, headerContentType), r.Body) {
		s.addPairs(bytes.TrimRight(r.Body, "\r\n"))
	}
	eachPart(bytes.TrimPrefix(r.Body, byteOrderMark), func(name, value []byte) {
		if secret, _ := isSecretName(name); secret {
			s.addValue(value)
		}
	})
	s.addText(r.Body)
}

// addField adds the secrets of one field of a head.
func (s *secretSet) addField(name, value []byte) {
	value = bytes.TrimSpace(value)
	switch secret, _ := isSecretName(name); {
	case len(name) >= len("authorization") && equalFold(name[len(name)-len("authorization"):], "authorization"):
		s.addAuthorization(value)
	case equalFold(name, "cookie"):
		for pair := range bytes.SplitSeq(value, []byte{';'}) {
			name, value, _ := bytes.Cut(pair, []byte{'='})
			if secret, _ := isSecretName(name); secret || len(bytes.TrimSpace(value)) >= minCookie {
				s.addValue(value)
			}
		}
	case secret:
		s.addValue(value)
	}
	s.addText(value)
}

// openParameters are the parameters of an Authorization field that are not secret.
var openParameters = []string{"signedheaders", "algorithm", "realm", "uri", "qop", "nc", "version", "headers"}

// addAuthorization adds the credentials of any scheme.
func (s *secretSet) addAuthorization(value []byte) {
	blank := bytes.IndexAny(value, " \t")
	if blank < 0 {
		s.addParts(value)
		return
	}
	rest := bytes.TrimSpace(value[blank:])
	if equalFold(value[:blank], "basic") {
		if pair := unbase64(rest); pair != nil {
			s.addParts(pair)
		}
	}
	if bytes.IndexByte(rest, ',') < 0 {
		s.addParts(rest)
	}
	for len(rest) > 0 {
		var name []byte
		name, value, rest = CutParameter(rest)
		name, value = bytes.TrimSpace(name), bytes.TrimSpace(value)
		if len(bytes.Trim(value, "=")) == 0 { // the end of Base64
			continue
		}
		open := false
		for _, p := range openParameters {
			open = open || equalFold(name, p)
		}
		if !open {
			value = bytes.Trim(value, " \"'")
			s.addValue(value)
			if key, scope := splitCredential(value); scope != nil && equalFold(name, "credential") {
				s.add(key)
			}
		}
	}
}

// scrub returns text without secrets.
func (s *secretSet) scrub(text string) string {
	s.text = append(s.text[:0], text...)
	b := hideFound(s.hide(s.text), true)
	if string(b) == text {
		return text
	}
	return string(b)
}

// scrubCode returns code without secrets. A code that looks like a key is replaced
// as a whole.
func (s *secretSet) scrubCode(code string) string {
	if code == "" {
		return ""
	}
	if text := s.scrub(code); text != code || !looksKey([]byte(code)) {
		return text
	}
	return redacted
}

// hide replaces the secrets in b. A secret is looked for at each byte, because the
// byte before it may make its start look like a part of an escape.
func (s *secretSet) hide(b []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(b); {
		n := 0
		c := folded[b[i]]
		if isIn(b[i], escapes) {
			c, _ = unescape(b[i:])
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
		c, n := unescape(s[i:])
		if c != want {
			return 0
		}
		i += n
	}
	return i
}

// unescape returns the byte at the start of s in normalized form (lower case,
// without escapes, a blank for a plus sign) and the number of bytes that it takes
// in s.
func unescape(s []byte) (c byte, n int) {
	c, n = s[0], 1
	if isIn(c, escapes) {
		c, n = unescaped(s)
	}
	return folded[c], n
}

// folded is each byte in lower case, and a blank for the plus sign.
var folded = func() (t [256]byte) {
	for c := range t {
		t[c] = lower(byte(c))
	}
	t['+'] = ' '
	return t
}()

// unescaped returns the byte at the start of s and the number of bytes that it takes
// in s. It undoes the escapes of JSON, the entities of XML, and percent-encoding,
// however often that was applied.
func unescaped(s []byte) (c byte, n int) {
	c, n = s[0], 1
	switch {
	case c == '\\' && len(s) >= 6 && s[1] == 'u' && s[2] == '0' && s[3] == '0' && hex2(s[4:]) >= 0:
		c, n = byte(hex2(s[4:])), 6 //nolint:gosec // two hexadecimal digits
	case c == '\\' && len(s) >= 2 && (s[1] == '/' || s[1] == '"' || s[1] == '\\'):
		c, n = s[1], 2
	case c == '&':
		c, n = entity(s)
	}
	for c == '%' && hex2(s[n:]) >= 0 {
		c = byte(hex2(s[n:])) //nolint:gosec // two hexadecimal digits
		n += 2
	}
	return c, n
}

// entity returns the ASCII character of the entity at the start of s, or the
// ampersand if there is none.
func entity(s []byte) (c byte, n int) {
	r, n := xmlRune(s)
	if n == 1 || r >= 0x80 {
		return '&', 1
	}
	return byte(r), n //nolint:gosec // below 0x80
}
