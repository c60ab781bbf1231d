package rules

import (
	"fmt"
	"strconv"
	"strings"
)

// The windows and series that the alerts on the API share.
const (
	// target are the labels that identify a tap.
	target = "cluster, namespace, job, instance"
	// window is the time over which failures are counted.
	window = "15m"
	// knownTap selects the taps whose new series began within the window: see KnownTaps.
	knownTap = "instance:ksyun_tap:known" + window
	// attempts counts the attempts in the window by cause, perService all of them.
	attempts   = "instance_category_blame:ksyun_api_attempts:increase" + window
	perService = "service:ksyun_api_attempts:increase" + window
	// spikes selects the categories that are far above the days before.
	spikes = "category:ksyun_api_attempts:spike"
)

// Events returns an expression for the number of events in a window, including
// those of series that did not exist before it. The whole value of such a series
// is new if its tap was scraped without the series before, or has started since
// (known). Otherwise, after a Prometheus could not scrape a tap for a while, all
// events since the tap's start would be taken for new. For other series the
// values are subtracted, which is exact where increase extrapolates. Series that
// were reset, or not scraped at the window's start, use increase.
func Events(series, window, known string) string {
	return fmt.Sprintf(`(((last_over_time(%[1]s[%[2]s]) unless %[1]s offset %[2]s) and on (%[3]s) %[4]s
or
(last_over_time(%[1]s[%[2]s]) - %[1]s offset %[2]s >= 0)) and resets(%[1]s[%[2]s]) == 0
or
increase(%[1]s[%[2]s]))`, series, window, target, known)
}

// KnownTaps returns an expression for the taps of which a series that did not
// exist before the window is known to have begun within it. The window's seconds
// may be an expression.
func KnownTaps(window, seconds string) string {
	return fmt.Sprintf(`group by (%[1]s) (ksyun_tap_build_info offset %[2]s)
or
group by (%[1]s) (last_over_time(process_start_time_seconds[%[2]s]) > time() - %[3]s - 120 and on (%[1]s) last_over_time(ksyun_tap_build_info[%[2]s]))`,
		target, window, seconds) // and two scrapes before the first value
}

// Counted15m returns an expression for the events of 15 minutes, as alerts count them.
func Counted15m(series string) string { return Events(series, window, knownTap) }

// recent returns an expression for the number of events of a kind within the
// window, empty if there were none.
func recent(by, series string) string {
	return "round(sum by (" + by + ") " + Counted15m(series) + ") > 0"
}

// state is a condition of a service on which an alert fires. It lasts as long as
// its cause, even if calls are few or come in bursts.
type state struct {
	name   string
	causes string // matchers of attempts that select the failures
	// categories are the categories of these failures that the tap counts since
	// the last success.
	categories string
	ratio      string // the threshold for their share
	spike      string // the category that may also be far above the days before
	// hold is how long a state is kept after the last call, for programs that make
	// calls only that often.
	hold string
}

// The states. Wrong credentials and wrong requests do not recover by themselves,
// so their states are kept for a day without calls; limits and outages for an hour.
var (
	stateAuth        = state{"auth", `category="auth"`, `auth`, "authRatio", "auth", "25h"}
	stateThrottled   = state{"throttled", `category="throttled"`, `throttled`, "throttledRatio", "throttled", "75m"}
	stateOutage      = state{"outage", Faults, `server|timeout|network`, "outageRatio", "", "75m"}
	stateBadRequests = state{"bad_requests", `blame="client"`, `request|not_found|too_large`, "badRequestRatio", "", "25h"}
)

// record returns the name of the recorded series, which is the share of failing
// calls while the state lasts, and absent otherwise.
func (s state) record() string { return "service:ksyun_api_" + s.name + ":state" }

// rule returns the recording rule of the state. It is evaluated for each tap, so
// that a busy tap does not hide a quiet one, and over all taps of a job, so that
// many taps with few calls are noticed.
func (s state) rule() Rule {
	const each = by + ", instance"
	was := fmt.Sprintf("last_over_time(%s[10m])", s.record())
	share := func(by string) string {
		return fmt.Sprintf("sum by (%[1]s) (%[2]s{%[3]s}) / sum by (%[1]s) (%[2]s)", by, attempts, s.causes)
	}
	enough := func(by string) string {
		return fmt.Sprintf("%s >= %%(%s)s and sum by (%s) (%s{%s}) >= %%(minFailures)s", share(by), s.ratio, by, attempts, s.causes)
	}
	failed := fmt.Sprintf(`sum by (%s) (ksyun_api_errors_since_success{category=~"%s"})`, each, s.categories)
	parts := []string{
		"# a share of the last 15 minutes' calls, of a tap or of the job", enough(each), "or", enough(by),
		"# nothing but failures since the last success", "or",
		fmt.Sprintf("%s / sum by (%s) (ksyun_api_errors_since_success)", failed, each),
		fmt.Sprintf("and %s >= %%(minFailures)s", failed),
		fmt.Sprintf("and on (%s) time() - ksyun_api_last_success_timestamp_seconds > %%(quietSeconds)s", each),
		fmt.Sprintf(`and on (%s) time() - ksyun_api_last_error_timestamp_seconds{category=~"%s"} < %d`, each, s.categories, seconds(s.hold)),
		"# on, and not yet below half the threshold at every tap", "or",
		fmt.Sprintf("%s >= %%(%s)s / 2 and on (%s) %s", share(each), s.ratio, by, was),
	}
	if s.spike != "" {
		parts = append(parts, "# far above the days before", "or", fmt.Sprintf(`sum by (%s) (%s{category="%s"})`, by, spikes, s.spike))
	}
	return Rule{
		Record: s.record(),
		Expr: fmt.Sprintf(`max by (%s) (
  %s
)
# on, and no call since
or
(%s unless on (%s) %s)
and on (%s) last_over_time(%s[%s])`, by, strings.Join(parts, "\n  "), was, by, perService, by, perService, s.hold),
	}
}

// apiRecords returns the recording rules that the alerts on the API need.
func apiRecords() []Rule {
	all := []Rule{
		{Record: knownTap, Expr: KnownTaps(window, strconv.Itoa(seconds(window)))},
		{Record: attempts, Expr: fmt.Sprintf("sum by (%s, service, category, blame) %s > 0", target, Counted15m("ksyun_api_attempts_total"))},
		{Record: perService, Expr: fmt.Sprintf("sum by (%s) (%s)", by, attempts)},
	}
	for _, of := range []struct{ part, metric, series string }{
		{"action", "requests", "ksyun_api_requests_total{" + Counted + "}"},
		{"action", "requests_partial", `ksyun_api_requests_total{outcome="partial"}`},
		{"action", "errors_provider", "ksyun_api_errors_total{" + Faults + "}"},
		{"action", "retries_failed", `ksyun_api_retries_total{outcome!="success"}`},
		{"region", "requests", "ksyun_api_requests_total{" + Counted + "}"},
		{"region", "errors_provider", "ksyun_api_errors_total{" + Faults + "}"},
	} {
		all = append(all, Rule{
			Record: fmt.Sprintf("instance_%s:ksyun_api_%s:increase%s", of.part, of.metric, window),
			Expr:   fmt.Sprintf("sum by (%s, service, %s) %s > 0", target, of.part, Counted15m(of.series)),
		})
	}
	const (
		byCause = by + ", category"
		cause   = "category:ksyun_api_attempts:increase" + window
	)
	elevated := fmt.Sprintf(`(%[1]s / on (%[2]s) group_left %[3]s > %%(spikeRatio)s and %[1]s >= %%(spikeFailures)s)`, cause, by, perService)
	all = append(all,
		Rule{Record: cause, Expr: fmt.Sprintf(`sum by (%s) (%s{category=~"auth|throttled"})`, byCause, attempts)},
		Rule{
			Record: spikes,
			Expr: fmt.Sprintf(`%[1]s
and on (%[2]s) (%[3]s offset 1d)
unless on (%[4]s) %[5]s <= %%(spikeFactor)s * max_over_time(%[5]s[1h] offset 1410m)
unless on (%[4]s) %[5]s <= %%(spikeFactor)s * max_over_time(%[5]s[1h] offset 10050m)
or
%[1]s and on (%[4]s) last_over_time(%[6]s[10m])`, elevated, by, perService, byCause, cause, spikes),
		})
	for _, s := range []state{stateAuth, stateThrottled, stateOutage, stateBadRequests} {
		all = append(all, s.rule())
	}
	return all
}

// retryStorm returns an expression for the share of an action's attempts that are
// retries which failed again, if it is above the threshold.
func retryStorm() string {
	sum := func(metric string) string {
		return fmt.Sprintf("sum by (%s, action) (instance_action:ksyun_api_%s:increase%s)", by, metric, window)
	}
	return fmt.Sprintf("%[1]s / %[2]s > %%(retryRatio)s\nand %[1]s >= %%(retryFailures)s", sum("retries_failed"), sum("requests"))
}

// partFails returns an expression for the share of an action's or a region's
// calls that failed, of a tap or of the job, if it is above the threshold.
func partFails(part, errors, ratio string) string {
	requests := fmt.Sprintf("instance_%s:ksyun_api_requests:increase%s", part, window)
	var parts []string
	for _, by := range []string{by + ", " + part, by + ", instance, " + part} {
		parts = append(parts, fmt.Sprintf(`sum by (%[1]s) (%[2]s) / sum by (%[1]s) (%[3]s) > %%(%[4]s)s and sum by (%[1]s) (%[2]s) >= %%(minFailures)s`,
			by, errors, requests, ratio))
	}
	return fmt.Sprintf("max by (%s, %s) (\n  %s\n)", by, part, strings.Join(parts, "\n  or\n  "))
}

// tapRecords returns the recording rules that the alerts on taps need.
func tapRecords() []Rule {
	return []Rule{{
		// Remember that a target is a tap as long as it is a target.
		Record: "instance:ksyun_tap:known",
		Expr: fmt.Sprintf(`group by (%[1]s) (ksyun_tap_build_info)
or
last_over_time(instance:ksyun_tap:known[6h]) and on (%[1]s) up`, target),
	}}
}
