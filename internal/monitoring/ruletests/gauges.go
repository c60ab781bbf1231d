package ruletests

import "maps"

// gauge is an alert on values that are not counted.
type gauge struct {
	alert      string
	labels     labels
	wait, keep int // minutes
	of         []reading
	by         []string // labels of the result besides cluster, namespace and job
}

// reading is a series of a tap, with the value that fires the alert and the nearest
// one that does not.
type reading struct {
	metric      string
	labels      labels
	fires, near float64
}

// healthy is a metric that is 1, or 0 if something fails.
func healthy(metric string) []reading { return []reading{{metric, labels{}, 0, 1}} }

// recorded is the record of a state.
func recorded(state string) []reading {
	return []reading{{"service:ksyun_api_" + state + ":state", labels{"service": "monitor", "instance": ""}, 0.5, none}}
}

var (
	client = labels{"client": "192.0.2.9"}
	key    = labels{"credential": "billing", "action": "ListMetrics", "version": "v"}
	each   = []string{"instance"}
)

var gaugeAlerts = []gauge{
	{alert: "KsyunApiAuthFailing", labels: severe("critical", "credential"), of: recorded("auth"), by: []string{"service"}},
	{alert: "KsyunApiThrottled", labels: severe("warning", "quota"), of: recorded("throttled"), by: []string{"service"}},
	{alert: "KsyunApiOutage", labels: severe("critical", "provider"), wait: 2, of: recorded("outage"), by: []string{"service"}},
	{alert: "KsyunApiBadRequests", labels: severe("warning", "client"), wait: 2, of: recorded("bad_requests"), by: []string{"service"}},
	{alert: "KsyunApiClockDrift", labels: severe("warning", "credential"), wait: 2, by: []string{"instance", "client"}, of: []reading{
		{"ksyun_api_clock_skew_seconds", client, -310, -310}, {"ksyun_api_clock_skew_uncertainty_seconds", client, 5, 10},
	}},
	{alert: "KsyunApiKeyRefused", labels: severe("critical", "credential"), keep: 5, by: []string{"credential", "reason"}, of: []reading{
		{"ksyun_api_credential_refused", labels{"credential": "billing", "reason": "key"}, 1, 0},
	}},
	{alert: "KsyunApiQuotaNear", labels: severe("warning", "quota"), wait: 5, keep: 15, by: []string{"credential", "action", "version"}, of: []reading{
		{"ksyun_api_quota_used_ratio", key, 0.5, 0.4}, {"ksyun_api_quota_used_ratio", key.with("instance", "j"), 0.5, 0.4},
	}},
	{alert: "KsyunTapPathCheckFailing", labels: severe("critical", "tap"), wait: 3, of: healthy("ksyun_tap_path_check_success"), by: each},
	{alert: "KsyunTapJournalFileFailing", labels: severe("warning", "tap"), wait: 10, of: healthy("ksyun_tap_journal_file_healthy"), by: each},
	{alert: "KsyunTapConfigReloadFailed", labels: severe("warning", "tap"), wait: 5, of: healthy("ksyun_tap_config_last_reload_successful"), by: each},
	{alert: "KsyunTapCredentialsStale", labels: severe("warning", "tap"), wait: 5, of: healthy("ksyun_tap_resign_credentials_last_reload_successful"), by: each},
	{alert: "KsyunTapDown", labels: severe("critical", "tap"), wait: 3, by: each, of: []reading{
		{"up", labels{}, 0, 1}, {"ksyun_tap_build_info", labels{"version": "v"}, 1, 1},
	}},
	{alert: "KsyunTapCAExpiring", labels: severe("warning", "tap"), wait: 10, by: each, of: []reading{
		// Near is a CA of which less than seven days are left from minute 11 on, which is too late for an alert at the end.
		{"ksyun_tap_ca_not_after_timestamp_seconds", labels{}, 7*86400 + 299, 7*86400 + 10*60},
	}},
}

// gauges returns the tests of alerts on gauges.
func gauges() file {
	f := file{about: "At which values of gauges alerts fire, with which labels, and for how long.", every: 1}
	const at = 5
	for _, g := range gaugeAlerts {
		st := story{test: test{name: g.alert}}
		end := at + g.wait + 5
		fires := tap("fires")
		for _, r := range g.of {
			of := tap("fires")
			maps.Copy(of, r.labels)
			value := steps(r.near, at, r.fires, float64(end), r.near)
			if r.near != r.near {
				value = steps(none, at, r.fires, float64(end), stale, float64(end+1), none)
			}
			if g.alert == "KsyunTapCAExpiring" {
				value = steps(1e9, at, r.fires, float64(end), 1e9)
			}
			st.series = append(st.series, series{r.metric, of, value}, series{r.metric, of.with("job", "near"), steps(r.near)})
			maps.Copy(fires, r.labels)
		}
		fires = fires.only(append([]string{"cluster", "namespace", "job"}, g.by...)...)
		st.expected = []expectation{{alert(g.alert, fires, g.labels), 1, at + g.wait, end - 1 + g.keep}}
		if g.alert == "KsyunTapDown" { // targets that are not taps, beside taps
			for _, twin := range tap("fires").twins("cluster", "namespace", "job", "instance") {
				st.series = append(st.series, series{"up", twin, steps(0)})
			}
		}
		f.tests = append(f.tests, st.at(firing(g.alert), "ALERTS", at+g.wait-1, at+g.wait, end-1+g.keep, end+g.keep))
	}
	// No tap at all, for a quarter of an hour.
	st := story{test: test{name: "KsyunTapAbsent"}}
	st.series = []series{{"ksyun_tap_build_info", tap("a").with("version", "v"), steps(1, at, stale, at+1, none, at+15, 1)}}
	st.expected = []expectation{{alert("KsyunTapAbsent", labels{}, severe("critical", "tap")), 1, at + 10, at + 14}}
	f.tests = append(f.tests, st.at(firing("KsyunTapAbsent"), "ALERTS", at+9, at+10, at+14, at+15))
	return f
}
