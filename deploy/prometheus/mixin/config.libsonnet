// Written by make generate from internal/monitoring/rules. Override in your own: (import 'mixin.libsonnet') + { _config+:: { ... } }
{
  _config+:: {
    // Where runbooks are: a file for each alert.
    runbookURL: 'https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/runbooks',
    // Where Grafana is, with the dashboards of grafana/dashboards.
    dashboardURL: 'http://grafana.example:3000',
    // Share of calls that may fail by the provider's or the network's fault: 99.9 % availability over 30 days.
    errorBudget: '0.001',
    // Failures that the long window of a burn rate must have.
    minBurnFailures: '4.5',
    // Failures in 15 minutes, or in a row, from which on an alert on a share of calls can fire.
    minFailures: '3',
    // Share of calls that fail by the provider's or the network's fault in an outage.
    outageRatio: '0.5',
    // Share of such calls at which a region or an action counts as failing.
    partRatio: '0.2',
    // Share of calls refused for their credentials that is a failure, whatever the days before.
    authRatio: '0.1',
    // Share of throttled calls that is too much, whatever the days before.
    throttledRatio: '0.1',
    // Share of calls that are refused as wrong in themselves, at which a program counts as broken.
    badRequestRatio: '0.5',
    // Share of partial answers that is too much.
    partialRatio: '0.05',
    // Failures in 15 minutes that a spike of refused or throttled calls must have.
    spikeFailures: '10',
    // Share of calls that such a spike must have.
    spikeRatio: '0.01',
    // How much above the same hour of a day and of a week before a spike must be.
    spikeFactor: '3',
    // Seconds without a success from which on failures in a row are a state.
    quietSeconds: '120',
    // Seconds by which a program's clock may surely be off. The API refuses calls from 900 on.
    clockSeconds: '300',
    // Days before the CA's end at which its renewal has failed for certain.
    caDays: '7',
  },
}
