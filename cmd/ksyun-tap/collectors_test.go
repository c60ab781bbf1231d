package main

import (
	"io"
	"maps"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestEveryFamilyHasACollector compares the families that a tap with all parts
// collects with those of the documentation.
func TestEveryFamilyHasACollector(t *testing.T) {
	dir := t.TempDir()
	keys := filepath.Join(dir, "keys.yml")
	testfile.Write(t, keys, "access_key: AKLTexample\nsecret_key: secret\n", 0o600)
	c, _, err := parseCommandLine([]string{
		"run", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0",
		"--intercept", "--intercept.ca-dir=" + filepath.Join(dir, "ca"), "--csm.listen-address=127.0.0.1:0", "--check-path.interval=1h",
		"--resign.listen-address=127.0.0.1:0", "--resign.credentials-file=" + keys, "--journal.path=" + filepath.Join(dir, "journal.db"), "--evidence",
	}, io.Discard)
	require.NoError(t, err)
	tap, err := newTap(t.Context(), &c.settings, nil, outputs{log: io.Discard}, service{})
	require.NoError(t, err)
	defer tap.abandon()

	described := make(chan *prometheus.Desc)
	go func() {
		defer close(described)
		tap.metrics.Gatherer().(*prometheus.Registry).Describe(described)
	}()
	got, want := map[string]bool{}, map[string]bool{}
	name := regexp.MustCompile(`fqName: "(ksyun_\w+)"`)
	for d := range described {
		if m := name.FindStringSubmatch(d.String()); m != nil {
			got[m[1]] = true
		}
	}
	for _, f := range metrics.Describe() {
		want[f.Name] = true
	}
	if !maps.Equal(got, want) {
		t.Errorf("collected: %q\ndocumented: %q", slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(want)))
	}

	families, err := tap.metrics.Gatherer().Gather()
	require.NoError(t, err)
	for _, f := range families {
		if strings.HasPrefix(f.GetName(), "ksyun_tap_path_check_") {
			t.Errorf("%s has a value before the first path check", f.GetName())
		}
	}
}

// TestEveryProxyCounterIsCollected gives each field of the proxy's counters another
// value, and looks for it in the metrics.
func TestEveryProxyCounterIsCollected(t *testing.T) {
	var stats collector.Stats
	missing := map[float64]string{}
	for _, of := range []reflect.Value{reflect.ValueOf(&stats.Stats).Elem(), reflect.ValueOf(&stats).Elem()} {
		for i := range of.NumField() {
			if field := of.Field(i); field.CanInt() {
				field.SetInt(int64(10_000 + len(missing)))
				missing[float64(field.Int())] = of.Type().Field(i).Name
			}
		}
	}
	if n := reflect.TypeFor[relay.Stats]().NumField(); len(missing) <= n {
		t.Fatalf("%d fields, want more than the relay's %d", len(missing), n)
	}
	m := metrics.New()
	m.Register(metrics.NewCollector(func() collector.Stats { return stats }, append(slices.Clone(proxyRows), resignRows...)...))
	families, err := m.Gatherer().Gather()
	require.NoError(t, err)
	for _, f := range families {
		for _, s := range f.GetMetric() {
			delete(missing, s.GetCounter().GetValue()+s.GetGauge().GetValue())
		}
	}
	if len(missing) > 0 {
		t.Errorf("not collected: %v", missing)
	}
}
