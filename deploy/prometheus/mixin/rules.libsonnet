// Written by make generate from internal/rules. Do not edit.
{
  local c = $._config,
  prometheusRules+:: {
    groups+: [
      {
        name: 'ksyun-tap.recording',
        rules: [
          {
            record: 'service:ksyun_api_requests:rate5m',
            expr: 'sum by (cluster, namespace, job, service) (rate(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[5m]))',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate5m',
            expr: 'sum by (cluster, namespace, job, service) (rate(ksyun_api_errors_total{blame=~"provider|network"}[5m]))\nor\n0 * service:ksyun_api_requests:rate5m',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate5m',
            expr: 'service:ksyun_api_errors_provider:rate5m\n/\n(service:ksyun_api_requests:rate5m > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate30m',
            expr: 'sum by (cluster, namespace, job, service) (rate(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[30m]))',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate30m',
            expr: 'sum by (cluster, namespace, job, service) (rate(ksyun_api_errors_total{blame=~"provider|network"}[30m]))\nor\n0 * service:ksyun_api_requests:rate30m',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate30m',
            expr: 'service:ksyun_api_errors_provider:rate30m\n/\n(service:ksyun_api_requests:rate30m > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate1h',
            expr: 'sum by (cluster, namespace, job, service) (rate(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[1h]))',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate1h',
            expr: 'sum by (cluster, namespace, job, service) (rate(ksyun_api_errors_total{blame=~"provider|network"}[1h]))\nor\n0 * service:ksyun_api_requests:rate1h',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate1h',
            expr: 'service:ksyun_api_errors_provider:rate1h\n/\n(service:ksyun_api_requests:rate1h > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate2h',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[2h:5m]) / 24',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate2h',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[2h:5m]) / 24',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate2h',
            expr: 'service:ksyun_api_errors_provider:rate2h\n/\n(service:ksyun_api_requests:rate2h > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate6h',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[6h:5m]) / 72',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate6h',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[6h:5m]) / 72',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate6h',
            expr: 'service:ksyun_api_errors_provider:rate6h\n/\n(service:ksyun_api_requests:rate6h > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate1d',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[1d:5m]) / 288',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate1d',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[1d:5m]) / 288',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate1d',
            expr: 'service:ksyun_api_errors_provider:rate1d\n/\n(service:ksyun_api_requests:rate1d > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate3d',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[3d:5m]) / 864',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate3d',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[3d:5m]) / 864',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate3d',
            expr: 'service:ksyun_api_errors_provider:rate3d\n/\n(service:ksyun_api_requests:rate3d > 0)',
          },
          {
            record: 'service:ksyun_api_requests:rate30d',
            expr: 'sum_over_time(service:ksyun_api_requests:rate5m[30d:5m]) / 8640',
          },
          {
            record: 'service:ksyun_api_errors_provider:rate30d',
            expr: 'sum_over_time(service:ksyun_api_errors_provider:rate5m[30d:5m]) / 8640',
          },
          {
            record: 'service:ksyun_api_errors_provider:ratio_rate30d',
            expr: 'service:ksyun_api_errors_provider:rate30d\n/\n(service:ksyun_api_requests:rate30d > 0)',
          },
          {
            record: 'action:ksyun_api_requests:rate5m',
            expr: 'sum by (cluster, namespace, job, service, action) (rate(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[5m]))',
          },
          {
            record: 'action:ksyun_api_errors_provider:ratio_rate5m',
            expr: 'sum by (cluster, namespace, job, service, action) (rate(ksyun_api_errors_total{blame=~"provider|network"}[5m]))\n/\n(action:ksyun_api_requests:rate5m > 0)',
          },
          {
            record: 'region:ksyun_api_requests:rate5m',
            expr: 'sum by (cluster, namespace, job, service, region) (rate(ksyun_api_requests_total{outcome!~"dry_run|canceled"}[5m]))',
          },
          {
            record: 'region:ksyun_api_errors_provider:ratio_rate5m',
            expr: 'sum by (cluster, namespace, job, service, region) (rate(ksyun_api_errors_total{blame=~"provider|network"}[5m]))\n/\n(region:ksyun_api_requests:rate5m > 0)',
          },
          {
            record: 'category:ksyun_api_errors:rate5m',
            expr: 'sum by (cluster, namespace, job, service, category) (rate(ksyun_api_errors_total[5m]))',
          },
          {
            record: 'category:ksyun_api_errors:rate1h',
            expr: 'sum by (cluster, namespace, job, service, category) (rate(ksyun_api_errors_total[1h]))',
          },
        ],
      },
    ],
  },
}
