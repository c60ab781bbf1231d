package ruletests

import (
	"fmt"
	"maps"
	"slices"
	"strings"
)

// counting is a rule that counts events in a window.
type counting struct {
	rule       string // a recording rule or an alert
	metric     string
	counted    []labels // of series that count together
	others     []labels // of series that do not count
	by         []string // labels of the result besides cluster, namespace and job
	window     int      // in minutes
	perWindow  bool     // the record is the count divided by the window's seconds
	alert      labels   // of an alert: its labels
	wait, keep int      // of an alert: for and keep_firing_for, in minutes
}

var (
	success = labels{"service": "monitor", "category": "none", "blame": "none"}
	server  = labels{"service": "monitor", "category": "server", "blame": "provider"}
	timeout = labels{"service": "monitor", "category": "timeout", "blame": "network"}
	auth    = labels{"service": "monitor", "category": "auth", "blame": "credential"}
	limited = labels{"service": "monitor", "category": "throttled", "blame": "quota"}
	wrong   = labels{"service": "monitor", "category": "request", "blame": "client"}
	clock   = labels{"service": "monitor", "category": "clock", "blame": "credential"}

	request = labels{"service": "monitor", "action": "ListMetrics", "version": "v", "region": "r", "outcome": "success", "status": "200"}
	failure = labels{
		"service": "monitor", "action": "ListMetrics", "version": "v", "region": "r", "code": "InternalFailure", "type": "receiver",
		"status": "500", "category": "server", "blame": "provider",
	}
)

// severe are the labels of an alert.
func severe(severity, blame string) labels { return labels{"severity": severity, "blame": blame} }

var countings = []counting{
	{rule: "instance_category_blame:ksyun_api_attempts:increase15m", metric: "ksyun_api_attempts_total", counted: []labels{server}, by: []string{"instance", "service", "category", "blame"}, window: 15},
	{rule: "service:ksyun_api_requests:rate5m", metric: "ksyun_api_attempts_total", counted: []labels{success, wrong}, by: []string{"service"}, window: 5, perWindow: true},
	{rule: "service:ksyun_api_requests:rate30m", metric: "ksyun_api_attempts_total", counted: []labels{success, wrong}, by: []string{"service"}, window: 30, perWindow: true},
	{rule: "service:ksyun_api_errors_provider:rate5m", metric: "ksyun_api_attempts_total", counted: []labels{server, timeout}, others: []labels{success, wrong}, by: []string{"service"}, window: 5, perWindow: true},
	{rule: "service:ksyun_api_errors_provider:rate30m", metric: "ksyun_api_attempts_total", counted: []labels{server, timeout}, others: []labels{success, wrong}, by: []string{"service"}, window: 30, perWindow: true},
	{
		rule: "instance_action:ksyun_api_requests:increase15m", metric: "ksyun_api_requests_total", window: 15, by: []string{"instance", "service", "action"},
		counted: []labels{request, request.with("outcome", "error")}, others: []labels{request.with("outcome", "canceled"), request.with("outcome", "dry_run")},
	},
	{
		rule: "instance_region:ksyun_api_requests:increase15m", metric: "ksyun_api_requests_total", window: 15, by: []string{"instance", "service", "region"},
		counted: []labels{request, request.with("outcome", "error")}, others: []labels{request.with("outcome", "canceled"), request.with("outcome", "dry_run")},
	},
	{
		rule: "instance_action:ksyun_api_requests_partial:increase15m", metric: "ksyun_api_requests_total", window: 15, by: []string{"instance", "service", "action"},
		counted: []labels{request.with("outcome", "partial"), request.with("outcome", "partial", "region", "s")}, others: []labels{request},
	},
	{
		rule: "instance_action:ksyun_api_retries_failed:increase15m", metric: "ksyun_api_retries_total", window: 15, by: []string{"instance", "service", "action"},
		counted: []labels{request.only("service", "action").with("outcome", "wasted"), request.only("service", "action").with("outcome", "failed")},
		others:  []labels{request.only("service", "action", "outcome")},
	},
	{
		rule: "instance_action:ksyun_api_errors_provider:increase15m", metric: "ksyun_api_errors_total", window: 15, by: []string{"instance", "service", "action"},
		counted: []labels{failure, failure.with("category", "network", "blame", "network")}, others: []labels{failure.with("category", "request", "blame", "client")},
	},
	{
		rule: "instance_region:ksyun_api_errors_provider:increase15m", metric: "ksyun_api_errors_total", window: 15, by: []string{"instance", "service", "region"},
		counted: []labels{failure, failure.with("category", "network", "blame", "network")}, others: []labels{failure.with("category", "request", "blame", "client")},
	},
	{
		rule: "KsyunApiClockSkew", metric: "ksyun_api_attempts_total", window: 15, by: []string{"service"}, alert: severe("warning", "credential"), keep: 60,
		counted: []labels{clock, clock.with("instance", "j")}, others: []labels{success, auth},
	},
	{
		rule: "KsyunApiPermissionDenied", metric: "ksyun_api_errors_total", window: 15, by: []string{"service", "action"}, alert: severe("warning", "credential"), keep: 60,
		counted: []labels{failure.with("category", "permission"), failure.with("category", "permission", "region", "s")}, others: []labels{failure},
	},
	{
		rule: "KsyunApiMaskedErrors", metric: "ksyun_api_requests_total", window: 15, by: []string{"service", "action"}, alert: severe("warning", "provider"), keep: 60,
		counted: []labels{request.with("outcome", "masked"), request.with("outcome", "masked", "region", "s")}, others: []labels{request, request.with("outcome", "partial")},
	},
	{
		rule: "KsyunApiUnknownCodes", metric: "ksyun_api_errors_total", window: 15, by: []string{"service", "code"}, alert: severe("info", "provider"), keep: 60,
		counted: []labels{failure.with("category", "unknown", "code", "New"), failure.with("category", "unknown", "code", "New", "region", "s")},
		others:  []labels{failure.with("code", "New"), failure.with("category", "unknown", "code", "none", "status", "200")},
	},
	{
		rule: "KsyunApiUnknownCodes", metric: "ksyun_api_errors_total", window: 15, by: []string{"service", "code"}, alert: severe("info", "provider"), keep: 60,
		counted: []labels{failure.with("category", "unknown", "code", "none"), failure.with("category", "unknown", "code", "none", "region", "s")},
		others:  []labels{failure.with("code", "none"), failure.with("category", "unknown", "code", "none", "status", "206")},
	},
	{
		rule: "KsyunTapDroppingObservations", metric: "ksyun_tap_observations_dropped_total", window: 15, by: []string{"instance", "sink", "reason"}, alert: severe("warning", "tap"), wait: 5, keep: 60,
		counted: []labels{{"sink": "log", "reason": "queue_full"}}, others: []labels{{"sink": "log", "reason": "sampled"}, {"sink": "log", "reason": "shutdown"}},
	},
	{
		rule: "KsyunTapUntrusted", metric: "ksyun_tap_intercept_handshake_errors_total", window: 15, by: []string{"instance"}, alert: severe("warning", "client"), wait: 5, keep: 60,
		counted: []labels{{"reason": "untrusted_ca"}}, others: []labels{{"reason": "timeout"}},
	},
	{
		rule: "KsyunTapRedirectLoop", metric: "ksyun_tap_transparent_connections_refused_total", window: 15, by: []string{"instance"}, alert: severe("critical", "tap"), wait: 2,
		counted: []labels{{"reason": "loop"}}, others: []labels{{"reason": "direct"}},
	},
	{
		rule: "KsyunTapAtLimit", metric: "ksyun_tap_proxy_errors_total", window: 15, by: []string{"instance"}, alert: severe("warning", "tap"), keep: 60,
		counted: []labels{{"reason": "exhausted"}}, others: []labels{{"reason": "unreachable"}},
	},
	{rule: "KsyunTapAtLimit", metric: "ksyun_tap_client_connections_refused_total", window: 15, by: []string{"instance"}, alert: severe("warning", "tap"), keep: 60, counted: []labels{{}}},
	{rule: "KsyunTapPanics", metric: "ksyun_tap_panics_total", window: 15, by: []string{"instance"}, alert: severe("warning", "tap"), keep: 60, counted: []labels{{}}},
}

// episode is what happens at a tap, and in which minutes it counts as one event;
// in none if from is 0.
type episode struct {
	job      string
	series   []series
	from, to int
}

// events returns the tests of the rules that count events.
func events() file {
	f := file{about: "Which events count, in which minutes, for each rule that counts events.", every: 1}
	for _, c := range countings {
		at := c.window + 5 // the event
		end := at + c.window - 1
		f.tests = append(f.tests,
			c.test("", c.episodes(at), at-1, at, at+c.wait-1, at+c.wait, end-1+c.keep, end+c.keep, end+1+c.keep),
			c.test(", after restarts", c.restarts(at), end-2, end-2+c.keep, end+2+c.keep))
	}
	return f
}

// episodes are those of an event at a minute.
func (c counting) episodes(at int) []episode {
	w, m := c.window, float64(at)
	end := at + w - 1
	of := func(tap, l labels, value func(int) float64) series {
		all := maps.Clone(tap)
		maps.Copy(all, l)
		return series{c.metric, all, value}
	}
	first := c.counted[0]
	all := []episode{
		{"newborn", append(running(tap("newborn"), 0, forever, long), of(tap("newborn"), first, steps(none, m, 1))), at, end},
		{"started", append(running(tap("started"), at, forever, (m-2.5)*60), of(tap("started"), first, steps(none, m, 1))), at, end},
		{"started early", append(running(tap("started early"), at, forever, (m-3)*60), of(tap("started early"), first, steps(none, m, 1))), at, end - 1},
		{"gone", append(running(tap("gone"), at-1, at+2, (m-1)*60), of(tap("gone"), first, steps(none, m, 1, m+2, stale, m+3, none))), at, end},
		{"existing", append(running(tap("existing"), 0, forever, long), of(tap("existing"), first, steps(5, m, 6))), at, end},
		{"existing, gone", append(running(tap("existing, gone"), 0, at+2, long), of(tap("existing, gone"), first, steps(0, m, 1, m+2, stale, m+3, none))), at, end},
		{"after a reset", append(running(tap("after a reset"), 0, forever, long), of(tap("after a reset"), first, steps(3, m-3, 0, m, 1))), at, end},
		{"old", append(running(tap("old"), 0, forever, long), of(tap("old"), first, steps(5))), 0, 0},
	}
	// A tap that another Prometheus scraped before, beside taps that are known.
	unknown := episode{job: "unknown", series: append(running(tap("unknown"), at, forever, 120), of(tap("unknown"), first, steps(none, m, 100)))}
	for _, twin := range tap("unknown").twins("cluster", "namespace", "job", "instance") {
		unknown.series = append(unknown.series, running(twin, 0, forever, long)...)
	}
	all = append(all, unknown)
	if len(c.counted) > 1 { // two series, of which one is reset at the event of the other
		t := tap("one reset")
		all = append(all, episode{"one reset", append(running(t, 0, forever, long), of(t, first, steps(0, m, 1)), of(t, c.counted[1], steps(1, m, 0))), at, end})
		if c.counted[1]["instance"] == "" {
			t = tap("second")
			all = append(all, episode{"second", append(running(t, 0, forever, long), of(t, c.counted[1], steps(none, m, 1))), at, end})
			t = tap("second, existing")
			all = append(all, episode{"second, existing", append(running(t, 0, forever, long), of(t, c.counted[1], steps(5, m, 6))), at, end})
		}
	}
	for i, l := range c.others {
		rises, appears := tap(fmt.Sprintf("other %d, rises", i)), tap(fmt.Sprintf("other %d, appears", i))
		all = append(all,
			episode{job: rises["job"], series: append(running(rises, 0, forever, long), of(rises, l, steps(5, m, 6)))},
			episode{job: appears["job"], series: append(running(appears, 0, forever, long), of(appears, l, steps(none, m, 1)))})
	}
	return all
}

// restarts are episodes of taps that are restarted, of which the number of events
// is estimated.
func (c counting) restarts(at int) []episode {
	m, end := float64(at), float64(at+c.window-1)
	var all []episode
	for i, l := range c.counted[:min(len(c.counted), 2)] {
		for _, r := range []struct {
			job   string
			value func(int) float64
		}{
			{"before events", steps(2, m, 0, m+1, 2)},
			{"long after events", steps(1, m, 2, end-2, 0)},
		} {
			of := tap(fmt.Sprintf("%s %d", r.job, i))
			job := of["job"]
			started := running(of, 0, forever, long)
			maps.Copy(of, l)
			all = append(all, episode{job, append(started, series{c.metric, of, r.value}), at, at + c.window})
		}
	}
	return all
}

// test returns the test of episodes at some minutes.
func (c counting) test(name string, episodes []episode, minutes ...int) test {
	st := story{test: test{name: c.rule + name}}
	if len(c.by) > 0 && slices.Contains(c.by, "code") {
		st.name += " " + c.counted[0]["code"]
	}
	for _, e := range episodes {
		st.series = append(st.series, e.series...)
		if e.from == 0 {
			continue
		}
		all := tap(e.job)
		maps.Copy(all, c.counted[0])
		all = all.only(append([]string{"cluster", "namespace", "job"}, c.by...)...)
		if c.alert != nil {
			all = alert(c.rule, all, c.alert)
		}
		st.expected = append(st.expected, expectation{all, 1, e.from + c.wait, e.to + c.keep})
	}
	expr, metric := fmt.Sprintf("round(%s)", c.rule), ""
	switch {
	case c.alert != nil:
		expr, metric = firing(c.rule), "ALERTS"
	case name != "":
		expr = fmt.Sprintf("(%s > bool 0) == 1", c.rule)
	case c.perWindow:
		// After a reset, the count is estimated, up to a quarter too high.
		expr = fmt.Sprintf("round(%s * %d - 0.1) > 0", c.rule, c.window*60)
	}
	slices.Sort(minutes)
	t := st.at(expr, metric, slices.Compact(minutes)...)
	if c.perWindow && name == "" { // a value of 0, even from a single sample in the window
		values := story{test: t}
		end := 2*c.window + 4
		for _, e := range episodes {
			if !strings.HasPrefix(e.job, "other") {
				values.expect(e.job, 0, end+1, end+1)
			}
		}
		t = values.at(c.rule, c.rule, end+1)
	}
	return t
}
