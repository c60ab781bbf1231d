package classify

import "bytes"

// redacted stands for a secret.
const redacted = "REDACTED"

// secretWords make a parameter secret whose name, as isSecretName compares
// names, has one of them in it. They err on the side of hiding, so that
// SignatureMethod and NextToken are hidden with the rest.
var secretWords = []string{
	"accesskey", "accountkey", "apikey", "authkey", "authorization", "bearer", "cookie", "credential", "jwt",
	"passphrase", "passwd", "password", "privatekey", "secret", "sessionid", "sessionkey", "signature",
	"signingkey", "token",
}

// secretNames make a parameter secret whose name, or the last word of it, is
// one of them.
var secretNames = []string{"ak", "auth", "pass", "pwd", "session", "sig", "sign", "sk"}

// maxParamName is the length beyond which a parameter's name is taken for a
// secret unread.
const maxParamName = 256

// isSecretName reports whether the value behind a name must be hidden. Names
// are compared without case, escapes, and anything but letters and digits:
// access_key, Access-Key, access%4Bey and accessKey are one. atEnd reports that
// the name ends with what makes it secret: SecurityToken does,
// SignatureDoesNotMatch does not.
func isSecretName(name []byte) (secret, atEnd bool) {
	if len(name) > maxParamName {
		return true, true
	}
	var buf [maxParamName]byte
	plain, last, parted := buf[:0], 0, false
	for i := 0; i < len(name); {
		c, n := unescape(name[i:])
		i += n
		switch {
		case !isAlnum(c):
			parted = true
			continue
		case parted:
			last, parted = len(plain), false
		}
		plain = append(plain, c)
	}
	for _, n := range secretNames {
		if string(plain) == n || string(plain[last:]) == n {
			return true, true
		}
	}
	for i, c := range plain {
		if !secretInitials[c] {
			continue
		}
		for _, w := range secretWords {
			if bytes.HasPrefix(plain[i:], []byte(w)) {
				secret = true
				atEnd = atEnd || i+len(w) == len(plain)
			}
		}
	}
	return secret, atEnd
}

// secretInitials tells the bytes that secretWords begin with.
var secretInitials = func() (initials [256]bool) {
	for _, w := range secretWords {
		initials[w[0]] = true
	}
	return initials
}()

// RedactTarget returns an origin-form request target with the values of every
// secret parameter replaced by REDACTED, and with them everything that looks
// like a secret. Of an absolute-form target the user is hidden too. Bytes that
// may not stand in a target are percent-encoded. The names of parameters and
// all other values stay as they are.
func RedactTarget(target []byte) string {
	path, query, hasQuery := bytes.Cut(target, []byte{'?'})
	var buf [1 << 10]byte // for most targets; not beyond this call
	out := hideFound(appendPath(buf[:0], path), false)
	if hasQuery {
		out = append(out, '?')
		start := len(out)
		out = appendQuery(out, query)
		out = append(out[:start], hideFound(out[start:], false)...)
	}
	return string(out)
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

// appendQuery appends a query, its secret values hidden. A value that has a
// secret in it, such as an address or JSON, is hidden whole.
func appendQuery(dst, query []byte) []byte {
	for {
		name, value, rest := cutPair(query)
		dst = appendTarget(dst, name)
		if value != nil {
			dst = append(dst, '=')
			if secret, _ := isSecretName(name); len(value) > 0 && (secret || hasSecret(value)) {
				dst = append(dst, redacted...)
			} else {
				dst = appendTarget(dst, value)
			}
		}
		if rest == nil {
			return dst
		}
		dst = append(dst, rest[0])
		query = rest[1:]
	}
}

// cutPair cuts the first parameter off a query or a form. value is nil without
// an equals sign; rest begins with what parts the pairs, and is nil behind the
// last. A semicolon parts them like an ampersand, as some servers have it.
func cutPair(s []byte) (name, value, rest []byte) {
	end := bytes.IndexAny(s, "&;")
	if end < 0 {
		end = len(s)
	} else {
		rest = s[end:]
	}
	name, value, _ = bytes.Cut(s[:end], []byte{'='})
	return name, value, rest
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
