// Written by make generate from internal/monitoring/rules. Do not edit.
{
  local c = $._config,
  prometheusRules+:: {
    groups+: [
      {
        name: 'ksyun-tap.recording',
        rules: [
          {
            record: 'instance:ksyun_tap:known5m',
            expr: 'group by (cluster, namespace, job, instance) (ksyun_tap_build_info offset 5m)\nor\ngroup by (cluster, namespace, job, instance) (last_over_time(process_start_time_seconds[5m]) > time() - 300 - 120 and on (cluster, namespace, job, instance) last_over_time(ksyun_tap_build_info[5m]))',
          },
          {
            record: 'service:ksyun_api_requests:rate5m',
            expr: 'sum by (cluster, namespace, job, service) (((last_over_time(ksyun_api_attempts_total[5m]) unless ksyun_api_attempts_total offset 5m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known5m\nor\n(last_over_time(ksyun_api_attempts_total[5m]) - ksyun_api_attempts_total offset 5m >= 0)) and resets(ksyun_api_attempts_total[5m]) == 0\nor\nincrease(ksyun_api_attempts_total[5m])) / 300',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate5m',
            expr: 'sum by (cluster, namespace, job, service) (((last_over_time(ksyun_api_attempts_total{blame=~"provider|network"}[5m]) unless ksyun_api_attempts_total{blame=~"provider|network"} offset 5m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known5m\nor\n(last_over_time(ksyun_api_attempts_total{blame=~"provider|network"}[5m]) - ksyun_api_attempts_total{blame=~"provider|network"} offset 5m >= 0)) and resets(ksyun_api_attempts_total{blame=~"provider|network"}[5m]) == 0\nor\nincrease(ksyun_api_attempts_total{blame=~"provider|network"}[5m])) / 300',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate5m',
            expr: 'service:ksyun_api_errors_provider:rate5m\n/\n(service:ksyun_api_requests:rate5m > 0)',
          },
          {
            record: 'instance:ksyun_tap:known30m',
            expr: 'group by (cluster, namespace, job, instance) (ksyun_tap_build_info offset 30m)\nor\ngroup by (cluster, namespace, job, instance) (last_over_time(process_start_time_seconds[30m]) > time() - 1800 - 120 and on (cluster, namespace, job, instance) last_over_time(ksyun_tap_build_info[30m]))',
          },
          {
            record: 'service:ksyun_api_requests:rate30m',
            expr: 'sum by (cluster, namespace, job, service) (((last_over_time(ksyun_api_attempts_total[30m]) unless ksyun_api_attempts_total offset 30m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known30m\nor\n(last_over_time(ksyun_api_attempts_total[30m]) - ksyun_api_attempts_total offset 30m >= 0)) and resets(ksyun_api_attempts_total[30m]) == 0\nor\nincrease(ksyun_api_attempts_total[30m])) / 1800',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate30m',
            expr: 'sum by (cluster, namespace, job, service) (((last_over_time(ksyun_api_attempts_total{blame=~"provider|network"}[30m]) unless ksyun_api_attempts_total{blame=~"provider|network"} offset 30m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known30m\nor\n(last_over_time(ksyun_api_attempts_total{blame=~"provider|network"}[30m]) - ksyun_api_attempts_total{blame=~"provider|network"} offset 30m >= 0)) and resets(ksyun_api_attempts_total{blame=~"provider|network"}[30m]) == 0\nor\nincrease(ksyun_api_attempts_total{blame=~"provider|network"}[30m])) / 1800',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate30m',
            expr: 'service:ksyun_api_errors_provider:rate30m\n/\n(service:ksyun_api_requests:rate30m > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate1h',
            expr: '(service:ksyun_api_requests:rate30m + (service:ksyun_api_requests:rate30m offset 30m or 0 * service:ksyun_api_requests:rate30m)) / 2',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate1h',
            expr: '(service:ksyun_api_errors_provider:rate30m + (service:ksyun_api_errors_provider:rate30m offset 30m or 0 * service:ksyun_api_errors_provider:rate30m)) / 2',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate1h',
            expr: 'service:ksyun_api_errors_provider:rate1h\n/\n(service:ksyun_api_requests:rate1h > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate2h',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[2h:5m]) * 300 / 7200',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate2h',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[2h:5m]) * 300 / 7200',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate2h',
            expr: 'service:ksyun_api_errors_provider:rate2h\n/\n(service:ksyun_api_requests:rate2h > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate6h',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[6h:5m]) * 300 / 21600',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate6h',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[6h:5m]) * 300 / 21600',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate6h',
            expr: 'service:ksyun_api_errors_provider:rate6h\n/\n(service:ksyun_api_requests:rate6h > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate1d',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[1d:5m]) * 300 / 86400',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate1d',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[1d:5m]) * 300 / 86400',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate1d',
            expr: 'service:ksyun_api_errors_provider:rate1d\n/\n(service:ksyun_api_requests:rate1d > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate3d',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[3d:5m]) * 300 / 259200',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate3d',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[3d:5m]) * 300 / 259200',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate3d',
            expr: 'service:ksyun_api_errors_provider:rate3d\n/\n(service:ksyun_api_requests:rate3d > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate30d',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[30d:5m]) * 300 / 2592000',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate30d',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[30d:5m]) * 300 / 2592000',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate30d',
            expr: 'service:ksyun_api_errors_provider:rate30d\n/\n(service:ksyun_api_requests:rate30d > 0)',
          },
        ],
      },
      {
        name: 'ksyun-tap.api',
        rules: [
          {
            record: 'instance:ksyun_tap:known15m',
            expr: 'group by (cluster, namespace, job, instance) (ksyun_tap_build_info offset 15m)\nor\ngroup by (cluster, namespace, job, instance) (last_over_time(process_start_time_seconds[15m]) > time() - 900 - 120 and on (cluster, namespace, job, instance) last_over_time(ksyun_tap_build_info[15m]))',
          },
          {
            record: 'instance_category_blame:ksyun_api_attempts:increase15m',
            expr: 'sum by (cluster, namespace, job, instance, service, category, blame) (((last_over_time(ksyun_api_attempts_total[15m]) unless ksyun_api_attempts_total offset 15m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known15m\nor\n(last_over_time(ksyun_api_attempts_total[15m]) - ksyun_api_attempts_total offset 15m >= 0)) and resets(ksyun_api_attempts_total[15m]) == 0\nor\nincrease(ksyun_api_attempts_total[15m])) > 0',
          },
          {
            record: 'service:ksyun_api_attempts:increase15m',
            expr: 'sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m)',
          },
          {
            record: 'instance_action:ksyun_api_requests:increase15m',
            expr: 'sum by (cluster, namespace, job, instance, service, action) (((last_over_time(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[15m]) unless ksyun_api_requests_total{outcome!~"dry_run|canceled"} offset 15m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known15m\nor\n(last_over_time(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[15m]) - ksyun_api_requests_total{outcome!~"dry_run|canceled"} offset 15m >= 0)) and resets(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[15m]) == 0\nor\nincrease(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[15m])) > 0',
          },
          {
            record: 'instance_action:ksyun_api_requests_partial:increase15m',
            expr: 'sum by (cluster, namespace, job, instance, service, action) (((last_over_time(ksyun_api_requests_total{outcome="partial"}[15m]) unless ksyun_api_requests_total{outcome="partial"} offset 15m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known15m\nor\n(last_over_time(ksyun_api_requests_total{outcome="partial"}[15m]) - ksyun_api_requests_total{outcome="partial"} offset 15m >= 0)) and resets(ksyun_api_requests_total{outcome="partial"}[15m]) == 0\nor\nincrease(ksyun_api_requests_total{outcome="partial"}[15m])) > 0',
          },
          {
            record: 'instance_action:ksyun_api_errors_provider:increase15m',
            expr: 'sum by (cluster, namespace, job, instance, service, action) (((last_over_time(ksyun_api_errors_total{blame=~"provider|network"}[15m]) unless ksyun_api_errors_total{blame=~"provider|network"} offset 15m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known15m\nor\n(last_over_time(ksyun_api_errors_total{blame=~"provider|network"}[15m]) - ksyun_api_errors_total{blame=~"provider|network"} offset 15m >= 0)) and resets(ksyun_api_errors_total{blame=~"provider|network"}[15m]) == 0\nor\nincrease(ksyun_api_errors_total{blame=~"provider|network"}[15m])) > 0',
          },
          {
            record: 'instance_action:ksyun_api_retries_failed:increase15m',
            expr: 'sum by (cluster, namespace, job, instance, service, action) (((last_over_time(ksyun_api_retries_total{outcome!="success"}[15m]) unless ksyun_api_retries_total{outcome!="success"} offset 15m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known15m\nor\n(last_over_time(ksyun_api_retries_total{outcome!="success"}[15m]) - ksyun_api_retries_total{outcome!="success"} offset 15m >= 0)) and resets(ksyun_api_retries_total{outcome!="success"}[15m]) == 0\nor\nincrease(ksyun_api_retries_total{outcome!="success"}[15m])) > 0',
          },
          {
            record: 'instance_region:ksyun_api_requests:increase15m',
            expr: 'sum by (cluster, namespace, job, instance, service, region) (((last_over_time(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[15m]) unless ksyun_api_requests_total{outcome!~"dry_run|canceled"} offset 15m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known15m\nor\n(last_over_time(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[15m]) - ksyun_api_requests_total{outcome!~"dry_run|canceled"} offset 15m >= 0)) and resets(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[15m]) == 0\nor\nincrease(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[15m])) > 0',
          },
          {
            record: 'instance_region:ksyun_api_errors_provider:increase15m',
            expr: 'sum by (cluster, namespace, job, instance, service, region) (((last_over_time(ksyun_api_errors_total{blame=~"provider|network"}[15m]) unless ksyun_api_errors_total{blame=~"provider|network"} offset 15m) and on (cluster, namespace, job, instance) instance:ksyun_tap:known15m\nor\n(last_over_time(ksyun_api_errors_total{blame=~"provider|network"}[15m]) - ksyun_api_errors_total{blame=~"provider|network"} offset 15m >= 0)) and resets(ksyun_api_errors_total{blame=~"provider|network"}[15m]) == 0\nor\nincrease(ksyun_api_errors_total{blame=~"provider|network"}[15m])) > 0',
          },
          {
            record: 'category:ksyun_api_attempts:increase15m',
            expr: 'sum by (cluster, namespace, job, service, category) (instance_category_blame:ksyun_api_attempts:increase15m{category=~"auth|throttled"})',
          },
          {
            record: 'category:ksyun_api_attempts:spike',
            expr: '(category:ksyun_api_attempts:increase15m / on (cluster, namespace, job, service) group_left service:ksyun_api_attempts:increase15m > %(spikeRatio)s and category:ksyun_api_attempts:increase15m >= %(spikeFailures)s)\nand on (cluster, namespace, job, service) (service:ksyun_api_attempts:increase15m offset 1d)\nunless on (cluster, namespace, job, service, category) category:ksyun_api_attempts:increase15m <= %(spikeFactor)s * max_over_time(category:ksyun_api_attempts:increase15m[1h] offset 1410m)\nunless on (cluster, namespace, job, service, category) category:ksyun_api_attempts:increase15m <= %(spikeFactor)s * max_over_time(category:ksyun_api_attempts:increase15m[1h] offset 10050m)\nor\n(category:ksyun_api_attempts:increase15m / on (cluster, namespace, job, service) group_left service:ksyun_api_attempts:increase15m > %(spikeRatio)s and category:ksyun_api_attempts:increase15m >= %(spikeFailures)s) and on (cluster, namespace, job, service, category) last_over_time(category:ksyun_api_attempts:spike[10m])' % c,
          },
          {
            record: 'service:ksyun_api_auth:state',
            expr: 'max by (cluster, namespace, job, service) (\n  # a share of the last 15 minutes\' calls, of a tap or of the job\n  sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{category="auth"}) / sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(authRatio)s and sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{category="auth"}) >= %(minFailures)s\n  or\n  sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m{category="auth"}) / sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(authRatio)s and sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m{category="auth"}) >= %(minFailures)s\n  # nothing but failures since the last success\n  or\n  sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success{category=~"auth"}) / sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success)\n  and sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success{category=~"auth"}) >= %(minFailures)s\n  and on (cluster, namespace, job, service, instance) time() - ksyun_api_last_success_timestamp_seconds > %(quietSeconds)s\n  and on (cluster, namespace, job, service, instance) time() - ksyun_api_last_error_timestamp_seconds{category=~"auth"} < 90000\n  # on, and not yet below half the threshold at every tap\n  or\n  sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{category="auth"}) / sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(authRatio)s / 2 and on (cluster, namespace, job, service) last_over_time(service:ksyun_api_auth:state[10m])\n  # far above the days before\n  or\n  sum by (cluster, namespace, job, service) (category:ksyun_api_attempts:spike{category="auth"})\n)\n# on, and no call since\nor\n(last_over_time(service:ksyun_api_auth:state[10m]) unless on (cluster, namespace, job, service) service:ksyun_api_attempts:increase15m)\nand on (cluster, namespace, job, service) last_over_time(service:ksyun_api_attempts:increase15m[25h])' % c,
          },
          {
            record: 'service:ksyun_api_throttled:state',
            expr: 'max by (cluster, namespace, job, service) (\n  # a share of the last 15 minutes\' calls, of a tap or of the job\n  sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{category="throttled"}) / sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(throttledRatio)s and sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{category="throttled"}) >= %(minFailures)s\n  or\n  sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m{category="throttled"}) / sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(throttledRatio)s and sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m{category="throttled"}) >= %(minFailures)s\n  # nothing but failures since the last success\n  or\n  sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success{category=~"throttled"}) / sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success)\n  and sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success{category=~"throttled"}) >= %(minFailures)s\n  and on (cluster, namespace, job, service, instance) time() - ksyun_api_last_success_timestamp_seconds > %(quietSeconds)s\n  and on (cluster, namespace, job, service, instance) time() - ksyun_api_last_error_timestamp_seconds{category=~"throttled"} < 4500\n  # on, and not yet below half the threshold at every tap\n  or\n  sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{category="throttled"}) / sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(throttledRatio)s / 2 and on (cluster, namespace, job, service) last_over_time(service:ksyun_api_throttled:state[10m])\n  # far above the days before\n  or\n  sum by (cluster, namespace, job, service) (category:ksyun_api_attempts:spike{category="throttled"})\n)\n# on, and no call since\nor\n(last_over_time(service:ksyun_api_throttled:state[10m]) unless on (cluster, namespace, job, service) service:ksyun_api_attempts:increase15m)\nand on (cluster, namespace, job, service) last_over_time(service:ksyun_api_attempts:increase15m[75m])' % c,
          },
          {
            record: 'service:ksyun_api_outage:state',
            expr: 'max by (cluster, namespace, job, service) (\n  # a share of the last 15 minutes\' calls, of a tap or of the job\n  sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{blame=~"provider|network"}) / sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(outageRatio)s and sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{blame=~"provider|network"}) >= %(minFailures)s\n  or\n  sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m{blame=~"provider|network"}) / sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(outageRatio)s and sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m{blame=~"provider|network"}) >= %(minFailures)s\n  # nothing but failures since the last success\n  or\n  sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success{category=~"server|timeout|network"}) / sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success)\n  and sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success{category=~"server|timeout|network"}) >= %(minFailures)s\n  and on (cluster, namespace, job, service, instance) time() - ksyun_api_last_success_timestamp_seconds > %(quietSeconds)s\n  and on (cluster, namespace, job, service, instance) time() - ksyun_api_last_error_timestamp_seconds{category=~"server|timeout|network"} < 4500\n  # on, and not yet below half the threshold at every tap\n  or\n  sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{blame=~"provider|network"}) / sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(outageRatio)s / 2 and on (cluster, namespace, job, service) last_over_time(service:ksyun_api_outage:state[10m])\n)\n# on, and no call since\nor\n(last_over_time(service:ksyun_api_outage:state[10m]) unless on (cluster, namespace, job, service) service:ksyun_api_attempts:increase15m)\nand on (cluster, namespace, job, service) last_over_time(service:ksyun_api_attempts:increase15m[75m])' % c,
          },
          {
            record: 'service:ksyun_api_bad_requests:state',
            expr: 'max by (cluster, namespace, job, service) (\n  # a share of the last 15 minutes\' calls, of a tap or of the job\n  sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{blame="client"}) / sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(badRequestRatio)s and sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{blame="client"}) >= %(minFailures)s\n  or\n  sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m{blame="client"}) / sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(badRequestRatio)s and sum by (cluster, namespace, job, service) (instance_category_blame:ksyun_api_attempts:increase15m{blame="client"}) >= %(minFailures)s\n  # nothing but failures since the last success\n  or\n  sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success{category=~"request|not_found|too_large"}) / sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success)\n  and sum by (cluster, namespace, job, service, instance) (ksyun_api_errors_since_success{category=~"request|not_found|too_large"}) >= %(minFailures)s\n  and on (cluster, namespace, job, service, instance) time() - ksyun_api_last_success_timestamp_seconds > %(quietSeconds)s\n  and on (cluster, namespace, job, service, instance) time() - ksyun_api_last_error_timestamp_seconds{category=~"request|not_found|too_large"} < 90000\n  # on, and not yet below half the threshold at every tap\n  or\n  sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m{blame="client"}) / sum by (cluster, namespace, job, service, instance) (instance_category_blame:ksyun_api_attempts:increase15m) >= %(badRequestRatio)s / 2 and on (cluster, namespace, job, service) last_over_time(service:ksyun_api_bad_requests:state[10m])\n)\n# on, and no call since\nor\n(last_over_time(service:ksyun_api_bad_requests:state[10m]) unless on (cluster, namespace, job, service) service:ksyun_api_attempts:increase15m)\nand on (cluster, namespace, job, service) last_over_time(service:ksyun_api_attempts:increase15m[25h])' % c,
          },
        ],
      },
      {
        name: 'ksyun-tap.tap',
        rules: [
          {
            record: 'instance:ksyun_tap:known',
            expr: 'group by (cluster, namespace, job, instance) (ksyun_tap_build_info)\nor\nlast_over_time(instance:ksyun_tap:known[6h]) and on (cluster, namespace, job, instance) up',
          },
        ],
      },
    ],
  },
}
