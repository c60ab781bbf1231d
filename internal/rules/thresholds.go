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
	{"tapSelector", `job=~".*ksyun-tap.*"`, "Which scrape targets are taps, for KsyunTapDown."},
	{"errorBudget", "0.001", "Share of calls that may fail by the provider's or the network's fault: 99.9 % availability over 30 days."},
	{"minRequests", "100", "Calls that a window must have for its burn rate to mean anything."},
	{"minRate", "0.05", "Calls per second below which shares of failed calls mean nothing."},
	{"outageRatio", "0.5", "Share of provider's failures that counts as an outage."},
	{"partRatio", "0.2", "Share of provider's failures at which a region or an action counts as failing."},
	{"spikeFactor", "3", "How much above the hour before a rate must be to be a spike."},
	{"authRate", "0.05", "Authentication failures per second that a spike must reach."},
	{"throttledRatio", "0.05", "Share of throttled calls that a spike must reach."},
	{"partialRatio", "0.05", "Share of partial answers that is too much."},
	{"caDays", "7", "Days before the CA's end at which its renewal has failed for certain."},
}

func sortedKeys(m map[string]string) []string { return slices.Sorted(maps.Keys(m)) }
