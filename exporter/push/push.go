// Package push sends log lines and metrics to an OpenTelemetry backend, in addition
// to the log and to /metrics. Both are off unless OTEL_LOGS_EXPORTER or
// OTEL_METRICS_EXPORTER is otlp.
//
//	zap ──> Core ──────> queue ──> OTLP    log records, in batches
//	registry <── reader ─────────> OTLP    metrics, at an interval and at the end
//
// A failure of the backend never delays or fails anything else. What does not
// reach the backend is counted, and reported at most once per minute.
package push

import (
	"context"
	"errors"
	"sync"

	"github.com/prometheus/client_golang/prometheus"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// The signals passed to Config.Dropped.
const (
	SignalLogs    = "logs"
	SignalMetrics = "metrics"
)

// Config is the configuration of a Pusher. All fields but Proxy are required.
type Config struct {
	Version     string            // of the program, for the resource
	Environment *otlp.Environment // holds the OTEL_* variables
	Gatherer    prometheus.Gatherer
	// Proxy returns the proxy for connections to the backend. If nil, the proxy is
	// taken from the environment.
	Proxy otlp.ProxyFunc
	// Dropped is called with the signal, the reason, as in package otlp, and the
	// number of log records or exports of metrics that did not reach the backend.
	// It must be safe for concurrent use.
	Dropped func(signal, reason string, n int)
	Log     *zap.Logger // receives export errors; must not write to Core
}

// Pusher sends log lines and metrics. It is safe for concurrent use.
type Pusher struct {
	logs    *otlp.Queue[line] // nil if log lines are not sent
	core    core              // valid if logs is not nil
	metrics *meter            // nil if metrics are not sent
}

// New returns a running pusher. Call Shutdown to stop it.
func New(ctx context.Context, cfg Config) *Pusher {
	p := &Pusher{}
	e := cfg.Environment
	if !e.Logs.OTLP && !e.Metrics.OTLP {
		return p
	}
	described, err := e.Resource(ctx, cfg.Version)
	if err != nil {
		cfg.Log.Warn("resource is incomplete", zap.Error(err))
	}
	from := origin{described, cfg.Version, semconv.SchemaURL}
	if e.Logs.OTLP {
		dropped := func(reason string, n int) { cfg.Dropped(SignalLogs, reason, n) }
		p.logs = otlp.NewQueue(lineExporter{otlp.NewClient(&e.Logs, cfg.Proxy), from}, e.Logs.Batch,
			dropped, otlp.NewReporter(cfg.Log, "log export failed"))
		p.core = core{queue: p.logs, limits: e.LogLimits, dropped: dropped}
	}
	if e.Metrics.OTLP {
		p.metrics = startMeter(&meter{
			gatherer: cfg.Gatherer, client: otlp.NewClient(&e.Metrics, cfg.Proxy), origin: from, timeout: e.Metrics.Batch.Timeout,
			dropped: cfg.Dropped, reporter: otlp.NewReporter(cfg.Log, "metric export failed"),
		}, e.MetricInterval)
	}
	return p
}

// Core returns the core that sends log lines, or nil if they are not sent. It
// accepts every level. It never blocks.
func (p *Pusher) Core() zapcore.Core {
	if p.logs == nil {
		return nil
	}
	return p.core
}

// Metrics reports whether metrics are sent.
func (p *Pusher) Metrics() bool { return p.metrics != nil }

// Shutdown sends the waiting log lines and the last values of the metrics until
// ctx is done. Log lines that cannot be sent, or are written later, are counted as
// dropped. Further calls do nothing.
func (p *Pusher) Shutdown(ctx context.Context) error {
	var group sync.WaitGroup
	var errs [2]error
	if p.logs != nil {
		group.Go(func() { errs[0] = p.logs.Shutdown(ctx) })
	}
	if p.metrics != nil {
		group.Go(func() { errs[1] = p.metrics.shutdown(ctx) })
	}
	group.Wait()
	return errors.Join(errs[:]...)
}
