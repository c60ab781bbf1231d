package collector

import (
	"context"
	"fmt"
	"net"
	"net/http"
	"net/http/httputil"
	"net/url"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// nobody is a sink that discards everything.
type nobody struct{}

func (nobody) Begin(*classify.Call)          {}
func (nobody) Observe(*classify.Observation) {}

const (
	benchFields = "Host: " + host + "\r\nUser-Agent: aws-sdk-go/1.25.3 (go1.26; linux; amd64)\r\nAccept: application/json\r\n" +
		"Authorization: AWS4-HMAC-SHA256 Credential=AKLTtestAccessKey000/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=accept;content-type;host;x-amz-date, Signature=0000000000000000000000000000000000000000000000000000000000000000\r\n" +
		"Content-Type: application/json\r\nX-Amz-Date: 20261123T000000Z\r\nAccept-Encoding: gzip\r\n"
	benchRequest = "GET /?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total HTTP/1.1\r\n" + benchFields + "\r\n"
	benchPost    = "POST /?Action=GetMetricStatisticsBatch&Version=2018-11-14 HTTP/1.1\r\n" + benchFields + "Content-Length: 14\r\n\r\n" + `{"Metrics":[]}`
)

// benchResponse is a success of about 1 KiB.
var benchResponse = func() []byte {
	body := `{"getMetricStatisticsResult":{"datapoints":{"member":[` +
		strings.Repeat(`{"timestamp":"2026-11-23T12:00:00Z","average":"1.5"},`, 17) +
		`{"timestamp":"2026-11-23T12:00:00Z","average":"1.5"}]},"label":"cpu"},"responseMetadata":{"requestId":"a6d3a2c4-1c50-4f6c-9a07-3c1f0f7f3a15"}}`
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nServer: nginx\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}()

// benchProxy returns a connection to a proxy with that sink.
func benchProxy(tb testing.TB, sink classify.Sink) net.Conn {
	back, front := rawconn.Listen(tb), rawconn.Listen(tb)
	go rawconn.AnswerAll(back, benchResponse)
	p := newProxy(tb, Config{
		Classifier: classify.New(classify.DefaultCatalog()),
		Sink:       sink,
		Policy:     Policy{ConnectTo: []upstream.ConnectTo{connectTo(tb, host+":80="+back.Addr().String())}},
	})
	go p.Serve(front)
	tb.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), patience)
		defer cancel()
		p.Shutdown(ctx)
	})
	return rawconn.Open(tb, front.Addr().String())
}

func BenchmarkCall(b *testing.B) {
	b.Run("re-signed", func(b *testing.B) {
		back := rawconn.Listen(b)
		go rawconn.AnswerAll(back, benchResponse)
		p := newProxy(b, Config{
			Classifier: classify.New(classify.DefaultCatalog()),
			Sink:       nobody{},
			Policy:     Policy{ConnectTo: []upstream.ConnectTo{connectTo(b, host+":80="+back.Addr().String())}},
		})
		defer p.Shutdown(b.Context())
		front := rawconn.Listen(b)
		go p.ServeResign(front, ResignAddress{Signer: testSigner(false), Upstream: &url.URL{Scheme: "http", Host: host}})
		trips(b, rawconn.Open(b, front.Addr().String()), benchRequest, len(benchResponse))
	})
	b.Run("tap", func(b *testing.B) {
		c := benchProxy(b, nobody{})
		trips(b, c, benchRequest, len(benchResponse))
	})
	b.Run("reverseproxy", func(b *testing.B) {
		back, front := rawconn.Listen(b), rawconn.Listen(b)
		go rawconn.AnswerAll(back, benchResponse)
		proxy := httputil.NewSingleHostReverseProxy(&url.URL{Scheme: "http", Host: back.Addr().String()})
		transport := &http.Transport{DisableCompression: true}
		defer transport.CloseIdleConnections()
		proxy.Transport = transport
		srv := &http.Server{Handler: proxy}
		go srv.Serve(front)
		defer srv.Close()
		// It adds a Date field, whose length does not vary.
		trips(b, rawconn.Open(b, front.Addr().String()), benchRequest, len(benchResponse)+len("Date: Mon, 23 Nov 2026 00:00:00 GMT\r\n"))
	})
}

func trips(b *testing.B, c net.Conn, request string, response int) {
	req, buf := []byte(request), make([]byte, response)
	rawconn.RoundTrip(b, c, req, buf)
	b.ReportAllocs()
	for b.Loop() {
		rawconn.RoundTrip(b, c, req, buf)
	}
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "req/s")
}
