package picture

import (
	"fmt"
	"html"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
)

// line is a series to draw.
type line struct {
	name, color, unit string
	right             bool // by the right axis
	step              time.Duration
	values            []model.SamplePair
}

// box is the place of a chart within its panel, in pixels.
type box struct{ w, h float64 }

const (
	axisWidth  = 64
	axisHeight = 18
)

// x and y are where a time and a share of the height are drawn.
func (b box) x(s Source, at time.Time) float64 {
	return axisWidth + (b.w-axisWidth-6)*float64(at.Sub(s.From))/float64(s.To.Sub(s.From))
}
func (b box) y(share float64) float64 { return 4 + (b.h-axisHeight-4)*(1-share) }

// axes draws the grid with its labels: at is what stands beside a share of the
// height.
func (b box) axes(s Source, at func(share float64) string) string {
	var out strings.Builder
	for i := range 5 {
		share := float64(i) / 4
		fmt.Fprintf(&out, `<line x1="%d" x2="%.0f" y1="%.1f" y2="%.1f" class="grid"/><text x="%d" y="%.1f" class="axis" text-anchor="end">%s</text>`,
			axisWidth, b.w-6, b.y(share), b.y(share), axisWidth-6, b.y(share)+4, html.EscapeString(at(share)))
	}
	for i := range 9 {
		when := s.From.Add(time.Duration(i) * s.To.Sub(s.From) / 8)
		fmt.Fprintf(&out, `<text x="%.1f" y="%.1f" class="axis" text-anchor="middle">%s</text>`, min(b.x(s, when), b.w-22), b.h-3, when.UTC().Format("15:04"))
	}
	return out.String()
}

// axis is what values are drawn by.
type axis struct {
	unit     string
	bottom   float64 // of a logarithmic one
	top      float64
	decimals *int
}

// share is how high a value is drawn, of the height.
func (a axis) share(v float64) float64 {
	if a.bottom > 0 {
		return math.Max(0, math.Log(v/a.bottom)/math.Log(a.top/a.bottom))
	}
	return v / a.top
}

func (a axis) at(share float64) string {
	if a.bottom > 0 {
		return say(a.bottom*math.Pow(a.top/a.bottom, share), a.unit, a.decimals)
	}
	return say(share*a.top, a.unit, a.decimals)
}

// graph draws lines, areas on top of each other, or bars, and the legend.
func (p *panel) graph(s Source, b box, lines []line) string {
	defaults := p.FieldConfig.Defaults
	stacked, bars := defaults.Custom.Stacking.Mode == "normal", defaults.Custom.DrawStyle == "bars"
	left, right := axis{unit: p.unit(""), decimals: defaults.Decimals}, axis{}
	below, least := map[model.Time]float64{}, math.Inf(1)
	for _, l := range lines {
		for _, v := range l.values {
			h := float64(v.Value)
			switch {
			case math.IsNaN(h):
			case l.right:
				right.unit, right.top = l.unit, max(right.top, h)
			case stacked:
				below[v.Timestamp] += h
				left.top = max(left.top, below[v.Timestamp])
			default:
				left.top = max(left.top, h)
				if h > 0 {
					least = min(least, h)
				}
			}
		}
	}
	if defaults.Custom.ScaleDistribution != nil && left.top > 0 {
		left.bottom, left.top = math.Pow(10, math.Floor(math.Log10(least))), math.Pow(10, math.Ceil(math.Log10(left.top)))
	} else {
		left.top = nice(left.top)
	}
	if right.top > 0 {
		right.top = nice(right.top)
		b.w -= axisWidth
	}
	if defaults.Max != nil {
		left.top = *defaults.Max
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg width="%.0f" height="%.0f">%s`, b.w+axisWidth, b.h, b.axes(s, left.at))
	if right.top > 0 {
		for i := range 5 {
			fmt.Fprintf(&out, `<text x="%.0f" y="%.1f" class="axis">%s</text>`, b.w, b.y(float64(i)/4)+4, html.EscapeString(right.at(float64(i)/4)))
		}
	}
	clear(below)
	for _, l := range lines {
		by := left
		if l.right {
			by = right
		}
		var upper, lower []string
		end := func() {
			if len(upper) > 0 {
				fmt.Fprintf(&out, `<polyline points="%s" fill="none" stroke="%s" stroke-width="1.3"/>`, strings.Join(upper, " "), l.color)
			}
			if stacked {
				slices.Reverse(lower)
				fmt.Fprintf(&out, `<polygon points="%s %s" fill="%s" fill-opacity="0.4"/>`, strings.Join(upper, " "), strings.Join(lower, " "), l.color)
			}
			upper, lower = nil, nil
		}
		var last time.Time
		for _, v := range l.values {
			at, h := v.Timestamp.Time(), float64(v.Value)
			if at.Sub(last) > l.step*3/2 || math.IsNaN(h) {
				end() // there is a gap
			}
			if last = at; math.IsNaN(h) || by.bottom > 0 && h <= 0 {
				continue
			}
			x, base := b.x(s, at), 0.0
			if stacked && !l.right {
				base = below[v.Timestamp]
				below[v.Timestamp] += h
			}
			if bars {
				width := math.Max(2, b.x(s, at)-b.x(s, at.Add(-l.step))-1)
				fmt.Fprintf(&out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="%s"/>`,
					x-width, b.y(by.share(base+h)), width, b.y(by.share(base))-b.y(by.share(base+h)), l.color)
				continue
			}
			lower = append(lower, fmt.Sprintf("%.1f,%.1f", x, b.y(by.share(base))))
			upper = append(upper, fmt.Sprintf("%.1f,%.1f", x, b.y(by.share(base+h))))
		}
		end()
	}
	if t := defaults.Thresholds; t != nil {
		for _, step := range t.Steps {
			if step.Value != nil && *step.Value <= left.top && *step.Value >= left.bottom {
				y := b.y(left.share(*step.Value))
				fmt.Fprintf(&out, `<line x1="%d" x2="%.0f" y1="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="5 4"/>`, axisWidth, b.w-6, y, y, color(step.Color))
			}
		}
	}
	out.WriteString("</svg>")
	if len(lines) == 0 {
		return out.String()
	}
	out.WriteString("<div class=legend><table><tr><th></th>")
	for _, c := range p.Options.Legend.Calcs {
		fmt.Fprintf(&out, "<th>%s</th>", map[string]string{"lastNotNull": "last", "sum": "total"}[c]+map[bool]string{true: c}[c == "max"])
	}
	out.WriteString("</tr>")
	for _, l := range lines {
		fmt.Fprintf(&out, `<tr><td><i style="background:%s"></i>%s</td>`, l.color, html.EscapeString(l.name))
		for _, c := range p.Options.Legend.Calcs {
			fmt.Fprintf(&out, "<td>%s</td>", say(reduce(c, l.values), l.unit, defaults.Decimals))
		}
		out.WriteString("</tr>")
	}
	out.WriteString("</table></div>")
	return out.String()
}

// reduce is one of Grafana's calculations.
func reduce(calc string, values []model.SamplePair) float64 {
	v := math.NaN()
	for _, x := range values {
		switch n := float64(x.Value); {
		case math.IsNaN(n):
		case math.IsNaN(v) || calc == "lastNotNull":
			v = n
		case calc == "max":
			v = max(v, n)
		case calc == "min":
			v = min(v, n)
		case calc == "sum":
			v += n
		}
	}
	return v
}

// stat draws one value, or one for each series.
func (p *panel) stat(lines []line) string {
	if len(lines) == 0 {
		return p.nothing()
	}
	var out strings.Builder
	out.WriteString("<div class=stats>")
	for _, l := range lines {
		v := reduce(p.Options.ReduceOptions.Calcs[0], l.values)
		fmt.Fprintf(&out, `<div class=stat style="color:%s">%s<small>%s</small></div>`,
			p.stepColor(l.name, v), say(v, p.unit(""), p.FieldConfig.Defaults.Decimals), html.EscapeString(l.name))
	}
	out.WriteString("</div>")
	return out.String()
}

// nothing is what stands in place of no value.
func (p *panel) nothing() string {
	return `<div class=stats><div class=stat style="color:#8e8e98">` + html.EscapeString(p.FieldConfig.Defaults.NoValue) + "</div></div>"
}

// nice is the end of an axis that goes up to v.
func nice(v float64) float64 {
	if v <= 0 {
		return 1
	}
	unit := math.Pow(10, math.Floor(math.Log10(v)))
	for _, step := range []float64{1, 2, 4, 5, 8, 10} {
		if step*unit >= v {
			return step * unit
		}
	}
	return v
}
