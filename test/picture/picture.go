package picture

import (
	"context"
	"fmt"
	"html"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// The size of a picture, in pixels: its width, and the height of one row of
// Grafana's grid.
const (
	Width   = 1600
	rowSize = 34
	head    = 48

	legendHeight = 64
)

const style = `body{margin:0;background:#111217;color:#ccccdc;font:12px/1.3 sans-serif;position:relative;width:1600px}
h1{font-size:18px;font-weight:500;margin:0;padding:12px 10px}
.panel{position:absolute;background:#181b1f;border:1px solid #2a2d33;box-sizing:border-box;overflow:hidden}
.row{position:absolute;font-size:15px;padding:8px 10px;box-sizing:border-box}
h2{font-size:12px;font-weight:500;margin:0;padding:5px 8px}
.grid{stroke:#2a2d33}.axis{fill:#8e8e98;font-size:10px}
.stats{display:flex;justify-content:space-around;padding-top:22px}.stat{font-size:30px;text-align:center}.stat small{display:block;font-size:12px;color:#ccccdc}
.legend{height:64px;overflow:hidden}.legend td,.legend th{font-size:10px;padding:0 8px;border:0;line-height:12px}.legend i{display:inline-block;width:12px;height:4px;margin-right:4px;vertical-align:middle}.legend td+td,.legend th+th{text-align:right;width:90px}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:2px 8px;border-bottom:1px solid #2a2d33;font-weight:400;white-space:nowrap}th{color:#6e9fff}
.text{padding:4px 10px;font-size:13px}`

// Height is the height of a dashboard's picture, on which no row is folded.
func Height(d dashboards.Dashboard) int {
	end := 0
	for _, r := range d.Rows {
		end += high(r)
	}
	return head + end*rowSize + 8
}

// high is the height of a row, with its heading.
func high(r dashboards.Row) int {
	end := 0
	for _, p := range r.Panels {
		end = max(end, p.GridPos.Y+p.GridPos.H)
	}
	return end + heading(r)
}

func heading(r dashboards.Row) int {
	if r.Title == "" {
		return 0
	}
	return 1
}

// HTML draws a dashboard as a page without scripts, Width wide. It fails where
// Prometheus refuses a query.
func HTML(ctx context.Context, d dashboards.Dashboard, s Source) ([]byte, error) {
	var out strings.Builder
	fmt.Fprintf(&out, "<!doctype html><meta charset=utf-8><title>%[1]s</title><style>%[2]s</style><h1>%[1]s</h1>\n", html.EscapeString(d.Title), style)
	put := func(class string, g dashboards.GridPos, inside string) {
		fmt.Fprintf(&out, `<div class=%s style="left:%dpx;top:%dpx;width:%dpx;height:%dpx">%s</div>`+"\n",
			class, g.X*Width/24+4, head+g.Y*rowSize, g.W*Width/24-8, g.H*rowSize-8, inside)
	}
	y := 0
	for _, r := range d.Rows {
		if heading(r) > 0 {
			put("row", dashboards.GridPos{H: 1, W: 24, Y: y}, html.EscapeString(r.Title))
		}
		for _, of := range r.Panels {
			p, err := read(of)
			if err != nil {
				return nil, err
			}
			inside, err := p.draw(ctx, s)
			if err != nil {
				return nil, fmt.Errorf("panel %d %q: %w", p.ID, p.Title, err)
			}
			g := p.GridPos
			g.Y += y + heading(r)
			put("panel", g, "<h2>"+html.EscapeString(strings.ReplaceAll(p.Title, "${by}", "code"))+"</h2>"+inside)
		}
		y += high(r)
	}
	return []byte(out.String()), nil
}

// draw draws what is in a panel.
func (p *panel) draw(ctx context.Context, s Source) (string, error) {
	switch {
	case p.Type == "text":
		return "<div class=text>" + html.EscapeString(p.Options.Content) + "</div>", nil
	case p.Targets[0].Datasource.Type != "prometheus":
		return "<div class=text>Asked of " + html.EscapeString(p.Targets[0].Datasource.Type) + ": " + html.EscapeString(p.Targets[0].Expr+p.Targets[0].Query+p.Targets[0].Tags) + "</div>", nil
	}
	var responses [][]series
	var lines []line
	taken := map[string]bool{}
	for _, t := range p.Targets {
		response, err := s.ask(ctx, t)
		if err != nil {
			return "", err
		}
		responses = append(responses, response)
		for _, x := range response {
			name, place := legend(strings.ReplaceAll(t.LegendFormat, "${by}", "code"), x.labels), ""
			p.property(t.RefID, "custom.axisPlacement", &place)
			unit := p.unit(t.RefID)
			lines = append(lines, line{name, p.seriesColor(name, taken), unit, place == "right", s.step(t), x.values})
		}
	}
	switch p.Type {
	case "timeseries":
		return p.graph(s, box{float64(p.GridPos.W*Width/24 - 8), float64(p.GridPos.H*rowSize - 8 - 26 - legendHeight)}, lines), nil
	case "stat":
		return p.stat(lines), nil
	case "table":
		return p.table(responses), nil
	}
	return "", fmt.Errorf("there is no drawing a %s", p.Type)
}
