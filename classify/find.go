package classify

import (
	"bytes"
	"encoding/base64"
	"sync"
)

// A finder finds secrets in a text by how they look and by what is before them:
// key IDs, JSON web tokens, long runs of hexadecimal digits or of Base64, what
// stands behind the name of a secret or an authentication scheme, and the user
// before a host. It reads through the escapes of URLs, JSON and XML.
type finder struct {
	text  []byte  // memory for a copy of the text
	plain []byte  // the text with its escapes undone
	at    []int32 // where each byte of plain begins in the text, and the text's end; empty without escapes
	found []span  // in order, without overlap; places in plain
	cut   bool    // the text may be cut at its end, in the midst of a secret
}

// span is a part of a text.
type span struct{ start, end int }

// maxKept is the longest text whose memory is used again, in bytes.
const maxKept = 128 << 10

var finders = sync.Pool{New: func() any { return new(finder) }}

// newFinder returns a finder, which the caller releases.
func newFinder() *finder { return finders.Get().(*finder) }

// find returns a finder that has read text, which may be cut. The caller
// releases it.
func find(text []byte, cut bool) *finder {
	f := newFinder()
	f.read(text, cut)
	return f
}

// read finds the secrets in text, which may be cut.
func (f *finder) read(text []byte, cut bool) {
	f.plain, f.at, f.found, f.cut = f.plain[:0], f.at[:0], f.found[:0], cut
	f.unescape(text)
	f.search()
}

// unescape fills plain and at.
func (f *finder) unescape(text []byte) {
	i := firstEscape(text)
	f.plain = append(f.plain, text[:i]...)
	if i == len(text) {
		return
	}
	for j := range i {
		f.at = append(f.at, int32(j))
	}
	for i < len(text) {
		c, n := text[i], 1
		if isIn(c, escapes) {
			c, n = unescaped(text[i:])
		}
		f.plain = append(f.plain, c)
		f.at = append(f.at, int32(i)) //nolint:gosec // texts are at most some MiB
		i += n
	}
	f.at = append(f.at, int32(len(text))) //nolint:gosec // see above
}

// firstEscape returns the place of the first escape in text, its length if there
// is none. An ampersand between parameters is no escape.
func firstEscape(text []byte) int {
	for i, c := range text {
		if isIn(c, escapes) {
			if _, n := unescaped(text[i:]); n > 1 {
				return i
			}
		}
	}
	return len(text)
}

func (f *finder) release() {
	if cap(f.plain) > maxKept || cap(f.text) > maxKept {
		return
	}
	clear(f.plain) // nothing is kept of a request
	clear(f.text)
	finders.Put(f)
}

// width is the number of bytes of the text in which the byte at i is written.
func (f *finder) width(i int) int { return f.place(i+1) - f.place(i) }

// place returns where the byte at i begins in the text.
func (f *finder) place(i int) int {
	if len(f.at) == 0 {
		return i
	}
	return int(f.at[i])
}

// original returns the part of text that spells s.
func (f *finder) original(text []byte, s span) []byte { return text[f.place(s.start):f.place(s.end)] }

// hideFound replaces what looks like a secret. b is not changed.
func hideFound(b []byte, cut bool) []byte {
	if isHarmless(b) {
		return b
	}
	f := find(b, cut)
	defer f.release()
	return f.hide(b)
}

// hide replaces what was found in b.
func (f *finder) hide(b []byte) []byte {
	var out []byte
	done := 0
	for _, s := range f.found {
		if was := string(f.original(b, s)); was == redacted || was == redacted+":"+redacted {
			continue
		}
		out = append(append(out, b[done:f.place(s.start)]...), redacted...)
		done = f.place(s.end)
	}
	if out == nil {
		return b
	}
	return append(out, b[done:]...)
}

// isHarmless reports whether b is too simple to have anything that looks like a
// secret, as most values are. It is much quicker than to search.
func isHarmless[T string | []byte](b T) bool {
	n := 0 // bytes of the run before i
	for i := range len(b) {
		c := b[i]
		if isIn(c, runs) {
			if n++; n >= minKeyID {
				return uuidLength(b) == len(b)
			}
			continue
		}
		switch {
		case !isIn(c, triggers):
		case c == '.' && n < 2*minJWTPart:
		case c == '.' && !hasTokenStart(b[i-n:i]):
		case c == ' ' && !isScheme(b[i-n:i]):
		default:
			return false
		}
		n = 0
	}
	return true
}

// isClean reports whether the text has neither secrets nor escapes.
func (f *finder) isClean() bool { return len(f.found) == 0 && len(f.at) == 0 }

// has reports whether there is what looks like a secret in b.
func (f *finder) has(b []byte) bool {
	if isHarmless(b) {
		return false
	}
	f.read(b, false)
	return len(f.found) > 0
}

// hasSecret reports whether there is what looks like a secret in b.
func hasSecret(b []byte) bool {
	f := newFinder()
	defer f.release()
	return f.has(b)
}

// LooksSecret reports whether s contains something that looks like a secret, so
// that it must not be output.
func LooksSecret(s string) bool { return hasSecret([]byte(s)) }

// LooksKey reports whether a name or an ID contains something that looks like an
// access key, so that it must not be used as a label.
func LooksKey(s string) bool { return looksKey([]byte(s)) }

// looksKey reports whether there is a key in b, which is a name or an ID.
// Unlike in other texts, hexadecimal digits are a key from minHexName on.
func looksKey(b []byte) bool {
	if len(b) < minKeyID {
		return false
	}
	hex := 0
	for _, c := range b {
		if hex++; unhex(c) < 0 {
			hex = 0
		}
		if hex >= minHexName {
			return true
		}
	}
	return hasSecret(b)
}

// add adds plain[start:end] to what was found, joined with what it overlaps.
func (f *finder) add(start, end int) {
	for n := len(f.found); n > 0 && f.found[n-1].end > start; n-- {
		start, end = min(start, f.found[n-1].start), max(end, f.found[n-1].end)
		f.found = f.found[:n-1]
	}
	if start < end {
		f.found = append(f.found, span{start, end})
	}
}

// search reads plain.
func (f *finder) search() {
	b := f.plain
	for i := 0; i < len(b); {
		c := b[i]
		switch {
		case isIn(c, runs):
			i = f.run(i)
			continue
		case c == '=' || c == ':':
			if start, end := f.assigned(i); end > start {
				f.add(start, end)
				i = end
				continue
			}
		case c == '>':
			f.element(i)
		case c == '@':
			f.user(i)
		}
		i++
	}
}

// The lengths from which runs look like secrets.
const (
	minKeyID   = 16
	minHexRun  = 40
	minHexName = 33 // a trace ID, or a request ID without dashes, is shorter
	minHexCut  = 32 // at the end, where the rest may be cut off
	minBase64  = 40
	minJWTPart = 4
)

// byteSet is a set of bytes, as a bit in byteSets.
type byteSet uint16

const (
	alnums      byteSet = 1 << iota // letters and digits
	runs                            // what may be part of a key: Base64 in both alphabets
	nameParts                       // what may be part of a parameter's name
	quotes                          // quotes, and what stands before one that is escaped
	valueEnds                       // what parts values that are not quoted
	userEnds                        // what may not be in a user and password before a host
	escapes                         // what an escape begins with
	triggers                        // what is in every secret that is not a long run
	notInTarget                     // what may not stand in a request target
)

var byteSets = func() (t [256]byteSet) {
	add := func(set byteSet, bytes string) {
		for _, b := range []byte(bytes) {
			t[b] |= set
		}
	}
	const letters = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789"
	add(alnums, letters)
	add(runs, letters+"-_+/")
	add(nameParts, letters+"-_.[]")
	add(quotes, "\"'`\\")
	add(valueEnds, " ,;&\"'<>)]}\r\n\t")
	add(userEnds, "@ \"'`<>(),;=&?#/\r\n\t")
	add(escapes, "%\\&")
	add(triggers, " .=:>@%\\&")
	for c := range t {
		if c <= ' ' || c >= 0x7f {
			t[c] |= notInTarget
		}
	}
	add(notInTarget, "\"<>\\")
	return t
}()

// isIn reports whether c is in set.
func isIn(c byte, set byteSet) bool { return byteSets[c]&set != 0 }

// isAlnum reports whether c is a letter or a digit.
func isAlnum(c byte) bool { return isIn(c, alnums) }

// run reads the longest run of Base64's characters from i on, and returns where
// to go on.
func (f *finder) run(i int) int {
	b := f.plain
	end := i
	for end < len(b) && isIn(b[end], runs) {
		end++
	}
	if start, stop := f.scheme(i, end); stop > start {
		f.add(start, stop)
		return max(end, stop)
	}
	if end-i < minJWTPart {
		return end
	}
	if stop := f.webToken(i, end); stop > 0 {
		return stop
	}
	if end-i < minKeyID {
		return end
	}
	for word := i; word < end; {
		if !isAlnum(b[word]) {
			word++
			continue
		}
		if n := uuidLength(b[word:end]); n > 0 {
			f.dense(i, word)
			word += n
			i = word
			continue
		}
		stop, hex := word, true
		for stop < end && isAlnum(b[stop]) {
			hex = hex && unhex(b[stop]) >= 0
			stop++
		}
		if n := stop - word; hex && (n >= minHexRun || n >= minHexCut && f.cut && stop == len(b)) {
			f.add(word, stop)
		} else if start, last := keyID(b, word, stop, end); last > start {
			f.add(start, last)
			stop = last
		}
		word = stop
	}
	f.dense(i, end)
	return end
}

// keyID finds the vendor's key IDs, or those of AWS, in the word b[word:stop].
// The vendor's may go on behind it, as far as end. In capitals they are found
// within words too.
func keyID(b []byte, word, stop, end int) (start, last int) {
	for i := word; i+minKeyID <= end && i < stop; i++ {
		if c := lower(b[i]); c != 'a' || i > word && c == b[i] {
			continue
		}
		p := b[i : i+4]
		capitals := string(p) == "AKLT" || string(p) == "AKTP" || string(p) == "AKIA" || string(p) == "ASIA"
		if i > word && !capitals {
			continue
		}
		switch {
		case equalFold(p, "aklt"), equalFold(p, "aktp"):
			last = i
			for last < end && (isAlnum(b[last]) || b[last] == '-' || b[last] == '_') {
				last++
			}
		case equalFold(p, "akia"), equalFold(p, "asia"):
			last = stop
		}
		if last-i >= minKeyID {
			return i, last
		}
	}
	return 0, 0
}

// dense adds plain[start:end], a run without UUIDs, if it is long enough and
// mixed enough to be random.
func (f *finder) dense(start, end int) {
	if end-start < minBase64 {
		return
	}
	var kinds [3]int
	changes, last := 0, -1
	for _, c := range f.plain[start:end] {
		kind := last // of what stands between words
		switch {
		case 'a' <= c && c <= 'z':
			kind = 0
		case 'A' <= c && c <= 'Z':
			kind = 1
		case '0' <= c && c <= '9':
			kind = 2
		}
		if kind < 0 {
			continue
		}
		kinds[kind]++ //nolint:gosec // 0 to 2
		if kind != last {
			changes++
		}
		last = kind
	}
	// Of random characters, three in five follow one of another kind; of names
	// in CamelCase, one in four.
	if kinds[0] > 0 && kinds[1] > 0 && kinds[2] > 0 && changes*5 >= (end-start)*2 {
		f.add(start, end)
	}
}

// uuidLength is 36 if b begins with a UUID and nothing follows it within the
// word, else 0.
func uuidLength[T string | []byte](b T) int {
	const length = 36
	if len(b) < length || len(b) > length && isAlnum(b[length]) {
		return 0
	}
	for i := range length {
		c := b[i]
		if dash := i == 8 || i == 13 || i == 18 || i == 23; dash != (c == '-') || !dash && unhex(c) < 0 {
			return 0
		}
	}
	return length
}

// webToken adds the JSON web token that begins with the run plain[i:end], and
// returns where it ends; 0 if there is none.
func (f *finder) webToken(i, end int) int {
	b := f.plain
	if end-i < 2*minJWTPart || end == len(b) || b[end] != '.' {
		return 0
	}
	start := bytes.Index(b[i:end], []byte(tokenStart))
	if start < 0 || end-i-start < 2*minJWTPart {
		return 0
	}
	stop := end + 1
	for stop < len(b) && (isIn(b[stop], runs) || b[stop] == '.') {
		stop++
	}
	if stop-end <= minJWTPart {
		return 0
	}
	f.add(i+start, stop)
	return stop
}

// isScheme reports whether name is that of an authentication scheme whose
// credentials are looked for.
func isScheme[T string | []byte](name T) bool {
	switch len(name) {
	case len("kss"):
		return foldsTo(name, "kss") || foldsTo(name, "aws") || foldsTo(name, "ks3")
	case len("basic"):
		return foldsTo(name, "basic") || foldsTo(name, "token")
	case len("bearer"):
		return foldsTo(name, "bearer")
	}
	return false
}

// foldsTo reports whether b is name, which is as long and in lower case.
func foldsTo[T string | []byte](b T, name string) bool {
	for i := range len(name) {
		if lower(b[i]) != name[i] {
			return false
		}
	}
	return true
}

// tokenStart is what a JSON web token begins with.
const tokenStart = "eyJ"

func hasTokenStart[T string | []byte](b T) bool {
	for i := range len(b) - len(tokenStart) + 1 {
		if string(b[i:i+len(tokenStart)]) == tokenStart {
			return true
		}
	}
	return false
}

// scheme returns what stands behind the name of an authentication scheme,
// plain[i:end].
func (f *finder) scheme(i, end int) (start, stop int) {
	b := f.plain
	name := b[i:end]
	if !isScheme(name) {
		return 0, 0
	}
	basic, pair := lower(name[0]) == 'b' && len(name) == len("basic"), len(name) == len("kss")
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

// isWords reports whether b is made of letters and what stands between and
// behind words.
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

// ends reports whether a value ends before i: at the closing quote, or without
// one at what parts values. What is escaped deeper than the value itself is a
// part of it.
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
		if equalFold(value, s) {
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
