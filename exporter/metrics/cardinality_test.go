package metrics_test

import (
	"strconv"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// TestHostileValuesStayWithinTheBound sends the values that create the most
// series.
func TestHostileValuesStayWithinTheBound(t *testing.T) {
	m := metrics.New()
	outcomes := []classify.Outcome{
		classify.OutcomeSuccess, classify.OutcomeError, classify.OutcomePartial, classify.OutcomeMasked,
		classify.OutcomeDryRun, classify.OutcomeCanceled, classify.OutcomeProxy, "made up",
	}
	types := []classify.Type{classify.TypeSender, classify.TypeReceiver, classify.TypeUnknown}
	categories := classify.Categories()
	const attempts = 100_000
	for i := range attempts {
		entry := &classify.Entry{Code: "Known" + strconv.Itoa(i%5000), Grade: classify.GradeDocumented}
		o := &classify.Observation{
			Call: classify.Call{
				Service: "service-" + strconv.Itoa(i%(metrics.MaxServices+7)),
				Action:  "Action" + strconv.Itoa(i),
				Version: "version-" + strconv.Itoa(i/3%1000),
				Region:  "region-" + strconv.Itoa(i/7%1000),
			},
			Verdict: classify.Verdict{
				Outcome: outcomes[i%len(outcomes)], Type: types[i/8%3], Category: categories[i/11%len(categories)],
				Status: i % 1000, Code: entry.Code, Entry: entry, Match: classify.MatchCode, FailedItems: 1,
			},
		}
		if i%2 == 0 {
			o.Verdict.Code, o.Verdict.Entry = "Unknown"+strconv.Itoa(i), nil
		}
		if i%3 == 0 { // known labels, so that combinations run out and not values
			o.Call.Action = "Action" + strconv.Itoa(i%97)
		}
		m.Begin(&o.Call)
		m.Observe(o, record.Span{})
	}

	body, _ := scrape(t, m, text)
	lines, total := 0, 0.0
	for line := range strings.Lines(body) {
		if !strings.HasPrefix(line, "ksyun_api_") {
			continue
		}
		lines++
		if strings.HasPrefix(line, "ksyun_api_requests_total{") {
			v, err := strconv.ParseFloat(strings.TrimSpace(line[strings.LastIndexByte(line, ' '):]), 64)
			require.NoError(t, err)
			total += v
		}
	}
	t.Logf("%d lines, at most %d", lines, metrics.MaxSeries())
	if lines > metrics.MaxSeries() {
		t.Errorf("%d lines, documented are at most %d", lines, metrics.MaxSeries())
	}
	if lines < metrics.MaxSeries()/2 {
		t.Errorf("%d lines of %d: the test does not try hard enough, or the bound is idle", lines, metrics.MaxSeries())
	}
	assert.EqualValues(t, attempts, total, "%v attempts counted, want every one of %d", total, attempts)
	for _, label := range []string{"service", "action", "version", "region", "code", "status", "series"} {
		v, _ := value(t, m, "ksyun_tap_label_overflow_total", map[string]string{"label": label})
		assert.NotZero(t, v, "label %s never overflowed", label)
	}
}

func TestStrangersValuesDoNotGrowMemory(t *testing.T) {
	m := metrics.New()
	observe := func(from, to int) {
		for i := from; i < to; i++ {
			m.Observe(&classify.Observation{
				Call:    classify.Call{Service: "monitor", Action: "Random" + strconv.Itoa(i)},
				Verdict: classify.Verdict{Outcome: classify.OutcomeError, Status: 400, Code: "Code" + strconv.Itoa(i)},
			}, record.Span{})
		}
	}
	observe(0, 1000)
	before := testutil.CollectAndCount(gathererAsCollector{m.Gatherer()})
	observe(1000, 101_000)
	after := testutil.CollectAndCount(gathererAsCollector{m.Gatherer()})
	assert.Equal(t, before, after, "%d series after 100,000 more random actions, %d before", after, before)
	// A success of a folded kind is not remembered: the second one allocates as
	// much as the first.
	o := &classify.Observation{Call: classify.Call{Action: "One more"}, Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess}}
	first := testing.AllocsPerRun(10, func() { m.Observe(o, record.Span{}) })
	if first > 8 {
		t.Errorf("%v allocations for a folded attempt", first)
	}
}

// gathererAsCollector lets testutil count what a gatherer gathers.
type gathererAsCollector struct{ prometheus.Gatherer }

func (g gathererAsCollector) Describe(chan<- *prometheus.Desc) {}

func (g gathererAsCollector) Collect(ch chan<- prometheus.Metric) {
	families, err := g.Gather()
	if err != nil {
		panic(err)
	}
	for _, f := range families {
		if !strings.HasPrefix(f.GetName(), "ksyun_") {
			continue
		}
		for i := range f.GetMetric() {
			ch <- prometheus.MustNewConstMetric(
				prometheus.NewDesc(f.GetName(), "h", []string{"i"}, nil), prometheus.UntypedValue, 1, strconv.Itoa(i),
			)
		}
	}
}
