package web

import (
	"net/http"
	"net/url"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
)

// prefer is a preference of a user. It is set by a parameter of any page and kept
// in a cookie of the same name.
type prefer struct {
	name   string
	values []string // the first is the default
}

var (
	prefLanguage = prefer{paramLang, languages} // the default is that of the browser
	prefTheme    = prefer{"theme", []string{"auto", "light", "dark"}}
	prefZone     = prefer{"tz", []string{"utc", "local"}}
	preferences  = []prefer{prefLanguage, prefTheme, prefZone}
)

const (
	cookiePrefix = "ksyun-tap-"
	cookieAge    = 365 * 24 * 60 * 60 // seconds
)

// of returns the value of p in the given parameters or else the cookies of a request, or
// "" if there is none.
func (p prefer) of(r *http.Request, given url.Values) string {
	if v := given.Get(p.name); slices.Contains(p.values, v) {
		return v
	}
	if c, err := r.Cookie(cookiePrefix + p.name); err == nil && slices.Contains(p.values, c.Value) {
		return c.Value
	}
	return ""
}

// remember keeps the preferences that the given parameters set.
func remember(w http.ResponseWriter, given url.Values) {
	for _, p := range preferences {
		if v := given.Get(p.name); slices.Contains(p.values, v) {
			http.SetCookie(w, &http.Cookie{ //nolint:gosec // it is no secret, and the listener may have no TLS
				Name: cookiePrefix + p.name, Value: v, Path: "/", MaxAge: cookieAge, HttpOnly: true, SameSite: http.SameSiteLaxMode,
			})
		}
	}
}

// withoutPreferences returns a copy of values without preferences.
func withoutPreferences(values url.Values) url.Values {
	rest := url.Values{}
	for name, v := range values {
		if !slices.ContainsFunc(preferences, func(p prefer) bool { return p.name == name }) {
			rest[name] = v
		}
	}
	return rest
}

// choice is one of several links of which one is current.
type choice struct {
	Label, URL string
	Value      string
	Current    bool
}

// choices returns the links that set a preference. label returns the label of a
// value.
func choices(here location, p prefer, current string, label func(string) string) []choice {
	all := make([]choice, len(p.values))
	for i, v := range p.values {
		all[i] = choice{Label: label(v), Value: v, URL: here.Set(p.name, v), Current: v == current}
	}
	return all
}

// languageNames are the names of the languages in themselves.
var languageNames = map[string]string{string(diagnosis.English): "English", string(diagnosis.Chinese): "中文"}
