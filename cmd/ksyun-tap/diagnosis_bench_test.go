//go:build unix

package main

import (
	"context"
	"fmt"
	"net"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// successResponse is a success of about 1 KiB.
var successResponse = func() []byte {
	point := `{"timestamp":"2026-11-23T12:00:00Z","average":"1.5"}`
	body := `{"getMetricStatisticsResult":{"datapoints":{"member":[` + strings.Repeat(point+",", 17) + point +
		`]},"label":"cpu"},"responseMetadata":{"requestId":"a6d3a2c4-1c50-4f6c-9a07-3c1f0f7f3a15"}}`
	return fmt.Appendf(nil, "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%s", len(body), body)
}()

// silent is a sink that discards everything.
type silent struct{}

func (silent) Begin(*classify.Call)          {}
func (silent) Observe(*classify.Observation) {}

// diagnosedProxy returns a connection to a proxy with that sink.
func diagnosedProxy(b *testing.B, sink classify.Sink) net.Conn {
	back, front := rawconn.Listen(b), rawconn.Listen(b)
	go rawconn.AnswerAll(back, successResponse)
	to, err := upstream.ParseConnectTo("monitor.api.ksyun.com:80=" + back.Addr().String())
	if err != nil {
		b.Fatal(err)
	}
	p, err := collector.New(collector.Config{
		Classifier: classify.New(classify.DefaultCatalog()), Sink: sink,
		Policy: collector.Policy{ConnectTo: []upstream.ConnectTo{to}},
	})
	if err != nil {
		b.Fatal(err)
	}
	go p.Serve(front)
	b.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
		defer cancel()
		p.Shutdown(ctx)
	})
	return rawconn.Open(b, front.Addr().String())
}

// diagnosing is a sink that only diagnoses.
type diagnosing struct{ *diagnosis.Diagnoser }

func (diagnosing) Begin(*classify.Call) {}
func (d diagnosing) Observe(o *classify.Observation) {
	if !d.ObserveLater(o) {
		d.Diagnoser.Observe(o)
	}
}

// BenchmarkDiagnosis measures what the diagnoses cost the relay: the medians of batches of
// calls through two proxies in turn, of which one does not diagnose. CPU time is that of
// the process, including the client and the upstream.
func BenchmarkDiagnosis(b *testing.B) {
	const batch = 256
	diagnoser := diagnosis.New()
	proxies := []struct {
		name string
		net.Conn

		cpu, wall []time.Duration
	}{{name: "without", Conn: diagnosedProxy(b, silent{})}, {name: "with", Conn: diagnosedProxy(b, diagnosing{diagnoser})}}
	request := []byte("GET /?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total" +
		"&InstanceID=00000000-aaaa-4bbb-8ccc-000000000001&StartTime=2026-11-23T12%3A00%3A00Z&EndTime=2026-11-23T12%3A10%3A00Z&Period=60 HTTP/1.1\r\n" +
		"Host: monitor.api.ksyun.com\r\nUser-Agent: aws-sdk-go/1.25.3 (go1.26; linux; amd64)\r\n" +
		"Authorization: AWS4-HMAC-SHA256 Credential=AKLTtestAccessKey000/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=host;x-amz-date, Signature=" + strings.Repeat("0", 64) + "\r\n" +
		"X-Amz-Date: 20261123T000000Z\r\n\r\n")
	response := make([]byte, len(successResponse))
	cpu := func() time.Duration {
		var u syscall.Rusage
		if err := syscall.Getrusage(syscall.RUSAGE_SELF, &u); err != nil {
			b.Fatal(err)
		}
		return time.Duration(u.Utime.Nano() + u.Stime.Nano())
	}
	for b.Loop() {
		for i := range proxies {
			p := &proxies[i]
			diagnoser.Flush()
			start, before := time.Now(), cpu()
			for range batch {
				rawconn.RoundTrip(b, p, request, response)
			}
			p.cpu, p.wall = append(p.cpu, cpu()-before), append(p.wall, time.Since(start))
		}
	}
	median := func(all []time.Duration) float64 {
		slices.Sort(all)
		return float64(all[len(all)/2])
	}
	for _, p := range proxies {
		b.ReportMetric(median(p.cpu)/batch, p.name+"-cpu-ns/call")
		b.ReportMetric(batch/median(p.wall)*float64(time.Second), p.name+"-calls/s")
	}
}
