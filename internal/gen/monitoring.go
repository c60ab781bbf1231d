package main

import (
	"path/filepath"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/ruletests"
)

// monitoring writes the rules for Prometheus in every form, their reference and
// unit tests, and the dashboards in both of Grafana's schemas. The chart has copies of
// rules and dashboards, because it cannot read files outside of its directory.
func monitoring(root string) error {
	texts := map[string]func() ([]byte, error){
		"docs/alerts.md":                        rules.Reference,
		"deploy/prometheus/rules.yaml":          rules.YAML,
		chart + "/files/rules.yaml":             rules.YAML,
		"deploy/prometheus/prometheusrule.yaml": rules.PrometheusRule,
	}
	var names []string
	for _, d := range dashboards.All() {
		name := d.UID + ".json"
		texts["grafana/dashboards/"+name] = d.Classic
		texts[chart+"/files/dashboards/"+name] = d.Classic
		texts["grafana/v2/"+name] = d.V2
		names = append(names, "grafana/dashboards/"+name)
	}
	files := map[string][]byte{}
	for name, text := range texts {
		var err error
		if files[name], err = text(); err != nil {
			return err
		}
	}
	for name, text := range ruletests.Files() {
		files["deploy/prometheus/tests/"+name] = text
	}
	for name, text := range rules.Mixin(names) {
		files["deploy/prometheus/mixin/"+name] = text
	}
	for name, text := range files {
		if err := write(filepath.Join(root, name), text); err != nil {
			return err
		}
	}
	return nil
}
