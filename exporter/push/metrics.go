package push

import (
	"context"
	"encoding/hex"
	"net/http"

	"github.com/prometheus/client_golang/prometheus"
	bridge "go.opentelemetry.io/contrib/bridges/prometheus"
	"go.opentelemetry.io/otel/exporters/otlp/otlpmetric/otlpmetrichttp"
	sdkmetric "go.opentelemetry.io/otel/sdk/metric"
	"go.opentelemetry.io/otel/sdk/metric/metricdata"
	"go.opentelemetry.io/otel/trace"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
)

// newMetricExporter returns the exporter for metrics that s selects. It sets every
// option, to override what the SDK reads from the environment.
func newMetricExporter(ctx context.Context, s *otlp.Signal, find otlp.ProxyFunc) (sdkmetric.Exporter, error) {
	client, url, compress, err := s.Sender(find)
	if err != nil {
		return nil, err
	}
	compression := otlpmetrichttp.NoCompression
	if compress {
		compression = otlpmetrichttp.GzipCompression
	}
	x, err := otlpmetrichttp.New(ctx,
		otlpmetrichttp.WithEndpointURL(url),
		otlpmetrichttp.WithHeaders(s.Headers),
		otlpmetrichttp.WithCompression(compression),
		otlpmetrichttp.WithTimeout(s.Timeout),
		otlpmetrichttp.WithTLSClientConfig(nil), // the TLS configuration of the client is used
		otlpmetrichttp.WithHTTPClient(client),
		otlpmetrichttp.WithTemporalitySelector(sdkmetric.DefaultTemporalitySelector),
		otlpmetrichttp.WithAggregationSelector(sdkmetric.DefaultAggregationSelector),
	)
	if err != nil {
		return nil, err
	}
	return closingMetrics{x, client}, nil
}

// closingMetrics closes the connections of its client on shutdown.
type closingMetrics struct {
	sdkmetric.Exporter
	client *http.Client
}

// Shutdown implements sdkmetric.Exporter.
func (c closingMetrics) Shutdown(ctx context.Context) error {
	defer c.client.CloseIdleConnections()
	return c.Exporter.Shutdown(ctx)
}

// countedExporter counts and reports exports that fail. It returns their errors
// to nobody, because the SDK would report them again.
type countedExporter struct {
	sdkmetric.Exporter
	dropped  func(signal, reason string, n int)
	reporter *otlp.Reporter
}

// Export implements sdkmetric.Exporter.
func (x countedExporter) Export(ctx context.Context, all *metricdata.ResourceMetrics) error {
	if err := x.export(ctx, all); err != nil {
		x.dropped(SignalMetrics, otlp.ReasonExportFailed, 1)
		x.reporter.Handle(err)
	}
	return nil
}

func (x countedExporter) export(ctx context.Context, all *metricdata.ResourceMetrics) (err error) {
	defer recovered(&err)
	return x.Exporter.Export(ctx, all)
}

// producer converts the metrics of a registry. It returns a panic as an error.
type producer struct{ sdkmetric.Producer }

func newProducer(from prometheus.Gatherer) sdkmetric.Producer {
	return producer{bridge.NewMetricProducer(bridge.WithGatherer(from))}
}

// Produce implements sdkmetric.Producer.
func (p producer) Produce(ctx context.Context) (all []metricdata.ScopeMetrics, err error) {
	defer recovered(&err)
	all, err = p.Producer.Produce(ctx)
	for i := range all {
		for j := range all[i].Metrics {
			switch data := all[i].Metrics[j].Data.(type) {
			case metricdata.Sum[float64]:
				for _, point := range data.DataPoints {
					decodeIDs(point.Exemplars)
				}
			case metricdata.Histogram[float64]:
				for _, point := range data.DataPoints {
					decodeIDs(point.Exemplars)
				}
			}
		}
	}
	return all, err
}

// decodeIDs replaces the hexadecimal text of IDs, as the bridge returns them, with
// the IDs.
func decodeIDs(exemplars []metricdata.Exemplar[float64]) {
	for i := range exemplars {
		x := &exemplars[i]
		x.TraceID, x.SpanID = decodeID(x.TraceID, len(trace.TraceID{})), decodeID(x.SpanID, len(trace.SpanID{}))
	}
}

// decodeID returns the ID in hexadecimal text, or id if it is of the right size
// already.
func decodeID(id []byte, size int) []byte {
	if len(id) == size {
		return id
	}
	decoded, err := hex.DecodeString(string(id))
	if err != nil || len(decoded) != size {
		return nil
	}
	return decoded
}
