package traces_test

import (
	"strings"
	"testing"

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
		if got[k] != want {
			t.Errorf("%s is %q, want %q", k, got[k], want)
		}
	}
	for _, k := range []string{"service.instance.id", "host.name", "process.pid"} {
		if got[k] == "" {
			t.Errorf("%s is missing", k)
		}
	}
	for k := range got {
		if strings.HasPrefix(k, "process.command") {
			t.Errorf("%s contains the command line", k)
		}
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
	if v, _ := b.spans[0].Resource.Set().Value("service.name"); v.AsString() != "my-tap" {
		t.Errorf("service.name is %q, want my-tap", v.AsString())
	}
}
