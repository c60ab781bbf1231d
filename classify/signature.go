package classify

import (
	"bytes"
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// Signature is the result of inspecting the form of a signed request for reasons
// why its signature may have been refused. It contains no secrets: no key,
// signature or token, and only those parameter values that are dates or names
// defined by the API.
type Signature struct {
	// Findings are the possible problems, the most certain first. It is empty if
	// none were found.
	Findings []Finding
	// Fields are the names of the signed header fields as listed by a SigV4
	// signature.
	Fields string
	// Checks is the number of checks that were made.
	Checks int
	// HasToken reports that the request has a security token.
	HasToken bool
	// Expires is the validity of a presigned request; 0 if it is not given.
	Expires time.Duration
}

// Finding is one possible problem.
type Finding struct {
	Check      Check
	Confidence Confidence
	Facts      []Fact
}

// Fact is one value that supports a finding.
type Fact struct{ Name, Value string }

// Confidence is how certain it is that a finding is the problem.
type Confidence uint8

// The confidences, the most certain first.
const (
	// ConfidenceCertain means that the request cannot be accepted, whatever the key.
	ConfidenceCertain Confidence = iota
	// ConfidenceLikely means that the form is rarely intended, and that verifiers
	// handle it differently.
	ConfidenceLikely
	// ConfidencePossible means that the form is valid if it was signed this way,
	// and a problem if it was changed after signing.
	ConfidencePossible
)

// String returns the name of the confidence.
func (c Confidence) String() string {
	return [...]string{"certain", "likely", "possible"}[min(c, ConfidencePossible)]
}

// MarshalText implements encoding.TextMarshaler.
func (c Confidence) MarshalText() ([]byte, error) { return []byte(c.String()), nil }

// Check is the name of one check.
type Check string

// The checks, in the order of findings that have the same confidence.
const (
	CheckUnsigned      Check = "unsigned"             // there is no signature
	CheckFormsMixed    Check = "forms_mixed"          // it is signed in two ways
	CheckAuthorization Check = "authorization_form"   // the Authorization field cannot be read
	CheckAlgorithm     Check = "algorithm"            // another than AWS4-HMAC-SHA256 or HMAC-SHA256
	CheckIncomplete    Check = "signature_incomplete" // a part of the signature is missing
	CheckNames         Check = "parameter_case"       // a parameter of the signature in another case
	CheckScopeForm     Check = "scope_form"           // the scope has not five parts
	CheckHostUnsigned  Check = "host_unsigned"        // SignedHeaders does not name host
	CheckFieldNames    Check = "signed_names"         // SignedHeaders is not lower case and sorted
	CheckScopeEnd      Check = "scope_end"            // the scope does not end in aws4_request
	CheckScopeService  Check = "scope_service"        // the scope names another service than host or action
	CheckScopeRegion   Check = "scope_region"         // the scope names another region than the host
	CheckDateForm      Check = "date_form"            // the date is not written as it must be
	CheckScopeDate     Check = "scope_date"           // the scope's day is not that of the date
	CheckDates         Check = "dates_differ"         // the request has two dates
	CheckText          Check = "signature_text"       // the signature is not 64 lower-case hexadecimal digits
	CheckPayloadHash   Check = "payload_hash"         // X-Amz-Content-Sha256 is not that of the body sent
	CheckPayloadNone   Check = "payload_unsigned"     // UNSIGNED-PAYLOAD in a request that is not presigned
	CheckFieldMissing  Check = "field_missing"        // a signed field is not there
	CheckFieldDoubled  Check = "field_doubled"        // a signed field is there more than once
	CheckHostDoubled   Check = "host_doubled"         // there is more than one Host field
	CheckHostForeign   Check = "host_foreign"         // the Host field does not name the API
	CheckHostPort      Check = "host_port"            // the Host field names a port
	CheckProxied       Check = "field_proxied"        // a signed field is one that proxies change
	CheckParamDoubled  Check = "parameter_doubled"    // a parameter is there more than once
	CheckParamTwice    Check = "parameter_twice"      // a parameter was percent-encoded twice
	CheckParamEscape   Check = "parameter_escape"     // a percent sign that escapes nothing
	CheckParamPlus     Check = "parameter_plus"       // a plus sign, which is a blank to the API
	CheckHostDiffers   Check = "host_differs"         // the request was sent to another host than its Host field
	CheckFieldValue    Check = "field_value"          // the value of a signed field that is normalised before it is signed
	CheckParamRaw      Check = "parameter_raw"        // a byte that is signed percent-encoded is sent as it is
	CheckParamCase     Check = "parameter_escapes"    // escapes in lower case, or of what needs none
	CheckParamOrder    Check = "parameter_order"      // the parameters are not sorted
	CheckPath          Check = "path_form"            // a path that is normalised, or encoded, before it is signed
	CheckGetBody       Check = "get_body"             // a GET with a body
	CheckSimpleVersion Check = "signature_version"    // SignatureVersion is not 1.0
)

// Checks lists every check.
func Checks() []Check {
	return []Check{
		CheckUnsigned, CheckFormsMixed, CheckAuthorization, CheckAlgorithm, CheckIncomplete, CheckNames,
		CheckScopeForm, CheckHostUnsigned, CheckFieldNames, CheckScopeEnd, CheckScopeService, CheckScopeRegion,
		CheckDateForm, CheckScopeDate, CheckDates, CheckText, CheckPayloadHash, CheckPayloadNone,
		CheckFieldMissing, CheckFieldDoubled, CheckHostDoubled, CheckHostForeign, CheckHostPort, CheckProxied,
		CheckParamDoubled, CheckParamTwice, CheckParamEscape, CheckParamPlus, CheckHostDiffers, CheckFieldValue,
		CheckParamRaw, CheckParamCase, CheckParamOrder, CheckPath, CheckGetBody, CheckSimpleVersion,
	}
}

// Extent is how much of a request is available for inspection.
type Extent struct {
	Body   bool // Request.Body is all of the body
	Fields bool // Request.Header has every field that was sent
}

// Signature inspects how a request is signed and returns the possible problems. It
// knows neither the secret key nor the string that the program signed, so it cannot
// detect a wrong secret key, or a signed value that was changed without changing
// its form.
func (c *Classifier) Signature(r *Request, e Extent) *Signature {
	i := inspection{c: c, r: r, extent: e, fields: map[string][]string{}}
	i.read()
	i.inspect()
	order := Checks()
	slices.SortStableFunc(i.out.Findings, func(a, b Finding) int {
		if a.Confidence != b.Confidence {
			return int(a.Confidence) - int(b.Confidence)
		}
		return slices.Index(order, a.Check) - slices.Index(order, b.Check)
	})
	return &i.out
}

// inspection is a parsed request under inspection.
type inspection struct {
	c      *Classifier
	r      *Request
	extent Extent

	path   string
	fields map[string][]string // values by name in lower case
	proxy  []string            // fields that only proxies add
	query  []rawPair
	form   []rawPair

	out Signature
}

// rawPair is one parameter, as it stands and decoded.
type rawPair struct{ rawName, rawValue, name, value string }

// read parses the request.
func (i *inspection) read() {
	path, query := splitTarget(i.r.Target)
	i.path, i.query = string(path), rawPairs(query)
	if i.r.Header == nil {
		return
	}
	for name, value := range i.r.Header.Fields() {
		key := fold(string(name))
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
func decoded(s []byte) string { return string(appendUnescaped(make([]byte, 0, len(s)), s)) }

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

// header looks at a SigV4 signature in the Authorization field.
func (i *inspection) header(authorization string) {
	scheme, list := SplitAuthorization(authorization)
	if behind, ours := strings.CutPrefix(scheme, sigV4); ours && (scheme == authorization || behind != "") {
		i.add(CheckAuthorization, ConfidenceCertain)
		return
	}
	i.check(scheme != sigV4, CheckAlgorithm, ConfidenceCertain, "algorithm", shown(scheme), "expected", sigV4)
	if scheme != sigV4 {
		return
	}
	i.check(len(i.fields["authorization"]) > 1, CheckFieldDoubled, ConfidenceLikely, "fields", "authorization")
	parts := map[string]string{}
	for rest := list; rest != ""; {
		var name, v string
		name, v, rest = CutParameter(rest)
		parts[name] = v
	}
	unsplit := len(parts) < 2 && strings.Contains(list, "Signature=")
	i.check(unsplit, CheckAuthorization, ConfidenceCertain)
	if unsplit {
		return // what looks wrong with the parts follows from that
	}
	var missing []string
	for _, name := range []string{"Credential", "SignedHeaders", "Signature"} {
		if parts[name] == "" {
			missing = append(missing, name)
		}
	}
	date := i.field("x-amz-date")
	if date == "" {
		missing = append(missing, "X-Amz-Date")
	}
	i.check(len(missing) > 0, CheckIncomplete, ConfidenceCertain, "missing", strings.Join(missing, ", "))
	i.sigV4(parts["Credential"], parts["SignedHeaders"], parts["Signature"], date)
	other := i.param("X-Amz-Date")
	if d := i.fields["x-amz-date"]; len(d) > 1 {
		other = d[1]
	}
	i.check(other != "" && other != date, CheckDates, ConfidenceLikely, "date", shown(date), "other", shown(other))

	hash := i.field("x-amz-content-sha256")
	i.check(hash == unsignedPayload, CheckPayloadNone, ConfidenceLikely)
	i.payload(hash)
}

// presigned looks at a SigV4 signature in the query.
func (i *inspection) presigned() {
	names := []string{"X-Amz-Algorithm", "X-Amz-Credential", "X-Amz-Date", "X-Amz-SignedHeaders", "X-Amz-Signature"}
	var missing, otherwise []string
	for _, name := range names {
		switch {
		case i.param(name) != "":
		case has(i.query, name) && value(i.query, name) == "" && !slices.ContainsFunc(i.query, func(p rawPair) bool { return p.name == name }):
			otherwise = append(otherwise, name)
		default:
			missing = append(missing, name)
		}
	}
	i.check(len(missing) > 0, CheckIncomplete, ConfidenceCertain, "missing", strings.Join(missing, ", "))
	i.check(len(otherwise) > 0, CheckNames, ConfidenceLikely, "names", strings.Join(otherwise, ", "))
	algorithm := i.param("X-Amz-Algorithm")
	i.check(algorithm != "" && algorithm != sigV4, CheckAlgorithm, ConfidenceCertain, "algorithm", shown(algorithm), "expected", sigV4)
	date := i.param("X-Amz-Date")
	i.sigV4(i.param("X-Amz-Credential"), i.param("X-Amz-SignedHeaders"), i.param("X-Amz-Signature"), date)
	other := i.field("x-amz-date")
	i.check(other != "" && other != date, CheckDates, ConfidenceLikely, "date", shown(date), "other", shown(other))
	if seconds := i.param("X-Amz-Expires"); len(seconds) < 8 && seconds != "" && isNumber([]byte(seconds)) {
		p := timeParser{b: []byte(seconds)}
		i.out.Expires = time.Duration(p.digits(len(seconds))) * time.Second
	}
	i.payload(i.field("x-amz-content-sha256"))
}

const (
	sigV4           = "AWS4-HMAC-SHA256"
	unsignedPayload = "UNSIGNED-PAYLOAD"
)

// sigV4 looks at the parts of a SigV4 signature, wherever they stood.
func (i *inspection) sigV4(credential, signed, signature, date string) {
	if credential != "" {
		i.scope(credential, date)
	}
	if signed != "" {
		i.signed(signed)
	}
	if signature != "" {
		i.text(signature)
	}
	if date != "" {
		i.sigV4Date(date)
	}
	path := i.path
	if _, rest, ok := strings.Cut(path, "://"); ok {
		_, path, _ = strings.Cut(rest, "/")
	}
	odd := strings.Contains(path, "//") || strings.Contains(path, "/.")
	for _, c := range []byte(path) {
		odd = odd || c != '/' && !isUnreserved(c)
	}
	i.check(odd, CheckPath, ConfidencePossible)
}

// scope looks at "AK/20261123/cn-beijing-6/monitor/aws4_request".
func (i *inspection) scope(credential, date string) {
	parts := strings.Split(credential, "/")
	i.check(len(parts) != 5, CheckScopeForm, ConfidenceCertain, "parts", strconv.Itoa(len(parts)))
	if len(parts) != 5 {
		return
	}
	day, region, service, end := parts[1], parts[2], parts[3], parts[4]
	i.check(end != "aws4_request", CheckScopeEnd, ConfidenceCertain, "end", shown(end))

	hostService, hostRegion := readHost(hostname.AppendLower(make([]byte, 0, hostname.MaxLength), i.hostSent()))
	action := i.action()
	switch want := string(hostService); {
	case want != "":
		i.check(service != want, CheckScopeService, ConfidenceLikely, "service", shown(service), "expected", want)
	case action != "":
		known := i.c.serviceOf(action, i.version())
		i.check(known != "" && service != known, CheckScopeService, ConfidenceLikely, "service", shown(service), "expected", known)
	}
	want := string(hostRegion)
	i.check(want != "" && region != want, CheckScopeRegion, ConfidenceLikely, "region", shown(region), "expected", shown(want))
	if want == "" {
		i.check(!isRegion([]byte(region)), CheckScopeRegion, ConfidenceLikely, "region", shown(region), "expected", "cn-beijing-6")
	}
	if at, ok := parseTime([]byte(date)); ok {
		i.check(day != at.Format("20060102"), CheckScopeDate, ConfidenceCertain, "scope", shown(day), "date", shown(date))
	}
}

// action returns the documented action that query or form name.
func (i *inspection) action() string {
	for _, pairs := range [...][]rawPair{i.query, i.form} {
		if v := value(pairs, "Action"); v != "" {
			return v
		}
	}
	return ""
}

// version returns the version that query or form name.
func (i *inspection) version() string {
	for _, pairs := range [...][]rawPair{i.query, i.form} {
		if v := value(pairs, "Version"); v != "" {
			return v
		}
	}
	return ""
}

// The fields that a proxy adds, and those that it may change or drop.
var (
	proxyFields = map[string]bool{
		"via": true, "forwarded": true, "x-forwarded-for": true, "x-forwarded-host": true, "x-forwarded-proto": true,
		"x-forwarded-port": true, "x-real-ip": true, "x-envoy-external-address": true,
	}
	changedFields = map[string]bool{
		"connection": true, "proxy-connection": true, "keep-alive": true, "te": true, "trailer": true,
		"transfer-encoding": true, "upgrade": true, "expect": true, "accept-encoding": true, "user-agent": true,
		"cache-control": true, "pragma": true, "traceparent": true, "tracestate": true,
	}
	// unseenFields are added below net/http's Header.
	unseenFields = map[string]bool{
		"host": true, "content-length": true, "transfer-encoding": true, "connection": true, "trailer": true,
		"user-agent": true, "accept-encoding": true,
	}
)

// signed looks at the fields that the signature covers.
func (i *inspection) signed(list string) {
	names := strings.Split(list, ";")
	i.out.Fields = joined(names)
	hosts, disorder := 0, !slices.IsSorted(names)
	var missing, doubled, changed, odd []string
	for _, name := range names {
		key := fold(name)
		disorder = disorder || key != name || name == ""
		if name == "host" {
			hosts++
			continue
		}
		values := i.fields[key]
		switch {
		case key == "host" || name == "":
		case len(values) == 0 && (i.extent.Fields || !unseenFields[key]):
			missing = append(missing, shown(key))
		case len(values) > 1:
			doubled = append(doubled, shown(key))
		case len(values) == 1 && needsNormalising(values[0]):
			odd = append(odd, shown(key))
		}
		if changedFields[key] || proxyFields[key] {
			changed = append(changed, shown(key))
		}
	}
	i.check(hosts == 0, CheckHostUnsigned, ConfidenceCertain)
	i.check(disorder && hosts > 0, CheckFieldNames, ConfidenceLikely, "fields", i.out.Fields)
	i.check(len(missing) > 0, CheckFieldMissing, ConfidenceCertain, "fields", joined(missing))
	i.check(len(doubled) > 0, CheckFieldDoubled, ConfidenceLikely, "fields", joined(doubled))
	i.check(len(odd) > 0, CheckFieldValue, ConfidencePossible, "fields", joined(odd))
	sure := ConfidencePossible
	if len(i.proxy) > 0 {
		sure = ConfidenceLikely
	}
	by := "-"
	if len(i.proxy) > 0 {
		by = joined(i.proxy)
	}
	i.check(len(changed) > 0, CheckProxied, sure, "fields", joined(changed), "proxy", by)
}

// needsNormalising reports whether a field's value is not signed as it stands.
func needsNormalising(v string) bool {
	v = strings.TrimSpace(v)
	return strings.Contains(v, "  ") || strings.IndexFunc(v, func(r rune) bool { return r == '\t' || r >= 0x80 }) >= 0
}

// text looks at how the signature is written.
func (i *inspection) text(signature string) {
	hexadecimal := strings.IndexFunc(signature, func(r rune) bool {
		return r < '0' || r > '9' && r < 'A' || r > 'F' && r < 'a' || r > 'f'
	}) < 0
	i.check(len(signature) != 64 || !hexadecimal, CheckText, ConfidenceCertain, "length", strconv.Itoa(len(signature)))
	i.check(len(signature) == 64 && hexadecimal && fold(signature) != signature, CheckText, ConfidenceLikely, "length", "64")
}

// sigV4Date looks at how SigV4's date is written.
func (i *inspection) sigV4Date(date string) {
	const form = "20060102T150405Z"
	_, err := time.Parse(form, date)
	if err == nil {
		i.out.Checks++
		return
	}
	// One of the vendor's SDKs sends an offset of 0 in place of the Z.
	sure := ConfidenceCertain
	if _, err := time.Parse("20060102T150405-07:00", date); err == nil {
		sure = ConfidencePossible
	}
	i.check(true, CheckDateForm, sure, "date", shown(date), "expected", form)
}

// payload compares the hash that a request gives of its body with the body.
func (i *inspection) payload(hash string) {
	bodyless := i.r.Method == "GET" || i.r.Method == "HEAD" //nolint:usestdlibvars // net/http is not imported here
	i.check(bodyless && len(i.r.Body) > 0, CheckGetBody, ConfidencePossible, "method", i.r.Method)
	if hash == "" || hash == unsignedPayload || !i.extent.Body {
		return
	}
	sum := sha256.Sum256(i.r.Body)
	i.check(!strings.EqualFold(hash, hex.EncodeToString(sum[:])), CheckPayloadHash, ConfidenceCertain, "bytes", strconv.Itoa(len(i.r.Body)))
}

// hostSent returns the Host field, else the authority of the target, else where
// the request was sent.
func (i *inspection) hostSent() []byte {
	if h := i.field("host"); h != "" {
		return []byte(h)
	}
	if a := authority([]byte(i.path)); a != nil {
		return a
	}
	return i.r.Host
}

// host looks at the Host field, which is always signed.
func (i *inspection) host() {
	i.check(len(i.fields["host"]) > 1, CheckHostDoubled, ConfidenceCertain, "number", strconv.Itoa(len(i.fields["host"])))
	sent := i.hostSent()
	name := string(hostname.AppendLower(make([]byte, 0, hostname.MaxLength), sent))
	foreign := name != "ksyun.com" && !strings.HasSuffix(name, ".ksyun.com")
	sure := ConfidencePossible // the API may have a name of the user's
	if !strings.Contains(name, ".") || strings.Contains(name, ":") || isNumber([]byte(strings.ReplaceAll(name, ".", ""))) {
		sure = ConfidenceLikely // an address, or a name of this host or network
	}
	i.check(foreign, CheckHostForeign, sure, "host", shown(string(sent)))
	_, port, hasPort := strings.Cut(string(sent), ":")
	i.check(hasPort && !foreign, CheckHostPort, ConfidenceLikely, "host", shown(string(sent)), "port", shown(port))

	to := string(hostname.AppendLower(make([]byte, 0, hostname.MaxLength), i.r.Host))
	i.check(to != "" && to != name && i.field("host") != "", CheckHostDiffers, ConfidencePossible, "host", shown(name), "sent_to", shown(to))
}

// shown returns text as it may be shown: a name, a date or a host. Anything
// else, and whatever looks like a key, stays hidden.
func shown(s string) string {
	const hidden = "(not shown)"
	if s == "" {
		return "(empty)"
	}
	if len(s) > maxName {
		return hidden
	}
	for _, c := range []byte(s) {
		if !isNameByte(c) && c != ':' && c != '+' && c != '[' && c != ']' && c != ' ' && c != ',' {
			return hidden
		}
	}
	if looksKey([]byte(s)) {
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
