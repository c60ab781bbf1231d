package dashboards

import "github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"

// uidCall is the UID of the only dashboard that no alert links to.
const uidCall = "ksyun-tap-call"

// The metrics that are named more than once.
const (
	requests = "ksyun_api_requests_total"
	attempts = "ksyun_api_attempts_total"
	errs     = "ksyun_api_errors_total"
	duration = "ksyun_api_request_duration_seconds"
)

// The documented limits of the API, in calls per minute and account, for these
// two actions.
const (
	statisticsLimit = "3600"
	batchLimit      = "180"
)

// taps selects the targets with the chosen labels that are taps, up or down:
// those that served the tap's metrics within the last hour, or are recorded as taps.
func taps() string {
	return "(" + ofTap("up") + " and on (cluster, namespace, job, instance) (last_over_time(" + ofTap("ksyun_tap_build_info") + "[1h]) or instance:ksyun_tap:known))"
}

// overview is one screen that shows whether the API fails, whose fault it is, and
// which calls fail.
func overview() Dashboard {
	budget := rules.Threshold("errorBudget")
	spent := func(window string) string {
		return sum("", recorded("service:ksyun_api_errors_provider:rate"+window)) + " / " +
			sum("", recorded("service:ksyun_api_requests:rate"+window)) + " / " + budget
	}
	headroom := func(action, limit string) Target {
		t := query("1 - ("+orZero(perMinute("", of(requests, `action="`+action+`"`)))+") / "+limit, action)
		t.Interval = ofCounts
		return t
	}
	firing := `ALERTS{alertstate="firing", alertname=~"Ksyun.*", cluster=~"$cluster", namespace=~"$namespace", job=~"$job|", instance=~"$instance|", service=~"$service|"}`
	const labels = "service, action, region, code, status, category, blame"
	return dashboard(rules.OverviewUID, "Ksyun API / Overview",
		"Whether calls to the Kingsoft Cloud API fail, whose fault it is, and which calls fail.",
		callVariables(),
		row("", false,
			stat(1, "Taps", "Taps that Prometheus can scrape, and those that it cannot: programs that use such a tap as a proxy may be unable to reach the API.",
				count, "lastNotNull", latest(orZero("count("+taps()+" == 1)"), "up"), latest(orZero("count("+taps()+" == 0)"), "down")).
				steps("green").override("down", "thresholds", Thresholds{"absolute", []Step{{"green", nil}, {"red", new(1.0)}}}),
			stat(2, "Error budget left", "What is left of the error budget of 30 days, "+budget+" of the calls. Failures caused by the provider or the network use it up, including errors inside a 200. It comes from the recording rules, so single taps cannot be selected.",
				share, "lastNotNull", latest("clamp(1 - "+spent("30d")+", 0, 1)", "")).precise(1).steps("red", 0.1, "green").none("no rules, or no calls"),
			stat(3, "Throttling headroom", "The smallest share of a documented limit that was left in the time range: "+statisticsLimit+" calls a minute of GetMetricStatistics, "+batchLimit+" of GetMetricStatisticsBatch. The limits are per account: select all taps that share one.",
				share, "min", headroom("GetMetricStatistics", statisticsLimit), headroom("GetMetricStatisticsBatch", batchLimit)).precise(0).steps("red", 0.2, "green").size(8, 5).every(ofCounts),
			table(4, "Alerts firing", "The tap's firing alerts, if this Prometheus evaluates them.",
				[]column{{"alertname", "Alert", words}, {"severity", "Severity", words}, {"namespace", "Namespace", words}, {"service", "Service", words}, {"Value", "Firing", count}},
				asRows("count by (alertname, severity, namespace, service) ("+firing+")")).none("none").size(8, 5),
			graph(5, "Calls and failures", "Attempts, and those that failed, whoever was at fault.", aMinute, ofCounts,
				query(orZero(perMinute("", of(requests))), "calls"), withExemplars(query(orZero(perMinute("", of(errs))), "failed"))).
				colors(map[string]string{"calls": "green", "failed": "red"}).links(drill("code")).size(8, 9),
			graph(6, "Failures by blame", "Share of the attempts that failed, by who was at fault: client (the request is wrong), credential (key, signature, clock or policy), quota (too many calls), provider, network, or the tap.",
				share, ofCounts, query(sum("blame", each(of(errs)))+"\n/ on () group_left ()\n("+sum("", each(of(requests)))+" > 0)", "{{blame}}")).
				stacked().colors(blameColors).links(drill("blame")).size(8, 9),
			graph(7, "Duration of calls", "The 50th, 95th and 99th percentile of the attempts' durations, from the first byte of the request to the last byte of the response.",
				seconds, ofRates, query(quantile("0.5", ""), "50 %"), withExemplars(query(quantile("0.95", ""), "95 %")), query(quantile("0.99", ""), "99 %")).distinct().size(8, 9),
			table(8, "What is failing", "All failures in the time range, even a single one. To see what a code means, run ksyun-tap explain CODE.",
				[]column{
					{"code", "Code", words},
					{"action", "Action", words},
					{"blame", "Blame", words},
					{"status", "Status", words},
					{"region", "Region", words},
					{"category", "Category", words},
					{"service", "Service", words},
					{"Value #A", "Failed", count},
					{"Value #B", "Last 15 minutes", count},
				},
				asRows("round("+sum(labels, shown(of(errs)))+") > 0"), asRows("round("+sum(labels, lately(of(errs)))+") > 0")).
				none("no failures").sorted("Failed").override("Code", "links", []Link{drill("instance")}),
		),
		row("Error budget", true,
			graph(9, "Burn rate of the error budget", "How many times faster than allowed the error budget is used up, over each window. KsyunApiErrorBudgetBurn fires above 14.4 over an hour, 6 over six hours, 3 over a day and 1 over three days. It comes from the recording rules.",
				noUnit, ofRates, query(spent("1h"), "1h"), query(spent("6h"), "6h"), query(spent("1d"), "1d"), query(spent("3d"), "3d")).
				steps("transparent", 1.0, "text", 3.0, "text", 6.0, "red", 14.4, "red").marked().logarithmic().distinct().size(24, 9),
		),
	)
}

var (
	upOrDown = map[string]MappingText{"0": {"down", "red", 0}, "1": {"up", "green", 1}}
	yesOrNo  = map[string]MappingText{"0": {"no", "red", 0}, "1": {"yes", "green", 1}}
)
