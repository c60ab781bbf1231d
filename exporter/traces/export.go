package traces

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"strings"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracegrpc"
	"go.opentelemetry.io/otel/exporters/otlp/otlptrace/otlptracehttp"
	"go.opentelemetry.io/otel/exporters/stdout/stdouttrace"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.uber.org/zap"
	"golang.org/x/net/proxy"
	"google.golang.org/grpc"
	"google.golang.org/grpc/credentials"
	"google.golang.org/grpc/credentials/insecure"
)

// newExporter returns the exporter selected by the environment, or nil if there is
// none. It sets every option, to override what the SDK reads from the environment.
func newExporter(ctx context.Context, e *Environment, console io.Writer, find ProxyFunc) (exporter, error) {
	var all exporters
	if e.otlp {
		var x exporter
		var err error
		if e.protocol == protocolGRPC {
			x, err = newGRPC(ctx, e, find)
		} else {
			x, err = newHTTP(ctx, e, find)
		}
		if err != nil {
			return nil, err
		}
		all = append(all, x)
	}
	if e.console && console != nil {
		x, err := stdouttrace.New(stdouttrace.WithWriter(console))
		if err != nil {
			return nil, err
		}
		all = append(all, snapshots{x})
	}
	switch len(all) {
	case 0:
		return nil, nil //nolint:nilnil // no exporter, and no error
	case 1:
		return all[0], nil
	}
	return all, nil
}

func newHTTP(ctx context.Context, e *Environment, find ProxyFunc) (exporter, error) {
	if find == nil {
		find = http.ProxyFromEnvironment
	}
	transport := &http.Transport{
		Proxy:                 find,
		DialContext:           (&net.Dialer{Timeout: 30 * time.Second}).DialContext,
		TLSClientConfig:       e.tls,
		ForceAttemptHTTP2:     true,
		MaxIdleConns:          2,
		IdleConnTimeout:       90 * time.Second,
		TLSHandshakeTimeout:   10 * time.Second,
		ExpectContinueTimeout: time.Second,
	}
	encoding, compression := otlptracehttp.EncodingProtobuf, otlptracehttp.NoCompression
	if e.protocol == protocolJSON {
		encoding = otlptracehttp.EncodingJSON
	}
	if e.gzip {
		compression = otlptracehttp.GzipCompression
	}
	client := otlptracehttp.NewClient(
		otlptracehttp.WithEndpointURL(e.endpoint.String()),
		otlptracehttp.WithHeaders(e.headers),
		otlptracehttp.WithEncoding(encoding),
		otlptracehttp.WithCompression(compression),
		otlptracehttp.WithTimeout(e.timeout),
		otlptracehttp.WithTLSClientConfig(nil), // the TLS configuration of the client is used
		otlptracehttp.WithHTTPClient(&http.Client{Transport: transport, Timeout: e.timeout}),
	)
	start := newOTLP
	if e.protocol == protocolJSON {
		start = newOTLPBySDK
	}
	x, err := start(ctx, client)
	if err != nil {
		return nil, err
	}
	return closing{x, transport}, nil
}

// closing closes the connections of its transport on shutdown.
type closing struct {
	exporter
	transport *http.Transport
}

func (c closing) shutdown(ctx context.Context) error {
	defer c.transport.CloseIdleConnections()
	return c.exporter.shutdown(ctx)
}

func newGRPC(ctx context.Context, e *Environment, find ProxyFunc) (exporter, error) {
	creds := insecure.NewCredentials()
	if !e.insecure {
		creds = credentials.NewTLS(e.tls.Clone())
	}
	options := []otlptracegrpc.Option{
		otlptracegrpc.WithEndpoint(e.target),
		otlptracegrpc.WithHeaders(lower(e.headers)),
		otlptracegrpc.WithTimeout(e.timeout),
		otlptracegrpc.WithTLSCredentials(creds),
		otlptracegrpc.WithDialOption(proxyOption(e.target, find)),
	}
	if e.gzip {
		options = append(options, otlptracegrpc.WithCompressor("gzip"))
	}
	return newOTLP(ctx, otlptracegrpc.NewClient(options...))
}

// lower returns headers with lower-case names, as gRPC metadata requires.
func lower(headers map[string]string) map[string]string {
	all := make(map[string]string, len(headers))
	for k, v := range headers {
		all[strings.ToLower(k)] = v
	}
	return all
}

// proxyOption makes gRPC connect through the proxy returned by find. gRPC's own
// reading of the environment supports HTTP proxies only and could select the tap.
func proxyOption(target string, find ProxyFunc) grpc.DialOption {
	if find == nil {
		return grpc.EmptyDialOption{}
	}
	req := &http.Request{URL: &url.URL{Scheme: "https", Host: target}}
	u, err := find(req)
	own, ownErr := http.ProxyFromEnvironment(req) // the proxy gRPC would use
	switch {
	case err != nil || u == nil:
		return grpc.WithNoProxy()
	case strings.HasPrefix(u.Scheme, "socks5"):
		return grpc.WithContextDialer(func(ctx context.Context, address string) (net.Conn, error) {
			d, err := proxy.FromURL(u, proxy.Direct)
			if err != nil {
				return nil, errors.New("the SOCKS proxy cannot be used")
			}
			return d.(proxy.ContextDialer).DialContext(ctx, "tcp", address)
		})
	case ownErr != nil || own == nil || own.Host != u.Host:
		return grpc.WithNoProxy()
	}
	return grpc.EmptyDialOption{}
}

// exporters passes spans to several exporters.
type exporters []exporter

func (all exporters) export(ctx context.Context, spans []*span) error {
	var errs []error
	for _, x := range all {
		errs = append(errs, x.export(ctx, spans))
	}
	return errors.Join(errs...)
}

func (all exporters) shutdown(ctx context.Context) error {
	var errs []error
	for _, x := range all {
		errs = append(errs, x.shutdown(ctx))
	}
	return errors.Join(errs...)
}

// newResource returns the resource that describes this program. The environment
// is added last and takes precedence. The command line is left out because it may
// contain secrets of another program.
func newResource(ctx context.Context, cfg Config) *resource.Resource {
	own := []attribute.KeyValue{
		semconv.ServiceName("ksyun-tap"),
		semconv.ServiceInstanceID(newInstanceID()),
	}
	if cfg.Version != "" {
		own = append(own, semconv.ServiceVersion(cfg.Version))
	}
	r, err := resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithProcessPID(),
		resource.WithProcessExecutableName(),
		resource.WithProcessRuntimeName(),
		resource.WithProcessRuntimeVersion(),
		resource.WithAttributes(own...),
		resource.WithAttributes(cfg.Environment.resource...),
	)
	if err != nil && cfg.Log != nil {
		cfg.Log.Warn("trace resource is incomplete", zap.Error(err))
	}
	return r
}

// newInstanceID returns a random UUID, as OpenTelemetry recommends.
func newInstanceID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
