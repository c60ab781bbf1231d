package signature

import (
	"bytes"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/unescape"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
)

// inspection is a parsed request under inspection.
type inspection struct {
	r      *Request
	path   string
	fields map[string][]string // values by name in lower case
	proxy  []string            // fields that only proxies add
	query  []rawPair
	form   []rawPair

	out Result
}

// rawPair is one parameter, as it stands and decoded.
type rawPair struct{ rawName, rawValue, name, value string }

// read parses the request.
func (i *inspection) read() {
	path, query := syntax.SplitTarget(i.r.Target)
	i.path, i.query = string(path), rawPairs(query)
	if i.r.Fields == nil {
		return
	}
	for name, value := range i.r.Fields {
		key := ascii.ToLower(string(name))
		i.fields[key] = append(i.fields[key], string(value))
		if proxyFields[key] {
			i.proxy = append(i.proxy, shown(key))
		}
	}
	media, _, _ := strings.Cut(i.field("content-type"), ";")
	if strings.EqualFold(strings.TrimSpace(media), "application/x-www-form-urlencoded") {
		i.form = rawPairs(bytes.TrimRight(i.r.Body, "\r\n"))
	}
}

// rawPairs splits a query or form into parameters.
func rawPairs(s []byte) []rawPair {
	var all []rawPair
	for part := range bytes.SplitSeq(s, []byte{'&'}) {
		if len(part) == 0 {
			continue
		}
		name, value, _ := bytes.Cut(part, []byte{'='})
		all = append(all, rawPair{string(name), string(value), decoded(name), decoded(value)})
	}
	return all
}

// decoded returns s with percent-encoding and plus signs decoded.
func decoded(s []byte) string { return string(unescape.AppendURL(make([]byte, 0, len(s)), s)) }

// field returns the first value of a field.
func (i *inspection) field(name string) string {
	if v := i.fields[name]; v != nil {
		return strings.TrimSpace(v[0])
	}
	return ""
}

// param returns a parameter of the query.
func (i *inspection) param(name string) string { return value(i.query, name) }

// value returns the first value with exactly that name.
func value(pairs []rawPair, name string) string {
	for _, p := range pairs {
		if p.name == name {
			return p.value
		}
	}
	return ""
}

// has reports whether a parameter of that name, in any case, is there.
func has(pairs []rawPair, name string) bool {
	return slices.ContainsFunc(pairs, func(p rawPair) bool { return strings.EqualFold(p.name, name) })
}

// add adds a finding. facts alternates names and values.
func (i *inspection) add(check Check, c Confidence, facts ...string) {
	f := Finding{Check: check, Confidence: c}
	for pair := range slices.Chunk(facts, 2) {
		f.Facts = append(f.Facts, Fact{pair[0], pair[1]})
	}
	i.out.Findings = append(i.out.Findings, f)
}

// check counts a check, and adds a finding if wrong is true.
func (i *inspection) check(wrong bool, check Check, c Confidence, facts ...string) {
	i.out.Checks++
	if wrong {
		i.add(check, c, facts...)
	}
}

// inspect runs the checks for the form of the signature.
func (i *inspection) inspect() {
	i.out.HasToken = i.field("x-amz-security-token") != "" || i.field("x-ksc-security-token") != "" ||
		has(i.query, "x-amz-security-token") || has(i.query, "securitytoken") || has(i.form, "securitytoken")
	authorization := i.field("authorization")
	presigned := has(i.query, "x-amz-signature") || has(i.query, "x-amz-credential") || has(i.query, "x-amz-algorithm")
	both := append(slices.Clone(i.query), i.form...)
	key := has(both, "accesskey") || has(both, "accesskeyid")
	simple := key || has(both, "signature") || has(both, "signaturemethod")
	if authorization != "" || presigned { // an access key alone is a parameter of other calls
		simple = key && has(both, "signature")
	}

	var forms []string
	for form, there := range map[string]bool{"Authorization": authorization != "", "X-Amz-Signature": presigned, "Signature": simple} {
		if there {
			forms = append(forms, form)
		}
	}
	slices.Sort(forms)
	i.check(len(forms) == 0, CheckUnsigned, ConfidenceCertain)
	if len(forms) == 0 {
		return
	}
	i.check(len(forms) > 1, CheckFormsMixed, ConfidenceLikely, "forms", strings.Join(forms, ", "))
	switch {
	case authorization != "":
		i.header(authorization)
		i.parameters(i.query)
	case presigned:
		i.presigned()
		i.parameters(i.query)
	default:
		i.simple(both)
		i.parameters(both)
	}
	i.host()
}

// shown returns text as it may be shown: a name, a date or a host. Anything
// else, and whatever looks like a key, stays hidden.
func shown(s string) string {
	const (
		hidden  = "(not shown)"
		maxName = 64
	)
	if s == "" {
		return "(empty)"
	}
	if len(s) > maxName {
		return hidden
	}
	for _, c := range []byte(s) {
		if c == '~' || !isUnreserved(c) && strings.IndexByte(":+[] ,", c) < 0 {
			return hidden
		}
	}
	if redact.LooksKey(s) {
		return hidden
	}
	return s
}

// joined lists up to maxListed names.
func joined(names []string) string {
	const maxListed = 8
	var b strings.Builder
	for n, name := range names {
		if n == maxListed {
			b.WriteString(", ...")
			break
		}
		if n > 0 {
			b.WriteString(", ")
		}
		b.WriteString(shown(name))
	}
	return b.String()
}
