package rules

import (
	"bytes"
	"embed"
	"strings"
	"text/template"
)

// The page, and the tables in it that test/alerts writes.
//
//go:embed alerts.md.tmpl scenarios.md burnrates.md
var page embed.FS

// Reference writes docs/alerts.md.
func Reference() ([]byte, error) {
	t, err := template.New("alerts.md.tmpl").Funcs(template.FuncMap{
		"alerts": Alerts, "records": documented, "thresholds": func() any { return thresholds }, "threshold": Threshold,
		"windows": func() string { return strings.Join(windows, ", ") }, "fill": Fill,
		"include": func(name string) (string, error) {
			text, err := page.ReadFile(name)
			return string(text), err
		},
	}).ParseFS(page, "alerts.md.tmpl")
	if err != nil {
		return nil, err
	}
	var b bytes.Buffer
	err = t.Execute(&b, nil)
	return b.Bytes(), err
}

// documented returns the recording rules of the page: those on availability for one window.
func documented() (all []Rule) {
	for _, g := range Groups() {
		for _, r := range g.Rules {
			if r.Record != "" && (!strings.Contains(g.Name, "recording") || strings.HasSuffix(r.Record, "rate5m")) {
				all = append(all, r)
			}
		}
	}
	return all
}
