//go:build e2e

package e2e

import (
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
	"github.com/ksyun-tap/ksyun-tap/test/picture"
)

// TestDashboardsShowWhatHappened simulates a day, sends every query of every
// panel at certain moments, and compares each result with what the programs and
// the simulator did. Rules are checked, too, and the pictures of
// docs/dashboards are drawn from Prometheus' results.
func TestDashboardsShowWhatHappened(t *testing.T) {
	t.Parallel()
	d := play(t, dayScript, minutesOfDay, dayMoments)
	d.verifyPanels(dashboards.All(), truths)
	t.Run("rules", d.verifyRules)
	t.Run("alerts", d.verifyAlertsSayTheSame)
	t.Run("pictures", d.draw)
}

// TestDashboardsOfAQuietHour simulates an hour in which nearly every failure is
// the first of its kind. No panel that counts failures may miss one.
func TestDashboardsOfAQuietHour(t *testing.T) {
	t.Parallel()
	var moments []int
	for minute := 2; minute <= 60; minute++ {
		if minute%2 == 0 || minute%15 == 0 {
			moments = append(moments, minute)
		}
	}
	d := play(t, hourScript, 60, moments)
	all, failed, codes := 0, d.count(60, 60, nil, failedCall)[""], d.count(60, 60, []string{"code"}, failedCall)
	for _, e := range d.events {
		all += e.n
	}
	if all != 735 || failed != 14 || len(codes) != 8 {
		t.Fatalf("%d calls, %v failures, codes %v", all, failed, codes)
	}
	hour := maps.Clone(truths)
	for where, all := range hour {
		all = slices.Clone(all)
		for i := range all {
			if all[i].tolerance <= 0.04 { // no counter is reset in this hour, so that none is extrapolated
				all[i].tolerance = 1e-9
			}
		}
		hour[where] = all
	}
	hour["ksyun-tap-overview/2"] = []truth{{end: true, want: none}}
	// Over more than an hour it is the mean of what is recorded over five minutes, of
	// which rate sees four: a call counts as one and a quarter, or not at all.
	roughly := burned(60)
	roughly.tolerance = 0.5
	hour["ksyun-tap-overview/9"] = []truth{burned(60), roughly, roughly, roughly}
	boards := dashboards.All()
	d.verifyPanels(slices.DeleteFunc(boards, func(b dashboards.Dashboard) bool { return b.UID == rules.FleetUID }), hour)
	// What a graph shows of the hour is all that happened in it.
	for where, is := range map[string]struct {
		every int
		where func(*event) bool
	}{
		"ksyun-tap-overview/5/1": {2, failedCall}, "ksyun-tap-errors/1/0": {2, failedCall},
		"ksyun-tap-errors/7/0": {15, in("category", "permission")}, "ksyun-tap-errors/8/0": {15, in("category", "clock")},
		"ksyun-tap-errors/9/0": {15, in("outcome", "masked")}, "ksyun-tap-errors/11/0": {15, in("category", "unknown")},
	} {
		target, sum := targetOf(t, where), 0.0
		for minute := is.every; minute <= 60; minute += is.every {
			for _, v := range d.values(target, minute, dashboards.Zoom{}) {
				sum += v
			}
		}
		if strings.Contains(target.Expr, "* 60000 / $__interval_ms") {
			sum *= float64(is.every)
		}
		if want := d.count(60, 60, nil, is.where)[""]; math.Abs(sum-want) > 1e-6 {
			t.Errorf("%s shows %v events of the hour, and there were %v", where, sum, want)
		}
	}
	t.Run("alerts", d.verifyAlertsSayTheSame)
	// The taps are two, whatever else is scraped.
	for _, where := range []string{"ksyun-tap-fleet/1/0", "ksyun-tap-fleet/1/1", "ksyun-tap-fleet/6/0", "ksyun-tap-fleet/6/2"} {
		for _, s := range d.ask(targetOf(t, where), 60, dashboards.Zoom{}) {
			assert.Contains(t, tapNames[:], s.Metric["instance"], "%s shows %v", where, s.Metric)
		}
	}
}

// targetOf is a query, by dashboard, panel and number.
func targetOf(t *testing.T, where string) dashboards.Target {
	t.Helper()
	for _, b := range dashboards.All() {
		for _, p := range b.Panels() {
			for i, target := range p.Targets {
				if fmt.Sprintf("%s/%d/%d", b.UID, p.ID, i) == where {
					return target
				}
			}
		}
	}
	t.Fatalf("there is no query %s", where)
	return dashboards.Target{}
}

// verifyPanels checks every query of every panel.
func (d *day) verifyPanels(boards []dashboards.Dashboard, truths map[string][]truth) {
	t := d.t
	t.Helper()
	for _, board := range boards {
		by := []string{""}
		for _, v := range board.Variables {
			if v.Name != "by" {
				continue
			}
			for _, o := range v.Options {
				by = append(by, o.Value)
			}
		}
		for _, p := range board.Panels() {
			for i, target := range p.Targets {
				if target.Datasource.Type != "prometheus" {
					continue
				}
				where := fmt.Sprintf("%s/%d", board.UID, p.ID)
				all := truths[where]
				if len(all) != len(p.Targets) {
					t.Errorf("%s %q has %d queries, %d truths", where, p.Title, len(p.Targets), len(all))
					break
				}
				where += fmt.Sprintf(" %q %s", p.Title, target.RefID)
				if !strings.Contains(target.Expr, "$by") {
					d.verify(where, target, all[i], dashboards.Zoom{})
					continue
				}
				for _, label := range by[1:] {
					d.verify(where+" by "+label, target, perMinute(failedCall, label), dashboards.Zoom{By: label})
				}
			}
		}
		for _, a := range board.Annotations {
			if a.Expr != "" && len(d.ask(dashboards.Target{Expr: a.Expr}, d.moments[0], dashboards.Zoom{})) == 0 {
				t.Errorf("%s: the annotation %s gives nothing: %s", board.UID, a.Name, a.Expr)
			}
		}
	}
}

// verifyAlertsSayTheSame compares the numbers of the alerts on calls with those
// of the panels that they lead to: of all taps, or of the one that is worst.
func (d *day) verifyAlertsSayTheSame(t *testing.T) {
	queries := map[string][]int{"KsyunApiActionFailing": {1}, "KsyunApiRegionFailing": {2}, "KsyunApiUnknownCodes": {0, 1}}
	said := map[string]bool{}
	for _, r := range rules.Alerts() {
		if r.Panel.UID != rules.ErrorsUID || slices.Contains(paced, r.Alert) {
			continue
		}
		which := queries[r.Alert]
		if which == nil {
			which = []int{0}
		}
		for _, minute := range d.moments {
			alert := 0.0
			for _, v := range d.values(dashboards.Target{Expr: rules.Fill(r.Expr)}, minute, dashboards.Zoom{}) {
				alert = max(alert, v)
			}
			if alert == 0 {
				continue
			}
			said[r.Alert] = true
			// A state is recorded of what is recorded. promtool marks nothing as stale, so
			// that each of both is seen for five minutes more.
			since := 0
			if strings.HasSuffix(r.Expr, ":state") {
				since = 10
			}
			var panel []float64
			for ago := 0; ago <= since && !slices.ContainsFunc(panel, func(v float64) bool { return math.Abs(v-alert) < 1e-9 }); ago++ {
				most := 0.0
				for _, tap := range []string{"", tapNames[0], tapNames[1]} {
					for _, i := range which {
						for _, v := range d.values(targetOf(t, fmt.Sprintf("%s/%d/%d", r.Panel.UID, r.Panel.ID, i)), minute-ago, dashboards.Zoom{Tap: tap}) {
							most = max(most, v)
						}
					}
				}
				panel = append(panel, most)
			}
			if math.Abs(panel[len(panel)-1]-alert) > 1e-9 {
				t.Errorf("%s at %s says %v, its panel %v", r.Alert, clock(minute), alert, panel)
			}
		}
	}
	for _, alert := range []string{"KsyunApiPermissionDenied", "KsyunApiClockSkew", "KsyunApiMaskedErrors", "KsyunApiUnknownCodes"} {
		assert.True(t, said[alert], "%s says nothing", alert)
	}
}

var (
	kindOfFailure = []string{"service", "action", "region", "code", "status", "category", "blame"}
	tapsUp        = truth{by: []string{"instance"}, want: func(_ *day, m int) map[string]float64 {
		return map[string]float64{tapNames[0]: 1, tapNames[1]: 1 - during1(tapDown).want(nil, m)[""]}
	}}
)

// truths are the expected results of each panel's queries, by dashboard and
// panel.
var truths = map[string][]truth{
	"ksyun-tap-overview/1": {{want: one(func(d *day, m int) float64 { return 2 - during1(tapDown).want(d, m)[""] })}, during1(tapDown)},
	"ksyun-tap-overview/2": {{at: []int{hours(1), hours(4.5), minutesOfDay}, want: one(func(d *day, m int) float64 { return max(0, 1-faultShare(d, m, m)/0.001) })}},
	"ksyun-tap-overview/3": {headroom("GetMetricStatistics", 3600), headroom("GetMetricStatisticsBatch", 180)},
	"ksyun-tap-overview/4": {{by: []string{"alertname", "severity"}, nothing: true, holds: func(d *day, m int, got map[string]float64) string {
		// It is recorded up to a minute late, and looked at up to five.
		for _, r := range rules.Alerts() {
			holds := 0
			for ago := range 8 {
				if len(d.values(dashboards.Target{Expr: rules.Fill(r.Expr)}, m-ago, dashboards.Zoom{})) > 0 {
					holds++
				}
			}
			if shown := got[r.Alert+"|"+r.Labels["severity"]] > 0; shown != (holds > 0) && holds%8 == 0 && r.Labels["window"] == "" {
				return fmt.Sprintf("%s holds in %d of 8 minutes, and is shown: %v", r.Alert, holds, shown)
			}
		}
		return ""
	}}},
	"ksyun-tap-overview/5": {perMinute(nil), perMinute(failedCall)},
	"ksyun-tap-overview/6": {{by: []string{"blame"}, nothing: true, want: func(d *day, m int) map[string]float64 {
		return scaled(d.count(m, 2, []string{"blame"}, failedCall), 1/d.count(m, 2, nil, nil)[""])
	}}},
	"ksyun-tap-overview/7": {quantiles(0.5), quantiles(0.95), quantiles(0.99)},
	"ksyun-tap-overview/8": {inAll(failedCall, kindOfFailure...), in15(failedCall, kindOfFailure...)},
	"ksyun-tap-overview/9": {burns(60), burns(360), burns(minutesOfDay), burns(3 * minutesOfDay)},

	"ksyun-tap-errors/1": {{}}, // by every label
	"ksyun-tap-errors/2": {inAll(failedCall, "instance", "service", "action", "version", "region", "code", "type", "status", "category", "blame")},
	"ksyun-tap-errors/3": {shareOf(faultyCall, "service"), shareOf(faultyCall, "action"), shareOf(faultyCall, "region")},
	"ksyun-tap-errors/4": {shareOf(in("category", "throttled"), "service")},
	"ksyun-tap-errors/5": {shareOf(in("category", "auth"), "service")},
	"ksyun-tap-errors/6": {shareOf(in("blame", "client"), "service")},
	"ksyun-tap-errors/7": {in15(in("category", "permission"), "action")},
	"ksyun-tap-errors/8": {
		in15(in("category", "clock"), "instance"),
		ifAny(said("ksyun_api_clock_skew_seconds", "instance", "client")),
		ifAny(said("ksyun_api_clock_skew_uncertainty_seconds", "instance", "client")),
	},
	"ksyun-tap-errors/9":  {in15(in("outcome", "masked"), "action"), changed15("ksyun_api_incomplete_results_total", "action", "reason")},
	"ksyun-tap-errors/10": {shareOf(in("outcome", "partial"), "action"), inMinutes(15, float64(partial.items), in("outcome", "partial"), "action")},
	"ksyun-tap-errors/11": {in15(in("category", "unknown"), "code"), {by: []string{"code"}, want: none, nothing: true}},
	"ksyun-tap-errors/12": {{by: []string{"reason"}, want: func(d *day, m int) map[string]float64 {
		return map[string]float64{"reset": d.count(m, 15, nil, in("outcome", "proxy"))[""], "canceled": d.count(m, 15, nil, in("outcome", "canceled"))[""]}
	}}},
	"ksyun-tap-errors/13": {inAll(nil, "service", "action", "version", "region", "outcome", "status")},
	"ksyun-tap-errors/14": {quantiles(0.95, "service", "action", "outcome")},
	"ksyun-tap-errors/15": {changed15("ksyun_api_credential_errors_total", "credential", "category"), bounded(1, 1, "credential", "reason")},
	"ksyun-tap-errors/16": {changed15("ksyun_api_retries_total", "action", "outcome")},
	"ksyun-tap-errors/17": {changed15("ksyun_api_calls_total", "action", "outcome"), {by: []string{"action"}, want: func(d *day, m int) map[string]float64 {
		return over(d.rawChange(m, 15, "ksyun_api_call_attempts_sum", "action"), d.rawChange(m, 15, "ksyun_api_call_attempts_count", "action"))
	}}},
	"ksyun-tap-errors/18": {changed15("ksyun_api_redundant_calls_total", "action", "reason")},
	"ksyun-tap-errors/19": {
		ifAny(said("ksyun_api_quota_used_ratio", "credential", "action", "version")),
		bounded(0, 3600, "credential", "action", "version"),
		bounded(180, 3600, "action", "version"),
		bounded(0, 1, "credential", "action", "version", "limit"),
	},
	"ksyun-tap-errors/20": {said("ksyun_api_program_info", "program", "signing", "scheme")},

	"ksyun-tap-fleet/1": {
		tapsUp,
		saidMillis("process_start_time_seconds", "instance"),
		said("ksyun_tap_config_last_reload_successful", "instance"),
		saidMillis("ksyun_tap_config_last_reload_success_timestamp_seconds", "instance"),
		said("ksyun_tap_path_check_success", "instance"),
		said("ksyun_tap_path_check_duration_seconds", "instance"),
		saidMillis("ksyun_tap_ca_not_after_timestamp_seconds", "instance"),
		said("ksyun_tap_resign_credentials_last_reload_successful", "instance"),
		{by: []string{"instance"}, want: none},
		said("ksyun_tap_journal_entries", "instance"),
		said("ksyun_tap_journal_file_healthy", "instance"),
		inAll(failedCall, "instance"),
	},
	"ksyun-tap-fleet/2": {changed("ksyun_tap_observations_dropped_total", "sink", "reason"), ifAny(changed("ksyun_tap_push_dropped_total", "signal", "reason")), ifAny(changed("ksyun_tap_journal_write_lost_total")), ifAny(changed("ksyun_tap_journal_write_failures_total"))},
	"ksyun-tap-fleet/3": {{by: []string{"stage"}, want: func(_ *day, m int) map[string]float64 {
		if during(brokenPath, m-1) {
			return map[string]float64{"upstream": 1}
		}
		return nil
	}}},
	"ksyun-tap-fleet/4": {
		inWaysIn(1, "untrusted_ca"), changed("ksyun_tap_client_connections_refused_total"), changed("ksyun_tap_client_connections_reclaimed_total"), number(0),
		inWaysIn(1, "direct"), inWaysIn(1, "address"), number(0),
	},
	"ksyun-tap-fleet/5": {
		inWaysIn(1), inWaysIn(3), perMinute(func(e *event) bool { return e.kind == long }),
		{by: []string{"label"}, want: func(d *day, m int) map[string]float64 {
			return map[string]float64{"status": d.count(m, 2, nil, in("status", "_other"))[""] / 2}
		}},
	},
	"ksyun-tap-fleet/6": {said("process_resident_memory_bytes", "instance"), said("ksyun_tap_buffer_bytes", "instance"), changedRate("process_cpu_seconds_total", "instance")},
	"ksyun-tap-fleet/7": {
		said("ksyun_tap_client_connections"), said("ksyun_tap_upstream_connections"), said("ksyun_tap_tunnels_open"),
		{by: []string{"service"}, want: func(_ *day, m int) map[string]float64 {
			if during(hangs, m-1) {
				return map[string]float64{"monitor": 1}
			}
			return nil
		}},
		changedRate("ksyun_tap_client_received_bytes_total"), changedRate("ksyun_tap_client_sent_bytes_total"),
	},
	"ksyun-tap-fleet/8": {
		changed("ksyun_tap_client_connections_accepted_total"), inWaysIn(1), inWaysIn(2), changed("ksyun_tap_upstream_dials_total"),
		inWaysIn(3), inWaysIn(1), inWaysIn(0), inWaysIn(1), inWaysIn(1),
	},
}

// paced are the alerts on how calls follow each other. The day is played faster than
// it passes, so that they may fire; promtool tests them.
var paced = []string{"KsyunApiQuotaNear", "KsyunApiRetryStorm"}

// verifyRules asks every rule over the day: none is an error, what is recorded
// is there, and each alert on what happened is true at its time, and only then.
func (d *day) verifyRules(t *testing.T) {
	spans := map[string][2]int{ // when an alert's condition holds, with room for its windows
		"KsyunApiOutage": {hours(6), hours(7.4)}, "KsyunApiActionFailing": {hours(6), minutesOfDay}, "KsyunApiRegionFailing": {hours(6), minutesOfDay},
		"KsyunApiErrorBudgetBurn": {hours(5), minutesOfDay}, "KsyunApiAuthFailing": {hours(2), hours(3.4)}, "KsyunApiThrottled": {hours(4), hours(5.4)},
		"KsyunApiMaskedErrors": {hours(10), hours(11.4)}, "KsyunApiPartialFailures": {hours(12), hours(13.4)}, "KsyunApiPermissionDenied": {hours(12), hours(14.4)},
		"KsyunApiClockSkew": {hours(14), hours(15.4)}, "KsyunApiUnknownCodes": {hours(15), hours(16.4)},
		"KsyunTapDown": {tapDown[0], tapDown[1] + 5}, "KsyunTapConfigReloadFailed": {badConfig[0], badConfig[1] + 5},
		"KsyunTapPathCheckFailing": {brokenPath[0], brokenPath[1] + 5}, "KsyunTapUntrusted": {waysIn[0], waysIn[1] + 15},
		"KsyunTapDroppingObservations": {0, minutesOfDay}, // its starts, too
	}
	text := must(os.ReadFile(deploy + "/prometheus/rules.yaml"))
	for _, r := range fileRules(t, text) {
		expr := r.Expr
		if r.Alert != "" { // the conditions, with the recorded series they need
			var when []int
			for minute := 5; minute <= minutesOfDay; minute += 5 {
				if len(d.ask(dashboards.Target{Expr: expr}, minute, dashboards.Zoom{})) > 0 {
					when = append(when, minute)
				}
			}
			span, happened := spans[r.Alert]
			switch {
			case happened && len(when) == 0 && r.Labels["window"] != "1d" && r.Labels["window"] != "3d":
				t.Errorf("%s is never true", r.Alert)
			case !happened && len(when) > 0 && !slices.Contains(paced, r.Alert):
				t.Errorf("%s is true at %s", r.Alert, clock(when[0]))
			case happened && len(when) > 0 && (when[0] <= span[0] || when[len(when)-1] > span[1]):
				t.Errorf("%s is true from %s to %s", r.Alert, clock(when[0]), clock(when[len(when)-1]))
			}
			continue
		}
		// There is no day before to be a spike beside, and no program that is wrong.
		happened := !strings.HasSuffix(r.Record, ":spike") && r.Record != "service:ksyun_api_bad_requests:state"
		if recorded := len(d.ask(dashboards.Target{Expr: "count_over_time(" + r.Record + "[1d])"}, minutesOfDay, dashboards.Zoom{})) > 0; recorded != happened {
			t.Errorf("%s is recorded: %v, want %v", r.Record, recorded, happened)
		}
	}
	assert.Len(t, spans, 16, "alerts")
	assert.GreaterOrEqual(t, len(rules.Alerts()), len(spans), "alerts")
}

// draw draws each dashboard but that of one call, which shows nothing from Prometheus.
func (d *day) draw(t *testing.T) {
	dir := os.Getenv(picturesVariable)
	if dir == "" {
		dir = t.TempDir()
	}
	dir = must(filepath.Abs(dir))
	for _, board := range dashboards.All() {
		if board.UID == "ksyun-tap-call" {
			continue
		}
		page, height, err := picture.HTML(t.Context(), board, picture.Source{URL: d.prom.url, From: d.begin, To: d.at(d.end)})
		if err != nil {
			t.Errorf("%s: %v", board.UID, err)
			continue
		}
		file := filepath.Join(t.TempDir(), board.UID+".html")
		testfile.Write(t, file, string(page), 0o600)
		screenshot(t, file, filepath.Join(dir, board.UID+".png"), height)
	}
}

// fileRules reads the rules of a rule file.
func fileRules(t *testing.T, text []byte) []ruleOfFile {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []ruleOfFile }
	}
	require.NoError(t, yaml.Unmarshal(text, &file))
	var all []ruleOfFile
	for _, g := range file.Groups {
		all = append(all, g.Rules...)
	}
	return all
}

type ruleOfFile struct {
	Record, Alert, Expr string
	Labels              map[string]string
}
