package classify

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
)

// The classes of bytes that matter outside of strings.
const (
	classOther = iota
	classQuote
	classOpen
	classClose
)

var class = [256]uint8{
	'"': classQuote,
	'{': classOpen, '[': classOpen,
	'}': classClose, ']': classClose,
}

// skipBytewise is the reference of scanner.skipNested: the same, byte by byte.
func skipBytewise(b []byte, i int) int {
	depth := 0
	for i < len(b) {
		switch class[b[i]] {
		case classQuote:
			end, ok := stringEnd(b, i+1)
			if !ok {
				return len(b)
			}
			i = end
		case classOpen:
			depth++
		case classClose:
			depth--
			if depth == 0 {
				return i + 1
			}
		}
		i++
	}
	return len(b)
}

// checkSkip compares skipNested with its reference at every bracket of b that
// opens, within strings too.
func checkSkip(t *testing.T, b []byte) {
	t.Helper()
	for i, c := range b {
		if class[c] != classOpen {
			continue
		}
		s := scanner{b: b, i: i}
		s.skipNested()
		if want := skipBytewise(b, i); s.i != want {
			t.Fatalf("from %d skipped to %d, byte by byte to %d, in %q", i, s.i, want, b)
		}
	}
}

// document is a random JSON document, or nearly one: mostly lists of objects,
// with what may mislead a reader who does not look at every byte.
func document(r *rand.Rand) []byte {
	var b strings.Builder
	var value func(depth int)
	text := func() {
		b.WriteByte('"')
		for range r.IntN(4) {
			b.WriteString([]string{"a", "},{", "{", "}", "[", "]", `\"`, `\\`, ",", "2026-03-18T06:00:00Z", "},{\\\"", "告警"}[r.IntN(12)])
		}
		b.WriteByte('"')
	}
	object := func(depth int) {
		b.WriteByte('{')
		for i := range r.IntN(5) {
			if i > 0 {
				b.WriteByte(',')
			}
			text()
			b.WriteByte(':')
			value(depth + 1)
		}
		b.WriteByte('}')
	}
	value = func(depth int) {
		switch n := r.IntN(10); {
		case n < 4 || depth > 4:
			text()
		case n < 6:
			fmt.Fprint(&b, r.IntN(1e6))
		case n < 8:
			object(depth)
		default:
			b.WriteByte('[')
			for i := range r.IntN(12) {
				if i > 0 {
					b.WriteString([]string{",", ",", ",", ", ", ""}[r.IntN(5)])
				}
				if n == 8 {
					object(depth)
				} else {
					value(depth + 1)
				}
			}
			b.WriteByte(']')
		}
	}
	b.WriteString(`{"a":[`)
	for range r.IntN(6) {
		object(1)
		b.WriteByte(',')
	}
	b.WriteString(`{"z":1}],"error":{"code":"X","message":"m"},"requestId":"id"}`)
	return []byte(b.String())
}

// mutate changes, drops or repeats a few bytes of b.
func mutate(r *rand.Rand, b []byte) []byte {
	b = bytes.Clone(b)
	for range 1 + r.IntN(3) {
		i, j := r.IntN(len(b)), r.IntN(len(b))
		switch r.IntN(4) {
		case 0:
			b[i] = `"\{}[],:x`[r.IntN(9)]
		case 1:
			b = append(b[:i:i], b[min(len(b), i+1+r.IntN(4)):]...)
		case 2:
			b = append(b[:i:i], append(bytes.Clone(b[j:min(len(b), j+r.IntN(40))]), b[i:]...)...)
		default:
			b = b[:max(1, i)]
		}
		if len(b) == 0 {
			return []byte("{")
		}
	}
	return b
}

func TestSkipAsBytewise(t *testing.T) {
	const seed = 12
	r := rand.New(rand.NewPCG(seed, seed))
	for range 600 {
		doc := document(r)
		checkSkip(t, doc)
		for range 4 {
			checkSkip(t, mutate(r, doc))
		}
	}
	for _, doc := range hostile(2 << 10) {
		checkSkip(t, doc)
	}
	checkSkip(t, metricsJSON(4<<10))
	for n := range 256 { // escapes at every place of a block
		for _, end := range []string{`\"}"`, `\"""}"`, `\\"`, `\\\"}"`} {
			checkSkip(t, []byte(`{"a":"`+strings.Repeat("x", n)+end+`},{}`))
		}
	}
}

func FuzzSkip(f *testing.F) {
	for _, s := range samples {
		f.Add(sample(f, s.file))
	}
	for _, doc := range hostile(300) {
		f.Add(doc)
	}
	f.Add(metricsJSON(1 << 10))
	r := rand.New(rand.NewPCG(1, 1))
	for range 20 {
		f.Add(document(r))
	}
	f.Fuzz(func(t *testing.T, doc []byte) {
		checkSkip(t, doc[:min(len(doc), 4<<10)])
	})
}
