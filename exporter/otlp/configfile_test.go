package otlp

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
)

const sampleFile = `
file_format: "1.0"
disabled: false
resource:
  attributes:
    - {name: team, value: "a,b"}
    - {name: region, value: "${REGION:-cn}"}
attribute_limits: {attribute_count_limit: 64}
tracer_provider:
  processors:
    - batch:
        schedule_delay: 1500
        max_queue_size: 100
        exporter:
          otlp_http:
            endpoint: https://traces:4318/v1/traces
            compression: gzip
            timeout: 3000
            encoding: json
            headers: [{name: authorization, value: "Bearer ${env:TOKEN}, $$1"}]
  sampler: {always_on: {}}
logger_provider:
  processors:
    - batch: {exporter: {otlp_grpc: {endpoint: "logs:4317", tls: {insecure: true}}}}
    - simple: {exporter: {console: {}}}
meter_provider:
  readers:
    - periodic: {interval: 5000, exporter: {otlp_http: }}
`

// environment reads a file with the given content.
func environment(t *testing.T, content string) *Environment {
	t.Helper()
	name := filepath.Join(t.TempDir(), "otel.yaml")
	require.NoError(t, os.WriteFile(name, []byte(content), 0o600))
	variables := map[string]string{
		"OTEL_CONFIG_FILE": name, "TOKEN": "secret",
		"OTEL_TRACES_EXPORTER": "otlp", "OTEL_EXPORTER_OTLP_ENDPOINT": "http://other:4318",
	}
	return ReadEnvironment(func(v string) string { return variables[v] })
}

func TestConfigFile(t *testing.T) {
	e := environment(t, sampleFile)
	if s := &e.Traces; !s.OTLP || s.Protocol != ProtocolJSON || s.Endpoint.String() != "https://traces:4318/v1/traces" || !s.Gzip || s.Timeout != 3*time.Second ||
		s.Headers["authorization"] != "Bearer secret, $1" || s.Batch.Delay != 1500*time.Millisecond || s.Batch.Queue != 100 {
		t.Errorf("traces %+v", s)
	}
	if s := &e.Logs; !s.OTLP || s.Protocol != ProtocolGRPC || s.Target != "logs:4317" || !s.Insecure {
		t.Errorf("logs %+v", s)
	}
	if s := &e.Metrics; !s.OTLP || s.Protocol != ProtocolHTTP || s.Endpoint.Host != "localhost:4318" || e.MetricInterval != 5*time.Second {
		t.Errorf("metrics %+v, every %v", s, e.MetricInterval)
	}
	if got := fmt.Sprint(e.resource); !strings.Contains(got, "a,b") || !strings.Contains(got, "cn") || e.SpanLimits.Count != 64 {
		t.Errorf("resource %s, limits %+v", got, e.SpanLimits)
	}
	want := "names a file with keys that are not supported and ignored: logger_provider.processors[1], tracer_provider.sampler.always_on"
	if len(e.Problems) != 1 || e.Problems[0].Variable != configFile || e.Problems[0].Reason != want {
		t.Errorf("problems %v", e.Problems)
	}
}

// TestBadConfigFile checks that the variables apply if the file is not valid, and that
// nothing of it is quoted.
func TestBadConfigFile(t *testing.T) {
	for name, content := range map[string]string{
		"not YAML": "a: [secret", "a list": "- secret", "empty": "", "another format": "file_format: '0.4'\nsecret: 1", "no format": "disabled: true",
	} {
		e := environment(t, content)
		if !e.Traces.OTLP || e.Traces.Endpoint.Host != "other:4318" {
			t.Errorf("%s: traces %+v", name, e.Traces)
		}
		if len(e.Problems) != 1 || e.Problems[0].Variable != configFile || strings.Contains(e.Problems[0].Reason, "secret") {
			t.Errorf("%s: problems %v", name, e.Problems)
		}
	}
	if e := environment(t, "file_format: '1.0'\ndisabled: true\ntracer_provider: {processors: [{batch: {exporter: {otlp_http: {}}}}]}"); e.Traces.OTLP || len(e.Problems) != 0 {
		t.Errorf("disabled: %+v, %v", e.Traces, e.Problems)
	}
}

func FuzzConfigFile(f *testing.F) {
	f.Add(sampleFile)
	f.Add("file_format: '1.0'\na: &a {b: *a}\n")
	f.Add("file_format: '1.0'\nresource: {attributes: [{name: a, value: [1]}, x]}\n")
	f.Fuzz(func(_ *testing.T, content string) {
		if v, err := parseConfigFile([]byte(content), func(string) string { return "x" }); err == nil {
			_ = v.problem()
		}
	})
}
