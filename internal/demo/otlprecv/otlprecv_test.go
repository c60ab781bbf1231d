package otlprecv_test

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	collectorpb "go.opentelemetry.io/proto/otlp/collector/trace/v1"
	"google.golang.org/grpc"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/otlprecv"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func export(t *testing.T, exporter sdktrace.SpanExporter, r *otlprecv.Receiver) {
	t.Helper()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	_, span := tp.Tracer("test").Start(t.Context(), "monitor.GetMetricStatistics")
	span.SetAttributes(attribute.String("s", "text"), attribute.Int("n", 42), attribute.Bool("b", true))
	span.End()
	if err := tp.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	id := span.SpanContext()
	got, err := r.Wait(ctx, func(s otlprecv.Span) bool { return s.SpanID == id.SpanID().String() })
	if err != nil {
		t.Fatal(err)
	}
	if got.TraceID != id.TraceID().String() || got.Name != "monitor.GetMetricStatistics" {
		t.Errorf("got %s %s, want %s monitor.GetMetricStatistics", got.TraceID, got.Name, id.TraceID())
	}
	for k, want := range map[string]string{"s": "text", "n": "42", "b": "true"} {
		if got.Attributes[k] != want {
			t.Errorf("attribute %s: got %q, want %q", k, got.Attributes[k], want)
		}
	}
}

func TestHTTP(t *testing.T) {
	r := otlprecv.New(10)
	srv := httptest.NewServer(r)
	defer srv.Close()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(srv.URL+"/v1/traces"),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	if err != nil {
		t.Fatal(err)
	}
	export(t, exporter, r)
}

func TestGRPC(t *testing.T) {
	r := otlprecv.New(10)
	srv := grpc.NewServer()
	collectorpb.RegisterTraceServiceServer(srv, r)
	ln := rawconn.Listen(t)
	go func() { _ = srv.Serve(ln) }()
	defer srv.Stop()
	exporter, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(ln.Addr().String()), otlptracegrpc.WithInsecure())
	if err != nil {
		t.Fatal(err)
	}
	export(t, exporter, r)
}

func TestKeepsTheLastSpans(t *testing.T) {
	r := otlprecv.New(1)
	srv := httptest.NewServer(r)
	defer srv.Close()
	for range 3 {
		exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(srv.URL+"/v1/traces"))
		if err != nil {
			t.Fatal(err)
		}
		export(t, exporter, r)
	}
	if n := len(r.Select(func(otlprecv.Span) bool { return true })); n != 1 {
		t.Errorf("kept %d spans, want 1", n)
	}
}
