package traces_test

import (
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
)

func TestResource(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("OTEL_RESOURCE_ATTRIBUTES", "k8s.pod.name=web-0,service.version=overridden")
	b := &backend{}
	core, log := observer.New(zap.DebugLevel)
	tr := newTracer(t, traces.Config{Exporter: b, Version: "1.2.3", Log: zap.New(core)})
	o := attempt.Get("error_throttled")
	observe(tr, o)
	shutdown(t, tr)

	got := make(map[string]string)
	for _, kv := range b.spans[0].Resource.Attributes() {
		got[string(kv.Key)] = kv.Value.String()
	}
	for k, want := range map[string]string{
		"service.name": "ksyun-tap", "service.version": "overridden", "k8s.pod.name": "web-0",
		"telemetry.sdk.language": "go", "process.runtime.name": "go",
	} {
		assert.Equal(t, want, got[k], "%s is", k)
	}
	for _, k := range []string{"service.instance.id", "host.name", "process.pid"} {
		assert.NotEmpty(t, got[k], "%s is missing", k)
	}
	for k := range got {
		assert.False(t, strings.HasPrefix(k, "process.command"), "%s contains the command line", k)
	}
	if log.Len() != 0 {
		t.Errorf("making the resource logged %v", log.All())
	}
}

func TestServiceNameFromEnvironment(t *testing.T) {
	clearEnvironment(t)
	t.Setenv("OTEL_SERVICE_NAME", "my-tap")
	b := &backend{}
	tr := newTracer(t, traces.Config{Exporter: b})
	o := attempt.Get("error_throttled")
	observe(tr, o)
	shutdown(t, tr)
	v, _ := b.spans[0].Resource.Set().Value("service.name")
	assert.Equal(t, "my-tap", v.AsString(), "service.name is")
}
