package picture

import (
	"encoding/json"
	"hash/fnv"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// panel is a panel as far as it is drawn.
type panel struct {
	ID          int
	Type, Title string
	GridPos     dashboards.GridPos
	Targets     []dashboards.Target
	FieldConfig struct {
		Defaults struct {
			Unit       string
			Decimals   *int
			NoValue    string
			Max        *float64
			Thresholds *dashboards.Thresholds
			Custom     struct {
				DrawStyle         string
				Stacking          struct{ Mode string }
				ScaleDistribution *struct{ Type string }
			}
		}
		Overrides []struct {
			Matcher    dashboards.Matcher
			Properties []struct {
				ID    string
				Value json.RawMessage
			}
		}
	}
	Options struct {
		Content       string
		Legend        struct{ Calcs []string }
		ReduceOptions struct{ Calcs []string }
	}
	Transformations []struct {
		ID      string
		Options struct {
			IndexByName  map[string]int
			RenameByName map[string]string
		}
	}
}

// read reads what Grafana reads of a panel.
func read(p dashboards.Panel) (*panel, error) {
	var v panel
	text, err := json.Marshal(p)
	if err == nil {
		err = json.Unmarshal(text, &v)
	}
	return &v, err
}

// property reads a property of the field of that name, or of a query's fields,
// into v, and reports whether it has one of its own.
func (p *panel) property(field, name string, v any) bool {
	for _, o := range p.FieldConfig.Overrides {
		for _, prop := range o.Properties {
			if o.Matcher.Options == field && prop.ID == name {
				return json.Unmarshal(prop.Value, v) == nil
			}
		}
	}
	return false
}

func (p *panel) unit(field string) string {
	unit := p.FieldConfig.Defaults.Unit
	p.property(field, "unit", &unit)
	return unit
}

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
	var own dashboards.Color
	if p.property(name, "color", &own) {
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
	c, t := "blue", p.FieldConfig.Defaults.Thresholds
	if p.property(field, "thresholds", &t); t != nil {
		for _, s := range t.Steps {
			if s.Value == nil || v >= *s.Value {
				c = s.Color
			}
		}
	}
	return color(c)
}

// legend fills a query's legend with a series' labels.
func legend(format string, labels map[string]string) string {
	for name, value := range labels {
		format = strings.ReplaceAll(format, "{{"+name+"}}", value)
	}
	return format
}

// columns are the fields that a table shows, in order, with their titles.
func (p *panel) columns() (fields, titles []string) {
	for _, t := range p.Transformations {
		if t.ID != "organize" {
			continue
		}
		for f := range t.Options.IndexByName {
			fields = append(fields, f)
		}
		slices.SortFunc(fields, func(a, b string) int { return t.Options.IndexByName[a] - t.Options.IndexByName[b] })
		for _, f := range fields {
			titles = append(titles, t.Options.RenameByName[f])
		}
	}
	return fields, titles
}
