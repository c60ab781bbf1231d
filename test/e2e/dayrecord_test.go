//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"maps"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// scrape scrapes the taps once they have counted all calls of this minute, and
// writes the result with the minute's timestamp.
func (d *day) scrape(minute int) {
	stamp := d.begin.Add(time.Duration(minute) * time.Minute).Unix()
	// Other programs are scraped, too, one of them under the taps' own job.
	for _, target := range []string{`job="ksyun-tap",instance="shop-1:8080"`, `job="node",instance="node-1:9100"`, `job="node",instance="node-2:9100"`} {
		writeScrape(d.text, "process_cpu_seconds_total 1\nprocess_resident_memory_bytes 1e+09\nprocess_start_time_seconds 1\n", `cluster="c",namespace="shop",`+target, stamp)
	}
	for _, tap := range d.taps {
		target := fmt.Sprintf(`cluster="c",namespace="shop",job="ksyun-tap",instance=%q`, tap.name)
		if tap == d.taps[1] && during(tapDown, minute-1) && minute != tapDown[1] {
			fmt.Fprintf(d.text, "up{%s} 0 %d\n", target, stamp)
			continue
		}
		text, values := tap.scrapeAll(d.t, minute)
		tap.seen[minute] = nil
		if d.kept(minute) {
			tap.seen[minute] = values
		}
		writeScrape(d.text, text, target, stamp)
	}
}

// scrapeAll returns the tap's metrics once they include all calls of a minute,
// which is a moment after the programs have their responses.
func (tap *dayTap) scrapeAll(t *testing.T, minute int) (text string, values map[string]float64) {
	t.Helper()
	for deadline := time.Now().Add(patience); ; {
		_, text = get(t, "http://"+tap.admin+"/metrics")
		values = parseScrape(text)
		var missing string
		for metric, want := range tap.want {
			got := sumSeries(values, metric)
			if metric == "ksyun_tap_observations_dropped_total" { // lines of notices are lost, too
				got = min(got, want)
			}
			if got != want {
				missing = fmt.Sprintf("%s is %v, to be %v", metric, got, want)
			}
		}
		if missing == "" {
			return text, values
		}
		if time.Now().After(deadline) {
			t.Fatalf("%s at %s: %s", tap.name, clock(minute), missing)
		}
	}
}

// kept reports whether what was scraped at that minute is used later: at the
// moments, before each as long as counts and rates go back, and at the first.
func (d *day) kept(minute int) bool {
	return minute == 0 || slices.ContainsFunc(d.moments, func(m int) bool { return minute == m || minute == m-2 || minute == m-5 || minute == m-15 })
}

// parseScrape reads the samples of a scrape, by name and labels.
func parseScrape(text string) map[string]float64 {
	values := map[string]float64{}
	for line := range strings.Lines(text) {
		line = strings.TrimSuffix(line, "\n")
		if at := strings.LastIndexByte(line, ' '); at > 0 && line[0] != '#' {
			if v, err := strconv.ParseFloat(line[at+1:], 64); err == nil {
				values[line[:at]] = v
			}
		}
	}
	return values
}

// sumSeries adds up the series of a metric.
func sumSeries(values map[string]float64, metric string) float64 {
	var sum float64
	for series, v := range values {
		if name, _, _ := strings.Cut(series, "{"); name == metric {
			sum += v
		}
	}
	return sum
}

// load starts a Prometheus with the data of the day and adds the recorded
// series.
func (d *day) load(file, data string) {
	t := d.t
	d.prom = serveBlocks(t, file, data)
	// Some recorded series are computed from others: each pass adds those whose
	// inputs exist. Series that are computed from their own earlier values are
	// added twice.
	recorded, again := map[string]bool{}, map[string]bool{}
	all := slices.DeleteFunc(slices.Concat(records()...), func(r rules.Rule) bool { return r.Record == "" })
	for {
		var ready []ruleToRecord
		for _, r := range all {
			itself := strings.Contains(r.Expr, r.Record)
			if recorded[r.Record] && (again[r.Record] || !itself) {
				continue
			}
			if !slices.ContainsFunc(all, func(other rules.Rule) bool {
				return !recorded[other.Record] && other.Record != r.Record && strings.Contains(r.Expr, other.Record)
			}) {
				ready = append(ready, ruleToRecord{Record: r.Record, Expr: rules.Fill(r.Expr)})
			}
		}
		if len(ready) == 0 {
			break
		}
		d.record(data, ready)
		for _, r := range ready {
			recorded[r.Record], again[r.Record] = true, recorded[r.Record]
		}
	}
	// The series of alerts whose condition is true, without waiting for their
	// "for".
	var firing []ruleToRecord
	for _, r := range rules.Alerts() {
		labels := maps.Clone(r.Labels)
		labels["alertname"], labels["alertstate"] = r.Alert, "firing"
		firing = append(firing, ruleToRecord{"ALERTS", "group without () (" + rules.Fill(r.Expr) + ")", labels})
	}
	d.record(data, firing)
}

type ruleToRecord struct {
	Record string            `yaml:"record"`
	Expr   string            `yaml:"expr"`
	Labels map[string]string `yaml:"labels,omitempty"`
}

// record adds the series of rules to Prometheus, using promtool.
func (d *day) record(data string, ready []ruleToRecord) {
	t := d.t
	t.Helper()
	text := must(yaml.Marshal(map[string]any{"groups": []map[string]any{{"name": "pass", "interval": "1m", "rules": ready}}}))
	path := filepath.Join(t.TempDir(), "rules.yaml")
	testfile.Write(t, path, string(text), 0o600)
	promtool(t, "tsdb", "create-blocks-from", "rules", "--quiet", "--url="+d.prom.url, "--eval-interval=1m",
		"--start="+strconv.FormatInt(d.begin.Unix(), 10), "--end="+strconv.FormatInt(d.at(d.end).Unix(), 10), "--output-dir="+data, path)
	d.prom.process.stop(syscall.SIGTERM)
	d.prom = serveBlocks(t, "", data)
}

// records are the rules of each group.
func records() (all [][]rules.Rule) {
	for _, g := range rules.Groups() {
		all = append(all, g.Rules)
	}
	return all
}

// at is the time of a minute.
func (d *day) at(minute int) time.Time { return d.begin.Add(time.Duration(minute) * time.Minute) }

// count adds up calls of the minutes that end at minute, by labels.
func (d *day) count(minute, window int, by []string, where func(*event) bool) map[string]float64 {
	sums := map[string]float64{}
	for i := range d.events {
		e := &d.events[i]
		if e.minute <= minute-window || e.minute > minute || where != nil && !where(e) {
			continue
		}
		values := make([]string, len(by))
		for j, l := range by {
			values[j] = e.label(l)
		}
		sums[strings.Join(values, "|")] += float64(e.n)
	}
	return sums
}

// raw returns the sum of a metric over the taps at a minute, by labels.
func (d *day) raw(minute int, metric string, by ...string) map[string]float64 {
	sums := map[string]float64{}
	for _, tap := range d.taps {
		for series, v := range tap.seen[minute] {
			name, labels, _ := strings.Cut(series, "{")
			if name != metric {
				continue
			}
			values := make([]string, len(by))
			for i, label := range by {
				if label == "instance" {
					values[i] = tap.name
					continue
				}
				_, rest, ok := strings.Cut(","+labels, ","+label+`="`)
				if !ok {
					d.t.Fatalf("%s has no label %s", series, label)
				}
				values[i], _, _ = strings.Cut(rest, `"`)
			}
			sums[strings.Join(values, "|")] += v
		}
	}
	return sums
}

// rawChange returns by how much such a sum changed over a number of minutes.
func (d *day) rawChange(minute, window int, metric string, by ...string) map[string]float64 {
	changes, before := d.raw(minute, metric, by...), d.raw(minute-window, metric, by...)
	for k := range changes {
		changes[k] -= before[k]
	}
	return changes
}

// jsonText is v, for a message.
func jsonText(v any) string {
	text, _ := json.Marshal(v) // of maps of numbers
	return string(text)
}
