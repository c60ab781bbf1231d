package traces_test

import (
	"context"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// backend is an exporter that keeps what it gets, beyond its shutdown.
type backend struct {
	export func(context.Context, []sdktrace.ReadOnlySpan) error // nil accepts

	mu    sync.Mutex
	spans tracetest.SpanStubs
	down  bool
}

func (b *backend) ExportSpans(ctx context.Context, spans []sdktrace.ReadOnlySpan) error {
	if b.export != nil {
		return b.export(ctx, spans)
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.spans = append(b.spans, tracetest.SpanStubsFromReadOnlySpans(spans)...)
	return nil
}

func (b *backend) Shutdown(context.Context) error {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.down = true
	return nil
}

// drops counts what was dropped, by reason.
type drops struct {
	mu sync.Mutex
	by map[string]int
}

func (d *drops) add(reason string, n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.by == nil {
		d.by = make(map[string]int)
	}
	d.by[reason] += n
}

func (d *drops) get(reason string) int {
	d.mu.Lock()
	defer d.mu.Unlock()
	return d.by[reason]
}

// newTracer returns a tracer to b that is shut down with the test.
func newTracer(t testing.TB, cfg traces.Config) *traces.Tracer {
	t.Helper()
	tr := traces.New(t.Context(), cfg)
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		_ = tr.Shutdown(ctx)
	})
	return tr
}

// shutdown flushes tr.
func shutdown(t *testing.T, tr *traces.Tracer) {
	t.Helper()
	require.NoError(t, tr.Shutdown(t.Context()))
}

// observe passes the attempt o through tr, as the pipeline does, and returns its span.
func observe(tr *traces.Tracer, o *classify.Observation) record.Span {
	span := tr.Decide(o)
	tr.Record(newRecord(o, span))
	return span
}

// newRecord returns the record of o and its details, as the pipeline makes them.
func newRecord(o *classify.Observation, span record.Span) (*record.Record, *record.Details) {
	r, d := new(record.Maker).Identified(o, &record.Identity{Span: span}), record.DetailsOf(o)
	d.Span, d.Operation = span, metrics.New().Observe(o, span)
	return r, &d
}

// clearEnvironment makes the test independent of the developer's telemetry.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		if name, _, _ := strings.Cut(kv, "="); strings.HasPrefix(name, "OTEL_") {
			t.Setenv(name, "")
		}
	}
}

// Headers of a program that traces itself.
const (
	sampled   = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	unsampled = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"
)
