package otlp

import (
	"context"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/sdk/resource"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
)

// Resource returns the resource that describes this program, the same for all
// signals. The environment is added last and takes precedence. The command line is
// left out because it may contain secrets of another program. If an error is
// returned, the resource is incomplete.
func (e *Environment) Resource(ctx context.Context, version string) (*resource.Resource, error) {
	own := []attribute.KeyValue{
		semconv.ServiceName("ksyun-tap"),
		semconv.ServiceInstanceID(e.instance),
	}
	if version != "" {
		own = append(own, semconv.ServiceVersion(version))
	}
	return resource.New(ctx,
		resource.WithSchemaURL(semconv.SchemaURL),
		resource.WithTelemetrySDK(),
		resource.WithHost(),
		resource.WithProcessPID(),
		resource.WithProcessExecutableName(),
		resource.WithProcessRuntimeName(),
		resource.WithProcessRuntimeVersion(),
		resource.WithAttributes(own...),
		resource.WithAttributes(e.resource...),
	)
}
