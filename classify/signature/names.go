package signature

import "github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"

// paramNames are the names of parameters that sign a request, or that say who
// signed it and when, in lower case. One that ends in a star stands for every name
// that begins so.
var paramNames = [...]string{
	"accesskey", "accesskeyid", "nonce", "securitytoken", "signature*", "timestamp", "x-amz-*", "x-ksc-*",
}

// namesAt holds the names of paramNames that begin with a letter, by its place in
// the alphabet.
var namesAt = func() (t ['z' - 'a' + 1][]string) {
	for _, n := range paramNames {
		t[n[0]-'a'] = append(t[n[0]-'a'], n)
	}
	return t
}()

// IsParam reports whether a parameter of that name belongs to the signature
// of a request, in any of its forms, and not to what is asked for. Case is ignored.
func IsParam[T string | []byte](name T) bool {
	if len(name) == 0 {
		return false
	}
	letter := ascii.Lower(name[0])
	if letter < 'a' || letter > 'z' {
		return false
	}
	for _, n := range namesAt[letter-'a'] {
		if stem := len(n) - 1; n[stem] == '*' {
			if len(name) >= stem && ascii.EqualFold(name[:stem], n[:stem]) {
				return true
			}
		} else if ascii.EqualFold(name, n) {
			return true
		}
	}
	return false
}
