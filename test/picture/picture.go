package picture

import (
	"bytes"
	"context"
	_ "embed"
	"encoding/json"
	"fmt"
	"html/template"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// The size of a picture, in pixels: its width, and the heights of a row of Grafana's
// grid, of the heading, and of the legend below a graph.
const (
	Width        = 1600
	rowHeight    = 34
	headHeight   = 48
	legendHeight = 64
)

//go:embed picture.html
var html string

var page = template.Must(template.New("").Parse(html))

// box is a panel, or the heading of a row, with what is drawn in it.
type box struct {
	Class, Title             string
	Left, Top, Width, Height int

	Chart   template.HTML
	Calcs   []string // the columns of the legend
	Lines   []line   // of the legend or of a stat
	Columns []string // of a table
	Rows    [][]string
	NoValue string // what stands in place of no value
}

// line is a series to draw.
type line struct {
	series
	Name, Color string
	Values      []string // the result of each of Grafana's calculations
	unit        string
	right       bool // by the right axis
}

// panel is a panel with those parts of it whose types are not exported.
type panel struct {
	dashboards.Panel
	view struct {
		FieldConfig struct {
			Defaults struct {
				Custom struct {
					DrawStyle         string
					Stacking          struct{ Mode string }
					ScaleDistribution *struct{ Type string }
				}
			}
		}
		Options struct {
			Legend, ReduceOptions struct{ Calcs []string }
		}
		Transformations []struct {
			Options struct {
				IndexByName  map[string]int
				RenameByName map[string]string
			}
		}
	}
}

// property returns a property of the field of that name, or of a query's fields, or
// fallback if it has none of its own.
func property[T any](p *panel, field, name string, fallback T) T {
	for _, o := range p.FieldConfig.Overrides {
		for _, prop := range o.Properties {
			if v, ok := prop.Value.(T); ok && o.Matcher.Options == field && prop.ID == name {
				return v
			}
		}
	}
	return fallback
}

func (p *panel) unit(field string) string {
	return property(p, field, "unit", p.FieldConfig.Defaults.Unit)
}

// HTML draws a dashboard as a page without scripts, Width wide and height high. It fails
// where Prometheus refuses a query.
func HTML(ctx context.Context, d dashboards.Dashboard, s Source) (text []byte, height int, err error) {
	var boxes []box
	top := headHeight
	for _, r := range d.Rows {
		if r.Title != "" {
			boxes = append(boxes, box{Class: "row", Title: r.Title, Left: 4, Top: top, Width: Width - 8, Height: rowHeight - 8})
			top += rowHeight
		}
		end := top
		for _, of := range r.Panels {
			g := of.GridPos
			b := box{
				Class: "panel", Title: strings.ReplaceAll(of.Title, "${by}", "code"), Left: g.X*Width/24 + 4, Top: top + g.Y*rowHeight,
				Width: g.W*Width/24 - 8, Height: g.H*rowHeight - 8, NoValue: of.FieldConfig.Defaults.NoValue,
			}
			if err := b.draw(ctx, of, s); err != nil {
				return nil, 0, fmt.Errorf("panel %d %q: %w", of.ID, of.Title, err)
			}
			boxes = append(boxes, b)
			end = max(end, top+(g.Y+g.H)*rowHeight)
		}
		top = end
	}
	var out bytes.Buffer
	err = page.Execute(&out, map[string]any{"Title": d.Title, "Boxes": boxes})
	return out.Bytes(), top + 8, err
}

// draw draws what is in a panel.
func (b *box) draw(ctx context.Context, of dashboards.Panel, s Source) error {
	p := &panel{Panel: of}
	text, err := json.Marshal(of)
	if err == nil {
		err = json.Unmarshal(text, &p.view)
	}
	if err != nil {
		return err
	}
	var responses [][]series
	var lines []line
	taken := map[string]bool{}
	for _, t := range p.Targets {
		response, err := s.ask(ctx, t)
		if err != nil {
			return err
		}
		responses = append(responses, response)
		for _, x := range response {
			name := x.legend(strings.ReplaceAll(t.LegendFormat, "${by}", "code"))
			lines = append(lines, line{
				series: x, Name: name, Color: p.seriesColor(name, taken), unit: p.unit(t.RefID),
				right: property(p, t.RefID, "custom.axisPlacement", "") == "right",
			})
		}
	}
	calcs := p.view.Options.Legend.Calcs
	switch p.Type {
	case "table":
		b.Columns, b.Rows = p.table(responses)
		return nil
	case "stat":
		calcs = p.view.Options.ReduceOptions.Calcs
		for i, l := range lines {
			lines[i].Color = p.stepColor(l.Name, l.reduce(calcs[0]))
		}
	case "timeseries":
		b.Calcs = calcs
		if b.Chart, err = p.chart(s, b.Width, b.Height-26-legendHeight, lines); err != nil {
			return err
		}
	default:
		return fmt.Errorf("a %s is not drawn", p.Type)
	}
	for i, l := range lines {
		for _, c := range calcs {
			lines[i].Values = append(lines[i].Values, say(l.reduce(c), l.unit, p.FieldConfig.Defaults.Decimals))
		}
	}
	b.Lines = lines
	return nil
}
