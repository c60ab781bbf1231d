package classify

// SplitAuthorization splits the value of an Authorization field of SigV4,
// "AWS4-HMAC-SHA256 Credential=..., SignedHeaders=..., Signature=...", at its first
// blank. Parameters are read from list with CutParameter.
func SplitAuthorization[T ~string | ~[]byte](value T) (scheme, list T) {
	i := indexByte(value, ' ')
	if i < 0 {
		return value, value[len(value):]
	}
	return value[:i], value[i+1:]
}

// CutParameter cuts the first "name=value" off a list that is separated by commas,
// without the blanks around it. value is empty if there is no equals sign.
func CutParameter[T ~string | ~[]byte](list T) (name, value, rest T) {
	rest = list[len(list):]
	if i := indexByte(list, ','); i >= 0 {
		list, rest = list[:i], list[i+1:]
	}
	list = trimOWS(list)
	i := indexByte(list, '=')
	if i < 0 {
		return list, list[len(list):], rest
	}
	return list[:i], list[i+1:], rest
}

func indexByte[T ~string | ~[]byte](s T, c byte) int {
	for i := range len(s) {
		if s[i] == c {
			return i
		}
	}
	return -1
}

// trimOWS returns s without the blanks and tabs around it.
func trimOWS[T ~string | ~[]byte](s T) T {
	for len(s) > 0 && (s[0] == ' ' || s[0] == '\t') {
		s = s[1:]
	}
	for len(s) > 0 && (s[len(s)-1] == ' ' || s[len(s)-1] == '\t') {
		s = s[:len(s)-1]
	}
	return s
}
