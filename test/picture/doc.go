// Package picture draws dashboards for the documentation, without Grafana: it sends the
// same queries to Prometheus, and draws the results at the same places in a plain style.
//
//	picture.go (page) ──> prometheus.go (queries) ──> chart.go, table.go, value.go
//
// README and docs/dashboards.md show these pictures, and a reader sees from them in a
// moment what the dashboards are for. No Grafana can run where they are drawn. So this
// package draws the kinds of panels that the dashboards have, graphs with a library, and
// fails for any other kind. It does not draw Grafana's finer details.
package picture
