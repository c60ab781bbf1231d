// Package structural finds the bytes that give JSON text its structure: quotes,
// backslashes, and brackets and braces.
package structural

// BlockSize is the number of bytes of a block.
const BlockSize = 64

// Block says where such bytes are in a block of text. Bit i of each set stands
// for byte i.
type Block struct {
	Quotes, Backslashes uint64
	Open, Close         uint64 // brackets and braces
}

// Find sets blocks to what is in text, and returns how many of them it set. Only
// the last block of a text may be shorter than BlockSize.
func Find(blocks []Block, text []byte) int {
	n := min(len(blocks), len(text)/BlockSize)
	if n > 0 {
		find(blocks[:n], text)
	}
	rest := text[n*BlockSize:]
	if n == len(blocks) || len(rest) == 0 {
		return n
	}
	var last [BlockSize]byte
	copy(last[:], rest)
	find(blocks[n:n+1], last[:])
	return n + 1
}

// findBytewise is find for processors for which there is no better one.
func findBytewise(blocks []Block, text []byte) {
	for i := range blocks {
		b := Block{}
		for shift := 0; shift < BlockSize; shift += 16 {
			t := (*[16]byte)(text[i*BlockSize+shift:])
			m := lanes[t[0]] | lanes[t[1]]<<1 | lanes[t[2]]<<2 | lanes[t[3]]<<3 |
				lanes[t[4]]<<4 | lanes[t[5]]<<5 | lanes[t[6]]<<6 | lanes[t[7]]<<7 |
				lanes[t[8]]<<8 | lanes[t[9]]<<9 | lanes[t[10]]<<10 | lanes[t[11]]<<11 |
				lanes[t[12]]<<12 | lanes[t[13]]<<13 | lanes[t[14]]<<14 | lanes[t[15]]<<15
			b.Quotes |= m & 0xffff << shift
			b.Backslashes |= m >> 16 & 0xffff << shift
			b.Open |= m >> 32 & 0xffff << shift
			b.Close |= m >> 48 << shift
		}
		blocks[i] = b
	}
}

// lanes has one bit for each byte of a Block's sets: in the first 16 bits for
// Quotes, in the next for Backslashes, and so on.
var lanes = [256]uint64{
	'"':  1,
	'\\': 1 << 16,
	'[':  1 << 32, '{': 1 << 32,
	']': 1 << 48, '}': 1 << 48,
}
