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

// ScrapeLabels are those of the scrape, each with a variable: every series has
// or lacks them alike.
var ScrapeLabels = []string{"cluster", "namespace", "job", "instance"}

// Foreign matches the metrics that the tap has from libraries and the scrape.
var Foreign = regexp.MustCompile(`^(up$|scrape_|go_|process_|promhttp_)`)

// of selects the series of a metric that the variables choose, and further
// matchers. It panics for a metric or a label that the tap does not have: a
// dashboard with it must not be written.
func of(metric string, matchers ...string) string {
	return selector(metric, append(slices.Clone(ScrapeLabels), "service"), matchers)
}

// ofTap is of where only taps can be chosen, and not their calls.
func ofTap(metric string, matchers ...string) string {
	return selector(metric, ScrapeLabels, matchers)
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

// variables matches labels with the variables of their names.
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

// sum adds up, and tells apart by labels.
func sum(labels, expr string) string {
	if labels == "" {
		return "sum(" + expr + ")"
	}
	return "sum by (" + labels + ") (" + expr + ")"
}

// rate is per second, over a window that fits the zoom. It misses the first
// event of a series: it is for bytes, times and the like.
func rate(selector string) string { return "rate(" + selector + "[$__rate_interval])" }

// shown counts events over all that is shown, as alerts count.
func shown(selector string) string {
	return rules.Events(selector, "$__range", "("+rules.KnownTaps("$__range", "$__range_s")+")")
}

// lately counts the events of the last 15 minutes, as alerts count.
func lately(selector string) string {
	return rules.Events(selector, "15m", "("+rules.KnownTaps("15m", "900")+")")
}

// each counts the events between two points of a graph, as alerts count: each
// event is in one point, and the first of a series, too. A counter that was reset
// and has one sample since has counted what it says.
func each(selector string) string {
	const window = "$__interval"
	return "(" + rules.Events(selector, window, "("+rules.KnownTaps(window, "$__interval_ms / 1000")+")") +
		"\nor\nlast_over_time(" + selector + "[" + window + "]) < " + selector + " offset " + window + ")"
}

// perMinute adds up the events between two points, as events per minute.
func perMinute(labels, selector string) string {
	return sum(labels, each(selector)) + " * 60000 / $__interval_ms"
}

// ratio is the share of the events between two points: of the failures, say, of
// all that there were.
func ratio(labels, part, whole string) string {
	return sum(labels, each(part)) + "\n/\n(" + sum(labels, each(whole)) + " > 0)"
}

// orZero shows a zero where there is nothing to add up.
func orZero(expr string) string { return expr + " or vector(0)" }

// quantile of the durations is read from the native histograms where they are
// scraped, else from the classic ones.
func quantile(q, labels string) string {
	le := "le"
	if labels != "" {
		le = labels + ", le"
	}
	return "histogram_quantile(" + q + ", " + sum(labels, rate(of(duration))) + ")\nor\n" +
		"histogram_quantile(" + q + ", " + sum(le, rate(of(duration+"_bucket"))) + ")"
}

// Zoom is how a dashboard is looked at.
type Zoom struct {
	Interval time.Duration // between two points of a graph
	Rate     time.Duration // the window of rates
	Range    time.Duration // all that is shown
	By       string        // what failures are told apart by; "" is by code
	Tap      string        // the chosen one; "" is all
}

var variable = regexp.MustCompile(`\$\{?\w+\}?`)

// Fill puts values into a query as Grafana does: every other variable chooses
// all.
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
