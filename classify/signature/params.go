package signature

import (
	"slices"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// simple looks at the vendor's simple signature, which is among the parameters
// of query and form.
func (i *inspection) simple(params []rawPair) {
	var missing, otherwise []string
	for _, name := range []string{"Accesskey", "Signature", "Timestamp"} {
		switch {
		case value(params, name) != "":
		case slices.ContainsFunc(params, func(p rawPair) bool { return p.value != "" && strings.EqualFold(p.name, name) }):
			otherwise = append(otherwise, name)
		default:
			missing = append(missing, name)
		}
	}
	i.check(len(missing) > 0, CheckIncomplete, ConfidenceCertain, "missing", strings.Join(missing, ", "))
	missing = nil
	for _, name := range []string{"SignatureMethod", "SignatureVersion", "Service"} {
		switch {
		case value(params, name) != "":
		case has(params, name):
			otherwise = append(otherwise, name)
		default:
			missing = append(missing, name)
		}
	}
	i.check(len(missing) > 0, CheckIncomplete, ConfidenceLikely, "missing", strings.Join(missing, ", "))
	i.check(len(otherwise) > 0, CheckNames, ConfidenceLikely, "names", strings.Join(otherwise, ", "))

	const method = "HMAC-SHA256"
	m := value(params, "SignatureMethod")
	i.check(m != "" && m != method, CheckAlgorithm, ConfidenceLikely, "algorithm", shown(m), "expected", method)
	v := value(params, "SignatureVersion")
	i.check(v != "" && v != "1.0", CheckSimpleVersion, ConfidenceLikely, "version", shown(v))
	if s := value(params, "Signature"); s != "" {
		i.text(s)
	}
	if date := value(params, "Timestamp"); date != "" {
		i.simpleDate(date)
	}
	service, _ := syntax.ReadHost(hostname.AppendLower(make([]byte, 0, hostname.MaxLength), i.hostSent()))
	named := value(params, "Service")
	i.check(named != "" && len(service) > 0 && named != string(service), CheckScopeService, ConfidenceLikely,
		"service", shown(named), "expected", string(service))
}

// simpleDate looks at how the simple signature's Timestamp is written.
func (i *inspection) simpleDate(date string) {
	const form = "2006-01-02T15:04:05Z"
	sure := ConfidenceCertain
	if _, err := time.Parse(form, date); err == nil {
		i.out.Checks++
		return
	}
	if _, err := time.Parse(time.RFC3339, date); err == nil {
		sure = ConfidencePossible // with an offset, or a fraction
	}
	i.check(true, CheckDateForm, sure, "date", shown(date), "expected", form)
}

// parameters looks at how the parameters are written. What is signed is sorted
// and percent-encoded by RFC 3986, whatever is sent.
func (i *inspection) parameters(params []rawPair) {
	i.doubled(params)
	var plus, twice, escape, raw, cased []string
	sure := ConfidencePossible
	for _, p := range params {
		if p.name == "X-Amz-Signature" || p.name == "Signature" {
			continue
		}
		w := writing(p.rawName) | writing(p.rawValue)
		note := func(on bool, list *[]string) {
			if on {
				*list = append(*list, shown(p.name))
			}
		}
		note(w&writtenPlus != 0, &plus)
		note(w&writtenTwice != 0, &twice)
		note(w&writtenNoEscape != 0, &escape)
		note(w&writtenRaw != 0, &raw)
		note(w&writtenCase != 0, &cased)
		if w&writtenPlus != 0 && plusMeant(p.rawValue) {
			sure = ConfidenceLikely
		}
	}
	i.check(len(twice) > 0, CheckParamTwice, ConfidenceLikely, "names", joinedUnique(twice))
	i.check(len(escape) > 0, CheckParamEscape, ConfidenceLikely, "names", joinedUnique(escape))
	i.check(len(plus) > 0, CheckParamPlus, sure, "names", joinedUnique(plus))
	i.check(len(raw) > 0, CheckParamRaw, ConfidencePossible, "names", joinedUnique(raw))
	i.check(len(cased) > 0, CheckParamCase, ConfidencePossible, "names", joinedUnique(cased))

	sorted := slices.IsSortedFunc(params, func(a, b rawPair) int {
		if isSignature(a.name) || isSignature(b.name) {
			return 0
		}
		return strings.Compare(a.name, b.name)
	})
	i.check(!sorted, CheckParamOrder, ConfidencePossible)
}

// isSignature reports whether a parameter is the signature itself, which is not
// signed.
func isSignature(name string) bool { return name == "Signature" || name == "X-Amz-Signature" }

// doubled looks for parameters that are there more than once. Some clients send
// the same in query and form.
func (i *inspection) doubled(params []rawPair) {
	seen := map[string]string{}
	var differing, equal []string
	for n, p := range params {
		before, ok := seen[p.name]
		seen[p.name] = p.value
		switch {
		case !ok:
		case before != p.value, n < len(i.query): // in the query itself
			differing = append(differing, shown(p.name))
		default:
			equal = append(equal, shown(p.name))
		}
	}
	i.check(len(differing) > 0, CheckParamDoubled, ConfidenceLikely, "names", joinedUnique(differing))
	i.check(len(equal) > 0 && len(differing) == 0, CheckParamDoubled, ConfidencePossible, "names", joinedUnique(equal))
}

// written is how a parameter is written where it is not plain.
type written uint8

const (
	writtenPlus     written = 1 << iota // a plus sign
	writtenTwice                        // an escaped percent sign before two hexadecimal digits
	writtenNoEscape                     // a percent sign that escapes nothing
	writtenRaw                          // a byte that should be escaped
	writtenCase                         // an escape in lower case, or of a byte that needs none
)

// writing returns how a name or a value is written.
func writing(s string) (w written) {
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case c == '+':
			w |= writtenPlus
		case c != '%':
			if !isUnreserved(c) {
				w |= writtenRaw
			}
		case unescape.Hex([]byte(s[i+1:])) < 0:
			w |= writtenNoEscape
		default:
			digits, is := s[i+1:i+3], byte(unescape.Hex([]byte(s[i+1:i+3]))) //nolint:gosec // two hexadecimal digits
			i += 2
			if is == '%' && unescape.Hex([]byte(s[i+1:])) >= 0 {
				w |= writtenTwice
			}
			if isUnreserved(is) || strings.ContainsAny(digits, "abcdef") {
				w |= writtenCase
			}
		}
	}
	return w
}

// isUnreserved reports whether RFC 3986 never has c escaped.
func isUnreserved(c byte) bool {
	return 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z' || '0' <= c && c <= '9' || strings.IndexByte("-._~", c) >= 0
}

// isNumber reports whether s consists of digits.
func isNumber(s string) bool { return s != "" && strings.Trim(s, "0123456789") == "" }

// plusMeant reports whether a plus sign was meant as one: in the offset of a
// time, where a blank would be none.
func plusMeant(raw string) bool {
	date, offset, _ := strings.Cut(raw, "+")
	return len(date) >= len("20060102T150405") && len(offset) >= 4 && isNumber(date[:4]) && isNumber(offset[:2])
}

// joinedUnique is joined, each name once.
func joinedUnique(names []string) string {
	slices.Sort(names)
	return joined(slices.Compact(names))
}
