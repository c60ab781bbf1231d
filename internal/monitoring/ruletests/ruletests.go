// Package ruletests writes unit tests of the alerts and recording rules, for
// promtool. They cover what several rules have in common. Tests of a single alert
// are written by hand, in the same directory.
//
//	known.go         which taps and new series count
//	events.go        which events count, and for how long
//	states.go        when states begin, last and end
//	spikes.go        what is far above the days before
//	parts.go         shares of an action's or a region's calls
//	availability.go  long windows and burn rates
//	gauges.go        alerts on values that are not counted
//
// The files are named in Files, and test/alerts checks by mutants of the rules
// that nothing is left untested.
package ruletests

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"slices"
	"strconv"
	"strings"
)

// file is a file of unit tests. Series have a sample every so many minutes. Rules
// are evaluated as often, or once more at a minute, if that is given.
type file struct {
	about     string
	every     int
	evaluated int
	tests     []test
}

type test struct {
	name   string
	series []series
	checks []check
}

// series is an input series, with its value by minute: NaN is no sample, and
// stale the end of the series.
type series struct {
	metric string
	labels labels
	value  func(minute int) float64
}

// check is what an expression is to return at a minute.
type check struct {
	expr    string
	minute  int
	samples []sample
}

type sample struct {
	metric string // "" if an operation has dropped it
	labels labels
	value  float64
}

type labels map[string]string

// with returns a copy with other values: name, value, name, value...
func (l labels) with(pairs ...string) labels {
	changed := maps.Clone(l)
	for pair := range slices.Chunk(pairs, 2) {
		changed[pair[0]] = pair[1]
	}
	return changed
}

// only returns the labels with these names.
func (l labels) only(names ...string) labels {
	some := labels{}
	for _, n := range names {
		if v, ok := l[n]; ok {
			some[n] = v
		}
	}
	return some
}

func (l labels) String() string {
	var all []string
	for _, name := range slices.Sorted(maps.Keys(l)) {
		all = append(all, fmt.Sprintf("%s=%q", name, l[name]))
	}
	return "{" + strings.Join(all, ",") + "}"
}

// tap returns the labels of a tap of a job.
func tap(job string) labels {
	return labels{"cluster": "c", "namespace": "n", "job": job, "instance": "i"}
}

// service returns the labels of a record of a job's calls.
func service(job string) labels {
	return tap(job).only("cluster", "namespace", "job").with("service", "monitor")
}

// alert returns the labels of an alert that fires, with those of its result.
func alert(name string, of, severity labels) labels {
	all := of.with("alertname", name, "alertstate", "firing")
	maps.Copy(all, severity)
	return all
}

// firing returns the expression for an alert.
func firing(name string) string {
	return fmt.Sprintf(`ALERTS{alertname=%q,alertstate="firing"}`, name)
}

// twins returns labels that differ in one of those named.
func (l labels) twins(names ...string) []labels {
	var all []labels
	for _, n := range names {
		all = append(all, l.with(n, "not "+l[n]))
	}
	return all
}

var (
	none = math.NaN()
	// stale is the value of the marker of a series' end.
	stale = math.Inf(-1)
)

// steps is a value that changes at minutes: from 0 on, minute, value, minute...
func steps(first float64, changes ...float64) func(int) float64 {
	return func(minute int) float64 {
		v := first
		for i := 0; i < len(changes) && changes[i] <= float64(minute); i += 2 {
			v = changes[i+1]
		}
		return v
	}
}

// Files returns the files by name.
func Files() map[string][]byte {
	all := map[string][]byte{}
	for name, f := range map[string]file{
		"known.yaml": known(), "events.yaml": events(), "states.yaml": onStates(), "held.yaml": heldStates(),
		"spikes.yaml": spiking(), "parts.yaml": failingParts(), "availability.yaml": availability(), "ratios.yaml": ratios(), "burnrates.yaml": burnRates(),
		"taps.yaml": taps(), "taps-5h.yaml": rarely(300, true), "taps-7h.yaml": rarely(420, false), "gauges.yaml": gauges(),
	} {
		all[name] = f.yaml()
	}
	return all
}

func (f file) yaml() []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# Written by make generate from internal/monitoring/ruletests. Do not edit.\n# %s\n", f.about)
	fmt.Fprintf(&b, "rule_files: [../rules.yaml]\ngroup_eval_order: [ksyun-tap.recording, ksyun-tap.slo, ksyun-tap.api, ksyun-tap.tap]\nevaluation_interval: %dm\ntests:\n", max(f.every, f.evaluated))
	for _, t := range f.tests {
		last := 0
		for _, c := range t.checks {
			last = max(last, c.minute)
		}
		fmt.Fprintf(&b, "  - name: %s\n    interval: %dm\n    input_series:\n", quote(t.name), f.every)
		slices.SortFunc(t.series, func(a, b series) int {
			return strings.Compare(a.labels["job"]+a.metric+a.labels.String(), b.labels["job"]+b.metric+b.labels.String())
		})
		for _, s := range t.series {
			fmt.Fprintf(&b, "      - {series: %s, values: '%s'}\n", quote(s.metric+s.labels.String()), values(s.value, last, f.every))
		}
		b.WriteString("    promql_expr_test:\n")
		for _, c := range t.checks {
			fmt.Fprintf(&b, "      - expr: %s\n        eval_time: %dm\n", quote(c.expr), c.minute)
			if len(c.samples) == 0 {
				b.WriteString("        exp_samples: []\n")
				continue
			}
			b.WriteString("        exp_samples:\n")
			for _, s := range c.samples {
				fmt.Fprintf(&b, "          - {labels: %s, value: %s}\n", quote(s.metric+s.labels.String()), number(s.value))
			}
		}
	}
	return b.Bytes()
}

func quote(s string) string { return "'" + strings.ReplaceAll(s, "'", "''") + "'" }

func number(v float64) string { return strconv.FormatFloat(v, 'f', -1, 64) }

// values writes the values until the last minute in promtool's notation.
func values(of func(int) float64, last, every int) string {
	var out []string
	for m := 0; m <= last; {
		v, n := of(m), 0
		for ; m <= last && (of(m) == v || math.IsNaN(of(m)) && math.IsNaN(v)); m += every {
			n++
		}
		switch {
		case math.IsNaN(v):
			out = append(out, fmt.Sprintf("_x%d", n))
		case v == stale:
			out = append(out, slices.Repeat([]string{"stale"}, n)...)
		case n == 1:
			out = append(out, number(v))
		default:
			out = append(out, fmt.Sprintf("%sx%d", number(v), n-1))
		}
	}
	return strings.Join(out, " ")
}

// story builds a test: what happens at taps, and the samples that are expected.
type story struct {
	test
	expected []expectation
}

// expectation is a sample in an interval of minutes, inclusively.
type expectation struct {
	labels   labels
	value    float64
	from, to int
}

func (s *story) add(all ...[]series) {
	for _, a := range all {
		s.series = append(s.series, a...)
	}
}

// expect expects the record of a job to have a value from one minute to another.
func (s *story) expect(job string, value float64, from, to int) {
	s.expected = append(s.expected, expectation{service(job), value, from, to})
}

// at checks an expression at minutes. Its result has the name metric.
func (s *story) at(expr, metric string, minutes ...int) test {
	for _, m := range minutes {
		c := check{expr: expr, minute: m}
		for _, e := range s.expected {
			if m >= e.from && m <= e.to {
				c.samples = append(c.samples, sample{metric, e.labels, e.value})
			}
		}
		slices.SortFunc(c.samples, func(a, b sample) int { return strings.Compare(a.labels.String(), b.labels.String()) })
		s.checks = append(s.checks, c)
	}
	return s.test
}
