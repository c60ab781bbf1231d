package dashboards

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
	"time"

	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const root = "../../../grafana"

// hidden are the metrics that no panel shows, and why.
var hidden = map[string]string{
	"ksyun_api_errors_since_success":                                     "for alerts on failures in a row",
	"ksyun_api_last_error_timestamp_seconds":                             "likewise",
	"ksyun_api_last_success_timestamp_seconds":                           "likewise",
	"ksyun_tap_event_subscribers":                                        "open pages of failures",
	"ksyun_tap_event_subscribers_dropped_total":                          "likewise; such a page connects again",
	"ksyun_tap_evidence_bytes":                                           "bounded by --evidence.max-bytes",
	"ksyun_tap_evidence_entries":                                         "likewise",
	"ksyun_tap_evidence_evicted_total":                                   "every new failure is one when the limit is reached",
	"ksyun_tap_failure_groups":                                           "the page of failures shows the groups",
	"ksyun_tap_failure_groups_evicted_total":                             "likewise",
	"ksyun_tap_ignored_variables":                                        "the log and check-config name them at the start",
	"ksyun_tap_journal_capacity":                                         "constant; the entries are shown",
	"ksyun_tap_journal_evicted_total":                                    "every new failure in a full journal is one",
	"ksyun_tap_journal_file_bytes":                                       "bounded by --journal.max-bytes",
	"ksyun_tap_journal_file_corrupt_total":                               "the log reports it with the cause",
	"ksyun_tap_journal_file_entries":                                     "the entries in memory are shown",
	"ksyun_tap_journal_written_total":                                    "every failure in a tap with a file is one",
	"ksyun_tap_path_check_last_success_timestamp_seconds":                "whether it succeeds is shown",
	"ksyun_tap_resign_credentials_last_reload_success_timestamp_seconds": "whether they could be read is shown",
}

func TestEveryMetricIsShown(t *testing.T) {
	var all strings.Builder
	for _, d := range All() {
		for _, expr := range d.Expressions() {
			all.WriteString(expr + "\n")
		}
	}
	for _, f := range metrics.Describe() {
		if shown := strings.Contains(all.String(), f.Name); shown == (hidden[f.Name] != "") {
			t.Errorf("%s: shown %v, to be hidden because: %q", f.Name, shown, hidden[f.Name])
		}
	}
}

// TestConventions checks the rules of Grafana's dashboard linter, and some more.
func TestConventions(t *testing.T) {
	for _, d := range All() {
		if len(d.UID) > 40 || d.Title == "" || d.Description == "" || len(d.Variables) > 7 {
			t.Errorf("%s: UID, title, description or variables", d.UID)
		}
		variables := map[string]Variable{}
		for _, v := range d.Variables {
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
		for _, p := range d.Panels() {
			where := fmt.Sprintf("%s, panel %d %q", d.UID, p.ID, p.Title)
			if ids[p.ID] || p.ID <= 0 || p.ID >= firstRowID || p.Title == "" {
				t.Errorf("%s: no ID of its own, or no title", where)
			}
			ids[p.ID] = true
			assert.True(t, strings.HasSuffix(p.Description, "."), "%s: the description is no sentence: %q", where, p.Description)
			if p.Type == "text" {
				continue
			}
			if p.Datasource == nil || !strings.HasPrefix(p.Datasource.UID, "${") || p.FieldConfig.Defaults.Unit == "" || len(p.Targets) == 0 {
				t.Errorf("%s: no data source by variable, no unit or no query", where)
			}
			for _, target := range p.Targets {
				if *target.Datasource != *p.Datasource || target.RefID == "" {
					t.Errorf("%s: query %s asks elsewhere", where, target.RefID)
				}
				// The data source may say that Prometheus scrapes more often than it does.
				if least, err := model.ParseDuration(target.Interval); strings.Contains(target.Expr, "interval") &&
					(err != nil || target.Interval != p.Interval || least < model.Duration(time.Minute)) {
					t.Errorf("%s: query %s has the interval %q, the panel %q", where, target.RefID, target.Interval, p.Interval)
				}
			}
		}
		for where, expr := range d.Expressions() {
			if strings.Contains(where, "variable ") {
				continue
			}
			for _, name := range []string{"job", "instance"} {
				// Recorded series are of all instances, and some alerts, too.
				if !strings.Contains(expr, name+`=~"$`+name) && (name != "instance" || !strings.Contains(expr, "service:ksyun_api_")) {
					t.Errorf("%s: %s is not chosen by its variable", where, name)
				}
			}
			if strings.Contains(expr, "rate(") && !strings.Contains(expr, "[$__rate_interval]") {
				t.Errorf("%s: a window that does not follow the zoom: %s", where, expr)
			}
			// Counters are counted as alerts count them, or are of what has no events.
			for _, counter := range regexp.MustCompile(`\w*\(*ksyun_\w+_total\{[^}]*\}(?:\[\S+\]| offset)?`).FindAllString(expr, -1) {
				if !regexp.MustCompile(`^(?:last_over_time|resets|increase)\(|^\(*\w+\{[^}]*\} offset$|^rate\(\w+_bytes_total`).MatchString(counter) {
					t.Errorf("%s: a counter is not counted: %s", where, counter)
				}
			}
		}
		text, err := d.Classic()
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\$\{?(\w+)`).FindAllStringSubmatch(string(text), -1) {
			if _, ok := variables[m[1]]; !ok && !strings.HasPrefix(m[1], "__") {
				t.Errorf("%s uses the variable %s, which it has not", d.UID, m[1])
			}
		}
	}
}

// TestPanelsDoNotOverlap checks that panels do not overlap.
func TestPanelsDoNotOverlap(t *testing.T) {
	for _, d := range All() {
		for _, r := range d.Rows {
			taken := map[[2]int]int{}
			for _, p := range r.Panels {
				if p.GridPos.X+p.GridPos.W > columns || p.GridPos.W == 0 || p.GridPos.H == 0 {
					t.Errorf("%s, panel %d: %+v", d.UID, p.ID, p.GridPos)
				}
				for x := range p.GridPos.W {
					for y := range p.GridPos.H {
						at := [2]int{p.GridPos.X + x, p.GridPos.Y + y}
						other := taken[at]
						require.Zero(t, other, "%s: panels %d and %d overlap", d.UID, other, p.ID)
						taken[at] = p.ID
					}
				}
			}
		}
	}
}

// TestFewPanels limits the number of panels.
func TestFewPanels(t *testing.T) {
	all := 0
	for _, d := range All() {
		all += len(d.Panels())
		end := 0
		for _, p := range d.Rows[0].Panels {
			end = max(end, p.GridPos.Y+p.GridPos.H)
		}
		if d.UID == rules.OverviewUID && (len(d.Rows[0].Panels) > 8 || end > 24) {
			t.Errorf("the overview is no screen: %d panels, %d high", len(d.Rows[0].Panels), end)
		}
	}
	assert.LessOrEqual(t, all, 41, "panels")
}

// TestAlertsLeadToPanels checks that every alert's panel and variables exist.
func TestAlertsLeadToPanels(t *testing.T) {
	for _, r := range rules.Alerts() {
		i := slices.IndexFunc(All(), func(d Dashboard) bool { return d.UID == r.Panel.UID })
		if i < 0 {
			t.Errorf("%s leads to the dashboard %q", r.Alert, r.Panel.UID)
			continue
		}
		d := All()[i]
		if !slices.ContainsFunc(d.Panels(), func(p Panel) bool { return p.ID == r.Panel.ID }) {
			t.Errorf("%s leads to panel %d of %s", r.Alert, r.Panel.ID, d.UID)
		}
		for _, name := range r.Panel.Variables {
			if !slices.ContainsFunc(d.Variables, func(v Variable) bool { return v.Name == name }) {
				t.Errorf("%s chooses %s, which %s has not", r.Alert, name, d.UID)
			}
			if !strings.Contains(r.Expr, name) && name != "instance" {
				t.Errorf("%s has no label %s to choose", r.Alert, name)
			}
		}
	}
}

// TestWrittenAsCommitted compares the committed files with the source.
func TestWrittenAsCommitted(t *testing.T) {
	for dir, write := range map[string]func(Dashboard) ([]byte, error){"dashboards": Dashboard.Classic, "v2": Dashboard.V2} {
		files, err := filepath.Glob(filepath.Join(root, dir, "*.json"))
		if err != nil || len(files) != len(All()) {
			t.Errorf("%d files of %d dashboards: %v", len(files), len(All()), err)
		}
		for _, d := range All() {
			want, err := write(d)
			require.NoError(t, err)
			if got, err := os.ReadFile(filepath.Join(root, dir, d.UID+".json")); err != nil || !bytes.Equal(got, want) {
				t.Errorf("%s/%s is not what make generate writes (%v)", dir, d.UID, err)
			}
		}
	}
}

// TestSchemasSayTheSame compares the dashboards of both schemas: they must have
// the same panels with the same queries at the same positions.
func TestSchemasSayTheSame(t *testing.T) {
	type classicPanel struct {
		ID      int
		Type    string
		GridPos GridPos
		Targets []Target
		Panels  []classicPanel
	}
	for _, d := range All() {
		var c struct{ Panels []classicPanel }
		var v struct {
			Spec struct {
				Elements map[string]struct {
					Spec struct {
						ID        int
						VizConfig struct{ Group string }
						Data      struct {
							Spec struct {
								Queries []struct {
									Spec struct {
										RefID string
										Query struct {
											Group      string
											Datasource struct{ Name string }
											Spec       Target
										}
									}
								}
							}
						}
					}
				}
				Layout struct {
					Spec struct {
						Rows []struct {
							Spec struct {
								Layout struct {
									Spec struct {
										Items []struct {
											Spec struct {
												X, Y, Width, Height int
												Element             struct{ Name string }
											}
										}
									}
								}
							}
						}
					}
				}
			}
		}
		for into, write := range map[any]func() ([]byte, error){&c: d.Classic, &v: d.V2} {
			text, err := write()
			require.NoError(t, err)
			require.NoError(t, json.Unmarshal(text, into))
		}
		var flat []string
		top, open := 0, 0 // of the row, and below the panels that are open
		say := func(p classicPanel) {
			g := p.GridPos
			flat = append(flat, fmt.Sprintf("%d %s %d %d %d %d", p.ID, p.Type, g.X, g.Y-top, g.W, g.H))
			for _, q := range p.Targets {
				flat = append(flat, fmt.Sprint(q.RefID, *q.Datasource, q.Expr, q.Query, q.Tags))
			}
		}
		for _, p := range c.Panels {
			if p.Type == "row" {
				top = p.GridPos.Y + 1
				assert.GreaterOrEqual(t, p.GridPos.Y, open, "%s: a row is above what is before it", d.UID)
				for _, inner := range p.Panels {
					say(inner)
				}
				continue
			}
			say(p)
			open = max(open, p.GridPos.Y+p.GridPos.H)
		}
		var nested []string
		for _, r := range v.Spec.Layout.Spec.Rows {
			for _, item := range r.Spec.Layout.Spec.Items {
				i := item.Spec
				e := v.Spec.Elements[i.Element.Name].Spec
				nested = append(nested, fmt.Sprintf("%d %s %d %d %d %d", e.ID, e.VizConfig.Group, i.X, i.Y, i.Width, i.Height))
				for _, q := range e.Data.Spec.Queries {
					asked := q.Spec.Query
					nested = append(nested, fmt.Sprint(q.Spec.RefID, Ref{asked.Group, asked.Datasource.Name}, asked.Spec.Expr, asked.Spec.Query, asked.Spec.Tags))
				}
			}
		}
		if !slices.Equal(flat, nested) {
			t.Errorf("%s:\n%s\nand in v2:\n%s", d.UID, strings.Join(flat, "\n"), strings.Join(nested, "\n"))
		}
	}
}

// TestProvisioning reads the provisioning files strictly, and checks the names in
// them against the dashboards and the exemplars.
func TestProvisioning(t *testing.T) {
	var sources struct {
		APIVersion  int `yaml:"apiVersion"`
		Datasources []struct {
			Name, Type, UID, Access, URL string
			IsDefault                    bool           `yaml:"isDefault"`
			JSONData                     map[string]any `yaml:"jsonData"`
		}
	}
	readYAML(t, root+"/provisioning/datasources/ksyun-tap.yaml", &sources)
	uids := map[string]string{}
	for _, s := range sources.Datasources {
		uids[s.Type] = s.UID
	}
	if sources.APIVersion != 1 || uids["prometheus"] != "prometheus" || uids["tempo"] != "tempo" || uids["loki"] != "loki" {
		t.Errorf("sources: %v", uids)
	}
	text := testfile.Read(t, root+"/provisioning/datasources/ksyun-tap.yaml")
	for _, m := range regexp.MustCompile(`datasourceUid: (\w+)`).FindAllStringSubmatch(string(text), -1) {
		if uids[m[1]] == "" {
			t.Errorf("there is no source %s", m[1])
		}
	}
	exemplars := testfile.Read(t, "../../../exporter/metrics/exemplar.go")
	for _, label := range []string{"trace_id", "request_id"} {
		if !strings.Contains(string(text), "name: "+label) || !strings.Contains(string(exemplars), `"`+label+`"`) {
			t.Errorf("the exemplars' %s leads nowhere", label)
		}
	}
	assert.Contains(t, string(text), "/d/"+uidCall+"?var-request_id=", "a log line's request ID leads nowhere")

	var providers struct {
		APIVersion int `yaml:"apiVersion"`
		Providers  []struct {
			Name, Folder, Type    string
			AllowUIUpdates        bool `yaml:"allowUiUpdates"`
			UpdateIntervalSeconds int  `yaml:"updateIntervalSeconds"`
			Options               struct{ Path string }
		}
	}
	readYAML(t, root+"/provisioning/dashboards/ksyun-tap.yaml", &providers)
	if len(providers.Providers) != 1 || providers.Providers[0].Options.Path == "" {
		t.Errorf("%+v", providers)
	}
}

func readYAML(t *testing.T, name string, into any) {
	t.Helper()
	text := testfile.Read(t, name)
	dec := yaml.NewDecoder(bytes.NewReader(text))
	dec.KnownFields(true)
	assert.NoError(t, dec.Decode(into), name)
}

// TestWrongNamesPanic checks that no query can be written with a metric or label
// that does not exist.
func TestWrongNamesPanic(t *testing.T) {
	for _, wrong := range []func(){
		func() { of("ksyun_api_request_total") },
		func() { of(requests, `code="x"`) },
		func() { ofTap("ksyun_tap_panics_total", `reason=~"x"`) },
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
