package day

import (
	"flag"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

var (
	full   = flag.Bool("day.full", false, "run the whole day")
	update = flag.Bool("update", false, "with -day.full, write the table of docs/diagnosis.md")
)

// seed is that of the random times of attempts.
const seed = 20261123

// all returns the scenarios of the first table.
func all() []scenario { return slices.Concat(innocent, clocks, credentials, hidden, scopes, loads) }

// newPlan plans scenarios repeat times, six hours apart.
func newPlan(scenarios []scenario, repeat int) *plan {
	p := &plan{rand: rand.New(rand.NewPCG(seed, 0))}
	for n := range repeat {
		for _, s := range scenarios {
			p.add(s, epoch.Add(time.Duration(n)*6*hour+5*minute+time.Duration(p.rand.Int64N(int64(3*hour)))))
		}
	}
	return p
}

// measure runs scenarios among programs that poll for a time, and reports what is
// below the goal.
func measure(t *testing.T, scenarios []scenario, repeat, programs int, day time.Duration) *score {
	t.Helper()
	p := newPlan(scenarios, repeat)
	p.add(fleet(programs, day), epoch)
	s := run(p)
	s.scenarios = len(scenarios)
	t.Logf("%d scenarios, %d attempts", s.scenarios, s.attempts)
	for _, line := range s.missed() {
		t.Log(line)
	}
	for _, line := range s.low() {
		t.Error(line)
	}
	assert.Zero(t, s.broken, "attempts were not classified as planned")
	return s
}

// TestDay runs the scenarios once among a few programs. With -day.full it also runs all of
// the day among many, as make diagnose-day does.
func TestDay(t *testing.T) {
	document(t, "scenarios", checkTwins(t, measure(t, all(), 1, 2, 3*hour)))
	if !*full {
		measure(t, heldOut, 1, 2, 3*hour)
		return
	}
	first := measure(t, all(), 4, 17, 24*hour)
	second := measure(t, heldOut, 1, 17, 3*hour)
	assert.GreaterOrEqual(t, first.attempts, 100_000)
	text := fmt.Sprintf("%d attempts of %d scenarios; held-out: %d attempts of %d scenarios.\n\n%s", first.attempts, first.scenarios, second.attempts, second.scenarios, table(first, second))
	t.Log("\n" + text)
	if *update {
		document(t, "figures", text)
	}
}

const (
	documentation = "../../docs/diagnosis.md"
	begin         = "<!-- Begin of what make diagnose-day writes: %s. -->\n\n"
	end           = "\n<!-- End. -->"
)

// document writes the text to the part of the documentation with that name. Without
// -update, it checks that it is there.
func document(t *testing.T, part, text string) {
	t.Helper()
	begin := fmt.Sprintf(begin, part)
	b := testfile.Read(t, documentation)
	head, rest, ok := strings.Cut(string(b), begin)
	old, tail, found := strings.Cut(rest, end)
	switch {
	case !ok || !found:
		t.Fatalf("docs/diagnosis.md has no place for the %s", part)
	case *update:
		testfile.Write(t, documentation, head+begin+text+end+tail, 0o644)
	case old != text:
		t.Errorf("the %s of docs/diagnosis.md are not up to date: run make diagnose-day UPDATE=1", part)
	}
}
