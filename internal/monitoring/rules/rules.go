// Package rules holds the recording rules and alerts for Prometheus that come
// with the tap, and writes them in the forms that users install: a rule file, a
// PrometheusRule and a jsonnet mixin, all from one source.
//
//	thresholds.go ─┐
//	recording.go ──┤
//	states.go ─────┼─> Groups ──> YAML, PrometheusRule, mixin, docs/alerts.md
//	alerts.go ─────┘
//
// The series that alerts read are recorded in the alerts' own group, whose rules
// Prometheus evaluates in order, so that no alert waits for another group.
package rules

import (
	"bytes"
	"fmt"
	"maps"
	"path"
	"regexp"
	"slices"
	"strings"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// Rule is a recording rule or an alert. Its expression and texts may refer to
// thresholds as %(name)s.
type Rule struct {
	Record string
	Alert  string
	Expr   string
	For    string // a duration, or %(name)s
	// KeepFiringFor is how long an alert keeps firing after its expression has
	// become empty; "" is 0.
	KeepFiringFor string
	Labels        map[string]string
	// Summary is a static sentence; Description is a template with numbers.
	Summary     string
	SummaryZH   string
	Description string
	// Advice is what to do, for alerts on the API's responses.
	Advice diagnosis.Advice
	// Calls is the query of the tap's list of failures that shows the calls
	// concerned; "" if the alert is not about calls.
	Calls string
	// Panel shows the values that the alert is about.
	Panel Panel
}

// adviceFor returns the advice for the failures of a category.
func adviceFor(c classify.Category) diagnosis.Advice {
	_, a := diagnosis.ForCategory(c)
	return a
}

// adviceForCause returns the advice for a cause.
func adviceForCause(c diagnosis.Cause) diagnosis.Advice {
	d, ok := diagnosis.Describe(c)
	if !ok {
		panic("rules: no cause " + string(c))
	}
	return d.Advice
}

// adviceForOutcome returns the advice for an outcome.
func adviceForOutcome(o classify.Outcome) diagnosis.Advice {
	_, a, _ := diagnosis.ForOutcome(o)
	return a
}

// Panel is a panel of a dashboard, and the variables that are set from the
// alert's labels in addition to those set for all alerts of its kind.
type Panel struct {
	UID       string // of the dashboard
	ID        int
	Variables []string
}

// The UIDs of the dashboards that alerts link to.
const (
	OverviewUID = "ksyun-tap-overview"
	ErrorsUID   = "ksyun-tap-errors"
	FleetUID    = "ksyun-tap-fleet"
)

// url returns the URL of the panel as an annotation template.
func (p Panel) url() string {
	var u strings.Builder
	fmt.Fprintf(&u, "%%(dashboardURL)s/d/%s?viewPanel=%d", p.UID, p.ID)
	chosen := []string{"cluster", "namespace", "job", "service"}
	if p.UID == FleetUID {
		chosen = chosen[:3]
	}
	for _, v := range append(chosen, p.Variables...) {
		u.WriteString("&var-" + v + "={{ $labels." + v + " }}")
	}
	return u.String()
}

// Group is a group of rules, evaluated in order.
type Group struct {
	Name  string
	Rules []Rule
}

// Groups returns all rules.
func Groups() []Group {
	return []Group{
		{"ksyun-tap.recording", recording()},
		{"ksyun-tap.slo", burnRates()},
		{"ksyun-tap.api", append(apiRecords(), apiAlerts()...)},
		{"ksyun-tap.tap", append(tapRecords(), tapAlerts()...)},
	}
}

// Alerts returns the alerts of all groups, in order.
func Alerts() []Rule {
	var all []Rule
	for _, g := range Groups() {
		for _, r := range g.Rules {
			if r.Alert != "" {
				all = append(all, r)
			}
		}
	}
	return all
}

// by are the labels that results are grouped by: those of the user's scrape
// configuration, and the service.
const by = "cluster, namespace, job, service"

// placeholder matches a reference to a threshold in an expression or text.
var placeholder = regexp.MustCompile(`%\((\w+)\)s`)

// Threshold returns the value of a threshold.
func Threshold(name string) string { return Fill("%(" + name + ")s") }

// Fill replaces references to thresholds with their values.
func Fill(text string) string {
	return placeholder.ReplaceAllStringFunc(text, func(p string) string {
		name := placeholder.FindStringSubmatch(p)[1]
		for _, t := range thresholds {
			if t.Name == name {
				return t.Value
			}
		}
		panic("rules: no threshold " + name)
	})
}

// The YAML that Prometheus reads.
type (
	fileYAML struct {
		Groups []groupYAML `yaml:"groups"`
	}
	groupYAML struct {
		Name  string     `yaml:"name"`
		Rules []ruleYAML `yaml:"rules"`
	}
	ruleYAML struct {
		Record        string            `yaml:"record,omitempty"`
		Alert         string            `yaml:"alert,omitempty"`
		Expr          string            `yaml:"expr"`
		For           string            `yaml:"for,omitempty"`
		KeepFiringFor string            `yaml:"keep_firing_for,omitempty"`
		Labels        map[string]string `yaml:"labels,omitempty"`
		Annotations   map[string]string `yaml:"annotations,omitempty"`
	}
	crdYAML struct {
		APIVersion string       `yaml:"apiVersion"`
		Kind       string       `yaml:"kind"`
		Metadata   metadataYAML `yaml:"metadata"`
		Spec       fileYAML     `yaml:"spec"`
	}
	metadataYAML struct {
		Name   string            `yaml:"name"`
		Labels map[string]string `yaml:"labels"`
	}
)

func (r Rule) annotations() map[string]string {
	if r.Alert == "" {
		return nil
	}
	a := map[string]string{
		"summary": r.Summary, "summary_zh": r.SummaryZH, "description": r.Description,
		"runbook_url": "%(runbookURL)s/" + r.Alert + ".md", "dashboard_url": r.Panel.url(),
	}
	if r.Calls != "" {
		a["calls"] = r.Calls
	}
	if !r.Advice.IsZero() {
		a["advice"], a["advice_zh"] = r.Advice.Text().English, r.Advice.Text().Chinese
	}
	return a
}

func file() fileYAML {
	var f fileYAML
	for _, g := range Groups() {
		out := groupYAML{Name: g.Name}
		for _, r := range g.Rules {
			y := ruleYAML{Record: r.Record, Alert: r.Alert, Expr: Fill(r.Expr), For: Fill(r.For), KeepFiringFor: r.KeepFiringFor, Labels: r.Labels}
			if a := r.annotations(); a != nil {
				y.Annotations = map[string]string{}
				for name, text := range a {
					y.Annotations[name] = Fill(text)
				}
			}
			out.Rules = append(out.Rules, y)
		}
		f.Groups = append(f.Groups, out)
	}
	return f
}

const generated = "# Written by make generate from internal/monitoring/rules. Do not edit: change internal/monitoring/rules/thresholds.go.\n"

// YAML writes the rule file.
func YAML() ([]byte, error) { return encode(file()) }

// PrometheusRule writes the rules as the Prometheus operator's resource.
func PrometheusRule() ([]byte, error) {
	return encode(crdYAML{
		APIVersion: "monitoring.coreos.com/v1", Kind: "PrometheusRule",
		Metadata: metadataYAML{"ksyun-tap", map[string]string{"app.kubernetes.io/name": "ksyun-tap", "app.kubernetes.io/component": "rules"}},
		Spec:     file(),
	})
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	b.WriteString(generated)
	enc := yaml.NewEncoder(&b)
	enc.SetIndent(2)
	if err := enc.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), nil
}

// Mixin returns the files of the jsonnet mixin by name. It includes the given
// dashboard files, whose names are relative to the root of the repository.
func Mixin(dashboards []string) map[string][]byte {
	var config, alerts, records, boards strings.Builder
	boards.WriteString("// Written by make generate. Do not edit.\n{\n  grafanaDashboards+:: {\n")
	for _, d := range dashboards {
		fmt.Fprintf(&boards, "    %s: import %s,\n", quote(path.Base(d)), quote("../../../"+d))
	}
	boards.WriteString("  },\n}\n")
	config.WriteString("// Written by make generate from internal/monitoring/rules. Override in your own: (import 'mixin.libsonnet') + { _config+:: { ... } }\n{\n  _config+:: {\n")
	for _, t := range thresholds {
		fmt.Fprintf(&config, "    // %s\n    %s: %s,\n", t.Help, t.Name, quote(t.Value))
	}
	config.WriteString("  },\n}\n")
	writeMixin(&records, "prometheusRules", func(r Rule) bool { return r.Record != "" })
	writeMixin(&alerts, "prometheusAlerts", func(r Rule) bool { return r.Alert != "" })
	return map[string][]byte{
		"mixin.libsonnet":      []byte("(import 'config.libsonnet') + (import 'rules.libsonnet') + (import 'alerts.libsonnet') + (import 'dashboards.libsonnet')\n"),
		"config.libsonnet":     []byte(config.String()),
		"dashboards.libsonnet": []byte(boards.String()),
		"rules.libsonnet":      []byte(records.String()),
		"alerts.libsonnet":     []byte(alerts.String()),
	}
}

func writeMixin(b *strings.Builder, field string, wanted func(Rule) bool) {
	b.WriteString("// Written by make generate from internal/monitoring/rules. Do not edit.\n{\n  local c = $._config,\n  " + field + "+:: {\n    groups+: [\n")
	for _, g := range Groups() {
		var rules []Rule
		for _, r := range g.Rules {
			if wanted(r) {
				rules = append(rules, r)
			}
		}
		if len(rules) == 0 {
			continue
		}
		fmt.Fprintf(b, "      {\n        name: %s,\n        rules: [\n", quote(g.Name))
		for _, r := range rules {
			writeRule(b, r)
		}
		b.WriteString("        ],\n      },\n")
	}
	b.WriteString("    ],\n  },\n}\n")
}

func writeRule(b *strings.Builder, r Rule) {
	b.WriteString("          {\n")
	line := func(name, text string) {
		if text != "" {
			fmt.Fprintf(b, "            %s: %s,\n", name, jsonnet(text))
		}
	}
	line("record", r.Record)
	line("alert", r.Alert)
	line("expr", r.Expr)
	line("'for'", r.For)
	line("keep_firing_for", r.KeepFiringFor)
	for _, group := range []struct {
		name   string
		values map[string]string
	}{{"labels", r.Labels}, {"annotations", r.annotations()}} {
		if len(group.values) == 0 {
			continue
		}
		fmt.Fprintf(b, "            %s: {\n", group.name)
		for _, name := range slices.Sorted(maps.Keys(group.values)) {
			fmt.Fprintf(b, "              %s: %s,\n", name, jsonnet(group.values[name]))
		}
		b.WriteString("            },\n")
	}
	b.WriteString("          },\n")
}

// jsonnet formats a text that may refer to thresholds.
func jsonnet(text string) string {
	if !placeholder.MatchString(text) {
		return quote(text)
	}
	// Escape what is not a placeholder.
	parts, last := strings.Builder{}, 0
	for _, at := range placeholder.FindAllStringIndex(text, -1) {
		parts.WriteString(strings.ReplaceAll(text[last:at[0]], "%", "%%") + text[at[0]:at[1]])
		last = at[1]
	}
	parts.WriteString(strings.ReplaceAll(text[last:], "%", "%%"))
	return quote(parts.String()) + " % c"
}

func quote(s string) string {
	return "'" + strings.NewReplacer(`\`, `\\`, "'", `\'`, "\n", `\n`).Replace(s) + "'"
}
