package classify

import "bytes"

// redacted stands for a secret.
const redacted = "REDACTED"

// secretWords make a parameter secret whose name has one of them in it.
// They err on the side of hiding, so that SignatureMethod and NextToken are
// hidden with the rest.
var secretWords = []string{
	"token", "secret", "password", "passwd", "signature", "credential", "accesskey", "authorization",
}

// secretNames make a parameter secret whose name is one of them.
var secretNames = []string{"sig", "ak", "sk", "pwd"}

// maxParamName is the length beyond which a parameter's name is taken for a
// secret unread.
const maxParamName = 256

// maxDecodings is how often percent-encoding is undone in search of secrets.
const maxDecodings = 4

// isSecretParam reports whether a parameter's value must be hidden, by its
// name as it stands in a target. It is decoded several times over, since what
// is behind a proxy may do so too.
func isSecretParam(name []byte) bool {
	if len(name) > maxParamName {
		return true
	}
	var buf [maxParamName]byte
	plain := appendLower(buf[:0], name)
	if bytes.IndexByte(plain, '%') >= 0 || bytes.IndexByte(plain, '+') >= 0 {
		for range maxDecodings {
			plain = appendUnescaped(plain[:0], plain) // in place: it only gets shorter
		}
		plain = appendLower(plain[:0], plain)
	}
	for _, n := range secretNames {
		if string(bytes.TrimSpace(plain)) == n {
			return true
		}
	}
	return hasSecretWord(plain)
}

// secretInitials tells the bytes that secretWords begin with.
var secretInitials = func() (initials [256]bool) {
	for _, w := range secretWords {
		initials[w[0]] = true
	}
	return initials
}()

// hasSecretWord reports whether one of secretWords is in name.
func hasSecretWord(name []byte) bool {
	for i, c := range name {
		if !secretInitials[c] {
			continue
		}
		for _, w := range secretWords {
			if bytes.HasPrefix(name[i:], []byte(w)) {
				return true
			}
		}
	}
	return false
}

// RedactTarget returns an origin-form request target with the values of every
// secret parameter replaced by REDACTED, and with them everything that looks
// like a secret. Of an absolute-form target the user is hidden too. Bytes that
// may not stand in a target are percent-encoded. The names of parameters and
// all other values stay as they are.
func RedactTarget(target []byte) string {
	path, query, hasQuery := bytes.Cut(target, []byte{'?'})
	var buf [1 << 10]byte // for most targets; not beyond this call
	out := appendPath(buf[:0], path)
	if hasQuery {
		out = append(out, '?')
		out = appendQuery(out, query)
	}
	return string(scrubPatterns(out))
}

// appendPath appends what is before the query.
func appendPath(dst, path []byte) []byte {
	host := authority(path)
	at := bytes.LastIndexByte(host, '@')
	if at < 0 {
		return appendTarget(dst, path)
	}
	start := bytes.Index(path, host)
	dst = appendTarget(dst, path[:start])
	dst = append(dst, redacted+":"+redacted...)
	return appendTarget(dst, path[start+at:])
}

// appendQuery appends a query, its secret values hidden. A semicolon parts
// parameters like an ampersand, as some servers have it.
func appendQuery(dst, query []byte) []byte {
	for {
		end := 0
		for end < len(query) && query[end] != '&' && query[end] != ';' {
			end++
		}
		pair := query[:end]
		name, value, hasValue := bytes.Cut(pair, []byte{'='})
		dst = appendTarget(dst, name)
		if hasValue {
			dst = append(dst, '=')
			if isSecretParam(name) || hidesSecret(value) {
				if len(value) > 0 {
					dst = append(dst, redacted...)
				}
			} else {
				dst = appendTarget(dst, value)
			}
		}
		if end == len(query) {
			return dst
		}
		dst = append(dst, query[end])
		query = query[end+1:]
	}
}

// hidesSecret reports whether a value, decoded, has parameters of its own of
// which one is secret: an address within an address.
func hidesSecret(value []byte) bool {
	if bytes.IndexByte(value, '=') < 0 && bytes.IndexByte(value, '%') < 0 {
		return false
	}
	plain := bytes.Clone(value)
	for range maxDecodings {
		plain = appendUnescaped(plain[:0], plain)
	}
	for len(plain) > 0 {
		i := bytes.IndexByte(plain, '=')
		if i < 0 {
			return false
		}
		name := plain[:i]
		name = name[bytes.LastIndexAny(name, "&;?# ")+1:]
		if isSecretParam(name) {
			return true
		}
		plain = plain[i+1:]
	}
	return false
}

// appendTarget appends s, with bytes that may not stand in a target
// percent-encoded.
func appendTarget(dst, s []byte) []byte {
	const digits = "0123456789ABCDEF"
	for _, c := range s {
		if c <= ' ' || c >= 0x7f || c == '"' || c == '<' || c == '>' || c == '\\' {
			dst = append(dst, '%', digits[c>>4], digits[c&15])
			continue
		}
		dst = append(dst, c)
	}
	return dst
}
