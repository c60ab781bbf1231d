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
	"strings"
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
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/test/promcheck"
)

// unitTests is a file of promtool's unit tests, as far as ours use it.
type unitTests struct {
	RuleFiles          []string       `yaml:"rule_files"`
	EvaluationInterval model.Duration `yaml:"evaluation_interval"`
	GroupEvalOrder     []string       `yaml:"group_eval_order"`
	Tests              []unitTest     `yaml:"tests"`
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
	every time.Duration // between evaluations
	needs map[string]bool
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

// alertOf returns the alert whose series an expression selects, if any.
func alertOf(expr string) (name string) {
	_, name, _ = strings.Cut(expr, `alertname="`)
	name, _, _ = strings.Cut(name, `"`)
	return name
}

// id names a rule: alerts and records have different names.
func id(r rulefmt.Rule) string { return r.Record + r.Alert }

// readUnitTests reads the tests in deploy, and finds which rules each needs.
func readUnitTests(t *testing.T, groups []rulefmt.RuleGroup) []*unitTest {
	t.Helper()
	names, err := filepath.Glob("../../deploy/prometheus/tests/*.yaml")
	if err != nil || len(names) == 0 {
		t.Fatalf("no unit tests: %v", err)
	}
	p := parser.NewParser(parser.Options{})
	var all []*unitTest
	for _, name := range names {
		text, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		var file unitTests
		dec := yaml.NewDecoder(bytes.NewReader(text))
		dec.KnownFields(true)
		if err := dec.Decode(&file); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		for i := range file.Tests {
			u := &file.Tests[i]
			u.file, u.every, u.needs = filepath.Base(name), time.Duration(file.EvaluationInterval), map[string]bool{}
			for _, s := range u.InputSeries {
				lbls, values, err := p.ParseSeriesDesc(s.Series + " " + s.Values)
				if err != nil {
					t.Fatalf("%s: %s: %v", name, s.Series, err)
				}
				u.input = append(u.input, inputSeries{lbls, values})
			}
			for _, e := range u.PromqlExprTest {
				u.need(t, groups, e.Expr)
			}
			u.prune(t, groups)
			slices.SortStableFunc(u.PromqlExprTest, func(a, b exprTest) int { return cmp.Compare(a.EvalTime, b.EvalTime) })
			all = append(all, u)
		}
	}
	slices.SortStableFunc(all, func(a, b *unitTest) int { return cmp.Compare(a.work(), b.work()) })
	return all
}

// need adds the rules that an expression reads.
func (u *unitTest) need(t *testing.T, groups []rulefmt.RuleGroup, expr string) {
	t.Helper()
	names, err := promcheck.Metrics(expr)
	if err != nil {
		t.Fatal(err)
	}
	if alert := alertOf(expr); alert != "" {
		names = append(names, alert)
	}
	for _, g := range groups {
		for _, r := range g.Rules {
			if name := id(r); slices.Contains(names, name) {
				if r.Alert == "" && u.needs[name] {
					continue
				}
				u.needs[name] = true
				u.need(t, groups, r.Expr)
			}
		}
	}
}

// prune removes the rules that have no input in the test, so that their result is
// empty whatever they do with it.
func (u *unitTest) prune(t *testing.T, groups []rulefmt.RuleGroup) {
	t.Helper()
	has := map[string]bool{}
	for _, s := range u.input {
		has[s.labels.Get(labels.MetricName)] = true
	}
	for range 2 { // a rule may read what it records itself, or what a later one does
		for _, g := range groups {
			for _, r := range g.Rules {
				names, err := promcheck.Metrics(r.Expr)
				if err != nil {
					t.Fatal(err)
				}
				if u.needs[id(r)] && (r.Alert != "" || slices.ContainsFunc(names, func(n string) bool { return has[n] })) {
					has[id(r)] = true
				}
			}
		}
	}
	maps.DeleteFunc(u.needs, func(name string, _ bool) bool { return !has[name] })
}

// work is an estimate of how long the test takes.
func (u *unitTest) work() int {
	last := time.Duration(u.PromqlExprTest[len(u.PromqlExprTest)-1].EvalTime)
	return int(last/u.every) * len(u.needs) * (10 + len(u.input))
}

// passes returns why the test fails with the rules as they are. It runs once.
func (u *unitTest) passes(t *testing.T, groups []rulefmt.RuleGroup) error {
	u.original.Do(func() { u.failure = u.run(t, groups) })
	return u.failure
}

// run runs the test with the rules that it needs, and returns why it fails.
func (u *unitTest) run(t *testing.T, groups []rulefmt.RuleGroup) error {
	t.Helper()
	opts := tsdb.DefaultOptions()
	opts.MinBlockDuration, opts.MaxBlockDuration = (400 * 24 * time.Hour).Milliseconds(), (400 * 24 * time.Hour).Milliseconds()
	opts.WALSegmentSize = -1 // no log
	dir, err := os.MkdirTemp(t.TempDir(), "")
	if err != nil {
		t.Fatal(err)
	}
	db, err := tsdb.Open(dir, promslog.NewNopLogger(), nil, opts, tsdb.NewDBStats())
	if err != nil {
		t.Fatal(err)
	}
	defer func() {
		_ = db.Close()
		_ = os.RemoveAll(dir)
	}()
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
	if err := app.Commit(); err != nil {
		t.Fatal(err)
	}
	p := parser.NewParser(parser.Options{})
	engine := promql.NewEngine(promql.EngineOpts{
		MaxSamples: 1_000_000, Timeout: time.Minute, EnableAtModifier: true, EnableNegativeOffset: true, Parser: p,
		NoStepSubqueryIntervalFn: func(int64) int64 { return u.every.Milliseconds() },
	})
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
			expr, err := p.ParseExpr(r.Expr)
			if err != nil {
				return err
			}
			if r.Record != "" {
				rules = append(rules, promrules.NewRecordingRule(r.Record, expr, labels.FromMap(r.Labels)))
			} else {
				rules = append(rules, promrules.NewAlertingRule(r.Alert, expr, time.Duration(r.For), time.Duration(r.KeepFiringFor),
					labels.FromMap(r.Labels), labels.EmptyLabels(), labels.EmptyLabels(), "", true, promslog.NewNopLogger()))
			}
		}
		if len(rules) > 0 {
			loaded = append(loaded, promrules.NewGroup(promrules.GroupOptions{Name: g.Name, Interval: u.every, Rules: rules, Opts: manager}))
		}
	}
	left := u.PromqlExprTest
	for at := time.Duration(0); len(left) > 0; at += u.every {
		for _, g := range loaded {
			g.Eval(t.Context(), time.UnixMilli(at.Milliseconds()))
			for _, r := range g.Rules() {
				if err := r.LastError(); err != nil {
					return fmt.Errorf("%s: %w", r.Name(), err)
				}
			}
		}
		for ; len(left) > 0 && time.Duration(left[0].EvalTime) < at+u.every; left = left[1:] {
			q, err := engine.NewInstantQuery(t.Context(), db, nil, left[0].Expr, time.UnixMilli(time.Duration(left[0].EvalTime).Milliseconds()))
			if err != nil {
				return err
			}
			got := []string{}
			vector, err := q.Exec(t.Context()).Vector()
			if err != nil {
				return err
			}
			for _, s := range vector {
				got = append(got, fmt.Sprint(s.Metric, " ", s.F))
			}
			q.Close()
			want := []string{}
			for _, s := range left[0].ExpSamples {
				lbls, err := p.ParseMetric(s.Labels)
				if err != nil {
					return err
				}
				want = append(want, fmt.Sprint(lbls, " ", s.Value))
			}
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) {
				return fmt.Errorf("%s at %s is %q, want %q", left[0].Expr, left[0].EvalTime, got, want)
			}
		}
	}
	return nil
}
