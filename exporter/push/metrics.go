package push

import (
	"context"
	"errors"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	metricspb "go.opentelemetry.io/proto/otlp/metrics/v1"
	"google.golang.org/protobuf/proto"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// scopeMetrics is the name of the instrumentation scope of metrics.
const scopeMetrics = "github.com/ksyun-tap/ksyun-tap/exporter/metrics"

// meter sends the metrics of a registry at an interval, and once at the end.
type meter struct {
	gatherer prometheus.Gatherer
	client   *otlp.Client
	origin   origin
	timeout  time.Duration // of one export
	dropped  func(signal, reason string, n int)
	reporter *otlp.Reporter

	once sync.Once
	stop chan struct{} // closed by shutdown: export once more
	done chan struct{} // closed when the goroutine has ended

	giveUp context.Context // done when the time limit of shutdown has passed
	cancel context.CancelFunc
}

// startMeter runs m.
func startMeter(m *meter, interval time.Duration) *meter {
	m.stop, m.done = make(chan struct{}), make(chan struct{})
	m.giveUp, m.cancel = context.WithCancel(context.Background())
	go func() {
		defer close(m.done)
		defer m.client.Close()
		ticker := time.NewTicker(interval)
		defer ticker.Stop()
		for stopping := false; !stopping; {
			select {
			case <-ticker.C:
			case <-m.stop:
				stopping = true
			}
			if err := m.export(); err != nil {
				m.dropped(SignalMetrics, otlp.ReasonExportFailed, 1)
				m.reporter.Handle(err)
			}
		}
	}()
	return m
}

// export sends the present values.
func (m *meter) export() (err error) {
	defer otlp.Recovered(&err)
	ctx, cancel := context.WithTimeout(m.giveUp, m.timeout)
	defer cancel()
	families, err := m.gatherer.Gather()
	if len(families) == 0 {
		return err
	}
	resource, scope := m.origin.encode(scopeMetrics)
	request, marshalErr := proto.Marshal(&metricspb.MetricsData{ResourceMetrics: []*metricspb.ResourceMetrics{{
		Resource: resource, SchemaUrl: m.origin.resource.SchemaURL(),
		ScopeMetrics: []*metricspb.ScopeMetrics{{Scope: scope, SchemaUrl: m.origin.schema, Metrics: convert(families, time.Now())}},
	}}})
	if marshalErr != nil {
		return errors.Join(err, marshalErr)
	}
	return errors.Join(err, m.client.Send(ctx, request))
}

// shutdown exports the last values until ctx is done. Further calls wait for the first
// one to finish.
func (m *meter) shutdown(ctx context.Context) error {
	defer m.cancel()
	defer context.AfterFunc(ctx, m.cancel)()
	m.once.Do(func() { close(m.stop) })
	select {
	case <-m.done:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
