package signature

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify/internal/ascii"
	"github.com/ksyun-tap/ksyun-tap/classify/syntax"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

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
		key := ascii.ToLower(name)
		disorder = disorder || key != name || name == ""
		if name == "host" {
			hosts++
			continue
		}
		values := i.fields[key]
		switch {
		case key == "host" || name == "":
		case len(values) == 0 && (i.r.Extent.Fields || !unseenFields[key]):
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

// hostSent returns the Host field, else the authority of the target, else where
// the request was sent.
func (i *inspection) hostSent() []byte {
	if h := i.field("host"); h != "" {
		return []byte(h)
	}
	if a := syntax.Authority([]byte(i.path)); a != nil {
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
	if !strings.Contains(name, ".") || strings.Contains(name, ":") || isNumber(strings.ReplaceAll(name, ".", "")) {
		sure = ConfidenceLikely // an address, or a name of this host or network
	}
	i.check(foreign, CheckHostForeign, sure, "host", shown(string(sent)))
	_, port, hasPort := strings.Cut(string(sent), ":")
	i.check(hasPort && !foreign, CheckHostPort, ConfidenceLikely, "host", shown(string(sent)), "port", shown(port))

	to := string(hostname.AppendLower(make([]byte, 0, hostname.MaxLength), i.r.Host))
	i.check(to != "" && to != name && i.field("host") != "", CheckHostDiffers, ConfidencePossible, "host", shown(name), "sent_to", shown(to))
}
