package alerts

import (
	"bytes"
	"cmp"
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/common/promslog"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	promrules "github.com/prometheus/prometheus/rules"
	"github.com/prometheus/prometheus/tsdb"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/test/promcheck"
)

// unitTests is a file of promtool's unit tests, as far as ours use it.
type unitTests struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	GroupEvalOrder     []string       `yaml:"group_eval_order"`
	Tests              []*unitTest    `yaml:"tests"`
}

type unitTest struct {
	Name        string         `yaml:"name"`
	Interval    model.Duration `yaml:"interval"`
	InputSeries []struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	} `yaml:"input_series"`
	PromqlExprTest []exprTest `yaml:"promql_expr_test"`

	file  string
	every time.Duration   // between evaluations
	brief bool            // earlier evaluations do not matter
	needs map[string]bool // rules by name
	input []inputSeries

	original sync.Once
	failure  error // with the rules as they are
}

type exprTest struct {
	Expr       string         `yaml:"expr"`
	EvalTime   model.Duration `yaml:"eval_time"`
	ExpSamples []struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	} `yaml:"exp_samples"`
}

type inputSeries struct {
	labels labels.Labels
	values []parser.SequenceValue
}

var promQL = parser.NewParser(parser.Options{})

// readUnitTests reads the tests in deploy, and finds which rules each needs. The
// shorter ones are first.
func readUnitTests(t *testing.T, groups []rulefmt.RuleGroup) []*unitTest {
	t.Helper()
	names, err := filepath.Glob("../../deploy/prometheus/tests/*.yaml")
	require.NoError(t, err, "no unit tests")
	require.NotEmpty(t, names, "no unit tests")
	var all []*unitTest
	for _, name := range names {
		text, err := os.ReadFile(name)
		require.NoError(t, err)
		var file unitTests
		dec := yaml.NewDecoder(bytes.NewReader(text))
		dec.KnownFields(true)
		require.NoError(t, dec.Decode(&file), name)
		for _, u := range file.Tests {
			u.file, u.every = filepath.Base(name), time.Duration(file.EvaluationInterval)
			require.NoError(t, u.prepare(groups), name)
			all = append(all, u)
		}
	}
	slices.SortStableFunc(all, func(a, b *unitTest) int { return cmp.Compare(a.work(), b.work()) })
	return all
}

// prepare parses the series, and finds the rules that the test needs.
func (u *unitTest) prepare(groups []rulefmt.RuleGroup) error {
	given := map[string]bool{}
	for _, s := range u.InputSeries {
		lbls, values, err := promQL.ParseSeriesDesc(s.Series + " " + s.Values)
		if err != nil {
			return fmt.Errorf("%s: %w", s.Series, err)
		}
		if slices.ContainsFunc(u.input, func(other inputSeries) bool { return labels.Equal(lbls, other.labels) }) {
			return fmt.Errorf("%s: two series %s", u.Name, lbls)
		}
		u.input = append(u.input, inputSeries{lbls, values})
		given[lbls.Get(model.MetricNameLabel)] = true
	}
	rules := map[string][]string{}
	for _, g := range groups {
		for _, r := range g.Rules {
			rules[id(r)] = append(rules[id(r)], r.Expr)
		}
	}
	var exprs []string
	for _, e := range u.PromqlExprTest {
		exprs = append(exprs, e.Expr)
	}
	var err error
	if u.needs, err = promcheck.Needed(rules, exprs...); err != nil {
		return err
	}
	slices.SortStableFunc(u.PromqlExprTest, func(a, b exprTest) int { return cmp.Compare(a.EvalTime, b.EvalTime) })
	// A record of which the test has no input is empty, however it is computed.
	for range 2 { // as rules may read what later ones record
		for _, g := range groups {
			for _, r := range g.Rules {
				names, err := promcheck.Metrics(r.Expr)
				if err != nil {
					return err
				}
				if u.needs[id(r)] && (r.Alert != "" || slices.ContainsFunc(names, func(n string) bool { return given[n] })) {
					given[id(r)] = true
				}
			}
		}
	}
	maps.DeleteFunc(u.needs, func(name string, _ bool) bool { return !given[name] })
	u.brief = true
	for _, g := range groups {
		for _, r := range g.Rules {
			if u.needs[id(r)] && (r.Alert != "" || u.looksBack(r.Expr)) {
				u.brief = false
			}
		}
	}
	return nil
}

// looksBack reports whether an expression reads earlier values of what the rules
// of the test record.
func (u *unitTest) looksBack(expr string) bool {
	tree, err := promQL.ParseExpr(expr)
	if err != nil {
		return true
	}
	back := false
	parser.Inspect(tree, func(n parser.Node, path []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && u.needs[v.Name] {
			back = back || v.OriginalOffset != 0 || slices.ContainsFunc(path, func(n parser.Node) bool {
				_, isRange := n.(*parser.MatrixSelector)
				_, isSubquery := n.(*parser.SubqueryExpr)
				return isRange || isSubquery
			})
		}
		return nil
	})
	return back
}

// id names a rule: alerts and records have different names.
func id(r rulefmt.Rule) string { return r.Record + r.Alert }

// work is an estimate of how long the test takes.
func (u *unitTest) work() int {
	last := time.Duration(u.PromqlExprTest[len(u.PromqlExprTest)-1].EvalTime)
	evaluations := int(last / u.every)
	if u.brief {
		evaluations = min(evaluations, len(u.PromqlExprTest))
	}
	return evaluations * len(u.needs) * (10 + len(u.input))
}

// passes returns why the test fails with the rules as they are. It runs once.
func (u *unitTest) passes(t *testing.T, groups []rulefmt.RuleGroup) error {
	u.original.Do(func() { u.failure = u.run(t, groups) })
	return u.failure
}

// run runs the test with the rules that it needs, and returns why it fails.
func (u *unitTest) run(t *testing.T, groups []rulefmt.RuleGroup) error {
	t.Helper()
	dir, err := os.MkdirTemp(t.TempDir(), "") //nolint:usetesting // removed before the next of thousands
	require.NoError(t, err)
	db := u.load(t, dir)
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: promQL,
		NoStepSubqueryIntervalFn: func(int64) int64 { return u.every.Milliseconds() },
	})
	defer func() {
		_, _ = db.Close(), os.RemoveAll(dir)
	}()
	manager := &promrules.ManagerOptions{
		AppendableV2: db, Queryable: db, Context: t.Context(), Logger: promslog.NewNopLogger(),
		QueryFunc:  promrules.EngineQueryFunc(engine, db),
		NotifyFunc: func(context.Context, string, ...*promrules.Alert) {},
	}
	var loaded []*promrules.Group
	for _, g := range groups {
		var rules []promrules.Rule
		for _, r := range g.Rules {
			if !u.needs[id(r)] {
				continue
			}
			rule, err := newRule(r)
			if err != nil {
				return err
			}
			rules = append(rules, rule)
		}
		if len(rules) > 0 {
			loaded = append(loaded, promrules.NewGroup(promrules.GroupOptions{Name: g.Name, Interval: u.every, Rules: rules, Opts: manager}))
		}
	}
	left := u.PromqlExprTest
	for at := time.Duration(0); len(left) > 0; at += u.every {
		if u.brief && time.Duration(left[0].EvalTime) >= at+u.every {
			continue
		}
		for _, g := range loaded {
			g.Eval(t.Context(), time.UnixMilli(at.Milliseconds()))
			for _, r := range g.Rules() {
				if err := r.LastError(); err != nil {
					return fmt.Errorf("%s: %w", r.Name(), err)
				}
			}
		}
		for ; len(left) > 0 && time.Duration(left[0].EvalTime) < at+u.every; left = left[1:] {
			if err := left[0].check(t.Context(), engine, db); err != nil {
				return err
			}
		}
	}
	return nil
}

// load returns a database with the input series.
func (u *unitTest) load(t *testing.T, dir string) *tsdb.DB {
	t.Helper()
	const year = 366 * 24 * time.Hour
	opts := tsdb.DefaultOptions()
	opts.MinBlockDuration, opts.MaxBlockDuration = year.Milliseconds(), year.Milliseconds()
	opts.WALSegmentSize = -1 // no log, so that nothing is written
	db, err := tsdb.Open(dir, promslog.NewNopLogger(), nil, opts, tsdb.NewDBStats())
	require.NoError(t, err)
	db.DisableCompactions()
	app := db.Appender(t.Context())
	for _, s := range u.input {
		for i, v := range s.values {
			if v.Omitted {
				continue
			}
			if _, err := app.Append(0, s.labels, int64(i)*time.Duration(u.Interval).Milliseconds(), v.Value); err != nil {
				t.Fatal(err)
			}
		}
	}
	require.NoError(t, app.Commit())
	return db
}

// newRule returns Prometheus' rule, without annotations.
func newRule(r rulefmt.Rule) (promrules.Rule, error) {
	expr, err := promQL.ParseExpr(r.Expr)
	if err != nil {
		return nil, err
	}
	if r.Record != "" {
		return promrules.NewRecordingRule(r.Record, expr, labels.FromMap(r.Labels)), nil
	}
	return promrules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), time.Duration(r.KeepFiringFor),
		labels.FromMap(r.Labels), labels.EmptyLabels(), labels.EmptyLabels(), "", true, promslog.NewNopLogger()), nil
}

// check returns an error if the expression has another result than expected.
func (e exprTest) check(ctx context.Context, engine *promql.Engine, db *tsdb.DB) error {
	q, err := engine.NewInstantQuery(ctx, db, nil, e.Expr, time.UnixMilli(time.Duration(e.EvalTime).Milliseconds()))
	if err != nil {
		return err
	}
	defer q.Close()
	vector, err := q.Exec(ctx).Vector()
	if err != nil {
		return err
	}
	got, want := []string{}, []string{}
	for _, s := range vector {
		got = append(got, fmt.Sprint(s.Metric, " ", s.F))
	}
	for _, s := range e.ExpSamples {
		lbls, err := promQL.ParseMetric(s.Labels)
		if err != nil {
			return err
		}
		want = append(want, fmt.Sprint(lbls, " ", s.Value))
	}
	slices.Sort(got)
	slices.Sort(want)
	if !slices.Equal(got, want) {
		return fmt.Errorf("%s at %s is %q, want %q", e.Expr, e.EvalTime, got, want)
	}
	return nil
}
