// Package picture draws dashboards without Grafana, for the documentation: it
// asks Prometheus what Grafana would ask, and draws what it answers where
// Grafana would, plainly. It reads the same JSON that Grafana does.
//
//	picture.go ──> ask.go (Prometheus) ──> draw.go (SVG), table.go, unit.go
package picture
