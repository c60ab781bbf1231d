//go:build e2e

package backends

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/contrib/instrumentation/net/http/otelhttp"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
)

const jaeger = "../../.bin/jaeger"

// trace is a trace as Jaeger's API returns it.
type trace struct {
	TraceID   string `json:"traceID"`
	Spans     []span `json:"spans"`
	Processes map[string]struct {
		ServiceName string `json:"serviceName"`
	} `json:"processes"`
}

type span struct {
	SpanID        string      `json:"spanID"`
	OperationName string      `json:"operationName"`
	ProcessID     string      `json:"processID"`
	References    []reference `json:"references"`
	Tags          []struct {
		Key   string `json:"key"`
		Value any    `json:"value"`
	} `json:"tags"`
}

type reference struct {
	RefType string `json:"refType"`
	SpanID  string `json:"spanID"`
}

func (s *span) tag(key string) any {
	for _, t := range s.Tags {
		if t.Key == key {
			return t.Value
		}
	}
	return nil
}

// of returns the spans of a service.
func (t *trace) of(service string) (found []span) {
	for _, s := range t.Spans {
		if t.Processes[s.ProcessID].ServiceName == service {
			found = append(found, s)
		}
	}
	return found
}

func TestJaeger(t *testing.T) {
	if _, err := os.Stat(jaeger); err != nil {
		t.Skip("there is no Jaeger in .bin: run make jaeger, which takes some minutes")
	}
	ui, otlp := startJaeger(t)
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{}))
	defer api.Close()
	binary := build(t)
	proxy := startTap(t, binary, api.Listener.Addr().String(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+otlp, "OTEL_BSP_SCHEDULE_DELAY=100")
	plain := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy})}
	defer plain.CloseIdleConnections()

	t.Run("of a program without traces", func(t *testing.T) {
		id := fail(t, &http.Client{Transport: plain})
		// What the vendor calls the request ID is the trace ID, without hyphens.
		found := wait(t, ui+"/api/traces/"+strings.ReplaceAll(id, "-", ""), 1)
		check(t, &found[0], id)
		byTag(t, ui, id, found[0].TraceID)
		link := "/trace/" + found[0].TraceID
		lookUp(t, binary, id, link, "--lookup.jaeger="+ui)
		lookUp(t, binary, id, link, "--lookup.jaeger-v3="+ui)
	})
	t.Run("of a program with traces", func(t *testing.T) {
		x, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL("http://"+otlp+"/v1/traces"))
		require.NoError(t, err)
		provider := sdktrace.NewTracerProvider(sdktrace.WithBatcher(x),
			sdktrace.WithResource(resource.NewWithAttributes(semconv.SchemaURL, semconv.ServiceName("program"))))
		client := &http.Client{Transport: otelhttp.NewTransport(plain,
			otelhttp.WithTracerProvider(provider), otelhttp.WithPropagators(propagation.TraceContext{}))}
		id := fail(t, client)
		require.NoError(t, provider.Shutdown(t.Context()))
		traceID := byTag(t, ui, id, "")
		found := wait(t, ui+"/api/traces/"+traceID, 2)
		check(t, &found[0], id)
		lookUp(t, binary, id, "/trace/"+traceID, "--lookup.jaeger="+ui)
		lookUp(t, binary, fmt.Sprint(found[0].of("ksyun-tap")[0].tag("ksyun.failure_id")), "/trace/"+traceID, "--lookup.jaeger="+ui)
		caller := found[0].of("program")
		if len(caller) != 1 {
			t.Fatalf("%d spans of the program: %+v", len(caller), found[0])
		}
		tapped := found[0].of("ksyun-tap")[0]
		if !slices.Contains(tapped.References, reference{"CHILD_OF", caller[0].SpanID}) {
			t.Errorf("the span %+v is not a child of %s", tapped, caller[0].SpanID)
		}
	})
	t.Run("that was made again", func(t *testing.T) { retried(t, ui, &http.Client{Transport: plain}) })
	t.Run("of a command in a trace", func(t *testing.T) { jobInTrace(t, ui, binary, api.Listener.Addr().String(), otlp) })
}

// retried checks that the spans of the attempts of one call are linked, each to the one
// before.
func retried(t *testing.T, ui string, client *http.Client) {
	t.Helper()
	first := byTagSpan(t, ui, fail(t, client))
	second := byTagSpan(t, ui, fail(t, client))
	if !slices.Contains(second.References, reference{"FOLLOWS_FROM", first.SpanID}) {
		t.Errorf("the attempt %+v is not linked to the one before, %s", second.References, first.SpanID)
	}
	if n := second.tag("http.request.resend_count"); n == nil || n == first.tag("http.request.resend_count") {
		t.Errorf("the second attempt is resend %v", n)
	}
}

// byTagSpan returns the span of the tap for a request ID.
func byTagSpan(t *testing.T, ui, id string) span {
	t.Helper()
	found := wait(t, ui+"/api/traces/"+byTag(t, ui, id, ""), 1)
	for _, s := range found[0].of("ksyun-tap") {
		if s.tag("ksyun.request_id") == id {
			return s
		}
	}
	t.Fatalf("no span of the call %s in %+v", id, found[0])
	return span{}
}

// jobInTrace checks that the calls of a command under exec belong to the trace in
// TRACEPARENT, with which tracing CI systems start a command.
func jobInTrace(t *testing.T, ui, binary, api, otlp string) {
	t.Helper()
	const traceID, parent = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
	job := exec.Command(binary, "exec", "--summary=none", "--upstream.connect-to="+apiHost+":80="+api, "--",
		"curl", "-s", "-o", "/dev/null", "http://"+apiHost+"/?Action=GetMetricStatistics&Version=2010-05-25")
	job.Env = append(os.Environ(), "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+otlp, "TRACEPARENT=00-"+traceID+"-"+parent+"-01")
	out, err := job.CombinedOutput()
	require.NoError(t, err, "%s", out)
	found := wait(t, ui+"/api/traces/"+traceID, 1)
	spans := found[0].of("ksyun-tap")
	if len(spans) != 1 || !slices.Contains(spans[0].References, reference{"CHILD_OF", parent}) {
		t.Errorf("the spans %+v are not one below %s", spans, parent)
	}
}

// check checks the span of the tap in a trace.
func check(t *testing.T, found *trace, id string) {
	t.Helper()
	spans := found.of("ksyun-tap")
	require.Len(t, spans, 1, "%d spans of the tap: %+v", len(spans), found)
	s := spans[0]
	assert.Equal(t, "monitor.GetMetricStatistics", s.OperationName, "span")
	for key, want := range map[string]any{
		"ksyun.request_id": id, "ksyun.error.code": "MissingAuthenticationToken", "ksyun.error.category": "auth", "error": true,
		"service.peer.name": "ksyun.monitor", "w3c.tracestate": "ot=th:0",
	} {
		if got := s.tag(key); got != want {
			t.Errorf("%s is %v, want %v", key, got, want)
		}
	}
}

// byTag finds a call by the attribute for its request ID and returns its trace ID.
func byTag(t *testing.T, ui, id, want string) string {
	t.Helper()
	q := url.Values{"service": {"ksyun-tap"}, "tags": {fmt.Sprintf(`{"ksyun.request_id":%q}`, id)}, "lookback": {"1h"}}
	found := wait(t, ui+"/api/traces?"+q.Encode(), 1)
	if len(found) != 1 || want != "" && found[0].TraceID != want {
		t.Fatalf("%d traces found by request ID %s: %+v", len(found), id, found)
	}
	return found[0].TraceID
}

// wait asks Jaeger until there is a trace with at least so many spans.
func wait(t *testing.T, address string, spans int) []trace {
	t.Helper()
	var response struct {
		Data []trace `json:"data"`
	}
	eventually(t, address+" has the trace", func() bool {
		resp, err := http.Get(address)
		if err != nil {
			return false
		}
		defer resp.Body.Close()
		return json.NewDecoder(resp.Body).Decode(&response) == nil && slices.ContainsFunc(response.Data, func(t trace) bool { return len(t.Spans) >= spans })
	})
	return response.Data
}

// startJaeger starts Jaeger and returns the URL of its API and its address for
// OTLP over HTTP.
func startJaeger(t *testing.T) (ui, otlp string) {
	t.Helper()
	query := freeport.TCP(t)
	otlp = freeport.TCP(t)
	start(t, nil, jaeger, "--query.http-server.host-port="+query, "--query.grpc-server.host-port="+freeport.TCP(t),
		"--admin.http.host-port="+freeport.TCP(t), "--collector.grpc-server.host-port="+freeport.TCP(t), "--collector.http-server.host-port="+freeport.TCP(t),
		"--collector.otlp.grpc.host-port="+freeport.TCP(t), "--collector.otlp.http.host-port="+otlp)
	ui = "http://" + query
	until(t, ui+"/api/services")
	return ui, otlp
}
