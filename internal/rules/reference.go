package rules

import (
	"fmt"
	"strings"
)

// Reference writes docs/alerts.md.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`<!-- Written by make generate. Do not edit. -->

# Alerts and recording rules

Three forms of the same rules, in ` + "`deploy/prometheus`" + `:

- ` + "`rules.yaml`" + ` for ` + "`rule_files`" + ` of Prometheus, Mimir, VictoriaMetrics or Thanos;
- ` + "`prometheusrule.yaml`" + ` for the Prometheus operator;
- ` + "`mixin/`" + ` for jsonnet: ` + "`(import 'mixin.libsonnet') + { _config+:: { authRate: '1' } }`" + `.

Results are told apart by cluster, namespace, job and service: those of the first three that your scraping does not set are
simply absent. Availability counts failures by the provider's or the network's fault, errors within a 200 included; dry runs
and calls that the program gave up do not count at all, and a client's own mistakes count as answered.

## Alerts

| alert | severity | blame | for | what it tells |
|---|---|---|---|---|
`)
	for _, r := range Alerts() {
		name := r.Alert
		if w := r.Labels["window"]; w != "" {
			name += " (" + w + ")"
		}
		fmt.Fprintf(&b, "| [%s](runbooks/%s.md) | %s | %s | %s | %s |\n", name, r.Alert, r.Labels["severity"], r.Labels["blame"], r.For, r.Summary)
	}
	b.WriteString("\n## Thresholds\n\nIn `internal/rules/thresholds.go` (then `make generate`), or in the mixin's `_config`.\n\n| name | value | what it is |\n|---|---|---|\n")
	for _, t := range thresholds {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", t.name, t.value, t.help)
	}
	b.WriteString("\n## Recording rules\n\nFor the windows " + strings.Join(windows, ", ") + " each: calls per second that count, failed ones, and their ratio. Windows beyond an hour are means of what is\nrecorded over five minutes, so that a month of many taps is cheap; it takes the rules a month to know one.\n\n| record | expression |\n|---|---|\n")
	for _, g := range Groups() {
		for _, r := range g.Rules {
			if r.Record == "" || strings.Contains(g.Name, "recording") && !strings.HasSuffix(r.Record, "rate5m") {
				continue
			}
			expr := strings.ReplaceAll(strings.ReplaceAll(r.Expr, "\n", " "), "|", `\|`)
			fmt.Fprintf(&b, "| `%s` | `%s` |\n", r.Record, expr)
		}
	}
	return []byte(b.String())
}
