package web

import (
	"cmp"
	"context"
	"net/http"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// programsData is the data of the page of programs and credentials.
type programsData struct {
	frame
	diagnosis.Inventory

	Rows    []usageRow // of the programs
	Keys    []usageRow // of the credentials
	Since   time.Time  // the first call
	Notices []noticeRow
}

// usageRow is the use of the API by a program or with a credential, and its failures.
type usageRow struct {
	Name string
	diagnosis.Tally

	Clients   int      // addresses of a program
	Programs  []string // that use a credential
	Regions   []string // of a credential
	PlainHTTP bool     // of a credential
	Kept      *kept    // nil if the journal has no failure
}

// share returns the share of failures in all attempts, 0 to 1.
func share(t diagnosis.Tally) float64 {
	if t.Count == 0 {
		return 0
	}
	return float64(t.Failed) / float64(t.Count)
}

// programs serves the page of programs and credentials.
func (p pages) programs(w http.ResponseWriter, r *http.Request) {
	d := programsData{frame: p.frameOf(r, "programs"), Inventory: p.Diagnoser.Inventory(), Notices: noticeRows(p.Journal.Notices())}
	d.Live = true
	failures := p.keptBy(r.Context(), "program", d.frame)
	for _, u := range d.Inventory.Programs {
		d.Rows = append(d.Rows, usageRow{Name: u.Program, Tally: u.Tally, Clients: u.Clients, Kept: failures[u.Program]})
		if d.Since.IsZero() || u.First.Before(d.Since) {
			d.Since = u.First
		}
	}
	failures = p.keptBy(r.Context(), "credential", d.frame)
	for _, u := range d.Credentials {
		d.Keys = append(d.Keys, usageRow{
			Name: u.Credential, Tally: u.Tally, Programs: u.Programs, Regions: u.Regions, PlainHTTP: u.PlainHTTP, Kept: failures[u.Credential],
		})
	}
	render(w, "programs.html", d)
}

// kept is the failures in the journal with one value of a dimension.
type kept struct {
	Count  int
	Blames []blameShare
	Most   *record.Record // the newest of the most frequent kind
	// MostLink is the link to the failures of that kind.
	MostLink string

	kinds map[filter]*keptKind
	blame map[classify.Blame]int
}

// keptKind is the failures of one kind.
type keptKind struct {
	n      int
	newest *record.Record
}

// blameShare is how many failures one blame has, from X in units of 0 to 100.
type blameShare struct {
	Blame classify.Blame
	Count int
	X, W  float64
}

// keptBy counts the failures in the journal by the values of a dimension.
func (p pages) keptBy(ctx context.Context, dimension string, f frame) map[string]*kept {
	by, _ := record.DimensionNamed(dimension)
	found := map[string]*kept{}
	for r := range p.Journal.All(ctx, &journal.Filter{}) {
		k := found[by.Value(r)]
		if k == nil {
			k = &kept{kinds: map[filter]*keptKind{}, blame: map[classify.Blame]int{}}
			found[by.Value(r)] = k
		}
		k.Count++
		k.blame[r.Blame]++
		s := subjectOf(r)
		if k.kinds[s] == nil {
			k.kinds[s] = &keptKind{newest: r} // the journal is read from the newest on
		}
		k.kinds[s].n++
	}
	for _, k := range found {
		k.sum()
		k.MostLink = f.SubjectDay(k.Most)
	}
	return found
}

// sum sets what is computed from the counts.
func (k *kept) sum() {
	most := 0
	for _, c := range k.kinds {
		if c.n > most || c.n == most && c.newest.ID > k.Most.ID {
			most, k.Most = c.n, c.newest
		}
	}
	x := 0.0
	for _, b := range classify.Blames() {
		if n := k.blame[b]; n > 0 {
			width := 100 * float64(n) / float64(k.Count)
			k.Blames = append(k.Blames, blameShare{b, n, x, width})
			x += width
		}
	}
}

// noticeRow is the notices with one cause and credential.
type noticeRow struct {
	*diagnosis.Notice // the newest

	Count   int
	Actions []string // in order
}

// noticeRows returns the notices, given the newest first, by cause and credential: the
// most severe first, and then the newest.
func noticeRows(all []*diagnosis.Notice) (rows []noticeRow) {
	for _, n := range all {
		at := slices.IndexFunc(rows, func(r noticeRow) bool { return r.Cause == n.Cause && r.Credential == n.Credential })
		if at < 0 {
			at = len(rows)
			rows = append(rows, noticeRow{Notice: n})
		}
		row := &rows[at]
		row.Count++
		if i, found := slices.BinarySearch(row.Actions, n.Action); !found && n.Action != "" {
			row.Actions = slices.Insert(row.Actions, i, n.Action)
		}
	}
	severities := []diagnosis.Severity{diagnosis.SeverityWarn, diagnosis.SeverityInfo, diagnosis.SeverityDebug}
	slices.SortStableFunc(rows, func(a, b noticeRow) int {
		return cmp.Compare(slices.Index(severities, a.Severity), slices.Index(severities, b.Severity))
	})
	return rows
}
