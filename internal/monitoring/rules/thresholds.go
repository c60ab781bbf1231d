package rules

import (
	"maps"
	"slices"
)

// thresholds are all numbers that users may want to change. Change them here and
// run make generate, or override them in the mixin's _config.
var thresholds = []struct{ name, value, help string }{
	{"runbookURL", "https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/runbooks", "Where runbooks are: a file for each alert."},
	{"dashboardURL", "http://grafana.example:3000", "Where Grafana is, with the dashboards of grafana/dashboards."},
	{"errorBudget", "0.001", "Share of calls that may fail by the provider's or the network's fault: 99.9 % availability over 30 days."},
	{"minBurnFailures", "4.5", "Failures that the long window of a burn rate must have."},
	{"minFailures", "3", "Failures in 15 minutes, or in a row, from which on an alert on a share of calls can fire."},
	{"outageRatio", "0.5", "Share of calls that fail by the provider's or the network's fault in an outage."},
	{"partRatio", "0.2", "Share of such calls at which a region or an action counts as failing."},
	{"authRatio", "0.1", "Share of calls refused for their credentials that is a failure, whatever the days before."},
	{"throttledRatio", "0.1", "Share of throttled calls that is too much, whatever the days before."},
	{"badRequestRatio", "0.5", "Share of calls that are refused as wrong in themselves, at which a program counts as broken."},
	{"partialRatio", "0.05", "Share of partial answers that is too much."},
	{"spikeFailures", "10", "Failures in 15 minutes that a spike of refused or throttled calls must have."},
	{"spikeRatio", "0.01", "Share of calls that such a spike must have."},
	{"spikeFactor", "3", "How much above the same hour of a day and of a week before a spike must be."},
	{"quietSeconds", "120", "Seconds without a success from which on failures in a row are a state."},
	{"clockSeconds", "300", "Seconds by which a program's clock may surely be off. The API refuses calls from 900 on."},
	{"caDays", "7", "Days before the CA's end at which its renewal has failed for certain."},
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
