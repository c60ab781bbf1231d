package web

import (
	"cmp"
	"net/http"
	"slices"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// programsData is the data of the page of programs and credentials.
type programsData struct {
	frame
	Programs    []aggregate
	Credentials []aggregate
	Notices     []*diagnosis.Notice
	Stats       journal.Stats
	Since       time.Time // of the oldest failure
}

// aggregate is the failures in the journal with one value of a dimension.
type aggregate struct {
	Value   string
	Count   int
	Share   float64 // of the failures in the journal
	Blames  []blameShare
	Others  []string // user agents of a program, or programs of a credential
	TopCode string
	First   time.Time
	Last    *record.Record

	codes map[string]int
	blame map[classify.Blame]int
}

// blameShare is how many failures one blame has, from X in units of 0 to 100.
type blameShare struct {
	Blame classify.Blame
	Count int
	X, W  float64
}

// maxOthers is the maximum number of user agents or programs shown of an aggregate.
const maxOthers = 3

// programs serves the page of programs and credentials.
func (p pages) programs(w http.ResponseWriter, r *http.Request) {
	d := programsData{frame: p.frameOf(r, "programs"), Stats: p.Journal.Stats(), Notices: p.Journal.Notices()}
	d.Live = true
	d.Programs = p.aggregate("client", func(r *record.Record) string { return r.UserAgent })
	d.Credentials = p.aggregate("credential", func(r *record.Record) string {
		if !r.Client.IsValid() {
			return ""
		}
		return r.Client.Addr().String()
	})
	if oldest := p.Journal.Oldest(); oldest != nil {
		d.Since = oldest.Time
	}
	render(w, r, http.StatusOK, "programs.html", d)
}

// aggregate counts the failures in the journal by a dimension, the most first.
func (p pages) aggregate(dimension string, other func(*record.Record) string) []aggregate {
	by, _ := record.DimensionNamed(dimension)
	found := map[string]*aggregate{}
	total := 0
	p.Journal.Each(&journal.Filter{}, func(r *record.Record) {
		total++
		v := by.Value(r)
		a := found[v]
		if a == nil { // the journal is read from the newest on
			a = &aggregate{Value: v, Last: r, codes: map[string]int{}, blame: map[classify.Blame]int{}}
			found[v] = a
		}
		a.Count++
		a.First = r.Time
		a.codes[subject(r)]++
		a.blame[r.Blame]++
		if o := other(r); o != "" && !slices.Contains(a.Others, o) && len(a.Others) < maxOthers {
			a.Others = append(a.Others, o)
		}
	})
	all := make([]aggregate, 0, len(found))
	for _, v := range sortedKeys(found) {
		a := found[v]
		a.Share = float64(a.Count) / float64(total)
		for _, code := range sortedKeys(a.codes) {
			if a.TopCode == "" || a.codes[code] > a.codes[a.TopCode] {
				a.TopCode = code
			}
		}
		x := 0.0
		for _, b := range classify.Blames() {
			if n := a.blame[b]; n > 0 {
				width := 100 * float64(n) / float64(a.Count)
				a.Blames = append(a.Blames, blameShare{b, n, x, width})
				x += width
			}
		}
		all = append(all, *a)
	}
	slices.SortStableFunc(all, func(a, b aggregate) int { return cmp.Compare(b.Count, a.Count) })
	return all
}

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
	d := catalogueData{frame: p.frameOf(r, "catalogue"), Query: strings.TrimSpace(r.URL.Query().Get("q"))}
	if len(d.Query) > maxText {
		d.Query = ""
	}
	seen := map[string]uint64{}
	for _, g := range p.api.Groups.List(p.Now(), 0) {
		seen[g.CatalogCode] += g.Count
	}
	all := classify.DefaultCatalog()
	if p.Catalog != nil {
		all = p.Catalog()
	}
	for _, e := range all.Entries() {
		d.All++
		entry := catalogueEntry{e, diagnosis.ForEntry(e), seen[e.Code]}
		if entry.matches(d.Query) {
			d.Entries = append(d.Entries, entry)
		}
	}
	slices.SortStableFunc(d.Entries, func(a, b catalogueEntry) int { return cmp.Compare(b.Seen, a.Seen) })
	render(w, r, http.StatusOK, "catalogue.html", d)
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
	Settings []Setting
	Losses   []Loss
	Journal  journal.Stats
	Groups   groups.Stats
	Calls    uint64
	Notices  []*diagnosis.Notice
}

// tap serves the page of the tap itself.
func (p pages) tap(w http.ResponseWriter, r *http.Request) {
	d := tapData{
		frame: p.frameOf(r, "tap"), Build: p.Status.Build, Journal: p.Journal.Stats(), Groups: p.api.Groups.Stats(),
		Calls: p.Activity.Calls(), Notices: p.Journal.Notices(),
	}
	d.Live = true
	if p.Status.Runtime != nil {
		d.Runtime = p.Status.Runtime()
	}
	if p.Status.Settings != nil {
		d.Settings = p.Status.Settings()
	}
	d.Losses = []Loss{{"journal", d.Journal.Evicted}, {"groups", d.Groups.Evicted}, {"subscribers", p.Feed.Stats().Dropped}}
	if p.Status.Losses != nil {
		d.Losses = append(p.Status.Losses(), d.Losses...)
	}
	render(w, r, http.StatusOK, "tap.html", d)
}

// Lost reports whether anything was lost that is kept elsewhere than in the journal
// and the groups, which are limited by design.
func (d tapData) Lost() (n uint64) {
	for _, l := range d.Losses {
		if l.Kind != "journal" && l.Kind != "groups" {
			n += l.Count
		}
	}
	return n
}
