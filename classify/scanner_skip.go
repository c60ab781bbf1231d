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
	var strings stringState
	depth, ahead := 0, 1 // most objects are small
	for s.i < len(s.b) {
		n := structural.Find(s.blocks[:ahead], s.b[s.i:])
		for k := range s.blocks[:n] {
			b := &s.blocks[k]
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
		ahead = min(2*ahead, len(s.blocks))
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
	var escaped, next uint64
	if b.Backslashes|s.escaped != 0 {
		escaped, next = escapes(b.Backslashes, s.escaped)
	}
	inside := s.open ^ prefixXor(b.Quotes&^escaped)
	if b.Backslashes&^inside != 0 {
		return s.bytewise(b)
	}
	s.open, s.escaped = -(inside >> 63), next
	return inside
}

// bytewise is inside for any text: outside of strings, where JSON has no backslash, one
// escapes nothing.
func (s *stringState) bytewise(b *structural.Block) (inside uint64) {
	for bit := uint64(1); bit != 0; bit <<= 1 {
		switch {
		case s.escaped != 0:
			s.escaped = 0
		case b.Quotes&bit != 0:
			s.open = ^s.open
		case b.Backslashes&s.open&bit != 0:
			s.escaped = 1
		}
		inside |= s.open & bit
	}
	return inside
}

// escapes returns which bytes behind runs of backslashes are escaped, because the run is
// of odd length. first is 1 if the first byte of the block is escaped, and next is the
// same for the next block.
func escapes(backslashes, first uint64) (escaped, next uint64) {
	const odd = 0xaaaaaaaaaaaaaaaa
	backslashes &^= first
	behind := backslashes << 1
	// A run that begins at an odd place is of odd length if the byte behind it is at an
	// even one, and vice versa. Adding the first bit of a run to it sets the bit behind it.
	sum, next := bits.Add64(backslashes, backslashes&^behind&odd, 0)
	return behind&^backslashes&(sum^odd) | first, next
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
