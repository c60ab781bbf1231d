package redact

import (
	"sync"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
)

// A finder finds secrets in a text by how they look and by what is before them:
// key IDs, JSON web tokens, long runs of hexadecimal digits or of Base64, what
// follows the name of a secret or of an authentication scheme, and the user
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
			c, n = unescape.Byte(text[i:])
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
			if _, n := unescape.Byte(text[i:]); n > 1 {
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

// isHarmless reports whether b is too simple to contain anything that looks
// like a secret, as most values are. It is much faster than a search.
func isHarmless[T string | []byte](b T) bool {
	n := 0 // bytes of the run before i
	for i := range len(b) {
		c := b[i]
		if isIn(c, runs) {
			n++
			continue
		}
		run := b[i-n : i]
		switch {
		case n >= minKeyID && !isHarmlessRun(run):
			return false
		case !isIn(c, triggers):
		case c == '.' && !hasTokenStart(run):
		case c == ' ' && !isScheme(run):
		default:
			return false
		}
		n = 0
	}
	run := b[len(b)-n:] // may be cut
	return n < minKeyID || isHarmlessRun(run) && (n < minHexCut || uuidLength(run) == n)
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

// LooksSecret reports whether s contains something that looks like a secret, so
// that it must not be output.
func LooksSecret[T string | []byte](s T) bool {
	f := newFinder()
	defer f.release()
	return f.has([]byte(s))
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
