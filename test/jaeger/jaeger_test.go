//go:build e2e

// Package jaeger finds failed calls in a real Jaeger: by trace ID, by request ID, with
// ksyun-tap lookup, and below the span of the program that made the call.
package jaeger

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

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

const (
	jaeger   = "../../.bin/jaeger"
	apiHost  = "monitor.api.ksyun.com"
	patience = time.Minute
)

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

func TestFindFailedCalls(t *testing.T) {
	if _, err := os.Stat(jaeger); err != nil {
		t.Skip("there is no Jaeger in .bin: run make jaeger, which takes some minutes")
	}
	ui, otlp := startJaeger(t)
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{}))
	defer api.Close()
	binary := build(t)
	proxy := startTap(t, binary, api.Listener.Addr().String(), otlp)
	plain := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy})}
	defer plain.CloseIdleConnections()

	t.Run("of a program without traces", func(t *testing.T) {
		id := fail(t, &http.Client{Transport: plain})
		// What the vendor calls the request ID is the trace ID, without hyphens.
		found := wait(t, ui+"/api/traces/"+strings.ReplaceAll(id, "-", ""), 1)
		check(t, &found[0], id)
		byTag(t, ui, id, found[0].TraceID)
		lookUp(t, binary, id, found[0].TraceID, "--lookup.jaeger="+ui)
		lookUp(t, binary, id, found[0].TraceID, "--lookup.jaeger-v3="+ui)
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
		lookUp(t, binary, id, traceID, "--lookup.jaeger="+ui)
		lookUp(t, binary, fmt.Sprint(found[0].of("ksyun-tap")[0].tag("ksyun.failure_id")), traceID, "--lookup.jaeger="+ui)
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
	if out, err := job.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	found := wait(t, ui+"/api/traces/"+traceID, 1)
	spans := found[0].of("ksyun-tap")
	if len(spans) != 1 || !slices.Contains(spans[0].References, reference{"CHILD_OF", parent}) {
		t.Errorf("the spans %+v are not one below %s", spans, parent)
	}
}

// fail makes a call that fails, because it is not signed, and returns its request ID.
func fail(t *testing.T, client *http.Client) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+apiHost+"/?Action=GetMetricStatistics&Version=2010-05-25", http.NoBody)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	id := resp.Header.Get("X-Ksc-Request-Id")
	if resp.StatusCode != http.StatusForbidden || id == "" {
		t.Fatalf("status %d, request ID %q", resp.StatusCode, id)
	}
	return id
}

// lookUp has the program find the call in Jaeger.
func lookUp(t *testing.T, binary, id, traceID, source string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.Command(binary, "lookup", id, "--url=http://127.0.0.1:1", source)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	if err := cmd.Run(); err != nil {
		t.Errorf("lookup %s: %v\n%s%s", source, err, out.String(), errOut.String())
	}
	for _, want := range []string{"From Jaeger ", "MissingAuthenticationToken", "/trace/" + traceID, "GetMetricStatistics 2010-05-25"} {
		if !strings.Contains(out.String(), want) {
			t.Errorf("lookup %s: no %q in\n%s", source, want, out.String())
		}
	}
}

// check checks the span of the tap in a trace.
func check(t *testing.T, found *trace, id string) {
	t.Helper()
	spans := found.of("ksyun-tap")
	if len(spans) != 1 {
		t.Fatalf("%d spans of the tap: %+v", len(spans), found)
	}
	s := spans[0]
	if s.OperationName != "monitor.GetMetricStatistics" {
		t.Errorf("span %s", s.OperationName)
	}
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
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	var last string
	for timeout := time.After(patience); ; {
		var response struct {
			Data []trace `json:"data"`
		}
		resp, err := http.Get(address)
		if err == nil {
			body, _ := io.ReadAll(resp.Body)
			resp.Body.Close()
			last = string(body)
			if json.Unmarshal(body, &response) == nil && slices.ContainsFunc(response.Data, func(t trace) bool { return len(t.Spans) >= spans }) {
				return response.Data
			}
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%s: nothing found: %v %s", address, err, last)
		}
	}
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

// build builds the tap and returns its path.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ksyun-tap")
	if out, err := exec.Command("go", "build", "-C", "../..", "-o", binary, "./cmd/ksyun-tap").CombinedOutput(); err != nil {
		t.Fatalf("build: %v\n%s", err, out)
	}
	return binary
}

// startTap starts the tap and returns the address of its proxy.
func startTap(t *testing.T, binary, api, otlp string) string {
	t.Helper()
	proxy, web := freeport.TCP(t), freeport.TCP(t)
	start(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=http://" + otlp, "OTEL_BSP_SCHEDULE_DELAY=100"}, binary,
		"--proxy.listen-address="+proxy, "--web.listen-address="+web, "--upstream.connect-to="+apiHost+":80="+api)
	until(t, "http://"+web+"/-/ready")
	return proxy
}

// start runs a program until the test ends.
func start(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(name), out.Bytes()[max(0, out.Len()-8<<10):])
		}
	})
}

// until asks until the response is 200.
func until(t *testing.T, address string) {
	t.Helper()
	tick := time.NewTicker(20 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(patience); ; {
		if resp, err := http.Get(address); err == nil {
			resp.Body.Close()
			if resp.StatusCode == http.StatusOK {
				return
			}
		}
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("%s does not answer", address)
		}
	}
}
