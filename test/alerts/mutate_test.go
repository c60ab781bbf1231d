package alerts

import (
	"bytes"
	"flag"
	"fmt"
	"regexp"
	"slices"
	"sync"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
)

var mutate = flag.String("mutate", "", "test all mutants of the rules whose names match, instead of a sample")

// readRules returns the rules as they are installed.
func readRules(t *testing.T) []rulefmt.RuleGroup {
	t.Helper()
	text, err := rules.YAML()
	require.NoError(t, err)
	file, errs := rulefmt.Parse(text, false, model.UTF8Validation, promQL, promslog.NewNopLogger())
	require.Empty(t, errs)
	return file.Groups
}

// trial is a mutant in the place of a rule, and what became of it.
type trial struct {
	mutant
	group, rule int
	killed      bool
	equivalent  int // the row that matches it, from 1 on
}

// TestMutants changes the rules, one thing at a time, and checks that a unit test
// fails for each change: for a sample of the mutants, or with -mutate for all.
func TestMutants(t *testing.T) {
	t.Parallel()
	groups := readRules(t)
	tests := readUnitTests(t, groups)
	chosen := regexp.MustCompile(*mutate)
	var all []*trial
	for i, g := range groups {
		for j, r := range g.Rules {
			mutants, err := mutantsOf(r)
			require.NoError(t, err)
			for _, m := range mutants {
				if chosen.MatchString(id(r)) {
					all = append(all, &trial{mutant: m, group: i, rule: j})
				}
			}
		}
	}
	if *mutate == "" {
		all = sampleOf(all)
	}
	queue := make(chan *trial)
	var workers sync.WaitGroup
	for range 2 {
		workers.Go(func() {
			for m := range queue {
				m.try(t, groups, tests)
			}
		})
	}
	for i, m := range all {
		queue <- m
		if testing.Verbose() && i%100 == 99 {
			fmt.Printf("%d of %d mutants\n", i+1, len(all))
		}
	}
	close(queue)
	workers.Wait()
	table := summary(all)
	t.Logf("%d mutants\n%s", len(all), table)
	if *mutate != "." {
		return
	}
	for i, e := range equivalents {
		if !slices.ContainsFunc(all, func(m *trial) bool { return m.equivalent == i+1 }) {
			t.Errorf("no mutant is equivalent because %s", e.why)
		}
	}
}

// sampleOf returns some of the mutants, of all kinds.
func sampleOf(all []*trial) []*trial {
	const every = 101
	var some []*trial
	for i := 0; i < len(all); i += every {
		if all[i].equivalentTo() == 0 {
			some = append(some, all[i])
		}
	}
	return some
}

// most is the work of the longest tests that are run for each mutant: those of
// days, minute by minute, are not.
const most = 300_000

// try runs the tests that need the mutant's rule until one fails.
func (m *trial) try(t *testing.T, groups []rulefmt.RuleGroup, tests []*unitTest) {
	mutated := slices.Clone(groups)
	mutated[m.group].Rules = slices.Clone(groups[m.group].Rules)
	mutated[m.group].Rules[m.rule] = m.mutant.rule
	m.equivalent = m.equivalentTo()
	for _, u := range tests {
		if !u.needs[id(m.mutant.rule)] || u.work() > most || u.run(t, mutated) == nil {
			continue
		}
		assert.NoError(t, u.passes(t, groups), "%s: %s fails with the rules as they are", u.file, u.Name)
		m.killed = true
		break
	}
	switch {
	case m.killed && m.equivalent > 0:
		t.Errorf("not equivalent: %v", m)
	case !m.killed && m.equivalent == 0:
		t.Errorf("no test fails with %v", m)
	}
}

// equivalentTo returns the number of the row of equivalents that matches the
// mutant, or 0.
func (m mutant) equivalentTo() int {
	return 1 + slices.IndexFunc(equivalents, func(e equivalent) bool {
		matches := func(expr, text string) bool { return regexp.MustCompile(expr).MatchString(text) }
		return matches(e.rule, id(m.rule)) && matches(e.kind, m.kind) && matches(e.path, m.path) && matches(e.to, m.to)
	})
}

// summary is a table of the mutants by kind.
func summary(all []*trial) []byte {
	var kinds []string
	for _, k := range exprKinds {
		kinds = append(kinds, k.name)
	}
	for _, k := range ruleKinds {
		kinds = append(kinds, k.name)
	}
	var b bytes.Buffer
	b.WriteString("| change | mutants | killed | equivalent |\n|---|---|---|---|\n")
	row := func(name string, of func(m *trial) bool) {
		var mutants, killed, equivalent int
		for _, m := range all {
			if !of(m) {
				continue
			}
			mutants++
			if m.killed {
				killed++
			} else if m.equivalent > 0 {
				equivalent++
			}
		}
		fmt.Fprintf(&b, "| %s | %d | %d | %d |\n", name, mutants, killed, equivalent)
	}
	for _, k := range kinds {
		row(k, func(m *trial) bool { return m.kind == k })
	}
	row("all", func(*trial) bool { return true })
	return b.Bytes()
}
