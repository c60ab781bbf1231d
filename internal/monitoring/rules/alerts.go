package rules

const where = "{{ $labels.namespace }}/{{ $labels.job }}"

// apiAlerts returns the alerts on the API's answers.
func apiAlerts() []Rule {
	return []Rule{
		{
			Alert: "KsyunApiOutage",
			Expr:  stateOutage.record(),
			For:   "2m", Labels: map[string]string{"severity": "critical", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 3, nil},
			Summary:     "Most calls fail by the API's or the network's fault.",
			SummaryZH:   "大部分调用因云端或网络原因失败。",
			Calls:       "blame=provider",
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") fail by the provider's or the network's fault: of all its taps, or of one.",
		},
		{
			Alert: "KsyunApiRegionFailing",
			Expr:  partFails("region", "instance_region:ksyun_api_errors_provider:increase15m", "partRatio"),
			For:   "5m", KeepFiringFor: "15m", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 3, nil},
			Summary:     "Calls to one region fail by the API's or the network's fault.",
			SummaryZH:   "某一区域的调用因云端或网络原因失败。",
			Calls:       "blame=provider",
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} in {{ $labels.region }} (" + where + ") fail by the provider's or the network's fault.",
		},
		{
			Alert: "KsyunApiActionFailing",
			Expr:  partFails("action", "instance_action:ksyun_api_errors_provider:increase15m", "partRatio"),
			For:   "5m", KeepFiringFor: "15m", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 3, nil},
			Summary:     "Calls of one action fail by the API's or the network's fault.",
			SummaryZH:   "某一接口的调用因云端或网络原因失败。",
			Calls:       "blame=provider",
			Description: "{{ $value | humanizePercentage }} of the {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") fail by the provider's or the network's fault.",
		},
		{
			Alert: "KsyunApiAuthFailing",
			Expr:  stateAuth.record(),
			For:   "0s", Labels: map[string]string{"severity": "critical", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 5, nil},
			Summary:     "Calls are refused for their credentials or signatures.",
			SummaryZH:   "调用因密钥或签名被拒绝。",
			Calls:       "category=auth",
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") fail authentication: of all its taps, or of one.",
		},
		{
			Alert: "KsyunApiClockSkew",
			Expr:  recent(by, `ksyun_api_attempts_total{category="clock"}`),
			For:   "0s", KeepFiringFor: "1h", Labels: map[string]string{"severity": "warning", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 8, nil},
			Summary:     "Calls are refused because a program's clock is wrong.",
			SummaryZH:   "调用因客户端时钟错误被拒绝。",
			Calls:       "category=clock",
			Description: "{{ $value | humanize }} calls to {{ $labels.service }} (" + where + ") in 15 minutes were refused for the time of their signature, which may be 15 minutes off at most.",
		},
		{
			Alert: "KsyunApiClockDrift",
			Expr:  "abs(ksyun_api_clock_skew_seconds) - ksyun_api_clock_skew_uncertainty_seconds > %(clockSeconds)s",
			For:   "2m", Labels: map[string]string{"severity": "warning", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 8, nil},
			Summary:     "A program's clock is wrong; soon its calls will be refused.",
			SummaryZH:   "程序所在主机的时钟偏差过大，调用即将被拒绝。",
			Calls:       "category=clock",
			Description: "The clock of {{ $labels.client }}, behind the tap {{ $labels.instance }} (" + where + "), is more than {{ $value | humanizeDuration }} off. The API refuses calls from 15 minutes on.",
		},
		{
			Alert: "KsyunApiPermissionDenied",
			Expr:  recent(by+", action", `ksyun_api_errors_total{category="permission"}`),
			For:   "0s", KeepFiringFor: "1h", Labels: map[string]string{"severity": "warning", "blame": "credential"},
			Panel:       Panel{ErrorsUID, 7, nil},
			Summary:     "Calls are refused for lack of permission.",
			SummaryZH:   "调用因缺少权限被拒绝。",
			Calls:       "category=permission",
			Description: "{{ $value | humanize }} {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") in 15 minutes were refused: the key lacks a policy for it.",
		},
		{
			Alert: "KsyunApiThrottled",
			Expr:  stateThrottled.record(),
			For:   "0s", Labels: map[string]string{"severity": "warning", "blame": "quota"},
			Panel:       Panel{ErrorsUID, 4, nil},
			Summary:     "Calls are refused because there are too many.",
			SummaryZH:   "调用因超出流控被拒绝。",
			Calls:       "category=throttled",
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") are beyond the API's limits: of all its taps, or of one. No known SDK retries 409 LimitExceeded.",
		},
		{
			Alert: "KsyunApiBadRequests",
			Expr:  stateBadRequests.record(),
			For:   "2m", Labels: map[string]string{"severity": "warning", "blame": "client"},
			Panel:       Panel{ErrorsUID, 6, nil},
			Summary:     "Most calls are refused as wrong in themselves.",
			SummaryZH:   "大部分调用因请求本身有误被拒绝。",
			Calls:       "blame=client",
			Description: "{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} (" + where + ") ask for what is not there or not allowed: of all its taps, or of one.",
		},
		{
			Alert: "KsyunApiMaskedErrors",
			Expr:  recent(by+", action", `ksyun_api_requests_total{outcome="masked"}`),
			For:   "0s", KeepFiringFor: "1h", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 9, nil},
			Summary:     "Answers with status 200 hold errors.",
			SummaryZH:   "状态码为 200 的响应中含有错误。",
			Calls:       "outcome=masked",
			Description: "{{ $value | humanize }} {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") in 15 minutes were answered with an error inside a 200, which most programs take for success.",
		},
		{
			Alert: "KsyunApiPartialFailures",
			Expr:  partFails("action", `instance_action:ksyun_api_requests_partial:increase15m`, "partialRatio"),
			For:   "5m", KeepFiringFor: "1h", Labels: map[string]string{"severity": "warning", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 10, nil},
			Summary:     "Batches are answered in part.",
			SummaryZH:   "批量调用部分失败。",
			Calls:       "outcome=partial",
			Description: "{{ $value | humanizePercentage }} of the {{ $labels.action }} calls to {{ $labels.service }} (" + where + ") report failure for some of their items within a 200.",
		},
		{
			Alert: "KsyunApiUnknownCodes",
			Expr: recent(by+", code", `ksyun_api_errors_total{category="unknown",code!="none"}`) +
				"\nor\n" + recent(by+", code", `ksyun_api_errors_total{category="unknown",code="none",status!~"2.."}`),
			For: "0s", KeepFiringFor: "1h", Labels: map[string]string{"severity": "info", "blame": "provider"},
			Panel:       Panel{ErrorsUID, 11, nil},
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
			Alert: "KsyunTapDown", Expr: "up == 0 and on (" + target + ") instance:ksyun_tap:known", For: "3m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 1, instance},
			Summary:     "A tap cannot be scraped.",
			SummaryZH:   "无法采集某个 tap 的指标。",
			Description: "The tap " + at + " has not answered Prometheus for 3 minutes. Programs that use it as a proxy may have no way to the API.",
		},
		{
			Alert: "KsyunTapAbsent", Expr: `absent(ksyun_tap_build_info)`, For: "10m", Labels: tap("critical"),
			Panel:       Panel{OverviewUID, 1, nil},
			Summary:     "Prometheus knows of no tap at all.",
			SummaryZH:   "Prometheus 中没有任何 tap。",
			Description: "No tap has been scraped for 10 minutes: nobody sees whether calls fail.",
		},
		{
			Alert: "KsyunTapPathCheckFailing", Expr: `ksyun_tap_path_check_success == 0`, For: "3m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 3, instance},
			Summary:     "The way from a tap to the API is broken.",
			SummaryZH:   "从 tap 到 API 的链路不通。",
			Description: "The checks of " + at + " have failed for 3 minutes. ksyun_tap_path_check_failed names the stage.",
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
			Description: "The tap " + at + " goes on with the settings it had: its log says what is wrong with the new ones.",
		},
		{
			Alert: "KsyunTapCAExpiring", Expr: `ksyun_tap_ca_not_after_timestamp_seconds - time() < %(caDays)s * 86400`, For: "10m", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 1, instance},
			Summary:     "The CA of a tap is about to expire, and no other follows.",
			SummaryZH:   "tap 的 CA 证书即将到期且没有新证书。",
			Description: "The last CA of " + at + " ends in {{ $value | humanizeDuration }}. HTTPS calls through it fail from then on.",
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
			Description: "The tap " + at + " goes on with the credentials read last: its log says what is wrong with the file.",
		},
		{
			Alert: "KsyunTapRedirectLoop", Expr: recent(target, `ksyun_tap_transparent_connections_refused_total{reason="loop"}`),
			For: "2m", Labels: tap("critical"),
			Panel:       Panel{FleetUID, 4, instance},
			Summary:     "A tap's own connections are redirected to it.",
			SummaryZH:   "tap 自身的连接被重定向回 tap。",
			Description: "{{ $value | humanize }} connections in 15 minutes of " + at + " came back to itself: calls through it fail.",
		},
		{
			Alert: "KsyunTapPanics", Expr: recent(target, "ksyun_tap_panics_total"),
			For: "0s", KeepFiringFor: "1h", Labels: tap("warning"),
			Panel:       Panel{FleetUID, 4, instance},
			Summary:     "A tap recovered from an error in its own code.",
			SummaryZH:   "tap 从自身代码错误中恢复。",
			Description: "{{ $value | humanize }} panics in 15 minutes at " + at + ": a connection was cut for each.",
		},
	}
}
