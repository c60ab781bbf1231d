package rules

// recent is the increase of a counter over a window, also where its series
// began within it: the first event of a kind would else be lost.
func recent(by, metric, window string) string {
	return "sum by (" + by + ") ((increase(" + metric + "[" + window + "]) > 0) or (" + metric + " unless " + metric + " offset " + window + ")) > 0"
}

const where = "{{ $labels.namespace }}/{{ $labels.job }}"

// apiAlerts returns the alerts on the API's answers.
func apiAlerts() []Rule {
	return []Rule{
		{
			Alert: "KsyunApiOutage",
			Expr: `service:ksyun_api_errors_provider:ratio_rate5m > %(outageRatio)s
and
service:ksyun_api_requests:rate5m > %(minRate)s`,
			For: "5m", Labels: map[string]string{"severity": "critical", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 12, nil},
			Summary:     "Most calls fail by the API's or the network's fault.",
			SummaryZH:   "大部分调用因云端或网络原因失败。",
			Calls:       "blame=provider",
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") have failed for 5 minutes by the provider's or the network's fault.",
		},
		{
			Alert: "KsyunApiRegionFailing",
			Expr: `region:ksyun_api_errors_provider:ratio_rate5m > %(partRatio)s
and
region:ksyun_api_requests:rate5m > %(minRate)s`,
			For: "10m", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 11, []string{"region"}},
			Summary:     "Calls to one region fail by the API's or the network's fault.",
			SummaryZH:   "某一区域的调用因云端或网络原因失败。",
			Calls:       "blame=provider",
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} in {{ $labels.region }} (" + where + ") have failed for 10 minutes by the provider's or the network's fault.",
		},
		{
			Alert: "KsyunApiActionFailing",
			Expr: `action:ksyun_api_errors_provider:ratio_rate5m > %(partRatio)s
and
action:ksyun_api_requests:rate5m > %(minRate)s`,
			For: "10m", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 10, []string{"action"}},
			Summary:     "Calls of one action fail by the API's or the network's fault.",
			SummaryZH:   "某一接口的调用因云端或网络原因失败。",
			Calls:       "blame=provider",
			Description: "{{ $value | humanizePercentage }} of the {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") have failed for 10 minutes by the provider's or the network's fault.",
		},
		{
			Alert: "KsyunApiAuthFailing",
			Expr: `category:ksyun_api_errors:rate5m{category="auth"} > %(authRate)s
and
category:ksyun_api_errors:rate5m{category="auth"} > %(spikeFactor)s * (category:ksyun_api_errors:rate1h{category="auth"} offset 5m or 0 * category:ksyun_api_errors:rate5m{category="auth"})`,
			For: "2m", Labels: map[string]string{"severity": "critical", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 14, nil},
			Summary:     "Many calls are refused for their credentials or signatures.",
			SummaryZH:   "大量调用因密钥或签名被拒绝。",
			Calls:       "category=auth",
			Description: "{{ $value | humanize }} calls a second to {{ $labels.service }} (" + where + ") fail authentication, far above the hour before.",
		},
		{
			Alert: "KsyunApiClockSkew",
			Expr:  recent(by, `ksyun_api_errors_total{category="clock"}`, "10m"),
			For:   "2m", Labels: map[string]string{"severity": "warning", "blame": "client"},
			Panel:       Panel{ErrorsUID, 16, nil},
			Summary:     "Calls are refused because a program's clock is wrong.",
			SummaryZH:   "调用因客户端时钟错误被拒绝。",
			Calls:       "category=clock",
			Description: "{{ $value | humanize }} calls to {{ $labels.service }} (" + where + ") in 10 minutes were refused for the time of their signature, which may be 15 minutes off at most.",
		},
		{
			Alert: "KsyunApiPermissionDenied",
			Expr:  recent(by+", action", `ksyun_api_errors_total{category="permission"}`, "10m"),
			For:   "5m", Labels: map[string]string{"severity": "warning", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 15, []string{"action"}},
			Summary:     "Calls are refused for lack of permission.",
			SummaryZH:   "调用因缺少权限被拒绝。",
			Calls:       "category=permission",
			Description: "{{ $value | humanize }} {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") in 10 minutes were refused: the key lacks a policy for it.",
		},
		{
			Alert: "KsyunApiThrottled",
			Expr: `category:ksyun_api_errors:rate5m{category="throttled"} / ignoring (category) (service:ksyun_api_requests:rate5m > %(minRate)s) > %(throttledRatio)s
and ignoring (category)
category:ksyun_api_errors:rate5m{category="throttled"} > %(spikeFactor)s * (category:ksyun_api_errors:rate1h{category="throttled"} offset 5m or 0 * category:ksyun_api_errors:rate5m{category="throttled"})`,
			For: "5m", Labels: map[string]string{"severity": "warning", "blame": "quota"},
			Panel:       Panel{ErrorsUID, 13, nil},
			Summary:     "Many calls are refused because there are too many.",
			SummaryZH:   "大量调用因超出流控被拒绝。",
			Calls:       "category=throttled",
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") are beyond the API's limits, far above the hour before. No known SDK retries 409 LimitExceeded.",
		},
		{
			Alert: "KsyunApiMaskedErrors",
			Expr:  recent(by+", action", `ksyun_api_requests_total{outcome="masked"}`, "15m"),
			For:   "0s", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 17, []string{"action"}},
			Summary:     "Answers with status 200 hold errors.",
			SummaryZH:   "状态码为 200 的响应中含有错误。",
			Calls:       "outcome=masked",
			Description: "{{ $value | humanize }} {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") in 15 minutes were answered with an error inside a 200, which most programs take for success.",
		},
		{
			Alert: "KsyunApiPartialFailures",
			Expr: `sum by (` + by + `, action) (rate(ksyun_api_requests_total{outcome="partial"}[5m]))
/
(action:ksyun_api_requests:rate5m > %(minRate)s)
> %(partialRatio)s`,
			For: "10m", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 18, []string{"action"}},
			Summary:     "Batches are answered in part.",
			SummaryZH:   "批量调用部分失败。",
			Calls:       "outcome=partial",
			Description: "{{ $value | humanizePercentage }} of the {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") report failure for some of their items within a 200.",
		},
		{
			Alert: "KsyunApiUnknownCodes",
			Expr:  recent(by+", code", `ksyun_api_errors_total{category="unknown"}`, "15m"),
			For:   "0s", Labels: map[string]string{"severity": "info", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 20, []string{"code"}},
			Summary:     "The API answers with codes that the catalogue does not know.",
			SummaryZH:   "API 返回了目录中没有的错误码。",
			Calls:       "category=unknown",
			Description: "{{ $value | humanize }} calls to {{ $labels.service }} (" + where + ") in 15 minutes failed with the code {{ $labels.code }}, which says nothing of the cause yet.",
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
			Alert: "KsyunTapDown", Expr: `up{%(tapSelector)s} == 0`, For: "3m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 8, instance},
			Summary:     "A tap cannot be scraped.",
			SummaryZH:   "无法采集某个 tap 的指标。",
			Description: "The tap " + at + " has not answered Prometheus for 3 minutes. Programs that use it as a proxy may have no way to the API.",
		},
		{
			Alert: "KsyunTapAbsent", Expr: `absent(ksyun_tap_build_info)`, For: "10m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 1, nil},
			Summary:     "Prometheus knows of no tap at all.",
			SummaryZH:   "Prometheus 中没有任何 tap。",
			Description: "No tap has been scraped for 10 minutes: nobody sees whether calls fail.",
		},
		{
			Alert: "KsyunTapPathCheckFailing", Expr: `ksyun_tap_path_check_success == 0`, For: "3m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 15, instance},
			Summary:     "The way from a tap to the API is broken.",
			SummaryZH:   "从 tap 到 API 的链路不通。",
			Description: "The checks of " + at + " have failed for 3 minutes. ksyun_tap_path_check_failed tells the stage.",
		},
		{
			Alert: "KsyunTapDroppingObservations", Expr: recent("cluster, namespace, job, instance, sink, reason", `ksyun_tap_observations_dropped_total{reason!~"sampled|shutdown"}`, "10m"),
			For: "5m", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 12, instance},
			Summary:     "A tap loses records of calls.",
			SummaryZH:   "tap 丢失了部分调用记录。",
			Description: "{{ $value | humanize }} records did not reach {{ $labels.sink }} in 10 minutes at " + at + ": {{ $labels.reason }}. Calls and metrics are not affected.",
		},
		{
			Alert: "KsyunTapConfigReloadFailed", Expr: `ksyun_tap_config_last_reload_successful == 0`, For: "5m", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 3, instance},
			Summary:     "A tap could not read its configuration anew.",
			SummaryZH:   "tap 重新加载配置失败。",
			Description: "The tap " + at + " goes on with the settings it had: its log says what is wrong with the new ones.",
		},
		{
			Alert: "KsyunTapCAExpiring", Expr: `ksyun_tap_ca_not_after_timestamp_seconds - time() < %(caDays)s * 86400`, For: "10m", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 7, instance},
			Summary:     "The CA of a tap is about to expire, and no other follows.",
			SummaryZH:   "tap 的 CA 证书即将到期且没有新证书。",
			Description: "The last CA of " + at + " ends in {{ $value | humanizeDuration }}. HTTPS calls through it fail from then on.",
		},
		{
			Alert: "KsyunTapUntrusted", Expr: recent("cluster, namespace, job, instance", `ksyun_tap_intercept_handshake_errors_total{reason="untrusted_ca"}`, "10m"),
			For: "5m", Labels: map[string]string{"severity": "warning", "blame": "client"},
			Panel:       Panel{FleetUID, 26, instance},
			Summary:     "A program does not trust the tap's CA.",
			SummaryZH:   "有程序不信任 tap 的 CA 证书。",
			Description: "{{ $value | humanize }} connections in 10 minutes ended because a program does not trust the CA of " + at + ": its calls fail. The tap's log tells the host and what to set.",
		},
		{
			Alert: "KsyunTapCredentialsStale", Expr: `ksyun_tap_resign_credentials_last_reload_successful == 0`, For: "5m", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 29, instance},
			Summary:     "A tap cannot read the credentials it signs with.",
			SummaryZH:   "tap 无法读取用于签名的密钥。",
			Description: "The tap " + at + " goes on with the credentials read last: its log says what is wrong with the file.",
		},
		{
			Alert: "KsyunTapRedirectLoop", Expr: recent("cluster, namespace, job, instance", `ksyun_tap_transparent_connections_refused_total{reason="loop"}`, "10m"),
			For: "2m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 27, instance},
			Summary:     "A tap's own connections are redirected to it.",
			SummaryZH:   "tap 自身的连接被重定向回 tap。",
			Description: "{{ $value | humanize }} connections in 10 minutes of " + at + " came back to itself: calls through it fail.",
		},
		{
			Alert: "KsyunTapPanics", Expr: recent("cluster, namespace, job, instance", "ksyun_tap_panics_total", "1h"),
			For: "0s", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 6, instance},
			Summary:     "A tap recovered from an error in its own code.",
			SummaryZH:   "tap 从自身代码错误中恢复。",
			Description: "{{ $value | humanize }} panics in an hour at " + at + ": a connection was cut for each.",
		},
	}
}
