package grafana

import (
	"maps"
	"slices"
)

// The data sources, each chosen by a variable.
var (
	promSource   = Ref{"prometheus", "${datasource}"}
	tempoSource  = Ref{"tempo", "${tempo}"}
	jaegerSource = Ref{"jaeger", "${jaeger}"}
	lokiSource   = Ref{"loki", "${loki}"}
)

// Units, by Grafana's names.
const (
	perSecond = "reqps"
	share     = "percentunit"
	count     = "short"
	seconds   = "s"
	byteCount = "bytes"
	bytesRate = "Bps"
	sinceTime = "dateTimeFromNow"
	atTime    = "dateTimeAsIso"
	noUnit    = "none"
	words     = "string"
)

// panel is a Panel to be placed.
type panel struct {
	Panel
}

// row is a heading and what stands below it.
type row struct {
	id     int
	title  string
	panels []*panel
}

// query asks Prometheus over the time that is shown.
func query(expr, legend string) Target {
	return Target{Expr: expr, LegendFormat: legend, Range: true, Datasource: promSource}
}

// latest asks for the newest value only.
func latest(expr, legend string) Target {
	return Target{Expr: expr, LegendFormat: legend, Instant: true, Datasource: promSource}
}

// asRows is latest, for a table.
func asRows(expr string) Target {
	t := latest(expr, "")
	t.Format = "table"
	return t
}

// withExemplars marks single calls in the panel, each with a link to its trace
// and its request ID.
func withExemplars(t Target) Target {
	t.Exemplar = true
	return t
}

func newPanel(id int, kind, title, description, unit string, w, h int, options, custom any, targets []Target) *panel {
	for i := range targets {
		targets[i].RefID = string(rune('A' + i))
	}
	source := promSource
	if len(targets) > 0 {
		source = targets[0].Datasource
	}
	return &panel{Panel{
		ID: id, Type: kind, Title: title, Description: description, Datasource: &source,
		GridPos: GridPos{W: w, H: h}, Targets: targets, Options: options,
		FieldConfig: &FieldConfig{Defaults: Defaults{Unit: unit, Custom: custom}, Overrides: []Override{}},
	}}
}

// stat shows one number, or one for each series.
func stat(id int, title, description, unit string, targets ...Target) *panel {
	p := newPanel(id, "stat", title, description, unit, 4, 4, statOptions{
		ReduceOptions: reduceOptions{Calcs: []string{"lastNotNull"}},
		ColorMode:     "value", GraphMode: "none", JustifyMode: "auto", TextMode: "auto", Orientation: "auto",
	}, none{}, targets)
	p.FieldConfig.Defaults.Color = &Color{Mode: "thresholds"}
	return p.steps("blue")
}

// graph shows how values change.
func graph(id int, title, description, unit string, targets ...Target) *panel {
	p := newPanel(id, "timeseries", title, description, unit, 12, 8, timeSeriesOptions{
		Legend:  legend{DisplayMode: "list", Placement: "bottom", ShowLegend: true, Calcs: []string{}},
		Tooltip: tooltip{Mode: "multi", Sort: "desc"},
	}, graphCustom{
		DrawStyle: "line", LineInterpolation: "linear", LineWidth: 1, FillOpacity: 10, ShowPoints: "auto", AxisPlacement: "auto",
		Stacking: stacking{"none", "A"}, ThresholdsStyle: thresholdStyle{"off"},
	}, targets)
	p.FieldConfig.Defaults.Min = new(float64)
	p.FieldConfig.Defaults.Color = &Color{Mode: "palette-classic"}
	return p
}

// bars shows the newest values beside each other, the largest first if the
// query sorts them.
func bars(id int, title, description, unit string, targets ...Target) *panel {
	p := newPanel(id, "bargauge", title, description, unit, 12, 8, barGaugeOptions{
		ReduceOptions: reduceOptions{Calcs: []string{"lastNotNull"}},
		DisplayMode:   "basic", Orientation: "horizontal", ShowUnfilled: false, ValueMode: "color",
	}, none{}, targets)
	p.FieldConfig.Defaults.Min = new(float64)
	p.FieldConfig.Defaults.Color = &Color{Mode: "thresholds"}
	return p.steps("blue")
}

// heatmap shows a distribution: of native histograms, or of the classic ones'
// buckets.
func heatmap(id int, title, description, unit string, targets ...Target) *panel {
	for i := range targets {
		targets[i].Format = "heatmap"
	}
	return newPanel(id, "heatmap", title, description, unit, 12, 8, heatmapOptions{
		CellGap: 1, Color: heatmapColor{Mode: "scheme", Scheme: "Oranges", Scale: "exponential", Exponent: 0.5, Steps: 64},
		YAxis: heatmapAxis{Unit: unit, AxisPlacement: "left"}, Legend: shown{true},
		Tooltip: heatmapTip{Mode: "single", YHistogram: true}, Exemplars: exemplars{"rgba(255,0,255,0.7)"},
	}, none{}, targets)
}

// column is a column of a table: what the query calls it, its title and unit.
type column struct {
	field, title, unit string
}

// table shows a row for each series. The columns of all queries are joined by
// the labels they share; those not named are left out.
func table(id int, title, description string, columns []column, targets ...Target) *panel {
	p := newPanel(id, "table", title, description, noUnit, 12, 8, tableOptions{ShowHeader: true}, tableCustom{Align: "auto", Filterable: true}, targets)
	organize := organizeOptions{ExcludeByName: map[string]bool{"Time": true}, IndexByName: map[string]int{}, RenameByName: map[string]string{}}
	for i, c := range columns {
		organize.IndexByName[c.field] = i
		organize.RenameByName[c.field] = c.title
		if c.unit != "" {
			p.override(c.title, "unit", c.unit)
		}
	}
	for _, f := range []string{"Value", "Value #A", "Value #B", "Value #C", "Value #D", "Value #E"}[:len(targets)+1] {
		if _, named := organize.IndexByName[f]; !named && (f == "Value") == (len(targets) == 1) {
			organize.ExcludeByName[f] = true
		}
	}
	if len(targets) > 1 {
		p.Transformations = append(p.Transformations, Transformation{"merge", none{}})
	}
	p.Transformations = append(p.Transformations, Transformation{"organize", organize})
	return p
}

// size sets width, of 24, and height.
func (p *panel) size(w, h int) *panel {
	p.GridPos.W, p.GridPos.H = w, h
	return p
}

// steps colours by value: a colour, then a value and the colour from there on,
// and so on.
func (p *panel) steps(first string, more ...any) *panel {
	t := &Thresholds{Mode: "absolute", Steps: []Step{{Color: first}}}
	for i := 0; i+1 < len(more); i += 2 {
		v := more[i].(float64) //nolint:forcetypeassert // written a few lines from here
		t.Steps = append(t.Steps, Step{more[i+1].(string), &v})
	}
	p.FieldConfig.Defaults.Thresholds = t
	return p
}

// marked draws the steps into the graph as lines.
func (p *panel) marked() *panel {
	return p.draw(func(c *graphCustom) { c.ThresholdsStyle.Mode = "line" })
}

// stacked puts the series on top of each other.
func (p *panel) stacked() *panel {
	return p.draw(func(c *graphCustom) { c.Stacking.Mode, c.FillOpacity = "normal", 40 })
}

func (p *panel) draw(change func(*graphCustom)) *panel {
	c := p.FieldConfig.Defaults.Custom.(graphCustom) //nolint:forcetypeassert // of graphs only
	change(&c)
	p.FieldConfig.Defaults.Custom = c
	return p
}

// whole ends the axis at 1, for shares of a whole.
func (p *panel) whole() *panel {
	one := 1.0
	p.FieldConfig.Defaults.Max = &one
	return p
}

// precise shows that many decimals.
func (p *panel) precise(decimals int) *panel {
	p.FieldConfig.Defaults.Decimals = &decimals
	return p
}

// none is what is shown in place of no value.
func (p *panel) none(text string) *panel {
	p.FieldConfig.Defaults.NoValue = text
	return p
}

// links leads from each value to somewhere else.
func (p *panel) links(links ...Link) *panel {
	p.FieldConfig.Defaults.Links = links
	return p
}

// colors gives series of these names colours that are theirs in all panels.
func (p *panel) colors(byName map[string]string) *panel {
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		p.override(name, "color", Color{"fixed", byName[name]})
	}
	return p
}

// override sets a property of the field of that name.
func (p *panel) override(field, property string, value any) *panel {
	of := Matcher{"byName", field}
	for i, o := range p.FieldConfig.Overrides {
		if o.Matcher == of {
			p.FieldConfig.Overrides[i].Properties = append(o.Properties, Property{property, value})
			return p
		}
	}
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, Override{of, []Property{{property, value}}})
	return p
}

// place puts the rows below each other, each panel beside the one before it
// where there is room.
func place(rows []row) []Panel {
	const columns = 24
	var all []Panel
	y := 0
	for _, r := range rows {
		unfolded := false
		all = append(all, Panel{ID: r.id, Type: "row", Title: r.title, GridPos: GridPos{H: 1, W: columns, Y: y}, Collapsed: &unfolded})
		y++
		x, tallest := 0, 0
		for _, p := range r.panels {
			if x+p.GridPos.W > columns {
				x, y, tallest = 0, y+tallest, 0
			}
			p.GridPos.X, p.GridPos.Y = x, y
			x += p.GridPos.W
			tallest = max(tallest, p.GridPos.H)
			all = append(all, p.Panel)
		}
		y += tallest
	}
	return all
}
