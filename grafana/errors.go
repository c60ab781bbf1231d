package grafana

import "github.com/ksyun-tap/ksyun-tap/internal/rules"

// failures drills into failed calls by everything that is known of them.
func failures() Dashboard {
	by := func(id int, label, title, description string) *panel {
		return graph(id, title, description, perSecond, withExemplars(query(sum(label, rate(inDetail(errs))), "{{"+label+"}}"))).stacked()
	}
	ratio := func(label, matcher string) Target {
		return query(sum(label, rate(inDetail(errs, matcher)))+"\n/\n"+sum(label, rate(of(requests, rules.Counted))), "{{"+label+"}}")
	}
	of2 := func(outcome string) Target {
		return query(sum("action", rate(of(requests, `outcome="`+outcome+`"`))), "{{action}}")
	}
	return dashboard(rules.ErrorsUID, "Ksyun API / Errors",
		"Failed calls by code, type, status, action, version and region. Points on the graphs are single calls: they lead to the call's trace, and tell its request ID.",
		detailVariables(),
		row{100, "Codes, types, statuses", []*panel{
			by(1, "code", "By code", "The vendor's error code. none: the answer had none, or there was no answer; _other: codes beyond the limit on labels.").
				links(failuresOf("code=${__field.labels.code}")),
			by(2, "status", "By status", "The answer's HTTP status; none without an answer. 200 is an error that most programs take for success."),
			by(3, "type", "By type", "The vendor's type: sender (the caller's doing), receiver (the API's) or unknown.").size(8, 8),
			by(4, "category", "By category", "Why it failed.").size(8, 8).links(failuresOf("category=${__field.labels.category}")),
			by(5, "blame", "By blame", "Whose doing it was.").size(8, 8).colors(blameColors).links(failuresOf("blame=${__field.labels.blame}")),
		}},
		row{101, "Which calls", []*panel{
			by(6, "action", "By action", "What was called.").size(8, 8).links(failuresOf("action=${__field.labels.action}")),
			by(7, "version", "By version", "The API's version that was called: the same action may be in several.").size(8, 8),
			by(8, "region", "By region", "The region that was called.").size(8, 8),
			table(9, "All of them", "Failures over the time shown, by everything that is known of them. What a code means: ksyun-tap explain CODE.",
				[]column{
					{"action", "Action", words},
					{"version", "Version", words},
					{"region", "Region", words},
					{"code", "Code", words},
					{"type", "Type", words},
					{"status", "Status", words},
					{"category", "Category", words},
					{"blame", "Blame", words},
					{"Value", "Failed", count},
				},
				asRows("sort_desc("+sum("action, version, region, code, type, status, category, blame", increase(inDetail(errs)))+" > 0)")).size(24, 10).
				override("Code", "links", []Link{failuresOf("code=${__value.raw}")}),
		}},
		row{102, "Shares", []*panel{
			graph(10, "Provider's and network's failures, by action", "Share of an action's calls that failed by the provider's or the network's fault. KsyunApiActionFailing rings above "+rules.Threshold("partRatio")+".",
				share, ratio("action", rules.Faults)).whole(),
			graph(11, "Provider's and network's failures, by region", "Share of a region's calls that failed by the provider's or the network's fault. KsyunApiRegionFailing rings above "+rules.Threshold("partRatio")+".",
				share, ratio("region", rules.Faults)).whole(),
			graph(12, "Provider's and network's failures, by service", "Share of a service's calls that failed by the provider's or the network's fault. KsyunApiOutage rings above "+rules.Threshold("outageRatio")+".",
				share, ratio("service", rules.Faults)).whole(),
			graph(13, "Throttled, by service", "Share of a service's calls that were refused because there were too many. KsyunApiThrottled rings above "+rules.Threshold("throttledRatio")+".",
				share, ratio("service", `category="throttled"`)).whole().links(failuresOf("category=throttled")),
		}},
		row{103, "Credentials and clocks", []*panel{
			graph(14, "Authentication refused, by code", "Keys and signatures that the API does not take.",
				perSecond, withExemplars(query(sum("code", rate(inDetail(errs, `category="auth"`))), "{{code}}"))).size(6, 8).links(failuresOf("category=auth")),
			graph(15, "Permission denied, by action", "Calls that the key has no policy for.",
				perSecond, withExemplars(query(sum("action", rate(inDetail(errs, `category="permission"`))), "{{action}}"))).size(6, 8).links(failuresOf("category=permission")),
			graph(16, "Clock wrong, by tap", "Calls whose signature was made too early or too late: the clock of the program's machine is more than 15 minutes off.",
				perSecond, withExemplars(query(sum("instance", rate(inDetail(errs, `category="clock"`))), "{{instance}}"))).size(6, 8).links(failuresOf("category=clock")),
			graph(23, "Clocks, by program", "How far the clocks that programs sign by are ahead of the API's, by the address that they call from. Beyond 15 minutes calls are refused; KsyunApiClockDrift rings at 5.",
				seconds, query("max by (instance, client) ("+of("ksyun_api_clock_skew_seconds")+")", "{{instance}} {{client}}"),
				query("max by (instance, client) ("+of("ksyun_api_clock_skew_uncertainty_seconds")+")", "{{instance}} {{client}}, ±")).size(6, 8),
		}},
		row{104, "What programs do not notice", []*panel{
			graph(17, "Errors inside a 200, by action", "Answers with status 200 that are errors: the vendor's SDKs report success.",
				perSecond, of2("masked")).size(8, 8).links(failuresOf("outcome=masked")),
			graph(18, "Partial answers, by action", "Answers with status 200 that report failure for some of their items.",
				perSecond, of2("partial")).size(8, 8).links(failuresOf("outcome=partial")),
			graph(19, "Failed items of partial answers", "Items of batches that were reported as failed.",
				perSecond, query(sum("action", rate(of("ksyun_api_partial_failed_items_total"))), "{{action}}")).size(8, 8),
			graph(20, "Codes that nobody knows", "Codes that the catalogue has no row for. Add one with --tap.catalog-file, and tell us.",
				perSecond, withExemplars(query(sum("code", rate(inDetail(errs, `category="unknown"`))), "{{code}}"))).links(failuresOf("category=unknown")),
			graph(21, "No answer, by reason", "Requests that got no whole answer, or that a tap refused.",
				perSecond, query(sum("reason", rate(of("ksyun_tap_proxy_errors_total"))+" > 0"), "{{reason}}")),
			graph(22, "Calls by status", "All attempts, by the answer's HTTP status: next to the failures, it shows what a proxy that reads no bodies would see.",
				perSecond, query(sum("status", rate(of(requests))), "{{status}}")).stacked().size(24, 8),
		}},
	)
}
