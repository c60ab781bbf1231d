package classify

import "bytes"

// Plain returns a copy of a body, or of its beginning, without its content codings
// and in UTF-8, as far as it can be decoded; at most 64 KiB are decompressed. It
// returns nil if the body is empty or a coding is not supported. h is the header of
// the message and may be nil.
func Plain(h Header, body []byte) []byte {
	p, d := decode(body, nil, h, true)
	defer func() { d.release() }() // d may be replaced
	if p.opaque || len(p.body) == 0 {
		return nil
	}
	p.narrow(&d)
	p.utf8(&d, get(h, headerContentType))
	return bytes.Clone(p.body)
}

// IsForm reports whether a body, as returned by Plain, is to be read as a form.
func IsForm(h Header, body []byte) bool { return isForm(get(h, headerContentType), body) }
