// Package grafana holds the dashboards as code, and writes them as the classic
// JSON that Grafana 9 to 13 load.
//
//	overview.go, errors.go, call.go, fleet.go   what each dashboard shows
//	         │
//	    panel.go ──> schema.go ──> dashboards/*.json
//	    query.go        exporter/metrics tells which labels a metric has
//
// A new panel is one line in one of those files, with an ID that no other panel
// of its dashboard has or had: alerts and bookmarks lead to it. A query that
// names a metric or label which the tap does not have panics as it is written,
// so it cannot be committed.
//
// It is Go rather than Grafana's Foundation SDK because the names it must not
// get wrong are those of exporter/metrics, and because nothing but Go is needed
// to change a dashboard.
package grafana
