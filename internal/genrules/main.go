// Command genrules writes the rules for Prometheus in every form in which they
// come, and their reference. Its argument is the root of the tree.
package main

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"

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
	for name, text := range rules.Mixin() {
		files["deploy/prometheus/mixin/"+name] = text
	}
	for name, write := range map[string]func() ([]byte, error){
		"deploy/prometheus/rules.yaml":          rules.YAML,
		"deploy/prometheus/prometheusrule.yaml": rules.PrometheusRule,
	} {
		text, err := write()
		if err != nil {
			return err
		}
		files[name] = text
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
