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
	name, color string
	values      []model.SamplePair
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

// graph draws lines, or areas on top of each other.
func (p *panel) graph(s Source, b box, lines []line) string {
	unit, decimals := p.unit(""), p.FieldConfig.Defaults.Decimals
	stacked := p.FieldConfig.Defaults.Custom.Stacking.Mode == "normal"
	top := 0.0
	below := map[model.Time]float64{}
	for _, l := range lines {
		for _, v := range l.values {
			if math.IsNaN(float64(v.Value)) {
				continue
			}
			h := float64(v.Value)
			if stacked {
				below[v.Timestamp] += h
				h = below[v.Timestamp]
			}
			top = max(top, h)
		}
	}
	top = nice(top)
	if p.FieldConfig.Defaults.Max != nil {
		top = *p.FieldConfig.Defaults.Max
	}
	var out strings.Builder
	fmt.Fprintf(&out, `<svg width="%.0f" height="%.0f">%s`, b.w, b.h, b.axes(s, func(share float64) string { return say(share*top, unit, decimals) }))
	clear(below)
	for _, l := range lines {
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
			at := v.Timestamp.Time()
			if at.Sub(last) > s.step()*3/2 || math.IsNaN(float64(v.Value)) {
				end() // there is a gap
			}
			if last = at; math.IsNaN(float64(v.Value)) {
				continue
			}
			x, base := b.x(s, at), 0.0
			if stacked {
				base = below[v.Timestamp]
				below[v.Timestamp] += float64(v.Value)
			}
			lower = append(lower, fmt.Sprintf("%.1f,%.1f", x, b.y(base/top)))
			upper = append(upper, fmt.Sprintf("%.1f,%.1f", x, b.y((base+float64(v.Value))/top)))
		}
		end()
	}
	if t := p.FieldConfig.Defaults.Thresholds; t != nil {
		for _, step := range t.Steps {
			if step.Value != nil && *step.Value <= top {
				fmt.Fprintf(&out, `<line x1="%d" x2="%.0f" y1="%.1f" y2="%.1f" stroke="%s" stroke-dasharray="5 4"/>`,
					axisWidth, b.w-6, b.y(*step.Value/top), b.y(*step.Value/top), color(step.Color))
			}
		}
	}
	out.WriteString("</svg><div class=legend>")
	for _, l := range lines {
		fmt.Fprintf(&out, `<span><i style="background:%s"></i>%s</span>`, l.color, html.EscapeString(l.name))
	}
	out.WriteString("</div>")
	return out.String()
}

// heatmap draws cumulative buckets, by their upper bounds.
func (p *panel) heatmap(s Source, b box, buckets []series) string {
	bound := func(x series) float64 {
		var v float64
		if _, err := fmt.Sscan(x.labels["le"], &v); err != nil {
			return math.Inf(1)
		}
		return v
	}
	slices.SortFunc(buckets, func(a, c series) int {
		if bound(a) < bound(c) {
			return -1
		}
		return 1
	})
	cells, most := make([]map[model.Time]float64, len(buckets)), 0.0
	for i, x := range buckets {
		cells[i] = map[model.Time]float64{}
		for _, v := range x.values {
			n := float64(v.Value)
			if i > 0 {
				for _, w := range buckets[i-1].values {
					if w.Timestamp == v.Timestamp {
						n -= float64(w.Value)
					}
				}
			}
			cells[i][v.Timestamp] = n
			most = max(most, n)
		}
	}
	rows := float64(len(buckets))
	var out strings.Builder
	fmt.Fprintf(&out, `<svg width="%.0f" height="%.0f">%s`, b.w, b.h, b.axes(s, func(share float64) string {
		if i := int(share*rows) - 1; i >= 0 && i < len(buckets) {
			return say(bound(buckets[i]), "s", nil)
		}
		return ""
	}))
	width := (b.w - axisWidth - 6) / points
	for i := range buckets {
		for at, n := range cells[i] {
			if n > 1e-9 {
				fmt.Fprintf(&out, `<rect x="%.1f" y="%.1f" width="%.1f" height="%.1f" fill="#ff9830" fill-opacity="%.2f"/>`,
					b.x(s, at.Time())-width, b.y(float64(i+1)/rows), width+0.3, (b.h-axisHeight-4)/rows-1, 0.15+0.85*math.Sqrt(n/most))
			}
		}
	}
	out.WriteString("</svg>")
	return out.String()
}

// bars draws the newest values beside each other.
func (p *panel) bars(lines []line) string {
	most := 0.0
	for _, l := range lines {
		most = max(most, float64(l.values[0].Value))
	}
	var out strings.Builder
	out.WriteString("<div class=bars>")
	for _, l := range lines {
		v := float64(l.values[0].Value)
		fmt.Fprintf(&out, `<div><b>%s</b><i style="width:%.1f%%;background:%s"></i><em>%s</em></div>`,
			html.EscapeString(l.name), 55*v/most, p.stepColor(v), say(v, p.unit(""), p.FieldConfig.Defaults.Decimals))
	}
	out.WriteString("</div>")
	return out.String()
}

// stat draws one value.
func (p *panel) stat(lines []line) string {
	if len(lines) == 0 {
		return `<div class=stat style="color:#8e8e98">` + html.EscapeString(p.FieldConfig.Defaults.NoValue) + "</div>"
	}
	v := float64(lines[0].values[len(lines[0].values)-1].Value)
	return fmt.Sprintf(`<div class=stat style="color:%s">%s</div>`, p.stepColor(v), say(v, p.unit(""), p.FieldConfig.Defaults.Decimals))
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
