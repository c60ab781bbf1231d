// Package promcheck checks PromQL expressions against the metrics that the tap
// has. Tests of rules and dashboards use it: Prometheus does not report an error
// for an expression that names a metric or label which does not exist; it returns
// nothing.
package promcheck

import (
	"fmt"
	"regexp"
	"slices"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
)

// Known describes the metrics that expressions may use.
type Known struct {
	// Families are the tap's own metrics.
	Families []metrics.Family
	// Foreign, if not nil, matches metrics of libraries and of the scrape, whose
	// labels are not known.
	Foreign *regexp.Regexp
	// Records maps the names of recording rules to their labels.
	Records map[string][]string
	// Target lists the labels that the scrape adds to every series.
	Target []string
}

// Check returns an error if expr uses an unknown metric or label.
func (k Known) Check(expr string) error {
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return fmt.Errorf("%s: %w", expr, err)
	}
	_, err = k.labels(tree)
	if err != nil {
		return fmt.Errorf("%s: %w", expr, err)
	}
	return nil
}

// Metrics returns the names of the metrics in expr, without duplicates.
func Metrics(expr string) ([]string, error) {
	tree, err := parser.NewParser(parser.Options{}).ParseExpr(expr)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", expr, err)
	}
	var names []string
	parser.Inspect(tree, func(n parser.Node, _ []parser.Node) error {
		if s, ok := n.(*parser.VectorSelector); ok && !slices.Contains(names, s.Name) {
			names = append(names, s.Name)
		}
		return nil
	})
	return names, nil
}

// alertName matches the selector of an alert's series.
var alertName = regexp.MustCompile(`alertname="(\w+)"`)

// Needed returns the names of the rules that expressions read, and of those that these
// rules read. rules has the expressions of each rule, by the name of its record or
// alert.
func Needed(rules map[string][]string, exprs ...string) (map[string]bool, error) {
	needed := map[string]bool{}
	for left := slices.Clone(exprs); len(left) > 0; {
		names, err := Metrics(left[0])
		if err != nil {
			return nil, err
		}
		for _, alert := range alertName.FindAllStringSubmatch(left[0], -1) {
			names = append(names, alert[1])
		}
		left = left[1:]
		for _, name := range names {
			if read, ok := rules[name]; ok && !needed[name] {
				needed[name] = true
				left = append(left, read...)
			}
		}
	}
	return needed, nil
}

// labels returns all labels that the result of an expression may have.
func (k Known) labels(n parser.Node) ([]string, error) {
	var all []string
	for child := range parser.ChildrenIter(n) {
		of, err := k.labels(child)
		if err != nil {
			return nil, err
		}
		all = append(all, of...)
	}
	switch n := n.(type) {
	case *parser.VectorSelector:
		has, err := k.of(n.Name)
		if err != nil {
			return nil, err
		}
		for _, m := range n.LabelMatchers {
			if m.Name != "__name__" && has != nil && !slices.Contains(has, m.Name) {
				return nil, fmt.Errorf("%s has no label %s", n.Name, m.Name)
			}
		}
		if has == nil {
			has = k.Target
		}
		return has, nil
	case *parser.AggregateExpr:
		for _, l := range n.Grouping {
			if !slices.Contains(all, l) {
				return nil, fmt.Errorf("groups by %s, which nothing in it has", l)
			}
		}
		if n.Without {
			return all, nil
		}
		return n.Grouping, nil
	case *parser.BinaryExpr:
		if n.VectorMatching != nil {
			for _, l := range slices.Concat(n.VectorMatching.MatchingLabels, n.VectorMatching.Include) {
				if !slices.Contains(all, l) {
					return nil, fmt.Errorf("matches by %s, which neither side has", l)
				}
			}
		}
	}
	return all, nil
}

// of returns the labels of a metric, or nil for one of Foreign.
func (k Known) of(name string) ([]string, error) {
	if has, ok := k.Records[name]; ok {
		return slices.Concat(has, k.Target), nil
	}
	if k.Foreign != nil && k.Foreign.MatchString(name) {
		return nil, nil
	}
	for _, f := range k.Families {
		if labels, ok := f.SeriesLabels(name); ok {
			return slices.Concat(labels, k.Target), nil
		}
	}
	return nil, fmt.Errorf("there is no metric %q", name)
}
