package picture

import (
	"fmt"
	"html"
	"maps"
	"slices"
	"strings"
)

// table draws a row for each series, those of several queries joined by their
// labels, the largest first value first.
func (p *panel) table(responses [][]series) string {
	fields, titles := p.columns()
	value := func(target int) string {
		if len(responses) == 1 {
			return "Value"
		}
		return "Value #" + p.Targets[target].RefID
	}
	type row struct {
		cells map[string]string
		first float64
	}
	var rows []*row
	for i, response := range responses {
		title := ""
		if at := slices.Index(fields, value(i)); at >= 0 {
			title = titles[at]
		}
		for _, x := range response {
			var r *row
			for _, other := range rows {
				same := true
				for name, v := range x.labels {
					if own, ok := other.cells[name]; ok && own != v {
						same = false
					}
				}
				if same {
					r = other
				}
			}
			if r == nil {
				r = &row{cells: map[string]string{}, first: x.last()}
				rows = append(rows, r)
			}
			maps.Copy(r.cells, x.labels)
			said := say(x.last(), p.unit(title), nil)
			var texts []struct {
				Options map[string]struct{ Text, Color string }
			}
			if p.property(title, "mappings", &texts) {
				if t, ok := texts[0].Options[said]; ok {
					said = t.Text
				}
			}
			r.cells[value(i)] = said
		}
	}
	slices.SortStableFunc(rows, func(a, b *row) int {
		if a.first > b.first {
			return -1
		}
		return 1
	})
	if len(rows) == 0 {
		return p.nothing()
	}
	var out strings.Builder
	out.WriteString("<table><tr>")
	for _, t := range titles {
		fmt.Fprintf(&out, "<th>%s</th>", html.EscapeString(t))
	}
	out.WriteString("</tr>")
	for _, r := range rows {
		out.WriteString("<tr>")
		for _, f := range fields {
			fmt.Fprintf(&out, "<td>%s</td>", html.EscapeString(r.cells[f]))
		}
		out.WriteString("</tr>")
	}
	out.WriteString("</table>")
	return out.String()
}
