// Package dashboards holds the dashboards as code, and writes them in both of
// Grafana's schemas: the classic one, which Grafana 9 to 13 load, and v2, which
// is that of Grafana 13.
//
//	overview.go, errors.go, call.go, fleet.go   what each dashboard shows
//	         │
//	    panel.go ──> schema.go ──> classic.go ──> dashboards/*.json
//	    query.go         └───────> v2.go ───────> v2/*.json
//
// A new panel is a few lines in one of those files, with an ID that no other
// panel of its dashboard has or had: alerts and bookmarks lead to it. A query
// that names a metric or label which the tap does not have panics as it is
// written, so it cannot be committed. Events are counted as alerts count them
// (internal/monitoring/rules): rate and increase miss the first event of a series.
//
// It is Go rather than Grafana's Foundation SDK because the names it must not
// get wrong are those of exporter/metrics, and because nothing but Go is needed
// to change a dashboard.
package dashboards
