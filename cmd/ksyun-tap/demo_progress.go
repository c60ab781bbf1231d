package main

import (
	"context"
	"fmt"
	"io"
	"strings"
	"sync"
	"time"

	"github.com/jedib0t/go-pretty/v6/text"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/output"
)

const (
	demoReport  = 5 * time.Second // how often the progress is printed
	demoRefresh = time.Second     // how often it is updated on a terminal
)

// demoProgress prints the phase of the demo and the counts of calls. On a terminal,
// that is one line that is updated, so that the text above stays on the screen.
type demoProgress struct {
	out      io.Writer
	tap      *tap
	begin    time.Time
	terminal bool

	mu    sync.Mutex
	phase cloudmonitor.Phase
}

func newDemoProgress(out io.Writer, t *tap) *demoProgress {
	return &demoProgress{out: out, tap: t, begin: time.Now(), terminal: output.IsTerminal(out)}
}

// enter begins a phase.
func (p *demoProgress) enter(phase cloudmonitor.Phase) {
	p.mu.Lock()
	p.phase = phase
	p.mu.Unlock()
	p.print(time.Now())
}

// run prints the progress until ctx is done.
func (p *demoProgress) run(ctx context.Context) {
	interval := demoReport
	if p.terminal {
		interval = demoRefresh
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

func (p *demoProgress) print(now time.Time) {
	p.mu.Lock()
	defer p.mu.Unlock()
	line := p.line(now)
	if !p.terminal {
		fmt.Fprintln(p.out, line)
		return
	}
	if width := output.Width(p.out); width > 1 { // a longer line would wrap and could not be replaced
		line = text.Trim(line, width-1)
	}
	fmt.Fprint(p.out, "\r\x1b[K"+line)
}

// line returns the phase and what to look at, and the counts.
func (p *demoProgress) line(now time.Time) string {
	calls, failed, codes, categories := counts(p.tap)
	seconds := fmt.Sprintf("%4.0fs  ", now.Sub(p.begin).Seconds())
	if p.phase.Name != "" {
		return seconds + fmt.Sprintf("%s, %d failed  %s (look at: %s)", output.Plural(calls, "call"), failed, p.phase.Name, p.phase.Look)
	}
	return seconds + fmt.Sprintf("%s, %d failed, %s, categories: %s", output.Plural(calls, "call"), failed, output.Plural(codes, "code"), strings.Join(categories, " "))
}
