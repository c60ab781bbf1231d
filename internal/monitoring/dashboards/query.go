package dashboards

import (
	"cmp"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/prometheus/common/model"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
)

// ScrapeLabels are the labels set by the scrape, each of which has a variable.
// All series of a target have the same ones.
var ScrapeLabels = []string{"cluster", "namespace", "job", "instance"}

// Foreign matches the metrics that come from libraries or the scrape.
var Foreign = regexp.MustCompile(`^(up$|scrape_|go_|process_|promhttp_)`)

// of selects the series of a metric by the variables and further matchers. It
// panics for a metric or a label that the tap does not have, so that no dashboard
// with it can be written.
func of(metric string, matchers ...string) string {
	return selector(metric, append(slices.Clone(ScrapeLabels), "service"), matchers)
}

// ofTap is of where only taps can be chosen, and not their calls.
func ofTap(metric string, matchers ...string) string {
	return selector(metric, ScrapeLabels, matchers)
}

// recorded selects a series of the recording rules, which have the service and
// all labels of the scrape except the instance.
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
		if slices.Contains(ScrapeLabels, l) || slices.Contains(own, l) {
			names = append(names, l)
		}
	}
	for _, m := range matchers {
		name := strings.TrimRight(strings.SplitN(m, `"`, 2)[0], "=!~")
		if !Foreign.MatchString(metric) && !slices.Contains(own, name) {
			panic("grafana: " + metric + " has no label " + name)
		}
	}
	return metric + "{" + strings.Join(append([]string{variables(names...)}, matchers...), ", ") + "}"
}

// variables returns matchers of labels by the variables with the same names.
func variables(labels ...string) string {
	parts := make([]string, len(labels))
	for i, l := range labels {
		parts[i] = l + `=~"$` + l + `"`
	}
	return strings.Join(parts, ", ")
}

// labelsOf returns a metric's labels.
func labelsOf(metric string) (labels []string, known bool) {
	if Foreign.MatchString(metric) {
		return nil, true
	}
	for _, f := range metrics.Describe() {
		if labels, ok := f.SeriesLabels(metric); ok {
			return labels, true
		}
	}
	return nil, false
}

// sum sums up by labels.
func sum(labels, expr string) string {
	if labels == "" {
		return "sum(" + expr + ")"
	}
	return "sum by (" + labels + ") (" + expr + ")"
}

// rate is per second, over a window that fits the zoom. It misses the first event
// of a series, so it is for bytes, times and the like.
func rate(selector string) string { return "rate(" + selector + "[$__rate_interval])" }

// shown counts the events in the time range, as alerts count them.
func shown(selector string) string {
	return rules.Events(selector, "$__range", "("+rules.KnownTaps("$__range", "$__range_s")+")")
}

// lately counts the events of the last 15 minutes, as alerts count them.
func lately(selector string) string {
	return rules.Events(selector, "15m", "("+rules.KnownTaps("15m", "900")+")")
}

// each counts the events between two points of a graph, as alerts count them:
// each event is in exactly one point, including the first event of a series. A
// counter that was reset and has one sample since counts with its whole value.
func each(selector string) string {
	const window = "$__interval"
	return "(" + rules.Events(selector, window, "("+rules.KnownTaps(window, "$__interval_ms / 1000")+")") +
		"\nor\nlast_over_time(" + selector + "[" + window + "]) < " + selector + " offset " + window + ")"
}

// perMinute is the sum of the events between two points, as events per minute.
func perMinute(labels, selector string) string {
	return sum(labels, each(selector)) + " * 60000 / $__interval_ms"
}

// ratio is the share of some events, such as failures, in all events between two
// points.
func ratio(labels, part, whole string) string {
	return sum(labels, each(part)) + "\n/\n(" + sum(labels, each(whole)) + " > 0)"
}

// orZero is 0 if there are no series.
func orZero(expr string) string { return expr + " or vector(0)" }

// quantile of the durations uses native histograms if they are scraped, else the
// classic ones.
func quantile(q, labels string) string {
	le := "le"
	if labels != "" {
		le = labels + ", le"
	}
	return "histogram_quantile(" + q + ", " + sum(labels, rate(of(duration))) + ")\nor\n" +
		"histogram_quantile(" + q + ", " + sum(le, rate(of(duration+"_bucket"))) + ")"
}

// Zoom is the time range and resolution at which a dashboard is viewed.
type Zoom struct {
	Interval time.Duration // between two points of a graph
	Rate     time.Duration // the window of rates
	Range    time.Duration // the whole time range
	By       string        // the label that failures are grouped by; "" is code
	Tap      string        // the selected tap; "" is all
}

var variable = regexp.MustCompile(`\$\{?\w+\}?`)

// Fill replaces the variables of a query as Grafana does; all other variables
// select everything.
func (z Zoom) Fill(expr string) string {
	say := func(d time.Duration) string { return model.Duration(d).String() }
	return variable.ReplaceAllStringFunc(expr, func(v string) string {
		switch v {
		case "$__interval":
			return say(z.Interval)
		case "$__interval_ms":
			return strconv.FormatInt(z.Interval.Milliseconds(), 10)
		case "$__rate_interval":
			return say(z.Rate)
		case "$__range":
			return say(z.Range)
		case "$__range_s":
			return strconv.Itoa(int(z.Range.Seconds()))
		case "$cluster", "$namespace":
			return ".*"
		case "$by":
			return cmp.Or(z.By, "code")
		case "$instance":
			return cmp.Or(z.Tap, ".+")
		}
		return ".+"
	})
}

// At is the query at a zoom, whose interval it may widen.
func (t Target) At(z Zoom) string {
	if least, err := model.ParseDuration(t.Interval); err == nil {
		z.Interval = max(z.Interval, time.Duration(least))
	}
	return z.Fill(t.Expr)
}
