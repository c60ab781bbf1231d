package rules

// thresholds are the numbers that users may want to change: either here, followed
// by make generate, or in the mixin's _config.
var thresholds = []struct{ Name, Value, Help string }{
	{"runbookURL", "https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/runbooks", "URL of the directory of runbooks, which has a file for each alert."},
	{"dashboardURL", "http://grafana.example:3000", "URL of the Grafana that has the dashboards of grafana/dashboards."},
	{"errorBudget", "0.001", "Share of calls that may fail because of the provider or the network: 99.9 % availability over 30 days."},
	{"minBurnFailures", "4.5", "Minimum number of failures in the long window of a burn rate."},
	{"minFailures", "3", "Minimum number of failures in 15 minutes, or in a row, for an alert on a share of calls."},
	{"outageRatio", "0.5", "Share of calls failing because of the provider or the network that counts as an outage."},
	{"partRatio", "0.2", "Share of such failures at which a region or an action counts as failing."},
	{"authRatio", "0.1", "Share of calls rejected for their credentials at which the alert fires, whatever it was on the days before."},
	{"throttledRatio", "0.1", "Share of throttled calls at which the alert fires, whatever it was on the days before."},
	{"badRequestRatio", "0.5", "Share of calls rejected because the request is wrong at which the alert fires."},
	{"partialRatio", "0.05", "Share of partial responses above which the alert fires."},
	{"spikeFailures", "10", "Minimum number of failures in 15 minutes for a spike of rejected or throttled calls."},
	{"spikeRatio", "0.01", "Minimum share of the calls for such a spike."},
	{"spikeFactor", "3", "Minimum ratio of a spike to the same hour one day and one week before."},
	{"quietSeconds", "120", "Seconds without a success after which failures in a row count as a state."},
	{"clockSeconds", "300", "Clock skew of a program, in seconds and after subtracting the uncertainty, above which the alert fires. The API rejects calls from 900 on."},
	{"retryRatio", "0.5", "Share of an action's attempts that are retries which failed again, above which the alert fires."},
	{"retryFailures", "30", "Minimum number of such retries in 15 minutes."},
	{"quotaRatio", "0.8", "Used share of the limit of an action above which the alert fires."},
	{"caDays", "7", "Days before the CA expires at which its renewal must have failed."},
}
