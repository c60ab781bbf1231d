package promcheck

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)

func TestCheck(t *testing.T) {
	known := Known{
		Families: []metrics.Family{
			{Name: "calls_total", Type: "counter", Labels: []string{"service", "outcome"}},
			{Name: "duration_seconds", Type: "histogram", Labels: []string{"service"}},
		},
		Foreign: regexp.MustCompile(`^(up$|go_)`),
		Records: map[string][]string{"service:calls:rate5m": {"service"}},
		Target:  []string{"job", "instance"},
	}
	f := func(expr, wrong string) {
		t.Helper()
		err := known.Check(expr)
		switch {
		case wrong == "" && err != nil:
			t.Error(err)
		case wrong != "" && (err == nil || !strings.Contains(err.Error(), wrong)):
			t.Errorf("%s: %v, want an error that says %q", expr, err, wrong)
		}
	}
	f(`sum by (service, job) (rate(calls_total{outcome="error", instance="a"}[5m])) > 0`, "")
	f(`histogram_quantile(0.9, sum by (le) (rate(duration_seconds_bucket[5m]))) or histogram_quantile(0.9, sum(rate(duration_seconds[5m])))`, "")
	f(`service:calls:rate5m{service="a", job="b"} / on (service) group_left (job) up{anything="c"}`, "")
	f(`sum by (le) (duration_seconds_count)`, "groups by le")
	f(`sum by (outcome) (sum by (service) (calls_total))`, "groups by outcome")
	f(`calls_total{code="x"}`, "calls_total has no label code")
	f(`call_total`, `there is no metric "call_total"`)
	f(`calls_total_bucket`, "there is no metric")
	f(`service:calls:rate1h`, "there is no metric")
	f(`calls_total / on (region) duration_seconds_sum`, "matches by region")
	f(`calls_total{`, "parse error")
}

func TestMetrics(t *testing.T) {
	got, err := Metrics(`rate(a[5m]) / b or c{x="y"} - a`)
	if want := []string{"a", "b", "c"}; err != nil || !slices.Equal(got, want) {
		t.Errorf("%v, %v, want %v", got, err, want)
	}
	if _, err := Metrics(`a b`); err == nil {
		t.Error("no error for what is no expression")
	}
}

func TestNeeded(t *testing.T) {
	rules := map[string][]string{
		"a:rate": {"rate(a[5m])"}, "b:rate": {"rate(b[5m])"}, "both": {"a:rate / b:rate"},
		"High": {"both > 1", "a:rate > 2"}, "state": {"b:rate > 1 or state"},
	}
	f := func(want []string, exprs ...string) {
		t.Helper()
		got, err := Needed(rules, exprs...)
		if names := slices.Sorted(maps.Keys(got)); err != nil || !slices.Equal(names, want) {
			t.Errorf("%q: %q, %v, want %q", exprs, names, err, want)
		}
	}
	f(nil, "rate(a[1m])")
	f([]string{"a:rate", "b:rate", "both"}, "sum(both)")
	f([]string{"High", "a:rate", "b:rate", "both"}, `count(ALERTS{alertname="High"})`)
	f([]string{"a:rate", "b:rate", "state"}, "state", "a:rate")
	_, err := Needed(rules, "sum(")
	assert.Error(t, err, "an expression that cannot be parsed is no")
}
