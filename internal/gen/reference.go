package main

import (
	"bytes"
	"embed"
	"path/filepath"
	"strings"
	"text/template"

	"go.opentelemetry.io/otel/attribute"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// The pages of docs/reference, each with the suffix .tmpl.
//
//go:embed pages
var pages embed.FS

// reference writes the reference pages.
func reference(root string) error {
	all, err := template.New("").Funcs(template.FuncMap{
		"settings":   config.Describe,
		"metrics":    metrics.Describe,
		"maxSeries":  metrics.MaxSeries,
		"attributes": traces.Attributes,
		"kind":       attributeType,
		"entries":    classify.DefaultCatalog().Entries,
		"advice":     diagnosis.ForEntry,
		"causes":     diagnosis.Causes,
		"packages":   func() (map[string]string, error) { return packages(root) },

		"diagnosisEvent": func() string { return traces.EventDiagnosis },

		"cell": func(text string) string { return strings.ReplaceAll(text, "|", "\\|") },
		"join": strings.Join,
	}).ParseFS(pages, "pages/*")
	if err != nil {
		return err
	}
	for _, page := range all.Templates() {
		var b bytes.Buffer
		if err := page.Execute(&b, nil); err != nil {
			return err
		}
		if err := write(filepath.Join(root, "docs/reference", strings.TrimSuffix(page.Name(), ".tmpl")), b.Bytes()); err != nil {
			return err
		}
	}
	return nil
}

// attributeType returns the name of a type of attributes.
func attributeType(t attribute.Type) string {
	if t == attribute.INT64 {
		return "int"
	}
	return strings.ToLower(t.String())
}
