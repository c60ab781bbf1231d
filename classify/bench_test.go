package classify

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"iter"
	"strings"
	"testing"
)

// metricsJSON is a success of about n bytes as GetMetricStatistics gives it.
func metricsJSON(n int) []byte {
	var b strings.Builder
	b.WriteString(`{"getMetricStatisticsResult":{"datapoints":{"member":[`)
	for i := 0; b.Len() < n-160; i++ {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, `{"timestamp":"2026-03-18T06:%02d:00Z","unixTimestamp":%d,"average":"%d.25","max":"2.0","min":"0.5"}`, i%60, 1773813600000+i*60000, i%100)
	}
	b.WriteString(`]},"label":"cpu.utilizition.total"},"responseMetadata":{"requestId":"00000000-1111-4222-8333-444444444425"}}`)
	return []byte(b.String())
}

func gzipped(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

func indented(t testing.TB, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	if err := json.Indent(&out, b, "", "  "); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// plainFields is a Header that allocates nothing.
type plainFields []plainField

type plainField struct {
	name  string
	value []byte
}

func (f plainFields) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, field := range f {
			if !yield([]byte(field.name), field.value) {
				return
			}
		}
	}
}

func (f plainFields) Get(name string) []byte {
	for i := range f {
		if strings.EqualFold(f[i].name, name) {
			return f[i].value
		}
	}
	return nil
}

var responseHead = plainFields{
	{"Date", []byte("Mon, 23 Nov 2026 15:02:57 GMT")},
	{"Content-Type", []byte("application/json;charset=UTF-8")},
	{"Content-Length", []byte("1024")},
	{"Connection", []byte("keep-alive")},
}

func BenchmarkResponse(b *testing.B) {
	kib := metricsJSON(1 << 10)
	big := metricsJSON(64 << 10)
	coding := ""
	f := func(name string, status int, body []byte) {
		head := append(plainFields{{"Content-Encoding", []byte(coding)}}, responseHead...)
		b.Run(name, func(b *testing.B) {
			c := New(DefaultCatalog())
			r := &Response{Status: status, Header: head, Body: body}
			call := &Call{Service: "monitor"}
			b.SetBytes(int64(len(body)))
			b.ReportAllocs()
			for b.Loop() {
				c.Response(call, r)
			}
		})
	}
	f("success/1KiB", 200, kib)
	f("success/64KiB", 200, big)
	f("success/gzip-1KiB", 200, gzipped(b, kib))
	f("success/gzip-64KiB", 200, gzipped(b, big))
	f("success/xml", 200, sample(b, "success-getmetricstatistics.xml"))
	f("success/zstd-64KiB", 200, zstded(b, big))
	f("success/gzip-600KiB", 200, gzipped(b, metricsJSON(600<<10)))
	coding = "br"
	f("success/br-64KiB", 200, brotlied(b, big))
	coding = ""
	f("success/indented-64KiB", 200, indented(b, metricsJSON(39<<10)))
	f("success/pairs-64KiB", 200, []byte(`{"d":[`+strings.Repeat(`[1773813600000,"1.25"],`, 2980)+`[1773813600000,"1.25"]]}`))
	f("success/utf-16-64KiB", 200, append([]byte("\xff\xfe"), bytes.ReplaceAll(big[:32<<10], nil, []byte{0})[1:]...))
	f("success/gbk-64KiB", 200, append([]byte("{\"n\":\"\x95\x5c\","), big[1:]...))
	for _, s := range samples {
		if s.outcome == OutcomeSuccess {
			continue
		}
		f(fmt.Sprintf("%s/%d/%s", s.outcome, s.status, s.file), s.status, sample(b, s.file))
	}
}

// BenchmarkBomb reads small bodies that decompress to more than is looked at.
// The time of each should be some milliseconds.
func BenchmarkBomb(b *testing.B) {
	bomb := bytes.Repeat([]byte{' '}, 64<<20)
	for coding, body := range map[string][]byte{"gzip": gzipped(b, bomb), "br": brotlied(b, bomb), "zstd": zstded(b, bomb)} {
		b.Run(coding, func(b *testing.B) {
			c := New(DefaultCatalog())
			r := &Response{Status: 200, Header: plainFields{{"Content-Encoding", []byte(coding)}}, Body: body[:min(len(body), 64<<10)], Truncated: len(body) > 64<<10}
			b.ReportAllocs()
			for b.Loop() {
				c.Response(nil, r)
			}
		})
	}
}

// BenchmarkHostile reads 64 KiB meant to take long. The time of each should be
// some 100 µs, not milliseconds.
func BenchmarkHostile(b *testing.B) {
	for name, body := range hostile(64 << 10) {
		b.Run(name, func(b *testing.B) {
			c := New(DefaultCatalog())
			r := &Response{Status: 400, Header: responseHead, Body: body}
			b.SetBytes(int64(len(body)))
			for b.Loop() {
				c.Response(nil, r)
			}
		})
	}
}

// hostile returns bodies of n bytes which a careless reader would take long
// for.
func hostile(n int) map[string][]byte {
	fill := func(head, unit, tail string) []byte {
		return []byte(head + strings.Repeat(unit, (n-len(head)-len(tail))/len(unit)) + tail)
	}
	return map[string][]byte{
		"json/brackets":       fill(`{"a":`, "[", ""),
		"json/objects":        fill("", `{"error":`, ""),
		"json/error lists":    fill(`{"error":`, "[", ""),
		"json/backslashes":    fill(`{"a":"`, `\`, ""),
		"json/escaped quotes": fill(`{"a":"`, `\"`, `"}`),
		"json/open quotes":    fill(`{"a":`, `"`, ""),
		"json/empty fields":   fill(`{`, `"":"",`, `}`),
		"json/messages":       fill(`{"error":{`, `"message":"",`, `}}`),
		"json/items":          fill(`{"errorMessage":[`, `"x",`, `"x"]}`),
		"json/escapes":        fill(`{"error":{"message":"`, `\u0000`, `"}}`),
		"json/long key":       fill(`{"`, `\u0065`, `":1}`),
		"json/blanks":         fill(`{"a":`, ` `, `1}`),
		"json/commas":         fill(`{"error":[`, `,`, `]}`),
		"xml/open tags":       fill("<r>", "<a>", ""),
		"xml/brackets":        fill("<r>", "<", ""),
		"xml/end tags":        fill("<r>", "</z>", ""),
		"xml/open and end":    fill("<r><a><b><c><d>", "<e></z>", ""),
		"xml/comments":        fill("<r>", "<!--", ""),
		"xml/cdata":           fill("<r><Message>", "<![CDATA[]]>", ""),
		"xml/open cdata":      fill("<r><Message>", "<![CDATA[", ""),
		"xml/entities":        fill("<Error><Message>", "&#;", "</Message>"),
		"xml/messages":        fill("<Error>", "<Message>", ""),
		"xml/quotes":          fill("<r>", "<a '", ""),
		"xml/errors":          fill("<r>", "<Error/>", ""),
		"html/tags":           fill("<html>", "<p>", ""),
		"html/titles":         fill("<html>", "<title> </title>", ""),
		"text":                fill("", "x", ""),
	}
}

func BenchmarkRequest(b *testing.B) {
	head := plainFields{
		{"Host", []byte("monitor.api.ksyun.com")},
		{"User-Agent", []byte("aws-sdk-go/1.25.3 (go1.26; linux; amd64)")},
		{"Accept", []byte("application/json")},
		{"Authorization", []byte(sigv4)},
		{"X-Amz-Date", []byte("20261123T150257Z")},
		{"Accept-Encoding", []byte("gzip")},
	}
	form := append(plainFields{{"Content-Type", []byte("application/x-www-form-urlencoded")}}, head...)
	json := append(plainFields{{"Content-Type", []byte("application/json")}}, head...)
	query := "/?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total&InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&StartTime=2026-11-23T14%3A00%3A00Z&EndTime=2026-11-23T15%3A00%3A00Z&Period=60&Aggregate=Average"
	metrics := `{"Action":"GetMetricStatisticsBatch","Version":"2018-11-14","Namespace":"KEC","Metrics":[` +
		strings.Repeat(`{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"},`, 9) + `{}]}`
	f := func(name string, r Request) {
		b.Run(name, func(b *testing.B) {
			c := New(DefaultCatalog())
			r.Host = []byte("monitor.api.ksyun.com")
			b.ReportAllocs()
			for b.Loop() {
				c.Request(&r)
			}
		})
	}
	f("GET query", Request{Method: "GET", Target: []byte(query), Header: head})
	f("GET presigned", Request{Method: "GET", Target: []byte(query + "&X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKLTdemo%2F20261123%2Fcn-shanghai-2%2Fmonitor%2Faws4_request&X-Amz-Date=20261123T150257Z&X-Amz-SignedHeaders=host&X-Amz-Signature=" + sigHex), Header: head[:3]})
	f("GET simple", Request{Method: "GET", Target: []byte(query + "&Accesskey=AKLTdemo&Service=monitor&Timestamp=2026-11-23T15%3A02%3A57Z&SignatureVersion=1.0&SignatureMethod=HMAC-SHA256&Signature=" + sigHex), Header: head[:3]})
	f("POST form", Request{Method: "POST", Target: []byte("/"), Header: form, Body: []byte(query[2:])})
	f("POST JSON", Request{Method: "POST", Target: []byte("/?Action=GetMetricStatisticsBatch&Version=2018-11-14"), Header: json, Body: []byte(metrics)})
	f("POST JSON alone", Request{Method: "POST", Target: []byte("/"), Header: json, Body: []byte(metrics)})
}

// BenchmarkEmpty measures the search for data points, of which the first is found.
func BenchmarkEmpty(b *testing.B) {
	for name, body := range map[string][]byte{"1KiB": metricsJSON(1 << 10), "64KiB": metricsJSON(64 << 10)} {
		rd := reading{form: FormJSON, body: body}
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				if rd.empty("GetMetricStatistics") {
					b.Fatal("it has data")
				}
			}
		})
	}
}
