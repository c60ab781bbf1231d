package traces

import (
	"context"
	"crypto/rand"
	"fmt"
	"os"
	"strings"

	"go.opentelemetry.io/contrib/exporters/autoexport"
	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.uber.org/zap"
)

// fromEnvironment returns the exporter that the OTEL_* variables name; nil if
// they name none, or switch telemetry off.
func fromEnvironment(ctx context.Context) (sdktrace.SpanExporter, error) {
	if strings.EqualFold(os.Getenv("OTEL_SDK_DISABLED"), "true") {
		return nil, nil //nolint:nilnil // no exporter, and no error
	}
	// An endpoint alone is enough of a wish; without one, the default of
	// localhost would be dialled for those who want no traces.
	configured := false
	for _, name := range []string{
		"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT",
	} {
		configured = configured || os.Getenv(name) != ""
	}
	if !configured {
		return nil, nil //nolint:nilnil // as above
	}
	exporter, err := autoexport.NewSpanExporter(ctx)
	if err != nil {
		return nil, fmt.Errorf("trace exporter by OTEL_TRACES_EXPORTER=%q and OTEL_EXPORTER_OTLP_*: %w",
			os.Getenv("OTEL_TRACES_EXPORTER"), err)
	}
	if autoexport.IsNoneSpanExporter(exporter) {
		return nil, nil //nolint:nilnil // as above
	}
	return exporter, nil
}

// newResource describes this program. OTEL_SERVICE_NAME and
// OTEL_RESOURCE_ATTRIBUTES have the last word. The command line is left out: it
// may hold another program's secrets.
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
		resource.WithFromEnv(),
	)
	if err != nil && cfg.Log != nil {
		cfg.Log.Warn("some of the trace resource is not known", zap.Error(err))
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
