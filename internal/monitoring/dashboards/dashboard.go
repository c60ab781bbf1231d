package dashboards

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
)

// tag is on every dashboard; they link to each other by it.
const tag = "ksyun-tap"

// All returns the dashboards, by their UIDs.
func All() []Dashboard {
	return []Dashboard{overview(), failures(), oneCall(), fleet()}
}

// The initial time range and refresh interval of all dashboards.
const (
	from, to = "now-6h", "now"
	refresh  = "1m"
)

// dashboard returns a dashboard of the rows, with the annotations that all have.
func dashboard(uid, title, description string, variables []Variable, rows ...Row) Dashboard {
	marks := annotations()
	if !slices.ContainsFunc(variables, func(v Variable) bool { return v.Name == "instance" }) {
		marks = marks[:1] // the others select by tap
	}
	return Dashboard{uid, title, description, variables, marks, rows}
}

// links are the links from each dashboard to the others and to the documentation.
func links() []Link {
	return []Link{
		{Title: "Ksyun API", Type: "dashboards", Tags: []string{tag}, KeepTime: true, IncludeVars: true},
		{Title: "Alerts and runbooks", Type: "link", URL: "https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/alerts.md", TargetBlank: true},
	}
}

// annotations mark starts and reloads of taps.
func annotations() []Annotation {
	return []Annotation{
		{
			Name: "Annotations & Alerts", Datasource: Ref{"grafana", "-- Grafana --"}, Enable: true, Hide: true,
			IconColor: "rgba(0, 211, 255, 1)", BuiltIn: 1, Type: "dashboard",
		},
		{
			Name: "Deploys", Datasource: promSource, Enable: true, IconColor: "blue", Step: "1m", UseValueForTime: true,
			Expr:        "1000 * process_start_time_seconds{" + variables(ScrapeLabels...) + "} * on (cluster, namespace, job, instance) group_left (version) " + ofTap("ksyun_tap_build_info"),
			TitleFormat: "Tap started", TextFormat: "{{instance}}, version {{version}}", TagKeys: "job,version",
		},
		{
			Name: "Reloads", Datasource: promSource, Enable: true, IconColor: "purple", Step: "1m", UseValueForTime: true,
			Expr:        "1000 * " + ofTap("ksyun_tap_config_last_reload_success_timestamp_seconds"),
			TitleFormat: "Configuration reloaded", TextFormat: "{{instance}}", TagKeys: "job",
		},
	}
}

// source is a variable that chooses a data source.
func source(name, label, kind string) Variable {
	return Variable{Name: name, Label: label, Type: "datasource", Query: kind, Options: []Option{}, Refresh: 1}
}

// choice is a variable whose values are those of a label. all is the pattern that
// matches every value.
func choice(label, title, from, all string) Variable {
	q := "label_values(" + from + ", " + label + ")"
	return Variable{
		Name: label, Label: title, Type: "query", Datasource: &promSource,
		Query: QueryOf{q, "StandardVariableQuery"}, Definition: q,
		Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: all,
		Current: &Current{Text: []string{"All"}, Value: []string{"$__all"}}, Options: []Option{},
	}
}

// text is a variable that the user types.
func text(name, label, value string) Variable {
	return Variable{
		Name: name, Label: label, Type: "textbox", Query: value,
		Current: &Current{Text: value, Value: value}, Options: []Option{{true, value, value}},
	}
}

// tapVariables select taps. Not every scrape configuration sets the labels
// cluster and namespace.
func tapVariables() []Variable {
	info := func(chosen ...string) string {
		if len(chosen) == 0 {
			return "ksyun_tap_build_info"
		}
		return "ksyun_tap_build_info{" + variables(chosen...) + "}"
	}
	return []Variable{
		source("datasource", "Prometheus", "prometheus"),
		choice("cluster", "Cluster", info(), ".*"),
		choice("namespace", "Namespace", info("cluster"), ".*"),
		choice("job", "Job", info("cluster", "namespace"), ".+"),
		choice("instance", "Tap", info("cluster", "namespace", "job"), ".+"),
	}
}

// callVariables select taps, and the service of calls.
func callVariables() []Variable {
	return append(tapVariables(), choice("service", "Service", "ksyun_api_requests_total{"+variables(ScrapeLabels...)+"}", ".+"))
}

// failureLabels are the labels that failures can be grouped by.
var failureLabels = []string{"code", "category", "blame", "action", "region", "status", "type", "version", "service", "namespace", "job", "instance"}

// breakdown is a variable that selects one of failureLabels.
func breakdown() Variable {
	v := Variable{
		Name: "by", Label: "Group by", Type: "custom", Query: strings.Join(failureLabels, ","),
		Current: &Current{true, failureLabels[0], failureLabels[0]},
	}
	for i, l := range failureLabels {
		v.Options = append(v.Options, Option{i == 0, l, l})
	}
	return v
}

// Colours have the same meaning in all panels: green is good, red is bad, and the
// colours of blame are used for nothing else.
var blameColors = map[string]string{
	"client": "blue", "credential": "purple", "quota": "yellow", "provider": "orange", "network": "#00b8a9", "tap": "text",
}

// atTap links to the list of failures of a row's tap, which is served at the same
// address as its metrics.
func atTap(query string) Link {
	return Link{Title: "Its failures, with request IDs", URL: "http://${__data.fields.Tap}/" + query, TargetBlank: true}
}

// drill links to the dashboard of errors, grouped by a label.
func drill(label string) Link {
	return Link{Title: "Errors by " + label, URL: "/d/" + rules.ErrorsUID + "?${__url_time_range}&${cluster:queryparam}&${namespace:queryparam}&${job:queryparam}&${instance:queryparam}&${service:queryparam}&var-by=" + label}
}

// Expressions yields each Prometheus query of the dashboard and where it is. A
// query with the variable "by" is yielded once for each of its values; other
// variables are not replaced.
func (d Dashboard) Expressions() iter.Seq2[string, string] {
	return func(yield func(where, expr string) bool) {
		for _, p := range d.Panels() {
			for _, target := range p.Targets {
				if target.Datasource.Type != "prometheus" {
					continue
				}
				where := fmt.Sprintf("%s, panel %d %q, %s", d.UID, p.ID, p.Title, target.RefID)
				if !strings.Contains(target.Expr, "$by") {
					if !yield(where, target.Expr) {
						return
					}
					continue
				}
				for _, l := range failureLabels {
					if !yield(where+" by "+l, strings.ReplaceAll(target.Expr, "$by", l)) {
						return
					}
				}
			}
		}
		for _, a := range d.Annotations {
			if a.Expr != "" && !yield(d.UID+", annotation "+a.Name, a.Expr) {
				return
			}
		}
		for _, v := range d.Variables {
			if q, ok := v.Query.(QueryOf); ok {
				inside, _, _ := strings.Cut(strings.TrimPrefix(q.Query, "label_values("), ", "+v.Name+")")
				if !yield(d.UID+", variable "+v.Name, "count by ("+v.Name+") ("+inside+")") {
					return
				}
			}
		}
	}
}
