package grafana

import (
	"encoding/json"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/internal/rules"
)

// tag is on every dashboard, and is what they link to each other by.
const tag = "ksyun-tap"

// All returns the dashboards, by their UIDs.
func All() []Dashboard {
	return []Dashboard{overview(), failures(), oneCall(), fleet()}
}

// JSON is the dashboard as Grafana reads it.
func (d Dashboard) JSON() ([]byte, error) {
	text, err := json.MarshalIndent(d, "", "  ")
	return append(text, '\n'), err
}

// dashboard makes one of rows, with what all have.
func dashboard(uid, title, description string, variables []Variable, rows ...row) Dashboard {
	marks := annotations()
	if !slices.ContainsFunc(variables, func(v Variable) bool { return v.Name == "instance" }) {
		marks = marks[:1] // there is no tap to mark times of
	}
	return Dashboard{
		UID: uid, Title: title, Description: description, Tags: []string{tag},
		SchemaVersion: schemaVersion, GraphTooltip: 1, Refresh: "1m", Time: TimeRange{"now-6h", "now"},
		Links: []Link{
			{Title: "Ksyun API", Type: "dashboards", Tags: []string{tag}, KeepTime: true, IncludeVars: true},
			{Title: "Alerts and runbooks", Type: "link", URL: "https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/alerts.md", TargetBlank: true},
		},
		Templating:  Variables{variables},
		Annotations: Annotated{marks},
		Panels:      place(rows),
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
			Expr:        "1000 * process_start_time_seconds{" + variables(scrapeLabels...) + "} * on (cluster, namespace, job, instance) group_left (version) " + ofTap("ksyun_tap_build_info"),
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

// callVariables choose which taps and which calls.
func callVariables() []Variable {
	calls := func(label, title string) Variable {
		return choice(label, title, "ksyun_api_requests_total{"+variables(scrapeLabels...)+"}", ".+")
	}
	return append(tapVariables(), calls("service", "Service"), calls("region", "Region"), calls("action", "Action"), tapURL())
}

// detailVariables choose which failures, too.
func detailVariables() []Variable {
	all := callVariables()
	last := len(all) - 1
	var details []Variable
	for _, l := range []struct{ label, title string }{
		{"version", "Version"}, {"code", "Code"}, {"type", "Type"}, {"status", "Status"}, {"category", "Category"},
	} {
		details = append(details, choice(l.label, l.title, "ksyun_api_errors_total{"+variables(scrapeLabels...)+"}", ".+"))
	}
	return slices.Insert(all, last, details...)
}

// tapURL is where the links to a tap's list of failures lead.
func tapURL() Variable {
	return text("tap", "A tap's address", "http://127.0.0.1:18180")
}

// Colours that mean the same in all panels.
var (
	blameColors = map[string]string{
		"client": "blue", "credential": "purple", "quota": "yellow", "provider": "red", "network": "orange", "tap": "text",
	}
	outcomeColors = map[string]string{
		"success": "green", "error": "red", "partial": "yellow", "masked": "purple", "dry_run": "light-blue", "canceled": "text", "proxy": "orange",
	}
)

// failuresOf leads to the list of failures of the tap whose address is given
// at the top.
func failuresOf(filter string) Link {
	return Link{Title: "The last of these calls, with request IDs", URL: "${tap}/?" + filter, TargetBlank: true}
}

// drill leads to the dashboard of errors with one more choice made.
func drill(label string) Link {
	return Link{Title: "Errors of this " + label, URL: "/d/" + rules.ErrorsUID + "?${__url_time_range}&${job:queryparam}&${instance:queryparam}&var-" + label + "=${__field.labels." + label + "}"}
}
