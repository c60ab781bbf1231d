package classify

import (
	"fmt"
	"strings"
	"testing"
)

// largeHeads returns requests whose heads have about n bytes, none of them secrets unless
// the name says so.
func largeHeads(n int) map[string]*Request {
	target := []byte("/?Action=ListMetrics&Version=2010-05-25&Namespace=KEC")
	field := func(name, value string) *Request {
		return &Request{Target: target, Header: plainFields{{name, []byte(value)}}}
	}
	fill := func(unit string) string { return strings.Repeat(unit, n/len(unit)) }
	many := func(value func(i int) string) *Request {
		r := &Request{Target: target}
		var h plainFields
		for size := 0; size < n; {
			f := plainField{fmt.Sprintf("X-Field-%d", len(h)), []byte(value(len(h)))}
			h = append(h, f)
			size += len(f.name) + len(f.value) + len(": \r\n")
		}
		r.Header = h
		return r
	}
	random := uint64(1)
	key := func(int) string {
		var b strings.Builder
		for range 43 {
			random = random*6364136223846793005 + 1442695040888963407
			b.WriteByte("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"[random>>33%62])
		}
		return b.String()
	}
	var keys strings.Builder
	for keys.Len() < n {
		keys.WriteString(key(0) + " ")
	}
	return map[string]*Request{
		"one run":             field("X-A", fill("a")),
		"words":               field("X-A", fill("word, ")),
		"sentences":           field("X-A", fill("a sentence with words. ")),
		"cookies":             field("Cookie", fill("lang=en; ")),
		"cookies, secret":     field("Cookie", fill("session=0af7651916cd43dd; ")),
		"parameters":          {Target: []byte("/?" + fill("Metric=cpu.utilization&")), Header: plainFields{}},
		"escaped":             {Target: []byte("/?" + fill("A=x%2Fy&")), Header: plainFields{}},
		"JSON":                field("X-A", fill(`{"a":"b","c":1}`)),
		"short fields":        many(func(int) string { return "a" }),
		"fields with times":   many(func(int) string { return "2026-11-23T08:00:00Z" }),
		"fields with UUIDs":   many(func(int) string { return "00000000-aaaa-4bbb-8ccc-000000000001" }),
		"fields with keys":    many(key),
		"keys":                field("X-A", keys.String()),
		"name beyond reading": {Target: []byte("/?" + fill("n") + "=v"), Header: plainFields{}},
		"at signs":            field("X-A", fill("a@b")),
		"colons":              field("X-A", fill("a:")),
		"equal signs":         field("X-A", fill("=")),
		"quotes":              field("X-A", fill(`"`)+"="),
		"schemes":             field("X-A", fill("aws ")),
		"elements":            field("X-A", fill("<a>")),
		"authorization":       field("Authorization", "KSS "+fill("a=b, ")),
	}
}

// BenchmarkScrubLargeHead removes the secrets of requests with large heads from a message. The time of
// each should be some 100 µs.
func BenchmarkScrubLargeHead(b *testing.B) {
	const size = 62 << 10
	for name, r := range largeHeads(size) {
		b.Run(name, func(b *testing.B) {
			v := Verdict{Code: "Some.Code", Message: "the value of Namespace for instance kec-1 is not valid"}
			b.SetBytes(size)
			b.ReportAllocs()
			for b.Loop() {
				scrubbed := v
				scrubbed.Scrub(r)
			}
		})
	}
}
