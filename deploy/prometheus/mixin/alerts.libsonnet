// Written by make generate from internal/rules. Do not edit.
{
  local c = $._config,
  prometheusAlerts+:: {
    groups+: [
      {
        name: 'ksyun-tap.slo',
        rules: [
          {
            alert: 'KsyunApiErrorBudgetBurn',
            expr: 'service:ksyun_api_errors_provider:ratio_rate1h > (14.4 * %(errorBudget)s)\nand\nservice:ksyun_api_errors_provider:ratio_rate5m > (14.4 * %(errorBudget)s)\nand\nservice:ksyun_api_requests:rate1h * 3600 > %(minRequests)s' % c,
            'for': '2m',
            labels: {
              blame: 'provider',
              severity: 'critical',
              window: '1h',
            },
            annotations: {
              calls: 'blame=provider',
              description: '{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) failed over 1h by the provider\'s or the network\'s fault: 2 % of the month\'s budget in an hour is used up at this rate.',
              runbook_url: '%(runbookURL)s/KsyunApiErrorBudgetBurn.md' % c,
              summary: 'Calls fail by the API\'s or the network\'s fault so often that the error budget is being used up.',
              summary_zh: '因云端或网络原因的失败正在过快消耗错误预算。',
            },
          },
          {
            alert: 'KsyunApiErrorBudgetBurn',
            expr: 'service:ksyun_api_errors_provider:ratio_rate6h > (6 * %(errorBudget)s)\nand\nservice:ksyun_api_errors_provider:ratio_rate30m > (6 * %(errorBudget)s)\nand\nservice:ksyun_api_requests:rate6h * 21600 > %(minRequests)s' % c,
            'for': '15m',
            labels: {
              blame: 'provider',
              severity: 'critical',
              window: '6h',
            },
            annotations: {
              calls: 'blame=provider',
              description: '{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) failed over 6h by the provider\'s or the network\'s fault: 5 % of the month\'s budget in 6 hours is used up at this rate.',
              runbook_url: '%(runbookURL)s/KsyunApiErrorBudgetBurn.md' % c,
              summary: 'Calls fail by the API\'s or the network\'s fault so often that the error budget is being used up.',
              summary_zh: '因云端或网络原因的失败正在过快消耗错误预算。',
            },
          },
          {
            alert: 'KsyunApiErrorBudgetBurn',
            expr: 'service:ksyun_api_errors_provider:ratio_rate1d > (3 * %(errorBudget)s)\nand\nservice:ksyun_api_errors_provider:ratio_rate2h > (3 * %(errorBudget)s)\nand\nservice:ksyun_api_requests:rate1d * 86400 > %(minRequests)s' % c,
            'for': '1h',
            labels: {
              blame: 'provider',
              severity: 'warning',
              window: '1d',
            },
            annotations: {
              calls: 'blame=provider',
              description: '{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) failed over 1d by the provider\'s or the network\'s fault: 10 % of the month\'s budget in a day is used up at this rate.',
              runbook_url: '%(runbookURL)s/KsyunApiErrorBudgetBurn.md' % c,
              summary: 'Calls fail by the API\'s or the network\'s fault so often that the error budget is being used up.',
              summary_zh: '因云端或网络原因的失败正在过快消耗错误预算。',
            },
          },
          {
            alert: 'KsyunApiErrorBudgetBurn',
            expr: 'service:ksyun_api_errors_provider:ratio_rate3d > (1 * %(errorBudget)s)\nand\nservice:ksyun_api_errors_provider:ratio_rate6h > (1 * %(errorBudget)s)\nand\nservice:ksyun_api_requests:rate3d * 259200 > %(minRequests)s' % c,
            'for': '3h',
            labels: {
              blame: 'provider',
              severity: 'warning',
              window: '3d',
            },
            annotations: {
              calls: 'blame=provider',
              description: '{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) failed over 3d by the provider\'s or the network\'s fault: 10 % of the month\'s budget in 3 days is used up at this rate.',
              runbook_url: '%(runbookURL)s/KsyunApiErrorBudgetBurn.md' % c,
              summary: 'Calls fail by the API\'s or the network\'s fault so often that the error budget is being used up.',
              summary_zh: '因云端或网络原因的失败正在过快消耗错误预算。',
            },
          },
        ],
      },
      {
        name: 'ksyun-tap.api',
        rules: [
          {
            alert: 'KsyunApiOutage',
            expr: 'service:ksyun_api_errors_provider:ratio_rate5m > %(outageRatio)s\nand\nservice:ksyun_api_requests:rate5m > %(minRate)s' % c,
            'for': '5m',
            labels: {
              blame: 'provider',
              severity: 'critical',
            },
            annotations: {
              calls: 'blame=provider',
              description: '{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) have failed for 5 minutes by the provider\'s or the network\'s fault.',
              runbook_url: '%(runbookURL)s/KsyunApiOutage.md' % c,
              summary: 'Most calls fail by the API\'s or the network\'s fault.',
              summary_zh: '大部分调用因云端或网络原因失败。',
            },
          },
          {
            alert: 'KsyunApiRegionFailing',
            expr: 'region:ksyun_api_errors_provider:ratio_rate5m > %(partRatio)s\nand\nregion:ksyun_api_requests:rate5m > %(minRate)s' % c,
            'for': '10m',
            labels: {
              blame: 'provider',
              severity: 'warning',
            },
            annotations: {
              calls: 'blame=provider',
              description: '{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} in {{ $labels.region }} ({{ $labels.namespace }}/{{ $labels.job }}) have failed for 10 minutes by the provider\'s or the network\'s fault.',
              runbook_url: '%(runbookURL)s/KsyunApiRegionFailing.md' % c,
              summary: 'Calls to one region fail by the API\'s or the network\'s fault.',
              summary_zh: '某一区域的调用因云端或网络原因失败。',
            },
          },
          {
            alert: 'KsyunApiActionFailing',
            expr: 'action:ksyun_api_errors_provider:ratio_rate5m > %(partRatio)s\nand\naction:ksyun_api_requests:rate5m > %(minRate)s' % c,
            'for': '10m',
            labels: {
              blame: 'provider',
              severity: 'warning',
            },
            annotations: {
              calls: 'blame=provider',
              description: '{{ $value | humanizePercentage }} of the {{ $labels.action }} calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) have failed for 10 minutes by the provider\'s or the network\'s fault.',
              runbook_url: '%(runbookURL)s/KsyunApiActionFailing.md' % c,
              summary: 'Calls of one action fail by the API\'s or the network\'s fault.',
              summary_zh: '某一接口的调用因云端或网络原因失败。',
            },
          },
          {
            alert: 'KsyunApiAuthFailing',
            expr: 'category:ksyun_api_errors:rate5m{category="auth"} > %(authRate)s\nand\ncategory:ksyun_api_errors:rate5m{category="auth"} > %(spikeFactor)s * (category:ksyun_api_errors:rate1h{category="auth"} offset 5m or 0 * category:ksyun_api_errors:rate5m{category="auth"})' % c,
            'for': '2m',
            labels: {
              blame: 'credential',
              severity: 'critical',
            },
            annotations: {
              calls: 'category=auth',
              description: '{{ $value | humanize }} calls a second to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) fail authentication, far above the hour before.',
              runbook_url: '%(runbookURL)s/KsyunApiAuthFailing.md' % c,
              summary: 'Many calls are refused for their credentials or signatures.',
              summary_zh: '大量调用因密钥或签名被拒绝。',
            },
          },
          {
            alert: 'KsyunApiClockSkew',
            expr: 'sum by (cluster, namespace, job, service) ((increase(ksyun_api_errors_total{category="clock"}[10m]) > 0) or (ksyun_api_errors_total{category="clock"} unless ksyun_api_errors_total{category="clock"} offset 10m)) > 0',
            'for': '2m',
            labels: {
              blame: 'client',
              severity: 'warning',
            },
            annotations: {
              calls: 'category=clock',
              description: '{{ $value | humanize }} calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) in 10 minutes were refused for the time of their signature, which may be 15 minutes off at most.',
              runbook_url: '%(runbookURL)s/KsyunApiClockSkew.md' % c,
              summary: 'Calls are refused because a program\'s clock is wrong.',
              summary_zh: '调用因客户端时钟错误被拒绝。',
            },
          },
          {
            alert: 'KsyunApiPermissionDenied',
            expr: 'sum by (cluster, namespace, job, service, action) ((increase(ksyun_api_errors_total{category="permission"}[10m]) > 0) or (ksyun_api_errors_total{category="permission"} unless ksyun_api_errors_total{category="permission"} offset 10m)) > 0',
            'for': '5m',
            labels: {
              blame: 'credential',
              severity: 'warning',
            },
            annotations: {
              calls: 'category=permission',
              description: '{{ $value | humanize }} {{ $labels.action }} calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) in 10 minutes were refused: the key lacks a policy for it.',
              runbook_url: '%(runbookURL)s/KsyunApiPermissionDenied.md' % c,
              summary: 'Calls are refused for lack of permission.',
              summary_zh: '调用因缺少权限被拒绝。',
            },
          },
          {
            alert: 'KsyunApiThrottled',
            expr: 'category:ksyun_api_errors:rate5m{category="throttled"} / ignoring (category) (service:ksyun_api_requests:rate5m > %(minRate)s) > %(throttledRatio)s\nand ignoring (category)\ncategory:ksyun_api_errors:rate5m{category="throttled"} > %(spikeFactor)s * (category:ksyun_api_errors:rate1h{category="throttled"} offset 5m or 0 * category:ksyun_api_errors:rate5m{category="throttled"})' % c,
            'for': '5m',
            labels: {
              blame: 'quota',
              severity: 'warning',
            },
            annotations: {
              calls: 'category=throttled',
              description: '{{ $value | humanizePercentage }} of the calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) are beyond the API\'s limits, far above the hour before. No known SDK retries 409 LimitExceeded.',
              runbook_url: '%(runbookURL)s/KsyunApiThrottled.md' % c,
              summary: 'Many calls are refused because there are too many.',
              summary_zh: '大量调用因超出流控被拒绝。',
            },
          },
          {
            alert: 'KsyunApiMaskedErrors',
            expr: 'sum by (cluster, namespace, job, service, action) ((increase(ksyun_api_requests_total{outcome="masked"}[15m]) > 0) or (ksyun_api_requests_total{outcome="masked"} unless ksyun_api_requests_total{outcome="masked"} offset 15m)) > 0',
            'for': '0s',
            labels: {
              blame: 'provider',
              severity: 'warning',
            },
            annotations: {
              calls: 'outcome=masked',
              description: '{{ $value | humanize }} {{ $labels.action }} calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) in 15 minutes were answered with an error inside a 200, which most programs take for success.',
              runbook_url: '%(runbookURL)s/KsyunApiMaskedErrors.md' % c,
              summary: 'Answers with status 200 hold errors.',
              summary_zh: '状态码为 200 的响应中含有错误。',
            },
          },
          {
            alert: 'KsyunApiPartialFailures',
            expr: 'sum by (cluster, namespace, job, service, action) (rate(ksyun_api_requests_total{outcome="partial"}[5m]))\n/\n(action:ksyun_api_requests:rate5m > %(minRate)s)\n> %(partialRatio)s' % c,
            'for': '10m',
            labels: {
              blame: 'provider',
              severity: 'warning',
            },
            annotations: {
              calls: 'outcome=partial',
              description: '{{ $value | humanizePercentage }} of the {{ $labels.action }} calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) report failure for some of their items within a 200.',
              runbook_url: '%(runbookURL)s/KsyunApiPartialFailures.md' % c,
              summary: 'Batches are answered in part.',
              summary_zh: '批量调用部分失败。',
            },
          },
          {
            alert: 'KsyunApiUnknownCodes',
            expr: 'sum by (cluster, namespace, job, service, code) ((increase(ksyun_api_errors_total{category="unknown"}[15m]) > 0) or (ksyun_api_errors_total{category="unknown"} unless ksyun_api_errors_total{category="unknown"} offset 15m)) > 0',
            'for': '0s',
            labels: {
              blame: 'provider',
              severity: 'info',
            },
            annotations: {
              calls: 'category=unknown',
              description: '{{ $value | humanize }} calls to {{ $labels.service }} ({{ $labels.namespace }}/{{ $labels.job }}) in 15 minutes failed with the code {{ $labels.code }}, which says nothing of the cause yet.',
              runbook_url: '%(runbookURL)s/KsyunApiUnknownCodes.md' % c,
              summary: 'The API answers with codes that the catalogue does not know.',
              summary_zh: 'API 返回了目录中没有的错误码。',
            },
          },
        ],
      },
      {
        name: 'ksyun-tap.tap',
        rules: [
          {
            alert: 'KsyunTapDown',
            expr: 'up{%(tapSelector)s} == 0' % c,
            'for': '3m',
            labels: {
              blame: 'tap',
              severity: 'critical',
            },
            annotations: {
              description: 'The tap {{ $labels.instance }} ({{ $labels.namespace }}/{{ $labels.job }}) has not answered Prometheus for 3 minutes. Programs that use it as a proxy may have no way to the API.',
              runbook_url: '%(runbookURL)s/KsyunTapDown.md' % c,
              summary: 'A tap cannot be scraped.',
              summary_zh: '无法采集某个 tap 的指标。',
            },
          },
          {
            alert: 'KsyunTapAbsent',
            expr: 'absent(ksyun_tap_build_info)',
            'for': '10m',
            labels: {
              blame: 'tap',
              severity: 'critical',
            },
            annotations: {
              description: 'No tap has been scraped for 10 minutes: nobody sees whether calls fail.',
              runbook_url: '%(runbookURL)s/KsyunTapAbsent.md' % c,
              summary: 'Prometheus knows of no tap at all.',
              summary_zh: 'Prometheus 中没有任何 tap。',
            },
          },
          {
            alert: 'KsyunTapPathCheckFailing',
            expr: 'ksyun_tap_path_check_success == 0',
            'for': '3m',
            labels: {
              blame: 'tap',
              severity: 'critical',
            },
            annotations: {
              description: 'The checks of {{ $labels.instance }} ({{ $labels.namespace }}/{{ $labels.job }}) have failed for 3 minutes. ksyun_tap_path_check_failed tells the stage.',
              runbook_url: '%(runbookURL)s/KsyunTapPathCheckFailing.md' % c,
              summary: 'The way from a tap to the API is broken.',
              summary_zh: '从 tap 到 API 的链路不通。',
            },
          },
          {
            alert: 'KsyunTapDroppingObservations',
            expr: 'sum by (cluster, namespace, job, instance, sink, reason) ((increase(ksyun_tap_observations_dropped_total{reason!~"sampled|shutdown"}[10m]) > 0) or (ksyun_tap_observations_dropped_total{reason!~"sampled|shutdown"} unless ksyun_tap_observations_dropped_total{reason!~"sampled|shutdown"} offset 10m)) > 0',
            'for': '5m',
            labels: {
              blame: 'tap',
              severity: 'warning',
            },
            annotations: {
              description: '{{ $value | humanize }} records did not reach {{ $labels.sink }} in 10 minutes at {{ $labels.instance }} ({{ $labels.namespace }}/{{ $labels.job }}): {{ $labels.reason }}. Calls and metrics are not affected.',
              runbook_url: '%(runbookURL)s/KsyunTapDroppingObservations.md' % c,
              summary: 'A tap loses records of calls.',
              summary_zh: 'tap 丢失了部分调用记录。',
            },
          },
          {
            alert: 'KsyunTapConfigReloadFailed',
            expr: 'ksyun_tap_config_last_reload_successful == 0',
            'for': '5m',
            labels: {
              blame: 'tap',
              severity: 'warning',
            },
            annotations: {
              description: 'The tap {{ $labels.instance }} ({{ $labels.namespace }}/{{ $labels.job }}) goes on with the settings it had: its log says what is wrong with the new ones.',
              runbook_url: '%(runbookURL)s/KsyunTapConfigReloadFailed.md' % c,
              summary: 'A tap could not read its configuration anew.',
              summary_zh: 'tap 重新加载配置失败。',
            },
          },
          {
            alert: 'KsyunTapCAExpiring',
            expr: 'ksyun_tap_ca_not_after_timestamp_seconds - time() < %(caDays)s * 86400' % c,
            'for': '10m',
            labels: {
              blame: 'tap',
              severity: 'warning',
            },
            annotations: {
              description: 'The last CA of {{ $labels.instance }} ({{ $labels.namespace }}/{{ $labels.job }}) ends in {{ $value | humanizeDuration }}. HTTPS calls through it fail from then on.',
              runbook_url: '%(runbookURL)s/KsyunTapCAExpiring.md' % c,
              summary: 'The CA of a tap is about to expire, and no other follows.',
              summary_zh: 'tap 的 CA 证书即将到期且没有新证书。',
            },
          },
          {
            alert: 'KsyunTapUntrusted',
            expr: 'sum by (cluster, namespace, job, instance) ((increase(ksyun_tap_intercept_handshake_errors_total{reason="untrusted_ca"}[10m]) > 0) or (ksyun_tap_intercept_handshake_errors_total{reason="untrusted_ca"} unless ksyun_tap_intercept_handshake_errors_total{reason="untrusted_ca"} offset 10m)) > 0',
            'for': '5m',
            labels: {
              blame: 'client',
              severity: 'warning',
            },
            annotations: {
              description: '{{ $value | humanize }} connections in 10 minutes ended because a program does not trust the CA of {{ $labels.instance }} ({{ $labels.namespace }}/{{ $labels.job }}): its calls fail. The tap\'s log tells the host and what to set.',
              runbook_url: '%(runbookURL)s/KsyunTapUntrusted.md' % c,
              summary: 'A program does not trust the tap\'s CA.',
              summary_zh: '有程序不信任 tap 的 CA 证书。',
            },
          },
          {
            alert: 'KsyunTapCredentialsStale',
            expr: 'ksyun_tap_resign_credentials_last_reload_successful == 0',
            'for': '5m',
            labels: {
              blame: 'tap',
              severity: 'warning',
            },
            annotations: {
              description: 'The tap {{ $labels.instance }} ({{ $labels.namespace }}/{{ $labels.job }}) goes on with the credentials read last: its log says what is wrong with the file.',
              runbook_url: '%(runbookURL)s/KsyunTapCredentialsStale.md' % c,
              summary: 'A tap cannot read the credentials it signs with.',
              summary_zh: 'tap 无法读取用于签名的密钥。',
            },
          },
          {
            alert: 'KsyunTapRedirectLoop',
            expr: 'sum by (cluster, namespace, job, instance) ((increase(ksyun_tap_transparent_connections_refused_total{reason="loop"}[10m]) > 0) or (ksyun_tap_transparent_connections_refused_total{reason="loop"} unless ksyun_tap_transparent_connections_refused_total{reason="loop"} offset 10m)) > 0',
            'for': '2m',
            labels: {
              blame: 'tap',
              severity: 'critical',
            },
            annotations: {
              description: '{{ $value | humanize }} connections in 10 minutes of {{ $labels.instance }} ({{ $labels.namespace }}/{{ $labels.job }}) came back to itself: calls through it fail.',
              runbook_url: '%(runbookURL)s/KsyunTapRedirectLoop.md' % c,
              summary: 'A tap\'s own connections are redirected to it.',
              summary_zh: 'tap 自身的连接被重定向回 tap。',
            },
          },
          {
            alert: 'KsyunTapPanics',
            expr: 'sum by (cluster, namespace, job, instance) ((increase(ksyun_tap_panics_total[1h]) > 0) or (ksyun_tap_panics_total unless ksyun_tap_panics_total offset 1h)) > 0',
            'for': '0s',
            labels: {
              blame: 'tap',
              severity: 'warning',
            },
            annotations: {
              description: '{{ $value | humanize }} panics in an hour at {{ $labels.instance }} ({{ $labels.namespace }}/{{ $labels.job }}): a connection was cut for each.',
              runbook_url: '%(runbookURL)s/KsyunTapPanics.md' % c,
              summary: 'A tap recovered from an error in its own code.',
              summary_zh: 'tap 从自身代码错误中恢复。',
            },
          },
        ],
      },
    ],
  },
}
