package redact

import (
	"bytes"
	"slices"
	"strings"
	"testing"
)

const sigHex = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"

func TestTarget(t *testing.T) {
	tests := []struct{ name, target, want string }{
		{"nothing to hide", "/?Action=ListMetrics&Version=2010-05-25&Region=cn-beijing-6", "/?Action=ListMetrics&Version=2010-05-25&Region=cn-beijing-6"},
		{"no query", "/v4/", "/v4/"},
		{"empty", "", ""},
		{"empty query", "/?", "/?"},
		{
			"SigV4 in the query", "/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AK%2Fx&X-Amz-Date=20261123T150257Z&X-Amz-SignedHeaders=host&X-Amz-Signature=abc&X-Amz-Security-Token=t",
			"/?X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=REDACTED&X-Amz-Date=20261123T150257Z&X-Amz-SignedHeaders=host&X-Amz-Signature=REDACTED&X-Amz-Security-Token=REDACTED",
		},
		{"simple signature", "/?Accesskey=AK&Action=A&Signature=s&SecurityToken=t&SignatureNonce=n", "/?Accesskey=REDACTED&Action=A&Signature=REDACTED&SecurityToken=REDACTED&SignatureNonce=REDACTED"},
		{"case and encoding of names", "/?%53IGNATURE=s&access%4bey=k&sig=x", "/?%53IGNATURE=REDACTED&access%4bey=REDACTED&sig=REDACTED"},
		{"encoded twice", "/?%2553ignature=s", "/?%2553ignature=REDACTED"},
		{"encoded four times", "/?%25252553ignature=s", "/?%25252553ignature=REDACTED"},
		{"any word of secrets", "/?NextToken=1&client_secret=2&UserPassword=3", "/?NextToken=REDACTED&client_secret=REDACTED&UserPassword=REDACTED"},
		{"repeated", "/?Signature=a&Signature=b", "/?Signature=REDACTED&Signature=REDACTED"},
		{"nothing to replace", "/?Signature=&Signature&x=", "/?Signature=&Signature&x="},
		{"semicolons", "/?a=1;Signature=s;b=2", "/?a=1;Signature=REDACTED;b=2"},
		{"equals signs in the value", "/?Signature=c2ln==&a=b=c", "/?Signature=REDACTED&a=b=c"},
		{"an address in a value", "/?u=http%3A%2F%2Fh%2F%3FSignature%3Ds", "/?u=REDACTED"},
		{"user", "http://user:pass@monitor.api.ksyun.com/?a=1", "http://REDACTED:REDACTED@monitor.api.ksyun.com/?a=1"},
		{"user alone", "http://user@h", "http://REDACTED:REDACTED@h"},
		{"at sign in the path", "/a@b?c=d@e", "/a@b?c=d@e"},
		{"other names", "/?access_key=1&Api-Key=2&private_key=3&passphrase=4&JSESSIONID=5&auth=6&user%5Bpassword%5D=7&db.pwd=8", "/?access_key=REDACTED&Api-Key=REDACTED&private_key=REDACTED&passphrase=REDACTED&JSESSIONID=REDACTED&auth=REDACTED&user%5Bpassword%5D=REDACTED&db.pwd=REDACTED"},
		{"names that are none", "/?Author=1&KeyName=2&Passport=3&Design=4&MetricName=5&SignedHeaders=6&ask=7", "/?Author=1&KeyName=2&Passport=3&Design=4&MetricName=5&SignedHeaders=6&ask=7"},
		{"JSON in a value", "/?f=%7B%22password%22%3A%22x%22%7D&g=%7B%22a%22%3A1%7D", "/?f=REDACTED&g=%7B%22a%22%3A1%7D"},
		{"escaped equals sign", "/?x=password%3Dy&z=1", "/?x=REDACTED&z=1"},
		{"user in a value", "/?u=https%3A%2F%2Fme%3Apw%40h%2F", "/?u=REDACTED"},
		{"path parameter", "/a;token=x/b?c=1", "/a;token=REDACTED?c=1"},
		{"fragment", "/cb#access_token=x&state=y", "/cb#access_token=REDACTED&state=y"},
		{"JSON web token in the path", "/v/eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln/x", "/v/REDACTED"},
		{"UUID and MD5 stay", "/?InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&x=0af7651916cd43dd8448eb211c80319c", "/?InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&x=0af7651916cd43dd8448eb211c80319c"},
		{"key ID elsewhere", "/?User=AKLTabcdefghijklmnop", "/?User=REDACTED"},
		{"long hexadecimal number elsewhere", "/?x=" + sigHex, "/?x=REDACTED"},
		{"what may not stand there", "/a b\x00?x=\xff\"<>\\", "/a%20b%00?x=%FF%22%3C%3E%5C"},
		{"name beyond reading", "/?" + strings.Repeat("n", 300) + "=v", "/?" + strings.Repeat("n", 300) + "=REDACTED"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := Target([]byte(tt.target)); got != tt.want {
				t.Errorf("\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}

func TestSet(t *testing.T) {
	secrets := []string{"AKdemo1", "c2ln%2Fbm%3D", "to+ken/long%20one"}
	tests := []struct{ name, message, want string }{
		{"nothing", "Invalid `InstanceID` parameter value, length must be 36 characters.", "Invalid `InstanceID` parameter value, length must be 36 characters."},
		{"empty", "", ""},
		{"access key", "key AKdemo1 is unknown", "key REDACTED is unknown"},
		{"in another case", "key akDEMO1 is unknown", "key REDACTED is unknown"},
		{"as it stood in the request", "got c2ln%2Fbm%3D.", "got REDACTED."},
		{"decoded", "got c2ln/bm=.", "got REDACTED."},
		{"encoded in small letters", "got c2ln%2fbm%3d.", "got REDACTED."},
		{"encoded twice", "got c2ln%252Fbm%253D.", "got REDACTED."},
		{"escaped for JSON", `got c2ln\/bm=.`, "got REDACTED."},
		{"plus for blank", "got to ken/long+one!", "got REDACTED!"},
		{"twice", "AKdemo1AKdemo1", "REDACTEDREDACTED"},
		{"cut at the end", "expected to ken/lo", "expected REDACTED"},
		{"too little of it at the end", "expected to ken", "expected to ken"},
		{"another key ID", "user AKLTzzzzzzzzzzzzzzzz failed", "user REDACTED failed"},
		{"an AWS key ID", "user AKIAIOSFODNN7EXAMPLE failed", "user REDACTED failed"},
		{"no key ID", "AKLT and AKIA are prefixes", "AKLT and AKIA are prefixes"},
		{"another signature", "should be " + strings.Repeat("0aF9", 16) + " not", "should be REDACTED not"},
		{"signature cut at the end", "should be " + strings.Repeat("0aF9", 9), "should be REDACTED"},
		{"request ID stays", "request 00000000-1111-4222-8333-444444444403", "request 00000000-1111-4222-8333-444444444403"},
		{"Authorization", "AWS4-HMAC-SHA256 Credential=AK/1/r/s/aws4_request, SignedHeaders=host, Signature=ab", "AWS4-HMAC-SHA256 Credential=REDACTED, SignedHeaders=host, Signature=REDACTED"},
		{"parameters", "/?Accesskey=abc&Action=A&SecurityToken=d", "/?Accesskey=REDACTED&Action=A&SecurityToken=REDACTED"},
		{"JSON", `{"Signature":"abc","Action":"A"}`, `{"Signature":"REDACTED","Action":"A"}`},
		{"password in prose", "the password: hunter2.", "the password: REDACTED"},
		{"nothing behind the word", "security token: expired", "security token: expired"},
		{"user before a host", "cannot reach https://me:pw@h/x or me:pw@h", "cannot reach https://REDACTED@h/x or REDACTED@h"},
		{"at sign in a password", "dial root:p@ss@tcp(10.0.0.1:3306)", "dial REDACTED@tcp(10.0.0.1:3306)"},
		{"mail address", "write to support@ksyun.com", "write to support@ksyun.com"},
		{"schemes", "got Bearer abcdef0123, Basic bWU6cHc=, KSS AK:c2ln= and AWS x:y", "got Bearer REDACTED, Basic REDACTED, KSS REDACTED and AWS REDACTED"},
		{"schemes in prose", "Basic authentication, a Bearer token, KSS and AWS", "Basic authentication, a Bearer token, KSS and AWS"},
		{"Authorization of a scheme", "Authorization: Bearer abcdef0123", "Authorization: Bearer REDACTED"},
		{"JSON in JSON", `{\"password\":\"a, b\",\"x\":1}`, `{\"password\":\"REDACTED\",\"x\":1}`},
		{"XML", "<Password>a b</Password><X>1</X>", "<Password>REDACTED</Password><X>1</X>"},
		{"entities", "&quot;password&quot;:&quot;a b&quot;", "&quot;password&quot;:&quot;REDACTED&quot;"},
		{"JSON web token", "token eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln expired", "token REDACTED expired"},
		{"the word alone", "The Signature is not matched", "The Signature is not matched"},
		{"as a name", "The request is missing Signature Parameter", "The request is missing Signature Parameter"},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := redactedBy(tt.message, secrets...); got != tt.want {
				t.Errorf("\n got %q\nwant %q", got, tt.want)
			}
		})
	}
}

// TestShortSecret checks that what is too short to be a secret does not
// blot out messages.
func TestShortSecret(t *testing.T) {
	const message = "a message with a and b"
	if got := redactedBy(message, "a", "%61"); got != message {
		t.Errorf("%q", got)
	}
}

// BenchmarkRedact measures what every failure's texts cost on their way out.
func BenchmarkRedact(b *testing.B) {
	plain := []byte("/?Action=GetMetricStatistics&Version=2010-05-25&InstanceID=00000000-aaaa-4bbb-8ccc-000000000001" +
		"&Namespace=KEC&MetricName=cpu.utilizition.total&StartTime=2026-11-23T08:00:00Z&EndTime=2026-11-23T09:00:00Z&Period=60&Aggregate=Average")
	presigned := slices.Concat(plain, []byte("&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKLTcanaryAccessKey0123%2F20261123%2Fcn-beijing-6%2Fmonitor%2Faws4_request"+
		"&X-Amz-Date=20261123T080000Z&X-Amz-SignedHeaders=host&X-Amz-Signature="+sigHex))
	const message = "Request was rejected because the request speed of this openAPI is beyond the current flow control limit."

	b.Run("target", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Target(plain)
		}
	})
	b.Run("escaped", func(b *testing.B) {
		escaped := bytes.ReplaceAll(plain, []byte(":"), []byte("%3A"))
		b.ReportAllocs()
		for b.Loop() {
			Target(escaped)
		}
	})
	b.Run("presigned", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Target(presigned)
		}
	})
	b.Run("message", func(b *testing.B) {
		b.ReportAllocs()
		for b.Loop() {
			Text(message)
		}
	})
}

// redactedBy returns text without the secrets.
func redactedBy(text string, secrets ...string) string {
	s := NewSet()
	defer s.Release()
	for _, secret := range secrets {
		s.Add([]byte(secret))
	}
	return s.Redact(text)
}

// harmlessQueries are queries in which nothing is redacted.
var harmlessQueries = []string{
	"", "&", "a", "a=", "=a", "a&b=c&&d",
	"Action=ListMetrics&Version=2010-05-25&Region=cn-beijing-6",
	"MetricName=cpu.utilizition.total&StartTime=2026-11-23T08:00:00Z&Period=60&Aggregate=Average",
	"InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&Dimensions.1.Value=kec_00000000",
	"Action=DescribeLoadBalancerAttributes_v2/x",
}

// TestHarmlessQuery checks that common queries are not searched.
func TestHarmlessQuery(t *testing.T) {
	for _, query := range harmlessQueries {
		if !isHarmlessQuery([]byte(query)) {
			t.Errorf("%q is searched", query)
		}
	}
}

// FuzzHarmlessQuery checks that no secret would be found in a query that is not
// searched.
func FuzzHarmlessQuery(f *testing.F) {
	for _, query := range harmlessQueries {
		f.Add(query)
	}
	for _, query := range []string{
		"Signature=x", "a.auth=x", "a:sk=x", "t=12:ak=x", "a=Bearer+abcdefgh1", "a=1:b", "a=token1:x", "a=b=c", "a=%41",
		"a=x-AKLTabcdefghijklmnop", "a=xAKIAABCDEFGHIJKLMNO-1", "a=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "a;sk=1", "a=&amp;b",
		"x=" + sigHex, "a=aB3dE6gH9jK2mN5pQ8sT1vW4yZ7bC0eF3hI6kL9nO2", "http://u:p@h/?a=1", "a=00000000-aaaa-4bbb-8ccc-000000000001-aklt00000000000000",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		checkHarmless(t, []byte(query))
	})
}

func checkHarmless(t *testing.T, query []byte) {
	if !isHarmlessQuery(query) {
		return
	}
	if got := appendRedactedQuery(nil, query); !bytes.Equal(got, query) {
		t.Errorf("%q is not searched, but would become %q", query, got)
	}
	s := NewSet()
	defer s.Release()
	s.AddForm(query)
	s.AddText(query)
	if len(s.needles) > 0 {
		t.Errorf("%q is not searched, but %q would be found", query, s.needles)
	}
}

const secretText = "cAnArY/7+wQ=9z"

// FuzzTarget checks that the value of a secret parameter is hidden, whatever is around
// it, and that a set of secrets finds the value in every notation.
func FuzzTarget(f *testing.F) {
	f.Add("Action=ListMetrics", "Region=cn-beijing-6", 0)
	f.Add("a=1;b", "&", 1)
	f.Add("%26%3D", "#x?y", 2)
	f.Add("\x00\xff\"<", "AKLTabcdefghijklmnopqrs", 3)
	names := []string{
		"Signature", "X-Amz-Signature", "X-Amz-Credential", "X-Amz-Security-Token", "Accesskey", "AccessKeyId", "SecurityToken",
		"SIGNATURE", "accesskey", "%53ignature", "%2553ignature", "Sig%6eature", "x%2Damz%2Dsecurity%2Dtoken", "sig", "AWSAccessKeyId",
		"X-Goog-Signature", "SignatureNonce", "client_secret", "Password", "my+token", "X-Ksc-Security-Token",
	}
	f.Fuzz(func(t *testing.T, before, after string, n int) {
		if strings.Contains(before+after, "cAnArY") {
			return
		}
		name := names[uint(n)%uint(len(names))]
		value := strings.NewReplacer("/", "%2F", "+", "%2B").Replace(secretText)
		got := Target([]byte("/?" + before + "&" + name + "=" + value + "&" + after))
		if strings.Contains(strings.ToLower(got), "canary") {
			t.Errorf("%s survived in %q", name, got)
		}
		if !strings.Contains(got, "&"+name+"="+redacted) {
			t.Errorf("%s=REDACTED is not in %q", name, got)
		}
		for _, c := range []byte(got) {
			if c <= ' ' || c >= 0x7f {
				t.Errorf("byte %#x in %q", c, got)
			}
		}
		secrets := []string{"cAn", value, "another"}
		for _, form := range []string{value, secretText, strings.ToLower(secretText), "cAnArY%2f7%2bwQ%3d9z", `cAnArY\/7+wQ=9z`} {
			if got := redactedBy(before+form+after, secrets...); strings.Contains(strings.ToLower(got), "canary") {
				t.Errorf("%q survived in %q", form, got)
			}
		}
	})
}
