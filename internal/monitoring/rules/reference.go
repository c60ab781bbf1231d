package rules

import (
	_ "embed" // for the table of scenarios
	"fmt"
	"strings"
)

// scenarios is the table written by test/alerts.
//
//go:embed scenarios.md
var scenarios string

//go:embed burnrates.md
var burnRateTable string

// Reference writes docs/alerts.md.
func Reference() []byte {
	var b strings.Builder
	b.WriteString(`<!-- Written by make generate. Do not edit. -->

# Alerts and recording rules

The same rules come in three forms, in ` + "`deploy/prometheus`" + `:

- ` + "`rules.yaml`" + ` for ` + "`rule_files`" + ` of Prometheus, Mimir, VictoriaMetrics or Thanos;
- ` + "`prometheusrule.yaml`" + ` for the Prometheus operator;
- ` + "`mixin/`" + ` for jsonnet: ` + "`(import 'mixin.libsonnet') + { _config+:: { authRatio: '0.2' } }`" + `.

They need Prometheus 2.42 or later, or another server that supports ` + "`keep_firing_for`" + `.

Results are grouped by cluster, namespace, job and service. If your scrape configuration does not set one of the first three
labels, it is absent. Availability counts failures caused by the provider or the network, including errors inside a 200. Dry
runs and calls that the program canceled do not count. A client's own mistakes count as answered.

## How alerts decide

- **States** (KsyunApiAuthFailing, KsyunApiThrottled, KsyunApiOutage, KsyunApiBadRequests) fire as long as their cause lasts.
  A state begins when a share of the calls of the last 15 minutes fails, and at least ` + Threshold("minFailures") + ` of them, at one tap or over all taps of a
  job; or, with few calls, after ` + Threshold("minFailures") + ` failures without a success since. It ends when the share at every tap is below half of that. If there are no calls for
  15 minutes, the state is kept until the next call, for up to an hour (throttling, outages) or a day (credentials, bad requests), so
  that the alert of a cron job does not flap. If a program is stopped for good while its calls fail, its alert keeps firing for that
  long: silence it.
- **Spikes** of rejected or throttled calls begin at ` + Threshold("spikeFailures") + ` failures in 15 minutes that are at least a hundredth of the calls and more than
  ` + Threshold("spikeFactor") + ` times those of the same hour one day and one week before. They need a day of history.
- **Events** (a wrong clock, a missing policy, an error inside a 200, a new code) fire at the first one, and resolve 75 minutes
  after the last.
- **Burn rates** need 5 failures in their long window.

Alerts read ` + "`ksyun_api_attempts_total`" + `, whose series exist with the value 0 before the first failure. The first event of a new
series is counted, too: the first value of a series is counted in full if the tap was scraped before without that series, or has
just started. Prometheus' ` + "`--enable-feature=created-timestamp-zero-ingestion`" + ` does the same for every query, using the
created timestamp of each counter (in the protobuf format, which that flag negotiates).

The table shows the results for a thousand series that fail for the first time, in random phases, with a scrape a minute, after
three scrapes of each (TestNewbornSeriesAreCounted, and the same test with the installed Prometheus):

| failures each | query | Prometheus 2.42 | 3.16 | 3.16 with the flag |
|---|---|---|---|---|
| 1 | ` + "`increase(ksyun_api_errors_total[15m])`" + ` | 0 | 0 | 1,066 |
| 1 | ` + "`increase(ksyun_api_attempts_total[15m])`" + ` | 1,029 | 1,029 | 1,029 |
| 1 | the count of alerts, of either metric | 1,000 | 1,000 | 1,000 |
| 1 | errors shown by panels: a table, and the sum of a graph | 1,000 | 1,000 | 1,000 |
| 3 in a minute | ` + "`increase(ksyun_api_errors_total[15m])`" + ` | 880 | 874 | 3,212 |
| 3 in a minute | ` + "`increase(ksyun_api_attempts_total[15m])`" + ` | 3,088 | 3,088 | 3,088 |
| 3 in a minute | the count of alerts, of either metric | 3,000 | 3,000 | 3,000 |
| 3 in a minute | errors shown by panels: a table, and the sum of a graph | 3,000 | 3,000 | 3,000 |

` + "`increase`" + ` extrapolates to the ends of its window, so its result is too high if all failures are in the middle.

## Alerts

| alert | severity | blame | for | keeps firing for | summary |
|---|---|---|---|---|---|
`)
	for _, r := range Alerts() {
		name := r.Alert
		if w := r.Labels["window"]; w != "" {
			name += " (" + w + ")"
		}
		fmt.Fprintf(&b, "| [%s](runbooks/%s.md) | %s | %s | %s | %s | %s |\n", name, r.Alert, r.Labels["severity"], r.Labels["blame"], r.For, r.KeepFiringFor, r.Summary)
	}
	b.WriteString(scenarioText + scenarios + burnRateText + burnRateTable + mutantText)
	b.WriteString("\n## Thresholds\n\nChange them in `internal/monitoring/rules/thresholds.go` (then run `make generate`), or in the mixin's `_config`.\n\n| name | value | meaning |\n|---|---|---|\n")
	for _, t := range thresholds {
		fmt.Fprintf(&b, "| `%s` | `%s` | %s |\n", t.name, t.value, t.help)
	}
	b.WriteString("\n## Recording rules\n\nFor the windows " + strings.Join(windows, ", ") + ": the rate of the calls that count, the rate of failed ones,\nand their ratio. Windows longer than an hour sum the 5-minute rules to keep queries cheap, and may end up to 5 minutes ago. The\n30-day value is complete after 30 days. The other rules are for the alerts.\n")
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

const mutantText = `
### What the unit tests notice

` + "`make mutate-alerts`" + ` changes each rule, one thing at a time, and runs the unit tests of ` + "`deploy/prometheus/tests`" + ` that need the
rule, by Prometheus' own rule engine, until one fails (TestMutants). Numbers, ranges, offsets and durations are doubled and halved,
or dropped; operators are replaced; operands, matchers and labels are dropped. A mutant is equivalent if its result is always the
same: test/alerts lists the reasons. The command prints every other mutant for which no test fails. Its last run, on 2026-11-26,
took 5 to 13 minutes of two cores, depending on their load, and found none:

| change | mutants | killed | equivalent |
|---|---|---|---|
| comparison | 254 | 238 | 16 |
| set operator | 374 | 374 | 0 |
| operand | 374 | 374 | 0 |
| threshold | 376 | 355 | 21 |
| range | 224 | 178 | 46 |
| offset | 144 | 144 | 0 |
| matcher dropped | 149 | 53 | 96 |
| matcher inverted | 149 | 149 | 0 |
| alternative dropped | 114 | 84 | 30 |
| grouping label | 510 | 510 | 0 |
| matching label | 215 | 215 | 0 |
| ` + "`for`" + ` | 52 | 52 | 0 |
| ` + "`keep_firing_for`" + ` | 43 | 43 | 0 |
| label | 64 | 64 | 0 |
| all | 3,042 | 2,833 | 209 |

Most equivalent mutants drop a matcher from an operand that another operand restricts to the same series.
`

const burnRateText = `
### Few failures

A burn rate with few failures depends on each of them. The rules subtract values of counters, so each failure is in exactly
one record of 5 minutes, and a window contains each failure once. (The mean of Prometheus' ` + "`rate`" + ` would count a failure as 0
or 1.25, depending on its time.) The table shows the number of failures that the rules count in each window, and the number
that happened, at the hour at which they differ most. Prometheus scrapes and evaluates once a minute, for three and a half
days (TestBurnRatesAreExact). They can only differ if a tap is restarted or a scrape fails: a failure after the last scrape
of a process is lost, and after a failed scrape 5 minutes are extrapolated.

`

const scenarioText = `
## What fires when

The calls of simulated programs are replayed through the rules by Prometheus' own rule engine (test/alerts; make alerts-table
writes the table). Scrapes and evaluations happen once a minute, for all taps at once. At first all calls succeed, then the
cause lasts for five hours or for 27, then it ends. "After" is the time since the first failed call, "ends after" the time since
the end of the cause. Both are the slowest over all phases between calls and scrapes. No alert in the column "fires" resolves
while its cause lasts, and no alert fires before the cause. The rows of five hours do not include burn rates.

`
