//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestDashboardsByGrafanasTypes has the TypeScript compiler hold the committed
// dashboards, of both schemas, against the types that Grafana publishes, and asks
// Grafana's library for the names in them: no field that it does not know, and none
// of another type. What is left out of the
// classic schema, and of a panel's options, Grafana fills in; of schema v2,
// nothing that it requires is missing.
func TestDashboardsByGrafanasTypes(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	require.NoError(t, os.CopyFS(dir, os.DirFS("testdata/grafana-types")))
	run := func(name string, args ...string) string {
		t.Helper()
		cmd := exec.Command(name, args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, tail(string(out), 4<<10))
		}
		return string(out)
	}
	run("npm", "install", "--no-audit", "--no-fund", "--ignore-scripts", "--silent")
	types := filepath.Join(dir, "node_modules/@grafana/grafana-foundation-sdk/dist")
	loosen(t, types)
	check := typesCheck(t)
	compile := func(texts ...string) (string, error) {
		args := []string{"tsc", "--noEmit", "--strict", "--skipLibCheck", "--moduleResolution", "bundler", "--module", "esnext"}
		for i, text := range texts {
			args = append(args, fmt.Sprintf("check%d.ts", i))
			testfile.Write(t, filepath.Join(dir, args[len(args)-1]), text, 0o600)
		}
		cmd := exec.Command("npx", args...)
		cmd.Dir = dir
		out, err := cmd.CombinedOutput()
		return string(out), err
	}
	if out, err := compile(check); err != nil {
		t.Errorf("%v\n%s", err, tail(out, 4<<10))
	}

	// Grafana's library knows each unit, matcher and transformation.
	files := must(filepath.Glob("../../grafana/dashboards/*.json"))
	known := func(dashboards ...string) string { return run("node", append([]string{"known.cjs"}, dashboards...)...) }
	var copies []string
	for i, file := range files {
		copies = append(copies, filepath.Join(dir, fmt.Sprintf("%d.json", i)))
		testfile.Write(t, copies[i], string(must(os.ReadFile(file))), 0o600)
	}
	if unknown := known(copies...); unknown != "" {
		t.Errorf("unknown to Grafana: %s", unknown)
	}
	wrong := strings.NewReplacer(`"unit": "bytes"`, `"unit": "bites"`, `"id": "merge"`, `"id": "merges"`, `"id": "byFrameRefID"`, `"id": "byFrame"`)
	for _, file := range copies {
		testfile.Write(t, file, wrong.Replace(string(must(os.ReadFile(file)))), 0o600)
	}
	for _, what := range []string{"unit bites", "transformation merges", "matcher byFrame"} {
		assert.Contains(t, known(copies...), what, "is not reported")
	}

	// It does notice.
	var texts, what []string
	for right, wrong := range map[string]string{
		`"schemaVersion":`: `"schemeVersion":`, `"drawStyle":"line"`: `"drawStyle":"lines"`, `"instant":true`: `"instant":"yes"`, `"colorMode":"value"`: `"colourMode":"value"`,
		`"kind":"GridLayoutItem"`: `"kind":"GridItem"`, `"hide":"dontHide"`: `"hide":"no"`, `"cursorSync":"Crosshair",`: ``, `dashboard.grafana.app/v2"`: `dashboard.grafana.app/v3"`,
	} {
		assert.Contains(t, check, right, "there is no")
		texts, what = append(texts, strings.Replace(check, right, wrong, 1)), append(what, right+" changed to "+wrong)
	}
	out, err := compile(texts...)
	for i := range texts {
		if err == nil || !regexp.MustCompile(fmt.Sprintf(`(?m)^check%d\.ts\(.*: error TS`, i)).MatchString(out) {
			t.Errorf("%s goes unnoticed: %s", what[i], tail(out, 4<<10))
		}
	}
}

// loosen makes the types' fields optional, but for those of schema v2, and their
// enumerations the values that stand in JSON.
func loosen(t *testing.T, types string) {
	t.Helper()
	files, err := filepath.Glob(types + "/*/types.gen.d.ts")
	require.NoError(t, err, "no types")
	require.NotEmpty(t, files, "no types")
	enum := regexp.MustCompile(`(?s)export declare enum (\w+) \{(.*?)\}`)
	value := regexp.MustCompile(`=\s*("[^"]*"|-?\d+)`)
	field := regexp.MustCompile(`(?m)^(\s+\w+): `)
	for _, f := range files {
		text := enum.ReplaceAllStringFunc(string(must(os.ReadFile(f))), func(s string) string {
			m := enum.FindStringSubmatch(s)
			var values []string
			for _, v := range value.FindAllStringSubmatch(m[2], -1) {
				values = append(values, v[1])
			}
			return "export declare type " + m[1] + " = " + strings.Join(values, " | ") + ";"
		})
		text = strings.ReplaceAll(text, "    _implementsDataqueryVariant(): void;\n", "")
		if filepath.Base(filepath.Dir(f)) != "dashboardv2" {
			text = field.ReplaceAllString(text, "$1?: ")
		}
		testfile.Write(t, f, text, 0o600)
	}
}

// typesCheck is a program that gives the dashboards their types: panels'
// options and queries, which the dashboard's own leaves open, by themselves.
func typesCheck(t *testing.T) string {
	t.Helper()
	options := map[string]string{
		"timeseries": "timeseries.Options", "stat": "stat.Options", "table": "table.Options", "text": "text.Options", "logs": "logs.Options",
	}
	custom := map[string]string{"timeseries": "timeseries.FieldConfig", "table": "common.TableFieldOptions"}
	queries := map[string]string{"prometheus": "prometheus.Dataquery", "tempo": "tempo.Dataquery", "loki": "loki.dataquery"} // none of Jaeger's is published
	var out strings.Builder
	for _, module := range []string{"timeseries", "stat", "table", "text", "logs", "common", "prometheus", "tempo", "loki", "dashboard", "dashboardv2"} {
		fmt.Fprintf(&out, "import type * as %s from \"./node_modules/@grafana/grafana-foundation-sdk/dist/%[1]s/types.gen\";\n", module)
	}
	n := 0
	give := func(typ string, v any) {
		n++
		fmt.Fprintf(&out, "export const c%d: %s = %s;\n", n, typ, jsonText(v))
	}
	// parts gives what is in a panel: of a kind, with queries by data source.
	type query struct {
		source string
		fields any
	}
	parts := func(kind string, opts, fieldConfig any, asked []query) {
		require.NotEmpty(t, options[kind], "no type of a %s", kind)
		give(options[kind], opts)
		if c, ok := fieldConfig.(map[string]any); ok && custom[kind] != "" {
			give(custom[kind], c["defaults"].(map[string]any)["custom"])
		}
		for _, q := range asked {
			if typ := queries[q.source]; typ != "" {
				give(typ, q.fields)
			}
		}
	}
	each := func(dir string, f func(d map[string]any)) {
		files, err := filepath.Glob("../../grafana/" + dir + "/*.json")
		if err != nil || len(files) < 4 {
			t.Fatalf("%d dashboards: %v", len(files), err)
		}
		for _, file := range files {
			var d map[string]any
			require.NoError(t, json.Unmarshal(must(os.ReadFile(file)), &d))
			f(d)
		}
	}
	each("dashboards", func(d map[string]any) {
		var panels func(all any)
		panels = func(all any) {
			for _, p := range all.([]any) {
				p := p.(map[string]any)
				if p["type"] == "row" {
					panels(p["panels"])
					continue
				}
				var asked []query
				targets, _ := p["targets"].([]any)
				for _, q := range targets {
					asked = append(asked, query{q.(map[string]any)["datasource"].(map[string]any)["type"].(string), q})
				}
				parts(p["type"].(string), p["options"], p["fieldConfig"], asked)
				delete(p, "targets")
			}
		}
		panels(d["panels"])
		give("dashboard.Dashboard", d)
	})
	each("v2", func(d map[string]any) {
		spec := d["spec"].(map[string]any)
		for _, e := range spec["elements"].(map[string]any) {
			p := e.(map[string]any)["spec"].(map[string]any)
			var asked []query
			for _, q := range p["data"].(map[string]any)["spec"].(map[string]any)["queries"].([]any) {
				q := q.(map[string]any)["spec"].(map[string]any)["query"].(map[string]any)
				asked = append(asked, query{q["group"].(string), q["spec"]})
			}
			viz := p["vizConfig"].(map[string]any)
			drawn := viz["spec"].(map[string]any)
			parts(viz["group"].(string), drawn["options"], drawn["fieldConfig"], asked)
		}
		give("dashboardv2.Dashboard", spec)
		give("typeof dashboardv2.DashboardAPIVersion", d["apiVersion"])
		give("typeof dashboardv2.DashboardKind", d["kind"])
	})
	return out.String()
}
