package web

import (
	"cmp"
	"errors"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// The limits of queries.
const (
	defaultLimit = 100
	maxLimit     = 1000
	maxValues    = 32  // of one parameter
	maxText      = 256 // bytes of a value
)

// The formats of a list.
const (
	formatJSON   = "json"
	formatNDJSON = "ndjson"
	formatCSV    = "csv"
)

// query is a parsed query string.
type query struct {
	filter journal.Filter
	limit  int
	cursor string // ID of the last record of the page before; "" for the first page
	format string // "" if it is not given

	by   []*record.Dimension
	step time.Duration // 0 if it is not given
	lang string        // "" if it is not given
}

// The names of parameters, apart from the dimensions.
const (
	paramID        = "id"
	paramRequestID = "request_id"
	paramText      = "text"
	paramFrom      = "from"
	paramTo        = "to"
	paramLimit     = "limit"
	paramCursor    = "cursor"
	paramFormat    = "format"
	paramBy        = "by"
	paramStep      = "step"
	paramLang      = "lang"
)

// filterParams are the names of the parameters that select failures.
var filterParams = append([]string{paramID, paramRequestID, paramText, paramFrom, paramTo}, dimensionNames()...)

// The parameters of the endpoints.
var (
	listParams     = slices.Concat(filterParams, []string{paramLimit, paramCursor, paramFormat})
	activityParams = slices.Concat(filterParams, []string{paramBy, paramStep, paramLimit})
	ticketParams   = []string{paramLang}
)

// parameters returns the parameters of a request, and an error if some of them cannot be
// read, unlike the method Query of a URL.
func parameters(r *http.Request) (url.Values, error) {
	values, err := url.ParseQuery(r.URL.RawQuery)
	if err != nil {
		err = errors.New("invalid query string: write % as %25 and ; as %3B")
	}
	return values, err
}

// parseQuery parses a query string that may have the parameters in allowed. An
// unknown one is an error, because ignoring a filter would be misleading. A
// parameter without a value is ignored, like an empty field of a form.
func parseQuery(values url.Values, allowed []string, now time.Time) (query, error) {
	q := query{limit: defaultLimit}
	for _, name := range sortedKeys(values) { // sorted, so that the same error is always reported first
		if !slices.Contains(allowed, name) {
			return q, unknown("parameter", name, allowed)
		}
		given := slices.DeleteFunc(slices.Clone(values[name]), func(v string) bool { return v == "" })
		if len(given) == 0 {
			continue
		}
		if err := q.set(name, given, now); err != nil {
			return q, err
		}
	}
	if f := &q.filter; !f.From.IsZero() && !f.To.IsZero() && !f.From.Before(f.To) {
		return q, fmt.Errorf("parameter %q must be before %q", paramFrom, paramTo)
	}
	return q, nil
}

// set sets the parameter name to the values.
func (q *query) set(name string, values []string, now time.Time) error {
	for _, v := range values {
		if len(v) > maxText {
			return fmt.Errorf("invalid parameter %q: longer than %d bytes", name, maxText)
		}
		if !utf8.ValidString(v) {
			return fmt.Errorf("invalid parameter %q: not in UTF-8", name)
		}
	}
	if d, ok := record.DimensionNamed(name); ok {
		return q.condition(d, values)
	}
	if name == paramBy {
		return q.dimensions(values)
	}
	if len(values) > 1 {
		return fmt.Errorf("parameter %q is given %d times", name, len(values))
	}
	v, f := values[0], &q.filter
	var err error
	switch name {
	case paramID:
		f.ID, err = v, checkID(name, v)
	case paramRequestID:
		f.RequestID, err = v, checkRequestID(v)
	case paramText:
		f.Text = v
	case paramFrom:
		f.From, err = parseTime(name, v, now)
	case paramTo:
		f.To, err = parseTime(name, v, now)
	case paramLimit:
		q.limit, err = parseLimit(v)
	case paramCursor:
		q.cursor, err = v, checkCursor(v)
	case paramFormat:
		q.format, err = v, oneOf(name, v, []string{formatJSON, formatNDJSON, formatCSV})
	case paramStep:
		q.step, err = parseStep(v)
	case paramLang:
		q.lang, err = v, oneOf(name, v, languages)
	}
	return err
}

// condition adds a condition for a dimension.
func (q *query) condition(d *record.Dimension, values []string) error {
	if len(values) > maxValues {
		return fmt.Errorf("parameter %q is given %d times, at most %d are allowed", d.Name, len(values), maxValues)
	}
	for _, v := range values {
		if d.Name == "status" {
			if err := checkStatus(v); err != nil {
				return err
			}
		}
		if d.Values != nil && !slices.ContainsFunc(d.Values, func(k string) bool { return strings.EqualFold(k, v) }) {
			return unknown("value of "+d.Name, v, d.Values)
		}
	}
	q.filter.Conditions = append(q.filter.Conditions, journal.Condition{Dimension: d, Values: values})
	return nil
}

// maxDimensions is how many dimensions can be counted by at a time.
const maxDimensions = 2

// dimensions sets the dimensions to count by, which may be separated by commas.
func (q *query) dimensions(values []string) error {
	names := strings.Split(strings.Join(values, ","), ",")
	if len(names) > maxDimensions {
		return fmt.Errorf("invalid parameter %q: at most %d dimensions", paramBy, maxDimensions)
	}
	for _, name := range names {
		d, ok := record.DimensionNamed(name)
		if !ok {
			return unknown("dimension", name, dimensionNames())
		}
		if slices.Contains(q.by, d) {
			return fmt.Errorf("invalid parameter %q: %q is given twice", paramBy, name)
		}
		q.by = append(q.by, d)
	}
	return nil
}

func dimensionNames() (names []string) {
	for _, d := range record.Dimensions() {
		names = append(names, d.Name)
	}
	return names
}

// unknownError is the error for a word that is not one of the known ones.
type unknownError struct {
	what, word string
	nearest    string // "" if none is near
	known      []string
}

// Error implements error.
func (e *unknownError) Error() string {
	switch {
	case e.nearest != "":
		return fmt.Sprintf("unknown %s %q: did you mean %q?", e.what, e.word, e.nearest)
	case len(e.known) == 0:
		return fmt.Sprintf("unknown %s %q: there are none here", e.what, e.word)
	}
	return fmt.Sprintf("unknown %s %q: known are %s", e.what, e.word, strings.Join(e.known, ", "))
}

// unknown returns the error for an unknown word, with the nearest known one.
func unknown(what, word string, known []string) error {
	nearest, _ := usererror.Nearest(strings.ToLower(word), known)
	return &unknownError{what, word, nearest, known}
}

// oneOf returns an error if v is not one of the known values.
func oneOf(name, v string, known []string) error {
	if slices.Contains(known, v) {
		return nil
	}
	return unknown("value of "+name, v, known)
}

// checkStatus returns an error if v is not an HTTP status.
func checkStatus(v string) error {
	if n, err := strconv.Atoi(v); (err != nil || n < 100 || n > 999 || strconv.Itoa(n) != v) && v != record.None {
		return fmt.Errorf("invalid parameter \"status\": %q is not an HTTP status from 100 to 999, or none", v)
	}
	return nil
}

// checkID returns an error if v cannot be the beginning of the ID of a failure.
func checkID(name, v string) error {
	if !record.IsID(v) {
		return fmt.Errorf("invalid parameter %q: want up to %d of the digits and lower-case letters of an ID", name, record.IDLength)
	}
	return nil
}

// checkCursor returns an error if v is not a cursor of this API.
func checkCursor(v string) error {
	if len(v) != record.IDLength || !record.IsID(v) {
		return fmt.Errorf("invalid parameter %q: want the next_cursor of the page before", paramCursor)
	}
	return nil
}

// checkRequestID returns an error if the text cannot be a request ID or the
// beginning of one.
func checkRequestID(id string) error {
	if classify.MakeRequestID(id).IsZero() {
		return fmt.Errorf("invalid parameter \"request_id\": want 1 to %d printable ASCII characters without spaces, quotes, backslashes and angle brackets, that do not look like an access key",
			classify.MaxRequestID)
	}
	return nil
}

// parseTime parses an RFC 3339 time, a Unix time in seconds, or a duration before
// now.
func parseTime(name, s string, now time.Time) (time.Time, error) {
	if t, err := time.Parse(time.RFC3339Nano, s); err == nil {
		return t, nil
	}
	const maxSeconds = 1 << 40 // far in the future, and exact as a float
	if sec, err := strconv.ParseFloat(s, 64); err == nil && sec >= 0 && sec < maxSeconds {
		whole, frac := math.Modf(sec)
		return time.Unix(int64(whole), int64(frac*1e9)), nil
	}
	if d, err := time.ParseDuration(s); err == nil && d >= 0 {
		return now.Add(-d), nil
	}
	return time.Time{}, fmt.Errorf("invalid parameter %q: %q is not an RFC 3339 time, a Unix time in seconds or a duration such as 15m", name, s)
}

// parseLimit parses the maximum length of a list.
func parseLimit(s string) (int, error) {
	n, err := strconv.Atoi(s)
	if err != nil || n < 1 || n > maxLimit {
		return 0, fmt.Errorf("invalid parameter \"limit\": want a number from 1 to %d", maxLimit)
	}
	return n, nil
}

// parseStep parses the length of an interval.
func parseStep(s string) (time.Duration, error) {
	d, err := time.ParseDuration(s)
	if sec, numErr := strconv.Atoi(s); numErr == nil {
		d, err = time.Duration(sec)*time.Second, nil
	}
	if d == activity.RecentStep {
		return d, nil
	}
	if err != nil || d < time.Minute || d > 24*time.Hour || d%time.Minute != 0 {
		return 0, errors.New("invalid parameter \"step\": want 10s, or whole minutes from 1m to 24h")
	}
	return d, nil
}

// formatOf returns the format of a list: that of the parameter, or else of the
// Accept field.
func formatOf(q *query, accept string) string {
	accepted := ""
	for part := range strings.SplitSeq(accept, ",") {
		switch media, _, _ := strings.Cut(part, ";"); strings.TrimSpace(media) {
		case "application/x-ndjson", "application/ndjson":
			accepted = cmp.Or(accepted, formatNDJSON)
		case "text/csv":
			accepted = cmp.Or(accepted, formatCSV)
		case "application/json":
			accepted = cmp.Or(accepted, formatJSON)
		}
	}
	return cmp.Or(q.format, accepted, formatJSON)
}

// sortedKeys returns the keys of m in order.
func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }
