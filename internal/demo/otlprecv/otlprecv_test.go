package otlprecv_test

import (
	"context"
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/otlprecv"
)

func export(t *testing.T, exporter sdktrace.SpanExporter, r *otlprecv.Receiver) {
	t.Helper()
	tp := sdktrace.NewTracerProvider(sdktrace.WithSyncer(exporter))
	_, span := tp.Tracer("test").Start(t.Context(), "monitor.GetMetricStatistics")
	span.SetAttributes(attribute.String("s", "text"), attribute.Int("n", 42), attribute.Bool("b", true))
	span.End()
	require.NoError(t, tp.Shutdown(t.Context()))
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	id := span.SpanContext()
	got, err := r.Wait(ctx, func(s otlprecv.Span) bool { return s.SpanID == id.SpanID().String() })
	require.NoError(t, err)
	assert.Equal(t, id.TraceID().String(), got.TraceID)
	assert.Equal(t, "monitor.GetMetricStatistics", got.Name)
	for k, want := range map[string]string{"s": "text", "n": "42", "b": "true"} {
		assert.Equal(t, want, got.Attributes[k], "attribute %s", k)
	}
}

func TestHTTP(t *testing.T) {
	r := otlprecv.New(10)
	srv := httptest.NewServer(r)
	defer srv.Close()
	exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(srv.URL+"/v1/traces"),
		otlptracehttp.WithCompression(otlptracehttp.GzipCompression))
	require.NoError(t, err)
	export(t, exporter, r)
}

func TestGRPC(t *testing.T) {
	r := otlprecv.New(10)
	srv := httptest.NewUnstartedServer(r)
	srv.Config.Protocols = new(http.Protocols)
	srv.Config.Protocols.SetUnencryptedHTTP2(true)
	srv.Start()
	defer srv.Close()
	for _, compressor := range []string{"none", "gzip"} {
		exporter, err := otlptracegrpc.New(t.Context(), otlptracegrpc.WithEndpoint(srv.Listener.Addr().String()),
			otlptracegrpc.WithInsecure(), otlptracegrpc.WithCompressor(compressor))
		require.NoError(t, err)
		export(t, exporter, r)
	}
}

func TestKeepsTheLastSpans(t *testing.T) {
	r := otlprecv.New(1)
	srv := httptest.NewServer(r)
	defer srv.Close()
	for range 3 {
		exporter, err := otlptracehttp.New(t.Context(), otlptracehttp.WithEndpointURL(srv.URL+"/v1/traces"))
		require.NoError(t, err)
		export(t, exporter, r)
	}
	n := len(r.Select(func(otlprecv.Span) bool { return true }))
	assert.Equal(t, 1, n, "kept %d spans, want 1", n)
}
