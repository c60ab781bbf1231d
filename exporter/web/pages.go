package web

import (
	"bytes"
	"embed"
	"html/template"
	"net/http"
	"net/url"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/printable"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

//go:embed assets
var assets embed.FS

// templates are the pages. Everything that is inserted into them is escaped.
var templates = template.Must(template.New("").Funcs(template.FuncMap{
	"stamp":   stamp,
	"isoTime": func(t time.Time) string { return t.UTC().Format(time.RFC3339Nano) },
	"clock":   func(t time.Time) string { return t.UTC().Format("15:04:05.000Z") },
	"day":     func(t time.Time) string { return t.UTC().Format(time.DateOnly) },
	"took":    took,
}).ParseFS(assets, "assets/*.html"))

// pages serves the journal as HTML.
type pages struct {
	opts Options
}

// indexData is the data of the index page.
type indexData struct {
	Version  string
	Metrics  bool
	NotReady string     // "" if ready
	Query    url.Values // the filter as given in the request
	Problem  string     // the error in the filter, or ""
	Failures []*record.Record
	Stats    journal.Stats
}

// oneData is the data of the page of one failure.
type oneData struct {
	Version  string
	ID       string    // an ID or a request ID, as given in the path
	Attempts []attempt // newest first; none if not found
}

// attempt is one record with the support ticket texts.
type attempt struct {
	*record.Record
	English, Chinese string
}

// index serves the page with recent failures.
func (p pages) index(w http.ResponseWriter, r *http.Request) {
	values := r.URL.Query()
	d := indexData{Version: p.opts.Version, Metrics: p.opts.Metrics != nil, Query: values}
	if p.opts.Ready != nil {
		if err := p.opts.Ready(); err != nil {
			d.NotReady = err.Error()
		}
	}
	d.Stats = p.opts.Journal.Stats()
	status := http.StatusOK
	q, err := parseQuery(values, listParams, p.opts.Now())
	if err != nil {
		d.Problem, status = err.Error(), http.StatusBadRequest
	} else {
		d.Failures, _ = p.opts.Journal.Select(&q.filter, q.cursor, q.limit)
	}
	render(w, status, "index.html", d)
}

// one serves the page of the failures with one ID or request ID.
func (p pages) one(w http.ResponseWriter, r *http.Request) {
	d := oneData{Version: p.opts.Version, ID: r.PathValue("id")}
	if !record.IsID(d.ID) && checkRequestID(d.ID) != nil {
		render(w, http.StatusBadRequest, "failure.html", d)
		return
	}
	for _, found := range p.opts.Journal.Find(d.ID) {
		d.Attempts = append(d.Attempts, attempt{found, ticket(found, diagnosis.English), ticket(found, diagnosis.Chinese)})
	}
	status := http.StatusOK
	if len(d.Attempts) == 0 {
		status = http.StatusNotFound
	}
	render(w, status, "failure.html", d)
}

// render writes a page, or an error if the template fails.
func render(w http.ResponseWriter, status int, name string, d any) {
	var b bytes.Buffer
	if err := templates.ExecuteTemplate(&b, name, d); err != nil {
		http.Error(w, "cannot render the page", http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "text/html; charset=utf-8")
	w.WriteHeader(status)
	_, _ = w.Write(printable.EscapeBytes(b.Bytes()))
}

// stylesheet serves the stylesheet of the pages.
func stylesheet(w http.ResponseWriter, r *http.Request) {
	http.ServeFileFS(w, r, assets, "assets/style.css")
}

// stamp formats a time in UTC.
func stamp(t time.Time) string { return t.UTC().Format("2006-01-02 15:04:05.000Z") }

// took formats a duration in seconds for a table.
func took(seconds float64) string {
	return time.Duration(seconds * float64(time.Second)).Round(time.Microsecond).String()
}
