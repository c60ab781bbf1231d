package picture

import (
	"context"
	"fmt"
	"html"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/grafana"
)

// The size of a picture, in pixels: its width, and the height of one row of
// Grafana's grid.
const (
	Width   = 1600
	rowSize = 34
	head    = 48
)

const style = `body{margin:0;background:#111217;color:#ccccdc;font:12px/1.3 sans-serif;position:relative;width:1600px}
h1{font-size:18px;font-weight:500;margin:0;padding:12px 10px}
.panel{position:absolute;background:#181b1f;border:1px solid #2a2d33;box-sizing:border-box;overflow:hidden}
.row{position:absolute;font-size:15px;padding:8px 10px;box-sizing:border-box}
h2{font-size:12px;font-weight:500;margin:0;padding:5px 8px}
.grid{stroke:#2a2d33}.axis{fill:#8e8e98;font-size:10px}
.stat{font-size:30px;text-align:center;padding-top:24px}
.legend{padding:0 8px;height:16px;overflow:hidden;white-space:nowrap}.legend span{margin-right:12px}.legend i{display:inline-block;width:12px;height:4px;margin-right:4px;vertical-align:middle}
.bars{padding:2px 8px}.bars div{display:flex;align-items:center;margin:3px 0}.bars b{width:190px;text-align:right;padding-right:8px;font-weight:400;white-space:nowrap}.bars i{height:14px}.bars em{padding-left:8px;font-style:normal}
table{border-collapse:collapse;width:100%}td,th{text-align:left;padding:2px 8px;border-bottom:1px solid #2a2d33;font-weight:400;white-space:nowrap}th{color:#6e9fff}
.text{padding:4px 10px;font-size:13px}`

// Height is the height of a dashboard's picture.
func Height(d grafana.Dashboard) int {
	end := 0
	for _, p := range d.Panels {
		end = max(end, p.GridPos.Y+p.GridPos.H)
	}
	return head + end*rowSize + 8
}

// HTML draws a dashboard as a page without scripts, Width wide. It fails where
// Prometheus refuses a query.
func HTML(ctx context.Context, d grafana.Dashboard, s Source) ([]byte, error) {
	v, err := read(d)
	if err != nil {
		return nil, err
	}
	var out strings.Builder
	fmt.Fprintf(&out, "<!doctype html><meta charset=utf-8><title>%[1]s</title><style>%[2]s</style><h1>%[1]s</h1>\n", html.EscapeString(v.Title), style)
	for i := range v.Panels {
		p := &v.Panels[i]
		inside, err := p.draw(ctx, s)
		if err != nil {
			return nil, fmt.Errorf("panel %d %q: %w", p.ID, p.Title, err)
		}
		g, class, title := p.GridPos, "panel", "<h2>"+html.EscapeString(p.Title)+"</h2>"
		if p.Type == "row" {
			class, title = "row", html.EscapeString(p.Title)
		}
		fmt.Fprintf(&out, `<div class=%s style="left:%dpx;top:%dpx;width:%dpx;height:%dpx">%s%s</div>`+"\n",
			class, g.X*Width/24+4, head+g.Y*rowSize, g.W*Width/24-8, g.H*rowSize-8, title, inside)
	}
	return []byte(out.String()), nil
}

// draw draws what is in a panel.
func (p *panel) draw(ctx context.Context, s Source) (string, error) {
	switch {
	case p.Type == "row":
		return "", nil
	case p.Type == "text":
		return "<div class=text>" + html.EscapeString(p.Options.Content) + "</div>", nil
	case p.Targets[0].Datasource.Type != "prometheus":
		return "<div class=text>Asked of " + html.EscapeString(p.Targets[0].Datasource.Type) + ": " + html.EscapeString(p.Targets[0].Expr+p.Targets[0].Query+p.Targets[0].Tags) + "</div>", nil
	}
	var answers [][]series
	var lines []line
	for _, t := range p.Targets {
		answer, err := s.ask(ctx, t)
		if err != nil {
			return "", err
		}
		answers = append(answers, answer)
		for _, x := range answer {
			name := legend(t.LegendFormat, x.labels)
			lines = append(lines, line{name, p.seriesColor(len(lines), name), x.values})
		}
	}
	b := box{float64(p.GridPos.W*Width/24 - 8), float64(p.GridPos.H*rowSize - 8 - 26 - 18)}
	switch p.Type {
	case "timeseries":
		return p.graph(s, b, lines), nil
	case "heatmap":
		return p.heatmap(s, box{b.w, b.h + 16}, answers[len(answers)-1]), nil
	case "bargauge":
		return p.bars(lines), nil
	case "stat":
		return p.stat(lines), nil
	case "table":
		return p.table(answers), nil
	}
	return "", fmt.Errorf("there is no drawing a %s", p.Type)
}
