package stage_test

import (
	"bytes"
	"context"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/stage"
)

// TestSpans opens the stage with and without a backend for spans in the environment,
// which stays as it is.
func TestSpans(t *testing.T) {
	variables := []string{"OTEL_TRACES_EXPORTER", "OTEL_EXPORTER_OTLP_ENDPOINT", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_SDK_DISABLED", "OTEL_CONFIG_FILE"}
	for _, set := range append(variables, "") {
		for _, name := range variables {
			t.Setenv(name, "")
		}
		if set != "" {
			t.Setenv(set, "x")
		}
		s, err := stage.Open(t.Context(), classify.DefaultCatalog())
		require.NoError(t, err)
		defer s.Close()
		own := s.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT")
		if set == "" {
			assert.Equal(t, own+"/spans", s.Spans)
			assert.Empty(t, os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"))
		} else {
			assert.Empty(t, s.Spans, set)
			assert.Equal(t, os.Getenv("OTEL_EXPORTER_OTLP_ENDPOINT"), own, set)
		}
	}
}

// TestPlay plays the first phase, without a tap, until the progress of it is printed.
func TestPlay(t *testing.T) {
	t.Setenv("OTEL_SDK_DISABLED", "true")
	s, err := stage.Open(t.Context(), classify.DefaultCatalog())
	require.NoError(t, err)
	defer s.Close()
	if s.Spans != "" {
		t.Errorf("spans are received at %s in place of the backend of the environment", s.Spans)
	}
	var out bytes.Buffer
	progress := stage.NewProgress(&out, metrics.New())
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	api := strings.TrimPrefix(s.ConnectTo[0], stage.Host+":80=")
	s.Play(ctx, api, time.Millisecond, time.Hour, func(p cloudmonitor.Phase) {
		progress.Enter(p)
		cancel()
	})
	if got := out.String(); !strings.Contains(got, "0s  0 calls, 0 failed  ") || !strings.Contains(got, " (look at: ") {
		t.Errorf("got %q", got)
	}
	if got := progress.Total(); got != "0 calls, 0 failed with 0 codes; categories: -" {
		t.Errorf("got %q", got)
	}
}
