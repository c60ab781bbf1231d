package cloudmonitor

import (
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// action is an operation of the API, with its documented limits.
type action struct {
	name      string
	versions  []string
	perMinute int // calls per user; 0 if not documented
	run       func(s *Server, x *exchange) (result, *Error)
}

var actions = []action{
	{"GetMetricStatistics", []string{"2010-05-25", "2017-07-01", "2019-08-12", "2023-07-12"}, 3600, (*Server).getMetricStatistics},
	{"ListMetrics", []string{"2010-05-25", "2017-07-01", "2019-08-12", "2023-07-12"}, 0, (*Server).listMetrics},
	{"GetMetricStatisticsBatch", []string{"2018-09-29", "2018-11-14", "2023-07-12"}, 180, (*Server).getMetricStatisticsBatch},
	{"PutMetricData", []string{"2017-07-01"}, 0, (*Server).acknowledge},
	{"ListAlarmPolicy", []string{"2021-01-01"}, 0, (*Server).listPage},
	{"DescribeAlarmPolicy", []string{"2021-01-01"}, 0, (*Server).listPage},
	{"DescribePolicyObject", []string{"2021-01-01"}, 0, (*Server).listPage},
	{"DescribeAlarmReceives", []string{"2021-01-01"}, 0, (*Server).listPage},
	{"GetUserGroup", []string{"2021-01-01"}, 0, (*Server).listPage},
	{"GetAlertUser", []string{"2021-01-01"}, 0, (*Server).listPage},
	{"AddAlarmReceives", []string{"2021-01-01"}, 0, (*Server).acknowledge},
	{"DeleteAlarmReceives", []string{"2021-01-01"}, 0, (*Server).acknowledge},
	{"UpdateAlertUserStatus", []string{"2021-01-01"}, 0, (*Server).acknowledge},
	{"DescribeSysEventGroupList", []string{"2021-01-01"}, 0, (*Server).listFlat},
	{"DescribeMonitorProductList", []string{"2021-01-01"}, 0, (*Server).listFlat},
	{"DescribeAlertHistories", []string{"2021-01-01"}, 0, (*Server).listFlat},
	{"CreateAlarmPolicy", []string{"2022-01-01"}, 0, (*Server).acknowledge},
	{"DeleteAlarmPolicy", []string{"2022-01-01"}, 0, (*Server).acknowledge},
	{"DescribeInstances", []string{"2023-07-12"}, 0, (*Server).listPage},
	{"DescribeAlertingResources", []string{"2025-01-01"}, 0, (*Server).listPage},
	{"DescribeSystemEventAttributes", []string{"2025-01-01"}, 0, (*Server).listPage},
	{"ListAlarmEffectInstance", []string{"2025-01-01"}, 0, (*Server).listPage},
	{"ListGrafanaInstances", []string{"2025-01-01"}, 0, (*Server).listGrafana},
	{"GetPrometheusToken", []string{"2025-01-01"}, 0, (*Server).prometheusToken},
	{"QueryRange", []string{"2025-01-01"}, 0, (*Server).queryRange},
	{"PutDefaultEventPolicy", []string{"2025-01-01"}, 0, (*Server).listFlat},
}

// The documented limits of the metric actions.
const (
	maxRecords      = 60_000
	maxBatchRecords = 6_000
	maxBatchMetrics = 200
	maxAge          = 30 * 24 * time.Hour
	minLag          = 2 * time.Minute
	maxPageSize     = 100
	defaultPageSize = 10
)

// namespaces lists those in the vendor's exporter and datasource.
var namespaces = []string{
	"KEC", "EPC", "EIP", "NAT", "SLB", "LISTENER", "LISTENER7", "PEER", "BWS", "DCGW",
	"KRDS", "KCS", "KCS2", "KS3", "KCM", "MONGO", "MONDB", "KCE", "PGS",
}

// metricNames lists the metrics that every namespace has in the simulator.
var metricNames = []string{
	"cpu.utilizition.total", "memory.utilizition.total", "net.if.in", "net.if.out",
	"disk.io.read", "disk.io.write", "pod.cpu.usage", "pod.memory.usage",
}

func findAction(name, version string) (action, bool) {
	i := slices.IndexFunc(actions, func(a action) bool {
		return a.name == name && slices.Contains(a.versions, version)
	})
	if i < 0 {
		return action{}, false
	}
	return actions[i], true
}

func (s *Server) perform(x *exchange) (result, *Error) {
	a, _ := findAction(x.param("Action"), x.param("Version"))
	return a.run(s, x)
}

// query is a request for one metric over a period.
type query struct {
	namespace, metric, instance string
	from, to                    time.Time
	period                      time.Duration
}

// point is a data point.
type point struct {
	at  time.Time
	avg float64
}

func (q query) records() int { return max(0, int(q.to.Sub(q.from)/q.period)+1) } // 0 if there is no data yet

func (q query) points() []point {
	points := make([]point, 0, max(0, q.records()))
	for t := q.from; !t.After(q.to); t = t.Add(q.period) {
		points = append(points, point{t, wave(q.instance+q.metric, t)})
	}
	return points
}

// readQuery validates the parameters of a metric call as documented.
func (s *Server) readQuery(get func(string) string) (query, *Error) {
	q := query{namespace: get("Namespace"), metric: get("MetricName"), instance: get("InstanceID")}
	for _, name := range []string{"Namespace", "MetricName", "InstanceID", "StartTime", "EndTime", "Period"} {
		if get(name) == "" {
			return q, newError(http.StatusBadRequest, "MissingParameter", "An value must be supplied for the input parameter "+name+".")
		}
	}
	if !slices.Contains(namespaces, strings.ToUpper(q.namespace)) {
		return q, newError(http.StatusBadRequest, "NoSuchNamespace", "No such namespace")
	}
	if len(q.instance) != 36 && !strings.EqualFold(q.namespace, "KS3") {
		return q, newError(http.StatusBadRequest, "InvalidParameterValue", "Invalid `InstanceID` parameter value, length must be 36 characters.")
	}
	if !slices.Contains(metricNames, q.metric) {
		return q, newError(http.StatusNotFound, "NoSuchEntity", "No such name for 'metrics'")
	}
	invalid := func(name string) *Error {
		return newError(http.StatusBadRequest, "InvalidParameterValue", "An invalid or out-of-range value was supplied for the input parameter "+name+".")
	}
	seconds, err := strconv.Atoi(get("Period"))
	if err != nil || seconds <= 0 || seconds%60 != 0 {
		return q, invalid("Period")
	}
	q.period = time.Duration(seconds) * time.Second
	if q.from, err = time.Parse(time.RFC3339, get("StartTime")); err != nil || s.now().Sub(q.from) > maxAge {
		return q, invalid("StartTime")
	}
	if q.to, err = time.Parse(time.RFC3339, get("EndTime")); err != nil || q.to.Before(q.from) {
		return q, invalid("EndTime")
	}
	// There is no data for the last minutes yet.
	if latest := s.now().Add(-minLag); q.to.After(latest) {
		q.to = latest
	}
	return q, nil
}

// limit applies the directives about data to a query.
func (d Directive) limit(q query, now time.Time) query {
	if latest := now.Add(-d.Stale); d.Stale > 0 && q.to.After(latest) {
		q.to = latest
	}
	if d.Empty {
		q.to = q.from.Add(-q.period)
	}
	return q
}

func (s *Server) getMetricStatistics(x *exchange) (result, *Error) {
	q, e := s.readQuery(x.param)
	if e != nil {
		return result{}, e
	}
	if x.who.Foreign {
		return result{}, newError(http.StatusForbidden, "ProductNotOwned", "["+q.instance+"("+q.namespace+")] product does not belong to this user")
	}
	if q.records() > maxRecords {
		return result{}, newError(http.StatusBadRequest, "RequestTooLarge", "Request information is too large")
	}
	q = x.do.limit(q, s.now())
	return result{statistics: &q}, nil
}

func (s *Server) getMetricStatisticsBatch(x *exchange) (result, *Error) {
	items, _ := x.doc["Metrics"].([]any)
	if len(items) == 0 {
		return result{}, newError(http.StatusBadRequest, "MissingParameter", "An value must be supplied for the input parameter Metrics.")
	}
	if len(items) > maxBatchMetrics {
		return result{}, newError(http.StatusBadRequest, "RequestTooLarge", "Request information is too large")
	}
	r := result{batch: []query{}}
	records := 0
	for i, item := range items {
		fields, _ := item.(map[string]any)
		q, e := s.readQuery(func(name string) string {
			if v, ok := fields[name]; ok {
				return fmt.Sprint(v)
			}
			return x.param(name)
		})
		switch {
		case i < x.do.Partial:
			r.failed = append(r.failed, q.instance+" product does not belong to this user")
		case e != nil:
			r.failed = append(r.failed, e.Message)
		default:
			q = x.do.limit(q, s.now())
			r.batch = append(r.batch, q)
			records += q.records()
		}
	}
	if records > maxBatchRecords {
		return result{}, newError(http.StatusBadRequest, "RequestTooLarge", "Request information is too large")
	}
	return r, nil
}

func (s *Server) listMetrics(x *exchange) (result, *Error) {
	namespace := x.param("Namespace")
	if namespace != "" && !slices.Contains(namespaces, strings.ToUpper(namespace)) {
		return result{}, newError(http.StatusBadRequest, "NoSuchNamespace", "No such namespace")
	}
	return result{metrics: metricNames, namespace: namespace}, nil
}

func (s *Server) listPage(x *exchange) (result, *Error) {
	size, page := defaultPageSize, 1
	for name, n := range map[string]*int{"PageSize": &size, "PageIndex": &page} {
		text := x.param(name)
		if text == "" {
			continue
		}
		var err error
		if *n, err = strconv.Atoi(text); err != nil || *n < 1 || name == "PageSize" && *n > maxPageSize {
			return result{}, newError(http.StatusBadRequest, "InvalidParameterValue", "An invalid or out-of-range value was supplied for the input parameter "+name+".")
		}
	}
	data := []any{}
	for i := (page - 1) * size; i < min(page*size, x.do.Total); i++ {
		data = append(data, map[string]any{"id": i + 1})
	}
	return result{fields: map[string]any{"data": data, "totalCount": x.do.Total}}, nil
}

// listFlat returns a response with a code beside the data, as some actions do. The
// vendor's code for success is not documented.
func (s *Server) listFlat(x *exchange) (result, *Error) {
	code, message := "200", "success"
	if x.do.Flat != "" {
		code, message = x.do.Flat, "query failed"
	}
	resources := make([]any, 0, x.do.Total)
	for i := range x.do.Total {
		resources = append(resources, map[string]any{"id": i + 1})
	}
	return result{fields: map[string]any{"code": code, "message": message, "totalCount": x.do.Total, "resourceList": resources}}, nil
}

func (s *Server) acknowledge(*exchange) (result, *Error) {
	return result{fields: map[string]any{"result": true}}, nil
}

func (s *Server) listGrafana(*exchange) (result, *Error) {
	instance := map[string]any{"InstanceId": "grafana-demo", "AccessToken": token()}
	return result{fields: map[string]any{"GrafanaInstances": []any{instance}}}, nil
}

func (s *Server) prometheusToken(*exchange) (result, *Error) {
	return result{fields: map[string]any{"Token": token()}}, nil
}

func (s *Server) queryRange(x *exchange) (result, *Error) {
	data := map[string]any{"resultType": "matrix", "result": []any{}}
	return result{fields: map[string]any{"status": "success", "isPartial": x.do.Partial > 0, "data": data}}, nil
}
