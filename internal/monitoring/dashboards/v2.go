package dashboards

import (
	"cmp"
	"fmt"
)

// object is an object of schema v2. It has too many kinds for types of our own to
// be useful; TestDashboardsByGrafanasTypes checks the files with Grafana's types.
type object map[string]any

// kind is the form of nearly every object in schema v2.
func kind(name string, spec object) object { return object{"kind": name, "spec": spec} }

// V2 writes the dashboard in schema v2, as a resource of the API of Grafana 13.
func (d Dashboard) V2() ([]byte, error) {
	linked, variables, annotations, rows := []object{}, []object{}, []object{}, []object{}
	elements := object{}
	for _, l := range links() {
		icon := map[string]string{"dashboards": "dashboard", "link": "external link"}[l.Type]
		linked = append(linked, object{
			"title": l.Title, "type": l.Type, "icon": icon, "tooltip": "", "url": l.URL, "tags": append([]string{}, l.Tags...),
			"asDropdown": l.AsDropdown, "targetBlank": l.TargetBlank, "includeVars": l.IncludeVars, "keepTime": l.KeepTime,
		})
	}
	for _, v := range d.Variables {
		variables = append(variables, v.v2())
	}
	for _, a := range d.Annotations {
		annotations = append(annotations, a.v2())
	}
	for _, r := range d.Rows {
		items := []object{}
		for _, p := range r.Panels {
			name, g := fmt.Sprintf("panel-%d", p.ID), p.GridPos
			elements[name] = p.v2()
			items = append(items, kind("GridLayoutItem", object{
				"x": g.X, "y": g.Y, "width": g.W, "height": g.H, "element": object{"kind": "ElementReference", "name": name},
			}))
		}
		rows = append(rows, kind("RowsLayoutRow", object{
			"title": r.Title, "collapse": r.Folded, "hideHeader": r.Title == "", "layout": kind("GridLayout", object{"items": items}),
		}))
	}
	resource := kind("Dashboard", object{
		"title": d.Title, "description": d.Description, "tags": []string{tag}, "editable": false, "preload": false, "cursorSync": "Crosshair",
		"timeSettings": object{
			"from": from, "to": to, "autoRefresh": refresh, "autoRefreshIntervals": []string{"30s", "1m", "5m", "15m", "1h"},
			"hideTimepicker": false, "fiscalYearStartMonth": 0,
		},
		"links": linked, "variables": variables, "annotations": annotations, "elements": elements, "layout": kind("RowsLayout", object{"rows": rows}),
	})
	resource["apiVersion"], resource["metadata"] = "dashboard.grafana.app/v2", object{"name": d.UID}
	return indented(resource)
}

func (p Panel) v2() object {
	queries, transformations, options := []object{}, []object{}, object{}
	for _, t := range p.Targets {
		source, ref := t.Datasource, t.RefID
		t.Datasource, t.RefID = nil, ""
		queries = append(queries, kind("PanelQuery", object{"query": asks(*source, t), "refId": ref, "hidden": false}))
	}
	for _, t := range p.Transformations {
		transformation := kind("Transformation", object{"options": t.Options})
		transformation["group"] = t.ID
		transformations = append(transformations, transformation)
	}
	if p.Interval != "" {
		options["interval"] = p.Interval
	}
	drawn := kind("VizConfig", object{"options": p.Options, "fieldConfig": cmp.Or(p.FieldConfig, &FieldConfig{Overrides: []Override{}})})
	drawn["group"], drawn["version"] = p.Type, "" // Grafana takes its own
	return kind("Panel", object{
		"id": p.ID, "title": p.Title, "description": p.Description, "links": []object{}, "vizConfig": drawn,
		"data": kind("QueryGroup", object{"queries": queries, "transformations": transformations, "queryOptions": options}),
	})
}

// asks is a query of a data source.
func asks(source Ref, spec any) object {
	return object{"kind": "DataQuery", "group": source.Type, "version": "v0", "datasource": object{"name": source.UID}, "spec": spec}
}

func (a Annotation) v2() object {
	spec := object{"query": asks(a.Datasource, object{}), "enable": a.Enable, "hide": a.Hide, "iconColor": a.IconColor, "name": a.Name}
	if a.BuiltIn == 1 {
		spec["builtIn"] = true
	}
	if a.Expr != "" {
		spec["query"] = asks(a.Datasource, Target{Expr: a.Expr})
		spec["legacyOptions"] = object{
			"expr": a.Expr, "step": a.Step, "titleFormat": a.TitleFormat, "textFormat": a.TextFormat, "tagKeys": a.TagKeys, "useValueForTime": a.UseValueForTime,
		}
	}
	return kind("AnnotationQuery", spec)
}

func (v Variable) v2() object {
	spec := object{"name": v.Name, "label": v.Label, "hide": "dontHide", "skipUrlSync": false, "current": cmp.Or(v.Current, &Current{Text: "", Value: ""})}
	if v.Type == "textbox" {
		spec["query"] = v.Query
		return kind("TextVariable", spec)
	}
	spec["options"], spec["multi"], spec["includeAll"], spec["allowCustomValue"] = append([]Option{}, v.Options...), v.Multi, v.IncludeAll, v.Type != "custom"
	switch v.Type {
	case "custom":
		spec["query"] = v.Query
		return kind("CustomVariable", spec)
	case "datasource":
		spec["pluginId"], spec["refresh"], spec["regex"] = v.Query, "onDashboardLoad", ""
		return kind("DatasourceVariable", spec)
	}
	spec["query"], spec["definition"], spec["allValue"] = asks(*v.Datasource, v.Query), v.Definition, v.AllValue
	spec["refresh"], spec["regex"], spec["sort"] = "onTimeRangeChanged", "", "alphabeticalAsc"
	return kind("QueryVariable", spec)
}
