package signature

import (
	"crypto/sha256"
	"encoding/hex"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/internal/timestamp"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// header looks at a SigV4 signature in the Authorization field.
func (i *inspection) header(authorization string) {
	scheme, list, parted := strings.Cut(authorization, " ")
	if behind, ours := strings.CutPrefix(scheme, sigV4); ours && (!parted || behind != "") {
		i.add(CheckAuthorization, ConfidenceCertain)
		return
	}
	i.check(scheme != sigV4, CheckAlgorithm, ConfidenceCertain, "algorithm", shown(scheme), "expected", sigV4)
	if scheme != sigV4 {
		return
	}
	i.check(len(i.fields["authorization"]) > 1, CheckFieldDoubled, ConfidenceLikely, "fields", "authorization")
	parts := map[string]string{}
	for rest := []byte(list); len(rest) > 0; {
		var name, v []byte
		name, v, rest = syntax.CutParameter(rest)
		parts[string(name)] = string(v)
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
	if text := i.param("X-Amz-Expires"); len(text) < 8 && isNumber(text) {
		seconds, _ := strconv.Atoi(text)
		i.out.Expires = time.Duration(seconds) * time.Second
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

	hostService, hostRegion := syntax.ReadHost(hostname.AppendLower(make([]byte, 0, hostname.MaxLength), i.hostSent()))
	action := i.action()
	switch want := string(hostService); {
	case want != "":
		i.check(service != want, CheckScopeService, ConfidenceLikely, "service", shown(service), "expected", want)
	case action != "":
		known := i.r.ServiceOf(action, i.version())
		i.check(known != "" && service != known, CheckScopeService, ConfidenceLikely, "service", shown(service), "expected", known)
	}
	want := string(hostRegion)
	i.check(want != "" && region != want, CheckScopeRegion, ConfidenceLikely, "region", shown(region), "expected", shown(want))
	if want == "" {
		i.check(!syntax.IsRegion([]byte(region)), CheckScopeRegion, ConfidenceLikely, "region", shown(region), "expected", "cn-beijing-6")
	}
	if at, ok := timestamp.Parse([]byte(date)); ok {
		i.check(day != at.Format("20060102"), CheckScopeDate, ConfidenceCertain, "scope", shown(day), "date", shown(date))
	}
}

// action returns the action that the query or the form names.
func (i *inspection) action() string {
	for _, pairs := range [...][]rawPair{i.query, i.form} {
		if v := value(pairs, "Action"); v != "" {
			return v
		}
	}
	return ""
}

// version returns the version that the query or the form names.
func (i *inspection) version() string {
	for _, pairs := range [...][]rawPair{i.query, i.form} {
		if v := value(pairs, "Version"); v != "" {
			return v
		}
	}
	return ""
}

// text looks at how the signature is written.
func (i *inspection) text(signature string) {
	hexadecimal := strings.IndexFunc(signature, func(r rune) bool {
		return r < '0' || r > '9' && r < 'A' || r > 'F' && r < 'a' || r > 'f'
	}) < 0
	i.check(len(signature) != 64 || !hexadecimal, CheckText, ConfidenceCertain, "length", strconv.Itoa(len(signature)))
	i.check(len(signature) == 64 && hexadecimal && ascii.ToLower(signature) != signature, CheckText, ConfidenceLikely, "length", "64")
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
	if hash == "" || hash == unsignedPayload || !i.r.Extent.Body {
		return
	}
	sum := sha256.Sum256(i.r.Body)
	i.check(!strings.EqualFold(hash, hex.EncodeToString(sum[:])), CheckPayloadHash, ConfidenceCertain, "bytes", strconv.Itoa(len(i.r.Body)))
}
