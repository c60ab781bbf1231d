package classify

import "slices"

// Action is a documented action of Cloud Monitor in one version. The same name may
// exist in several versions, with different parameters and responses.
type Action struct {
	Service string
	Name    string
	Version string
	Method  string // GET, POST or PUT
	Path    string // "/", "/v3/" or "/v4/"

	// The documented limits; 0 if none is documented.
	PerMinute  int // calls per minute and user
	MaxMetrics int // metrics in one request
	MaxRecords int // records in one response
}

// KnownActions returns the documented actions of Cloud Monitor, oldest version
// first. The caller owns the slice.
func KnownActions() []Action { return slices.Clone(actions) }

// actions are the documented actions.
var actions = func() []Action {
	var all []Action
	add := func(version, path, method string, names ...string) {
		for _, n := range names {
			all = append(all, Action{Service: "monitor", Name: n, Version: version, Method: method, Path: path})
		}
	}
	add("2010-05-25", "/", "GET", "GetMetricStatistics", "ListMetrics")
	add("2017-07-01", "/", "POST", "PutMetricData", "ListMetrics", "GetMetricStatistics")
	add("2018-09-29", "/", "POST", "GetMetricStatisticsBatch")
	add("2018-11-14", "/", "POST", "GetMetricStatisticsBatch")
	add("2019-08-12", "/v3/", "GET", "GetMetricStatistics", "ListMetrics")
	add("2021-01-01", "/", "GET",
		"ListAlarmPolicy", "DescribeAlarmPolicy", "DescribePolicyObject", "DescribeAlarmReceives", "GetUserGroup", "GetAlertUser",
		"DescribeSysEventGroupList", "DescribeMonitorProductList", "DescribeAlertHistories")
	add("2021-01-01", "/", "POST", "AddAlarmReceives", "DeleteAlarmReceives", "UpdateAlertUserStatus")
	add("2022-01-01", "/", "POST", "CreateAlarmPolicy", "DeleteAlarmPolicy")
	add("2023-07-12", "/v4/", "GET", "DescribeInstances", "GetMetricStatistics", "ListMetrics")
	add("2023-07-12", "/v4/", "POST", "GetMetricStatisticsBatch")
	add("2025-01-01", "/", "GET",
		"DescribeAlertingResources", "ListGrafanaInstances", "DescribeSystemEventAttributes", "ListAlarmEffectInstance", "QueryRange", "GetPrometheusToken")
	add("2025-01-01", "/", "PUT", "PutDefaultEventPolicy")

	for i := range all {
		switch a := &all[i]; {
		case a.Version == "2010-05-25" && a.Name == "GetMetricStatistics":
			a.PerMinute, a.MaxRecords = 3600, 60_000
		case a.Version == "2018-09-29", a.Version == "2018-11-14":
			a.PerMinute, a.MaxMetrics, a.MaxRecords = 180, 200, 6_000
		}
	}
	return all
}()
