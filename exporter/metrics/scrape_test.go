package metrics_test

import (
	"bytes"
	"errors"
	"io"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
)

func TestScrapeIsAsDocumented(t *testing.T) {
	body, _ := scrape(t, full(), text)
	var ours bytes.Buffer
	for line := range strings.Lines(body) {
		if strings.Contains(line, "ksyun_") && !strings.Contains(line, "ksyun_tap_build_info{") {
			ours.WriteString(line)
		}
	}
	golden.Check(t, "testdata/scrape.golden", ours.Bytes())
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(full().Gatherer())
	require.NoError(t, err)
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestDescribeAgreesWithTheRegistry(t *testing.T) {
	gathered := gather(t, full())
	described := make(map[string]bool)
	for _, f := range metrics.Describe() {
		described[f.Name] = true
		got, ok := gathered[f.Name]
		if !ok {
			t.Errorf("%s is described and not gathered", f.Name)
			continue
		}
		typ := strings.ToLower(got.GetType().String())
		assert.Equal(t, f.Type, typ, "%s is a %s, described as %s", f.Name, typ, f.Type)
		if got.GetHelp() != f.Help {
			t.Errorf("%s has help %q, described as %q", f.Name, got.GetHelp(), f.Help)
		}
		want := slices.Sorted(slices.Values(f.Labels))
		labels := labelNames(got.GetMetric()[0])
		assert.Equal(t, want, labels, "%s has labels %q, described with %q", f.Name, labels, want)
	}
	for name := range gathered {
		if strings.HasPrefix(name, "ksyun_") && !described[name] {
			t.Errorf("%s is gathered and not described", name)
		}
	}
	for _, name := range []string{"go_goroutines", "promhttp_metric_handler_requests_total"} {
		assert.NotNil(t, gathered[name], "%s is not gathered", name)
	}
}

// TestCollectorReadsOneSnapshotPerScrape checks that the rows of a scrape fit
// together, that a row may have several series, and that those without a value are
// absent.
func TestCollectorReadsOneSnapshotPerScrape(t *testing.T) {
	m := metrics.New()
	n := 0
	value := func(n int) int { return n }
	m.Register(metrics.NewCollector(func() int { n++; return n },
		metrics.Read(metrics.QueueLength, value),
		metrics.Read(metrics.QueueCapacity, value),
		metrics.Read(metrics.JournalEntries, value).When(func(n int) bool { return n > 1 }),
		metrics.Each(metrics.PathFailed, func(n int, send metrics.Send) {
			for i := range n {
				send(float64(n), strconv.Itoa(i))
			}
		}),
	))
	for i, want := range []map[string]float64{
		{"ksyun_tap_queue_length": 1, "ksyun_tap_queue_capacity": 1, "ksyun_tap_path_check_failed0": 1},
		{
			"ksyun_tap_queue_length": 2, "ksyun_tap_queue_capacity": 2, "ksyun_tap_journal_entries": 2,
			"ksyun_tap_path_check_failed0": 2, "ksyun_tap_path_check_failed1": 2,
		},
	} {
		got := map[string]float64{}
		for name, f := range gather(t, m) {
			switch name {
			case metrics.QueueLength.Name, metrics.QueueCapacity.Name, metrics.JournalEntries.Name, metrics.PathFailed.Name:
				for _, s := range f.GetMetric() {
					series := name
					if labels := s.GetLabel(); len(labels) > 0 {
						series += labels[0].GetValue()
					}
					got[series] = s.GetGauge().GetValue()
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("scrape %d: %v, want %v", i+1, got, want)
		}
	}
}

func TestProtobufCarriesNativeAndClassicBuckets(t *testing.T) {
	body, header := scrape(t, full(), protobuf)
	format := expfmt.ResponseFormat(header)
	if format.FormatType() != expfmt.TypeProtoDelim {
		t.Fatalf("answered with %s", header.Get("Content-Type"))
	}
	dec := expfmt.NewDecoder(strings.NewReader(body), format)
	for {
		var f dto.MetricFamily
		if err := dec.Decode(&f); errors.Is(err, io.EOF) {
			t.Fatal("no durations")
		} else if err != nil {
			t.Fatal(err)
		}
		if f.GetName() != "ksyun_api_request_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if len(h.GetPositiveSpan()) == 0 || h.GetSchema() != 3 {
			t.Errorf("no native buckets of factor 1.1: schema %d, spans %v", h.GetSchema(), h.GetPositiveSpan())
		}
		assert.Len(t, h.GetBucket(), 17, "classic buckets")
		return
	}
}

func TestScrapeSurvivesAPanicOfItsSource(t *testing.T) {
	m := metrics.New()
	m.Register(metrics.NewCollector(func() int { panic("relay") }, metrics.Read(metrics.Tunnels, func(n int) int { return n })))
	m.Observe(attempt.Get("error_throttled"), record.Span{})
	body, _ := scrape(t, m, text)
	assert.Contains(t, body, "ksyun_api_errors_total{", "the other metrics are gone")
}
