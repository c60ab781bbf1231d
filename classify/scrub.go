package classify

import "bytes"

// The lengths from which a secret is looked for in a message. Nothing shorter
// is one, and it would be found everywhere.
const (
	minSecret = 4
	minPart   = 8 // of the start of a secret, where the message ends
)

// Scrub returns message with every secret of the request it answers, and
// everything that looks like one, replaced by REDACTED. A secret is found
// however it is escaped, without case, and at the end of the message in part,
// since messages are cut.
func Scrub(message string, s Secrets) string {
	b := hide([]byte(message), s.Signature, s.Token, s.AccessKey)
	b = scrubPatterns(b)
	if string(b) == message {
		return message
	}
	return string(b)
}

// hide replaces the secrets in b. Each place is tried, so that no byte before a
// secret can hide it by making an escape of its start.
func hide(b []byte, secrets ...[]byte) []byte {
	var needles [][]byte
	for _, s := range secrets {
		if n := normalize(s); len(n) >= minSecret {
			needles = append(needles, n)
		}
	}
	if needles == nil {
		return b
	}
	var out []byte
	done := 0
	for i := 0; i < len(b); {
		n := 0
		for _, needle := range needles {
			n = max(n, secretAt(b[i:], needle))
		}
		if n == 0 {
			i++
			continue
		}
		out = append(append(out, b[done:i]...), redacted...)
		i += n
		done = i
	}
	if out == nil {
		return b
	}
	return append(out, b[done:]...)
}

// secretAt returns how many bytes at the start of s spell secret, or as much
// of it as s has room for; 0 if they do not.
func secretAt(s, secret []byte) int {
	i := 0
	for k, want := range secret {
		if i == len(s) {
			if k < minPart {
				return 0
			}
			return i
		}
		c, n := unescape(s[i:])
		if c != want {
			return 0
		}
		i += n
	}
	return i
}

// normalize returns what unescape makes of s.
func normalize(s []byte) []byte {
	if len(s) < minSecret {
		return nil // it only gets shorter
	}
	text := make([]byte, 0, len(s))
	for i := 0; i < len(s); {
		c, n := unescape(s[i:])
		text = append(text, c)
		i += n
	}
	return text
}

// unescape returns the byte that s begins with and how many bytes it is
// written in. The ways of writing it are made equal: lower case, the escapes of
// JSON and percent-encoding undone, this however often it was applied, and a
// plus sign for a blank.
func unescape(s []byte) (c byte, n int) {
	c, n = s[0], 1
	switch {
	case c == '\\' && len(s) >= 6 && s[1] == 'u' && s[2] == '0' && s[3] == '0' && hex2(s[4:]) >= 0:
		c, n = byte(hex2(s[4:])), 6 //nolint:gosec // two hexadecimal digits
	case c == '\\' && len(s) >= 2 && (s[1] == '/' || s[1] == '"' || s[1] == '\\'):
		c, n = s[1], 2
	}
	for c == '%' && hex2(s[n:]) >= 0 {
		c = byte(hex2(s[n:])) //nolint:gosec // two hexadecimal digits
		n += 2
	}
	if c == '+' {
		c = ' '
	}
	return lower(c), n
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

// minAssignedName is the length of the shortest of assignedNames. Most words of
// a text are shorter.
const minAssignedName = len("signature")

// isAssignedName reports whether name is one of assignedNames.
func isAssignedName(name []byte) bool {
	if len(name) < minAssignedName {
		return false
	}
	for _, n := range assignedNames {
		if equalFold(name, n) {
			return true
		}
	}
	return false
}
