package stage

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
)

const (
	report  = 5 * time.Second // how often the progress is printed
	refresh = time.Second     // how often it is updated on a terminal
)

// Progress prints the phase of the demo and the counts of calls. On a terminal, that is
// one line that is updated, so that the text above stays on the screen.
type Progress struct {
	out     io.Writer
	metrics *metrics.Metrics
	begin   time.Time

	mu    sync.Mutex
	phase cloudmonitor.Phase
}

// NewProgress returns the progress of what metrics count.
func NewProgress(out io.Writer, metrics *metrics.Metrics) *Progress {
	return &Progress{out: out, metrics: metrics, begin: time.Now()}
}

// Enter begins a phase.
func (p *Progress) Enter(phase cloudmonitor.Phase) {
	p.mu.Lock()
	p.phase = phase
	p.mu.Unlock()
	p.print(time.Now())
}

// Run prints the progress until ctx is done.
func (p *Progress) Run(ctx context.Context) {
	interval := report
	if output.IsTerminal(p.out) {
		interval = refresh
		defer fmt.Fprintln(p.out)
	}
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case now := <-tick.C:
			p.print(now)
		}
	}
}

func (p *Progress) print(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := p.line(now)
	if !output.IsTerminal(p.out) {
		fmt.Fprintln(p.out, line)
		return
	}
	if width := output.Width(p.out); width > 1 { // a longer line would wrap and could not be replaced
		line = text.Trim(line, width-1)
	}
	fmt.Fprint(p.out, "\r\x1b[K"+line)
}

// line returns the phase and what to look at, and the counts.
func (p *Progress) line(now time.Time) string {
	line := fmt.Sprintf("%4.0fs  ", now.Sub(p.begin).Seconds())
	c := p.count()
	if p.phase.Name != "" {
		return line + fmt.Sprintf("%s, %d failed  %s (look at: %s)", output.Plural(c.calls, "call"), c.failed, p.phase.Name, p.phase.Look)
	}
	return line + fmt.Sprintf("%s, %d failed, %s, categories: %s", output.Plural(c.calls, "call"), c.failed, output.Plural(c.codes, "code"), strings.Join(c.categories, " "))
}

// Total returns the counts.
func (p *Progress) Total() string {
	c := p.count()
	return fmt.Sprintf("%s, %d failed with %s; categories: %s",
		output.Plural(c.calls, "call"), c.failed, output.Plural(c.codes, "code"), output.OrDash(strings.Join(c.categories, ", ")))
}

// counts are the numbers of calls, of those that failed, and of their different codes,
// and the sorted categories.
type counts struct {
	calls, failed, codes int
	categories           []string
}

func (p *Progress) count() counts {
	calls, failures := p.metrics.Counted()
	c := counts{calls: calls}
	codes := map[string]bool{}
	for _, f := range failures {
		c.failed += f.Count
		codes[f.Code] = true
		c.categories = append(c.categories, string(f.Category))
	}
	c.codes = len(codes)
	slices.Sort(c.categories)
	c.categories = slices.Compact(c.categories)
	return c
}
