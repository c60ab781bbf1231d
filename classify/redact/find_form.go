package redact

import (
	"bytes"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// LooksKey reports whether a name or an ID contains something that looks like an
// access key, so that it must not be used as a label. Unlike in other texts,
// hexadecimal digits are a key from minHexName on.
func LooksKey[T string | []byte](s T) bool {
	if len(s) < minKeyID {
		return false
	}
	hex := 0
	for i := range len(s) {
		if hex++; !isIn(s[i], hexDigits) {
			hex = 0
		}
		if hex >= minHexName {
			return true
		}
	}
	return LooksSecret(s)
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

// run reads the longest run of Base64 characters from i on, and returns where to
// continue.
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
			hex = hex && isIn(b[stop], hexDigits)
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

// keyID finds the key IDs of the vendor or of AWS in the word b[word:stop]. The
// vendor's may continue after it, up to end. In capitals they are also found
// within words.
func keyID[T string | []byte](b T, word, stop, end int) (start, last int) {
	for i := word; i+minKeyID <= end && i < stop; i++ {
		if c := ascii.Lower(b[i]); c != 'a' || i > word && c == b[i] {
			continue
		}
		p := b[i : i+4]
		capitals := string(p) == "AKLT" || string(p) == "AKTP" || string(p) == "AKIA" || string(p) == "ASIA"
		if i > word && !capitals {
			continue
		}
		switch {
		case ascii.EqualFold(p, "aklt"), ascii.EqualFold(p, "aktp"):
			last = i
			for last < end && (isAlnum(b[last]) || b[last] == '-' || b[last] == '_') {
				last++
			}
		case ascii.EqualFold(p, "akia"), ascii.EqualFold(p, "asia"):
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
	// In random text, three of five characters follow one of another kind; in
	// CamelCase names, one of four.
	if kinds[0] > 0 && kinds[1] > 0 && kinds[2] > 0 && changes*5 >= (end-start)*2 {
		f.add(start, end)
	}
}

// IsUUID reports whether s is a UUID, which is not a secret.
func IsUUID[T string | []byte](s T) bool { return len(s) > 0 && uuidLength(s) == len(s) }

// uuidLength is 36 if b begins with a UUID and nothing follows it within the
// word, else 0.
func uuidLength[T string | []byte](b T) int {
	const length, dashes = 36, 4
	if len(b) < length || len(b) > length && isAlnum(b[length]) || b[8] != '-' || b[13] != '-' || b[18] != '-' || b[23] != '-' {
		return 0
	}
	digits := 0
	for i := range length {
		digits += int(byteSets[b[i]] & hexDigits) // without a branch
	}
	if digits != (length-dashes)*int(hexDigits) {
		return 0
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
