package web

import (
	"bytes"
	"cmp"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

//go:embed assets
var assets embed.FS

// templates are the pages in each language, parsed when the first one is served.
// Everything that is inserted into them is escaped.
var templates = sync.OnceValue(func() map[diagnosis.Language]*template.Template {
	all := map[diagnosis.Language]*template.Template{}
	for _, l := range []diagnosis.Language{diagnosis.English, diagnosis.Chinese} {
		all[l] = template.Must(template.New("").Funcs(functions(l)).ParseFS(assets, "assets/pages/*.html"))
	}
	return all
})

// pages serves the failures as HTML. The pages are complete without scripts, which
// add live updates, copying, zooming and local time.
type pages struct {
	api
}

// register adds the pages: those of single failures with lookUp, and others with search.
func (p pages) register(lookUp, search func(path string, serve http.HandlerFunc)) {
	lookUp("/failures/{id}", p.failurePage)
	search("/{$}", p.overview)
	search("/programs", p.programs)
	search("/catalogue", p.catalogue)
	search("/tap", p.tap)
	search("/", p.notFound)
}

// frame is what all pages have in common. It is the data of the template "head".
type frame struct {
	Page      string // key of the title
	Title     string // "" for the title of Page
	Language  diagnosis.Language
	Theme     string
	Zone      string
	Languages []choice
	Themes    []choice
	Zones     []choice
	Views     []choice
	Version   string
	Metrics   bool
	NotReady  string // "" if ready
	Problem   string // what is wrong with the parameters, or ""
	Live      bool   // the page is updated
	Now       time.Time

	location

	status int
	given  url.Values // all parameters
	asked  query      // the parameters besides preferences, if there is no Problem
}

// frameOf returns the frame of a page that may have the parameters in allowed, besides
// preferences.
func (p pages) frameOf(r *http.Request, page string, allowed ...string) frame {
	given, err := parameters(r)
	here := location{r.URL.Path, withoutPreferences(given)}
	f := frame{
		Page: page, Version: p.Version, Metrics: p.Metrics != nil, Now: p.Now(), location: here, status: http.StatusOK, given: given,
		Language: languageOf(r, given), Theme: cmp.Or(prefTheme.of(r, given), prefTheme.values[0]), Zone: cmp.Or(prefZone.of(r, given), prefZone.values[0]),
	}
	if err == nil {
		f.asked, err = parseQuery(here.values, allowed, f.Now)
	}
	if err != nil {
		f.Problem, f.status = err.Error(), http.StatusBadRequest
	}
	word := wordIn(f.Language)
	label := func(kind string) func(string) string { return func(v string) string { return word(kind, v) } }
	f.Languages = choices(here, prefLanguage, string(f.Language), func(v string) string { return languageNames[v] })
	f.Themes = choices(here, prefTheme, f.Theme, label("theme"))
	f.Zones = choices(here, prefZone, f.Zone, label("zone"))
	for _, v := range []struct{ page, path string }{{"overview", "/"}, {"programs", "/programs"}, {"catalogue", "/catalogue"}, {"tap", "/tap"}} {
		f.Views = append(f.Views, choice{Label: word("page", v.page), URL: v.path, Current: v.page == page})
	}
	if p.Ready != nil {
		if err := p.Ready(); err != nil {
			f.NotReady = err.Error()
		}
	}
	return f
}

// Day returns the link to the failures of the last day with one value of a dimension,
// and no other filter.
func (f frame) Day(name, value string) string {
	return "/?" + url.Values{name: {value}, paramFrom: {rangeSearch}}.Encode()
}

// SubjectDay returns the link to the failures of the last day of the kind of r.
func (f frame) SubjectDay(r *record.Record) string {
	s := subjectOf(r)
	return f.Day(s.Name, s.Value)
}

// notFoundData is the data of the page for paths that do not exist.
type notFoundData struct{ frame }

// notFound serves the page for paths that do not exist to browsers.
func (p pages) notFound(w http.ResponseWriter, r *http.Request) {
	if !strings.Contains(r.Header.Get("Accept"), "text/html") {
		http.NotFound(w, r)
		return
	}
	d := notFoundData{p.frameOf(r, "notfound")}
	d.Problem, d.status = "", http.StatusNotFound
	render(w, "notfound.html", d)
}

// base returns f, for pages that embed it.
func (f frame) base() frame { return f }

// render writes a page, or an error if the template fails.
func render(w http.ResponseWriter, name string, page interface{ base() frame }) {
	var b bytes.Buffer
	f := page.base()
	if err := templates()[f.Language].ExecuteTemplate(&b, name, page); err != nil {
		http.Error(w, "cannot render the page: "+err.Error(), http.StatusInternalServerError)
		return
	}
	remember(w, f.given)
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", string(f.Language))
	w.WriteHeader(f.status)
	_, _ = w.Write(printable.EscapeBytes(b.Bytes()))
}

// title returns the title of a page with the name of the program.
func title(parts ...string) string { return strings.Join(append(parts, "ksyun-tap"), " · ") }
