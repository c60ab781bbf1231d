package dashboards

// Dashboard is one dashboard, from which both schemas are written.
type Dashboard struct {
	UID, Title, Description string
	Variables               []Variable
	Annotations             []Annotation
	Rows                    []Row
}

// Row is a heading and the panels below it, in the order in which they are
// placed. Without a title, there is no heading.
type Row struct {
	Title  string
	Folded bool
	Panels []Panel
}

// Panels returns the panels of all rows.
func (d Dashboard) Panels() []Panel {
	var all []Panel
	for _, r := range d.Rows {
		all = append(all, r.Panels...)
	}
	return all
}

// Ref names a data source.
type Ref struct {
	Type string `json:"type"`
	UID  string `json:"uid"`
}

// Link is a link of a dashboard, panel or value.
type Link struct {
	Title       string   `json:"title"`
	Type        string   `json:"type,omitempty"` // "dashboards" or "link"; empty for a panel or value
	URL         string   `json:"url,omitempty"`
	Tags        []string `json:"tags,omitempty"`
	AsDropdown  bool     `json:"asDropdown,omitempty"`
	KeepTime    bool     `json:"keepTime,omitempty"`
	IncludeVars bool     `json:"includeVars,omitempty"`
	TargetBlank bool     `json:"targetBlank,omitempty"`
}

// Variable is a variable that the user sets at the top of a dashboard.
type Variable struct {
	Name       string   `json:"name"`
	Label      string   `json:"label"`
	Type       string   `json:"type"` // "datasource", "query", "textbox" or "custom"
	Query      any      `json:"query"`
	Definition string   `json:"definition,omitempty"`
	Datasource *Ref     `json:"datasource,omitempty"`
	Refresh    int      `json:"refresh,omitempty"` // 2: as the time range changes
	Sort       int      `json:"sort,omitempty"`    // 1: by name
	Multi      bool     `json:"multi"`
	IncludeAll bool     `json:"includeAll"`
	AllValue   string   `json:"allValue,omitempty"`
	Current    *Current `json:"current,omitempty"`
	Options    []Option `json:"options"`
	Hide       int      `json:"hide"`
}

// QueryOf is the Prometheus query for a variable's values.
type QueryOf struct {
	Query string `json:"query"`
	RefID string `json:"refId"`
}

// Current is a variable's initial value.
type Current struct {
	Selected bool `json:"selected"`
	Text     any  `json:"text"`
	Value    any  `json:"value"`
}

// Option is a value of a variable.
type Option struct {
	Selected bool   `json:"selected"`
	Text     string `json:"text"`
	Value    string `json:"value"`
}

// Annotation marks times in all panels.
type Annotation struct {
	Name        string `json:"name"`
	Datasource  Ref    `json:"datasource"`
	Enable      bool   `json:"enable"`
	Hide        bool   `json:"hide"`
	IconColor   string `json:"iconColor"`
	BuiltIn     int    `json:"builtIn,omitempty"`
	Type        string `json:"type,omitempty"`
	Expr        string `json:"expr,omitempty"`
	Step        string `json:"step,omitempty"`
	TitleFormat string `json:"titleFormat,omitempty"`
	TextFormat  string `json:"textFormat,omitempty"`
	TagKeys     string `json:"tagKeys,omitempty"`
	// UseValueForTime marks the time given by the query's value, in milliseconds,
	// instead of the sample's time.
	UseValueForTime bool `json:"useValueForTime,omitempty"`
}

// Panel is one panel.
type Panel struct {
	ID              int              `json:"id"`
	Type            string           `json:"type"`
	Title           string           `json:"title"`
	Description     string           `json:"description,omitempty"`
	GridPos         GridPos          `json:"gridPos"`
	Datasource      *Ref             `json:"datasource,omitempty"`
	Targets         []Target         `json:"targets,omitempty"`
	FieldConfig     *FieldConfig     `json:"fieldConfig,omitempty"`
	Options         any              `json:"options,omitempty"`
	Transformations []Transformation `json:"transformations,omitempty"`
	// Interval is the minimum time between two points.
	Interval string `json:"interval,omitempty"`
}

// GridPos is a panel's position, in 24 columns and in rows of 30 pixels.
type GridPos struct {
	H int `json:"h"`
	W int `json:"w"`
	X int `json:"x"`
	Y int `json:"y"`
}

// Target is one query of a panel. Which fields are set depends on its data
// source.
type Target struct {
	RefID        string `json:"refId,omitempty"`
	Datasource   *Ref   `json:"datasource,omitempty"`
	Expr         string `json:"expr,omitempty"`
	LegendFormat string `json:"legendFormat,omitempty"`
	Format       string `json:"format,omitempty"`
	Instant      bool   `json:"instant,omitempty"`
	Range        bool   `json:"range,omitempty"`
	Exemplar     bool   `json:"exemplar,omitempty"`
	Interval     string `json:"interval,omitempty"` // as that of the panel
	// Of Tempo and Jaeger.
	QueryType string `json:"queryType,omitempty"`
	Query     string `json:"query,omitempty"`
	Service   string `json:"service,omitempty"`
	Tags      string `json:"tags,omitempty"`
	Limit     int    `json:"limit,omitempty"`
}

// FieldConfig is how values are displayed.
type FieldConfig struct {
	Defaults  Defaults   `json:"defaults"`
	Overrides []Override `json:"overrides"`
}

// Defaults are for all fields of a panel.
type Defaults struct {
	Unit       string      `json:"unit,omitempty"`
	Decimals   *int        `json:"decimals,omitempty"`
	Min        *float64    `json:"min,omitempty"`
	Max        *float64    `json:"max,omitempty"`
	NoValue    string      `json:"noValue,omitempty"`
	Color      *Color      `json:"color,omitempty"`
	Thresholds *Thresholds `json:"thresholds,omitempty"`
	Mappings   []Mapping   `json:"mappings,omitempty"`
	Links      []Link      `json:"links,omitempty"`
	Custom     any         `json:"custom,omitempty"`
}

// Color is how a field is coloured.
type Color struct {
	Mode       string `json:"mode"`
	FixedColor string `json:"fixedColor,omitempty"`
}

// Thresholds are steps of colour by value.
type Thresholds struct {
	Mode  string `json:"mode"`
	Steps []Step `json:"steps"`
}

// Step is a colour from a value on; the first step's value is null.
type Step struct {
	Color string   `json:"color"`
	Value *float64 `json:"value"`
}

// Mapping displays a text instead of a value.
type Mapping struct {
	Type    string                 `json:"type"` // "value"
	Options map[string]MappingText `json:"options"`
}

// MappingText is that text.
type MappingText struct {
	Text  string `json:"text"`
	Color string `json:"color"`
	Index int    `json:"index"`
}

// Override changes how one field is displayed.
type Override struct {
	Matcher    Matcher    `json:"matcher"`
	Properties []Property `json:"properties"`
}

// Matcher selects a field.
type Matcher struct {
	ID      string `json:"id"`
	Options string `json:"options"`
}

// Property is a property that is overridden.
type Property struct {
	ID    string `json:"id"`
	Value any    `json:"value"`
}

// Transformation changes the query results before they are displayed.
type Transformation struct {
	ID      string `json:"id"`
	Options any    `json:"options"`
}

// The options and custom fields of the kinds of panels.
type (
	reduceOptions struct {
		Calcs  []string `json:"calcs"`
		Fields string   `json:"fields"`
		Values bool     `json:"values"`
	}
	statOptions struct {
		ReduceOptions reduceOptions `json:"reduceOptions"`
		ColorMode     string        `json:"colorMode"`
		GraphMode     string        `json:"graphMode"`
		JustifyMode   string        `json:"justifyMode"`
		TextMode      string        `json:"textMode"`
		Orientation   string        `json:"orientation"`
	}
	timeSeriesOptions struct {
		Legend  legend  `json:"legend"`
		Tooltip tooltip `json:"tooltip"`
	}
	legend struct {
		DisplayMode string   `json:"displayMode"`
		Placement   string   `json:"placement"`
		ShowLegend  bool     `json:"showLegend"`
		Calcs       []string `json:"calcs"`
	}
	tooltip struct {
		Mode string `json:"mode"`
		Sort string `json:"sort"`
	}
	graphCustom struct {
		DrawStyle         string         `json:"drawStyle"`
		LineInterpolation string         `json:"lineInterpolation"`
		LineWidth         int            `json:"lineWidth"`
		FillOpacity       int            `json:"fillOpacity"`
		ShowPoints        string         `json:"showPoints"`
		SpanNulls         bool           `json:"spanNulls"`
		AxisPlacement     string         `json:"axisPlacement"`
		AxisSoftMin       float64        `json:"axisSoftMin"`
		Stacking          stacking       `json:"stacking"`
		ThresholdsStyle   thresholdStyle `json:"thresholdsStyle"`
		ScaleDistribution *scale         `json:"scaleDistribution,omitempty"`
	}
	scale struct {
		Type string `json:"type"`
		Log  int    `json:"log"`
	}
	stacking struct {
		Mode  string `json:"mode"`
		Group string `json:"group"`
	}
	thresholdStyle struct {
		Mode string `json:"mode"`
	}
	footer struct {
		Show bool `json:"show"`
	}
	tableOptions struct {
		ShowHeader bool     `json:"showHeader"`
		Footer     footer   `json:"footer"`
		SortBy     []sortBy `json:"sortBy,omitempty"`
	}
	sortBy struct {
		DisplayName string `json:"displayName"`
		Desc        bool   `json:"desc"`
	}
	tableCustom struct {
		Align      string `json:"align"`
		Filterable bool   `json:"filterable"`
	}
	textOptions struct {
		Mode    string `json:"mode"`
		Content string `json:"content"`
	}
	logsOptions struct {
		ShowTime           bool   `json:"showTime"`
		WrapLogMessage     bool   `json:"wrapLogMessage"`
		PrettifyLogMessage bool   `json:"prettifyLogMessage"`
		EnableLogDetails   bool   `json:"enableLogDetails"`
		SortOrder          string `json:"sortOrder"`
		DedupStrategy      string `json:"dedupStrategy"`
	}
	organizeOptions struct {
		ExcludeByName map[string]bool   `json:"excludeByName"`
		IndexByName   map[string]int    `json:"indexByName"`
		RenameByName  map[string]string `json:"renameByName"`
	}
	none struct{}
)
