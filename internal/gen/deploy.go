package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
)

// Paths from the root of the tree.
const (
	chart         = "deploy/helm/ksyun-tap"
	monitoringDir = "deploy/kubernetes/monitoring"
	grafanaDir    = "grafana"
	dashboardsDir = grafanaDir + "/dashboards"
)

// deployment writes what the ways to deploy have from elsewhere in the tree, where
// they cannot read it themselves: the chart's schema of settings, its copies of
// rules and dashboards, and Kustomize's lists of them.
func deployment(root string) error {
	schema := filepath.Join(root, chart, "values.schema.json")
	text, err := os.ReadFile(schema)
	if err != nil {
		return err
	}
	if text, err = withSettings(text); err != nil {
		return fmt.Errorf("%s: %w", schema, err)
	}
	if err := write(schema, text); err != nil {
		return err
	}
	if text, err = rules.YAML(); err != nil {
		return err
	}
	if err := write(filepath.Join(root, chart, "files/rules.yaml"), text); err != nil {
		return err
	}
	return copyDashboards(root)
}

// setByChart lists the settings that the chart sets itself, because its ports,
// volumes and probes depend on them.
var setByChart = map[string]bool{
	"config.file": true, "proxy.listen-address": true, "proxy.tls-listen-address": true, "transparent.listen-address": true,
	"web.listen-address": true, "web.admin-listen-address": true, "intercept": true, "intercept.ca-dir": true, "intercept.publish-dir": true,
	"resign.listen-address": true, "resign.credentials-file": true, "resign.allow": true,
}

// withSettings adds the settings to the schema of the chart's values.
func withSettings(schema []byte) ([]byte, error) {
	var s map[string]any
	if err := json.Unmarshal(schema, &s); err != nil {
		return nil, err
	}
	definitions, ok := s["definitions"].(map[string]any)
	if !ok {
		return nil, errors.New("no definitions")
	}
	properties := map[string]any{}
	for _, d := range config.Describe() {
		if setByChart[d.Name] || d.Lookup {
			continue
		}
		property := map[string]any{"description": d.Help}
		if d.Default == "true" || d.Default == "false" {
			property["type"] = "boolean"
		} else {
			property["type"] = []string{"string", "number", "array"}
			property["items"] = map[string]any{"type": []string{"string", "number"}}
		}
		properties[d.Name] = property
	}
	definitions["settings"] = map[string]any{"type": "object", "additionalProperties": false, "properties": properties}
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	err := e.Encode(s)
	return b.Bytes(), err
}

// copyDashboards copies the dashboards into the chart, which cannot read files
// outside of its directory, and lists them for Kustomize, which has no wildcards.
func copyDashboards(root string) error {
	files, err := filepath.Glob(filepath.Join(root, dashboardsDir, "*.json"))
	if err != nil {
		return err
	}
	copies := filepath.Join(root, chart, "files/dashboards")
	if err := os.RemoveAll(copies); err != nil {
		return err
	}
	list := yamlNotice + "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nresources:\n  - podmonitor.yaml\n  - ../../prometheus\n"
	if len(files) > 0 {
		list += "  - ../../../" + grafanaDir + "\n"
		if err := write(filepath.Join(root, grafanaDir, "kustomization.yaml"), []byte(generators(files))); err != nil {
			return err
		}
	}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		if err := write(filepath.Join(copies, filepath.Base(file)), text); err != nil {
			return err
		}
	}
	return write(filepath.Join(root, monitoringDir, "kustomization.yaml"), []byte(list))
}

// generators returns Kustomize's generators for one ConfigMap per dashboard, as
// Grafana's sidecar expects them.
func generators(files []string) string {
	var b strings.Builder
	b.WriteString(yamlNotice + "apiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nconfigMapGenerator:\n")
	for _, file := range files {
		base := filepath.Base(file)
		name := strings.TrimSuffix(base, ".json")
		if !strings.HasPrefix(name, "ksyun-tap") {
			name = "ksyun-tap-" + name
		}
		fmt.Fprintf(&b, "  - name: %s\n    files:\n      - dashboards/%s\n", name, base)
	}
	b.WriteString("generatorOptions:\n  disableNameSuffixHash: true\n  labels:\n    app.kubernetes.io/name: ksyun-tap\n    grafana_dashboard: \"1\"\n")
	return b.String()
}
