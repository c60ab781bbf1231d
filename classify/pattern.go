package classify

import (
	"bytes"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
)

// pattern is a parsed message pattern: literal text in which * matches any
// sequence of bytes. Case is ignored.
type pattern struct {
	parts   [][]byte // the text between the stars, lower case; at least one
	literal int      // number of literal bytes: the minimum length of a matching message
}

// newPattern parses the pattern s.
func newPattern(s string) *pattern {
	p := &pattern{}
	for part := range strings.SplitSeq(ascii.ToLower(s), "*") {
		p.parts = append(p.parts, []byte(part))
		p.literal += len(part)
	}
	return p
}

// matches reports whether the whole message, in lower case, matches p. Using the
// first occurrence of each inner part is sufficient, because a star matches
// anything.
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
