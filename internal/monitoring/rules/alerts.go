package rules

import (
	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

const where = "{{ $labels.namespace }}/{{ $labels.job }}"

// apiAlerts returns the alerts on the API's answers.
func apiAlerts() []Rule {
	return []Rule{
		{
			Alert: "KsyunApiOutage",
			Expr:  stateOutage.record(),
			For:   "2m", Labels: map[string]string{"severity": "critical", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 3, nil},
			Summary:     "Most calls fail because of the API or the network.",
			SummaryZH:   "大部分调用因云端或网络原因失败。",
			Calls:       "blame=provider",
			Advice:      adviceFor(classify.CategoryServer),
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") fail because of the provider or the network, over all its taps or at one tap.",
		},
		{
			Alert: "KsyunApiRegionFailing",
			Expr:  partFails("region", "instance_region:ksyun_api_errors_provider:increase15m", "partRatio"),
			For:   "5m", KeepFiringFor: "15m", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 3, nil},
			Summary:     "Calls to one region fail because of the API or the network.",
			SummaryZH:   "某一区域的调用因云端或网络原因失败。",
			Calls:       "blame=provider",
			Advice:      adviceFor(classify.CategoryServer),
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} in {{ $labels.region }} (" + where + ") fail because of the provider or the network.",
		},
		{
			Alert: "KsyunApiActionFailing",
			Expr:  partFails("action", "instance_action:ksyun_api_errors_provider:increase15m", "partRatio"),
			For:   "5m", KeepFiringFor: "15m", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 3, nil},
			Summary:     "Calls of one action fail because of the API or the network.",
			SummaryZH:   "某一接口的调用因云端或网络原因失败。",
			Calls:       "blame=provider",
			Advice:      adviceFor(classify.CategoryServer),
			Description: "{{ $value | humanizePercentage }} of the {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") fail because of the provider or the network.",
		},
		{
			Alert: "KsyunApiAuthFailing",
			Expr:  stateAuth.record(),
			For:   "0s", Labels: map[string]string{"severity": "critical", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 5, nil},
			Summary:     "Calls are rejected because of their credentials or signatures.",
			SummaryZH:   "调用因密钥或签名被拒绝。",
			Calls:       "category=auth",
			Advice:      adviceFor(classify.CategoryAuth),
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") fail authentication, over all its taps or at one tap.",
		},
		{
			Alert: "KsyunApiClockSkew",
			Expr:  recent(by, `ksyun_api_attempts_total{category="clock"}`),
			For:   "0s", KeepFiringFor: "1h", Labels: map[string]string{"severity": "warning", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 8, nil},
			Summary:     "Calls are rejected because a program's clock is wrong.",
			SummaryZH:   "调用因客户端时钟错误被拒绝。",
			Calls:       "category=clock",
			Advice:      adviceFor(classify.CategoryClock),
			Description: "{{ $value | humanize }} calls to {{ $labels.service }} (" + where + ") in 15 minutes were rejected because the time of their signature differs from the API's by more than 15 minutes.",
		},
		{
			Alert: "KsyunApiClockDrift",
			Expr:  "abs(ksyun_api_clock_skew_seconds) - ksyun_api_clock_skew_uncertainty_seconds > %(clockSeconds)s",
			For:   "2m", Labels: map[string]string{"severity": "warning", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 8, nil},
			Summary:     "A program's clock is wrong; its calls will soon be rejected.",
			SummaryZH:   "程序所在主机的时钟偏差过大，调用即将被拒绝。",
			Calls:       "category=clock",
			Advice:      adviceFor(classify.CategoryClock),
			Description: "The clock of {{ $labels.client }}, behind the tap {{ $labels.instance }} (" + where + "), is off by more than {{ $value | humanizeDuration }}. The API rejects calls from 15 minutes on.",
		},
		{
			Alert: "KsyunApiPermissionDenied",
			Expr:  recent(by+", action", `ksyun_api_errors_total{category="permission"}`),
			For:   "0s", KeepFiringFor: "1h", Labels: map[string]string{"severity": "warning", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 7, nil},
			Summary:     "Calls are rejected for lack of permission.",
			SummaryZH:   "调用因缺少权限被拒绝。",
			Calls:       "category=permission",
			Advice:      adviceFor(classify.CategoryPermission),
			Description: "{{ $value | humanize }} {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") in 15 minutes were rejected: the key has no policy that allows them.",
		},
		{
			Alert: "KsyunApiKeyRefused",
			Expr:  "max by (cluster, namespace, job, credential, reason) (ksyun_api_credential_refused) == 1",
			For:   "0s", KeepFiringFor: "5m", Labels: map[string]string{"severity": "critical", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 15, nil},
			Summary:     "A key that worked is refused.",
			SummaryZH:   "之前可用的密钥被拒绝。",
			Calls:       "blame=credential",
			Advice:      adviceForCause(diagnosis.CauseKeyRevoked),
			Description: "The key {{ $labels.credential }} (" + where + ") worked before and is refused now, for its {{ $labels.reason }}: it was revoked or has expired, or a policy was removed. Its programs get no data.",
		},
		{
			Alert: "KsyunApiThrottled",
			Expr:  stateThrottled.record(),
			For:   "0s", Labels: map[string]string{"severity": "warning", "blame": "quota"},
			Panel:       Panel{ErrorsUID, 4, nil},
			Summary:     "Calls are rejected because there are too many.",
			SummaryZH:   "调用因超出流控被拒绝。",
			Calls:       "category=throttled",
			Advice:      adviceFor(classify.CategoryThrottled),
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") exceed the API's limits, over all its taps or at one tap. No known SDK retries 409 LimitExceeded.",
		},
		{
			Alert: "KsyunApiRetryStorm",
			Expr:  retryStorm(),
			For:   "5m", KeepFiringFor: "15m", Labels: map[string]string{"severity": "warning", "blame": "client"},
			Panel:       Panel{ErrorsUID, 16, nil},
			Summary:     "A large part of the calls are retries that fail again.",
			SummaryZH:   "大量请求是再次失败的重试。",
			Calls:       "outcome=error",
			Advice:      adviceForCause(diagnosis.CauseRetryWasted),
			Description: "{{ $value | humanizePercentage }} of the {{ $labels.action }} attempts at {{ $labels.service }} (" + where + ") are retries that failed again, over all its taps.",
		},
		{
			Alert: "KsyunApiBadRequests",
			Expr:  stateBadRequests.record(),
			For:   "2m", Labels: map[string]string{"severity": "warning", "blame": "client"},
			Panel:       Panel{ErrorsUID, 6, nil},
			Summary:     "Most calls are rejected because the request is wrong.",
			SummaryZH:   "大部分调用因请求本身有误被拒绝。",
			Calls:       "blame=client",
			Advice:      adviceFor(classify.CategoryRequest),
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") are wrong requests, over all its taps or at one tap: invalid parameters, or resources that do not exist.",
		},
		{
			Alert: "KsyunApiMaskedErrors",
			Expr:  recent(by+", action", `ksyun_api_requests_total{outcome="masked"}`),
			For:   "0s", KeepFiringFor: "1h", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 9, nil},
			Summary:     "Answers with status 200 contain errors.",
			SummaryZH:   "状态码为 200 的响应中含有错误。",
			Calls:       "outcome=masked",
			Advice:      adviceForOutcome(classify.OutcomeMasked),
			Description: "{{ $value | humanize }} {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") in 15 minutes were answered with an error inside a 200, which most programs take for success.",
		},
		{
			Alert: "KsyunApiPartialFailures",
			Expr:  partFails("action", `instance_action:ksyun_api_requests_partial:increase15m`, "partialRatio"),
			For:   "5m", KeepFiringFor: "1h", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 10, nil},
			Summary:     "Batch calls fail for some of their items.",
			SummaryZH:   "批量调用部分失败。",
			Calls:       "outcome=partial",
			Advice:      adviceForOutcome(classify.OutcomePartial),
			Description: "{{ $value | humanizePercentage }} of the {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") have status 200 but report a failure for some of their items.",
		},
		{
			Alert: "KsyunApiUnknownCodes",
			Expr: recent(by+", code", `ksyun_api_errors_total{category="unknown",code!="none"}`) +
				"\nor\n" + recent(by+", code", `ksyun_api_errors_total{category="unknown",code="none",status!~"2.."}`),
			For: "0s", KeepFiringFor: "1h", Labels: map[string]string{"severity": "info", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 11, nil},
			Summary:     "The API answers with error codes that are not in the catalogue.",
			SummaryZH:   "API 返回了目录中没有的错误码。",
			Calls:       "category=unknown",
			Advice:      adviceFor(classify.CategoryUnknown),
			Description: "{{ $value | humanize }} calls to {{ $labels.service }} (" + where + ") in 15 minutes failed with the code {{ $labels.code }}, which is not in the catalogue, so that the cause is unknown.",
		},
	}
}

// tapAlerts returns the alerts on the taps themselves.
func tapAlerts() []Rule {
	tap := func(severity string) map[string]string {
		return map[string]string{"severity": severity, "blame": "tap"}
	}
	const at = "{{ $labels.instance }} (" + where + ")"
	instance := []string{"instance"}
	return []Rule{
		{
			Alert: "KsyunTapDown", Expr: "up == 0 and on (" + target + ") instance:ksyun_tap:known", For: "3m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 1, instance},
			Summary:     "A tap cannot be scraped.",
			SummaryZH:   "无法采集某个 tap 的指标。",
			Description: "The tap " + at + " has not answered Prometheus for 3 minutes. Programs that use it as a proxy may be unable to reach the API.",
		},
		{
			Alert: "KsyunTapAbsent", Expr: `absent(ksyun_tap_build_info)`, For: "10m", Labels: tap("critical"),
			Panel:       Panel{OverviewUID, 1, nil},
			Summary:     "Prometheus scrapes no tap.",
			SummaryZH:   "Prometheus 中没有任何 tap。",
			Description: "No tap has been scraped for 10 minutes: failing calls go unnoticed.",
		},
		{
			Alert: "KsyunTapPathCheckFailing", Expr: `ksyun_tap_path_check_success == 0`, For: "3m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 3, instance},
			Summary:     "A tap cannot reach the API.",
			SummaryZH:   "从 tap 到 API 的链路不通。",
			Description: "The path check of " + at + " has failed for 3 minutes. ksyun_tap_path_check_failed names the stage.",
		},
		{
			Alert: "KsyunTapDroppingObservations", Expr: recent(target+", sink, reason", `ksyun_tap_observations_dropped_total{reason!~"sampled|shutdown"}`),
			For: "5m", KeepFiringFor: "1h", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 2, instance},
			Summary:     "A tap loses records of calls.",
			SummaryZH:   "tap 丢失了部分调用记录。",
			Description: "{{ $value | humanize }} records did not reach {{ $labels.sink }} in 15 minutes at " + at + ": {{ $labels.reason }}. Calls and metrics are not affected.",
		},
		{
			Alert: "KsyunTapConfigReloadFailed", Expr: `ksyun_tap_config_last_reload_successful == 0`, For: "5m", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 1, instance},
			Summary:     "A tap could not reload its configuration.",
			SummaryZH:   "tap 重新加载配置失败。",
			Description: "The tap " + at + " continues with its previous settings. Its log reports what is wrong with the new ones.",
		},
		{
			Alert: "KsyunTapCAExpiring", Expr: `ksyun_tap_ca_not_after_timestamp_seconds - time() < %(caDays)s * 86400`, For: "10m", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 1, instance},
			Summary:     "The CA of a tap is about to expire and was not renewed.",
			SummaryZH:   "tap 的 CA 证书即将到期且没有新证书。",
			Description: "The newest CA of " + at + " expires in {{ $value | humanizeDuration }}. From then on, HTTPS calls through it fail.",
		},
		{
			Alert: "KsyunTapUntrusted", Expr: recent(target, `ksyun_tap_intercept_handshake_errors_total{reason="untrusted_ca"}`),
			For: "5m", KeepFiringFor: "1h", Labels: map[string]string{"severity": "warning", "blame": "client"},
			Panel:       Panel{FleetUID, 4, instance},
			Summary:     "A program does not trust the tap's CA.",
			SummaryZH:   "有程序不信任 tap 的 CA 证书。",
			Description: "{{ $value | humanize }} connections in 15 minutes ended because a program does not trust the CA of " + at + ": its calls fail. The tap's log names the host and what to set.",
		},
		{
			Alert: "KsyunTapCredentialsStale", Expr: `ksyun_tap_resign_credentials_last_reload_successful == 0`, For: "5m", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 1, instance},
			Summary:     "A tap cannot read the credentials it signs with.",
			SummaryZH:   "tap 无法读取用于签名的密钥。",
			Description: "The tap " + at + " continues with the credentials that it read last. Its log reports what is wrong with the file.",
		},
		{
			Alert: "KsyunTapRedirectLoop", Expr: recent(target, `ksyun_tap_transparent_connections_refused_total{reason="loop"}`),
			For: "2m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 4, instance},
			Summary:     "A tap's own connections are redirected to it.",
			SummaryZH:   "tap 自身的连接被重定向回 tap。",
			Description: "{{ $value | humanize }} connections of " + at + " were redirected back to it in 15 minutes: calls through it fail.",
		},
		{
			Alert: "KsyunTapPanics", Expr: recent(target, "ksyun_tap_panics_total"),
			For: "0s", KeepFiringFor: "1h", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 4, instance},
			Summary:     "A tap recovered from an error in its own code.",
			SummaryZH:   "tap 从自身代码错误中恢复。",
			Description: "{{ $value | humanize }} panics in 15 minutes at " + at + ": each closed a connection.",
		},
	}
}
