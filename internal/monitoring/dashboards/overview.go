package dashboards

import "github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"

// uidCall is the UID of the one dashboard that no alert leads to.
const uidCall = "ksyun-tap-call"

// The metrics that are named more than once.
const (
	requests = "ksyun_api_requests_total"
	attempts = "ksyun_api_attempts_total"
	errs     = "ksyun_api_errors_total"
	duration = "ksyun_api_request_duration_seconds"
)

// What the API takes in a minute from an account, as its documentation says of
// these two actions.
const (
	statisticsLimit = "3600"
	batchLimit      = "180"
)

// taps are the targets that are taps, up or down, of all that have the chosen
// labels: those that served the tap's metrics within the hour, or are recorded as
// taps.
func taps() string {
	return "(" + ofTap("up") + " and on (cluster, namespace, job, instance) (last_over_time(" + ofTap("ksyun_tap_build_info") + "[1h]) or instance:ksyun_tap:known))"
}

// overview is one screen: whether the API fails for us, whose fault it is, and
// what fails.
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
		"Whether calls of the Kingsoft Cloud API fail for us, whose fault it is, and which calls.",
		callVariables(),
		row("", false,
			stat(1, "Taps", "Taps that answer Prometheus, and those that do not: programs that use such a tap as a proxy may have no way to the API.",
				count, "lastNotNull", latest(orZero("count("+taps()+" == 1)"), "up"), latest(orZero("count("+taps()+" == 0)"), "down")).
				steps("green").override("down", "thresholds", Thresholds{"absolute", []Step{{"green", nil}, {"red", new(1.0)}}}),
			stat(2, "Error budget left", "What is left of the error budget of 30 days, "+budget+" of the calls. Failures by the provider's or the network's fault use it up, errors inside a 200 included. From the recording rules: single taps cannot be chosen.",
				share, "lastNotNull", latest("clamp(1 - "+spent("30d")+", 0, 1)", "")).precise(1).steps("red", 0.1, "green").none("no rules, or no calls"),
			stat(3, "Throttling headroom", "The least share of a documented limit that was left in the time shown: "+statisticsLimit+" calls a minute of GetMetricStatistics, "+batchLimit+" of its batches. The limits are the account's: choose all taps that share one.",
				share, "min", headroom("GetMetricStatistics", statisticsLimit), headroom("GetMetricStatisticsBatch", batchLimit)).precise(0).steps("red", 0.2, "green").size(8, 5).every(ofCounts),
			table(4, "Alerts firing", "The tap's alerts that fire, where Prometheus evaluates them.",
				[]column{{"alertname", "Alert", words}, {"severity", "Severity", words}, {"namespace", "Namespace", words}, {"service", "Service", words}, {"Value", "Firing", count}},
				asRows("count by (alertname, severity, namespace, service) ("+firing+")")).none("none").size(8, 5),
			graph(5, "Calls and failures", "Attempts at calls, and those that failed, whoever's fault it was.", aMinute, ofCounts,
				query(orZero(perMinute("", of(requests))), "calls"), withExemplars(query(orZero(perMinute("", of(errs))), "failed"))).
				colors(map[string]string{"calls": "green", "failed": "red"}).links(drill("code")).size(8, 9),
			graph(6, "Failures by blame", "Share of the attempts that failed, by whose doing it was: client (the request is wrong), credential (key, signature, clock or policy), quota (too many calls), provider, network, or the tap.",
				share, ofCounts, query(sum("blame", each(of(errs)))+"\n/ on () group_left ()\n("+sum("", each(of(requests)))+" > 0)", "{{blame}}")).
				stacked().colors(blameColors).links(drill("blame")).size(8, 9),
			graph(7, "Duration of calls", "Half, 95 % and 99 % of the attempts took no longer, from the first byte of the request to the last byte of the answer.",
				seconds, ofRates, query(quantile("0.5", ""), "50 %"), withExemplars(query(quantile("0.95", ""), "95 %")), query(quantile("0.99", ""), "99 %")).distinct().size(8, 9),
			table(8, "What is failing", "All failures of the time shown: one is a row, too. What a code means: ksyun-tap explain CODE.",
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
			graph(9, "Burn rate of the error budget", "How many times faster than allowed the error budget is used up, over each window. KsyunApiErrorBudgetBurn fires above 14.4 over an hour, 6 over six, 3 over a day and 1 over three. From the recording rules.",
				noUnit, ofRates, query(spent("1h"), "1h"), query(spent("6h"), "6h"), query(spent("1d"), "1d"), query(spent("3d"), "3d")).
				steps("transparent", 1.0, "text", 3.0, "text", 6.0, "red", 14.4, "red").marked().logarithmic().distinct().size(24, 9),
		),
	)
}

var (
	upOrDown = map[string]MappingText{"0": {"down", "red", 0}, "1": {"up", "green", 1}}
	yesOrNo  = map[string]MappingText{"0": {"no", "red", 0}, "1": {"yes", "green", 1}}
)
