package day

import (
	"flag"
	"math/rand/v2"
	"slices"
	"testing"
	"time"
)

var (
	full   = flag.Bool("day.full", false, "run the whole day")
	update = flag.Bool("update", false, "write the table of docs/diagnosis.md")
)

// seed is that of the random times of attempts.
const seed = 20261123

// all returns the scenarios of the first table.
func all() []scenario { return slices.Concat(innocent, clocks, credentials, hidden, scopes, loads) }

// newPlan plans scenarios repeat times, hours apart.
func newPlan(scenarios []scenario, repeat int) *plan {
	p := &plan{rand: rand.New(rand.NewPCG(seed, 0))} //nolint:gosec // not used for security
	for n := range repeat {
		for _, s := range scenarios {
			p.add(s, epoch.Add(time.Duration(n)*6*hour+5*minute+time.Duration(p.rand.Int64N(int64(3*hour)))))
		}
	}
	return p
}

// TestDay runs the scenarios once among a few programs, or with -day.full all of
// the day among many.
func TestDay(t *testing.T) {
	first := newPlan(all(), 1)
	programs, day := 2, 4*hour
	if *full {
		first = newPlan(all(), 4)
		programs, day = 17, 24*hour
	}
	first.add(fleet(programs, day), epoch)
	s := run(first)
	t.Logf("%d scenarios, %d attempts", len(all()), s.attempts)
	for _, line := range s.missed() {
		t.Log(line)
	}
	for _, line := range s.low() {
		t.Error(line)
	}
	if s.broken > 0 {
		t.Errorf("%d attempts were not classified as planned", s.broken)
	}
	t.Log("\n" + table(s, newScore()))
}
