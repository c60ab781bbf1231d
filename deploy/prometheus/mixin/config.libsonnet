// Written by make generate from internal/rules. Override in your own: (import 'mixin.libsonnet') + { _config+:: { ... } }
{
  _config+:: {
    // Where runbooks are: a file for each alert.
    runbookURL: 'https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/runbooks',
    // Where Grafana is, with the dashboards of grafana/dashboards.
    dashboardURL: 'http://grafana.example:3000',
    // Which scrape targets are taps, for KsyunTapDown.
    tapSelector: 'job=~".*ksyun-tap.*"',
    // Share of calls that may fail by the provider's or the network's fault: 99.9 % availability over 30 days.
    errorBudget: '0.001',
    // Calls that a window must have for its burn rate to mean anything.
    minRequests: '100',
    // Calls per second below which shares of failed calls mean nothing.
    minRate: '0.05',
    // Share of provider's failures that counts as an outage.
    outageRatio: '0.5',
    // Share of provider's failures at which a region or an action counts as failing.
    partRatio: '0.2',
    // How much above the hour before a rate must be to be a spike.
    spikeFactor: '3',
    // Authentication failures per second that a spike must reach.
    authRate: '0.05',
    // Share of throttled calls that a spike must reach.
    throttledRatio: '0.05',
    // Share of partial answers that is too much.
    partialRatio: '0.05',
    // Days before the CA's end at which its renewal has failed for certain.
    caDays: '7',
  },
}
