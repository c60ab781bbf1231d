package redact

import (
	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
)

// Most queries are simple: their names and values consist of what may be in a run, of dots,
// commas and times. Nothing in them needs a search, but for the names of secrets, and nothing
// in a parameter depends on the others.

// appendSimpleQuery is appendRedactedQuery for a simple query. ok reports whether query is
// one. It is much faster than a search.
func appendSimpleQuery(dst, query []byte) (out []byte, ok bool) {
	done := 0 // what of query is in dst
	for i := 0; ; i++ {
		value, end, ok := simpleParameter(query[i:])
		if !ok {
			return dst, false
		}
		if value > 0 {
			dst = append(append(dst, query[done:i+value]...), redacted...)
			done = i + end
		}
		if i += end; i == len(query) {
			return append(dst, query[done:]...), true
		}
	}
}

// isHarmlessQuery reports whether query is simple and nothing in it is redacted.
func isHarmlessQuery(query []byte) bool {
	for i := 0; ; i++ {
		value, end, ok := simpleParameter(query[i:])
		if !ok || value > 0 {
			return false
		}
		if i += end; i == len(query) {
			return true
		}
	}
}

// simpleParameter reads the first parameter of a query. It returns where the value begins
// if that must be hidden, otherwise 0, and where the parameter ends. ok reports whether it
// is simple, apart from a value that must be hidden.
func simpleParameter(query []byte) (value, end int, ok bool) {
	name, _ := plainWord(query, 0) // most names are one
	plain := 2 < name && name < minKeyID && name < len(query) && query[name] == '='
	if !plain {
		if name, ok = simplePart(query, false); !ok || name == len(query) || query[name] == '&' {
			return 0, name, ok
		}
		if !isName(query[:name]) {
			return 0, 0, false
		}
		secret, _ := isSecretName(query[:name])
		plain = !secret
	}
	if plain {
		end, ok = simplePart(query[name+1:], true)
		return 0, name + 1 + end, ok
	}
	for end = name + 1; end < len(query) && query[end] != '&'; end++ {
		if query[end] == ';' {
			return 0, 0, false
		}
	}
	if end > name+1 {
		value = name + 1
	}
	return value, end, name <= maxParamName
}

// isName reports whether name has nothing but what a search takes for a part of a name, so
// that it does not find the name of a secret at its end.
func isName(name []byte) bool {
	for _, c := range name {
		if !isIn(c, nameParts) {
			return false
		}
	}
	return true
}

// simplePart returns where the name or the value at the beginning of text ends, and whether
// it is simple.
func simplePart(text []byte, isValue bool) (end int, ok bool) {
	run := 0 // where the run begins
	for i := 0; ; i++ {
		i += runLength(text[i:])
		if i-run >= minKeyID && !isHarmlessRun(text[run:i]) {
			return 0, false
		}
		if i == len(text) {
			return i, true
		}
		c, n := text[i], 1
		if c == '%' && isValue && unescape.Hex(text[i+1:]) >= 0 {
			c, n = byte(unescape.Hex(text[i+1:])), 3 //nolint:gosec // two hexadecimal digits
		}
		switch {
		case n == 1 && (c == '&' || c == '=' && !isValue):
			return i, true
		case c == '.' && n == 1 && !hasTokenStart(text[run:i]):
		case c == ',' && isValue:
		case c == ':' && isValue && i > 0 && '0' <= text[i-1] && text[i-1] <= '9': // of a time
		default:
			return 0, false
		}
		i += n - 1
		run = i + 1
	}
}

// runLength returns how many bytes text begins with that may be in a run.
func runLength(text []byte) int {
	i := 0
	for ; len(text)-i >= 8; i += 8 {
		b := (*[8]byte)(text[i:])
		if byteSets[b[0]]&byteSets[b[1]]&byteSets[b[2]]&byteSets[b[3]]&byteSets[b[4]]&byteSets[b[5]]&byteSets[b[6]]&byteSets[b[7]]&runs == 0 {
			break
		}
	}
	for i < len(text) && isIn(text[i], runs) {
		i++
	}
	return i
}
