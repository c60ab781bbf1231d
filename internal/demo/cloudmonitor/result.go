package cloudmonitor

import (
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"time"
)

// result is the result of an action. One of its parts is set.
type result struct {
	statistics *query
	batch      []query
	failed     []string // error messages of the failed items of a batch
	metrics    []string
	namespace  string
	fields     map[string]any
}

type object = map[string]any

func (r result) json(id string) any {
	meta := object{"requestId": id}
	switch {
	case r.statistics != nil:
		return object{
			"getMetricStatisticsResult": object{"datapoints": object{"member": r.statistics.members()}, "label": r.statistics.metric},
			"responseMetadata":          meta,
		}
	case r.batch != nil:
		items := make([]any, 0, len(r.batch))
		for _, q := range r.batch {
			items = append(items, object{"instance": q.instance, "label": q.metric, "datapoints": object{"member": q.members()}})
		}
		failed := r.failed
		if failed == nil {
			failed = []string{}
		}
		return object{"getMetricStatisticsBatchResults": items, "responseMetadata": meta, "errorMessage": failed}
	case r.metrics != nil:
		items := make([]any, 0, len(r.metrics))
		for _, m := range r.metrics {
			items = append(items, object{"metricName": m, "namespace": r.namespace, "interval": "60", "type": "avg", "unit": "%"})
		}
		page := object{"pageIndex": 1, "pageSize": maxPageSize, "totalCount": len(items)}
		return object{"listMetricsResult": object{"metrics": object{"member": items}, "page": page}, "responseMetadata": meta}
	}
	body := maps.Clone(r.fields)
	body["requestId"] = id
	return body
}

func (q query) members() []object {
	members := []object{}
	for _, p := range q.points() {
		members = append(members, object{
			"timestamp":     p.at.UTC().Format(time.RFC3339),
			"unixTimestamp": p.at.UnixMilli(),
			"average":       number(p.avg),
			"max":           number(p.avg * 1.2),
			"min":           number(p.avg * 0.8),
		})
	}
	return members
}

func (r result) xml(action, id string) []byte {
	var b strings.Builder
	meta := "<ResponseMetadata><RequestId>" + id + "</RequestId></ResponseMetadata>"
	switch {
	case r.statistics != nil:
		b.WriteString(`<GetMetricStatisticsResponse xmlns="https://ksyun.kingeyes.com/"><GetMetricStatisticsResult>`)
		r.statistics.writeXML(&b)
		b.WriteString("</GetMetricStatisticsResult>" + meta + "</GetMetricStatisticsResponse>")
	case r.batch != nil:
		b.WriteString("<GetMetricStatisticsBatchV2Response><GetMetricStatisticsBatchResults>")
		for _, q := range r.batch {
			b.WriteString("<GetMetricStatisticsBatchResult><Instance>" + escapeXML(q.instance) + "</Instance>")
			q.writeXML(&b)
			b.WriteString("</GetMetricStatisticsBatchResult>")
		}
		b.WriteString("</GetMetricStatisticsBatchResults>")
		if len(r.failed) > 0 {
			b.WriteString("<ErrorMessages>")
			for _, m := range r.failed {
				b.WriteString("<ErrorMessage>" + escapeXML(m) + "</ErrorMessage>")
			}
			b.WriteString("</ErrorMessages>")
		}
		b.WriteString(meta + "</GetMetricStatisticsBatchV2Response>")
	case r.metrics != nil:
		b.WriteString("<ListMetricsResponse><ListMetricsResult><Metrics>")
		for _, m := range r.metrics {
			b.WriteString("<member><MetricName>" + escapeXML(m) + "</MetricName><Namespace>" + escapeXML(r.namespace) + "</Namespace></member>")
		}
		b.WriteString("</Metrics></ListMetricsResult>" + meta + "</ListMetricsResponse>")
	default:
		b.WriteString("<" + action + "Response>")
		for _, k := range slices.Sorted(maps.Keys(r.fields)) {
			name := title(k)
			b.WriteString("<" + name + ">" + xmlScalar(r.fields[k]) + "</" + name + ">")
		}
		b.WriteString("<RequestId>" + id + "</RequestId></" + action + "Response>")
	}
	return []byte(b.String())
}

func (q query) writeXML(b *strings.Builder) {
	b.WriteString("<Datapoints>")
	for _, p := range q.points() {
		b.WriteString("<member><Average>" + number(p.avg) + "</Average><Max>" + number(p.avg*1.2) + "</Max><Min>" + number(p.avg*0.8) +
			"</Min><SampleCount>5</SampleCount><Sum>" + number(p.avg*5) + "</Sum><Timestamp>" + p.at.UTC().Format(time.RFC3339) + "</Timestamp></member>")
	}
	b.WriteString("</Datapoints><Label>" + escapeXML(q.metric) + "</Label>")
}

func number(f float64) string { return strconv.FormatFloat(f, 'f', 2, 64) }

// xmlScalar returns the text of a scalar. Lists and objects are empty.
func xmlScalar(v any) string {
	switch v := v.(type) {
	case []any, object:
		return ""
	default:
		return escapeXML(fmt.Sprint(v))
	}
}
