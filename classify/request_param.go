package classify

import (
	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
)

// param is one value as written in a request.
type param struct {
	raw []byte
	enc encoding
}

// encoding is how a parameter's bytes are written.
type encoding uint8

const (
	encodedNot encoding = iota
	encodedURL
	encodedJSON
)

// param returns a field of JSON as a parameter.
func (f field) param() param {
	if f.esc == escapeJSON {
		return param{raw: f.raw, enc: encodedJSON}
	}
	return param{raw: f.raw}
}

// offer sets p to the value if it has none yet.
func (p *param) offer(raw []byte, enc encoding) {
	if p.raw == nil && len(raw) > 0 {
		*p = param{raw: raw, enc: enc}
	}
}

// append appends the plain value to dst, or nothing if the capacity of dst is too
// small: a value of that length is not one that is looked for.
func (p *param) append(dst []byte) []byte {
	text, ok := dst, len(p.raw) <= cap(dst)-len(dst)
	switch p.enc {
	case encodedURL:
		return unescape.AppendURL(dst, p.raw)
	case encodedJSON:
		text, ok = appendJSON(dst, p.raw)
	case encodedNot:
		if ok {
			text = append(dst, p.raw...)
		}
	}
	if !ok {
		return dst
	}
	return text
}

// isTrue reports whether the value of p means true.
func isTrue(p *param) bool {
	var buf [8]byte
	b := p.append(buf[:0])
	return ascii.EqualFold(b, "true") || ascii.EqualFold(b, "1")
}
