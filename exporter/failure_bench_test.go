//go:build unix

package exporter

import (
	"bufio"
	"context"
	"fmt"
	"io"
	"iter"
	"net"
	"net/netip"
	"path/filepath"
	"runtime"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// head is a message head as the vendor's SDK and gateway send them.
type head [][2][]byte

func newHead(lines ...string) head {
	var h head
	for _, l := range lines {
		name, value, _ := strings.Cut(l, ": ")
		h = append(h, [2][]byte{[]byte(name), []byte(value)})
	}
	return h
}

// Get implements classify.Header.
func (h head) Get(name string) []byte {
	for _, f := range h {
		if strings.EqualFold(string(f[0]), name) {
			return f[1]
		}
	}
	return nil
}

// Fields implements classify.Header.
func (h head) Fields() iter.Seq2[[]byte, []byte] {
	return func(yield func(name, value []byte) bool) {
		for _, f := range h {
			if !yield(f[0], f[1]) {
				return
			}
		}
	}
}

// failure is one failed call, again and again with another request ID and instance.
type failure struct {
	classifier *classify.Classifier
	request    classify.Request
	response   classify.Response
	numbers    [2][]byte // of the call, in its request ID and its instance ID
	n          int
	o          classify.Observation
}

// failures are responses of the vendor's: one that the catalogue has in these
// words, and one with a message of its own.
var failures = map[string]string{
	"catalogued": `{"requestid":"%s","error":{"type":"sender","code":"LimitExceeded","message":"Request was rejected because the request speed of this openAPI is beyond the current flow control limit."}}`,
	"own words":  `{"requestid":"%s","error":{"type":"sender","code":"InvalidParameterValue","message":"The value kec-4711 of parameter InstanceId is not valid in region cn-beijing-6."}}`,
}

func newFailure(name string) *failure {
	const (
		id       = "00000000-1111-4222-8333-000000000000"
		instance = "00000000-aaaa-4bbb-8ccc-000000000000"
		digits   = 12 // of the number at the end
	)
	target := "/?Action=GetMetricStatistics&Version=2010-05-25&Namespace=KEC&MetricName=cpu.utilizition.total" +
		"&InstanceID=" + instance + "&StartTime=2026-11-01T00:00:00Z&EndTime=2026-11-01T01:00:00Z&Period=60"
	agent := "aws-sdk-go/1.44.204 (go1.26; linux; amd64)"
	f := &failure{classifier: classify.New(classify.DefaultCatalog())}
	f.request = classify.Request{
		Method: "GET", Target: []byte(target), Host: []byte("monitor.api.ksyun.com"),
		Header: newHead("Host: monitor.api.ksyun.com", "User-Agent: "+agent, "Accept: application/json",
			"Authorization: AWS4-HMAC-SHA256 Credential=AKLTbench/20261101/cn-beijing-6/monitor/aws4_request, "+
				"SignedHeaders=accept;content-type;host;x-amz-date, Signature="+strings.Repeat("0", 64),
			"Content-Type: application/x-www-form-urlencoded; charset=utf-8", "X-Amz-Date: 20261101T000000Z", "Accept-Encoding: gzip"),
	}
	fields := newHead("Server: bench", "Content-Type: application/json;charset=UTF-8", "X-KSC-REQUEST-ID: "+id)
	f.numbers[0] = fields[2][1][len(id)-digits:]
	f.numbers[1] = f.request.Target[strings.Index(target, instance)+len(instance)-digits:][:digits]
	f.response = classify.Response{Status: 409, Header: fields, Body: fmt.Appendf(nil, failures[name], id)}
	f.o = classify.Observation{
		Source: classify.SourceForward, Method: "GET", Scheme: "http", Port: 80, Target: f.request.Target,
		Client: netip.MustParseAddrPort("127.0.0.1:41000"), Upstream: netip.MustParseAddrPort("192.0.2.7:80"),
		UserAgent: []byte(agent), RequestBytes: 700, ResponseBytes: 400, Credential: "5f2c9a5f2c9a5f2c",
	}
	return f
}

// next writes the number of the next call.
func (f *failure) next() {
	f.n++
	for _, number := range f.numbers {
		for i, n := len(number)-1, f.n; i >= 0; i, n = i-1, n/10 {
			number[i] = byte('0' + n%10)
		}
	}
}

// observe reads the next call and its response, as the collector does.
func (f *failure) observe() *classify.Observation {
	f.next()
	var secrets classify.Secrets
	f.o.Call, secrets = f.classifier.Request(&f.request)
	f.o.Verdict = f.classifier.Response(&f.o.Call, &f.response)
	f.o.Verdict.Scrub(&f.request, secrets)
	f.o.End = time.Now()
	f.o.Start = f.o.End.Add(-8 * time.Millisecond)
	return &f.o
}

// batchSize is how many spans go to the backend at once.
const batchSize = 512

// receiver is a backend for spans that takes every request at once.
type receiver struct {
	address string
	batches chan struct{} // that have come
}

func newReceiver(tb testing.TB) *receiver {
	r := &receiver{batches: make(chan struct{}, 8)}
	ln := rawconn.Listen(tb)
	go rawconn.Serve(ln, r.serve)
	r.address = ln.Addr().String()
	return r
}

func (r *receiver) serve(c net.Conn) {
	defer c.Close()
	in := bufio.NewReader(c)
	for length := 0; ; {
		line, err := in.ReadSlice('\n')
		if err != nil {
			return
		}
		if v, ok := strings.CutPrefix(string(line), "Content-Length: "); ok {
			length, _ = strconv.Atoi(strings.TrimSpace(v))
		}
		if len(line) > 2 {
			continue
		}
		_, err1 := in.Discard(length)
		_, err2 := io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Type: application/x-protobuf\r\nContent-Length: 0\r\n\r\n")
		if err1 != nil || err2 != nil {
			return
		}
		r.batches <- struct{}{}
	}
}

// sinks are all sinks as they run in the program: the log goes to a file, spans
// by OTLP to a receiver.
type sinks struct {
	metrics *metrics.Metrics
	traces  *traces.Tracer
	log     *logs.Logger
	logs    *logs.Events
	journal *journal.Journal
	backend *receiver
	span    record.Span // of every attempt
	spans   int         // number of them
}

// recorded waits, where a batch of spans is complete, until the backend has it.
func (s *sinks) recorded() {
	if s.spans++; s.spans%batchSize == 0 {
		<-s.backend.batches
	}
}

func newSinks(tb testing.TB) *sinks {
	s := &sinks{metrics: metrics.New(), journal: journal.New(0), backend: newReceiver(tb)}
	var err error
	if s.log, err = logs.New(logs.Config{File: filepath.Join(tb.TempDir(), "log")}); err != nil {
		tb.Fatal(err)
	}
	s.logs = logs.NewEvents(s.log.Logger, logs.EventsConfig{Dropped: s.metrics.DropCounter(metrics.SinkLogs)})
	env := map[string]string{"OTEL_EXPORTER_OTLP_ENDPOINT": "http://" + s.backend.address}
	s.traces = traces.New(context.Background(), traces.Config{
		Version: "1.0.0", Environment: otlp.ReadEnvironment(func(name string) string { return env[name] }),
		Dropped: s.metrics.DropCounter(metrics.SinkTraces), Log: s.log.Logger,
	})
	return s
}

// cpuTime is what the process (syscall.RUSAGE_SELF) or the thread has used of processors.
func cpuTime(tb testing.TB, who int) time.Duration {
	var u syscall.Rusage
	if err := syscall.Getrusage(who, &u); err != nil {
		tb.Fatal(err)
	}
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

// measure runs one a time each loop. It reports the processor time of the whole process,
// and that of the thread alone, which relays calls in the program.
func measure(b *testing.B, one func()) {
	b.ReportAllocs()
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	const thread = 1 // RUSAGE_THREAD
	before, own := cpuTime(b, syscall.RUSAGE_SELF), cpuTime(b, thread)
	for b.Loop() {
		one()
	}
	b.ReportMetric(float64(cpuTime(b, syscall.RUSAGE_SELF)-before)/float64(b.N), "cpu-ns/op")
	b.ReportMetric(float64(cpuTime(b, thread)-own)/float64(b.N), "own-ns/op")
}

// BenchmarkFailure measures what one failed call costs: first stage by stage, on
// one goroutine, then as it runs in the program.
func BenchmarkFailure(b *testing.B) {
	for name := range failures {
		b.Run("classify/"+name, func(b *testing.B) {
			f := newFailure(name)
			measure(b, func() { f.observe() })
		})
	}
	var records record.Maker
	stages := []struct {
		name string
		one  func(*sinks, *failure, *record.Record)
	}{
		{"decide", func(s *sinks, f *failure, _ *record.Record) { s.traces.Decide(&f.o) }},
		{"metrics", func(s *sinks, f *failure, _ *record.Record) {
			s.metrics.Begin(&f.o.Call)
			s.metrics.Observe(&f.o, record.Span{})
		}},
		{"clone", func(_ *sinks, f *failure, _ *record.Record) { f.o.Clone() }},
		{"record", func(_ *sinks, f *failure, _ *record.Record) { records.New(&f.o) }},
		{"record/another URL", func(_ *sinks, f *failure, _ *record.Record) {
			f.next()
			records.New(&f.o)
		}},
		{"journal", func(s *sinks, _ *failure, r *record.Record) { s.journal.Add(r) }},
		{"log", func(s *sinks, _ *failure, r *record.Record) { s.logs.Write(r) }},
		{"span", func(s *sinks, f *failure, r *record.Record) {
			d := record.DetailsOf(&f.o)
			d.Span = s.span
			s.traces.Record(r, &d)
			s.recorded()
		}},
	}
	for _, stage := range stages {
		b.Run(stage.name, func(b *testing.B) {
			s := newSinks(b)
			f := newFailure("catalogued")
			o := f.observe()
			s.span = s.traces.Decide(o)
			r := new(record.Maker).Identified(o, &record.Identity{Span: s.span})
			measure(b, func() { stage.one(s, f, r) })
			_ = s.traces.Shutdown(context.Background())
			_ = s.log.Close()
		})
	}
	for name := range failures {
		b.Run("all/"+name, func(b *testing.B) {
			s := newSinks(b)
			f := newFailure(name)
			p := New(Options{Metrics: s.metrics, Traces: s.traces, Logs: s.logs, Journal: s.journal, Groups: groups.New(0)})
			measure(b, func() {
				o := f.observe()
				p.Begin(&o.Call)
				p.Observe(o)
				s.recorded()
			})
			_ = p.Shutdown(context.Background())
			_ = s.log.Close()
		})
	}
}
