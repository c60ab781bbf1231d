package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
)

// catalogueData is the data of the page of the error catalogue.
type catalogueData struct {
	frame
	Query   string
	Entries []catalogueEntry
	All     int
}

// catalogueEntry is an entry of the catalogue with the failures that it explained.
type catalogueEntry struct {
	*classify.Entry
	Advice diagnosis.Advice
	Seen   uint64 // failures since the start
}

// catalogue serves the page of the error catalogue.
func (p pages) catalogue(w http.ResponseWriter, r *http.Request) {
	d := catalogueData{frame: p.frameOf(r, "catalogue", "q")}
	d.Query = strings.TrimSpace(d.values.Get("q"))
	type meaning struct {
		code string // several entries may have the same one
		text diagnosis.Text
	}
	seen := map[meaning]uint64{}
	for _, g := range p.api.Groups.List(p.Now(), 0) {
		seen[meaning{g.CatalogCode, g.Meaning}] += g.Count
	}
	for _, e := range p.Catalog().Entries() {
		d.All++
		entry := catalogueEntry{e, diagnosis.ForEntry(e), seen[meaning{e.Code, e.Meaning}]}
		if entry.matches(d.Query) {
			d.Entries = append(d.Entries, entry)
		}
	}
	slices.SortStableFunc(d.Entries, func(a, b catalogueEntry) int { return cmp.Compare(b.Seen, a.Seen) })
	render(w, "catalogue.html", d)
}

// matches reports whether a text of the entry contains part, ignoring case.
func (e *catalogueEntry) matches(part string) bool {
	texts := append([]string{
		e.Code, string(e.Category), string(e.Blame), e.Meaning.English, e.Meaning.Chinese, e.Advice.Do.English, e.Advice.Do.Chinese,
	}, e.Aliases...)
	return slices.ContainsFunc(texts, func(s string) bool { return strings.Contains(strings.ToLower(s), strings.ToLower(part)) })
}

// tapData is the data of the page of the tap itself.
type tapData struct {
	frame
	Build    BuildInfo
	Runtime  RuntimeInfo
	Losses   []Loss
	Journal  journal.Stats
	Groups   groups.Stats
	Calls    uint64
	Warnings int       // kinds of notices that somebody should look into
	Reloaded bool      // the settings were, or could not be
	Set      []Setting // those that are not the default, and those with another value pending
	Defaults []Setting // the others
	Pending  int       // settings that need a restart
}

// tap serves the page of the tap itself.
func (p pages) tap(w http.ResponseWriter, r *http.Request) {
	d := tapData{
		frame: p.frameOf(r, "tap"), Build: p.Status.Build, Journal: p.Journal.Stats(), Groups: p.api.Groups.Stats(),
		Calls: p.Activity.Calls(), Runtime: p.runtime(),
	}
	for _, n := range noticeRows(p.Journal.Notices()) {
		if n.Severity == diagnosis.SeverityWarn {
			d.Warnings++
		}
	}
	d.Live = true
	d.Reloaded = p.Status.Runtime != nil && !d.Runtime.ReloadConfigSuccess || len(d.Runtime.Reloads) > 0
	for _, s := range p.settings() {
		if s.Pending != nil {
			d.Pending++
		}
		if s.Source == sourceDefault && s.Pending == nil {
			d.Defaults = append(d.Defaults, s)
		} else {
			d.Set = append(d.Set, s)
		}
	}
	d.Losses = []Loss{{"journal", d.Journal.Evicted}, {"groups", d.Groups.Evicted}, {"subscribers", p.Feed.Stats().Dropped}}
	if p.Status.Losses != nil {
		d.Losses = append(p.Status.Losses(), d.Losses...)
	}
	render(w, "tap.html", d)
}

// sourceDefault is the source of a setting that was not set.
const sourceDefault = "default"

// Lost returns how much was lost, without what is limited by design: the journal, the
// groups, and log lines that are sampled.
func (d tapData) Lost() (n uint64) {
	for _, l := range d.Losses {
		if !slices.Contains([]string{"journal", "groups", "sampled"}, l.Kind) {
			n += l.Count
		}
	}
	return n
}
