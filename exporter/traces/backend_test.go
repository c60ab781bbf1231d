package traces_test

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestWithoutBackend(t *testing.T) {
	clearEnvironment(t)
	tr := newTracer(t, traces.Config{SuccessRatio: 1})
	require.False(t, tr.Exports(), "exports without being asked to")
	o := attempt.Get("error_throttled")
	o.Traceparent = []byte(unsampled)
	span := tr.Decide(o)
	assert.False(t, span.Exported, "keeps a span without a backend")
	// The log line can still name the program's own span.
	r := new(record.Maker).Identified(o, &record.Identity{Span: span})
	if r.TraceID != "0af7651916cd43dd8448eb211c80319c" || r.SpanID != "b7ad6b7169203331" {
		t.Errorf("trace %s span %s, want the program's", r.TraceID, r.SpanID)
	}
	o = attempt.Get("error_throttled")
	if span := observe(tr, o); span != (record.Span{}) {
		t.Errorf("span %+v of an attempt without any trace", span)
	}
	shutdown(t, tr)
}

func TestBackendDownDoesNotBlock(t *testing.T) {
	for _, protocol := range []string{"http/protobuf", "grpc"} {
		t.Run(protocol, func(t *testing.T) {
			clearEnvironment(t)
			l := rawconn.Listen(t)
			l.Close() // nobody listens there now
			t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://"+l.Addr().String())
			t.Setenv("OTEL_EXPORTER_OTLP_PROTOCOL", protocol)
			t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "64")

			var d drops
			tr := traces.New(t.Context(), traces.Config{Dropped: d.add})
			const n = 1000
			o := attempt.Get("error_throttled")
			r, details := newRecord(o, tr.Decide(o))
			for range n {
				tr.Record(r, details)
			}
			ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
			defer cancel()
			_ = tr.Shutdown(ctx) // an error, or not: what counts is that it returns
			got := d.get("queue_full") + d.get("export_failed") + d.get("shutdown")
			assert.Equal(t, n, got, "%d of %d spans accounted for: %v", got, n, d.by)
			assert.NotZero(t, d.get("queue_full"), "a full queue was not counted")
		})
	}
}

// TestQueueIsKeptForFailures checks that spans of successes leave half of the queue
// to failures.
func TestQueueIsKeptForFailures(t *testing.T) {
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "8")
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	started, proceed := make(chan struct{}, 8), make(chan struct{})
	var failed, all int
	b := &backend{export: func(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
		started <- struct{}{}
		<-proceed
		for _, s := range spans {
			all++
			if s.Status().Code == codes.Error {
				failed++
			}
		}
		return nil
	}}
	var d drops
	tr := newTracer(t, traces.Config{Exporter: b, SuccessRatio: 1, Dropped: d.add})
	observe(tr, attempt.Get("success"))
	<-started // the export of this span, which does not end before the others have come
	for _, name := range []string{"success", "error_throttled"} {
		for range 7 {
			observe(tr, attempt.Get(name))
		}
	}
	close(proceed)
	shutdown(t, tr)
	if failed != 4 || all != 8 || d.get("queue_full") != 7 {
		t.Errorf("%d spans of %d are of failures, %d were dropped; want 4 of 8 and 7", failed, all, d.get("queue_full"))
	}
}

func TestFailedExportsAreCountedAndLoggedOnce(t *testing.T) {
	for name, export := range map[string]func(context.Context, []sdktrace.ReadOnlySpan) error{
		"error": func(context.Context, []sdktrace.ReadOnlySpan) error { return errors.New("backend says no") },
		"panic": func(context.Context, []sdktrace.ReadOnlySpan) error { panic("backend says ouch") },
	} {
		t.Run(name, func(t *testing.T) { testFailedExports(t, export) })
	}
}

func testFailedExports(t *testing.T, export func(context.Context, []sdktrace.ReadOnlySpan) error) {
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	b := &backend{export: export}
	core, log := observer.New(zap.DebugLevel)
	var d drops
	tr := newTracer(t, traces.Config{Exporter: b, Dropped: d.add, Log: zap.New(core)})
	for range 5 {
		o := attempt.Get("error_throttled")
		observe(tr, o)
	}
	shutdown(t, tr)
	assert.Equal(t, 5, d.get("export_failed"), "spans counted as export_failed")
	n := log.FilterMessage("span export failed").Len()
	assert.Equal(t, 1, n, "logged %d times, want once", n)
}

func TestShutdownEndsAHangingExport(t *testing.T) {
	started := make(chan struct{}, 1)
	b := &backend{export: func(ctx context.Context, _ []sdktrace.ReadOnlySpan) error {
		started <- struct{}{}
		<-ctx.Done()
		return ctx.Err()
	}}
	t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "1")
	var d drops
	tr := traces.New(t.Context(), traces.Config{Exporter: b, Dropped: d.add})
	for range 3 {
		o := attempt.Get("error_throttled")
		observe(tr, o)
	}
	<-started
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // no time at all
	assert.ErrorIs(t, tr.Shutdown(ctx), context.Canceled, "shutdown returned")
	got := d.get("shutdown") + d.get("export_failed")
	assert.Equal(t, 3, got, "%d of 3 spans accounted for: %v", got, d.by)
	<-started // the rest is given up, one by one,
	<-started // so that no goroutine stays behind: see TestMain
}

// TestBatches checks when spans are exported, and how many at once.
func TestBatches(t *testing.T) {
	record := func(tr *traces.Tracer, n int) {
		for range n {
			o := attempt.Get("error_throttled")
			observe(tr, o)
		}
	}
	sizes := make(chan int, 16)
	b := &backend{export: func(_ context.Context, spans []sdktrace.ReadOnlySpan) error {
		sizes <- len(spans)
		return nil
	}}
	t.Run("full", func(t *testing.T) {
		t.Setenv("OTEL_BSP_MAX_EXPORT_BATCH_SIZE", "4")
		t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "3600000")
		tr := newTracer(t, traces.Config{Exporter: b})
		record(tr, 9)
		for range 2 {
			assert.Equal(t, 4, <-sizes, "spans exported")
		}
		shutdown(t, tr)
		if n := <-sizes; n != 1 || len(sizes) != 0 {
			t.Errorf("%d spans exported at the end, want 1", n)
		}
	})
	t.Run("after a while", func(t *testing.T) {
		t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "1")
		tr := newTracer(t, traces.Config{Exporter: b})
		for range 3 {
			record(tr, 1)
			assert.Equal(t, 1, <-sizes, "spans exported")
		}
	})
	t.Run("late", func(t *testing.T) {
		var d drops
		tr := newTracer(t, traces.Config{Exporter: b, Dropped: d.add})
		shutdown(t, tr)
		record(tr, 2)
		shutdown(t, tr)
		if n := d.get("shutdown"); n != 2 || len(sizes) != 0 {
			t.Errorf("%d spans counted that came after the end, want 2", n)
		}
	})
}
