package grafana

import "github.com/ksyun-tap/ksyun-tap/internal/rules"

// uidCall is the UID of the one dashboard that no alert leads to.
const uidCall = "ksyun-tap-call"

// The metrics that are named more than once.
const (
	requests = "ksyun_api_requests_total"
	errs     = "ksyun_api_errors_total"
	duration = "ksyun_api_request_duration_seconds"
)

// overview answers whether Cloud Monitor fails for us, why, whose fault it is,
// since when, and who is hit.
func overview() Dashboard {
	counted, faults := rules.Counted, rules.Faults
	availability := "1 - (" + orZero(sum("", increase(of(errs, faults)))) + ")\n/\n" + sum("", increase(of(requests, counted)))
	budget := rules.Threshold("errorBudget")
	burn := func(window string) Target {
		return query(sum("", recorded("service:ksyun_api_errors_provider:rate"+window))+" / "+
			sum("", recorded("service:ksyun_api_requests:rate"+window))+" / "+budget, window)
	}
	return dashboard(rules.OverviewUID, "Ksyun API / Overview",
		"Whether calls of the Kingsoft Cloud API fail for us, why, whose fault it is, since when, and which calls.",
		callVariables(),
		row{100, "Is it failing?", []*panel{
			stat(1, "Availability", "Share of calls that did not fail by the provider's or the network's fault, over the time shown. Errors inside a 200 count as failures; a client's own mistakes, dry runs and calls that were given up do not.",
				share, latest(availability, "")).precise(3).steps("red", 0.99, "orange", 0.999, "green"),
			stat(2, "Error budget left", "What is left of 30 days' error budget ("+budget+" of calls); below zero it is overspent. From the recording rules in deploy/prometheus; regions, actions and single taps cannot be chosen.",
				share, latest("1 - ("+sum("", recorded("service:ksyun_api_errors_provider:rate30d"))+" / "+sum("", recorded("service:ksyun_api_requests:rate30d"))+") / "+budget, "")).
				precise(1).steps("red", 0.0, "orange", 0.25, "green"),
			stat(3, "Calls", "Attempts at calls per second, now.", perSecond, latest(sum("", rate(of(requests))), "")),
			stat(4, "Failed calls", "Share of all attempts that failed, whoever's fault it was, now.",
				share, latest("("+orZero(sum("", rate(of(errs))))+")\n/\n"+sum("", rate(of(requests))), "")).precise(2).steps("green", 0.01, "orange", 0.1, "red").
				links(failuresOf("")),
			stat(5, "Refused: credentials", "Calls refused for key, signature, clock or policy, over the time shown.",
				count, latest(orZero(sum("", increase(of(errs, `category=~"auth|clock|permission"`)))), "")).precise(0).steps("green", 1.0, "red").
				links(failuresOf("blame=credential")),
			stat(6, "Refused: too many", "Calls refused because there were too many, over the time shown. No known SDK retries 409 LimitExceeded.",
				count, latest(orZero(sum("", increase(of(errs, `category="throttled"`)))), "")).precise(0).steps("green", 1.0, "orange").
				links(failuresOf("category=throttled")),
		}},
		row{101, "Why, and whose fault?", []*panel{
			graph(7, "Failed calls by blame", "Whose doing it was: client (the request is wrong), credential (key, signature, clock or policy), quota (too many calls), provider, network, or the tap.",
				perSecond, withExemplars(query(sum("blame", rate(of(errs))), "{{blame}}"))).stacked().colors(blameColors).links(drill("category")),
			graph(8, "Failed calls by category", "Why calls failed.",
				perSecond, query(sum("category", rate(of(errs))), "{{category}}")).stacked().links(drill("category")),
			graph(9, "Error budget burn rate", "How many times faster than allowed the error budget is used up, over each window. Alerts ring above 14.4 (1h) and 6 (6h). From the recording rules.",
				noUnit, burn("5m"), burn("1h"), burn("6h")).steps("transparent", 6.0, "orange", 14.4, "red").marked(),
			graph(10, "Calls by outcome", "How attempts ended. masked: an error inside a 200; partial: some items of a batch failed; proxy: no answer at all.",
				perSecond, query(sum("outcome", rate(of(requests))), "{{outcome}}")).stacked().colors(outcomeColors),
		}},
		row{102, "Which calls, which codes?", []*panel{
			table(11, "Actions that fail most", "The ten actions with the most failures over the time shown.",
				[]column{{"service", "Service", words}, {"action", "Action", words}, {"version", "Version", words}, {"Value #A", "Failed", count}, {"Value #B", "Share of its calls", share}},
				asRows("topk(10, "+sum("service, action, version", increase(of(errs)))+" > 0)"),
				asRows(sum("service, action, version", increase(of(errs)))+"\n/\n"+sum("service, action, version", increase(of(requests)))+"\nand\ntopk(10, "+sum("service, action, version", increase(of(errs)))+" > 0)"),
			).override("Action", "links", []Link{{Title: "Errors of this action", URL: "/d/" + rules.ErrorsUID + "?${__url_time_range}&${job:queryparam}&var-action=${__data.fields.Action}"}}),
			bars(12, "Codes", "The vendor's error codes over the time shown, the ten most frequent. none: the answer had no code, or there was no answer.",
				count, latest("sort_desc(topk(10, "+sum("code", increase(of(errs)))+" > 0))", "{{code}}")).precise(0).links(drill("code"), failuresOf("code=${__field.labels.code}")),
			table(13, "Last failure of each kind", "When a call of that category last failed.",
				[]column{{"service", "Service", words}, {"category", "Category", words}, {"Value", "When", sinceTime}},
				asRows("1000 * max by (service, category) ("+of("ksyun_api_last_error_timestamp_seconds")+" > 0)")).
				override("Category", "links", []Link{failuresOf("category=${__value.raw}")}).size(12, 6),
			table(14, "Taps", "The state of each tap. Details are on the dashboard of the fleet.",
				[]column{{"job", "Job", words}, {"instance", "Tap", words}, {"version", "Version", words}, {"Value #A", "Up", noUnit}, {"Value #B", "Configuration good", noUnit}, {"Value #C", "Failed calls/s", perSecond}},
				asRows("max by (job, instance) ("+of("up")+")"),
				asRows("max by (job, instance, version) ("+of("ksyun_tap_config_last_reload_successful")+" * on (cluster, namespace, job, instance) group_left (version) "+of("ksyun_tap_build_info")+")"),
				asRows(sum("job, instance", rate(of(errs))))).
				override("Up", "mappings", []Mapping{{"value", upOrDown}}).override("Configuration good", "mappings", []Mapping{{"value", yesOrNo}}).
				override("Tap", "links", []Link{{Title: "Its list of failures", URL: "http://${__value.raw}/", TargetBlank: true}}).size(12, 6),
		}},
		row{103, "How slow?", []*panel{
			heatmap(15, "Duration of calls", "From the first byte of an attempt's request to the last byte of its answer. From native histograms where they are scraped, else from the classic buckets.",
				seconds, withExemplars(query(sum("", rate(of(duration))), "")),
				query(sum("le", rate(of(duration+"_bucket")))+"\nunless on ()\n"+sum("", rate(of(duration))), "{{le}}")),
			graph(16, "Duration of calls, quantiles", "Half, 95 % and 99 % of the attempts took no longer.",
				seconds, query(quantile("0.5", ""), "50 %"), query(quantile("0.95", ""), "95 %"), query(quantile("0.99", ""), "99 %")),
			graph(17, "Duration by action, 95 %", "95 % of an action's attempts took no longer.", seconds, query(quantile("0.95", "action"), "{{action}}")).size(8, 8),
			graph(19, "Duration by outcome, 95 %", "95 % of the attempts that ended so took no longer: failures may be much faster, or slower, than successes.",
				seconds, query(quantile("0.95", "outcome"), "{{outcome}}")).size(8, 8).colors(outcomeColors),
			graph(18, "Calls in flight", "Attempts begun and not ended. The vendor's SDKs for Go have no timeout: what hangs upstream shows here first.",
				count, query(sum("service", of("ksyun_api_requests_in_flight")), "{{service}}")).size(8, 8),
		}},
	)
}

var (
	upOrDown = map[string]MappingText{"0": {"down", "red", 0}, "1": {"up", "green", 1}}
	yesOrNo  = map[string]MappingText{"0": {"no", "red", 0}, "1": {"yes", "green", 1}}
)
