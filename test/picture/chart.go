package picture

import (
	"hash/fnv"
	"html/template"
	"math"
	"slices"
	"time"

	"github.com/go-analyze/charts"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// palette are colours for series that have none of their own.
var palette = []string{"#73bf69", "#f2cc0c", "#5794f2", "#ff9830", "#f2495c", "#b877d9", "#8ab8ff", "#96d98d", "#ffcb7d", "#ff7383", "#ca95e5", "#fade2a"}

// named are Grafana's names of colours.
var named = map[string]string{
	"green": "#73bf69", "red": "#f2495c", "orange": "#ff9830", "yellow": "#fade2a", "blue": "#5794f2", "light-blue": "#8ab8ff",
	"purple": "#b877d9", "text": "#8e8e98", "transparent": "#8e8e98",
}

func color(name string) string {
	if c, ok := named[name]; ok {
		return c
	}
	return name
}

// seriesColor is the colour of a series: its own, or that of its name unless
// another one of the panel has it.
func (p *panel) seriesColor(name string, taken map[string]bool) string {
	if own := property(p, name, "color", dashboards.Color{}); own.FixedColor != "" {
		return color(own.FixedColor)
	}
	h := fnv.New32a()
	_, _ = h.Write([]byte(name))
	first := int(h.Sum32()%1009) % len(palette)
	for i := range palette {
		if c := palette[(first+i)%len(palette)]; !taken[c] {
			taken[c] = true
			return c
		}
	}
	return palette[first]
}

// stepColor is the colour that the thresholds give a value.
func (p *panel) stepColor(field string, v float64) string {
	c, defaults := "blue", p.FieldConfig.Defaults.Thresholds
	if defaults == nil {
		defaults = &dashboards.Thresholds{}
	}
	for _, s := range property(p, field, "thresholds", *defaults).Steps {
		if s.Value == nil || v >= *s.Value {
			c = s.Color
		}
	}
	return color(c)
}

// theme has no colours of series yet.
var theme = charts.GetTheme(charts.ThemeGrafana).WithBackgroundColor(charts.ColorTransparent)

// chart draws lines, areas on top of each other, or bars.
func (p *panel) chart(s Source, width, height int, lines []line) (template.HTML, error) {
	defaults, custom := p.FieldConfig.Defaults, p.view.FieldConfig.Defaults.Custom
	if t := defaults.Thresholds; t != nil { // marked
		for _, step := range t.Steps {
			if step.Value != nil {
				lines = append(lines, line{Color: color(step.Color), series: series{values: slices.Repeat([]float64{*step.Value}, points+1)}})
			}
		}
	}
	// The library has linear axes only.
	scale, unscale := func(v float64) float64 { return v }, func(v float64) float64 { return v }
	low := new(float64)
	if custom.ScaleDistribution != nil {
		scale, unscale = math.Log10, func(v float64) float64 { return math.Pow(10, v) }
		low = nil
	}
	kind := charts.ChartTypeLine
	if custom.DrawStyle == "bars" {
		kind = charts.ChartTypeBar
	}
	font := charts.FontStyle{FontSize: 8}
	axes := []charts.YAxisOption{{
		Min: low, Max: defaults.Max, LabelCount: 5, LabelFontStyle: font,
		ValueFormatter: func(v float64) string { return say(unscale(v), p.unit(""), defaults.Decimals) },
	}}
	var all charts.GenericSeriesList
	var colors []charts.Color
	for _, l := range lines {
		values := make([]float64, len(l.values))
		for i, v := range l.values {
			if values[i] = scale(v); math.IsNaN(values[i]) || math.IsInf(values[i], 0) {
				values[i] = charts.GetNullValue()
			}
		}
		axis := 0
		if l.right {
			axis = 1
			axes = append(axes[:1], charts.YAxisOption{
				LabelCount: 5, LabelFontStyle: font,
				ValueFormatter: func(v float64) string { return say(v, l.unit, nil) },
			})
		}
		all = append(all, charts.GenericSeries{Type: kind, Values: values, YAxisIndex: axis})
		colors = append(colors, charts.ParseColor(l.Color))
	}
	if len(all) == 0 {
		return "", nil
	}
	times := make([]string, len(all[0].Values))
	for i := range times {
		times[i] = s.From.Add(s.To.Sub(s.From) * time.Duration(i) / time.Duration(max(1, len(times)-1))).UTC().Format("15:04")
	}
	drawn, err := charts.Render(charts.ChartOption{
		OutputFormat: charts.ChartOutputSVG, Width: width, Height: height, Padding: charts.NewBoxEqual(6),
		Theme: theme.WithSeriesColors(colors), Legend: charts.LegendOption{Show: charts.Ptr(false)},
		SeriesList: all, StackSeries: charts.Ptr(custom.Stacking.Mode == "normal"), YAxis: axes,
		XAxis:  charts.XAxisOption{Labels: times, LabelCount: 9, LabelFontStyle: font, BoundaryGap: charts.Ptr(kind == charts.ChartTypeBar)},
		Symbol: charts.Symbol{Shape: charts.SymbolNone}, LineStrokeWidth: 1.3, FillOpacity: 100, BarSize: 0.9,
	})
	if err != nil {
		return "", err
	}
	svg, err := drawn.Bytes()
	return template.HTML(svg), err //nolint:gosec // the library escapes texts
}
