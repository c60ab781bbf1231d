package web

import (
	"context"
	"errors"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// blank is a filter because of which a list is empty.
type blank struct {
	filter
	Kind string // one of the kinds below

	// Problem is what is wrong with the value, in English, if Kind is blankInvalid, or
	// the possible values, if none of them is near.
	Problem string
	Nearest string // the value, or name, that was probably meant, or ""
	Use     string // link with Nearest
}

// The kinds of filters that match nothing.
const (
	blankName    = "name"    // there is no filter of this name
	blankValue   = "value"   // the value is not one of a fixed set
	blankInvalid = "invalid" // the value is malformed
	blankNone    = "none"    // no failure that is kept has the value
	blankRange   = "range"   // there are some, but not in the time range
)

// invalid returns the parameters that cannot be understood, in order.
func (d *overviewData) invalid() (all []blank) {
	for _, name := range sortedKeys(d.values) {
		if !slices.Contains(overviewParams, name) {
			b := blank{filter: filter{name, strings.Join(d.values[name], ", "), d.Set(name, "")}, Kind: blankName}
			if nearest, ok := usererror.Nearest(strings.ToLower(name), filterParams); ok {
				v := d.query()
				v[nearest] = append(v[nearest], v[name]...)
				v.Del(name)
				b.Nearest, b.Use = nearest, d.link(v)
			}
			all = append(all, b)
			continue
		}
		for _, value := range d.values[name] {
			err := new(query).set(name, []string{value}, d.Now)
			if value == "" || err == nil {
				continue
			}
			b := blank{filter: filter{name, value, d.Without(name, value)}, Kind: blankInvalid, Problem: err.Error()}
			if unknown := (*unknownError)(nil); errors.As(err, &unknown) {
				b.Kind, b.Problem = blankValue, ""
				if unknown.nearest == "" {
					b.Problem = strings.Join(unknown.known, ", ")
				}
				d.suggest(&b, unknown.nearest)
			}
			all = append(all, b)
		}
	}
	return all
}

// suggest sets the value that was probably meant, unless it is "".
func (d *overviewData) suggest(b *blank, value string) {
	if value == "" {
		return
	}
	v := d.query()
	at := slices.Index(v[b.Name], b.Value)
	v[b.Name] = slices.Clone(v[b.Name])
	v[b.Name][at] = value
	b.Nearest, b.Use = value, d.link(v)
}

// blanks returns the filters that match nothing by themselves, and so make a list empty.
func (p pages) blanks(ctx context.Context, d *overviewData, q *query) (all []blank) {
	var filters []journal.Filter
	for _, name := range sortedKeys(d.query()) {
		if !slices.Contains(filterParams, name) || name == paramFrom || name == paramTo {
			continue
		}
		for _, value := range d.values[name] {
			var one query
			if value == "" || one.set(name, []string{value}, d.Now) != nil {
				continue
			}
			all = append(all, blank{filter: filter{name, value, d.Without(name, value)}, Kind: blankNone})
			filters = append(filters, one.filter)
		}
	}
	if len(all) == 0 {
		return nil
	}
	matched := make([]bool, len(all)) // in the time range
	known := make([]map[string]bool, len(all))
	within := journal.Filter{From: q.filter.From, To: q.filter.To}
	for r := range p.Journal.All(ctx, &journal.Filter{}) {
		for i := range all {
			if filters[i].Matches(r) {
				all[i].Kind = blankRange
				matched[i] = matched[i] || within.Matches(r)
			} else if c := filters[i].Conditions; len(c) > 0 && all[i].Kind == blankNone {
				if known[i] == nil {
					known[i] = map[string]bool{}
				}
				known[i][c[0].Dimension.Value(r)] = true
			}
		}
	}
	var found []blank
	for i := range all {
		if matched[i] {
			continue
		}
		if all[i].Kind == blankNone {
			if nearest, ok := usererror.Nearest(all[i].Value, sortedKeys(known[i])); ok {
				d.suggest(&all[i], nearest)
			}
		}
		found = append(found, all[i])
	}
	return found
}
