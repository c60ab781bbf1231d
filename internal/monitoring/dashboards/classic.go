package dashboards

import "encoding/json"

// schemaVersion is that of Grafana 9.1. Later versions migrate the dashboard when
// they load it.
const schemaVersion = 37

// The classic schema, as far as it is used here.
type (
	classic struct {
		ID            *int             `json:"id"` // null: Grafana gives its own
		UID           string           `json:"uid"`
		Title         string           `json:"title"`
		Description   string           `json:"description"`
		Tags          []string         `json:"tags"`
		SchemaVersion int              `json:"schemaVersion"`
		Editable      bool             `json:"editable"`
		GraphTooltip  int              `json:"graphTooltip"` // 1: one crosshair for all panels
		Refresh       string           `json:"refresh"`
		Time          classicTime      `json:"time"`
		Timezone      string           `json:"timezone"`
		Links         []Link           `json:"links"`
		Templating    list[Variable]   `json:"templating"`
		Annotations   list[Annotation] `json:"annotations"`
		Panels        []any            `json:"panels"`
	}
	classicTime struct {
		From string `json:"from"`
		To   string `json:"to"`
	}
	list[T any] struct {
		List []T `json:"list"`
	}
	classicRow struct {
		ID        int     `json:"id"`
		Type      string  `json:"type"`
		Title     string  `json:"title"`
		GridPos   GridPos `json:"gridPos"`
		Collapsed bool    `json:"collapsed"`
		Panels    []Panel `json:"panels"` // of a folded row; others follow it
	}
)

// firstRowID is above the IDs of all panels.
const firstRowID = 100

// Classic writes the dashboard in the schema that Grafana 9 to 13 load.
func (d Dashboard) Classic() ([]byte, error) {
	c := classic{
		UID: d.UID, Title: d.Title, Description: d.Description, Tags: []string{tag},
		SchemaVersion: schemaVersion, GraphTooltip: 1, Refresh: refresh, Time: classicTime{from, to}, Links: links(),
		Templating: list[Variable]{d.Variables}, Annotations: list[Annotation]{d.Annotations},
	}
	y := 0
	for i, r := range d.Rows {
		row := classicRow{firstRowID + i, "row", r.Title, GridPos{H: 1, W: columns, Y: y}, r.Folded, []Panel{}}
		if r.Title != "" {
			y++
		}
		end := y
		var below []any
		for _, p := range r.Panels {
			p.GridPos.Y += y
			end = max(end, p.GridPos.Y+p.GridPos.H)
			if r.Folded {
				row.Panels = append(row.Panels, p)
			} else {
				below = append(below, p)
			}
		}
		if r.Title != "" {
			c.Panels = append(c.Panels, row)
		}
		c.Panels = append(c.Panels, below...)
		if !r.Folded {
			y = end
		}
	}
	return indented(c)
}

func indented(v any) ([]byte, error) {
	text, err := json.MarshalIndent(v, "", "  ")
	return append(text, '\n'), err
}
