package classify

import "bytes"

// Plain returns a copy of a body, or of its beginning, without its content codings
// and in UTF-8, as far as it can be decoded; at most 64 KiB are decompressed. It
// returns nil if the body is empty or a coding is not supported. h is the header of
// the message and may be nil.
func Plain(h Header, body []byte) []byte {
	p, d := decode(body, nil, get(h, headerCoding), true)
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

// Scrubber removes the secrets of one request from texts. It must not be used
// concurrently.
type Scrubber struct{ secrets *secretSet }

// NewScrubber returns a scrubber of the secrets of r, wherever they are in it, and of
// the known ones. The caller must release it.
func NewScrubber(r *Request, known ...Secrets) *Scrubber {
	return &Scrubber{secretsOf(r, known)}
}

// Scrub returns text with the secrets, and everything that looks like a secret,
// replaced with REDACTED, even if they are escaped.
func (s *Scrubber) Scrub(text string) string { return s.secrets.scrub(text) }

// Release forgets the secrets. The scrubber must not be used afterwards.
func (s *Scrubber) Release() {
	s.secrets.release()
	s.secrets = nil
}
