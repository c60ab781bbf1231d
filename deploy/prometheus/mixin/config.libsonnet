// Written by make generate from internal/monitoring/rules. Override in your own: (import 'mixin.libsonnet') + { _config+:: { ... } }
{
  _config+:: {
    // URL of the directory of runbooks, which has a file for each alert.
    runbookURL: 'https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/runbooks',
    // URL of the Grafana that has the dashboards of grafana/dashboards.
    dashboardURL: 'http://grafana.example:3000',
    // Share of calls that may fail because of the provider or the network: 99.9 % availability over 30 days.
    errorBudget: '0.001',
    // Minimum number of failures in the long window of a burn rate.
    minBurnFailures: '4.5',
    // Minimum number of failures in 15 minutes, or in a row, for an alert on a share of calls.
    minFailures: '3',
    // Share of calls failing because of the provider or the network that counts as an outage.
    outageRatio: '0.5',
    // Share of such failures at which a region or an action counts as failing.
    partRatio: '0.2',
    // Share of calls rejected for their credentials at which the alert fires, whatever it was on the days before.
    authRatio: '0.1',
    // Share of throttled calls at which the alert fires, whatever it was on the days before.
    throttledRatio: '0.1',
    // Share of calls rejected because the request is wrong at which the alert fires.
    badRequestRatio: '0.5',
    // Share of partial responses above which the alert fires.
    partialRatio: '0.05',
    // Minimum number of failures in 15 minutes for a spike of rejected or throttled calls.
    spikeFailures: '10',
    // Minimum share of the calls for such a spike.
    spikeRatio: '0.01',
    // Minimum ratio of a spike to the same hour one day and one week before.
    spikeFactor: '3',
    // Seconds without a success after which failures in a row count as a state.
    quietSeconds: '120',
    // Clock skew of a program, in seconds and after subtracting the uncertainty, above which the alert fires. The API rejects calls from 900 on.
    clockSeconds: '300',
    // Share of an action's attempts that are retries which failed again, above which the alert fires.
    retryRatio: '0.5',
    // Minimum number of such retries in 15 minutes.
    retryFailures: '30',
    // Used share of the limit of an action above which the alert fires.
    quotaRatio: '0.8',
    // Days before the CA expires at which its renewal must have failed.
    caDays: '7',
  },
}
