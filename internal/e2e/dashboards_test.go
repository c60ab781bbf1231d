//go:build e2e

package e2e

import (
	"fmt"
	"math"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/grafana"
	"github.com/ksyun-tap/ksyun-tap/internal/picture"
	"github.com/ksyun-tap/ksyun-tap/internal/rules"
)

// TestDashboardsTellTheTruth plays a day, asks every query of every panel at
// its moments, and holds each answer against what the programs did and the
// simulator answered. Rules are asked, too; and the pictures of docs/dashboards
// are drawn of what Prometheus says.
func TestDashboardsTellTheTruth(t *testing.T) {
	d := playDay(t)
	for _, board := range grafana.All() {
		for _, p := range board.Panels {
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
				d.verify(fmt.Sprintf("%s %q %s", where, p.Title, target.RefID), target.Expr, all[i])
			}
		}
		for _, a := range board.Annotations.List {
			if a.Expr != "" && len(d.ask(a.Expr, moments[0])) == 0 {
				t.Errorf("%s: the annotation %s gives nothing: %s", board.UID, a.Name, a.Expr)
			}
		}
	}
	t.Run("rules", d.verifyRules)
	t.Run("pictures", d.draw)
}

// truth is what a query is to answer.
type truth struct {
	by        []string // the labels that tell its series apart
	at        []int    // minutes; nil is all moments
	want      func(d *day, minute int) map[string]float64
	tolerance float64 // share of the value; 0 is 1 %
	// holds, in place of want, tells what is wrong with the answer.
	holds func(d *day, minute int, got map[string]float64) string
	// silent is for a query that this Prometheus has nothing for.
	silent bool
}

// verify asks a query at all its moments.
func (d *day) verify(where, expr string, is truth) {
	d.t.Helper()
	at, answered := is.at, false
	if at == nil {
		at = moments
	}
	for _, minute := range at {
		got := map[string]float64{}
		for _, s := range d.ask(expr, minute) {
			answered = true
			values := make([]string, len(is.by))
			for i, l := range is.by {
				values[i] = s.Metric[l]
			}
			v, err := strconv.ParseFloat(fmt.Sprint(s.Value[1]), 64)
			if err != nil {
				d.t.Errorf("%s: %v", where, err)
			}
			if v != 0 && !math.IsNaN(v) {
				got[strings.Join(values, "|")] += v
			}
		}
		if is.holds != nil {
			if wrong := is.holds(d, minute, got); wrong != "" {
				d.t.Errorf("%s at %s: %s: %s", where, clock(minute), wrong, jsonText(got))
			}
			continue
		}
		if is.silent {
			continue
		}
		tolerance := is.tolerance
		if tolerance == 0 {
			tolerance = 0.01
		}
		want := is.want(d, minute)
		if !alike(got, want, tolerance) {
			d.t.Errorf("%s at %s: says %s, and it was %s", where, clock(minute), jsonText(got), jsonText(want))
		}
	}
	if answered == is.silent {
		d.t.Errorf("%s: answered %v: %s", where, answered, expr)
	}
}

func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// alike compares values by name; zeros do not count.
func alike(got, want map[string]float64, tolerance float64) bool {
	for k, w := range want {
		if math.Abs(got[k]-w) > tolerance*math.Abs(w)+1e-9 {
			return false
		}
	}
	for k := range got {
		if want[k] == 0 {
			return false
		}
	}
	return true
}

// ask asks a query as of a minute, with everything chosen.
func (d *day) ask(expr string, minute int) []series {
	d.t.Helper()
	expr = grafana.Fill(expr, "5m", "24h")
	var answer struct {
		Data struct{ Result []series }
	}
	getJSON(d.t, d.prom.url+"/api/v1/query?time="+strconv.FormatInt(d.at(minute).Unix(), 10)+"&query="+url.QueryEscape(expr), &answer)
	return answer.Data.Result
}

// What counts, and what counts as a failure that is not the program's own.
func countedCall(e *event) bool { return e.outcome != "dry_run" && e.outcome != "canceled" }
func faultyCall(e *event) bool  { return e.blame == "provider" || e.blame == "network" }
func failedCall(e *event) bool  { return e.failed() }

func in(label string, values ...string) func(*event) bool {
	return func(e *event) bool { return slices.Contains(values, e.label(label)) }
}

var theEnd = []int{minutesOfDay}

// perSecond is how many such calls there are in a second.
func perSecond(where func(*event) bool, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 { return scaled(d.count(minute, 5, by, where), 1.0/300) }}
}

// wholeDay is how many there were. What a counter has when it is first seen is
// lost to Prometheus.
func wholeDay(where func(*event) bool, by ...string) truth {
	return truth{by: by, at: theEnd, tolerance: 0.04, want: func(d *day, minute int) map[string]float64 { return d.count(minute, minutesOfDay, by, where) }}
}

// shareOf is how many of the calls that count are such calls.
func shareOf(where func(*event) bool, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 {
		return over(d.count(minute, 5, by, where), d.count(minute, 5, by, countedCall))
	}}
}

// said is what the taps said themselves of a gauge, changed how says what they
// said of a counter.
func said(metric string, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 { return d.raw(minute, metric, by...) }}
}

func changed(metric string, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 { return d.rawRate(minute, metric, by...) }}
}

// inWaysIn is so many a minute, of each reason if there are any, while calls
// reach the taps by every way.
func inWaysIn(perMinute float64, reasons ...string) truth {
	if len(reasons) == 0 {
		return truth{want: func(_ *day, minute int) map[string]float64 {
			if !during(waysIn, minute-1) {
				return nil
			}
			return map[string]float64{"": perMinute / 60}
		}}
	}
	return truth{by: []string{"reason"}, want: func(_ *day, minute int) map[string]float64 {
		if !during(waysIn, minute-1) {
			return nil
		}
		all := map[string]float64{}
		for _, r := range reasons {
			all[r] = perMinute / 60
		}
		return all
	}}
}

func one(v func(d *day, minute int) float64) func(*day, int) map[string]float64 {
	return func(d *day, minute int) map[string]float64 { return map[string]float64{"": v(d, minute)} }
}

func number(v float64) truth { return truth{want: one(func(*day, int) float64 { return v })} }

// during1 is 1 in a span of minutes, and else 0.
func during1(span [2]int) truth {
	return truth{want: one(func(_ *day, minute int) float64 {
		if during(span, minute-1) {
			return 1
		}
		return 0
	})}
}

func scaled(values map[string]float64, by float64) map[string]float64 {
	for k := range values {
		values[k] *= by
	}
	return values
}

func over(a, b map[string]float64) map[string]float64 {
	for k := range a {
		a[k] /= b[k]
	}
	return a
}

// faultShare is the share of failures of provider and network over a window.
func faultShare(d *day, minute, window int) float64 {
	return d.count(minute, window, nil, faultyCall)[""] / d.count(minute, window, nil, countedCall)[""]
}

func burns(window int) truth {
	// Recorded every five minutes, so looked at where those are.
	at := []int{hours(8.5), hours(10.5), hours(16.5), minutesOfDay}
	if window < 360 {
		at = append(at, hours(6.5))
	}
	return truth{
		at:   at,
		want: one(func(d *day, minute int) float64 { return faultShare(d, minute, min(window, minute)) / 0.001 }), tolerance: 0.1, // what counters have when first seen is lost
	}
}

// quantiles holds quantiles against what is known of the durations: that calls
// of a tenth of a second and more are one in six while it is slow, and that
// there are none else.
func quantiles(q float64, by ...string) truth {
	return truth{by: by, holds: func(_ *day, minute int, got map[string]float64) string {
		slowly := during([2]int{hours(5), hours(5.5)}, minute-1)
		for k, v := range got {
			if slowly && q >= 0.95 && (k == "" || k == "success" || k == "GetMetricStatistics") {
				if v < 0.1 || v > 0.5 {
					return "it was slow, by 0.15 s"
				}
			} else if q < 0.95 && v > 0.25 {
				return "it was fast"
			}
		}
		if len(got) == 0 {
			return "there were calls"
		}
		return ""
	}}
}

var never = truth{silent: true}

func none(*day, int) map[string]float64 { return nil }

// truths are what each panel's queries are to answer, by dashboard and panel.
var truths = map[string][]truth{
	"ksyun-tap-overview/1":  {{at: theEnd, want: one(func(d *day, m int) float64 { return 1 - faultShare(d, m, minutesOfDay) })}},
	"ksyun-tap-overview/2":  {{at: theEnd, want: one(func(d *day, m int) float64 { return 1 - faultShare(d, m, minutesOfDay)/0.001 }), tolerance: 0.04}},
	"ksyun-tap-overview/3":  {perSecond(nil)},
	"ksyun-tap-overview/4":  {{want: one(func(d *day, m int) float64 { return d.count(m, 5, nil, failedCall)[""] / d.count(m, 5, nil, nil)[""] })}},
	"ksyun-tap-overview/5":  {wholeDay(in("category", "auth", "clock", "permission"))},
	"ksyun-tap-overview/6":  {wholeDay(in("category", "throttled"))},
	"ksyun-tap-overview/7":  {perSecond(failedCall, "blame")},
	"ksyun-tap-overview/8":  {perSecond(failedCall, "category")},
	"ksyun-tap-overview/9":  {burns(5), burns(60), burns(360)},
	"ksyun-tap-overview/10": {perSecond(nil, "outcome")},
	"ksyun-tap-overview/11": {wholeDay(failedCall, "service", "action", "version"), {
		by: []string{"service", "action", "version"}, at: theEnd, tolerance: 0.04, want: func(d *day, m int) map[string]float64 {
			by := []string{"service", "action", "version"}
			return over(d.count(m, minutesOfDay, by, failedCall), d.count(m, minutesOfDay, by, nil))
		},
	}},
	"ksyun-tap-overview/12": {wholeDay(failedCall, "code")},
	"ksyun-tap-overview/13": {{by: []string{"service", "category"}, holds: func(d *day, m int, got map[string]float64) string {
		for k := range d.count(m, m-1, []string{"service", "category"}, failedCall) {
			if m > deployAt && len(d.count(m, m-deployAt, []string{"category"}, in("category", strings.Split(k, "|")[1]))) == 0 {
				continue // forgotten by the restart
			}
			if at := time.UnixMilli(int64(got[k])); time.Since(at) > time.Hour || time.Since(at) < 0 {
				return k + " was within the hour in which the day was played, not at " + at.String()
			}
		}
		return ""
	}}},
	"ksyun-tap-overview/14": {
		{by: []string{"job", "instance"}, want: func(_ *day, m int) map[string]float64 {
			return map[string]float64{"ksyun-tap|" + tapNames[0]: 1, "ksyun-tap|" + tapNames[1]: 1 - during1(tapDown).want(nil, m)[""]}
		}},
		{by: []string{"instance"}, want: func(d *day, m int) map[string]float64 {
			return d.raw(m, "ksyun_tap_config_last_reload_successful", "instance")
		}},
		perSecond(failedCall, "instance"),
	},
	"ksyun-tap-overview/15": {never, {by: []string{"le"}, holds: func(d *day, m int, got map[string]float64) string {
		if want := d.count(m, 5, nil, nil)[""] / 300; math.Abs(got["+Inf"]-want) > 0.01*want {
			return fmt.Sprintf("all are %v", want)
		}
		return ""
	}}},
	"ksyun-tap-overview/16": {quantiles(0.5), quantiles(0.95), quantiles(0.99)},
	"ksyun-tap-overview/17": {quantiles(0.95, "action")},
	"ksyun-tap-overview/18": {{by: []string{"service"}, want: func(_ *day, m int) map[string]float64 {
		if during(hangs, m-1) {
			return map[string]float64{"monitor": 1}
		}
		return nil
	}}},
	"ksyun-tap-overview/19": {quantiles(0.95, "outcome")},

	"ksyun-tap-errors/1":  {perSecond(failedCall, "code")},
	"ksyun-tap-errors/2":  {perSecond(failedCall, "status")},
	"ksyun-tap-errors/3":  {perSecond(failedCall, "type")},
	"ksyun-tap-errors/4":  {perSecond(failedCall, "category")},
	"ksyun-tap-errors/5":  {perSecond(failedCall, "blame")},
	"ksyun-tap-errors/6":  {perSecond(failedCall, "action")},
	"ksyun-tap-errors/7":  {perSecond(failedCall, "version")},
	"ksyun-tap-errors/8":  {perSecond(failedCall, "region")},
	"ksyun-tap-errors/9":  {wholeDay(failedCall, "action", "version", "region", "code", "type", "status", "category", "blame")},
	"ksyun-tap-errors/10": {shareOf(faultyCall, "action")},
	"ksyun-tap-errors/11": {shareOf(faultyCall, "region")},
	"ksyun-tap-errors/12": {shareOf(faultyCall, "service")},
	"ksyun-tap-errors/13": {shareOf(in("category", "throttled"), "service")},
	"ksyun-tap-errors/14": {perSecond(in("category", "auth"), "code")},
	"ksyun-tap-errors/15": {perSecond(in("category", "permission"), "action")},
	"ksyun-tap-errors/16": {perSecond(in("category", "clock"), "instance")},
	"ksyun-tap-errors/17": {perSecond(in("outcome", "masked"), "action")},
	"ksyun-tap-errors/18": {perSecond(in("outcome", "partial"), "action")},
	"ksyun-tap-errors/19": {{by: []string{"action"}, want: func(d *day, m int) map[string]float64 {
		return scaled(d.count(m, 5, []string{"action"}, in("outcome", "partial")), float64(partial.items)/300)
	}}},
	"ksyun-tap-errors/20": {perSecond(in("category", "unknown"), "code")},
	"ksyun-tap-errors/21": {{by: []string{"reason"}, want: func(d *day, m int) map[string]float64 {
		return map[string]float64{
			"reset":    d.count(m, 5, nil, in("outcome", "proxy"))[""] / 300,
			"canceled": d.count(m, 5, nil, in("outcome", "canceled"))[""] / 300,
		}
	}}},
	"ksyun-tap-errors/22": {perSecond(nil, "status")},

	"ksyun-tap-fleet/1": {{want: one(func(_ *day, m int) float64 { return 2 - during1(tapDown).want(nil, m)[""] })}},
	"ksyun-tap-fleet/2": {during1(tapDown)},
	"ksyun-tap-fleet/3": {during1(badConfig)},
	"ksyun-tap-fleet/4": {during1(brokenPath)},
	"ksyun-tap-fleet/5": {{at: theEnd, tolerance: 0.04, want: one(func(d *day, m int) float64 {
		lost := func(m int) float64 { return d.raw(m, "ksyun_tap_observations_dropped_total", "reason")["write_failed"] }
		return lost(m) - lost(0) // the restart does not show: the tap loses the same lines at every start
	})}},
	"ksyun-tap-fleet/6": {number(0)},
	"ksyun-tap-fleet/7": {{want: func(d *day, m int) map[string]float64 {
		return scaled(d.raw(m, "ksyun_tap_ca_not_after_timestamp_seconds"), 1000)
	}}},
	"ksyun-tap-fleet/8": {
		{by: []string{"instance"}, want: func(d *day, m int) map[string]float64 {
			return scaled(d.raw(m, "process_start_time_seconds", "instance"), 1000)
		}},
		{by: []string{"instance"}, want: func(d *day, m int) map[string]float64 {
			return scaled(d.raw(m, "ksyun_tap_config_last_reload_success_timestamp_seconds", "instance"), 1000)
		}},
		said("process_resident_memory_bytes", "instance"),
	},
	"ksyun-tap-fleet/9":  {said("ksyun_tap_build_info", "version")},
	"ksyun-tap-fleet/10": {perSecond(nil, "instance")},
	"ksyun-tap-fleet/11": {perSecond(failedCall, "instance")},
	"ksyun-tap-fleet/12": {changed("ksyun_tap_observations_dropped_total", "sink", "reason")},
	"ksyun-tap-fleet/13": {{by: []string{"label"}, want: func(d *day, m int) map[string]float64 {
		return map[string]float64{"status": d.count(m, 5, nil, in("status", "_other"))[""] / 300}
	}}},
	"ksyun-tap-fleet/14": {{by: []string{"instance"}, want: none}},
	"ksyun-tap-fleet/15": {{by: []string{"stage"}, want: func(_ *day, m int) map[string]float64 {
		if during(brokenPath, m-1) {
			return map[string]float64{"upstream": 1}
		}
		return nil
	}}},
	"ksyun-tap-fleet/16": {said("ksyun_tap_path_check_duration_seconds", "instance")},
	"ksyun-tap-fleet/17": {said("ksyun_tap_journal_entries", "instance")},
	"ksyun-tap-fleet/18": {changed("process_cpu_seconds_total", "instance")},
	"ksyun-tap-fleet/19": {said("process_resident_memory_bytes", "instance"), said("ksyun_tap_buffer_bytes", "instance")},
	"ksyun-tap-fleet/20": {said("go_goroutines", "instance")},
	"ksyun-tap-fleet/21": {said("ksyun_tap_client_connections"), said("ksyun_tap_upstream_connections"), said("ksyun_tap_tunnels_open")},
	"ksyun-tap-fleet/22": {changed("ksyun_tap_client_received_bytes_total"), changed("ksyun_tap_client_sent_bytes_total")},
	"ksyun-tap-fleet/23": {changed("ksyun_tap_upstream_dials_total")},
	"ksyun-tap-fleet/24": {changed("ksyun_tap_client_connections_accepted_total"), inWaysIn(1), inWaysIn(2), inWaysIn(3)},
	"ksyun-tap-fleet/25": {inWaysIn(1), inWaysIn(3), {want: one(func(d *day, m int) float64 {
		return d.count(m, 5, nil, func(e *event) bool { return e.kind == long })[""] / 300
	})}},
	"ksyun-tap-fleet/26": {inWaysIn(1, "untrusted_ca")},
	"ksyun-tap-fleet/27": {changed("ksyun_tap_client_connections_refused_total"), changed("ksyun_tap_client_connections_reclaimed_total"), inWaysIn(1, "direct"), inWaysIn(1, "address")},
	"ksyun-tap-fleet/28": {inWaysIn(1), inWaysIn(0), inWaysIn(1), inWaysIn(1)},
	"ksyun-tap-fleet/29": {said("ksyun_tap_resign_credentials_last_reload_successful", "instance")},
}

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
				if len(d.ask(expr, minute)) > 0 {
					when = append(when, minute)
				}
			}
			span, happened := spans[r.Alert]
			switch {
			case happened && len(when) == 0 && r.Labels["window"] != "1d" && r.Labels["window"] != "3d":
				t.Errorf("%s is never true", r.Alert)
			case !happened && len(when) > 0:
				t.Errorf("%s is true at %s", r.Alert, clock(when[0]))
			case happened && len(when) > 0 && (when[0] <= span[0] || when[len(when)-1] > span[1]):
				t.Errorf("%s is true from %s to %s", r.Alert, clock(when[0]), clock(when[len(when)-1]))
			}
			continue
		}
		// There is no day before to be a spike beside, and no program that is wrong.
		happened := !strings.HasSuffix(r.Record, ":spike") && r.Record != "service:ksyun_api_bad_requests:state"
		if recorded := len(d.ask("count_over_time("+r.Record+"[1d])", minutesOfDay)) > 0; recorded != happened {
			t.Errorf("%s is recorded: %v, want %v", r.Record, recorded, happened)
		}
	}
	if len(spans) != 16 || len(rules.Alerts()) < len(spans) {
		t.Errorf("%d alerts are looked at", len(spans))
	}
}

// draw draws each dashboard.
func (d *day) draw(t *testing.T) {
	dir := os.Getenv(picturesVariable)
	if dir == "" {
		dir = t.TempDir()
	}
	dir = must(filepath.Abs(dir))
	for _, board := range grafana.All() {
		page, err := picture.HTML(t.Context(), board, picture.Source{URL: d.prom.url, From: d.begin, To: d.at(minutesOfDay)})
		if err != nil {
			t.Errorf("%s: %v", board.UID, err)
			continue
		}
		file := filepath.Join(t.TempDir(), board.UID+".html")
		writeFile(t, file, string(page))
		screenshot(t, file, filepath.Join(dir, board.UID+".png"), picture.Height(board))
	}
}

// fileRules reads the rules of a rule file.
func fileRules(t *testing.T, text []byte) []ruleOfFile {
	t.Helper()
	var file struct {
		Groups []struct{ Rules []ruleOfFile }
	}
	if err := yaml.Unmarshal(text, &file); err != nil {
		t.Fatal(err)
	}
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
