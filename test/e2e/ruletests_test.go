//go:build e2e

package e2e

import (
	"bytes"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
	"github.com/ksyun-tap/ksyun-tap/test/promcheck"
)

type ruleGroup struct {
	Name  string
	Rules []struct {
		Record, Alert string `yaml:",omitempty"`
		Expr          string
		Others        map[string]any `yaml:",inline"`
	}
}

// ruleTests is a file of promtool's tests of rules.
type ruleTests struct {
	RuleFiles          []string    `yaml:"rule_files"`
	GroupEvalOrder     []string    `yaml:"group_eval_order"`
	EvaluationInterval string      `yaml:"evaluation_interval"`
	Tests              []yaml.Node `yaml:"tests"`
}

// TestRulesByPromtool runs the tests of every alert: a series that fires it, one
// that nearly does, one that must not, and its end. Each test has only the rules that
// its expressions read: promtool evaluates all that there are at every step, which
// takes minutes.
func TestRulesByPromtool(t *testing.T) {
	t.Parallel()
	const rulesFile = "../rules.yaml"
	promtool(t, "check", "rules", filepath.Join(deploy, "prometheus/tests", rulesFile))
	var all struct{ Groups []ruleGroup }
	require.NoError(t, yaml.Unmarshal(testfile.Read(t, deploy, "prometheus/tests", rulesFile), &all))
	exprs := map[string][]string{}
	for _, g := range all.Groups {
		for _, r := range g.Rules {
			exprs[r.Record+r.Alert] = append(exprs[r.Record+r.Alert], r.Expr)
		}
	}

	names, err := filepath.Glob(deploy + "/prometheus/tests/*.yaml")
	if err != nil || len(names) < 24 {
		t.Fatalf("%d files: %v", len(names), err)
	}
	dir := t.TempDir()
	args := []string{"test", "rules"}
	for _, name := range names {
		var file ruleTests
		dec := yaml.NewDecoder(bytes.NewReader(must(os.ReadFile(name))))
		dec.KnownFields(true)
		if err := dec.Decode(&file); err != nil || !slices.Equal(file.RuleFiles, []string{rulesFile}) {
			t.Errorf("%s: rules of %q, %v", name, file.RuleFiles, err)
		}
		for i, one := range file.Tests {
			var test struct {
				PromqlExprTest []struct{ Expr string } `yaml:"promql_expr_test"`
			}
			if err := one.Decode(&test); err != nil || len(test.PromqlExprTest) == 0 {
				t.Fatalf("%s: test %d has no expression: %v", name, i, err)
			}
			var asked []string
			for _, e := range test.PromqlExprTest {
				asked = append(asked, e.Expr)
			}
			needed, err := promcheck.Needed(exprs, asked...)
			require.NoError(t, err, name)
			groups := slices.Clone(all.Groups)
			for j, g := range groups {
				groups[j].Rules = slices.Clone(g.Rules)[:0]
				for _, r := range g.Rules {
					if needed[r.Record+r.Alert] {
						groups[j].Rules = append(groups[j].Rules, r)
					}
				}
			}
			base := fmt.Sprintf("%s-%d", strings.TrimSuffix(filepath.Base(name), ".yaml"), i)
			file.RuleFiles, file.Tests = []string{base + ".rules"}, []yaml.Node{one}
			testfile.Write(t, filepath.Join(dir, base+".rules"), must(yaml.Marshal(map[string]any{"groups": groups})), 0o600)
			testfile.Write(t, filepath.Join(dir, base+".yaml"), must(yaml.Marshal(file)), 0o600)
			args = append(args, filepath.Join(dir, base+".yaml"))
		}
	}
	promtool(t, args...)
}
