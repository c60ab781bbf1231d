package classify

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"html"
	"iter"
	"maps"
	"net/url"
	"strings"
	"testing"
)

// heads is a Header with repeated fields.
type heads [][2]string

func (h heads) Get(name string) []byte {
	for _, f := range h {
		if strings.EqualFold(f[0], name) {
			return []byte(f[1])
		}
	}
	return nil
}

func (h heads) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, f := range h {
			if !yield([]byte(f[0]), []byte(f[1])) {
				return
			}
		}
	}
}

// secretPlaces are requests with a canary, each in one place.
func secretPlaces(secret string) map[string]*Request {
	escaped := url.QueryEscape(secret)
	field := func(name, value string) *Request {
		return &Request{Target: []byte("/?Action=ListMetrics"), Header: heads{{name, value}}}
	}
	target := func(t string) *Request { return &Request{Target: []byte(t)} }
	body := func(kind, text string) *Request {
		return &Request{Target: []byte("/"), Header: heads{{"Content-Type", kind}}, Body: []byte(text)}
	}
	basic := func(pair string) string { return "Basic " + base64.StdEncoding.EncodeToString([]byte(pair)) }
	const form, plain = "application/x-www-form-urlencoded", "text/plain"
	all := map[string]*Request{
		"SigV4 signature":      field("Authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, SignedHeaders=host, Signature="+secret),
		"second Authorization": {Target: []byte("/"), Header: heads{{"Authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, Signature=ab"}, {"Authorization", "Bearer " + secret}}},
		"KSS key":              field("Authorization", "KSS "+secret+":c2lnbmF0dXJl="),
		"KSS signature":        field("Authorization", "KSS AKLTsomething:"+secret),
		"Bearer":               field("Authorization", "Bearer "+secret),
		"Bearer behind a tab":  field("Authorization", "Bearer\t"+secret),
		"no scheme":            field("Authorization", secret),
		"Basic":                field("Authorization", "Basic "+secret),
		"Basic user":           field("Authorization", basic(secret+":word")),
		"Basic password":       field("Authorization", basic("user:"+secret)),
		"Digest":               field("Authorization", `Digest username="u", realm="r", response="`+secret+`"`),
		"Proxy-Authorization":  field("Proxy-Authorization", basic("user:"+secret)),
		"cookie":               field("Cookie", "theme=dark; id="+secret),
		"Ksc token":            field("X-Ksc-Security-Token", secret),
		"Amz token":            field("x-amz-security-token", secret),
		"API key field":        field("X-Api-Key", secret),
		"User-Agent":           field("User-Agent", "tool/1 (password="+secret+")"),
		"tracestate":           field("tracestate", "vendor=token:"+secret),
		"Referer":              field("Referer", "https://user:"+escaped+"@host/"),

		"presigned signature": target("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Signature=" + escaped),
		"presigned token":     target("/?X-Amz-Security-Token=" + escaped),
		"second parameter":    target("/?Accesskey=first&Accesskey=" + escaped),
		"password%3D":         target("/?Action=A&x=password%3D" + url.QueryEscape(escaped)),
		"password%253D":       target("/?x=password%253D" + escaped),
		"semicolon":           target("/?a=b;token=" + escaped),
		"path parameter":      target("/a;token=" + escaped + "?x=1"),
		"fragment":            target("/cb#access_token=" + escaped),
		"fragment in a value": target("/?u=" + url.QueryEscape("https://h/cb#access_token="+escaped)),
		"user in a value":     target("/?u=" + url.QueryEscape("https://user:"+escaped+"@h/")),
		"JSON in a value":     target("/?filter=" + url.QueryEscape(`{"a":[{"password":"`+secret+`"}]}`)),
		"absolute form":       target("http://user:" + escaped + "@monitor.api.ksyun.com/?Action=A"),

		"form":         body(form, "Action=A&Password="+escaped),
		"JSON":         body("application/json", `{"Action":"A","Login":{"Password":"`+secret+`"}}`),
		"JSON escapes": body("application/json", `{"Password":"`+strings.ReplaceAll(secret, "/", `\/`)+`"}`),
		"JSON in JSON": body("application/json", `{"x":"{\"password\":\"`+secret+`\"}"}`),
		"JSON list":    body("application/json", `{"tokens":["first","`+secret+`"]}`),
		"XML":          body("application/xml", "<R><Password>"+secret+"</Password></R>"),
		"multipart":    body("multipart/form-data; boundary=b", "--b\r\nContent-Disposition: form-data; name=\"Password\"\r\n\r\n"+secret+"\r\n--b--\r\n"),
		"text":         body(plain, "the password: "+secret),
	}
	if !strings.Contains(secret, "/") { // as in an access key
		maps.Copy(all, map[string]*Request{
			"SigV4 credential":     field("Authorization", "AWS4-HMAC-SHA256 Credential="+secret+"/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=host, Signature=ab"),
			"quoted credential":    field("Authorization", `AWS4-HMAC-SHA256 Credential="`+secret+`/20261123/cn-beijing-6/monitor/aws4_request", Signature="ab"`),
			"padded credential":    field("Authorization", "AWS4-HMAC-SHA256  Credential = "+secret+"/20261123/cn-beijing-6/monitor/aws4_request , Signature = ab"),
			"second Credential":    field("Authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, Credential="+secret+"/1/r/s/aws4_request, Signature=ab"),
			"presigned credential": target("/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=" + escaped + "%2F20261123%2Fr%2Fmonitor%2Faws4_request&X-Amz-Signature=ab"),
		})
	}
	for _, name := range []string{
		"access_key", "AccessKeyId", "api_key", "api-key", "ApiKey", "private_key", "passphrase", "sessionid", "JSESSIONID", "auth",
		"password", "PASSWORD", "user[password]", "client_secret", "refresh-token", "pass%77ord", "%2570assword", "X.Auth", "sk", "sig",
	} {
		all["parameter "+name] = target("/?Action=A&" + name + "=" + escaped)
		all["form parameter "+name] = body(form, name+"="+escaped)
	}
	return all
}

// encodings are the ways an answer may write what it quotes.
func encodings(secret string) map[string]string {
	quoted, _ := json.Marshal(secret)
	var unicode strings.Builder
	for _, c := range []byte(secret) {
		fmt.Fprintf(&unicode, `\u%04x`, c)
	}
	return map[string]string{
		"as it is":       secret,
		"lower case":     strings.ToLower(secret),
		"upper case":     strings.ToUpper(secret),
		"URL":            url.QueryEscape(secret),
		"URL, lower":     strings.ToLower(url.QueryEscape(secret)),
		"URL, twice":     url.QueryEscape(url.QueryEscape(secret)),
		"JSON":           strings.ReplaceAll(strings.Trim(string(quoted), `"`), "/", `\/`),
		"JSON, unicode":  unicode.String(),
		"XML":            strings.ReplaceAll(html.EscapeString(secret), "/", "&#x2F;"),
		"end cut off":    secret[:len(secret)-2],
		"within a word":  "Key" + secret + "x",
		"behind percent": "%" + secret,
	}
}

// plainSecrets look like no secrets, so that they can only be known from the
// request.
var plainSecrets = []string{"canary/word=horse", "canary~word=horse"}

// TestScrubbedVerdict checks that of a secret, wherever the request has it,
// nothing is left in the verdict, wherever and however the answer quotes it.
func TestScrubbedVerdict(t *testing.T) {
	classifier := New(DefaultCatalog())
	checked := 0
	for _, secret := range plainSecrets {
		for place, r := range secretPlaces(secret) {
			_, known := classifier.Request(r)
			for encoding, text := range encodings(secret) {
				v := Verdict{
					Outcome: OutcomeError, Status: 403,
					Code: "Invalid." + text, Inner: "inner-" + text, Message: "refused: " + text,
					RequestID: MakeRequestID(text),
				}
				v.Scrub(r, known)
				for field, got := range map[string]string{"code": v.Code, "inner code": v.Inner, "message": v.Message, "request ID": v.RequestID.String()} {
					checked++
					if got = strings.ToLower(got); strings.Contains(got, "canary") || strings.Contains(got, "horse") || strings.Contains(got, `\u0063\u0061`) {
						t.Errorf("%s in the %s (%s): %q", place, field, encoding, got)
					}
				}
				if !strings.HasPrefix(v.Message, "refused: ") {
					t.Errorf("%s: message %q", place, v.Message)
				}
			}
		}
	}
	t.Logf("%d places in requests, %d checked", len(secretPlaces(plainSecrets[1])), checked)
}

// TestScrubKeepsVerdicts checks that nothing is taken from verdicts without
// secrets.
func TestScrubKeepsVerdicts(t *testing.T) {
	r := &Request{
		Target: []byte("/?Action=ListMetrics&Version=2010-05-25&Namespace=KEC&InstanceID=00000000-aaaa-4bbb-8ccc-000000000001"),
		Header: heads{
			{"Authorization", "AWS4-HMAC-SHA256 Credential=AKLTcanaryAccessKey0/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + sigHex},
			{"User-Agent", "aws-sdk-go/1.4.2"},
			{"Cookie", "lang=en"},
			{"X-B3-TraceId", "0af7651916cd43dd8448eb211c80319c"},
		},
		Body: []byte(`{"Password":null,"Token":true,"Metrics":["cpu"]}`),
	}
	for _, tt := range []struct{ code, inner, message, id string }{
		{"LimitExceeded", "", "Request was rejected.", "00000000-1111-4222-8333-444444444403"},
		{"Some.New.Code", "100408", "Instance 00000000-aaaa-4bbb-8ccc-000000000001 not found in cn-beijing-6 for ListMetrics", "0af7651916cd43dd8448eb211c80319c"},
		{"InvalidToken", "monitor.InvalidInstanceIdentifierOfGroup", "The security token is expired; token: expired. null, true, host;x-amz-date", "x"},
		{"SignatureDoesNotMatch", "", "SignatureDoesNotMatch: The request signature does not match", "A1B2C3D4E5F60718"},
		{"E", "", "see https://docs.ksyun.com/documents/40063?type=3&lang=zh for GetMetricStatisticsBatchV2 in /v1/Monitor/2010-05-25/GetMetricStatistics", "r-1"},
		{"E", "", "Basic authentication or Bearer token is required, at 2026-11-23T08:00:00Z", "r-1"},
	} {
		v := Verdict{Code: tt.code, Inner: tt.inner, Message: tt.message, RequestID: MakeRequestID(tt.id)}
		v.Scrub(r, Secrets{AccessKey: []byte("AKLTcanaryAccessKey0")})
		if v.Code != tt.code || v.Inner != tt.inner || v.Message != tt.message || v.RequestID.String() != tt.id {
			t.Errorf("%+v became %q %q %q %q", tt, v.Code, v.Inner, v.Message, v.RequestID)
		}
	}
}

// keys look like secrets.
var keys = map[string]string{
	"key ID":          "AKLTyl2l3e5gQAKkv7oEwH2O8g",
	"AWS key ID":      "AKIAIOSFODNN7EXAMPLE",
	"JSON web token":  "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
	"hexadecimal":     "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b",
	"Base64":          "OEqKpx7Fq1Zb9sTt2Lw4Yd8Nn3Rr6Vv0Hh5Jj+Mm/Xx=",
	"Base64 for URLs": "OEqKpx7Fq1Zb9sTt2Lw4-Yd8Nn3Rr6Vv0Hh5Jj_MmXx",
}

// TestKeysAreNoNames checks that what looks like a key becomes no label,
// whatever the request had.
func TestKeysAreNoNames(t *testing.T) {
	c := New(DefaultCatalog())
	for kind, key := range keys {
		for _, text := range []string{key, "InvalidAccessKey." + key, "Key_" + key} {
			if !LooksKey(text) {
				t.Errorf("%s %q looks like no key", kind, text)
			}
			for where, r := range map[string]*Response{
				"Code":            {Status: 403, Body: []byte(`{"Error":{"Code":"` + text + `"}}`)},
				"X-KSC-ErrorType": {Status: 403, Header: fields{"X-Ksc-Errortype": text}},
				"inner code":      {Status: 403, Body: []byte(`{"Error":{"Code":"E","InnerCode":"` + text + `"}}`)},
				"request ID":      {Status: 403, Body: []byte(`{"RequestId":"` + text + `","Error":{"Code":"E"}}`)},
				"field of the ID": {Status: 403, Header: fields{"X-Ksc-Request-Id": text}},
				"ID of a success": {Status: 200, Header: fields{"X-Ksc-Request-Id": text}, Body: []byte("{}")},
			} {
				v := c.Response(nil, r)
				v.Scrub(nil, Secrets{})
				for _, got := range []string{v.Code, v.Inner, v.Message, v.RequestID.String()} {
					if strings.Contains(got, key) {
						t.Errorf("%s in %s: %q", kind, where, got)
					}
				}
			}
			for _, name := range []string{"Action", "Version", "Service", "Region"} {
				call, _ := c.Request(&Request{Target: []byte("/?" + name + "=" + url.QueryEscape(text))})
				if all := call.Action + call.Version + call.Service + call.Region; strings.Contains(strings.ToLower(all), strings.ToLower(key)) {
					t.Errorf("%s in %s: %+v", kind, name, call)
				}
			}
		}
	}
	for _, text := range []string{
		"00000000-1111-4222-8333-444444444403", "0af7651916cd43dd8448eb211c80319c", "InvalidParameterValue.InstanceIdentifier",
		"00000000-1111-4222-8333-444444444403_0af7651916cd43dd", "asia-southeast1-production-cluster", "InstanceID-00000000-AAAA-4bbb-8ccc-000000000001-x",
	} {
		if LooksKey(text) {
			t.Errorf("%q looks like a key", text)
		}
	}
}

// TestScrubAllocations checks that an answer in the catalogue's words costs
// nothing.
func TestScrubAllocations(t *testing.T) {
	c := New(DefaultCatalog())
	r := secretPlaces(plainSecrets[1])["SigV4 credential"]
	for name, answer := range map[string]*Response{
		"success": {Status: 200, Header: responseHead, Body: metricsJSON(1 << 10)},
		"failure": {Status: 409, Header: responseHead, Body: []byte(`{"Error":{"Code":"LimitExceeded"}}`)},
	} {
		verdict := c.Response(nil, answer)
		if n := testing.AllocsPerRun(100, func() {
			v := verdict
			v.Scrub(r, Secrets{AccessKey: []byte("AKLTcanary")})
		}); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

// BenchmarkScrub measures what the verdict on a failure costs before the metrics
// see it.
func BenchmarkScrub(b *testing.B) {
	c := New(DefaultCatalog())
	r := &Request{
		Target: []byte("/?Action=GetMetricStatistics&Version=2010-05-25&InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&Namespace=KEC"),
		Header: heads{
			{"Host", "monitor.api.ksyun.com"},
			{"User-Agent", "aws-sdk-go/1.44.109 (go1.19; linux; amd64)"},
			{"Authorization", "AWS4-HMAC-SHA256 Credential=AKLTcanaryAccessKey0/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=accept;host;x-amz-date, Signature=" + sigHex},
			{"Accept", "application/json"},
			{"X-Amz-Date", "20261123T080000Z"},
			{"Accept-Encoding", "gzip"},
		},
	}
	_, known := c.Request(r)
	for _, bb := range []struct {
		name string
		body string
	}{
		{"success", "{}"},
		{"known message", `{"Error":{"Code":"LimitExceeded","Message":"Request was rejected because the request speed of this openAPI is beyond the current flow control limit."}}`},
		{"own message", `{"Error":{"Code":"InvalidParameter","Message":"the value of Namespace for instance 00000000-aaaa-4bbb-8ccc-000000000001 is not valid"}}`},
		{"own code", `{"Error":{"Code":"Some.Code","Message":"the value of Namespace for instance 00000000-aaaa-4bbb-8ccc-000000000001 is not valid"}}`},
	} {
		b.Run(bb.name, func(b *testing.B) {
			status := 400
			if bb.name == "success" {
				status = 200
			}
			verdict := c.Response(nil, &Response{Status: status, Header: responseHead, Body: []byte(bb.body)})
			b.ReportAllocs()
			for b.Loop() {
				v := verdict
				v.Scrub(r, known)
			}
		})
	}
}
