//go:build linux

package main

import (
	"fmt"
	"io"
	"math"
	"slices"
	"strings"
	"time"
)

// results are the measurements of a run.
type results struct {
	loads  []load // in their order
	byLoad map[string]measured
	memory map[string]map[string]float64 // name of the measurement, contender: bytes
	notes  []string
}

// report writes Markdown tables: the goals, and all figures.
func (r *results) report(w io.Writer) {
	if others := r.others(); others > 0.1 {
		fmt.Fprintf(w, "**Not reliable: other programs used up to %.0f %% of a core.**\n\n", 100*others)
	}
	r.reportGoals(w)
	r.reportLoads(w)
	r.reportMemory(w)
	for _, note := range r.notes {
		fmt.Fprintf(w, "\n%s\n", note)
	}
}

// others returns the largest median, over loads and contenders, of the share of a core
// that everything else on the machine used.
func (r *results) others() float64 {
	most := 0.0
	for _, m := range r.byLoad {
		for _, samples := range m {
			most = max(most, medianOf(samples, func(s sample) float64 { return s.others }))
		}
	}
	return most
}

// reportGoals writes the goals whose rows were all measured.
func (r *results) reportGoals(w io.Writer) {
	fmt.Fprintf(w, "| ratio to nginx: median ± standard error (least to largest) of the rounds | goal | ksyun-tap | verdict | HAProxy | ReverseProxy |\n|---|---|---|---|---|---|\n")
	for _, row := range goals {
		var limits, verdicts []string
		cells := map[string][]string{}
		for _, g := range row.parts {
			value, ok := r.value(tap, g)
			if !ok {
				break
			}
			sign := "≤ "
			if g.metric.higher {
				sign = "≥ "
			}
			limits, verdicts = append(limits, sign+g.format(g.limit)), append(verdicts, g.verdict(value))
			for _, name := range []string{tap, haproxy, reverseProxy} {
				cells[name] = append(cells[name], r.cell(name, g))
			}
		}
		if len(limits) < len(row.parts) {
			continue
		}
		if len(slices.Compact(slices.Clone(verdicts))) == 1 {
			verdicts = verdicts[:1]
		}
		slash := func(parts []string) string { return strings.Join(parts, " / ") }
		fmt.Fprintf(w, "| %s | %s | **%s** | %s | %s | %s |\n", row.title, slash(limits), slash(cells[tap]), slash(verdicts), slash(cells[haproxy]), slash(cells[reverseProxy]))
	}
}

// value returns a contender's figure for a goal. Memory has no error.
func (r *results) value(name string, g goal) (ratio, bool) {
	if g.metric.of == nil {
		bytes, ok := r.memory[g.load][name]
		return ratio{median: bytes}, ok
	}
	return r.byLoad[g.load].ratios(name, g.metric)
}

// verdict says whether a figure reaches the goal, unless they are less than two standard
// errors apart.
func (g goal) verdict(v ratio) string {
	room := v.median - g.limit
	if !g.metric.higher {
		room = -room
	}
	switch {
	case math.Abs(room) < 2*v.err:
		return "undecided"
	case room >= 0:
		return "met"
	}
	return "missed"
}

func (r *results) cell(name string, g goal) string {
	if g.metric.of != nil {
		return ratioCell(r.byLoad[g.load], name, g.metric)
	}
	if bytes, ok := r.memory[g.load][name]; ok {
		return g.format(bytes)
	}
	return "–"
}

func (g goal) format(v float64) string {
	switch {
	case g.metric.of != nil:
		return fmt.Sprintf("%.4g", v)
	case g.load == memoryPairs, g.load == memoryTLSPairs:
		return fmt.Sprintf("%.1f KiB", v/(1<<10))
	default:
		return fmt.Sprintf("%.1f MiB", v/(1<<20))
	}
}

func ratioCell(m measured, name string, by metric) string {
	x, ok := m.ratios(name, by)
	if !ok {
		return "–"
	}
	return fmt.Sprintf("%.2f ± %.3f (%.2f to %.2f)", x.median, x.err, x.low, x.high)
}

// reportLoads writes the medians of all samples, and the ratios.
func (r *results) reportLoads(w io.Writer) {
	if len(r.loads) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| load | proxy | calls/s | by nginx's | CPU per call | by nginx's | p50 | p99 | memory | proxy's core | load's core | others |\n|%s\n", strings.Repeat("---|", 12))
	for _, l := range r.loads {
		m := r.byLoad[l.String()]
		for _, name := range contenders {
			samples := m[name]
			if len(samples) == 0 {
				continue
			}
			duration := func(of func(sample) time.Duration) string {
				return fmt.Sprintf("%.1f µs", float64(medianOf(samples, of))/1e3)
			}
			share := func(of func(sample) float64) string { return fmt.Sprintf("%.0f %%", 100*medianOf(samples, of)) }
			cells := []string{
				l.String(), name, fmt.Sprintf("%.0f", medianOf(samples, func(s sample) float64 { return s.perSecond })),
				ratioCell(m, name, throughput), "–", "–",
				duration(func(s sample) time.Duration { return s.p50 }), duration(func(s sample) time.Duration { return s.p99 }),
				"–", "–", share(func(s sample) float64 { return s.load }), share(func(s sample) float64 { return s.others }),
			}
			if name != direct {
				cells[4], cells[5] = duration(func(s sample) time.Duration { return s.cpu }), ratioCell(m, name, cpuTime)
				cells[8] = fmt.Sprintf("%.1f MiB", medianOf(samples, func(s sample) float64 { return s.rss })/(1<<20))
				cells[9] = share(func(s sample) float64 { return s.proxy })
			}
			fmt.Fprintf(w, "| %s |\n", strings.Join(cells, " | "))
		}
	}
}

// reportMemory writes the memory figures.
func (r *results) reportMemory(w io.Writer) {
	if len(r.memory) == 0 {
		return
	}
	fmt.Fprintf(w, "\n| resident memory | idle | after many calls | per idle pair | per idle pair, TLS on both sides |\n|---|---|---|---|---|\n")
	for _, name := range contenders {
		var cells []string
		for _, of := range memories {
			cells = append(cells, r.cell(name, goal{load: of}))
		}
		if slices.ContainsFunc(cells, func(c string) bool { return c != "–" }) {
			fmt.Fprintf(w, "| %s | %s |\n", name, strings.Join(cells, " | "))
		}
	}
}
