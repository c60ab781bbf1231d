package rules

import (
	_ "embed" // for the table of scenarios
	"fmt"
	"strings"
)

// scenarios is the table that test/alerts writes.
//
//go:embed scenarios.md
var scenarios string

// Reference writes docs/alerts.md.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`<!-- Written by make generate. Do not edit. -->

# Alerts and recording rules

Three forms of the same rules, in ` + "`deploy/prometheus`" + `:

- ` + "`rules.yaml`" + ` for ` + "`rule_files`" + ` of Prometheus, Mimir, VictoriaMetrics or Thanos;
- ` + "`prometheusrule.yaml`" + ` for the Prometheus operator;
- ` + "`mixin/`" + ` for jsonnet: ` + "`(import 'mixin.libsonnet') + { _config+:: { authRatio: '0.2' } }`" + `.

They need Prometheus 2.42 or later, or another server that knows ` + "`keep_firing_for`" + `.

Results are grouped by cluster, namespace, job and service. A label of the first three that your scraping does not set is
absent. Availability counts failures that are the provider's or the network's fault, errors within a 200 included. Dry runs
and calls that the program canceled do not count. A client's own mistakes count as answered.

## How alerts decide

- **States** (KsyunApiAuthFailing, KsyunApiThrottled, KsyunApiOutage, KsyunApiBadRequests) are on while their cause stands.
  One begins with a share of the last 15 minutes' calls and at least ` + Threshold("minFailures") + ` of them, at one tap or over all taps of a job; or, where
  calls are few, with ` + Threshold("minFailures") + ` failures and no success since. It ends below half of that share. Where no call comes for 15 minutes, it
  holds until the next one: for an hour (throttling, outages) or a day (credentials, bad requests), so that a cron job's alert does not
  flap. A program that is stopped for good while it fails keeps its alert for that long: silence it.
- **Spikes** of refused or throttled calls begin at ` + Threshold("spikeFailures") + ` in 15 minutes and a hundredth of the calls, where that is more than ` + Threshold("spikeFactor") + ` times
  what the same hour of the day before and of the week before had. They need a day of history.
- **Events** (a wrong clock, a missing policy, an error within a 200, a new code) fire at the first one, and end 75 minutes after
  the last.
- **Burn rates** need 5 failures in their long window.

Alerts read ` + "`ksyun_api_attempts_total`" + `, whose series exist at 0 before the first failure. The first event of a series that did
not exist before counts, too: what a series had counted when it appeared is new if the tap was scraped without it, or has just
started. Prometheus' ` + "`--enable-feature=created-timestamp-zero-ingestion`" + ` does the same for every query, with the start
that each counter of the tap has (in the protobuf format, which that flag asks for).

A thousand series that fail for the first time, in random phases, a scrape a minute, once three scrapes have seen each
(TestNewbornSeriesAreCounted, and its twin for the Prometheus that is installed):

| failures each | asked | Prometheus 2.42 | 3.16 | 3.16 with the flag |
|---|---|---|---|---|
| 1 | ` + "`increase(ksyun_api_errors_total[15m])`" + ` | 0 | 0 | 1,066 |
| 1 | ` + "`increase(ksyun_api_attempts_total[15m])`" + ` | 1,029 | 1,029 | 1,029 |
| 1 | what alerts count, of either | 1,000 | 1,000 | 1,000 |
| 1 | what panels show of errors, by table, and by graph added up | 1,000 | 1,000 | 1,000 |
| 3 in a minute | ` + "`increase(ksyun_api_errors_total[15m])`" + ` | 880 | 874 | 3,212 |
| 3 in a minute | ` + "`increase(ksyun_api_attempts_total[15m])`" + ` | 3,088 | 3,088 | 3,088 |
| 3 in a minute | what alerts count, of either | 3,000 | 3,000 | 3,000 |
| 3 in a minute | what panels show of errors, by table, and by graph added up | 3,000 | 3,000 | 3,000 |

` + "`increase`" + ` extrapolates to the ends of its window, which is why it is above the truth where all failures are in the middle.

## Alerts

| alert | severity | blame | for | keeps firing for | what it says |
|---|---|---|---|---|---|
`)
	for _, r := range Alerts() {
		name := r.Alert
		if w := r.Labels["window"]; w != "" {
			name += " (" + w + ")"
		}
		fmt.Fprintf(&b, "| [%s](runbooks/%s.md) | %s | %s | %s | %s | %s |\n", name, r.Alert, r.Labels["severity"], r.Labels["blame"], r.For, r.KeepFiringFor, r.Summary)
	}
	b.WriteString(scenarioText + scenarios)
	b.WriteString("\n## Thresholds\n\nIn `internal/monitoring/rules/thresholds.go` (then `make generate`), or in the mixin's `_config`.\n\n| name | value | what it is |\n|---|---|---|\n")
	for _, t := range thresholds {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", t.name, t.value, t.help)
	}
	b.WriteString("\n## Recording rules\n\nFor the windows " + strings.Join(windows, ", ") + ": calls per second that count, failed ones, and their ratio. Windows over one hour average\nthe 5-minute rules to keep queries cheap. The 30-day value is complete after 30 days. The rest is for the alerts.\n")
	for _, g := range Groups() {
		for _, r := range g.Rules {
			if r.Record == "" || strings.Contains(g.Name, "recording") && !strings.HasSuffix(r.Record, "rate5m") {
				continue
			}
			fmt.Fprintf(&b, "\n`%s`:\n\n```promql\n%s\n```\n", r.Record, Fill(r.Expr))
		}
	}
	return []byte(b.String())
}

const scenarioText = `
## What fires when

Simulated programs, replayed through the rules by Prometheus' own rule engine (test/alerts, written by make alerts-table): scrapes and
evaluations once a minute, all taps at once. All is well, then the cause stands for five hours or for 27, and it ends. "After" is
from the first failed call on, "ends after" from the cause's end; both are the slowest of all phases that calls can have to scrapes. No
alert in the column "fires" ends while its cause stands, and nothing fires before it. The rows of five hours leave burn rates out.

`
