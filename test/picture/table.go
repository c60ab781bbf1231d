package picture

import (
	"cmp"
	"maps"
	"slices"

	"github.com/prometheus/common/model"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// row is a row of a table: its cells by field, and its first value.
type row struct {
	cells map[string]string
	first float64
}

// has reports whether the row has the labels, as far as it has labels of these names.
func (r *row) has(labels model.Metric) bool {
	for name, v := range labels {
		if own, ok := r.cells[string(name)]; ok && own != string(v) {
			return false
		}
	}
	return true
}

// table returns the titles, and a row for each series, those of several queries joined
// by their labels, the largest first value first.
func (p *panel) table(responses [][]series) (titles []string, cells [][]string) {
	organize := p.view.Transformations[len(p.view.Transformations)-1].Options
	fields := slices.SortedFunc(maps.Keys(organize.IndexByName), func(a, b string) int {
		return organize.IndexByName[a] - organize.IndexByName[b]
	})
	for _, f := range fields {
		titles = append(titles, organize.RenameByName[f])
	}
	var rows []*row
	for i, response := range responses {
		field := "Value"
		if len(responses) > 1 {
			field += " #" + p.Targets[i].RefID
		}
		title := organize.RenameByName[field]
		for _, x := range response {
			v := x.reduce("lastNotNull")
			at := slices.IndexFunc(rows, func(r *row) bool { return r.has(x.labels) })
			if at < 0 {
				at = len(rows)
				rows = append(rows, &row{map[string]string{}, v})
			}
			for name, value := range x.labels {
				rows[at].cells[string(name)] = string(value)
			}
			text := say(v, p.unit(title), nil)
			for _, m := range property(p, title, "mappings", []dashboards.Mapping{}) {
				text = cmp.Or(m.Options[text].Text, text)
			}
			rows[at].cells[field] = text
		}
	}
	slices.SortStableFunc(rows, func(a, b *row) int { return cmp.Compare(b.first, a.first) })
	for _, r := range rows {
		var line []string
		for _, f := range fields {
			line = append(line, r.cells[f])
		}
		cells = append(cells, line)
	}
	return titles, cells
}
