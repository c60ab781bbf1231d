package classify

import "bytes"

// CutParameter cuts the first "name=value" off a list that is separated by commas,
// without the blanks around it, such as what follows the scheme in an Authorization
// field of SigV4. value is empty if there is no equals sign.
func CutParameter(list []byte) (name, value, rest []byte) {
	list, rest = cut(list, ',')
	name, value = cut(trimBlanks(list), '=')
	return name, value, rest
}

// cut cuts b around the first sep. after is nil if there is none.
func cut(b []byte, sep byte) (before, after []byte) {
	if i := bytes.IndexByte(b, sep); i >= 0 {
		return b[:i], b[i+1:]
	}
	return b, nil
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
