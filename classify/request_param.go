package classify

// param is one value as it stands in a request.
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

// append appends the plain value, as much of it as dst has room for. A value
// that is longer is not one of those that are looked for: then it is none.
func (p *param) append(dst []byte) []byte {
	text, ok := dst, len(p.raw) <= cap(dst)-len(dst)
	switch p.enc {
	case encodedURL:
		return appendUnescaped(dst, p.raw)
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

// isTrue reports whether p is a yes.
func isTrue(p *param) bool {
	var buf [8]byte
	b := p.append(buf[:0])
	return equalFold(b, "true") || equalFold(b, "1")
}

// appendUnescaped appends s with percent-encoding and plus signs undone, "" if
// dst has too little room. A percent sign that encodes nothing stands for
// itself.
func appendUnescaped(dst, s []byte) []byte {
	start := len(dst)
	for i := 0; i < len(s); i++ {
		if len(dst) == cap(dst) {
			return dst[:start]
		}
		c := s[i]
		switch {
		case c == '+':
			c = ' '
		case c == '%' && hex2(s[i+1:]) >= 0:
			c = byte(hex2(s[i+1:])) //nolint:gosec // two hexadecimal digits
			i += 2
		}
		dst = append(dst, c)
	}
	return dst
}
