// Package picture draws dashboards for the documentation, without Grafana: it reads
// the same JSON, sends the same queries to Prometheus, and draws the results at the
// same places, in a plain style.
//
//	picture.go ──> ask.go (Prometheus) ──> draw.go (SVG), table.go, unit.go
package picture
