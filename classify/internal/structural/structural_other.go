//go:build !amd64 && !arm64

package structural

// find sets blocks to what is in the beginning of text, which must be as long as
// all of them.
func find(blocks []Block, text []byte) { findBytewise(blocks, text) }
