package classify

import (
	"math/bits"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/structural"
)

// skip passes any value. Within a value all kinds of brackets count as one; that
// makes a difference only in text that is not JSON.
func (s *scanner) skip() {
	switch c := s.peek(); c {
	case '"':
		s.text()
	case '{', '[':
		s.skipNested()
	case '}', ']', ',', ':':
		// No value. The caller's loop deals with it.
	default:
		b, i := s.b, s.i
		for i < len(b) && b[i] > ' ' && b[i] != ',' && b[i] != '}' && b[i] != ']' {
			i++
		}
		s.i = min(max(i, s.i+1), len(b)) // a byte that begins no value is passed alone
	}
}

// skipNested passes an object or a list, of any depth. Most of a response's
// bytes are passed here.
func (s *scanner) skipNested() {
	var blocks [16]structural.Block
	var strings stringState
	depth, ahead := 0, 1 // most objects are small
	for s.i < len(s.b) {
		n := structural.Find(blocks[:ahead], s.b[s.i:])
		for k := range blocks[:n] {
			b := &blocks[k]
			inside := strings.inside(b)
			opened, closed := b.Open&^inside, b.Close&^inside
			if bits.OnesCount64(closed) >= depth {
				if end := closing(opened, closed, depth); end > 0 {
					s.i += end
					return
				}
			}
			depth += bits.OnesCount64(opened) - bits.OnesCount64(closed)
			s.i += structural.BlockSize
		}
		ahead = min(2*ahead, len(blocks))
	}
	s.i = len(s.b)
}

// closing returns the index behind the bracket that reduces depth to 0; 0 if there is none.
func closing(opened, closed uint64, depth int) int {
	for rest := opened | closed; rest != 0; rest &= rest - 1 {
		i := bits.TrailingZeros64(rest)
		if opened>>i&1 != 0 {
			depth++
			continue
		}
		if depth--; depth == 0 {
			return i + 1
		}
	}
	return 0
}

// stringState follows strings from one block of JSON text to the next.
type stringState struct {
	open    uint64 // all bits are set if the text so far ends within a string
	escaped uint64 // 1 if the next byte is escaped
}

// inside returns which bytes of the next block are in strings. Of the quotes, those
// that open a string are.
func (s *stringState) inside(b *structural.Block) uint64 {
	quotes := b.Quotes
	if b.Backslashes|s.escaped != 0 {
		quotes = s.unescaped(b)
	}
	inside := s.open ^ prefixXor(quotes)
	s.open = -(inside >> 63)
	return inside
}

// unescaped returns the quotes of the next block that open or close a string. Within a
// string, a backslash escapes the byte behind it.
func (s *stringState) unescaped(b *structural.Block) (quotes uint64) {
	open := s.open != 0
	rest := (b.Quotes | b.Backslashes) &^ s.escaped
	s.escaped = 0
	for rest != 0 {
		bit := rest & -rest
		rest ^= bit
		if b.Quotes&bit != 0 {
			quotes |= bit
			open = !open
		} else if open {
			rest &^= bit << 1
			s.escaped = bit >> 63
		}
	}
	return quotes
}

// prefixXor returns for each bit whether it and those below it are an odd number.
func prefixXor(x uint64) uint64 {
	x ^= x << 1
	x ^= x << 2
	x ^= x << 4
	x ^= x << 8
	x ^= x << 16
	return x ^ x<<32
}
