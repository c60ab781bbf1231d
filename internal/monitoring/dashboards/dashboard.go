package dashboards

import (
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
)

// tag is on every dashboard, and is what they link to each other by.
const tag = "ksyun-tap"

// All returns the dashboards, by their UIDs.
func All() []Dashboard {
	return []Dashboard{overview(), failures(), oneCall(), fleet()}
}

// What all dashboards show at first.
const (
	from, to = "now-6h", "now"
	refresh  = "1m"
)

// dashboard makes one of rows, with what all have.
func dashboard(uid, title, description string, variables []Variable, rows ...Row) Dashboard {
	marks := annotations()
	if !slices.ContainsFunc(variables, func(v Variable) bool { return v.Name == "instance" }) {
		marks = marks[:1] // there is no tap to mark times of
	}
	return Dashboard{uid, title, description, variables, marks, rows}
}

// links lead from each dashboard to the others and to the documentation.
func links() []Link {
	return []Link{
		{Title: "Ksyun API", Type: "dashboards", Tags: []string{tag}, KeepTime: true, IncludeVars: true},
		{Title: "Alerts and runbooks", Type: "link", URL: "https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/alerts.md", TargetBlank: true},
	}
}

// annotations mark what was done to the taps.
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

// choice is a variable whose values are those of a label. all matches whatever
// the label is.
func choice(label, title, from, all string) Variable {
	q := "label_values(" + from + ", " + label + ")"
	return Variable{
		Name: label, Label: title, Type: "query", Datasource: &promSource,
		Query: QueryOf{q, "StandardVariableQuery"}, Definition: q,
		Refresh: 2, Sort: 1, Multi: true, IncludeAll: true, AllValue: all,
		Current: &Current{Text: []string{"All"}, Value: []string{"$__all"}}, Options: []Option{},
	}
}

// text is a variable to write into.
func text(name, label, value string) Variable {
	return Variable{
		Name: name, Label: label, Type: "textbox", Query: value,
		Current: &Current{Text: value, Value: value}, Options: []Option{{true, value, value}},
	}
}

// tapVariables choose which taps. Cluster and namespace are labels that not
// everybody's scraping sets.
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

// callVariables choose which taps, and which service's calls.
func callVariables() []Variable {
	return append(tapVariables(), choice("service", "Service", "ksyun_api_requests_total{"+variables(ScrapeLabels...)+"}", ".+"))
}

// failureLabels are what failures can be told apart by.
var failureLabels = []string{"code", "category", "blame", "action", "region", "status", "type", "version", "service", "namespace", "job", "instance"}

// breakdown is a variable that chooses one of them.
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

// Colours that mean the same in all panels: green is well, red is not, and those
// of blame are no others' colours.
var blameColors = map[string]string{
	"client": "blue", "credential": "purple", "quota": "yellow", "provider": "orange", "network": "#00b8a9", "tap": "text",
}

// atTap leads to the list of failures of the tap that a row is of: what serves
// its metrics serves that list, too.
func atTap(query string) Link {
	return Link{Title: "Its failures, with request IDs", URL: "http://${__data.fields.Tap}/" + query, TargetBlank: true}
}

// drill leads to the dashboard of errors, told apart by a label.
func drill(label string) Link {
	return Link{Title: "Errors by " + label, URL: "/d/" + rules.ErrorsUID + "?${__url_time_range}&${cluster:queryparam}&${namespace:queryparam}&${job:queryparam}&${instance:queryparam}&${service:queryparam}&var-by=" + label}
}

// Expressions yields each query that Prometheus is asked by the dashboard, with
// the place where it stands. A query with the variable "by" comes once for each
// of its values; other variables stay in it.
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
