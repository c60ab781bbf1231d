// Written by make generate. Do not edit.
{
  grafanaDashboards+:: {
    'ksyun-tap-overview.json': import '../../../grafana/dashboards/ksyun-tap-overview.json',
    'ksyun-tap-errors.json': import '../../../grafana/dashboards/ksyun-tap-errors.json',
    'ksyun-tap-call.json': import '../../../grafana/dashboards/ksyun-tap-call.json',
    'ksyun-tap-fleet.json': import '../../../grafana/dashboards/ksyun-tap-fleet.json',
  },
}
