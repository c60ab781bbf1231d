package main

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"path/filepath"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// chart is the directory of the Helm chart.
const chart = "deploy/helm/ksyun-tap"

// deployment writes what the ways to deploy have from elsewhere in the tree, where
// they cannot read it themselves: the chart's schema of settings, and Kustomize's list
// of dashboards.
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
	return write(filepath.Join(root, "grafana/kustomization.yaml"), generators())
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

// generators returns Kustomize's generators for one ConfigMap per dashboard, as
// Grafana's sidecar expects them. Kustomize has no wildcards.
func generators() []byte {
	var b bytes.Buffer
	b.WriteString("# Written by make generate. Do not edit.\napiVersion: kustomize.config.k8s.io/v1beta1\nkind: Kustomization\nconfigMapGenerator:\n")
	for _, d := range dashboards.All() {
		fmt.Fprintf(&b, "  - name: %[1]s\n    files:\n      - dashboards/%[1]s.json\n", d.UID)
	}
	b.WriteString("generatorOptions:\n  disableNameSuffixHash: true\n  labels:\n    app.kubernetes.io/name: ksyun-tap\n    grafana_dashboard: \"1\"\n")
	return b.Bytes()
}
