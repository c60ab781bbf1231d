package dashboards

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
	aMinute   = "suffix: /min"
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

// The least times between two points. Prometheus scrapes once a minute at
// least: rates need that to find two samples, whatever the data source says its
// interval is.
const (
	ofRates  = "1m"
	ofCounts = "2m"
	ofAlerts = "15m" // the window of the alerts, whose numbers the points are
)

// panel is a Panel that has no position yet.
type panel struct {
	Panel
}

// query is a Prometheus query over the time range.
func query(expr, legend string) Target {
	return Target{Expr: expr, LegendFormat: legend, Range: true, Datasource: &promSource}
}

// latest is a query for the newest value only.
func latest(expr, legend string) Target {
	return Target{Expr: expr, LegendFormat: legend, Instant: true, Datasource: &promSource}
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
	source := &promSource
	if len(targets) > 0 {
		source = targets[0].Datasource
	}
	return &panel{Panel{
		ID: id, Type: kind, Title: title, Description: description, Datasource: source,
		GridPos: GridPos{W: w, H: h}, Targets: targets, Options: options,
		FieldConfig: &FieldConfig{Defaults: Defaults{Unit: unit, Custom: custom}, Overrides: []Override{}},
	}}
}

// stat shows one number for each series: its newest value, or the result of
// another of Grafana's calculations.
func stat(id int, title, description, unit, calc string, targets ...Target) *panel {
	p := newPanel(id, "stat", title, description, unit, 4, 5, statOptions{
		ReduceOptions: reduceOptions{Calcs: []string{calc}},
		ColorMode:     "value", GraphMode: "none", JustifyMode: "auto", TextMode: "auto", Orientation: "auto",
	}, none{}, targets)
	p.FieldConfig.Defaults.Color = &Color{Mode: "thresholds"}
	return p.steps("blue")
}

// graph shows values over time, with a table of the series below.
func graph(id int, title, description, unit, interval string, targets ...Target) *panel {
	for i := range targets {
		targets[i].Interval = interval
	}
	p := newPanel(id, "timeseries", title, description, unit, 12, 9, timeSeriesOptions{
		Legend:  legend{DisplayMode: "table", Placement: "bottom", ShowLegend: true, Calcs: []string{"lastNotNull", "max"}},
		Tooltip: tooltip{Mode: "multi", Sort: "desc"},
	}, graphCustom{
		DrawStyle: "line", LineInterpolation: "linear", LineWidth: 1, FillOpacity: 10, ShowPoints: "auto", AxisPlacement: "auto",
		Stacking: stacking{"none", "A"}, ThresholdsStyle: thresholdStyle{"off"},
	}, targets)
	p.Interval = interval
	p.FieldConfig.Defaults.Min = new(float64)
	p.FieldConfig.Defaults.Color = &Color{Mode: "palette-classic-by-name"}
	return p
}

// signed also shows values below zero.
func (p *panel) signed() *panel {
	p.FieldConfig.Defaults.Min = nil
	return p
}

// events shows the number of events in each 15 minutes, as bars, and in total.
func events(id int, title, description string, targets ...Target) *panel {
	p := graph(id, title, description, count, ofAlerts, targets...).stacked().draw(func(c *graphCustom) { c.DrawStyle, c.FillOpacity = "bars", 70 })
	o := p.Options.(timeSeriesOptions) //nolint:forcetypeassert // of graphs only
	o.Legend.Calcs = []string{"sum", "lastNotNull"}
	p.Options = o
	return p.precise(0)
}

// column is a column of a table: its name in the query result, title and unit.
type column struct {
	field, title, unit string
}

// table shows a row for each series. The columns of all queries are joined by
// their common labels; columns that are not listed are hidden.
func table(id int, title, description string, columns []column, targets ...Target) *panel {
	p := newPanel(id, "table", title, description, noUnit, 24, 10, tableOptions{ShowHeader: true}, tableCustom{Align: "auto", Filterable: true}, targets)
	organize := organizeOptions{ExcludeByName: map[string]bool{"Time": true}, IndexByName: map[string]int{}, RenameByName: map[string]string{}}
	for i, c := range columns {
		organize.IndexByName[c.field] = i
		organize.RenameByName[c.field] = c.title
		if c.unit != "" {
			p.override(c.title, "unit", c.unit)
		}
	}
	values := []string{"Value"}
	if len(targets) > 1 {
		values = nil
		for _, t := range p.Targets {
			values = append(values, "Value #"+t.RefID)
		}
	}
	for _, f := range values {
		if _, named := organize.IndexByName[f]; !named {
			organize.ExcludeByName[f] = true
		}
	}
	if len(targets) > 1 {
		p.Transformations = append(p.Transformations, Transformation{"merge", none{}})
	}
	p.Transformations = append(p.Transformations, Transformation{"organize", organize})
	return p
}

// sorted sorts a table by a column, largest values first.
func (p *panel) sorted(title string) *panel {
	p.Options = tableOptions{ShowHeader: true, SortBy: []sortBy{{title, true}}}
	return p
}

// size sets width, of 24, and height.
func (p *panel) size(w, h int) *panel {
	p.GridPos.W, p.GridPos.H = w, h
	return p
}

// steps colours values: the first colour, then pairs of a value and the colour
// from that value on.
func (p *panel) steps(first string, more ...any) *panel {
	t := &Thresholds{Mode: "absolute", Steps: []Step{{Color: first}}}
	for i := 0; i+1 < len(more); i += 2 {
		v := more[i].(float64) //nolint:forcetypeassert // written a few lines from here
		t.Steps = append(t.Steps, Step{more[i+1].(string), &v})
	}
	p.FieldConfig.Defaults.Thresholds = t
	return p
}

// marked draws the steps as lines in the graph.
func (p *panel) marked() *panel {
	return p.draw(func(c *graphCustom) { c.ThresholdsStyle.Mode = "line" })
}

// stacked puts the series on top of each other.
func (p *panel) stacked() *panel {
	return p.draw(func(c *graphCustom) { c.Stacking.Mode, c.FillOpacity = "normal", 40 })
}

// logarithmic uses a logarithmic axis.
func (p *panel) logarithmic() *panel {
	p.FieldConfig.Defaults.Min = nil
	return p.draw(func(c *graphCustom) { c.ScaleDistribution = &scale{"log", 10} })
}

func (p *panel) draw(change func(*graphCustom)) *panel {
	c := p.FieldConfig.Defaults.Custom.(graphCustom) //nolint:forcetypeassert // of graphs only
	change(&c)
	p.FieldConfig.Defaults.Custom = c
	return p
}

// distinct colours series by position, for panels whose series are always the same.
func (p *panel) distinct() *panel {
	p.FieldConfig.Defaults.Color = &Color{Mode: "palette-classic"}
	return p
}

// precise sets the number of decimals.
func (p *panel) precise(decimals int) *panel {
	p.FieldConfig.Defaults.Decimals = &decimals
	return p
}

// none sets the text shown if there is no value.
func (p *panel) none(text string) *panel {
	p.FieldConfig.Defaults.NoValue = text
	return p
}

// links adds links to each value.
func (p *panel) links(links ...Link) *panel {
	p.FieldConfig.Defaults.Links = links
	return p
}

// colors sets the colours of series by name.
func (p *panel) colors(byName map[string]string) *panel {
	for _, name := range slices.Sorted(maps.Keys(byName)) {
		p.override(name, "color", Color{"fixed", byName[name]})
	}
	return p
}

// override sets a property of the named field.
func (p *panel) override(field, property string, value any) *panel {
	return p.overrides(Matcher{"byName", field}, Property{property, value})
}

// onTheRight moves a query's series to the right axis, with their own unit.
func (p *panel) onTheRight(refID, unit string) *panel {
	return p.overrides(Matcher{"byFrameRefID", refID}, Property{"unit", unit}, Property{"custom.axisPlacement", "right"})
}

func (p *panel) overrides(of Matcher, properties ...Property) *panel {
	for i, o := range p.FieldConfig.Overrides {
		if o.Matcher == of {
			p.FieldConfig.Overrides[i].Properties = append(o.Properties, properties...)
			return p
		}
	}
	p.FieldConfig.Overrides = append(p.FieldConfig.Overrides, Override{of, properties})
	return p
}

// every sets the minimum time between two points of a panel that is not a graph.
func (p *panel) every(interval string) *panel {
	p.Interval = interval
	return p
}

// columns is the width of a dashboard.
const columns = 24

// row places panels below a heading, from left to right, starting a new line when
// one is full.
func row(title string, folded bool, panels ...*panel) Row {
	r := Row{Title: title, Folded: folded}
	x, y, tallest := 0, 0, 0
	for _, p := range panels {
		if x+p.GridPos.W > columns {
			x, y, tallest = 0, y+tallest, 0
		}
		p.GridPos.X, p.GridPos.Y = x, y
		x += p.GridPos.W
		tallest = max(tallest, p.GridPos.H)
		r.Panels = append(r.Panels, p.Panel)
	}
	return r
}
