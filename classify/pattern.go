package classify

import (
	"bytes"
	"strings"
)

// pattern is a message pattern made ready: literal text in which * stands for
// any run of bytes, compared without case.
type pattern struct {
	parts   [][]byte // the text between the stars, lower case; at least one
	literal int      // bytes of text, which no matching message is shorter than
}

// newPattern makes ready the pattern s.
func newPattern(s string) *pattern {
	p := &pattern{}
	for part := range strings.SplitSeq(fold(s), "*") {
		p.parts = append(p.parts, []byte(part))
		p.literal += len(part)
	}
	return p
}

// matches reports whether the whole of message, in lower case, fits p. Taking
// each inner part at its first place is enough, since stars match anything.
func (p *pattern) matches(message []byte) bool {
	if len(message) < p.literal {
		return false
	}
	first, last := p.parts[0], p.parts[len(p.parts)-1]
	if len(p.parts) == 1 {
		return bytes.Equal(message, first)
	}
	if !bytes.HasPrefix(message, first) || !bytes.HasSuffix(message, last) {
		return false
	}
	message = message[len(first) : len(message)-len(last)]
	for _, part := range p.parts[1 : len(p.parts)-1] {
		i := bytes.Index(message, part)
		if i < 0 {
			return false
		}
		message = message[i+len(part):]
	}
	return true
}
