package push_test

import (
	"compress/gzip"
	"context"
	"encoding/json"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	logspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	mpb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"
	"google.golang.org/grpc"
	"google.golang.org/grpc/codes"
	_ "google.golang.org/grpc/encoding/gzip" // the compressor "gzip"
	"google.golang.org/grpc/metadata"
	"google.golang.org/grpc/status"
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/push"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend receives log records and metrics, over HTTP and gRPC.
type backend struct {
	logspb.UnimplementedLogsServiceServer
	url, target string

	mu      sync.Mutex
	fail    bool
	header  string // X-Team of the last request
	logs    []*logspb.ExportLogsServiceRequest
	metrics []*metricspb.ExportMetricsServiceRequest
}

// metricsService is the part of a backend for metrics over gRPC.
type metricsService struct {
	metricspb.UnimplementedMetricsServiceServer
	*backend
}

func newBackend(t *testing.T) *backend {
	t.Helper()
	b := &backend{}
	s := httptest.NewServer(b)
	t.Cleanup(s.Close)
	ln := rawconn.Listen(t)
	g := grpc.NewServer()
	logspb.RegisterLogsServiceServer(g, b)
	metricspb.RegisterMetricsServiceServer(g, metricsService{backend: b})
	done := make(chan struct{})
	go func() { defer close(done); _ = g.Serve(ln) }()
	t.Cleanup(func() { g.Stop(); <-done })
	b.url, b.target = s.URL, ln.Addr().String()
	return b
}

func (b *backend) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body, _ = gzip.NewReader(r.Body)
	}
	data, _ := io.ReadAll(body)
	var l logspb.ExportLogsServiceRequest
	var m metricspb.ExportMetricsServiceRequest
	var err error
	switch r.URL.Path {
	case "/v1/logs":
		_ = proto.Unmarshal(data, &l)
		_, err = b.receive(&l, nil, r.Header.Get("X-Team"))
	case "/v1/metrics":
		_ = proto.Unmarshal(data, &m)
		_, err = b.receive(nil, &m, r.Header.Get("X-Team"))
	}
	if err != nil {
		w.WriteHeader(http.StatusBadRequest)
	}
}

func (b *backend) receive(l *logspb.ExportLogsServiceRequest, m *metricspb.ExportMetricsServiceRequest, header string) (_ any, err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	if b.fail {
		return nil, status.Error(codes.InvalidArgument, "no")
	}
	b.header = header
	if l != nil {
		b.logs = append(b.logs, l)
	}
	if m != nil {
		b.metrics = append(b.metrics, m)
	}
	return nil, nil
}

func team(ctx context.Context) string {
	md, _ := metadata.FromIncomingContext(ctx)
	return strings.Join(md.Get("x-team"), ",")
}

func (b *backend) Export(ctx context.Context, l *logspb.ExportLogsServiceRequest) (*logspb.ExportLogsServiceResponse, error) {
	_, err := b.receive(l, nil, team(ctx))
	return &logspb.ExportLogsServiceResponse{}, err
}

func (b metricsService) Export(ctx context.Context, m *metricspb.ExportMetricsServiceRequest) (*metricspb.ExportMetricsServiceResponse, error) {
	_, err := b.receive(nil, m, team(ctx))
	return &metricspb.ExportMetricsServiceResponse{}, err
}

// environment returns the settings in which exactly these variables are set.
func environment(t *testing.T, env ...string) *otlp.Environment {
	t.Helper()
	e := otlp.ReadEnvironment(func(name string) string {
		for _, kv := range env {
			if k, v, _ := strings.Cut(kv, "="); k == name {
				return v
			}
		}
		return ""
	})
	require.Empty(t, e.Problems)
	return e
}

// rig is a logger and metrics whose lines and values are sent.
type rig struct {
	log     *logs.Logger
	metrics *metrics.Metrics
	pusher  *push.Pusher
	own     *observer.ObservedLogs // what the pusher logs
}

func newRig(t *testing.T, e *otlp.Environment) *rig {
	t.Helper()
	log, err := logs.New(logs.Config{Writer: io.Discard})
	require.NoError(t, err)
	t.Cleanup(func() { _ = log.Close() })
	core, own := observer.New(zap.DebugLevel)
	r := &rig{log: log, metrics: metrics.New(), own: own}
	r.pusher = push.New(t.Context(), push.Config{
		Version: "1.2.3", Environment: e, Gatherer: r.metrics.Gatherer(), Dropped: r.metrics.PushDropped, Log: zap.New(core),
		Proxy: func(*http.Request) (*url.URL, error) { return nil, nil },
	})
	if c := r.pusher.Core(); c != nil {
		log.Tee(c)
	}
	t.Cleanup(func() { r.shutdown(t) })
	return r
}

func (r *rig) shutdown(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	assert.NoError(t, r.pusher.Shutdown(ctx))
}

// dropped returns a value of ksyun_tap_push_dropped_total.
func (r *rig) dropped(t *testing.T, signal, reason string) (n float64) {
	t.Helper()
	all, err := r.metrics.Gatherer().Gather()
	require.NoError(t, err)
	for _, f := range all {
		for _, m := range f.GetMetric() {
			if l := m.GetLabel(); f.GetName() == "ksyun_tap_push_dropped_total" && l[0].GetValue() == reason && l[1].GetValue() == signal {
				n += m.GetCounter().GetValue()
			}
		}
	}
	return n
}

// TestLogRecords compares the records of every kind of attempt with the golden file.
func TestLogRecords(t *testing.T) {
	b := newBackend(t)
	r := newRig(t, environment(t, "OTEL_LOGS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT="+b.url, "OTEL_RESOURCE_ATTRIBUTES=team=a"))
	events := logs.NewEvents(r.log.Logger, logs.EventsConfig{Access: true})
	for _, a := range attempt.All() {
		var id record.Identity
		if a.Name == "error_signature" {
			id.Span = record.Span{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 3, Exported: true}
		}
		one := new(record.Maker).Identified(a.Observation, &id)
		if a.Name == "error_signature" {
			one.Diagnose(diagnosis.New().Diagnose(a.Observation, diagnosis.Attempt{}))
		}
		events.Write(one)
	}
	r.log.Debug("below the level")
	r.shutdown(t)

	var got []json.RawMessage
	for _, q := range b.logs {
		resource := attributesOf(q.GetResourceLogs()[0].GetResource().GetAttributes())
		if resource["team"] != "a" || resource["service.name"] != "ksyun-tap" || resource["service.version"] != "1.2.3" || resource["service.instance.id"] == "" {
			t.Errorf("resource %v", resource)
		}
		for _, scope := range q.GetResourceLogs()[0].GetScopeLogs() {
			for _, one := range scope.GetLogRecords() {
				assert.NotZero(t, one.GetObservedTimeUnixNano(), "a record has no observed time")
				one.ObservedTimeUnixNano = 0
				text, err := protojson.Marshal(one)
				require.NoError(t, err)
				got = append(got, text)
			}
		}
	}
	if len(got) != len(attempt.All()) {
		t.Errorf("%d records of %d attempts", len(got), len(attempt.All()))
	}
	out, err := json.MarshalIndent(got, "", "  ")
	require.NoError(t, err)
	golden.Check(t, "testdata/logs.golden", append(out, '\n'))
	for _, secret := range []string{attempt.AccessKey, attempt.Signature, attempt.Token} {
		assert.NotContains(t, string(out), secret, "is in the records")
	}
}

func attributesOf(all []*commonpb.KeyValue) map[string]string {
	m := map[string]string{}
	for _, kv := range all {
		m[kv.GetKey()] = kv.GetValue().GetStringValue()
	}
	return m
}

// TestMetrics checks that the values of the registry arrive when the program ends,
// long before the interval has passed, over every protocol.
func TestMetrics(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "http/json", "grpc"} {
		for _, compression := range []string{"none", "gzip"} {
			t.Run(protocol+", "+compression, func(t *testing.T) {
				b := newBackend(t)
				endpoint := b.url
				if protocol == "grpc" {
					endpoint = "http://" + b.target
				}
				r := newRig(t, environment(t, "OTEL_METRICS_EXPORTER=otlp", "OTEL_LOGS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint,
					"OTEL_EXPORTER_OTLP_PROTOCOL="+protocol, "OTEL_EXPORTER_OTLP_COMPRESSION="+compression, "OTEL_EXPORTER_OTLP_HEADERS=X-Team=a"))
				span := record.Span{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Exported: true}
				r.metrics.Observe(attempt.Get("error_throttled"), span)
				r.log.Info("one line")
				r.shutdown(t)

				if len(b.metrics) != 1 || len(b.logs) != 1 || b.header != "a" {
					t.Fatalf("%d exports of metrics, %d of logs, header %q", len(b.metrics), len(b.logs), b.header)
				}
				found := map[string]*mpb.Metric{}
				for _, scope := range b.metrics[0].GetResourceMetrics()[0].GetScopeMetrics() {
					for _, m := range scope.GetMetrics() {
						found[m.GetName()] = m
					}
				}
				errs := found["ksyun_api_errors_total"].GetSum()
				if errs == nil || !errs.GetIsMonotonic() || len(errs.GetDataPoints()) != 1 {
					t.Fatalf("errors %v", errs)
				}
				point := errs.GetDataPoints()[0]
				if labels := attributesOf(point.GetAttributes()); point.GetAsDouble() != 1 || labels["code"] != "LimitExceeded" {
					t.Errorf("point %v", point)
				}
				if x := point.GetExemplars(); len(x) != 1 || !slices.Equal(x[0].GetTraceId(), span.TraceID[:]) || !slices.Equal(x[0].GetSpanId(), span.SpanID[:]) {
					t.Errorf("exemplars %v", x)
				}
				for _, name := range []string{"ksyun_api_request_duration_seconds", "ksyun_tap_build_info", "go_goroutines"} {
					assert.NotNil(t, found[name], "%s is missing", name)
				}
				line := b.logs[0].GetResourceLogs()[0].GetScopeLogs()[0].GetLogRecords()[0]
				assert.Equal(t, "one line", line.GetBody().GetStringValue(), "line %v", line)
				if r.own.Len() != 0 {
					t.Errorf("it logged %v", r.own.All())
				}
			})
		}
	}
}

// TestRefused checks that what a backend refuses is counted and reported once, by
// the log that is not sent.
func TestRefused(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			b := newBackend(t)
			b.fail = true
			endpoint := b.url
			if protocol == "grpc" {
				endpoint = "http://" + b.target
			}
			r := newRig(t, environment(t, "OTEL_METRICS_EXPORTER=otlp", "OTEL_LOGS_EXPORTER=otlp", "OTEL_EXPORTER_OTLP_ENDPOINT="+endpoint,
				"OTEL_EXPORTER_OTLP_PROTOCOL="+protocol, "OTEL_BLRP_MAX_EXPORT_BATCH_SIZE=1"))
			for range 3 {
				r.log.Info("one line")
			}
			r.shutdown(t)
			assert.EqualValues(t, 3, r.dropped(t, "logs", "export_failed"), "log records counted")
			assert.EqualValues(t, 1, r.dropped(t, "metrics", "export_failed"), "exports of metrics counted")
			for _, message := range []string{"log export failed", "metric export failed"} {
				n := r.own.FilterMessage(message).Len()
				assert.Equal(t, 1, n, "%q logged %d times, want once", message, n)
			}
		})
	}
}

// TestUnreachable checks that a backend that does not answer delays neither the
// program nor its end.
func TestUnreachable(t *testing.T) {
	ln := rawconn.Listen(t)
	defer ln.Close() // it accepts connections and never reads
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		r := newRig(t, environment(t, "OTEL_METRICS_EXPORTER=otlp", "OTEL_LOGS_EXPORTER=otlp",
			"OTEL_EXPORTER_OTLP_ENDPOINT=http://"+ln.Addr().String(), "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol, "OTEL_BLRP_MAX_QUEUE_SIZE=8"))
		const n = 100
		for range n {
			r.log.Info("one line")
		}
		ctx, cancel := context.WithCancel(t.Context())
		cancel() // no time at all
		_ = r.pusher.Shutdown(ctx)
		tick, timeout := time.NewTicker(time.Millisecond), time.After(10*time.Second)
		for got := 0.0; got != n; {
			select {
			case <-tick.C:
				got = r.dropped(t, "logs", "queue_full") + r.dropped(t, "logs", "shutdown") + r.dropped(t, "logs", "export_failed")
			case <-timeout:
				t.Fatalf("%s: %v of %d log records accounted for", protocol, got, n)
			}
		}
		tick.Stop()
	}
}

func TestOffByDefault(t *testing.T) {
	for _, env := range [][]string{
		nil,
		{"OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"},
		{"OTEL_LOGS_EXPORTER=none", "OTEL_METRICS_EXPORTER=none"},
		{"OTEL_METRICS_EXPORTER=prometheus"}, // which /metrics is
		{"OTEL_SDK_DISABLED=true", "OTEL_LOGS_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=otlp"},
	} {
		if r := newRig(t, environment(t, env...)); r.pusher.Core() != nil || r.pusher.Metrics() {
			t.Errorf("%v: it sends", env)
		}
	}
}
