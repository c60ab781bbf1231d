package http1

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

const usualRequest = "GET /?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total HTTP/1.1\r\n" +
	"Host: monitor.api.ksyun.com\r\nUser-Agent: aws-sdk-go/1.25.3 (go1.26; linux; amd64)\r\nAccept: application/json\r\n" +
	"Authorization: AWS4-HMAC-SHA256 Credential=AKLTexample/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=accept;content-type;host;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000\r\n" +
	"Content-Type: application/json\r\nX-Amz-Date: 20261123T000000Z\r\nAccept-Encoding: gzip\r\n\r\n"

const usualResponse = "HTTP/1.1 200 OK\r\nServer: nginx\r\nDate: Mon, 23 Nov 2026 00:00:00 GMT\r\nContent-Type: application/json\r\n" +
	"Content-Length: 1024\r\nConnection: keep-alive\r\nX-KSC-REQUEST-ID: 01234567-89ab-4cde-8f01-23456789abcd\r\n\r\n"

func parseRequest(tb testing.TB, q *Request, b []byte) {
	end, _, err := ScanRequest(b, 0, maxHead)
	if err == nil {
		err = q.Parse(b, 0, end)
	}
	require.NoError(tb, err)
	q.Prepare(nil)
}

func parseResponse(tb testing.TB, p *Response, b []byte) {
	end, _, err := ScanResponse(b, 0, maxHead)
	if err == nil {
		err = p.Parse(b, 0, end)
	}
	require.NoError(tb, err)
}

func TestUsualHeadsDoNotAllocate(t *testing.T) {
	req, resp := []byte(usualRequest), []byte(usualResponse)
	proxied := []byte(strings.Replace(usualRequest, "Host:", "Proxy-Connection: keep-alive\r\nProxy-Authorization: x\r\nConnection: close\r\nHost:", 1))
	absolute := []byte(strings.Replace(usualRequest, "GET /", "GET http://monitor.api.ksyun.com/", 1))
	mem := make([]byte, 4096)
	var q Request
	var p Response
	for name, run := range map[string]func(){
		"request":          func() { parseRequest(t, &q, req) },
		"proxied request":  func() { parseRequest(t, &q, mem[:copy(mem, proxied)]) },
		"absolute request": func() { parseRequest(t, &q, mem[:copy(mem, absolute)]) },
		"response":         func() { parseResponse(t, &p, resp) },
		"body": func() {
			b := Body{kind: bodyChunked}
			if _, err := b.Take([]byte("5;a=b\r\nhello\r\n0\r\nA: b\r\n\r\n")); err != nil || !b.Done {
				t.Fatal(err)
			}
		},
	} {
		run() // the fields are allocated
		if n := testing.AllocsPerRun(100, run); n > 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}

func BenchmarkRequest(b *testing.B) {
	req := []byte(usualRequest)
	var q Request
	b.ReportAllocs()
	b.SetBytes(int64(len(req)))
	for b.Loop() {
		parseRequest(b, &q, req)
	}
}

func BenchmarkResponse(b *testing.B) {
	resp := []byte(usualResponse)
	var p Response
	b.ReportAllocs()
	b.SetBytes(int64(len(resp)))
	for b.Loop() {
		parseResponse(b, &p, resp)
	}
}

// BenchmarkLargestHead has as many fields, or as many options, as fit. Time per
// byte must not be a multiple of that of usual heads.
func BenchmarkLargestHead(b *testing.B) {
	for name, fields := range map[string]string{
		"fields":  strings.Repeat("a:b\r\n", 12000),
		"options": "Connection: a" + strings.Repeat(",a", 30000) + "\r\n",
		"both":    "Connection: a" + strings.Repeat(",a", 15000) + "\r\n" + strings.Repeat("a:b\r\n", 6000),
	} {
		b.Run("request/"+name, func(b *testing.B) {
			req := []byte("GET / HTTP/1.1\r\nHost: h\r\n" + fields + "\r\n")
			var q Request
			b.SetBytes(int64(len(req)))
			for b.Loop() {
				parseRequest(b, &q, req)
			}
		})
		b.Run("response/"+name, func(b *testing.B) {
			resp := []byte("HTTP/1.1 200 OK\r\n" + fields + "\r\n")
			var p Response
			b.SetBytes(int64(len(resp)))
			for b.Loop() {
				parseResponse(b, &p, resp)
			}
		})
	}
}

func BenchmarkChunked(b *testing.B) {
	body := []byte(strings.Repeat("1000;a=b\r\n"+strings.Repeat("x", 4096)+"\r\n", 16) + "0\r\n\r\n")
	b.SetBytes(int64(len(body)))
	for b.Loop() {
		f := Body{kind: bodyChunked}
		if _, err := f.Take(body); err != nil {
			b.Fatal(err)
		}
	}
}
