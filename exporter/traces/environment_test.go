package traces_test

import (
	"bytes"
	"context"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestEnvironment runs the tracer on each environment: it always starts, and
// each variable that is wrong is named once, its value never.
func TestEnvironment(t *testing.T) {
	const endpoint = "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1"
	pipe := filepath.Join(t.TempDir(), "none.pem")
	tests := []struct {
		name    string
		env     []string
		exports bool
		ignored []string
	}{
		{"nothing", nil, false, nil},
		{"endpoint", []string{endpoint}, true, nil},
		{"endpoint for traces", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=http://127.0.0.1:1/v1/traces"}, true, nil},
		{"blanks around", []string{"OTEL_EXPORTER_OTLP_ENDPOINT= http://127.0.0.1:1 "}, true, nil},
		{"blank", []string{"OTEL_EXPORTER_OTLP_ENDPOINT= "}, false, nil},
		{"gRPC", []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, true, nil},
		{"gRPC in capitals", []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL= GRPC "}, true, nil},
		{"gRPC without scheme", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=127.0.0.1:1", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, true, nil},
		{"gRPC nonsense", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=secret nonsense", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, false, []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
		{"JSON", []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=http/json"}, true, nil},
		{"unknown protocol", []string{endpoint, "OTEL_EXPORTER_OTLP_PROTOCOL=secret"}, true, []string{"OTEL_EXPORTER_OTLP_PROTOCOL"}},
		{"unknown protocol for traces", []string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=secret", "OTEL_EXPORTER_OTLP_PROTOCOL=grpc"}, true, []string{"OTEL_EXPORTER_OTLP_TRACES_PROTOCOL"}},
		{"exporter", []string{"OTEL_TRACES_EXPORTER=otlp"}, true, nil},
		{"exporter in capitals", []string{"OTEL_TRACES_EXPORTER=OTLP "}, true, nil},
		{"none", []string{"OTEL_TRACES_EXPORTER=None", endpoint}, false, nil},
		{"switched off", []string{"OTEL_SDK_DISABLED=TRUE", "OTEL_TRACES_EXPORTER=otlp"}, false, nil},
		{"switched by a number", []string{"OTEL_SDK_DISABLED=1", "OTEL_TRACES_EXPORTER=otlp"}, true, []string{"OTEL_SDK_DISABLED"}},
		{"list", []string{"OTEL_TRACES_EXPORTER=otlp,console"}, true, nil},
		{"list with none", []string{"OTEL_TRACES_EXPORTER=none, otlp"}, true, []string{"OTEL_TRACES_EXPORTER"}},
		{"unknown exporter", []string{"OTEL_TRACES_EXPORTER=zipkin-secret"}, false, []string{"OTEL_TRACES_EXPORTER"}},
		{"unknown exporter and endpoint", []string{"OTEL_TRACES_EXPORTER=zipkin-secret", endpoint}, true, []string{"OTEL_TRACES_EXPORTER"}},
		{"unknown exporter in a list", []string{"OTEL_TRACES_EXPORTER=zipkin-secret,otlp"}, true, []string{"OTEL_TRACES_EXPORTER"}},
		{"no scheme", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=secret:4318"}, false, []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
		{"other scheme", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=ftp://secret"}, false, []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
		{"port", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://secret:99999"}, false, []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
		{"password", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://u:secret@127.0.0.1:1"}, false, []string{"OTEL_EXPORTER_OTLP_ENDPOINT"}},
		{"one of two", []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=secret", endpoint}, true, []string{"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT"}},
		{"headers", []string{endpoint, "OTEL_EXPORTER_OTLP_HEADERS=a=b, c=d%20e,"}, true, nil},
		{"bad headers", []string{endpoint, "OTEL_EXPORTER_OTLP_HEADERS=Bearer secret,a=b"}, true, []string{"OTEL_EXPORTER_OTLP_HEADERS"}},
		{"bad escape", []string{endpoint, "OTEL_EXPORTER_OTLP_HEADERS=a=%secret"}, true, []string{"OTEL_EXPORTER_OTLP_HEADERS"}},
		{"header with a line", []string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_HEADERS=a=x%0d%0asecret: y"}, true, []string{"OTEL_EXPORTER_OTLP_TRACES_HEADERS"}},
		{"compression", []string{endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION=GZIP"}, true, nil},
		{"unknown compression", []string{endpoint, "OTEL_EXPORTER_OTLP_COMPRESSION=secret"}, true, []string{"OTEL_EXPORTER_OTLP_COMPRESSION"}},
		{"timeout", []string{endpoint, "OTEL_EXPORTER_OTLP_TIMEOUT=10s-secret"}, true, []string{"OTEL_EXPORTER_OTLP_TIMEOUT"}},
		{"negative timeout", []string{endpoint, "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=-1"}, true, []string{"OTEL_EXPORTER_OTLP_TRACES_TIMEOUT"}},
		{"certificate", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://127.0.0.1:1", "OTEL_EXPORTER_OTLP_CERTIFICATE=" + pipe}, true, []string{"OTEL_EXPORTER_OTLP_CERTIFICATE"}},
		{"certificate without TLS", []string{endpoint, "OTEL_EXPORTER_OTLP_CERTIFICATE=" + pipe}, true, nil},
		{"client certificate", []string{"OTEL_EXPORTER_OTLP_ENDPOINT=https://127.0.0.1:1", "OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE=" + pipe}, true, []string{"OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE"}},
		{"negative batch", []string{endpoint, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=-5"}, true, []string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE"}},
		{"zero batch", []string{endpoint, "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=0"}, true, []string{"OTEL_BSP_MAX_EXPORT_BATCH_SIZE"}},
		{"batch beyond the queue", []string{endpoint, "OTEL_BSP_MAX_QUEUE_SIZE=5"}, true, nil},
		{"huge queue", []string{endpoint, "OTEL_BSP_MAX_QUEUE_SIZE=2000000000"}, true, []string{"OTEL_BSP_MAX_QUEUE_SIZE"}},
		{"delay", []string{endpoint, "OTEL_BSP_SCHEDULE_DELAY=5s"}, true, []string{"OTEL_BSP_SCHEDULE_DELAY"}},
		{"export timeout", []string{endpoint, "OTEL_BSP_EXPORT_TIMEOUT=99999999999999999999"}, true, []string{"OTEL_BSP_EXPORT_TIMEOUT"}},
		{"span limits", []string{endpoint, "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=few", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=-3"}, true, []string{"OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT", "OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT"}},
		{"resource", []string{endpoint, "OTEL_RESOURCE_ATTRIBUTES=team=a,secret"}, true, []string{"OTEL_RESOURCE_ATTRIBUTES"}},
		{"resource escape", []string{endpoint, "OTEL_RESOURCE_ATTRIBUTES=team=%zz-secret"}, true, []string{"OTEL_RESOURCE_ATTRIBUTES"}},
		{"sampler", []string{endpoint, "OTEL_TRACES_SAMPLER=secret", "OTEL_TRACES_SAMPLER_ARG=secret"}, true, nil},
		{"configuration file", []string{endpoint, "OTEL_CONFIG_FILE=/etc/secret.yaml"}, true, []string{"OTEL_CONFIG_FILE"}},
		{"other signals", []string{endpoint, "OTEL_METRICS_EXPORTER=secret", "OTEL_LOGS_EXPORTER=secret", "OTEL_PROPAGATORS=secret"}, true, []string{"OTEL_LOGS_EXPORTER", "OTEL_METRICS_EXPORTER"}},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			clearEnvironment(t)
			for _, kv := range tt.env {
				k, v, _ := strings.Cut(kv, "=")
				t.Setenv(k, v)
			}
			core, log := observer.New(zap.DebugLevel)
			tr := newTracer(t, traces.Config{Console: io.Discard, Log: zap.New(core)})
			assert.Equal(t, tt.exports, tr.Exports(), "exports")
			var ignored []string
			for _, p := range tr.Problems() {
				ignored = append(ignored, p.Variable)
				assert.NotContains(t, p.String(), "secret", "it quotes the value: %s", p)
			}
			slices.Sort(ignored)
			assert.Equal(t, tt.ignored, ignored)
			if log.Len() != 0 {
				t.Errorf("it logged %v", log.All())
			}
			shutdown(t, tr)
		})
	}
}

// TestConsole checks that spans go to the console only where there is one.
func TestConsole(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("OTEL_TRACES_EXPORTER", "console")
	var out bytes.Buffer
	tr := newTracer(t, traces.Config{Console: &out})
	o := attempt.Get("error_throttled")
	observe(tr, o)
	shutdown(t, tr)
	if !strings.Contains(out.String(), `"LimitExceeded"`) || len(tr.Problems()) != 0 {
		t.Errorf("problems %v, console: %s", tr.Problems(), out.String())
	}
	tr = newTracer(t, traces.Config{})
	if p := tr.Problems(); tr.Exports() || len(p) != 1 || p[0].Variable != "OTEL_TRACES_EXPORTER" {
		t.Errorf("without a console: exports %t, problems %v", tr.Exports(), p)
	}
}

// sent is a request that a backend got.
type sent struct {
	path, media, encoding, header string
}

// TestHTTP checks where spans go over HTTP, and how.
func TestHTTP(t *testing.T) {
	got := make(chan sent, 8)
	backend := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		got <- sent{r.URL.Path, r.Header.Get("Content-Type"), r.Header.Get("Content-Encoding"), r.Header.Get("X-Team")}
	}))
	defer backend.Close()
	f := func(want sent, env ...string) {
		t.Helper()
		clearEnvironment(t)
		for _, kv := range env {
			k, v, _ := strings.Cut(kv, "=")
			t.Setenv(k, v)
		}
		tr := newTracer(t, traces.Config{Proxy: func(*http.Request) (*url.URL, error) { return nil, nil }})
		o := attempt.Get("error_throttled")
		observe(tr, o)
		shutdown(t, tr)
		select {
		case s := <-got:
			assert.Equal(t, want, s, env)
		default:
			t.Errorf("%v: nothing was sent", env)
		}
		for _, kv := range env {
			k, _, _ := strings.Cut(kv, "=")
			require.NoError(t, os.Unsetenv(k))
		}
	}
	const pb, js = "application/x-protobuf", "application/json"
	f(sent{"/v1/traces", pb, "", ""}, "OTEL_EXPORTER_OTLP_ENDPOINT="+backend.URL)
	f(sent{"/base/v1/traces", js, "gzip", "a"}, "OTEL_EXPORTER_OTLP_ENDPOINT="+backend.URL+"/base/",
		"OTEL_EXPORTER_OTLP_PROTOCOL=HTTP/JSON", "OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_HEADERS=x-team=a,broken")
	f(sent{"/", pb, "", "b"}, "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT="+backend.URL, "OTEL_EXPORTER_OTLP_ENDPOINT=http://127.0.0.1:1",
		"OTEL_EXPORTER_OTLP_HEADERS=x-team=a", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=x-team=b")
	f(sent{"/v1/traces", pb, "", ""}, "OTEL_EXPORTER_OTLP_ENDPOINT="+backend.URL, "OTEL_EXPORTER_OTLP_INSECURE=false",
		"OTEL_EXPORTER_OTLP_CERTIFICATE=/nonexistent", "OTEL_EXPORTER_OTLP_TIMEOUT=abc")
}

// TestProxyOfTheBackend checks that connections to the backend ask for their
// proxy that Config.Proxy returns, over HTTP and gRPC.
func TestProxyOfTheBackend(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		clearEnvironment(t)
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:1")
		t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
		asked := make(chan string, 1)
		tr := newTracer(t, traces.Config{Proxy: func(r *http.Request) (*url.URL, error) {
			select {
			case asked <- r.URL.Host:
			default:
			}
			return nil, errors.New("no way out")
		}})
		o := attempt.Get("error_throttled")
		observe(tr, o)
		ctx, cancel := context.WithCancel(t.Context())
		stopped := make(chan error)
		go func() { stopped <- tr.Shutdown(ctx) }() // which sends
		host := rawconn.Receive(t, asked, protocol+": did not ask for the proxy")
		assert.Equal(t, "127.0.0.1:1", host, "%s: asked for the proxy", protocol)
		cancel() // it cannot send
		<-stopped
	}
}
