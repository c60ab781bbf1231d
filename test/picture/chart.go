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
var theme = charts.GetTheme(charts.ThemeGrafana).WithBackgroundColor(charts.ColorTransparent).WithAxisSplitLineColor(charts.ColorGray)

// enlarged is how much larger a graph is made than it is shown (picture.html), because the
// library leaves four pixels between bars.
const enlarged = 4

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
	stacked, logarithmic := custom.Stacking.Mode == "normal", custom.ScaleDistribution != nil
	font := charts.FontStyle{FontSize: 8 * enlarged}
	axes := []charts.YAxisOption{{
		LabelFontStyle: font, LabelCount: 5, Min: new(float64),
		ValueFormatter: func(v float64) string {
			if logarithmic {
				v = math.Pow(10, v)
			}
			return say(v, p.unit(""), defaults.Decimals)
		},
	}}
	var all charts.GenericSeriesList
	var colors []charts.Color
	var heights [2][]float64 // the largest values, or their sums, by axis and step
	least := math.Inf(1)     // of a logarithmic axis
	for _, l := range lines {
		drawn := charts.GenericSeries{Type: charts.ChartTypeLine, Values: make([]float64, len(l.values))}
		switch {
		case l.right:
			drawn.YAxisIndex = 1
			axes = append(axes[:1], charts.YAxisOption{
				LabelFontStyle: font, LabelCount: 5, Min: new(float64),
				ValueFormatter: func(v float64) string { return say(v, l.unit, nil) },
			})
		case custom.DrawStyle == "bars":
			drawn.Type = charts.ChartTypeBar
		}
		high := &heights[drawn.YAxisIndex]
		*high = append(*high, make([]float64, max(0, len(l.values)-len(*high)))...)
		for i, v := range l.values {
			if logarithmic { // the library has linear axes only
				v = math.Log10(v)
			}
			switch missing := math.IsNaN(v) || math.IsInf(v, 0); {
			case missing && stacked && !l.right:
				v = 0
			case missing:
				v = charts.GetNullValue()
			case stacked && !l.right:
				(*high)[i] += v
			default:
				(*high)[i], least = max((*high)[i], v), min(least, v)
			}
			drawn.Values[i] = v
		}
		all, colors = append(all, drawn), append(colors, charts.ParseColor(l.Color))
	}
	if len(all) == 0 {
		return "", nil
	}
	for i := range axes {
		axes[i].Max = new(nice(slices.Max(heights[i])))
	}
	if logarithmic {
		low, high := math.Floor(least), math.Ceil(slices.Max(heights[0]))
		axes[0].Min, axes[0].Max, axes[0].LabelCount = &low, &high, int(high-low)+1
	}
	if defaults.Max != nil {
		axes[0].Max = defaults.Max
	}
	times := make([]string, len(all[0].Values))
	for i := range times {
		times[i] = s.From.Add(s.To.Sub(s.From) * time.Duration(i) / time.Duration(max(1, len(times)-1))).UTC().Format("15:04")
	}
	times[len(times)-1] = "" // there is no room
	drawn, err := charts.Render(charts.ChartOption{
		OutputFormat: charts.ChartOutputSVG, Width: enlarged * width, Height: enlarged * height, Padding: charts.NewBoxEqual(6 * enlarged),
		Theme: theme.WithSeriesColors(colors), Legend: charts.LegendOption{Show: new(false)},
		SeriesList: all, StackSeries: &stacked, YAxis: axes,
		XAxis:  charts.XAxisOption{Labels: times, LabelCount: 5, LabelFontStyle: font, LabelOffset: charts.OffsetInt{Left: -12 * enlarged, Top: 4 * enlarged}}, // centered
		Symbol: charts.Symbol{Shape: charts.SymbolNone}, LineStrokeWidth: 1.3 * enlarged, FillOpacity: 100, BarSize: 0.9,
	})
	if err != nil {
		return "", err
	}
	svg, err := drawn.Bytes()
	return template.HTML(svg), err //nolint:gosec // the library escapes texts
}

// nice returns the end of an axis that goes up to v.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 4, 8} {
		if step*unit >= v {
			return step * unit
		}
	}
	return 10 * unit
}
