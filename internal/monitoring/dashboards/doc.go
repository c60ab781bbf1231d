// Package dashboards defines the Grafana dashboards in code, and writes them in
// both of Grafana's schemas: the classic one, which Grafana 9 to 13 load, and v2,
// the schema of Grafana 13.
//
//	overview.go, errors.go, call.go, fleet.go   what each dashboard shows
//	         │
//	    panel.go ──> schema.go ──> classic.go ──> dashboards/*.json
//	    query.go         └───────> v2.go ───────> v2/*.json
//
// To add a panel, add a few lines to one of those files, with an ID that no other
// panel of its dashboard has or had, because alerts and bookmarks link to it. A
// query with a metric or label that the tap does not have panics when it is
// written, so it cannot be committed. Events are counted as alerts count them
// (internal/monitoring/rules): rate and increase miss the first event of a series.
//
// The package does not use Grafana's Foundation SDK, so that metric names can be
// checked against exporter/metrics, and so that changing a dashboard needs only Go.
package dashboards
