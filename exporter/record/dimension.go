package record

import (
	"slices"
	"strconv"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// None is the value of a dimension that a record does not have, as in the labels
// of metrics.
const None = "none"

// Dimension is a field by which records are filtered, grouped and counted.
type Dimension struct {
	Name string // its key in the JSON form of a record
	// Values lists the possible values. It is nil if there are others.
	Values []string
	// Grouped reports that all records of a group have the same value.
	Grouped bool

	value func(*Record) string
	also  func(*Record) string // another value that the record is found by; may be nil
}

// Value returns the value of r, or None.
func (d *Dimension) Value(r *Record) string {
	if v := d.value(r); v != "" {
		return v
	}
	return None
}

// Matches reports whether r has the value, ignoring case.
func (d *Dimension) Matches(r *Record, value string) bool {
	return strings.EqualFold(d.Value(r), value) || d.also != nil && strings.EqualFold(d.also(r), value)
}

// The dimensions. Every one has the name of the field's JSON key, but program, which
// is a part of user_agent.
var dimensions = []Dimension{
	{Name: "code", Grouped: true, value: func(r *Record) string { return r.Code }, also: func(r *Record) string { return r.CatalogCode }},
	{Name: "fault", Grouped: true, Values: text(classify.Faults()), value: func(r *Record) string { return string(r.Fault) }},
	{Name: "type", Grouped: true, Values: text(classify.Types()), value: func(r *Record) string { return string(r.Type) }},
	{Name: "status", Grouped: true, value: func(r *Record) string {
		if r.Status == 0 {
			return ""
		}
		return strconv.Itoa(r.Status)
	}},
	{Name: "outcome", Grouped: true, Values: text(classify.Outcomes()), value: func(r *Record) string { return string(r.Outcome) }},
	{Name: "category", Grouped: true, Values: text(classify.Categories()), value: func(r *Record) string { return string(r.Category) }},
	{Name: "blame", Grouped: true, Values: text(classify.Blames()), value: func(r *Record) string { return string(r.Blame) }},
	{Name: "service", value: func(r *Record) string { return r.Service }},
	{Name: "action", Grouped: true, value: func(r *Record) string { return r.Action }},
	{Name: "version", Grouped: true, value: func(r *Record) string { return r.Version }},
	{Name: "region", Grouped: true, value: func(r *Record) string { return r.Region }},
	{Name: "credential", Grouped: true, value: func(r *Record) string { return r.Credential }},
	{Name: "call_id", value: func(r *Record) string { return r.CallID }},
	{Name: "group", Grouped: true, value: func(r *Record) string { return r.Group }},
	{Name: "cause", value: func(r *Record) string {
		if c := r.Cause(); c != nil {
			return string(c.Cause)
		}
		return ""
	}},
	{Name: "host", value: func(r *Record) string { return r.Host }},
	{
		Name: "client", value: func(r *Record) string {
			if !r.Client.IsValid() {
				return ""
			}
			return r.Client.Addr().String() // the port changes with each connection
		},
		also: func(r *Record) string { return r.Client.String() },
	},
	{Name: "program", value: func(r *Record) string { return diagnosis.ProgramOf(r.UserAgent) }},
	{Name: "source", Values: text(classify.Sources()), value: func(r *Record) string { return string(r.Source) }},
	{Name: "request_id_source", Values: text(classify.RequestIDSources()), value: func(r *Record) string { return string(r.RequestIDSource) }},
}

// text converts values to strings, followed by None.
func text[T ~string](values []T) []string {
	all := make([]string, 0, len(values)+1)
	for _, v := range values {
		if v != "" {
			all = append(all, string(v))
		}
	}
	return append(all, None)
}

// Dimensions returns all dimensions.
func Dimensions() []Dimension { return slices.Clone(dimensions) }

// DimensionNamed returns the dimension with the name.
func DimensionNamed(name string) (d *Dimension, ok bool) {
	i := slices.IndexFunc(dimensions, func(d Dimension) bool { return d.Name == name })
	if i < 0 {
		return nil, false
	}
	return &dimensions[i], true
}
