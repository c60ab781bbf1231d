//go:build e2e

package e2e

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/hex"
	"encoding/json"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	collogspb "go.opentelemetry.io/proto/otlp/collector/logs/v1"
	colmetricspb "go.opentelemetry.io/proto/otlp/collector/metrics/v1"
	commonpb "go.opentelemetry.io/proto/otlp/common/v1"
	logspb "go.opentelemetry.io/proto/otlp/logs/v1"
	"go.yaml.in/yaml/v3"
	"google.golang.org/protobuf/proto"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/otlprecv"
)

const (
	otelcol    = "../../.bin/otelcol"
	collectors = deploy + "/otel-collector"
)

// collectorEnv are the variables that a Collector's configuration needs.
func collectorEnv(t *testing.T, more ...string) []string {
	return append(append(os.Environ(), "COLLECTOR_STATE_DIR="+t.TempDir(), "ELASTICSEARCH_PASSWORD=x", "CLICKHOUSE_PASSWORD=x"), more...)
}

// TestCollectorConfigs has a Collector read every configuration. It is built
// without the exporters for Elasticsearch and ClickHouse; the debug exporter
// replaces them, so that everything but their own settings is checked.
func TestCollectorConfigs(t *testing.T) {
	t.Parallel()
	for _, over := range []string{"", "jaeger.yaml", "elasticsearch.yaml", "clickhouse.yaml"} {
		args := []string{"validate", "--config=" + collectors + "/collector.yaml"}
		switch over {
		case "":
		case "elasticsearch.yaml", "clickhouse.yaml":
			args = append(args, "--config="+withDebugExporter(t, collectors+"/"+over))
		default:
			args = append(args, "--config="+collectors+"/"+over)
		}
		cmd := exec.Command(otelcol, args...)
		cmd.Env = collectorEnv(t)
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%s\n%s", over, out)
	}
}

// withDebugExporter rewrites a configuration whose only exporter is not there.
func withDebugExporter(t *testing.T, file string) string {
	t.Helper()
	var config struct {
		Exporters map[string]any `yaml:"exporters"`
		Service   struct {
			Pipelines map[string]map[string][]string `yaml:"pipelines"`
		} `yaml:"service"`
	}
	d := yaml.NewDecoder(strings.NewReader(string(must(os.ReadFile(file)))))
	d.KnownFields(true)
	if err := d.Decode(&config); err != nil || len(config.Exporters) != 1 {
		t.Fatalf("%s: %v, %d exporters", file, err, len(config.Exporters))
	}
	name := slices.Collect(maps.Keys(config.Exporters))[0]
	config.Exporters = map[string]any{"debug/" + name: nil}
	for _, p := range config.Service.Pipelines {
		if len(p) != 1 || !slices.Equal(p["exporters"], []string{name}) {
			t.Errorf("%s: a pipeline exports %v", file, p)
		}
		p["exporters"] = []string{"debug/" + name}
	}
	to := filepath.Join(t.TempDir(), filepath.Base(file))
	testfile.Write(t, to, string(must(yaml.Marshal(config))), 0o600)
	return to
}

// backends are the Collector's destinations for logs and metrics.
type backends struct {
	mu    sync.Mutex
	calls map[string]float64 // by the span's status and the call's outcome
	logs  []*logspb.LogRecord
	names []string // of who logged
}

func (b *backends) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body := io.Reader(r.Body)
	if r.Header.Get("Content-Encoding") == "gzip" {
		body = must(gzip.NewReader(body))
	}
	data := must(io.ReadAll(body))
	b.mu.Lock()
	defer b.mu.Unlock()
	switch r.URL.Path {
	case "/prometheus/v1/metrics":
		var export colmetricspb.ExportMetricsServiceRequest
		if err := proto.Unmarshal(data, &export); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		b.count(&export)
	case "/loki/v1/logs":
		var export collogspb.ExportLogsServiceRequest
		if err := proto.Unmarshal(data, &export); err != nil {
			http.Error(w, err.Error(), http.StatusBadRequest)
			return
		}
		for _, rl := range export.GetResourceLogs() {
			for _, sl := range rl.GetScopeLogs() {
				for _, record := range sl.GetLogRecords() {
					b.logs = append(b.logs, record)
					b.names = append(b.names, text(rl.GetResource().GetAttributes(), "service.name"))
				}
			}
		}
	default:
		http.NotFound(w, r)
		return
	}
	w.Header().Set("Content-Type", "application/x-protobuf")
}

// count keeps the last values of the counter of calls.
func (b *backends) count(export *colmetricspb.ExportMetricsServiceRequest) {
	for _, rm := range export.GetResourceMetrics() {
		for _, sm := range rm.GetScopeMetrics() {
			for _, m := range sm.GetMetrics() {
				if m.GetName() != "traces.span.metrics.calls" {
					continue
				}
				calls := map[string]float64{}
				for _, p := range m.GetSum().GetDataPoints() {
					key := text(p.GetAttributes(), "status.code") + " " + text(p.GetAttributes(), "ksyun.outcome")
					calls[key] += float64(p.GetAsInt())
				}
				b.calls = calls
			}
		}
	}
}

func text(attributes []*commonpb.KeyValue, key string) string {
	for _, a := range attributes {
		if a.GetKey() == key {
			return a.GetValue().GetStringValue()
		}
	}
	return ""
}

// startLogging starts a tap that logs to a file.
func startLogging(t *testing.T, file string, env []string, args ...string) *runningTap {
	t.Helper()
	p := start(t, env, binary, append([]string{
		"run", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0", "--log.file=" + file,
	}, args...)...)
	var line struct{ Proxy, Web []string }
	eventually(t, "the tap starts", func() bool {
		log, _ := os.ReadFile(file) // it may not be there yet
		for entry := range bytes.Lines(log) {
			if bytes.Contains(entry, []byte("ksyun-tap started")) {
				return json.Unmarshal(entry, &line) == nil
			}
		}
		return false
	})
	return &runningTap{p, line.Proxy[0], line.Web[0]}
}

// TestCollectorKeepsEveryFailure has a tap's spans and log go through a real
// Collector with the example's configuration: all failures come out, a few of
// the successes, metrics of all, and the log lines with their traces.
func TestCollectorKeepsEveryFailure(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	spans := otlprecv.New(100_000)
	tempo := httptest.NewUnstartedServer(spans)
	tempo.Config.Protocols = new(http.Protocols)
	tempo.Config.Protocols.SetUnencryptedHTTP2(true)
	tempo.Start()
	defer tempo.Close()
	others := &backends{}
	rest := httptest.NewServer(others)
	defer rest.Close()
	dir := t.TempDir()
	logFile := filepath.Join(dir, "tap.log")

	// The example, but faster and with a larger share, and without the
	// Collector's own metrics, whose port may be in use.
	config := string(must(os.ReadFile(collectors + "/collector.yaml")))
	for from, to := range map[string]string{
		"decision_wait: 10s": "decision_wait: 2s", "sampling_percentage: 1\n": "sampling_percentage: 10\n",
		"metrics_flush_interval: 15s": "metrics_flush_interval: 1s", "\nservice:\n": "\nservice:\n  telemetry: {metrics: {level: none}}\n",
	} {
		require.Equal(t, 1, strings.Count(config, from), "the example has %q not once", from)
		config = strings.Replace(config, from, to, 1)
	}
	testfile.Write(t, dir+"/collector.yaml", config, 0o600)
	otlp := freeport.TCP(t)
	collector := start(t, collectorEnv(t,
		"OTLP_HTTP_ADDRESS="+otlp, "OTLP_GRPC_ADDRESS=127.0.0.1:0", "TAP_LOG_FILES="+logFile,
		"TEMPO_ADDRESS="+tempo.Listener.Addr().String(), "PROMETHEUS_OTLP_URL="+rest.URL+"/prometheus", "LOKI_OTLP_URL="+rest.URL+"/loki",
	), otelcol, "--config="+dir+"/collector.yaml")
	collector.wait("Everything is ready")

	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good, denied, foreign}}))
	defer api.Close()
	tap := startLogging(t, logFile, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + otlp, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_BSP_SCHEDULE_DELAY=100",
	}, "--traces.success-ratio=1", "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String(),
		"--upstream.connect-to=dead.api.ksyun.com:80="+freeport.TCP(t))
	traffic := &cloudmonitor.Traffic{
		Client: &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy})}},
		Host:   apiHost, DeadHost: "dead.api.ksyun.com", Good: good, Denied: denied, Foreign: foreign, Codes: codes(),
	}
	defer traffic.Client.CloseIdleConnections()
	for _, c := range traffic.Bad() {
		traffic.Send(ctx, c)
	}
	const successes = 300
	for range successes {
		traffic.Send(ctx, cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good})
	}

	type failure struct {
		RequestID string `json:"request_id"`
		TraceID   string `json:"trace_id"`
		Code      string `json:"code"`
	}
	var failures struct{ Data struct{ Failures []failure } }
	getJSON(t, "http://"+tap.admin+"/api/v1/failures?limit=1000", &failures)
	failed := failures.Data.Failures
	require.GreaterOrEqual(t, len(failed), 40, "failures")

	// The metrics are computed from all spans: once they are complete, so are
	// the spans.
	outcomes := func(status string) (n float64, by map[string]float64) {
		others.mu.Lock()
		defer others.mu.Unlock()
		by = map[string]float64{}
		for key, v := range others.calls {
			if s, outcome, _ := strings.Cut(key, " "); s == status {
				n += v
				by[outcome] = v
			}
		}
		return n, by
	}
	eventually(t, "all calls are counted", func() bool {
		bad, _ := outcomes("STATUS_CODE_ERROR")
		_, fine := outcomes("STATUS_CODE_UNSET")
		return bad == float64(len(failed)) && fine["success"] == successes
	})
	if _, by := outcomes("STATUS_CODE_ERROR"); by["partial"] != 1 || by["masked"] != 2 || by["proxy"] == 0 {
		t.Errorf("failures by outcome: %v", by)
	}

	for _, f := range failed {
		if _, err := spans.Wait(ctx, func(s otlprecv.Span) bool {
			return s.TraceID == f.TraceID && s.Status == "STATUS_CODE_ERROR"
		}); err != nil {
			t.Fatalf("the failure %s %s was not kept: %v", f.RequestID, f.Code, err)
		}
	}
	succeeded := func() int {
		return len(spans.Select(func(s otlprecv.Span) bool { return s.Attributes["ksyun.outcome"] == "success" }))
	}
	eventually(t, "some successes", func() bool { return succeeded() > 0 })
	n := succeeded()
	assert.LessOrEqual(t, n, successes/3, "%d of %d successes were kept, want about a tenth", n, successes)

	// A line in the log is the same call as its span.
	i := slices.IndexFunc(failed, func(f failure) bool { return f.Code == "LimitExceeded" })
	eventually(t, "its log line", func() bool {
		others.mu.Lock()
		defer others.mu.Unlock()
		for j, record := range others.logs {
			if hex.EncodeToString(record.GetTraceId()) != failed[i].TraceID {
				continue
			}
			if id := text(record.GetAttributes(), "request_id"); id != failed[i].RequestID || record.GetSeverityNumber() != logspb.SeverityNumber_SEVERITY_NUMBER_WARN ||
				!strings.HasPrefix(record.GetBody().GetStringValue(), `{"level":"warn"`) || others.names[j] != "ksyun-tap" || record.GetTimeUnixNano() == 0 {
				t.Fatalf("its line is %v", record)
			}
			return true
		}
		return false
	})
	assert.Zero(t, collector.stop(os.Interrupt), "exit code of the collector")
}
