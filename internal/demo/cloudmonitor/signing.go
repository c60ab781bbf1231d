package cloudmonitor

import (
	"bytes"
	"cmp"
	"net/http"
	"net/url"
	"strings"
	"time"
)

// SigningScenario is one way to sign a request: a right one, or a wrong one
// that the gateway refuses.
type SigningScenario struct {
	Name string
	// Cause is what is wrong, as the diagnosis of a refused call names it; "" if the
	// request is right.
	Cause string

	method  string // "" is GET
	host    string // "" is monitor.api.ksyun.com
	path    string // "" is /
	query   string
	body    string
	kind    string // Content-Type of the body
	sign    string // "v4" (also ""), "presigned", "simple", "form", "none"
	signed  []string
	region  string        // "" is cn-beijing-6
	service string        // "" is monitor
	skew    time.Duration // of the program's clock
	before  func(r *http.Request, c Credential)
	late    func(v url.Values)          // after the simple signature
	wire    func(request string) string // after any signature
	as      func(c Credential) Credential
}

// Wrong reports whether the gateway refuses the request.
func (s SigningScenario) Wrong() bool { return s.Cause != "" }

// Bytes returns the request of the scenario as it is on the wire, signed at a
// time by a credential.
func (s SigningScenario) Bytes(c Credential, at time.Time) []byte {
	at = at.Add(s.skew)
	if s.as != nil {
		c = s.as(c)
	}
	query, body := cmp.Or(s.query, listMetrics), s.body
	if s.sign == "simple" || s.sign == "form" {
		params, err := url.ParseQuery(query)
		if err != nil {
			panic(err) // a table's
		}
		SignSimple(params, c, "monitor", at)
		if s.late != nil {
			s.late(params)
		}
		query = params.Encode()
		if s.sign == "form" {
			query, body = "", query
		}
	}
	target := "http://" + cmp.Or(s.host, "monitor.api.ksyun.com") + cmp.Or(s.path, "/")
	if query != "" {
		target += "?" + query
	}
	r, err := http.NewRequest(cmp.Or(s.method, http.MethodGet), target, strings.NewReader(body)) //nolint:noctx // it is not sent
	if err != nil {
		panic(err) // a table's
	}
	r.Header.Set("Accept", "application/json")
	r.Header.Set("User-Agent", "program/1")
	if body != "" {
		r.Header.Set("Content-Type", cmp.Or(s.kind, "application/json"))
	}
	if s.before != nil {
		s.before(r, c)
	}
	scope := Scope{Region: cmp.Or(s.region, "cn-beijing-6"), Service: cmp.Or(s.service, "monitor")}
	switch s.sign {
	case "", "v4":
		SignV4(r, []byte(body), c, scope, at, s.signed...)
	case "presigned":
		Presign(r, []byte(body), c, scope, at)
	}
	var b bytes.Buffer
	if err := r.Write(&b); err != nil {
		panic(err) // a buffer's
	}
	if s.wire == nil {
		return b.Bytes()
	}
	return []byte(s.wire(b.String()))
}

const listMetrics = "Action=ListMetrics&Version=2010-05-25"

// replace returns a change of a request on the wire.
func replace(old, by string) func(string) string {
	return func(s string) string { return strings.Replace(s, old, by, 1) }
}

// addField returns a change that adds a field.
func addField(line string) func(string) string { return replace("\r\n\r\n", "\r\n"+line+"\r\n\r\n") }

// dropField returns a change that drops a field.
func dropField(name string) func(string) string {
	return func(s string) string {
		head, body, _ := strings.Cut(s, "\r\n\r\n")
		lines := strings.Split(head, "\r\n")
		kept := lines[:0]
		for _, line := range lines {
			if !strings.HasPrefix(line, name+":") {
				kept = append(kept, line)
			}
		}
		return strings.Join(kept, "\r\n") + "\r\n\r\n" + body
	}
}

// inSignature returns a change of the hexadecimal signature.
func inSignature(change func(string) string) func(string) string {
	return func(s string) string {
		at := strings.Index(s, "Signature=") + len("Signature=")
		return s[:at] + change(s[at:at+64]) + s[at+64:]
	}
}

// SigningScenarios returns ways to sign a request.
func SigningScenarios() []SigningScenario {
	const batch = `{"Namespace":"KEC","Metrics":[]}`
	unsigned := func(r *http.Request, _ Credential) { r.Header.Set("X-Amz-Content-Sha256", unsignedPayload) }
	hash := func(r *http.Request, _ Credential) { r.Header.Set("X-Amz-Content-Sha256", hexSHA256([]byte(batch))) }
	return []SigningScenario{
		// Right ones.
		{Name: "plain"},
		{Name: "accept and content-type signed", method: "POST", body: batch, signed: []string{"accept", "content-type", "content-length"}},
		{Name: "presigned", sign: "presigned"},
		{Name: "presigned, body not signed", sign: "presigned", method: "POST", body: batch, before: unsigned},
		{Name: "simple", sign: "simple"},
		{Name: "simple in a form", sign: "form", method: "POST", kind: "application/x-www-form-urlencoded"},
		{Name: "host of a region", host: "monitor.cn-shanghai-2.api.ksyun.com", region: "cn-shanghai-2"},
		{Name: "host inside the network", host: "monitor.cn-beijing-6.internal.api.ksyun.com"},
		{Name: "host without a service", host: "internal.api.ksyun.com"},
		{Name: "another path", path: "/v4/", query: "Action=DescribeInstances&Version=2023-07-12"},
		{Name: "parameters not sorted", query: "Version=2010-05-25&Action=ListMetrics&Namespace=KEC"},
		{Name: "blank as plus", query: listMetrics + "&MetricName=cpu+usage"},
		{Name: "blank as %20", query: listMetrics + "&MetricName=cpu%20usage"},
		{Name: "time not escaped", query: listMetrics + "&StartTime=2026-11-23T08:00:00Z"},
		{Name: "escapes in lower case", query: listMetrics + "&StartTime=2026-11-23T08%3a00%3a00Z"},
		{Name: "payload hash", method: "POST", body: batch, before: hash, signed: []string{"x-amz-content-sha256"}},
		{Name: "fields added on the way", wire: addField("Via: 1.1 gateway\r\nX-Forwarded-For: 192.0.2.1\r\ntraceparent: 00-01000000000000000000000000000000-0200000000000000-01")},
		{Name: "user-agent signed", signed: []string{"user-agent"}},
		{Name: "action in query and form", method: "POST", body: "Action=ListMetrics&Version=2010-05-25", kind: "application/x-www-form-urlencoded"},
		{Name: "GET with a body", body: "{}"},
		{Name: "clock a little off", skew: 10 * time.Minute},

		// Wrong ones.
		{Name: "not signed", Cause: "unsigned", sign: "none"},
		{Name: "authorization dropped", Cause: "unsigned", wire: dropField("Authorization")},
		{Name: "basic authorization", Cause: "algorithm", sign: "none", wire: addField("Authorization: Basic dXNlcjpub3RhcGFzc3dvcmQ=")},
		{Name: "algorithm of another vendor", Cause: "algorithm", wire: replace("AWS4-HMAC-SHA256 ", "HMAC-SHA256 ")},
		{Name: "no blank behind the algorithm", Cause: "authorization_form", wire: replace("AWS4-HMAC-SHA256 Credential", "AWS4-HMAC-SHA256,Credential")},
		{Name: "blanks instead of commas", Cause: "authorization_form", wire: func(s string) string { return strings.ReplaceAll(s, ", S", " S") }},
		{Name: "SignedHeaders missing", Cause: "signature_incomplete", wire: replace("SignedHeaders=host;x-amz-date, ", "")},
		{Name: "X-Amz-Date missing", Cause: "signature_incomplete", wire: dropField("X-Amz-Date")},
		{Name: "presigned without its date", Cause: "signature_incomplete", sign: "presigned", wire: replace("X-Amz-Date=", "X-Amz-Data=")},
		{Name: "both forms", Cause: "forms_mixed", sign: "presigned", before: func(r *http.Request, c Credential) {
			SignV4(r, nil, c, Scope{"cn-beijing-6", "monitor"}, time.Now())
		}},
		{Name: "scope of four parts", Cause: "scope_form", wire: replace("/cn-beijing-6/", "/")},
		{Name: "scope without an end", Cause: "scope_end", wire: replace("/aws4_request", "/ksyun_request")},
		{Name: "scope of the day before", Cause: "scope_date", wire: changeScopeDay(-1)},
		{Name: "scope of the local day", Cause: "scope_date", wire: changeScopeDay(1)},
		{Name: "scope of another service", Cause: "scope_service", service: "kec"},
		{Name: "scope of another region", Cause: "scope_region", host: "monitor.cn-shanghai-2.api.ksyun.com"},
		{Name: "date in the extended form", Cause: "date_form", wire: extendDate},
		{Name: "date of another kind", Cause: "date_form", wire: func(s string) string {
			return addField("X-Amz-Date: Mon, 23 Nov 2026 08:00:00 GMT")(dropField("X-Amz-Date")(s))
		}},
		{Name: "two dates", Cause: "dates_differ", wire: func(s string) string {
			return replace("X-Amz-Date: ", "X-Amz-Date: 20200101T000000Z\r\nX-Amz-Date: ")(s)
		}},
		{Name: "signature in base64", Cause: "signature_text", wire: inSignature(func(s string) string { return s[:43] + "=" })},
		{Name: "signature in upper case", Cause: "signature_text", wire: inSignature(strings.ToUpper)},
		{Name: "signature cut", Cause: "signature_text", wire: inSignature(func(s string) string { return s[:60] })},
		{Name: "host not signed", Cause: "host_unsigned", wire: replace("SignedHeaders=host;", "SignedHeaders=")},
		{Name: "names in upper case", Cause: "signed_names", signed: []string{"accept"}, wire: replace("SignedHeaders=accept;host;x-amz-date", "SignedHeaders=Accept;host;X-Amz-Date")},
		{Name: "names not sorted", Cause: "signed_names", signed: []string{"accept"}, wire: replace("SignedHeaders=accept;host;x-amz-date", "SignedHeaders=host;x-amz-date;accept")},
		{Name: "signed field dropped", Cause: "field_missing", signed: []string{"accept"}, wire: dropField("Accept")},
		{Name: "signed length, body chunked", Cause: "field_missing", method: "POST", body: batch, signed: []string{"content-length"}, wire: func(s string) string {
			head, body, _ := strings.Cut(dropField("Content-Length")(s), "\r\n\r\n")
			return head + "\r\nTransfer-Encoding: chunked\r\n\r\n20\r\n" + body + "\r\n0\r\n\r\n"
		}},
		{Name: "signed field doubled", Cause: "field_doubled", signed: []string{"accept"}, wire: addField("Accept: text/xml")},
		{Name: "signed field changed by a proxy", Cause: "field_proxied", signed: []string{"user-agent"}, wire: func(s string) string {
			return addField("Via: 1.1 gateway")(replace("program/1", "program/1 gateway/2")(s))
		}},
		{Name: "host of the proxy", Cause: "host_foreign", wire: replace("Host: monitor.api.ksyun.com", "Host: 127.0.0.1:8181")},
		{Name: "host with a port", Cause: "host_port", wire: replace("Host: monitor.api.ksyun.com", "Host: monitor.api.ksyun.com:80")},
		{Name: "parameter doubled on the way", Cause: "parameter_doubled", wire: replace("&Version=", "&Action=ListMetrics&Version=")},
		{Name: "parameter encoded twice", Cause: "parameter_twice", query: listMetrics + "&MetricName=cpu%20usage", wire: replace("cpu%20usage", "cpu%2520usage")},
		{Name: "parameter decoded on the way", Cause: "parameter_plus", query: listMetrics + "&StartTime=2026-11-23T08%3A00%3A00%2B08%3A00", wire: replace("2026-11-23T08%3A00%3A00%2B08%3A00", "2026-11-23T08:00:00+08:00")},
		{Name: "query cut in an escape", Cause: "parameter_escape", query: listMetrics + "&MetricName=cpu%20usage", wire: replace("cpu%20usage", "cpu%2")},
		{Name: "body changed", Cause: "payload_hash", method: "POST", body: batch, before: hash, signed: []string{"x-amz-content-sha256"}, wire: replace(`"KEC"`, `"EIP"`)},
		{Name: "body not signed", Cause: "payload_unsigned", method: "POST", body: batch, before: unsigned},
		{Name: "simple without a key", Cause: "signature_incomplete", sign: "simple", late: remove("Accesskey")},
		{Name: "simple without a signature", Cause: "signature_incomplete", sign: "simple", late: remove("Signature")},
		{Name: "simple without a time", Cause: "signature_incomplete", sign: "simple", late: remove("Timestamp")},
		{Name: "simple, key in another case", Cause: "parameter_case", sign: "simple", late: rename("Accesskey", "AccessKey")},
		{Name: "simple in base64", Cause: "signature_text", sign: "simple", late: change("Signature", func(s string) string { return s[:43] + "=" })},
		{Name: "simple by HMAC-SHA1", Cause: "algorithm", sign: "simple", late: change("SignatureMethod", func(string) string { return "HmacSHA1" })},
		{Name: "simple of another version", Cause: "signature_version", sign: "simple", late: change("SignatureVersion", func(string) string { return "2" })},
		{Name: "simple without a zone", Cause: "date_form", sign: "simple", late: change("Timestamp", func(s string) string { return strings.TrimSuffix(s, "Z") })},
		{Name: "simple, parameter doubled", Cause: "parameter_doubled", sign: "simple", wire: replace("?", "?Action=DescribeInstances&")},
		{Name: "simple, another service", Cause: "scope_service", sign: "simple", late: change("Service", func(string) string { return "kec" })},
		{Name: "clock behind", Cause: "clock_skew", skew: -47 * time.Minute},
		{Name: "clock ahead", Cause: "clock_skew", skew: 16 * time.Minute},
		{Name: "clock behind, simple", Cause: "clock_skew", skew: -47 * time.Minute, sign: "simple"},
		{Name: "local time", Cause: "clock_zone", skew: 8 * time.Hour},
		{Name: "local time, simple", Cause: "clock_zone", skew: 8 * time.Hour, sign: "simple"},
		{Name: "old presigned", Cause: "signature_stale", skew: -3 * 24 * time.Hour, sign: "presigned"},
		{Name: "unknown key", Cause: "key_unknown", as: unknownKey},
		{Name: "unknown key, simple", Cause: "key_unknown", sign: "simple", as: unknownKey},
	}
}

func unknownKey(c Credential) Credential {
	c.AccessKey = "AKLTscenarioUnknown00"
	return c
}

func remove(name string) func(url.Values) {
	return func(v url.Values) { v.Del(name) }
}

func rename(name, to string) func(url.Values) {
	return func(v url.Values) {
		v.Set(to, v.Get(name))
		v.Del(name)
	}
}

func change(name string, by func(string) string) func(url.Values) {
	return func(v url.Values) { v.Set(name, by(v.Get(name))) }
}

// changeScopeDay returns a change of the scope's day by so many.
func changeScopeDay(days int) func(string) string {
	return func(s string) string {
		const length = len("20060102")
		at := strings.Index(s, "/20") + 1
		day, err := time.Parse("20060102", s[at:at+length])
		if err != nil {
			panic(err) // a table's
		}
		return s[:at] + day.AddDate(0, 0, days).Format("20060102") + s[at+length:]
	}
}

// extendDate writes X-Amz-Date in the extended form.
func extendDate(s string) string {
	at := strings.Index(s, "X-Amz-Date: ") + len("X-Amz-Date: ")
	t, err := time.Parse(sigV4Date, s[at:at+len(sigV4Date)])
	if err != nil {
		panic(err) // a table's
	}
	return s[:at] + t.Format(time.RFC3339) + s[at+len(sigV4Date):]
}
