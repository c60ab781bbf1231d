package classify

import "bytes"

// hide replaces every occurrence of secret in b, compared without case, and
// what of it the end of b has.
func hide(b []byte, secret string) []byte {
	if len(secret) < minSecret {
		return b
	}
	needle := appendLower(nil, []byte(secret))
	hay := appendLower(make([]byte, 0, len(b)), b)
	var out []byte
	done := 0
	for {
		i := bytes.Index(hay[done:], needle)
		if i < 0 {
			break
		}
		out = append(append(out, b[done:done+i]...), redacted...)
		done += i + len(needle)
	}
	tail := b[done:]
	if n := overlap(hay[done:], needle); n > 0 {
		tail = append(bytes.Clone(tail[:len(tail)-n]), redacted...)
	}
	return append(out, tail...)
}

// minPart is the length from which the start of a secret at the end of a
// message is taken for a part of it.
const minPart = 8

// overlap returns how much of the end of b is a start of secret.
func overlap(b, secret []byte) int {
	for n := min(len(b), len(secret)-1); n >= minPart; n-- {
		if bytes.HasSuffix(b, secret[:n]) {
			return n
		}
	}
	return 0
}

// scrubPatterns replaces what looks like a secret: key IDs (AKLT..., AKIA...),
// runs of 64 and more hexadecimal digits, and what is behind the name of a
// secret and "=" or ":". b is not changed.
func scrubPatterns(b []byte) []byte {
	var out []byte
	done := 0
	for i := 0; i < len(b); {
		start, end := looksSecret(b, i)
		if end <= start {
			i = max(start, i+1)
			continue
		}
		if string(b[start:end]) != redacted {
			out = append(append(out, b[done:start]...), redacted...)
			done = end
		}
		i = end
	}
	if out == nil {
		return b
	}
	return append(out, b[done:]...)
}

// The lengths from which runs look like secrets.
const (
	minHexRun    = 64
	minCutHexRun = 32 // at the end, where the rest may be cut off
	minKeyID     = 16
)

// looksSecret reports what looks like a secret at i: b[start:end]. If nothing
// does, end is not beyond start, and nothing before start needs another look.
func looksSecret(b []byte, i int) (start, end int) {
	if i > 0 && isWord(b[i-1]) {
		return i, i
	}
	run := i
	hex := true
	for run < len(b) && isWord(b[run]) {
		hex = hex && unhex(b[run]) >= 0
		run++
	}
	n := run - i
	switch {
	case n == 0:
		return i + 1, i + 1
	case hex && (n >= minHexRun || n >= minCutHexRun && run == len(b)), n >= minKeyID && isKeyID(b[i:run]):
		return i, run
	}
	return assigned(b, i, run)
}

// isWord reports whether c may be part of a key ID or of a name.
func isWord(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || c == '-' || c == '_'
}

// isKeyID reports whether b begins as the vendor's key IDs and those of AWS
// do.
func isKeyID(b []byte) bool {
	for _, prefix := range []string{"aklt", "akia", "asia", "aktp"} {
		if equalFold(b[:len(prefix)], prefix) {
			return true
		}
	}
	return false
}

// assignedNames are the names behind which a value is hidden wherever it
// stands.
var assignedNames = []string{
	"credential", "signature", "accesskey", "accesskeyid", "secretkey", "securitytoken", "authorization",
	"x-amz-credential", "x-amz-signature", "x-amz-security-token", "x-ksc-security-token", "awsaccesskeyid",
}

// assigned reports the value behind the name b[i:end], where it is the name of
// a secret with "=" or a quoted ":" behind it.
func assigned(b []byte, i, end int) (int, int) {
	if !isAssignedName(b[i:end]) {
		return end, end
	}
	v := end
	for v < len(b) && (b[v] == '"' || b[v] == '\'' || b[v] == ' ') {
		v++
	}
	if v == len(b) || b[v] != '=' && b[v] != ':' {
		return end, end
	}
	v++
	for v < len(b) && (b[v] == ' ' || b[v] == '"' || b[v] == '\'') {
		v++
	}
	stop := v
	for stop < len(b) && bytes.IndexByte([]byte(" ,;&\"'<>)]}\n"), b[stop]) < 0 {
		stop++
	}
	return v, stop
}

// isAssignedName reports whether name is one of assignedNames.
func isAssignedName(name []byte) bool {
	for _, n := range assignedNames {
		if equalFold(name, n) {
			return true
		}
	}
	return false
}
