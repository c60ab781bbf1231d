package redact

import (
	"math/rand/v2"
	"testing"
)

// simpleQueries are queries that are not searched, but for those in harmlessQueries.
var simpleQueries = []string{
	"StartTime=2026-11-01T00%3A00%3A00Z&EndTime=2026-11-01+01%3a00%3A00", "Metrics=cpu,memory%2Cdisk",
	"Action=ListMetrics&Signature=a%2Fb%3D%3D&SignatureVersion=1.0&Accesskey=AKLTabcdefghijklmnop&Timestamp=2026-11-23T08:00:00Z",
	"X-Amz-Algorithm=x&X-Amz-Credential=AKLT%2F20261123%2Fcn-beijing-6&X-Amz-Date=20261123T080000Z&X-Amz-Signature=" + sigHex,
	"sk=&ak=\"x y\x00\"&a.sk=[1]&token==", "my.token=1&s-k=3&x-sk-=4&-=5",
}

// TestSimpleQuery checks that common queries are not searched.
func TestSimpleQuery(t *testing.T) {
	for _, query := range simpleQueries {
		got, ok := appendSimpleQuery(nil, []byte(query))
		if want := string(appendRedactedQuery(nil, []byte(query))); !ok || string(got) != want {
			t.Errorf("%q becomes %q (simple: %t), want %q", query, got, ok, want)
		}
	}
}

// FuzzSimpleQuery checks that a query that is not searched becomes what it becomes by a
// search.
func FuzzSimpleQuery(f *testing.F) {
	for _, query := range simpleQueries {
		f.Add(query)
	}
	for _, query := range harmlessQueries {
		f.Add(query)
	}
	for _, query := range []string{
		"sk=1;a=2", "a=1;sk=1", "a=1&lt;&sk=2", "a=%253A", "a=1%3Ab", "a=x%3A1", "a=%26sk%3D1", "password%3A=1", "a=1%2Csk=2", "a=12:sk=x",
		"a=eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", "eyJhbGciOiJIUzI1NiJ9.x=1", "a=Bearer+abcdefgh1", "a=x-AKLTabcdefghijklmnop",
		"sk=[\"1&b=2\"]", "Authorization=AWS4-HMAC-SHA256 x", "a=1,token:x", "y+s-k=3", "y/s-k=3", "my+token=1&to+ken=2", "sk=REDACTED&ak=REDACTED:REDACTED",
	} {
		f.Add(query)
	}
	f.Fuzz(func(t *testing.T, query string) {
		checkSimple(t, []byte(query))
	})
}

func checkSimple(t *testing.T, query []byte) (simple bool) {
	got, ok := appendSimpleQuery([]byte("?"), query)
	if want := "?" + string(appendRedactedQuery(nil, query)); ok && string(got) != want {
		t.Errorf("%q becomes %q, want %q", query, got, want)
	}
	return ok
}

// FuzzPlainName checks that a name that is not read is not that of a secret.
func FuzzPlainName(f *testing.F) {
	for _, w := range secretWords {
		f.Add(w)
		f.Add("x-" + w[:1] + "_" + w[1:] + ".")
	}
	for _, n := range secretNames {
		f.Add(n)
		f.Add("x-" + n + "-")
		f.Add(n[:1] + "-" + n[1:])
	}
	for _, name := range []string{"", "a", "ab", "Dimensions.1.Value", "InstanceId.1", "X-Amz-Date", "%73k", "s&#107;"} {
		f.Add(name)
	}
	f.Fuzz(func(t *testing.T, name string) {
		checkPlain(t, []byte(name))
	})
}

func checkPlain(t *testing.T, name []byte) (plain bool) {
	if len(name) > maxParamName || !isPlainName(name) {
		return false
	}
	if secret, atEnd := readSecretName(name); secret || atEnd {
		t.Errorf("%q is taken for a plain name", name)
	}
	return true
}

// parts are what queries with secrets are made of, and what a search treats in a way of its
// own.
var parts = []string{
	"&", "&", "&", "=", "=", ";", ":", ".", ",", "+", "-", "_", "/", "[", "]", "\"", "'", "\\", " ", "<", ">", "@", "#", "?", "\x00", "\xff",
	"%", "%3A", "%3a", "%2C", "%2c", "%26", "%3D", "%25", "%2525", "%41", "%5B", "%22", "%20", "&amp;", "&#61;", `\u0026`, `\/`, "://",
	"0", "12", "a", "k", "s", "x", "s-k", "to.ken", "sk", "ak", "sig", "pass", "auth", "token", "Token", "Signature", "X-Amz-Signature", "password", "Authorization",
	"Bearer", "Basic", "kss", "AWS", "Action", "StartTime", "Dimensions.1.Value", "REDACTED", "dTpw", "eyJ", "eyJhbGciOiJIUzI1NiJ9",
	"AKLT", "AKIA", "AKLTabcdefghijklmnop", "aklt00000000000000", "AKIAABCDEFGHIJKLMNO", "HMAC-", "2026-11-23T08:00:00Z", "cn-beijing-6",
	"00000000-aaaa-4bbb-8ccc-000000000001", "0123456789abcdef", "0123456789abcdef0123456789abcdef", "aB3dE6gH9jK2mN5pQ8", "GetMetricStatistics",
}

// TestSimpleQueryAtRandom is FuzzSimpleQuery, FuzzHarmlessQuery and FuzzPlainName for texts of
// parts.
func TestSimpleQueryAtRandom(t *testing.T) {
	const tries = 20_000
	random := rand.New(rand.NewPCG(1, 2))
	simple, plain := 0, 0
	var text []byte
	for range tries {
		text = text[:0]
		for range random.IntN(12) {
			text = append(text, parts[random.IntN(len(parts))]...)
		}
		if ok := checkSimple(t, text); ok {
			simple++
		}
		checkHarmless(t, text)
		if ok := checkPlain(t, text); ok {
			plain++
		}
	}
	if simple < tries/20 || plain < tries/100 {
		t.Errorf("of %d texts, %d are simple queries and %d plain names", tries, simple, plain)
	}
}
