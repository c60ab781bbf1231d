// Package ascii compares and converts names without case, where only the letters of
// ASCII have one.
package ascii

// Lower returns c in lower case if it is a letter.
func Lower(c byte) byte {
	if 'A' <= c && c <= 'Z' {
		return c + 'a' - 'A'
	}
	return c
}

// ToLower returns s with its letters in lower case.
func ToLower(s string) string { return string(AppendLower(nil, []byte(s))) }

// AppendLower appends b to dst, with its letters in lower case.
func AppendLower(dst, b []byte) []byte {
	for _, c := range b {
		dst = append(dst, Lower(c))
	}
	return dst
}

// EqualFold reports whether b equals name, ignoring case. name is in lower case.
func EqualFold[T string | []byte](b T, name string) bool {
	if len(b) != len(name) {
		return false
	}
	for i := range len(name) {
		if b[i] != name[i] && Lower(b[i]) != name[i] {
			return false
		}
	}
	return true
}
