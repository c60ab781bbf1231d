// Package picture draws dashboards for the documentation, without Grafana, which does not
// run where they are drawn. It sends the same queries to Prometheus, and draws the results
// at the same places in a plain style.
//
//	picture.go, picture.html ──> chart.go, table.go ──> prometheus.go, value.go
//
// README.md and docs/dashboards.md show these pictures: a reader sees what the dashboards
// answer before installing anything, and a change that empties a panel is noticed. So it is
// worth its lines, which are few: a library draws the graphs, and only the kinds of panels
// that the dashboards have are drawn. Any other kind is an error.
package picture
