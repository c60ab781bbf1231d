package promcheck_test

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
	"github.com/ksyun-tap/ksyun-tap/test/promcheck"
)

// records returns the labels of the series that rules record.
func records() map[string][]string {
	labels := map[string][]string{}
	for _, g := range rules.Groups() {
		for _, r := range g.Rules {
			if r.Record != "" {
				labels[r.Record] = rules.RecordLabels(r.Record)
			}
		}
	}
	return labels
}

// TestRulesNameWhatExists checks every metric and label that a rule names against
// what the tap exports, or a rule records: after one is renamed, a rule that
// names it would never fire.
func TestRulesNameWhatExists(t *testing.T) {
	known := promcheck.Known{
		Families: metrics.Describe(), Foreign: regexp.MustCompile(`^(up|process_start_time_seconds)$`), Records: records(),
		Target: dashboards.ScrapeLabels,
	}
	var all []string
	for _, g := range rules.Groups() {
		for _, r := range g.Rules {
			all = append(all, rules.Fill(r.Expr))
			assert.NoError(t, known.Check(rules.Fill(r.Expr)), "%s%s", r.Record, r.Alert)
		}
	}
	for i, f := range known.Families {
		without := known
		without.Families = slices.Delete(slices.Clone(known.Families), i, i+1)
		name := regexp.MustCompile(`\b` + f.Name + `\b`)
		named := slices.ContainsFunc(all, name.MatchString)
		missed := slices.ContainsFunc(all, func(expr string) bool { return without.Check(expr) != nil })
		assert.Equal(t, missed, named, "without %s, which rules name: %v, one is wrong: %v", f.Name, named, missed)
	}
}

// TestDashboardsNameWhatExists checks every query against the metrics and labels
// that the tap has, and that it fails without each metric and label of the API's.
func TestDashboardsNameWhatExists(t *testing.T) {
	known := promcheck.Known{Families: metrics.Describe(), Foreign: dashboards.Foreign, Records: records(), Target: dashboards.ScrapeLabels}
	maps.Copy(known.Records, map[string][]string{"ALERTS": {"alertname", "alertstate", "severity", "service"}})
	zoom := dashboards.Zoom{Interval: 2 * time.Minute, Rate: 5 * time.Minute, Range: 6 * time.Hour}
	used := map[string]bool{}
	var all []string
	for _, d := range dashboards.All() {
		for where, expr := range d.Expressions() {
			expr = zoom.Fill(expr)
			all = append(all, expr)
			assert.NoError(t, known.Check(expr), where)
			names, err := promcheck.Metrics(expr)
			assert.NoError(t, err, where)
			for _, n := range names {
				used[n] = true
			}
		}
	}
	// misses reports whether a query that names the metric is wrong.
	misses := func(without promcheck.Known, metric string) bool {
		return slices.ContainsFunc(all, func(expr string) bool { return strings.Contains(expr, metric) && without.Check(expr) != nil })
	}
	for i, f := range known.Families {
		without := known
		without.Families = slices.Delete(slices.Clone(known.Families), i, i+1)
		shown := used[f.Name] || used[f.Name+"_bucket"] || used[f.Name+"_sum"]
		missed := misses(without, f.Name)
		assert.Equal(t, missed, shown, "without %s, which is shown: %v, a query is wrong: %v", f.Name, shown, missed)
		if !strings.HasPrefix(f.Name, "ksyun_api_") || !shown {
			continue
		}
		for j, label := range f.Labels {
			without.Families = slices.Clone(known.Families)
			without.Families[i].Labels = slices.Delete(slices.Clone(f.Labels), j, j+1)
			assert.True(t, misses(without, f.Name), "%s without its label %s goes unnoticed", f.Name, label)
		}
	}
}
