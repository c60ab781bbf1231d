package web

import (
	"cmp"
	"context"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// groupRow is a group of equal failures with its failures in a time range.
type groupRow struct {
	groups.Group
	InRange uint64
	// AtLeast reports that InRange is a lower bound: the journal has evicted some
	// failures of the range.
	AtLeast bool
	OfCalls float64 // share of the calls in the range; 0 if it is not known
	Spark   sparkline
	Open    string // link to the list of its failures
}

// groupRows returns the groups with failures that match q, the largest first. The
// counts are exact if the trends or the totals of the groups cover what is asked
// for, and otherwise those of the journal.
func (p pages) groupRows(ctx context.Context, d *overviewData, q *query, all []groups.Group) []groupRow {
	exact := q.grouped()
	inJournal := map[string][]*record.Record{}
	for r := range p.Journal.All(ctx, &q.filter) {
		inJournal[r.Group] = append(inJournal[r.Group], r)
	}
	complete := p.completeSince(q.filter.From).IsZero()

	var rows []groupRow
	for _, g := range all {
		records := inJournal[g.ID]
		row := groupRow{Group: g, InRange: uint64(len(records)), AtLeast: !complete}
		if n, ok := exactCount(&g, q); exact && ok {
			row.InRange, row.AtLeast = n, false
			if g.Last == nil && len(q.filter.Conditions) > 0 || g.Last != nil && !q.filter.MatchesConditions(g.Last) {
				row.InRange = 0
			}
		}
		if row.InRange == 0 {
			continue
		}
		if d.Calls > 0 {
			row.OfCalls = min(1, float64(row.InRange)/float64(d.Calls))
		}
		row.Spark = newSparkline(bins(&g, records, q, d.Now))
		row.Open = d.Set("group", g.ID, paramView, viewList)
		rows = append(rows, row)
	}
	slices.SortStableFunc(rows, func(a, b groupRow) int { return cmp.Compare(b.InRange, a.InRange) })
	return rows
}

// exactCount returns the number of failures of g in the range of q, if that is
// known without the journal.
func exactCount(g *groups.Group, q *query) (n uint64, ok bool) {
	f := &q.filter
	start := g.Trend.Start
	switch {
	case f.To.IsZero() && !g.FirstSeen.Before(f.From):
		return g.Count, true
	case f.From.Before(start), !wholeMinute(f.From), !wholeMinute(f.To):
		return 0, false
	}
	for i, c := range g.Trend.Counts {
		minute := start.Add(time.Duration(i) * time.Minute)
		if minute.Before(f.From) || !f.To.IsZero() && !minute.Before(f.To) {
			continue
		}
		n += uint64(c)
	}
	return n, true
}

// wholeMinute reports whether a minute begins at t.
func wholeMinute(t time.Time) bool { return t.Equal(t.Truncate(time.Minute)) }

// sparkBins is the number of bars of a sparkline.
const sparkBins = 30

// bins returns the failures of g over the time range of q.
func bins(g *groups.Group, records []*record.Record, q *query, now time.Time) []uint32 {
	from, to := q.filter.From, q.filter.To
	if to.IsZero() || to.After(now) {
		to = now
	}
	all := make([]uint32, sparkBins)
	add := func(at time.Time, n uint32) {
		if i := int(at.Sub(from) * sparkBins / max(1, to.Sub(from))); i >= 0 && !at.Before(from) && at.Before(to) {
			all[min(i, sparkBins-1)] += n
		}
	}
	if from.Before(g.Trend.Start) || to.Sub(from) < sparkBins*time.Minute {
		for _, r := range records {
			add(r.Time, 1)
		}
		return all
	}
	for i, n := range g.Trend.Counts {
		add(g.Trend.Start.Add(time.Duration(i)*time.Minute), n)
	}
	return all
}
