package structural

// find sets blocks to what is in the beginning of text, which must be as long as
// all of them. blocks must not be empty.
//
//go:noescape
func find(blocks []Block, text []byte)
