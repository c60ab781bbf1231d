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
	"fmt"
	"os"

	"github.com/prometheus/client_golang/prometheus"
	sdklog "go.opentelemetry.io/otel/sdk/log"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/resource"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"golang.org/x/sync/errgroup"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// The signals passed to Config.Dropped.
const (
	SignalLogs    = "logs"
	SignalMetrics = "metrics"
)

// Config is the configuration of a Pusher. The zero value is valid.
type Config struct {
	// Version is the version of the program, for the resource.
	Version string
	// Environment holds the OTEL_* variables. If nil, those of the process are read.
	Environment *otlp.Environment
	// Gatherer gathers the metrics. If nil, no metrics are sent.
	Gatherer prometheus.Gatherer
	// Proxy returns the proxy for connections to the backend. If nil, the proxy is
	// taken from the environment.
	Proxy otlp.ProxyFunc
	// Dropped is called with the signal, the reason, as in package otlp, and the
	// number of log records or exports of metrics that did not reach the backend.
	// It must be safe for concurrent use. If nil, it is not called.
	Dropped func(signal, reason string, n int)
	// Log receives export errors. It must not write to Core. If nil, they are not
	// logged.
	Log *zap.Logger
}

// Pusher sends log lines and metrics. It is safe for concurrent use.
type Pusher struct {
	core     zapcore.Core               // nil if log lines are not sent
	logs     *otlp.Queue[sdklog.Record] // nil if log lines are not sent
	metrics  *sdkmetric.MeterProvider   // nil if metrics are not sent
	problems []otlp.Problem
}

// New returns a running pusher. Call Shutdown to stop it. It never fails: settings
// that cannot be applied are reported by Problems.
func New(ctx context.Context, cfg Config) *Pusher {
	p := &Pusher{}
	if cfg.Environment == nil {
		cfg.Environment = otlp.ReadEnvironment(os.Getenv)
	}
	e := cfg.Environment
	if cfg.Dropped == nil {
		cfg.Dropped = func(string, string, int) {}
	}
	if !e.Logs.OTLP && !e.Metrics.OTLP {
		return p
	}
	described, err := e.Resource(ctx, cfg.Version)
	if err != nil && cfg.Log != nil {
		cfg.Log.Warn("resource is incomplete", zap.Error(err))
	}
	otlp.Quietly(otlp.NewReporter(cfg.Log, "telemetry export failed"), func() {
		if e.Logs.OTLP {
			p.start("OTEL_LOGS_EXPORTER", func() error { return p.startLogs(ctx, &cfg, described) })
		}
		if e.Metrics.OTLP && cfg.Gatherer != nil {
			p.start("OTEL_METRICS_EXPORTER", func() error { return p.startMetrics(ctx, &cfg, described) })
		}
	})
	return p
}

// start calls start. If that fails or panics, the variable is reported.
func (p *Pusher) start(variable string, start func() error) {
	if guarded(start) != nil {
		p.problems = append(p.problems, otlp.Problem{Variable: variable, Reason: "the exporter cannot be created; nothing is sent"})
	}
}

// guarded calls f and returns a panic as an error.
func guarded(f func() error) (err error) {
	defer recovered(&err)
	return f()
}

func (p *Pusher) startLogs(ctx context.Context, cfg *Config, described *resource.Resource) error {
	e := cfg.Environment
	x, err := newLogExporter(ctx, &e.Logs, cfg.Proxy)
	if err != nil {
		return err
	}
	dropped := func(reason string, n int) { cfg.Dropped(SignalLogs, reason, n) }
	p.logs = otlp.NewQueue(x, e.Logs.Batch, dropped, otlp.NewReporter(cfg.Log, "log export failed"))
	p.core = newCore(sdklog.NewLoggerProvider(
		sdklog.WithResource(described),
		sdklog.WithAttributeCountLimit(e.LogLimits.Count),
		sdklog.WithAttributeValueLengthLimit(e.LogLimits.Length),
		sdklog.WithProcessor(processor{p.logs}),
	), cfg.Version)
	return nil
}

func (p *Pusher) startMetrics(ctx context.Context, cfg *Config, described *resource.Resource) error {
	e := cfg.Environment
	x, err := newMetricExporter(ctx, &e.Metrics, cfg.Proxy)
	if err != nil {
		return err
	}
	p.metrics = sdkmetric.NewMeterProvider(
		sdkmetric.WithResource(described),
		sdkmetric.WithReader(sdkmetric.NewPeriodicReader(
			countedExporter{x, cfg.Dropped, otlp.NewReporter(cfg.Log, "metric export failed")},
			sdkmetric.WithInterval(e.MetricInterval),
			sdkmetric.WithTimeout(e.Metrics.Batch.Timeout),
			sdkmetric.WithProducer(newProducer(cfg.Gatherer)),
		)),
	)
	return nil
}

// Core returns the core that sends log lines, or nil if they are not sent. It
// accepts every level. It never blocks.
func (p *Pusher) Core() zapcore.Core { return p.core }

// Metrics reports whether metrics are sent.
func (p *Pusher) Metrics() bool { return p.metrics != nil }

// Problems returns the environment variables that cannot be applied, in addition
// to those of the environment itself.
func (p *Pusher) Problems() []otlp.Problem { return p.problems }

// Shutdown sends the waiting log lines and the last values of the metrics until
// ctx is done. Log lines that cannot be sent, or are written later, are counted as
// dropped. Further calls do nothing.
func (p *Pusher) Shutdown(ctx context.Context) error {
	var group errgroup.Group
	var errs [2]error
	if p.logs != nil {
		group.Go(func() error { errs[0] = p.logs.Shutdown(ctx); return nil })
	}
	if p.metrics != nil {
		group.Go(func() error {
			if err := p.metrics.Shutdown(ctx); !errors.Is(err, sdkmetric.ErrReaderShutdown) {
				errs[1] = err
			}
			return nil
		})
	}
	_ = group.Wait() // returns no error
	return errors.Join(errs[:]...)
}

// recovered stores a panic in err. It must be deferred.
func recovered(err *error) {
	if p := recover(); p != nil {
		*err = fmt.Errorf("panic: %v", p)
	}
}
