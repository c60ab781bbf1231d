package structural

import "golang.org/x/sys/cpu"

// find sets blocks to what is in the beginning of text, which must be as long as
// all of them. blocks must not be empty.
func find(blocks []Block, text []byte) {
	if cpu.X86.HasAVX2 {
		findAVX2(blocks, text)
	} else {
		findBytewise(blocks, text)
	}
}

//go:noescape
func findAVX2(blocks []Block, text []byte)
