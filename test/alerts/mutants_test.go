package alerts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
)

// mutant is a rule with one change.
type mutant struct {
	kind string
	// path leads from the root of the expression to the change: the operators, with
	// the side, and the functions.
	path     string
	from, to string
	rule     rulefmt.Rule
}

func (m mutant) String() string {
	return fmt.Sprintf("%s%s: %s at %s: %s -> %s", id(m.rule), labels.FromMap(m.rule.Labels), m.kind, m.path, m.from, m.to)
}

// exprKinds are the changes of expressions: each returns the expressions to put in
// the place of one.
var exprKinds = []struct {
	name   string
	change func(e parser.Expr) []parser.Expr
}{
	{"comparison", changeBinary(map[parser.ItemType][]parser.ItemType{
		parser.GTR: {parser.GTE, parser.LTE}, parser.GTE: {parser.GTR, parser.LSS},
		parser.LSS: {parser.LTE, parser.GTE}, parser.LTE: {parser.LSS, parser.GTR},
		parser.EQLC: {parser.NEQ}, parser.NEQ: {parser.EQLC},
	})},
	{"set operator", changeBinary(map[parser.ItemType][]parser.ItemType{
		parser.LAND: {parser.LOR, parser.LUNLESS}, parser.LOR: {parser.LAND, parser.LUNLESS}, parser.LUNLESS: {parser.LAND, parser.LOR},
	})},
	{"operand", dropOperand},
	{"threshold", changeNumber},
	{"range", changeRange},
	{"offset", changeOffset},
	{"matcher dropped", dropMatcher},
	{"matcher inverted", invertMatcher},
	{"alternative dropped", dropAlternative},
	{"grouping label", dropGrouping},
	{"matching label", dropMatching},
}

// ruleKinds are the changes of what a rule has besides its expression.
var ruleKinds = []struct {
	name   string
	change func(r rulefmt.Rule) []rulefmt.Rule
}{
	{"for", changeDuration(func(r *rulefmt.Rule) *model.Duration { return &r.For })},
	{"keep_firing_for", changeDuration(func(r *rulefmt.Rule) *model.Duration { return &r.KeepFiringFor })},
	{"label", func(r rulefmt.Rule) (all []rulefmt.Rule) {
		for _, name := range slices.Sorted(maps.Keys(r.Labels)) {
			changed := r
			changed.Labels = maps.Clone(r.Labels)
			delete(changed.Labels, name)
			all = append(all, changed)
		}
		return all
	}},
}

// equivalents are mutants that no test can tell from the rule.
var equivalents = []equivalent{
	{
		`increase15m$|rate(5|30)m$|^Ksyun`, `^matcher dropped$`, `(/unless left/last_over_time|/unless right|/- left/last_over_time|/- right|/resets)$`, ``,
		"another operand selects the series; the matcher saves reading others",
	},
	{
		`increase15m$|rate(5|30)m$|^Ksyun`, `^alternative dropped$`, `(/unless left/last_over_time|/unless right|/- left/last_over_time|/- right|/resets)$`, `!~`,
		"another operand excludes these series; the alternative saves reading them",
	},
	{
		`increase15m$|rate(5|30)m$|^Ksyun`, `^range$`, `(/unless left|/- left)/last_over_time$`, `\[(10m|30m|1h)\]$`,
		"without a sample in the window, resets has no value",
	},
	{
		`known\d+m$`, `^range$`, `/last_over_time$`, `\[(10m|30m|1h)\]$`,
		"the other range, or the process' start, is in the window",
	},
	{
		`increase15m$|^Ksyun`, `^comparison$`, `/or right$`, ` - .*> 0\)$`,
		"a difference of 0 does not count, and neither does an increase of 0",
	},
	{
		`increase15m$|^Ksyun`, `^threshold$`, `/>= right$`, `^1$`,
		"an increase without a reset between them is that difference or 0, and 0 does not count",
	},
	{
		`^instance_category_blame:ksyun_api_attempts:increase15m$|^KsyunTap(Dropping|Untrusted|Redirect|AtLimit|Panics)`, `^threshold$`, `/>= right$`, `^-1$`,
		"each result is of one series, and a negative one does not count",
	},
	{
		`^KsyunApiUnknownCodes$`, `^matcher dropped$`, `^/or right/.*/increase$`, `\{category="unknown",status!~"2..",?\}`,
		"the left operand counts the other codes already",
	},
}

// equivalent matches mutants.
type equivalent struct {
	rule, kind, path, to string // regular expressions
	why                  string
}

// mutantsOf returns all mutants of a rule that Prometheus accepts.
func mutantsOf(r rulefmt.Rule) ([]mutant, error) {
	root, err := promQL.ParseExpr(r.Expr)
	if err != nil {
		return nil, err
	}
	var all []mutant
	seen := map[string]bool{root.String(): true}
	walk(&root, "", func(place *parser.Expr, path string) {
		for _, kind := range exprKinds {
			was := *place
			for _, changed := range kind.change(was) {
				*place = changed
				text := root.String()
				*place = was
				if _, err := promQL.ParseExpr(text); err != nil || seen[text] {
					continue
				}
				seen[text] = true
				mutated := r
				mutated.Expr = text
				all = append(all, mutant{kind.name, path, was.String(), changed.String(), mutated})
			}
		}
	})
	for _, kind := range ruleKinds {
		for _, changed := range kind.change(r) {
			from := fmt.Sprintf("for %s, keep firing for %s, %v", r.For, r.KeepFiringFor, r.Labels)
			to := fmt.Sprintf("for %s, keep firing for %s, %v", changed.For, changed.KeepFiringFor, changed.Labels)
			all = append(all, mutant{kind.name, "", from, to, changed})
		}
	}
	return all, nil
}

// walk calls visit for the place of each expression in a tree, and the path to it.
func walk(place *parser.Expr, path string, visit func(place *parser.Expr, path string)) {
	visit(place, path)
	switch e := (*place).(type) {
	case *parser.AggregateExpr:
		walk(&e.Expr, path+"/"+e.Op.String(), visit)
	case *parser.BinaryExpr:
		walk(&e.LHS, path+"/"+e.Op.String()+" left", visit)
		walk(&e.RHS, path+"/"+e.Op.String()+" right", visit)
	case *parser.Call:
		for i := range e.Args {
			walk(&e.Args[i], path+"/"+e.Func.Name, visit)
		}
	case *parser.MatrixSelector:
		walk(&e.VectorSelector, path, visit)
	case *parser.ParenExpr:
		walk(&e.Expr, path, visit)
	case *parser.SubqueryExpr:
		walk(&e.Expr, path+"/subquery", visit)
	case *parser.UnaryExpr:
		walk(&e.Expr, path+"/"+e.Op.String(), visit)
	}
}

func paren(e parser.Expr) parser.Expr {
	if _, ok := e.(*parser.BinaryExpr); ok {
		return &parser.ParenExpr{Expr: e}
	}
	return e
}

// changeBinary returns a change of operators to others.
func changeBinary(to map[parser.ItemType][]parser.ItemType) func(e parser.Expr) []parser.Expr {
	return func(e parser.Expr) (all []parser.Expr) {
		b, ok := e.(*parser.BinaryExpr)
		if !ok {
			return nil
		}
		for _, op := range to[b.Op] {
			changed := *b
			changed.Op, changed.LHS, changed.RHS = op, paren(b.LHS), paren(b.RHS)
			all = append(all, paren(&changed))
		}
		return all
	}
}

// dropOperand replaces a set operation with each of its operands.
func dropOperand(e parser.Expr) []parser.Expr {
	if b, ok := e.(*parser.BinaryExpr); ok && b.Op.IsSetOperator() {
		return []parser.Expr{paren(b.LHS), paren(b.RHS)}
	}
	return nil
}

// changeNumber doubles and halves numbers.
func changeNumber(e parser.Expr) (all []parser.Expr) {
	n, ok := e.(*parser.NumberLiteral)
	if !ok {
		return nil
	}
	to := []float64{n.Val * 2, n.Val / 2}
	if n.Val == 0 {
		to = []float64{1, -1}
	}
	for _, v := range to {
		all = append(all, &parser.NumberLiteral{Val: v})
	}
	return all
}

// changeRange doubles and halves the ranges of selectors and subqueries.
func changeRange(e parser.Expr) (all []parser.Expr) {
	switch e := e.(type) {
	case *parser.MatrixSelector:
		for _, d := range []time.Duration{e.Range * 2, e.Range / 2} {
			all = append(all, &parser.MatrixSelector{VectorSelector: e.VectorSelector, Range: d})
		}
	case *parser.SubqueryExpr:
		for _, d := range []time.Duration{e.Range * 2, e.Range / 2} {
			changed := *e
			changed.Range = d
			all = append(all, &changed)
		}
	}
	return all
}

// changeOffset doubles, halves and drops offsets.
func changeOffset(e parser.Expr) (all []parser.Expr) {
	v, ok := e.(*parser.VectorSelector)
	if !ok || v.OriginalOffset == 0 {
		return nil
	}
	for _, d := range []time.Duration{v.OriginalOffset * 2, v.OriginalOffset / 2, 0} {
		changed := *v
		changed.OriginalOffset = d
		all = append(all, &changed)
	}
	return all
}

// changeMatchers returns a selector for each matcher that is put in the place of
// one of its own; nil drops it.
func changeMatchers(e parser.Expr, to func(m *labels.Matcher) []*labels.Matcher) (all []parser.Expr) {
	v, ok := e.(*parser.VectorSelector)
	if !ok {
		return nil
	}
	for i, m := range v.LabelMatchers {
		if m.Name == model.MetricNameLabel {
			continue
		}
		for _, other := range to(m) {
			changed := *v
			changed.LabelMatchers = slices.Delete(slices.Clone(v.LabelMatchers), i, i+1)
			if other != nil {
				changed.LabelMatchers = slices.Insert(changed.LabelMatchers, i, other)
			}
			all = append(all, &changed)
		}
	}
	return all
}

func dropMatcher(e parser.Expr) []parser.Expr {
	return changeMatchers(e, func(*labels.Matcher) []*labels.Matcher { return []*labels.Matcher{nil} })
}

func invertMatcher(e parser.Expr) []parser.Expr {
	return changeMatchers(e, func(m *labels.Matcher) []*labels.Matcher {
		inverse, err := m.Inverse()
		if err != nil {
			return nil
		}
		return []*labels.Matcher{inverse}
	})
}

// dropAlternative drops each alternative of a regular expression.
func dropAlternative(e parser.Expr) []parser.Expr {
	return changeMatchers(e, func(m *labels.Matcher) (all []*labels.Matcher) {
		values := strings.Split(m.Value, "|")
		if m.Type == labels.MatchEqual || m.Type == labels.MatchNotEqual || len(values) == 1 {
			return nil
		}
		for i := range values {
			rest := slices.Delete(slices.Clone(values), i, i+1)
			all = append(all, labels.MustNewMatcher(m.Type, m.Name, strings.Join(rest, "|")))
		}
		return all
	})
}

// dropGrouping drops each label of an aggregation.
func dropGrouping(e parser.Expr) (all []parser.Expr) {
	a, ok := e.(*parser.AggregateExpr)
	if !ok {
		return nil
	}
	for i := range a.Grouping {
		changed := *a
		changed.Grouping = slices.Delete(slices.Clone(a.Grouping), i, i+1)
		all = append(all, &changed)
	}
	return all
}

// dropMatching drops each label by which a binary operation matches.
func dropMatching(e parser.Expr) (all []parser.Expr) {
	b, ok := e.(*parser.BinaryExpr)
	if !ok || b.VectorMatching == nil {
		return nil
	}
	for i := range b.VectorMatching.MatchingLabels {
		changed, matching := *b, *b.VectorMatching
		matching.MatchingLabels = slices.Delete(slices.Clone(matching.MatchingLabels), i, i+1)
		changed.VectorMatching = &matching
		all = append(all, &changed)
	}
	return all
}

// changeDuration drops and doubles a duration of an alert, or adds one.
func changeDuration(of func(*rulefmt.Rule) *model.Duration) func(rulefmt.Rule) []rulefmt.Rule {
	return func(r rulefmt.Rule) (all []rulefmt.Rule) {
		if r.Alert == "" {
			return nil
		}
		others := []model.Duration{0, 2 * *of(&r)}
		if *of(&r) == 0 {
			others = []model.Duration{model.Duration(5 * time.Minute)}
		}
		for _, d := range others {
			changed := r
			*of(&changed) = d
			all = append(all, changed)
		}
		return all
	}
}
