//go:build e2e

package e2e

import (
	"encoding/hex"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"sync"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	coltracepb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	tracepb "go.opentelemetry.io/proto/otlp/trace/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// allSignals receives every signal from a Collector.
type allSignals struct {
	mu      sync.Mutex
	spans   []*tracepb.Span
	logs    []*logspb.LogRecord
	metrics map[string]*metricspb.Metric
}

func (a *allSignals) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	data := must(io.ReadAll(r.Body))
	var traces coltracepb.ExportTraceServiceRequest
	var logs collogspb.ExportLogsServiceRequest
	var metrics colmetricspb.ExportMetricsServiceRequest
	message := map[string]proto.Message{"/v1/traces": &traces, "/v1/logs": &logs, "/v1/metrics": &metrics}[r.URL.Path]
	if message == nil || proto.Unmarshal(data, message) != nil {
		w.WriteHeader(http.StatusBadRequest)
		return
	}
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, resource := range traces.GetResourceSpans() {
		for _, scope := range resource.GetScopeSpans() {
			a.spans = append(a.spans, scope.GetSpans()...)
		}
	}
	for _, resource := range logs.GetResourceLogs() {
		for _, scope := range resource.GetScopeLogs() {
			a.logs = append(a.logs, scope.GetLogRecords()...)
		}
	}
	for _, resource := range metrics.GetResourceMetrics() {
		for _, scope := range resource.GetScopeMetrics() {
			for _, m := range scope.GetMetrics() {
				a.metrics[m.GetName()] = m
			}
		}
	}
}

// TestJobSendsEverySignal runs a short job, one step of a traced pipeline, under
// exec. At its end, a real Collector has its span, its log line and its metrics.
func TestJobSendsEverySignal(t *testing.T) {
	t.Parallel()
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			got := &allSignals{metrics: map[string]*metricspb.Metric{}}
			backend := httptest.NewServer(got)
			defer backend.Close()
			overHTTP, overGRPC := freeport.TCP(t), freeport.TCP(t)
			config := t.TempDir() + "/collector.yaml"
			testfile.Write(t, config, `
receivers: {otlp: {protocols: {http: {endpoint: "`+overHTTP+`"}, grpc: {endpoint: "`+overGRPC+`"}}}}
exporters: {otlp_http: {endpoint: "`+backend.URL+`", compression: none, sending_queue: {enabled: false}}}
service:
  telemetry: {metrics: {level: none}}
  pipelines:
    traces: {receivers: [otlp], exporters: [otlp_http]}
    logs: {receivers: [otlp], exporters: [otlp_http]}
    metrics: {receivers: [otlp], exporters: [otlp_http]}
`, 0o600)
			start(t, nil, otelcol, "--config="+config).wait("Everything is ready")
			api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{}))
			defer api.Close()

			endpoint := map[string]string{"grpc": overGRPC, "http/protobuf": overHTTP}[protocol]
			job := exec.Command(binary, "exec", "--summary=none", "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String(), "--",
				"curl", "-s", "-H", "X-Simulate: error=LimitExceeded", "http://"+apiHost+"/?Action=ListMetrics&Version=2010-05-25")
			job.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL="+protocol,
				"OTEL_LOGS_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=otlp",
				"TRACEPARENT=00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			out, err := job.CombinedOutput()
			require.NoError(t, err, "%s", out)

			got.mu.Lock() // the Collector answers when the backend has
			defer got.mu.Unlock()
			require.Len(t, got.spans, 1)
			s := got.spans[0]
			if hex.EncodeToString(s.GetTraceId()) != "0af7651916cd43dd8448eb211c80319c" || hex.EncodeToString(s.GetParentSpanId()) != "b7ad6b7169203331" {
				t.Errorf("the span does not continue the trace of the job: %v", s)
			}
			failures := 0
			for _, line := range got.logs {
				if line.GetEventName() == "ksyun.api.error" {
					failures++
					if string(line.GetTraceId()) != string(s.GetTraceId()) || string(line.GetSpanId()) != string(s.GetSpanId()) {
						t.Errorf("the log line %v is not of the span %v", line, s)
					}
				}
			}
			assert.Equal(t, 1, failures, "%d log lines of failures: %v", failures, got.logs)
			points := got.metrics["ksyun_api_errors_total"].GetSum().GetDataPoints()
			require.Len(t, points, 1, "errors")
			require.EqualValues(t, 1, points[0].GetAsDouble(), "errors")
			if x := points[0].GetExemplars(); len(x) != 1 || string(x[0].GetTraceId()) != string(s.GetTraceId()) {
				t.Errorf("exemplars %v", x)
			}
		})
	}
}
