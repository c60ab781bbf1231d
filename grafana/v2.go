package grafana

import "fmt"

// Schema v2, as far as it is used here: Grafana 13's own, as a resource of its
// API.
type (
	resource struct {
		APIVersion string   `json:"apiVersion"`
		Kind       string   `json:"kind"`
		Metadata   metadata `json:"metadata"`
		Spec       specV2   `json:"spec"`
	}
	metadata struct {
		Name string `json:"name"`
	}
	specV2 struct {
		Title        string            `json:"title"`
		Description  string            `json:"description"`
		Tags         []string          `json:"tags"`
		Editable     bool              `json:"editable"`
		Preload      bool              `json:"preload"`
		CursorSync   string            `json:"cursorSync"`
		TimeSettings timeV2            `json:"timeSettings"`
		Links        []linkV2          `json:"links"`
		Variables    []kindV2          `json:"variables"`
		Annotations  []kindV2          `json:"annotations"`
		Elements     map[string]kindV2 `json:"elements"`
		Layout       kindV2            `json:"layout"`
	}
	// kindV2 is what most things are: a kind, and what it is like.
	kindV2 struct {
		Kind string `json:"kind"`
		Spec any    `json:"spec"`
	}
	// pluginV2 is a thing of a plugin: a query, a panel's drawing, a transformation.
	pluginV2 struct {
		Kind       string    `json:"kind"`
		Group      string    `json:"group"`
		Version    *string   `json:"version,omitempty"`
		Datasource *sourceV2 `json:"datasource,omitempty"`
		Spec       any       `json:"spec"`
	}
	sourceV2 struct {
		Name string `json:"name"`
	}
	timeV2 struct {
		From                 string   `json:"from"`
		To                   string   `json:"to"`
		AutoRefresh          string   `json:"autoRefresh"`
		AutoRefreshIntervals []string `json:"autoRefreshIntervals"`
		HideTimepicker       bool     `json:"hideTimepicker"`
		FiscalYearStartMonth int      `json:"fiscalYearStartMonth"`
	}
	linkV2 struct {
		Title       string   `json:"title"`
		Type        string   `json:"type"`
		Icon        string   `json:"icon"`
		Tooltip     string   `json:"tooltip"`
		URL         string   `json:"url,omitempty"`
		Tags        []string `json:"tags"`
		AsDropdown  bool     `json:"asDropdown"`
		TargetBlank bool     `json:"targetBlank"`
		IncludeVars bool     `json:"includeVars"`
		KeepTime    bool     `json:"keepTime"`
	}
	panelV2 struct {
		ID          int      `json:"id"`
		Title       string   `json:"title"`
		Description string   `json:"description"`
		Links       []Link   `json:"links"`
		Data        kindV2   `json:"data"`
		VizConfig   pluginV2 `json:"vizConfig"`
	}
	dataV2 struct {
		Queries         []kindV2       `json:"queries"`
		Transformations []pluginV2     `json:"transformations"`
		QueryOptions    queryOptionsV2 `json:"queryOptions"`
	}
	queryOptionsV2 struct {
		Interval string `json:"interval,omitempty"`
	}
	queryV2 struct {
		Query  pluginV2 `json:"query"`
		RefID  string   `json:"refId"`
		Hidden bool     `json:"hidden"`
	}
	transformationV2 struct {
		Options any `json:"options"`
	}
	vizV2 struct {
		Options     any         `json:"options"`
		FieldConfig FieldConfig `json:"fieldConfig"`
	}
	annotationV2 struct {
		Query         pluginV2         `json:"query"`
		Enable        bool             `json:"enable"`
		Hide          bool             `json:"hide"`
		IconColor     string           `json:"iconColor"`
		Name          string           `json:"name"`
		BuiltIn       bool             `json:"builtIn,omitempty"`
		LegacyOptions *annotationAsked `json:"legacyOptions,omitempty"`
	}
	annotationAsked struct {
		Expr            string `json:"expr"`
		Step            string `json:"step"`
		TitleFormat     string `json:"titleFormat"`
		TextFormat      string `json:"textFormat"`
		TagKeys         string `json:"tagKeys"`
		UseValueForTime bool   `json:"useValueForTime"`
	}
	rowsV2 struct {
		Rows []kindV2 `json:"rows"`
	}
	rowV2 struct {
		Title      string `json:"title"`
		Collapse   bool   `json:"collapse"`
		HideHeader bool   `json:"hideHeader,omitempty"`
		Layout     kindV2 `json:"layout"`
	}
	gridV2 struct {
		Items []kindV2 `json:"items"`
	}
	itemV2 struct {
		X       int       `json:"x"`
		Y       int       `json:"y"`
		Width   int       `json:"width"`
		Height  int       `json:"height"`
		Element elementV2 `json:"element"`
	}
	elementV2 struct {
		Kind string `json:"kind"`
		Name string `json:"name"`
	}
	optionV2 struct {
		Selected bool `json:"selected"`
		Text     any  `json:"text"`
		Value    any  `json:"value"`
	}
	// variableV2 has what all kinds of variables have, and choiceV2 what those with
	// values to choose from do.
	variableV2 struct {
		Name        string   `json:"name"`
		Label       string   `json:"label"`
		Hide        string   `json:"hide"`
		SkipURLSync bool     `json:"skipUrlSync"`
		Current     optionV2 `json:"current"`
	}
	choiceV2 struct {
		variableV2
		Options          []optionV2 `json:"options"`
		Multi            bool       `json:"multi"`
		IncludeAll       bool       `json:"includeAll"`
		AllValue         string     `json:"allValue,omitempty"`
		AllowCustomValue bool       `json:"allowCustomValue"`
	}
	sourceVariableV2 struct {
		choiceV2
		PluginID string `json:"pluginId"`
		Refresh  string `json:"refresh"`
		Regex    string `json:"regex"`
	}
	queryVariableV2 struct {
		choiceV2
		Query      pluginV2 `json:"query"`
		Definition string   `json:"definition"`
		Refresh    string   `json:"refresh"`
		Regex      string   `json:"regex"`
		Sort       string   `json:"sort"`
	}
	textVariableV2 struct {
		variableV2
		Query string `json:"query"`
	}
	customVariableV2 struct {
		choiceV2
		Query string `json:"query"`
	}
)

// Versions of plugins: none of a panel's, for which Grafana takes its own.
var queryVersion, vizVersion = "v0", ""

// V2 writes the dashboard in schema v2, which Grafana 13 provisions, and its API
// and kubectl take.
func (d Dashboard) V2() ([]byte, error) {
	s := specV2{
		Title: d.Title, Description: d.Description, Tags: []string{tag}, CursorSync: "Crosshair",
		TimeSettings: timeV2{From: from, To: to, AutoRefresh: refresh, AutoRefreshIntervals: []string{"30s", "1m", "5m", "15m", "1h"}},
		Elements:     map[string]kindV2{},
	}
	for _, l := range links() {
		s.Links = append(s.Links, linkV2{
			l.Title, l.Type, map[string]string{"dashboards": "dashboard", "link": "external link"}[l.Type], "", l.URL,
			append([]string{}, l.Tags...), l.AsDropdown, l.TargetBlank, l.IncludeVars, l.KeepTime,
		})
	}
	for _, v := range d.Variables {
		s.Variables = append(s.Variables, v.v2())
	}
	for _, a := range d.Annotations {
		s.Annotations = append(s.Annotations, a.v2())
	}
	var rows rowsV2
	for _, r := range d.Rows {
		grid := gridV2{Items: []kindV2{}}
		for _, p := range r.Panels {
			name := fmt.Sprintf("panel-%d", p.ID)
			s.Elements[name] = p.v2()
			g := p.GridPos
			grid.Items = append(grid.Items, kindV2{"GridLayoutItem", itemV2{g.X, g.Y, g.W, g.H, elementV2{"ElementReference", name}}})
		}
		rows.Rows = append(rows.Rows, kindV2{"RowsLayoutRow", rowV2{r.Title, r.Folded, r.Title == "", kindV2{"GridLayout", grid}}})
	}
	s.Layout = kindV2{"RowsLayout", rows}
	return indented(resource{"dashboard.grafana.app/v2", "Dashboard", metadata{d.UID}, s})
}

func (p Panel) v2() kindV2 {
	data := dataV2{Queries: []kindV2{}, Transformations: []pluginV2{}, QueryOptions: queryOptionsV2{p.Interval}}
	for _, t := range p.Targets {
		source, ref := t.Datasource, t.RefID
		t.Datasource, t.RefID = nil, ""
		data.Queries = append(data.Queries, kindV2{"PanelQuery", queryV2{Query: asks(*source, t), RefID: ref}})
	}
	for _, t := range p.Transformations {
		data.Transformations = append(data.Transformations, pluginV2{Kind: "Transformation", Group: t.ID, Spec: transformationV2{t.Options}})
	}
	viz := vizV2{Options: p.Options, FieldConfig: FieldConfig{Overrides: []Override{}}}
	if p.FieldConfig != nil {
		viz.FieldConfig = *p.FieldConfig
	}
	return kindV2{"Panel", panelV2{
		ID: p.ID, Title: p.Title, Description: p.Description, Links: []Link{},
		Data: kindV2{"QueryGroup", data}, VizConfig: pluginV2{Kind: "VizConfig", Group: p.Type, Version: &vizVersion, Spec: viz},
	}}
}

// asks is a query of a data source.
func asks(source Ref, spec any) pluginV2 {
	return pluginV2{Kind: "DataQuery", Group: source.Type, Version: &queryVersion, Datasource: &sourceV2{source.UID}, Spec: spec}
}

func (a Annotation) v2() kindV2 {
	out := annotationV2{Query: asks(a.Datasource, none{}), Enable: a.Enable, Hide: a.Hide, IconColor: a.IconColor, Name: a.Name, BuiltIn: a.BuiltIn == 1}
	if a.Expr != "" {
		out.Query = asks(a.Datasource, Target{Expr: a.Expr})
		out.LegacyOptions = &annotationAsked{a.Expr, a.Step, a.TitleFormat, a.TextFormat, a.TagKeys, a.UseValueForTime}
	}
	return kindV2{"AnnotationQuery", out}
}

func (v Variable) v2() kindV2 {
	common := variableV2{Name: v.Name, Label: v.Label, Hide: "dontHide", Current: optionV2{Text: "", Value: ""}}
	if v.Current != nil {
		common.Current = optionV2{v.Current.Selected, v.Current.Text, v.Current.Value}
	}
	choice := choiceV2{common, []optionV2{}, v.Multi, v.IncludeAll, v.AllValue, true}
	for _, o := range v.Options {
		choice.Options = append(choice.Options, optionV2{o.Selected, o.Text, o.Value})
	}
	switch v.Type {
	case "datasource":
		return kindV2{"DatasourceVariable", sourceVariableV2{choice, fmt.Sprint(v.Query), "onDashboardLoad", ""}}
	case "query":
		return kindV2{"QueryVariable", queryVariableV2{choice, asks(*v.Datasource, v.Query), v.Definition, "onTimeRangeChanged", "", "alphabeticalAsc"}}
	case "custom":
		choice.AllowCustomValue = false
		return kindV2{"CustomVariable", customVariableV2{choice, fmt.Sprint(v.Query)}}
	}
	return kindV2{"TextVariable", textVariableV2{common, fmt.Sprint(v.Query)}}
}
