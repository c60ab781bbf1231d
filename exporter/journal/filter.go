package journal

import (
	"slices"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// Filter selects records. The zero value selects all of them. Text is compared
// case-insensitively, except for IDs.
type Filter struct {
	ID         string // beginning of the ID
	RequestID  string // beginning of the request ID
	Conditions []Condition
	Text       string    // part of any text of the record
	From       time.Time // select attempts that ended at this time or later
	To         time.Time // select attempts that ended before this time
}

// Condition selects the records that have one of the values in a dimension.
type Condition struct {
	Dimension *record.Dimension
	Values    []string
}

// Matches reports whether f selects r.
func (f *Filter) Matches(r *record.Record) bool {
	return strings.HasPrefix(r.ID, f.ID) && strings.HasPrefix(r.RequestID, f.RequestID) &&
		(f.From.IsZero() || !r.Time.Before(f.From)) && (f.To.IsZero() || r.Time.Before(f.To)) &&
		f.MatchesConditions(r) && (f.Text == "" || f.matchesText(r))
}

// MatchesConditions reports whether r matches the conditions of f.
func (f *Filter) MatchesConditions(r *record.Record) bool {
	for _, c := range f.Conditions {
		if !slices.ContainsFunc(c.Values, func(v string) bool { return c.Dimension.Matches(r, v) }) {
			return false
		}
	}
	return true
}

// matchesText reports whether a text of r contains f.Text.
func (f *Filter) matchesText(r *record.Record) bool {
	part := newFolded(f.Text)
	for _, s := range [...]string{
		r.ID, r.RequestID, r.TraceID, r.Code, r.InnerCode, r.CatalogCode, string(r.Fault), r.Message,
		r.Meaning.English, r.Meaning.Chinese, r.Advice.Do.English, r.Advice.Do.Chinese,
		r.Action, r.Region, r.URL, r.Host, r.UserAgent, r.Credential,
	} {
		if part.in(s) {
			return true
		}
	}
	for i := range r.Diagnoses {
		if d := &r.Diagnoses[i]; part.in(string(d.Cause)) || part.in(d.Evidence.English) || part.in(d.Summary.English) {
			return true
		}
	}
	return r.Upstream.IsValid() && strings.Contains(r.Upstream.String(), f.Text) ||
		r.Client.IsValid() && strings.Contains(r.Client.String(), f.Text)
}
