package classify

import (
	"strings"
	"testing"
)

// TestFingerprint compares requests with a first one: attempts of one call have the
// same fingerprint, other calls another.
func TestFingerprint(t *testing.T) {
	c := New(DefaultCatalog())
	const query = "/?Action=GetMetricStatistics&Version=2010-05-25&InstanceID=i-1&MetricName=cpu&Period=60"
	const form = "application/x-www-form-urlencoded"
	get := func(target string, h fields) *Request {
		if h == nil {
			h = fields{"Authorization": sigv4, "X-Amz-Date": "20261123T150257Z"}
		}
		return &Request{Method: "GET", Target: []byte(target), Host: []byte("monitor.api.ksyun.com"), Header: h}
	}
	post := func(target, body string, h fields) *Request {
		r := get(target, h)
		r.Method, r.Body = "POST", []byte(body)
		return r
	}
	simple := func(params string) string {
		return query + "&Accesskey=AKLTdemo&Service=monitor&SignatureMethod=HMAC-SHA256&SignatureVersion=1.0" + params
	}
	presigned := func(params string) string {
		return query + "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Expires=60&X-Amz-SignedHeaders=host" + params
	}
	multipart := func(boundary, value string) string {
		return "--" + boundary + "\r\nContent-Disposition: form-data; name=\"Action\"\r\n\r\nPut\r\n--" + boundary +
			"\r\nContent-Disposition: form-data; name=\"Value\"\r\n\r\n" + value + "\r\n--" + boundary + "--\r\n"
	}
	unsigned, formed := fields{"Content-Type": "application/json"}, fields{"Content-Type": form}
	const batch = "/?Action=GetMetricStatisticsBatch&Version=2018-11-14"
	long := `{"Metrics":[` + strings.Repeat(`{"InstanceID":"i"},`, 1000)

	for _, tt := range []struct {
		name string
		a, b *Request
		same bool
	}{
		{"the same", get(query, nil), get(query, nil), true},
		{"signed at another time", get(query, nil), get(query, fields{"Authorization": strings.ReplaceAll(sigv4, "abcdef", "fedcba"), "X-Amz-Date": "20261123T150300Z"}), true},
		{"another signature, simple", get(simple("&Timestamp=2026-11-23T15:02:57Z&Signature=a&SignatureNonce=1"), nil), get(simple("&Timestamp=2026-11-23T15:02:58Z&Signature=b&SignatureNonce=2"), nil), true},
		{"another signature, presigned", get(presigned("&X-Amz-Date=20261123T150257Z&X-Amz-Signature=a"), nil), get(presigned("&X-Amz-Date=20261123T150258Z&X-Amz-Signature=b"), nil), true},
		{"another token", get(query+"&SecurityToken=a", nil), get(query+"&SecurityToken=b", nil), true},
		{"another key and nonce", get(query+"&AccessKeyId=a&Nonce=1&X-Ksc-Security-Token=x", nil), get(query+"&accesskeyid=b&nonce=2&x-ksc-security-token=y", nil), true},
		{"a parameter with a long, escaped name", get(query+"&"+strings.Repeat("%41", 50)+"=1", nil), get(query+"&"+strings.Repeat("%41", 50)+"=2", nil), false},
		{"a dry run", get(query+"&DryRun=true", nil), get(query, nil), false},
		{"another order", get("/?Action=A&Version=V&B=1&C=2", nil), get("/?C=2&Version=V&B=1&Action=A", nil), true},
		{"values exchanged", get("/?Action=A&B=1&C=2", nil), get("/?Action=A&B=2&C=1", nil), false},
		{"a parameter repeated", get("/?Action=A&B=1&B=1", nil), get("/?Action=A", nil), false},
		{"another instance", get(query, nil), get(strings.Replace(query, "i-1", "i-2", 1), nil), false},
		{"another page", get("/?Action=L&PageIndex=1", nil), get("/?Action=L&PageIndex=2", nil), false},
		{"another action", get("/?Action=A", nil), get("/?Action=B", nil), false},
		{"another version", get("/?Action=A&Version=1", nil), get("/?Action=A&Version=2", nil), false},
		{"another method", get(query, nil), post(query, "", nil), false},
		{"another path", get("/v3/?Action=A", nil), get("/v4/?Action=A", nil), false},
		{"another region of the scope", get(query, nil), get(query, fields{"Authorization": strings.Replace(sigv4, "cn-shanghai-2", "cn-beijing-6", 1)}), false},
		{"action in a field", get("/", fields{"X-Action": "A"}), get("/", fields{"X-Action": "B"}), false},
		{"the same JSON", post(batch, `{"Metrics":[1]}`, nil), post(batch, `{"Metrics":[1]}`, nil), true},
		{"another JSON", post(batch, `{"Metrics":[1]}`, nil), post(batch, `{"Metrics":[2]}`, nil), false},
		{"another JSON, not signed", post(batch, `{"Metrics":[1]}`, unsigned), post(batch, `{"Metrics":[2]}`, unsigned), false},
		{"another end of a long JSON", post(batch, long+"1]}", nil), post(batch, long+"2]}", nil), false},
		{"the same form", post("/", "Action=A&B=1&Signature=a", formed), post("/", "B=1&Action=A&Signature=b", formed), true},
		{"another form", post("/", "Action=A&B=1&Signature=a", formed), post("/", "Action=A&B=2&Signature=a", formed), false},
		{"another form, signed in a field", post("/", "Action=A&B=1", nil), post("/", "Action=A&B=2", nil), false},
		{"another boundary", post("/", multipart("x", "1"), unsigned), post("/", multipart("y", "1"), unsigned), true},
		{"another part", post("/", multipart("x", "1"), unsigned), post("/", multipart("x", "2"), unsigned), false},
		{"another body of no known form", post(batch, "<a>1</a>", unsigned), post(batch, "<a>2</a>", unsigned), false},
	} {
		a, _ := c.Request(tt.a)
		b, _ := c.Request(tt.b)
		if a.Fingerprint == 0 || (a.Fingerprint == b.Fingerprint) != tt.same {
			t.Errorf("%s: %x and %x", tt.name, a.Fingerprint, b.Fingerprint)
		}
	}
}
