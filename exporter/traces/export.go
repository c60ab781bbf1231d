package traces

import (
	"context"
	"errors"
	"io"
	"net/http"

	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"

	"github.com/ksyun-tap/ksyun-tap/exporter/otlp"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// exporter sends the spans of records to a backend.
type exporter = otlp.Exporter[*record.Record]

// newExporter returns the exporter of spans of from that s selects, or nil if there is none. It
// sets every option, to override what the SDK reads from the environment.
func newExporter(ctx context.Context, s *otlp.Signal, console io.Writer, find otlp.ProxyFunc, from *origin) (exporter, error) {
	var all exporters
	if s.OTLP {
		x, err := newSender(ctx, s, find, from)
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	if s.Console && console != nil {
		x, err := stdouttrace.New(stdouttrace.WithWriter(console))
		if err != nil {
			return nil, err
		}
		all = append(all, snapshots{x, from})
	}
	switch len(all) {
	case 0:
		return nil, nil //nolint:nilnil // no exporter, and no error
	case 1:
		return all[0], nil
	}
	return all, nil
}

// newSender returns an exporter by OTLP.
func newSender(ctx context.Context, s *otlp.Signal, find otlp.ProxyFunc, from *origin) (exporter, error) {
	httpClient, url, compress, err := s.Sender(find)
	if err != nil {
		return nil, err
	}
	options := []otlptracehttp.Option{
		otlptracehttp.WithEndpointURL(url),
		otlptracehttp.WithHeaders(s.Headers),
		otlptracehttp.WithTimeout(s.Timeout),
		otlptracehttp.WithTLSClientConfig(nil), // the TLS configuration of the client is used
		otlptracehttp.WithHTTPClient(httpClient),
	}
	if s.Protocol == otlp.ProtocolJSON {
		compression := otlptracehttp.NoCompression
		if compress {
			compression = otlptracehttp.GzipCompression
		}
		x, err := newOTLPBySDK(ctx, otlptracehttp.NewClient(append(options,
			otlptracehttp.WithEncoding(otlptracehttp.EncodingJSON), otlptracehttp.WithCompression(compression))...), from)
		if err != nil {
			return nil, err
		}
		return closing{x, httpClient}, nil
	}
	u := &upload{next: httpClient.Transport, compress: compress}
	httpClient.Transport = u
	u.sdk = otlptracehttp.NewClient(append(options,
		otlptracehttp.WithEncoding(otlptracehttp.EncodingProtobuf), otlptracehttp.WithCompression(otlptracehttp.NoCompression))...)
	if err := u.sdk.Start(ctx); err != nil {
		return nil, err
	}
	return closing{&encoder{client: u, origin: from}, httpClient}, nil
}

// closing closes the connections of its client on shutdown.
type closing struct {
	exporter
	client *http.Client
}

// Shutdown implements otlp.Exporter.
func (c closing) Shutdown(ctx context.Context) error {
	defer c.client.CloseIdleConnections()
	return c.exporter.Shutdown(ctx)
}

// exporters passes spans to several exporters.
type exporters []exporter

// Export implements otlp.Exporter.
func (all exporters) Export(ctx context.Context, records []*record.Record) error {
	var errs []error
	for _, x := range all {
		errs = append(errs, x.Export(ctx, records))
	}
	return errors.Join(errs...)
}

// Shutdown implements otlp.Exporter.
func (all exporters) Shutdown(ctx context.Context) error {
	var errs []error
	for _, x := range all {
		errs = append(errs, x.Shutdown(ctx))
	}
	return errors.Join(errs...)
}
