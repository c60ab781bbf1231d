package otlp

import (
	"context"
	"crypto/rand"
	"fmt"

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

// newInstanceID returns a random UUID, as OpenTelemetry recommends.
func newInstanceID() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // never fails
	b[6] = b[6]&0x0f | 0x40
	b[8] = b[8]&0x3f | 0x80
	return fmt.Sprintf("%x-%x-%x-%x-%x", b[:4], b[4:6], b[6:8], b[8:10], b[10:])
}
