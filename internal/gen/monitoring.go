package main

import (
	"path"
	"path/filepath"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/ruletests"
)

// monitoring writes the rules for Prometheus in every form, their reference and
// unit tests, and the dashboards in both of Grafana's schemas.
func monitoring(root string) error {
	files := map[string][]byte{"docs/alerts.md": rules.Reference()}
	add := func(name string, text []byte, err error) error {
		files[name] = text
		return err
	}
	text, err := rules.YAML()
	if err := add("deploy/prometheus/rules.yaml", text, err); err != nil {
		return err
	}
	text, err = rules.PrometheusRule()
	if err := add("deploy/prometheus/prometheusrule.yaml", text, err); err != nil {
		return err
	}
	var names []string
	for _, d := range dashboards.All() {
		name := path.Join("grafana/dashboards", d.UID+".json")
		text, err := d.Classic()
		if err := add(name, text, err); err != nil {
			return err
		}
		text, err = d.V2()
		if err := add(path.Join("grafana/v2", d.UID+".json"), text, err); err != nil {
			return err
		}
		names = append(names, name)
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
