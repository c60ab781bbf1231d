package dashboards

import "github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"

// failures shows failed calls by everything that is known about them.
func failures() Dashboard {
	// failing shows the share of attempts that fail for a cause, by service, as the
	// states of the alerts compute it.
	failing := func(id int, title, description, alert, threshold, cause string) *panel {
		at := rules.Threshold(threshold)
		return graph(id, title, description+" "+alert+" fires from "+at+" on.", share, ofAlerts,
			query(ratio("service", of(attempts, cause), of(attempts)), "{{service}}")).size(12, 8)
	}
	part := func(label string) Target {
		return query(ratio(label, of(errs, rules.Faults), of(requests, rules.Counted)), label+" {{"+label+"}}")
	}
	counted := func(label, selector string) Target {
		return withExemplars(query(sum(label, each(selector)), "{{"+label+"}}"))
	}
	return dashboard(rules.ErrorsUID, "Ksyun API / Errors",
		"Failed calls by everything that is known about them. Points on the graphs are single calls: they show the request ID and link to the call's trace.",
		append(callVariables(), breakdown()),
		row("", false,
			graph(1, "Failures by ${by}", "Failed attempts by the label selected at the top. none: the response had no code, or there was no response; _other: beyond the limit on label values.",
				aMinute, ofCounts, withExemplars(query(perMinute("$by", of(errs)), "{{${by}}}"))).stacked().size(24, 10),
			table(2, "All failures", "The failures in the time range, by everything that is known about them, and by tap.",
				[]column{
					{"instance", "Tap", words},
					{"service", "Service", words},
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
				asRows("round("+sum("instance, service, action, version, region, code, type, status, category, blame", shown(of(errs)))+") > 0")).
				none("no failures").sorted("Failed").override("Code", "links", []Link{atTap("?code=${__data.fields.Code}")}),
		),
		row("What alerts look at: each point counts 15 minutes, as they do", true,
			failing(4, "Throttled", "Share of a service's calls that were rejected because there were too many. No known SDK retries 409 LimitExceeded.", "KsyunApiThrottled", "throttledRatio", `category="throttled"`),
			failing(5, "Credentials refused", "Share of a service's calls whose key or signature was rejected.", "KsyunApiAuthFailing", "authRatio", `category="auth"`),
			failing(6, "Wrong requests", "Share of a service's calls that were rejected because the request is wrong.", "KsyunApiBadRequests", "badRequestRatio", `blame="client"`),
			graph(3, "Provider or network failing", "Share of calls that failed because of the provider or the network. KsyunApiOutage fires from "+rules.Threshold("outageRatio")+" of a service on, KsyunApiActionFailing and KsyunApiRegionFailing above "+rules.Threshold("partRatio")+".",
				share, ofAlerts, query(ratio("service", of(attempts, rules.Faults), of(attempts)), "service {{service}}"), part("action"), part("region")).size(12, 8),
			events(7, "Permission denied", "Calls rejected because no policy allows the key to make them, by action.", counted("action", of(errs, `category="permission"`))).size(8, 8),
			events(8, "Clock wrong", "Calls rejected for the time of their signature, by tap: the clock of the program's machine is off by more than 15 minutes. On the right axis, how far the clocks that programs sign with are ahead of the API's, by client address, with the uncertainty. KsyunApiClockDrift fires beyond "+rules.Threshold("clockSeconds")+" seconds.",
				counted("instance", of(errs, `category="clock"`)),
				query("max by (instance, client) ("+of("ksyun_api_clock_skew_seconds")+")", "{{instance}} {{client}}, skew"),
				query("max by (instance, client) ("+of("ksyun_api_clock_skew_uncertainty_seconds")+")", "{{instance}} {{client}}, ±")).
				onTheRight("B", seconds).onTheRight("C", seconds).signed().size(8, 8),
			events(9, "Errors and missing data inside a 200", "Responses with status 200 that are errors, by action: the vendor's SDKs report them as success. Also those that have no data points, or not all data, by action and reason: they are no failures, but say why a panel is empty (data_none: no reason was found).",
				counted("action", of(requests, `outcome="masked"`)),
				query(sum("action, reason", each(of("ksyun_api_incomplete_results_total")))+" > 0", "{{action}}, {{reason}}")).size(8, 8),
			graph(10, "Partial responses", "Share of an action's responses that report a failure for some of their items, and on the right axis the number of such items in 15 minutes. KsyunApiPartialFailures fires above "+rules.Threshold("partialRatio")+".",
				share, ofAlerts, query(ratio("action", of(requests, `outcome="partial"`), of(requests, rules.Counted)), "{{action}}"),
				query(sum("action", each(of("ksyun_api_partial_failed_items_total"))), "{{action}}, items")).onTheRight("B", count).size(8, 8),
			events(11, "Unknown codes", "Codes that are not in the catalogue. Add them with --tap.catalog-file, and report them.",
				counted("code", of(errs, `category="unknown"`, `code!="none"`)), counted("code", of(errs, `category="unknown"`, `code="none"`, `status!~"2.."`))).size(8, 8),
			events(12, "No response", "Requests that got no complete response, or that a tap refused, by reason.",
				query(sum("reason", each(of("ksyun_tap_proxy_errors_total")))+" > 0", "{{reason}}")).size(8, 8),
		),
		row("Why calls fail", true,
			events(15, "Failures by credential", "Failed attempts by the alias or hash of the access key, and category. _other: keys beyond the first 32; none: attempts without a key. On the right axis, keys that worked before and are refused now, because of the key (deleted or disabled), of its token (expired) or of a permission (policy removed). KsyunApiKeyRefused fires at 1.",
				query(sum("credential, category", each(of("ksyun_api_credential_errors_total")))+" > 0", "{{credential}}, {{category}}"),
				query("max by (credential, reason) ("+of("ksyun_api_credential_refused")+") > 0", "{{credential}} refused, {{reason}}")).
				onTheRight("B", noUnit).size(12, 8),
			events(16, "Retries", "Attempts that repeat a failed one of the same call, by action and outcome: success, failed, wasted (refused again for a reason that a retry cannot fix) or throttled again. KsyunApiRetryStorm fires if more than half of an action's attempts are retries that failed again.",
				query(sum("action, outcome", each(of("ksyun_api_retries_total")))+" > 0", "{{action}}, {{outcome}}")).size(12, 8),
			events(17, "Calls by outcome", "Calls by action and the outcome of their last attempt: success (at once), success_after_retry, failed or canceled. On the right axis, the mean number of attempts per call.",
				query(sum("action, outcome", each(of("ksyun_api_calls_total")))+" > 0", "{{action}}, {{outcome}}"),
				query(sum("action", each(of("ksyun_api_call_attempts_sum")))+" / ("+sum("action", each(of("ksyun_api_call_attempts_count")))+" > 0)", "{{action}}, attempts per call")).
				onTheRight("B", noUnit).size(12, 8),
			events(18, "Redundant calls", "Successful calls that asked for what was known already, by action and reason: another client or the same one had asked less than 60 seconds before, with the same key.",
				query(sum("action, reason", each(of("ksyun_api_redundant_calls_total")))+" > 0", "{{action}}, {{reason}}")).size(12, 8),
			graph(19, "Use of limits", "Share of an action's limit that the attempts with a key used in 60 seconds, over the selected taps. KsyunApiQuotaNear fires above "+rules.Threshold("quotaRatio")+" for five minutes. Also the share of the documented limits on the size of one request, in metrics and records, that the largest one of the last minutes used. On the right axis, the time until the limit is reached at the present pace, and the limits in calls per minute.",
				share, ofRates, query("sum by (credential, action, version) ("+of("ksyun_api_quota_used_ratio")+")", "{{credential}}, {{action}} {{version}}"),
				query("min by (credential, action, version) ("+of("ksyun_api_quota_exhaustion_seconds")+")", "{{credential}}, {{action}} {{version}}, reached in"),
				query("max by (action, version) ("+of("ksyun_api_quota_limit_requests")+")", "{{action}} {{version}}, limit"),
				query("max by (credential, action, version, limit) ("+of("ksyun_api_request_size_used_ratio")+")", "{{credential}}, {{action}} {{version}}, {{limit}} of a request")).
				onTheRight("B", seconds).onTheRight("C", count).size(12, 8),
		),
		row("All calls", true,
			table(13, "Calls", "All attempts in the time range, by status and outcome.",
				[]column{
					{"service", "Service", words},
					{"action", "Action", words},
					{"version", "Version", words},
					{"region", "Region", words},
					{"outcome", "Outcome", words},
					{"status", "Status", words},
					{"Value", "Calls", count},
				},
				asRows("round("+sum("service, action, version, region, outcome, status", shown(of(requests)))+") > 0")).sorted("Calls").size(12, 10),
			graph(14, "Duration by action and outcome", "The 95th percentile of the attempts' durations, by outcome: failures may be much faster or slower than successes.",
				seconds, ofRates, query(quantile("0.95", "service, action, outcome"), "{{action}}, {{outcome}}")).size(12, 10),
			table(20, "Programs", "Programs and SDKs that called in the last 15 minutes, with the form of their signatures and the scheme, and the number of taps that saw them. Over http, anyone on the path can read requests and security tokens.",
				[]column{
					{"program", "Program", words},
					{"signing", "Signature", words},
					{"scheme", "Scheme", words},
					{"Value", "Taps", count},
				},
				asRows(sum("program, signing, scheme", of("ksyun_api_program_info")))).sorted("Taps").size(24, 8),
		),
	)
}
