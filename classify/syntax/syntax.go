// Package syntax splits the target of a request, its query or form, its Authorization
// field, and the host names of the API into their parts. Nothing is decoded, and what
// is returned aliases the input.
package syntax

import "bytes"

// Cut cuts b around the first sep, like bytes.Cut in less time. after is nil if there
// is none.
func Cut(b []byte, sep byte) (before, after []byte) {
	i := bytes.IndexByte(b, sep)
	if i < 0 {
		return b, nil
	}
	return b[:i], b[i+1:]
}

// SplitTarget splits a request target into the part before the query and the query,
// without a fragment.
func SplitTarget(target []byte) (path, query []byte) {
	if i := bytes.IndexByte(target, '#'); i >= 0 {
		target = target[:i]
	}
	return Cut(target, '?')
}

// Authority returns the authority of a target in absolute form, or nil if the target
// is in another form.
func Authority(path []byte) []byte {
	i := bytes.Index(path, []byte("://"))
	if i <= 0 || path[0] == '/' {
		return nil
	}
	rest := path[i+len("://"):]
	if end := bytes.IndexByte(rest, '/'); end >= 0 {
		rest = rest[:end]
	}
	return rest
}

// CutPair cuts the first parameter off a query or a form. value is nil without
// an equals sign; rest begins with the separator, and is nil after the last
// pair. A semicolon separates pairs like an ampersand, as in some servers.
func CutPair(s []byte) (name, value, rest []byte) {
	equals := -1
	for i, c := range s {
		if c == '&' || c == ';' {
			s, rest = s[:i], s[i:]
			break
		}
		if c == '=' && equals < 0 {
			equals = i
		}
	}
	if equals < 0 {
		return s, nil, rest
	}
	return s[:equals], s[equals+1:], rest
}

// CutScheme cuts the authentication scheme off an Authorization field.
func CutScheme(field []byte) (scheme, rest []byte) { return Cut(bytes.TrimSpace(field), ' ') }

// CutParameter cuts the first "name=value" off a list that is separated by commas,
// without the blanks around it, such as what follows the scheme in an Authorization
// field of SigV4. value is empty if there is no equals sign.
func CutParameter(list []byte) (name, value, rest []byte) {
	list, rest = Cut(list, ',')
	name, value = Cut(trimBlanks(list), '=')
	return name, value, rest
}

// SplitCredential cuts "AK/date/region/service/aws4_request" behind the key.
// The slash may be percent-encoded. scope is nil if there is none.
func SplitCredential(credential []byte) (key, scope []byte) {
	for i, c := range credential {
		switch {
		case c == '/':
			return credential[:i], credential[i+1:]
		case c == '%' && len(credential) > i+2 && credential[i+1] == '2' && (credential[i+2] == 'f' || credential[i+2] == 'F'):
			return credential[:i], credential[i+3:]
		}
	}
	return credential, nil
}

// SplitScope returns the region and the service of "date/region/service/aws4_request".
func SplitScope(scope []byte) (region, service []byte) {
	_, rest := Cut(scope, '/')
	region, rest = Cut(rest, '/')
	service, _ = Cut(rest, '/')
	return region, service
}

// trimBlanks returns b without the blanks and tabs around it.
func trimBlanks(b []byte) []byte {
	for len(b) > 0 && (b[0] == ' ' || b[0] == '\t') {
		b = b[1:]
	}
	for len(b) > 0 && (b[len(b)-1] == ' ' || b[len(b)-1] == '\t') {
		b = b[:len(b)-1]
	}
	return b
}
