package classify

import (
	"fmt"
	"iter"
	"net/url"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/classify/canary"
	"github.com/ksyun-tap/ksyun-tap/classify/redact"
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

// read returns a request as the collector has it.
func read(r canary.Request) *Request {
	return &Request{Target: []byte(r.Target), Header: heads(r.Fields), Body: []byte(r.Body)}
}

// TestScrubbedVerdict checks that no part of a secret is left in the verdict,
// wherever the request has it, and wherever and however the response quotes it.
func TestScrubbedVerdict(t *testing.T) {
	classifier := New(DefaultCatalog())
	checked := 0
	for _, secret := range canary.Secrets {
		for place, request := range canary.Requests(secret) {
			r := read(request)
			_, known := classifier.Request(r)
			for encoding, text := range canary.Encodings(secret) {
				v := Verdict{
					Outcome: OutcomeError, Status: 403,
					Code: "Invalid." + text, Inner: "inner-" + text, Message: "refused: " + text,
					RequestID: MakeRequestID(text),
				}
				v.Scrub(r, known)
				for field, got := range map[string]string{"code": v.Code, "inner code": v.Inner, "message": v.Message, "request ID": v.RequestID.String()} {
					checked++
					if canary.In(got) != "" {
						t.Errorf("%s in the %s (%s): %q", place, field, encoding, got)
					}
				}
				if !strings.HasPrefix(v.Message, "refused: ") {
					t.Errorf("%s: message %q", place, v.Message)
				}
			}
		}
	}
	t.Logf("%d places in requests, %d checked", len(canary.Requests(canary.Secrets[1])), checked)
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

// TestScrubExamples checks that no message of the catalogue suffers.
func TestScrubExamples(t *testing.T) {
	for _, e := range DefaultCatalog().Entries() {
		if got := redact.Text(e.Example); got != e.Example {
			t.Errorf("%q became %q", e.Example, got)
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
			if !redact.LooksKey(text) {
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
		if redact.LooksKey(text) {
			t.Errorf("%q looks like a key", text)
		}
	}
}

// TestScrubAllocations checks that a response in the catalogue's words costs
// nothing.
func TestScrubAllocations(t *testing.T) {
	c := New(DefaultCatalog())
	r := read(canary.Requests(canary.Secrets[1])["SigV4 credential"])
	for name, response := range map[string]*Response{
		"success": {Status: 200, Header: responseHead, Body: metricsJSON(1 << 10)},
		"failure": {Status: 409, Header: responseHead, Body: []byte(`{"Error":{"Code":"LimitExceeded"}}`)},
	} {
		verdict := c.Response(nil, response)
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
		Header: plainFields{
			{"Host", []byte("monitor.api.ksyun.com")},
			{"User-Agent", []byte("aws-sdk-go/1.44.109 (go1.19; linux; amd64)")},
			{"Authorization", []byte("AWS4-HMAC-SHA256 Credential=AKLTcanaryAccessKey0/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=accept;host;x-amz-date, Signature=" + sigHex)},
			{"Accept", []byte("application/json")},
			{"X-Amz-Date", []byte("20261123T080000Z")},
			{"Accept-Encoding", []byte("gzip")},
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

// BenchmarkScrubHostile measures requests that are made to be slow to read. Each
// body is of 64 KiB.
func BenchmarkScrubHostile(b *testing.B) {
	for name, unit := range map[string]string{
		"plain": "word ", "at": "@a", "assigned": "token=HMAC-", "colons": "token: a:", "elements": "<token>", "secrets": "token=%d&",
		"quotes": `"\\"`, "percent": "%%25%[1]d", "entities": "&amp;", "keys": "AKLT-", "eyJ": "eyJ.", "dense": "aB3-", "basic": "basic YTpi ",
	} {
		var body strings.Builder
		for i := 0; body.Len() < 64<<10; i++ {
			if strings.Contains(unit, "%") {
				fmt.Fprintf(&body, unit, i)
			} else {
				body.WriteString(unit)
			}
		}
		r := &Request{Target: []byte("/"), Body: []byte(body.String())}
		message := strings.Repeat("t", maxMessage)
		b.Run(name, func(b *testing.B) {
			for b.Loop() {
				v := Verdict{Message: message}
				v.Scrub(r, Secrets{})
			}
		})
	}
}
