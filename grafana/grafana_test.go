package grafana

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/promcheck"
	"github.com/ksyun-tap/ksyun-tap/internal/rules"
)

// known is what panels may name.
func known() promcheck.Known {
	k := promcheck.Known{Families: metrics.Describe(), Foreign: foreign, Records: map[string][]string{}, Target: scrapeLabels}
	for _, g := range rules.Groups() {
		for _, r := range g.Rules {
			if r.Record != "" {
				k.Records[r.Record] = rules.RecordLabels(r.Record)
			}
		}
	}
	return k
}

func filled(expr string) string { return Fill(expr, "5m", "6h") }

// exprs calls f with each query that Prometheus is asked by a dashboard.
func exprs(d Dashboard, f func(where, expr string)) {
	for _, p := range d.Panels {
		for _, target := range p.Targets {
			if target.Datasource.Type == "prometheus" {
				f(fmt.Sprintf("%s, panel %d %q, %s", d.UID, p.ID, p.Title, target.RefID), target.Expr)
			}
		}
	}
	for _, a := range d.Annotations.List {
		if a.Expr != "" {
			f(d.UID+", annotation "+a.Name, a.Expr)
		}
	}
	for _, v := range d.Templating.List {
		if q, ok := v.Query.(QueryOf); ok {
			inside, _, _ := strings.Cut(strings.TrimPrefix(q.Query, "label_values("), ", "+v.Name+")")
			f(d.UID+", variable "+v.Name, "count by ("+v.Name+") ("+inside+")")
		}
	}
}

// TestMetricsExist holds every query against the metrics and labels that the
// tap has, and has it notice each one that is gone.
func TestMetricsExist(t *testing.T) {
	k := known()
	used := map[string]bool{}
	for _, d := range All() {
		exprs(d, func(where, expr string) {
			if err := k.Check(filled(expr)); err != nil {
				t.Errorf("%s: %v", where, err)
			}
			names, err := promcheck.Metrics(filled(expr))
			if err != nil {
				t.Errorf("%s: %v", where, err)
			}
			for _, n := range names {
				used[n] = true
			}
		})
	}
	for i, f := range k.Families {
		without := k
		without.Families = slices.Delete(slices.Clone(k.Families), i, i+1)
		missed := false
		for _, d := range All() {
			exprs(d, func(_, expr string) { missed = missed || without.Check(filled(expr)) != nil })
		}
		if shown := used[f.Name] || used[f.Name+"_bucket"]; shown != missed {
			t.Errorf("without %s, which is shown: %v, a query is wrong: %v", f.Name, shown, missed)
		}
		for j, label := range f.Labels {
			without.Families = slices.Clone(k.Families)
			without.Families[i].Labels = slices.Delete(slices.Clone(f.Labels), j, j+1)
			missed := false
			for _, d := range All() {
				exprs(d, func(_, expr string) { missed = missed || without.Check(filled(expr)) != nil })
			}
			if strings.HasPrefix(f.Name, "ksyun_api_") && hidden[f.Name] == "" && !missed {
				t.Errorf("%s without its label %s goes unnoticed", f.Name, label)
			}
		}
	}
}

// hidden are metrics that no panel shows, and why.
var hidden = map[string]string{
	"ksyun_api_attempts_total":                                           "the recorded series of it are shown, and the same attempts by more labels",
	"ksyun_api_errors_since_success":                                     "for alerts on failures in a row",
	"ksyun_api_last_success_timestamp_seconds":                           "likewise",
	"ksyun_tap_ignored_variables":                                        "the log and check-config name them at the start",
	"ksyun_tap_journal_capacity":                                         "constant; the entries are shown",
	"ksyun_tap_journal_evicted_total":                                    "every new failure in a full journal is one",
	"ksyun_tap_path_check_last_success_timestamp_seconds":                "whether it succeeds is shown",
	"ksyun_tap_resign_credentials_last_reload_success_timestamp_seconds": "whether they could be read is shown",
}

func TestEveryMetricIsShown(t *testing.T) {
	var all strings.Builder
	for _, d := range All() {
		exprs(d, func(_, expr string) { all.WriteString(expr + "\n") })
	}
	for _, f := range metrics.Describe() {
		if shown := strings.Contains(all.String(), f.Name); shown == (hidden[f.Name] != "") {
			t.Errorf("%s: shown %v, to be hidden because: %q", f.Name, shown, hidden[f.Name])
		}
	}
}

// TestConventions keeps the rules of Grafana's dashboard linter, and some more.
func TestConventions(t *testing.T) {
	for _, d := range All() {
		if len(d.UID) > 40 || d.Title == "" || d.Description == "" || d.Editable || d.ID != nil || !slices.Contains(d.Tags, tag) {
			t.Errorf("%s: UID, title, description, editable, id or tags", d.UID)
		}
		variables := map[string]Variable{}
		for _, v := range d.Templating.List {
			if v.Label == "" || variables[v.Name].Name != "" {
				t.Errorf("%s: variable %s has no label, or stands twice", d.UID, v.Name)
			}
			variables[v.Name] = v
			if v.Type == "query" && (!v.Multi || !v.IncludeAll || v.AllValue == "" || v.Refresh != 2 || v.Datasource.UID != "${datasource}") {
				t.Errorf("%s: variable %s: %+v", d.UID, v.Name, v)
			}
		}
		if variables["datasource"].Query != "prometheus" {
			t.Errorf("%s: the data source is no variable", d.UID)
		}
		for _, name := range []string{"job", "instance"} {
			if v := variables[name]; d.UID != uidCall && v.AllValue != ".+" {
				t.Errorf("%s: variable %s: %+v", d.UID, name, v)
			}
		}
		ids := map[int]bool{}
		for _, p := range d.Panels {
			where := fmt.Sprintf("%s, panel %d %q", d.UID, p.ID, p.Title)
			if ids[p.ID] || p.ID == 0 || p.Title == "" {
				t.Errorf("%s: no ID of its own, or no title", where)
			}
			ids[p.ID] = true
			if p.Type == "row" {
				continue
			}
			if !strings.HasSuffix(p.Description, ".") {
				t.Errorf("%s: the description is no sentence: %q", where, p.Description)
			}
			if p.Type == "text" {
				continue
			}
			if p.Datasource == nil || !strings.HasPrefix(p.Datasource.UID, "${") || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("%s: no data source by variable, no unit or no query", where)
			}
			for _, target := range p.Targets {
				if target.Datasource != *p.Datasource || target.RefID == "" {
					t.Errorf("%s: query %s asks elsewhere", where, target.RefID)
				}
			}
		}
		exprs(d, func(where, expr string) {
			if strings.Contains(where, "variable ") {
				return
			}
			for _, name := range []string{"job", "instance"} {
				// Recorded series are of all instances.
				if !strings.Contains(expr, name+`=~"$`+name+`"`) && (name != "instance" || !strings.Contains(expr, "service:ksyun_api_")) {
					t.Errorf("%s: %s is not chosen by its variable", where, name)
				}
			}
			if strings.Contains(expr, "rate(") && !strings.Contains(expr, "[$__rate_interval]") || regexp.MustCompile(`\[\d`).MatchString(expr) {
				t.Errorf("%s: a window that does not follow the zoom: %s", where, expr)
			}
			if counters := len(regexp.MustCompile(`\b\w+_total\b`).FindAllString(expr, -1)); counters != len(regexp.MustCompile(`\b(?:rate|increase)\(\w+_total\{`).FindAllString(expr, -1)) {
				t.Errorf("%s: a counter is not under rate or increase: %s", where, expr)
			}
		})
		text, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(text), -1) {
			if _, ok := variables[m[1]]; !ok && !strings.HasPrefix(m[1], "__") {
				t.Errorf("%s uses the variable %s, which it has not", d.UID, m[1])
			}
		}
	}
}

// TestPanelsDoNotOverlap has each panel in a place of its own.
func TestPanelsDoNotOverlap(t *testing.T) {
	for _, d := range All() {
		taken := map[[2]int]int{}
		for _, p := range d.Panels {
			if p.GridPos.X+p.GridPos.W > 24 || p.GridPos.W == 0 || p.GridPos.H == 0 {
				t.Errorf("%s, panel %d: %+v", d.UID, p.ID, p.GridPos)
			}
			for x := range p.GridPos.W {
				for y := range p.GridPos.H {
					at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
					if other := taken[at]; other != 0 {
						t.Fatalf("%s: panels %d and %d overlap", d.UID, other, p.ID)
					}
					taken[at] = p.ID
				}
			}
		}
	}
}

// TestAlertsLeadToPanels has every alert's panel and variables there.
func TestAlertsLeadToPanels(t *testing.T) {
	for _, r := range rules.Alerts() {
		i := slices.IndexFunc(All(), func(d Dashboard) bool { return d.UID == r.Panel.UID })
		if i < 0 {
			t.Errorf("%s leads to the dashboard %q", r.Alert, r.Panel.UID)
			continue
		}
		d := All()[i]
		if !slices.ContainsFunc(d.Panels, func(p Panel) bool { return p.ID == r.Panel.ID && p.Type != "row" }) {
			t.Errorf("%s leads to panel %d of %s", r.Alert, r.Panel.ID, d.UID)
		}
		for _, name := range r.Panel.Variables {
			if !slices.ContainsFunc(d.Templating.List, func(v Variable) bool { return v.Name == name }) {
				t.Errorf("%s chooses %s, which %s has not", r.Alert, name, d.UID)
			}
			if !strings.Contains(r.Expr, name) && name != "instance" {
				t.Errorf("%s has no label %s to choose", r.Alert, name)
			}
		}
	}
}

// TestWrittenAsCommitted holds the committed files against the source.
func TestWrittenAsCommitted(t *testing.T) {
	files, err := filepath.Glob("dashboards/*.json")
	if err != nil || len(files) != len(All()) {
		t.Errorf("%d files of %d dashboards: %v", len(files), len(All()), err)
	}
	for _, d := range All() {
		want, err := d.JSON()
		if err != nil {
			t.Fatal(err)
		}
		got, err := os.ReadFile(filepath.Join("dashboards", d.UID+".json"))
		if err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s is not what make generate writes (%v)", d.UID, err)
		}
		dec := json.NewDecoder(bytes.NewReader(got))
		dec.DisallowUnknownFields()
		if err := dec.Decode(new(Dashboard)); err != nil {
			t.Errorf("%s: %v", d.UID, err)
		}
	}
}

// TestProvisioning reads the provisioning files strictly, and holds what they
// name against the dashboards and the exemplars.
func TestProvisioning(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, UID, Access, URL string
			IsDefault                    bool           `yaml:"isDefault"`
			JSONData                     map[string]any `yaml:"jsonData"`
		}
	}
	readYAML(t, "provisioning/datasources/ksyun-tap.yaml", &sources)
	uids := map[string]string{}
	for _, s := range sources.Datasources {
		uids[s.Type] = s.UID
	}
	if sources.APIVersion != 1 || uids["prometheus"] != "prometheus" || uids["tempo"] != "tempo" || uids["loki"] != "loki" {
		t.Errorf("sources: %v", uids)
	}
	text, err := os.ReadFile("provisioning/datasources/ksyun-tap.yaml")
	if err != nil {
		t.Fatal(err)
	}
	for _, m := range regexp.MustCompile(`datasourceUid: (\w+)`).FindAllStringSubmatch(string(text), -1) {
		if uids[m[1]] == "" {
			t.Errorf("there is no source %s", m[1])
		}
	}
	exemplars, err := os.ReadFile("../exporter/metrics/exemplar.go")
	if err != nil {
		t.Fatal(err)
	}
	for _, label := range []string{"trace_id", "request_id"} {
		if !strings.Contains(string(text), "name: "+label) || !strings.Contains(string(exemplars), `"`+label+`"`) {
			t.Errorf("the exemplars' %s leads nowhere", label)
		}
	}
	if !strings.Contains(string(text), "/d/"+uidCall+"?var-request_id=") {
		t.Error("a log line's request ID leads nowhere")
	}

	var providers struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type    string
			AllowUIUpdates        bool `yaml:"allowUiUpdates"`
			UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
			Options               struct{ Path string }
		}
	}
	readYAML(t, "provisioning/dashboards/ksyun-tap.yaml", &providers)
	if len(providers.Providers) != 1 || providers.Providers[0].Options.Path == "" {
		t.Errorf("%+v", providers)
	}
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text, err := os.ReadFile(name)
	if err != nil {
		t.Fatal(err)
	}
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	if err := dec.Decode(into); err != nil {
		t.Errorf("%s: %v", name, err)
	}
}

// TestWrongNamesPanic has no query written of a metric or label that is not
// there.
func TestWrongNamesPanic(t *testing.T) {
	for _, wrong := range []func(){
		func() { of("ksyun_api_request_total") },
		func() { of(requests, `code="x"`) },
		func() { inDetail("ksyun_tap_panics_total", `reason=~"x"`) },
	} {
		func() {
			defer func() {
				if recover() == nil {
					t.Error("a query of nothing was written")
				}
			}()
			wrong()
		}()
	}
}
