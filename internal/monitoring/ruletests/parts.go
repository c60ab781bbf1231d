package ruletests

import "maps"

// part is an alert on the share of the calls of an action or a region.
type part struct {
	alert            string
	labels           labels
	of               string // the label of the part
	failed, requests string // the records of their counts
	ratio            int    // it fires above one call in so many
	failures         int    // and from so many on
	each             bool   // for each tap, too
	wait, keep       int
}

var parts = []part{
	{
		alert: "KsyunApiRegionFailing", labels: severe("warning", "provider"), of: "region", ratio: 5, failures: 3, each: true, wait: 5, keep: 15,
		failed: "instance_region:ksyun_api_errors_provider:increase15m", requests: "instance_region:ksyun_api_requests:increase15m",
	},
	{
		alert: "KsyunApiActionFailing", labels: severe("warning", "provider"), of: "action", ratio: 5, failures: 3, each: true, wait: 5, keep: 15,
		failed: "instance_action:ksyun_api_errors_provider:increase15m", requests: "instance_action:ksyun_api_requests:increase15m",
	},
	{
		alert: "KsyunApiPartialFailures", labels: severe("warning", "provider"), of: "action", ratio: 20, failures: 3, each: true, wait: 5, keep: 60,
		failed: "instance_action:ksyun_api_requests_partial:increase15m", requests: "instance_action:ksyun_api_requests:increase15m",
	},
	{
		alert: "KsyunApiRetryStorm", labels: severe("warning", "client"), of: "action", ratio: 2, failures: 30, wait: 5, keep: 15,
		failed: "instance_action:ksyun_api_retries_failed:increase15m", requests: "instance_action:ksyun_api_requests:increase15m",
	},
}

// failingParts returns the tests of alerts on actions and regions.
func failingParts() file {
	f := file{about: "At which share of the calls of an action or a region alerts fire, for one tap and for all taps of a job.", every: 1}
	for _, p := range parts {
		f.tests = append(f.tests, p.test())
	}
	return f
}

func (p part) test() test {
	st := story{test: test{name: p.alert}}
	const at = 5
	end := at + 2*p.wait // after it, nothing is counted
	calls := func(tap labels, failed, requests int) {
		of := maps.Clone(tap).with("service", "monitor", p.of, "r")
		for record, n := range map[string]int{p.failed: failed, p.requests: requests} {
			if n > 0 {
				st.series = append(st.series, series{record, of, steps(none, at, float64(n), float64(end), stale, float64(end+1), none)})
			}
		}
	}
	expect := func(job string) {
		of := service(job).with(p.of, "r")
		st.expected = append(st.expected, expectation{alert(p.alert, of, p.labels), 1, at + p.wait, end - 1 + p.keep})
	}
	n := p.failures
	if p.each {
		expect("one tap")
		calls(tap("one tap"), n, n*p.ratio-1)
		calls(tap("one tap").with("instance", "busy"), 0, 100000)
	}
	expect("three taps")
	for i, instance := range []string{"i", "j", "k"} {
		failed := n / 3
		if i == 0 {
			failed += n % 3
		}
		calls(tap("three taps").with("instance", instance), failed, failed*p.ratio-1)
	}
	calls(tap("at the ratio"), n, n*p.ratio)
	calls(tap("few failures"), n-1, n-1)
	return st.at(firing(p.alert), "ALERTS", at+p.wait-1, at+p.wait, end-1+p.keep, end+p.keep)
}
