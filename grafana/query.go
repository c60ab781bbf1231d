package grafana

import (
	"regexp"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)

// Matchers of the variables that every dashboard has, in the order in which
// they stand at its top. Those of the first group are labels of the scrape,
// which every series has or lacks alike; those of the second are a call's.
var (
	scrapeLabels = []string{"cluster", "namespace", "job", "instance"}
	callLabels   = []string{"service", "region", "action"}
	detailLabels = []string{"version", "code", "type", "status", "category"}
)

// foreign are the metrics that the tap has from libraries and the scrape.
var foreign = regexp.MustCompile(`^(up$|scrape_|go_|process_|promhttp_)`)

// of selects the series of a metric that the variables choose, and further
// matchers. It panics for a metric or a label that the tap does not have: a
// dashboard with it must not be written.
func of(metric string, matchers ...string) string {
	return selector(metric, slices.Concat(scrapeLabels, callLabels), matchers)
}

// ofTap is of where only taps can be chosen, and not their calls.
func ofTap(metric string, matchers ...string) string {
	return selector(metric, scrapeLabels, matchers)
}

// inDetail is of with the variables of the dashboard of errors.
func inDetail(metric string, matchers ...string) string {
	return selector(metric, slices.Concat(scrapeLabels, callLabels, detailLabels), matchers)
}

// recorded selects a series of the recording rules, which tell apart
// everything of a scrape but the instance, and the service.
func recorded(record string) string {
	return record + "{" + variables("cluster", "namespace", "job", "service") + "}"
}

func selector(metric string, chosen, matchers []string) string {
	own, known := labelsOf(metric)
	if !known {
		panic("grafana: the tap has no metric " + metric)
	}
	var names []string
	for _, l := range chosen {
		if slices.Contains(scrapeLabels, l) || slices.Contains(own, l) {
			names = append(names, l)
		}
	}
	for _, m := range matchers {
		name := strings.TrimRight(strings.SplitN(m, `"`, 2)[0], "=!~")
		if !foreign.MatchString(metric) && !slices.Contains(own, name) {
			panic("grafana: " + metric + " has no label " + name)
		}
	}
	return metric + "{" + strings.Join(append([]string{variables(names...)}, matchers...), ", ") + "}"
}

// variables matches labels with the variables of their names.
func variables(labels ...string) string {
	parts := make([]string, len(labels))
	for i, l := range labels {
		parts[i] = l + `=~"$` + l + `"`
	}
	return strings.Join(parts, ", ")
}

// labelsOf tells a metric's labels.
func labelsOf(metric string) (labels []string, known bool) {
	if foreign.MatchString(metric) {
		return nil, true
	}
	for _, f := range metrics.Describe() {
		if labels, ok := f.SeriesLabels(metric); ok {
			return labels, true
		}
	}
	return nil, false
}

// sum adds up, and tells apart by labels.
func sum(labels, expr string) string {
	if labels == "" {
		return "sum(" + expr + ")"
	}
	return "sum by (" + labels + ") (" + expr + ")"
}

// rate is per second, over a window that fits the zoom.
func rate(selector string) string { return "rate(" + selector + "[$__rate_interval])" }

// increase is over all that is shown.
func increase(selector string) string { return "increase(" + selector + "[$__range])" }

// orZero shows a zero where there is nothing to add up.
func orZero(expr string) string { return expr + " or vector(0)" }

// quantile of the durations is read from the native histograms where they are
// scraped, else from the classic ones.
func quantile(q, label string) string {
	le := "le"
	if label != "" {
		le = label + ", le"
	}
	return "histogram_quantile(" + q + ", " + sum(label, rate(of(duration))) + ")\nor\n" +
		"histogram_quantile(" + q + ", " + sum(le, rate(of(duration+"_bucket"))) + ")"
}

var variable = regexp.MustCompile(`\$\{?\w+\}?`)

// Fill puts values into a query as Grafana does: every variable chooses all,
// rates are over window, and what is shown is as long as shown.
func Fill(expr, window, shown string) string {
	return variable.ReplaceAllStringFunc(expr, func(v string) string {
		switch v {
		case "$__rate_interval":
			return window
		case "$__range":
			return shown
		case "$cluster", "$namespace":
			return ".*"
		}
		return ".+"
	})
}
