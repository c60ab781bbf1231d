package structural

import (
	"bytes"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// check compares what Find finds in text with a search byte by byte.
func check(t *testing.T, text []byte) {
	t.Helper()
	blocks := (len(text) + BlockSize - 1) / BlockSize
	want := make([]Block, blocks)
	for i, c := range text {
		b, bit := &want[i/BlockSize], uint64(1)<<(i%BlockSize)
		switch c {
		case '"':
			b.Quotes |= bit
		case '\\':
			b.Backslashes |= bit
		case '[', '{':
			b.Open |= bit
		case ']', '}':
			b.Close |= bit
		}
	}
	unset := Block{Quotes: 1, Backslashes: 2, Open: 3, Close: 4}
	for _, room := range []int{0, blocks / 2, blocks, blocks + 1} {
		got := slices.Repeat([]Block{unset}, room)
		n := Find(got, text)
		if n != min(room, blocks) || !slices.Equal(got[:n], want[:n]) {
			t.Fatalf("%d blocks for %q: %x, want %x", room, text, got[:n], want)
		}
		if n < room && got[n] != unset {
			t.Fatalf("Find set a block behind the %d it returned", n)
		}
	}
	whole := len(text) / BlockSize
	got := make([]Block, whole)
	if findBytewise(got, text); !slices.Equal(got, want[:whole]) {
		t.Fatalf("bytewise in %q: %x, want %x", text, got, want)
	}
}

func TestFind(t *testing.T) {
	for c := range 256 { // every byte at every place
		for i := range BlockSize {
			text := bytes.Repeat([]byte{'a'}, BlockSize)
			text[i] = byte(c)
			check(t, text)
		}
	}
	const often = "\"\\[]{}\x02\x1b;=PQRSTU|~\xdb\xfb\xfd\x00"
	r := rand.New(rand.NewPCG(1, 1))
	for n := range 5 * BlockSize {
		text := make([]byte, n)
		for i := range text {
			text[i] = often[r.IntN(len(often))]
		}
		check(t, text)
		check(t, text[n/3:]) // not aligned
	}
}

func FuzzFind(f *testing.F) {
	f.Add([]byte(strings.Repeat(`{"a\"":[1,"}"]},`, 9)))
	f.Fuzz(check)
}

func Benchmark(b *testing.B) {
	text := []byte(strings.Repeat(`{"timestamp":"2026-03-18T06:00:00Z","average":"1.25"},`, 1200))
	var blocks [16]Block
	for name, f := range map[string]func([]Block, []byte){"find": find, "bytewise": findBytewise} {
		b.Run(name, func(b *testing.B) {
			b.SetBytes(int64(len(text)))
			for b.Loop() {
				for t := text; len(t) >= len(blocks)*BlockSize; t = t[len(blocks)*BlockSize:] {
					f(blocks[:], t)
				}
			}
		})
	}
}
