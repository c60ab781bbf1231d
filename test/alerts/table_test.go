package alerts

import (
	"bytes"
	"cmp"
	"flag"
	"fmt"
	"math"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

var (
	full   = flag.Bool("full", false, "replay every scenario, and compare with the table in internal/monitoring/rules")
	update = flag.Bool("update", false, "with -full: write the table")
)

const tableFile = "../../internal/monitoring/rules/scenarios.md"

// TestScenarios replays the scenarios: an alert fires in time, holds while its
// cause stands, and ends; and nothing fires without a cause.
func TestScenarios(t *testing.T) {
	t.Parallel()
	var table bytes.Buffer
	table.WriteString("| what happens | calls | fires | after | ends after | besides |\n|---|---|---|---|---|---|\n")
	rows := map[bool][]string{}
	t.Run("replay", func(t *testing.T) {
		for _, l := range []timeline{hours, days} {
			t.Run(fmt.Sprintf("%.0f hours", l.end/hour), func(t *testing.T) {
				t.Parallel()
				rows[l == days] = replay(t, l)
			})
		}
	})
	all := append(rows[false], rows[true]...)
	for _, row := range all {
		table.WriteString(row)
	}
	t.Logf("%d scenarios\n%s", len(all), table.String())
	if !*full {
		return
	}
	assert.GreaterOrEqual(t, len(all), 40, "scenarios")
	compareTable(t, tableFile, table.Bytes())
}

// compareTable compares a table with the file that docs/alerts.md has it from,
// which it writes with -update.
func compareTable(t *testing.T, file string, table []byte) {
	t.Helper()
	if *update {
		testfile.Write(t, file, table, 0o644)
	}
	if want, err := os.ReadFile(file); err != nil || !bytes.Equal(want, table) {
		t.Errorf("%s is not what the replay gives (%v): run make alerts-table", file, err)
	}
}

// replay returns the rows of the scenarios of a timeline.
func replay(t *testing.T, l timeline) (rows []string) {
	t.Helper()
	all := slices.DeleteFunc(scenarios(l), func(s scenario) bool { return s.days != (l == days) || !s.quick && !*full })
	if len(all) == 0 {
		return nil
	}
	var but []string
	if l == hours { // in which a month's budget is none
		but = []string{"ksyun-tap.recording", "ksyun-tap.slo"}
	}
	w := newWorld(t, false, but...)
	job := func(row, variant int) string { return fmt.Sprintf("%d.%d", row, variant) }
	for i := range all {
		s := &all[i]
		if !*full {
			s.variants = s.variants[:min(len(s.variants), 2)]
		}
		for v, programs := range s.variants {
			w.add(job(i, v), float64((i*7+v*13)%60), programs...)
		}
	}
	w.run(0, int(l.end/60))
	for i, s := range all {
		row := result{scenario: s, timeline: l}
		for v := range s.variants {
			if s.rare && math.IsInf(firstFailure(s.variants[v], span{hour, l.end}), 1) {
				t.Errorf("%s, %s: no call fails", s.what, s.rate)
			}
			row.judge(t, w, job(i, v), firstBad(s.variants[v], l))
		}
		rows = append(rows, row.String())
	}
	return rows
}

// result is what became of a scenario, the slowest of its variants.
type result struct {
	scenario
	timeline
	after, ends float64 // minutes
	besides     []string
}

// firstFailure is when the first call fails within a span; infinity is never.
func firstFailure(programs []program, s span) float64 {
	first := math.Inf(1)
	for _, p := range programs {
		p.calls(s, func(second float64, k *kind) {
			if k != well && k != wellThere {
				first = min(first, second)
			}
		})
	}
	return first
}

// firstBad is when the first call fails while the cause stands, or the cause's
// start where none does.
func firstBad(programs []program, l timeline) float64 {
	if first := firstFailure(programs, l.stands()); !math.IsInf(first, 1) {
		return first
	}
	return l.onset
}

// judge looks at one variant, whose first call failed at that second.
func (r *result) judge(t *testing.T, w *world, job string, failed float64) {
	t.Helper()
	name := fmt.Sprintf("%s, %s (%s)", r.what, r.rate, job)
	settled := max(r.settled, hour)
	for _, alert := range w.alertsOf(job, span{settled, r.onset}) {
		if r.want != "" || !slices.Contains(r.may, alert) {
			t.Errorf("%s: %s fires without a cause: %v", name, alert, w.fired[job][alert])
		}
	}
	for _, alert := range w.alertsOf(job, span{settled, r.end}) {
		if alert == r.want {
			continue
		}
		if r.want == "" && !slices.Contains(r.may, alert) {
			t.Errorf("%s: %s fires without a cause: %v", name, alert, w.fired[job][alert])
		}
		if !slices.Contains(r.besides, alert) {
			r.besides = append(r.besides, alert)
		}
	}
	if r.want == "" {
		return
	}
	times := w.fired[job][r.want]
	if len(times) == 0 {
		t.Errorf("%s: %s never fires; others: %v", name, r.want, w.fired[job])
		return
	}
	after, ends := (times[0].from-failed)/60, (times[0].to-r.over)/60
	within := cmp.Or(r.within, 10)
	if after > within {
		t.Errorf("%s: %s fires after %.0f minutes, want within %.0f", name, r.want, after, within)
	}
	if ends < 0 || len(times) > 1 {
		t.Errorf("%s: %s does not hold: %s", name, r.want, r.spell(times))
	}
	if times[0].to >= r.end && !r.endsLate {
		t.Errorf("%s: %s does not end", name, r.want)
	}
	r.after, r.ends = max(r.after, after), max(r.ends, ends)
}

// spell writes times as minutes since the cause.
func (l timeline) spell(times []span) string {
	var b strings.Builder
	for i, s := range times {
		if i == 6 {
			fmt.Fprintf(&b, "and %d more", len(times)-i)
			break
		}
		fmt.Fprintf(&b, "%.0f to %.0f, ", (s.from-l.onset)/60, (s.to-l.onset)/60)
	}
	return strings.TrimSuffix(b.String(), ", ")
}

func (r *result) String() string {
	slices.Sort(r.besides)
	besides := strings.Join(r.besides, ", ")
	if r.want == "" {
		return fmt.Sprintf("| %s | %s | nothing | | | %s |\n", r.what, r.rate, besides)
	}
	ends := fmt.Sprintf("%.0f min", r.ends)
	if r.endsLate {
		ends = "the next call"
	}
	return fmt.Sprintf("| %s | %s | %s | %.0f min | %s | %s |\n", r.what, r.rate, r.want, r.after, ends, besides)
}
