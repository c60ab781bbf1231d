package web

import (
	"net/url"
	"slices"
	"strings"
)

// location is the path and the parameters of a page, without preferences. Links
// are made from it, so that filters survive each other.
type location struct {
	path   string
	values url.Values
}

// query returns the parameters without empty ones and without the cursor of a page
// of the list, which a changed filter invalidates.
func (l location) query() url.Values {
	v := url.Values{}
	for name, values := range l.values {
		values = slices.DeleteFunc(slices.Clone(values), func(v string) bool { return v == "" })
		if len(values) > 0 && name != paramCursor {
			v[name] = values
		}
	}
	return v
}

// link returns a relative URL.
func (l location) link(v url.Values) string {
	if len(v) == 0 {
		return l.path
	}
	return l.path + "?" + v.Encode()
}

// Set returns the link with parameters, given as name and only value. "" removes one.
func (l location) Set(pairs ...string) string {
	v := l.query()
	for pair := range slices.Chunk(pairs, 2) {
		if name, value := pair[0], pair[1]; value == "" {
			v.Del(name)
		} else {
			v.Set(name, value)
		}
	}
	return l.link(v)
}

// Without returns the link without one value of name.
func (l location) Without(name, value string) string {
	v := l.query()
	v[name] = slices.DeleteFunc(v[name], func(s string) bool { return s == value })
	if len(v[name]) == 0 {
		v.Del(name)
	}
	return l.link(v)
}

// Between returns the link with another time range.
func (l location) Between(from, to string) string {
	return l.Set(paramFrom, from, paramTo, to)
}

// Toggle returns the link with name set to value, or without it if it is set.
func (l location) Toggle(name, value string) string {
	if l.has(name, value) {
		return l.Without(name, value)
	}
	return l.Set(name, value)
}

// has reports whether name has the value, ignoring case.
func (l location) has(name, value string) bool {
	return slices.ContainsFunc(l.values[name], func(v string) bool { return strings.EqualFold(v, value) })
}
