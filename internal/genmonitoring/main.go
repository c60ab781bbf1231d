// Command genmonitoring writes the rules for Prometheus in every form in which
// they come, their reference, and the dashboards. Its argument is the root of
// the tree.
package main

import (
	"fmt"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/grafana"
	"github.com/ksyun-tap/ksyun-tap/internal/rules"
)

func main() {
	if err := run(os.Args[1]); err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
}

func run(root string) error {
	files := map[string][]byte{"docs/alerts.md": rules.Reference()}
	write := func(name string, text []byte, err error) error {
		files[name] = text
		return err
	}
	text, err := rules.YAML()
	if err := write("deploy/prometheus/rules.yaml", text, err); err != nil {
		return err
	}
	text, err = rules.PrometheusRule()
	if err := write("deploy/prometheus/prometheusrule.yaml", text, err); err != nil {
		return err
	}
	var dashboards []string
	for _, d := range grafana.All() {
		name := path.Join("grafana/dashboards", d.UID+".json")
		text, err := d.Classic()
		if err := write(name, text, err); err != nil {
			return err
		}
		text, err = d.V2()
		if err := write(path.Join("grafana/v2", d.UID+".json"), text, err); err != nil {
			return err
		}
		dashboards = append(dashboards, name)
	}
	for name, text := range rules.Mixin(dashboards) {
		files["deploy/prometheus/mixin/"+name] = text
	}
	for _, name := range slices.Sorted(maps.Keys(files)) {
		path := filepath.Join(root, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil { //nolint:gosec // part of a source tree
			return err
		}
		if err := os.WriteFile(path, files[name], 0o644); err != nil { //nolint:gosec // likewise
			return err
		}
	}
	return nil
}
