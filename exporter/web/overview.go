package web

import (
	"context"
	"net/http"
	"net/url"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// Parameters and values of the overview.
const (
	paramView  = "view"
	viewGroups = "groups"
	viewList   = "list"
)

var overviewParams = append(slices.Clone(listParams), paramView)

// ranges are the time ranges that can be selected.
var ranges = []string{"5m", "15m", "1h", "6h", "24h"}

const (
	rangeDefault = "1h"
	rangeStart   = "15m" // of a tap that was just started
	rangeSearch  = "24h" // when looking for single failures
)

// overviewData is the data of the page of all failures.
type overviewData struct {
	frame
	Banner    banner
	Ranges    []choice
	ZoomOut   string // link; "" if the range is one of Ranges
	From      time.Time
	To        time.Time // zero if the range ends now
	Blanks    []blank   // filters because of which the list is empty
	Chart     chart
	Chips     []chip
	Filters   []filter
	Clear     string // link without filters
	Text      string // of the search
	Modes     []choice
	View      string
	Groups    []groupRow
	Calls     uint64 // in the range
	Failures  []*record.Record
	Next      string // link to the next page of failures, or ""
	First     string // link to the first page of failures, or ""
	JSON, CSV string // links to the failures of the API
	Stats     journal.Stats
}

// chip is a blame with its number of failures.
type chip struct {
	Blame   classify.Blame
	Count   uint64
	URL     string
	Current bool
}

// filter is a filter that is set.
type filter struct {
	Name, Value string
	Remove      string // link without it
}

// overview serves the page of all failures.
func (p pages) overview(w http.ResponseWriter, r *http.Request) {
	f := p.frameOf(r, "overview", overviewParams...)
	f.Live = true
	text := f.values.Get(paramText)
	if len(p.Journal.Find(text)) > 0 {
		http.Redirect(w, r, "/failures/"+url.PathEscape(text), http.StatusSeeOther)
		return
	}
	d := overviewData{frame: f, Text: text, View: viewGroups, Stats: p.Journal.Stats()}
	if f.values.Get(paramView) == viewList {
		d.View = viewList
	}
	for _, v := range []string{viewGroups, viewList} {
		value := v
		if v == viewGroups {
			value = ""
		}
		d.Modes = append(d.Modes, choice{Value: v, Label: wordIn(f.Language)("view", v), URL: f.Set(paramView, value), Current: v == d.View})
	}
	all := p.Groups.List(f.Now, p.Activity.Calls())
	d.Banner = p.newBanner(r.Context(), all, f.Now)
	chosen := p.setRange(&d.asked, f.values, f.Now)
	if d.Problem == "" {
		if err := p.fill(r.Context(), &d, &d.asked, all); err != nil {
			d.Problem, d.status = err.Error(), http.StatusBadRequest
		}
	}
	if d.Problem != "" {
		if d.Blanks = d.invalid(); len(d.Blanks) > 0 {
			d.Problem = ""
		}
		chosen = p.emptyChart(&d)
	} else if len(d.Groups) == 0 && len(d.Failures) == 0 {
		d.Blanks = p.blanks(r.Context(), &d, &d.asked)
	}
	d.ranges(chosen)
	d.filters()
	render(w, "overview.html", d)
}

// setRange sets the begin of the time range if a range is chosen by name, or none is
// given. It returns that name, or "".
func (p pages) setRange(q *query, values url.Values, now time.Time) (chosen string) {
	chosen = values.Get(paramFrom)
	if chosen == "" && values.Get(paramTo) == "" {
		chosen = p.defaultRange(now)
		for _, name := range []string{paramText, paramID, paramRequestID, "group"} {
			if values.Get(name) != "" {
				chosen = rangeSearch
			}
		}
	}
	if values.Get(paramTo) != "" || !slices.Contains(ranges, chosen) {
		return ""
	}
	length, _ := time.ParseDuration(chosen) // it is one of ranges
	q.filter.From = now.Truncate(time.Minute).Add(time.Minute - length)
	return chosen
}

// fill sets what depends on the filters.
func (p pages) fill(ctx context.Context, d *overviewData, q *query, all []groups.Group) error {
	d.From, d.To = q.filter.From, q.filter.To
	blame, _ := record.DimensionNamed("blame")
	q.by = []*record.Dimension{blame}

	shown := *q
	shown.step = p.fineStep(q, d.Now)
	to := d.To
	if to.IsZero() || to.After(d.Now) {
		to = d.Now
	}
	shown.filter.From = latest(shown.filter.From, to.Add(-chartRange))
	counts, err := newCounts(&shown, d.Now)
	if err != nil {
		return err
	}
	byBlame := p.count(ctx, &shown, &counts)
	d.Chart = newChart(byBlame, counts.points, d.location)
	runtime := p.runtime()
	d.Chart.mark("mark.start", runtime.StartTime)
	for _, at := range runtime.Reloads {
		d.Chart.mark("mark.reload", at)
	}
	// The chips count what there would be without the filter by blame.
	every := *q
	every.filter.From = shown.filter.From
	every.step = shown.step
	every.filter.Conditions = slices.DeleteFunc(slices.Clone(every.filter.Conditions), func(c journal.Condition) bool { return c.Dimension == blame })
	if len(every.filter.Conditions) < len(q.filter.Conditions) {
		if counts, err = newCounts(&every, d.Now); err != nil {
			return err
		}
		byBlame = p.count(ctx, &every, &counts)
	}
	d.chips(byBlame)

	if from := latest(d.From, d.Now.Add(-(activity.Minutes-1)*time.Minute)); from.Before(to) {
		d.Calls, _ = p.sums(from, to)
	}
	if d.View == viewGroups {
		d.Groups = p.groupRows(ctx, d, q, all)
		return nil
	}
	var more bool
	d.Failures, more = p.Journal.Select(ctx, &q.filter, q.cursor, q.limit)
	if more {
		d.Next = d.Set(paramCursor, d.Failures[len(d.Failures)-1].ID)
	}
	if q.cursor != "" {
		d.First = d.Set()
	}
	return nil
}

// emptyChart sets the chart of a page whose filters are not valid: of its time range, if
// that is valid, or else of the default. It returns the range that is selected by name.
func (p pages) emptyChart(d *overviewData) (chosen string) {
	for _, values := range []url.Values{{paramFrom: d.values[paramFrom], paramTo: d.values[paramTo]}, {}} {
		q, err := parseQuery(values, overviewParams, d.Now)
		if err != nil {
			continue
		}
		chosen := p.setRange(&q, values, d.Now)
		q.step = p.fineStep(&q, d.Now)
		if counts, err := newCounts(&q, d.Now); err == nil {
			d.From, d.To = q.filter.From, q.filter.To
			d.Chart = newChart(activityData{Start: time.Unix(counts.start, 0).UTC(), StepSeconds: int(counts.step)}, counts.points, d.location)
			return chosen
		}
	}
	return ""
}

// defaultRange returns the time range of the page if none is given: a shorter one while
// the tap has not been running for long.
func (p pages) defaultRange(now time.Time) string {
	if now.Sub(p.runtime().StartTime) < fineRange {
		return rangeStart
	}
	return rangeDefault
}

// fineRange is the longest time range that the chart shows with intervals of
// activity.RecentStep.
const fineRange = 15 * time.Minute

// fineStep returns the step of the chart: activity.RecentStep if there are complete
// counts for it, or else 0 for the default.
func (p pages) fineStep(q *query, now time.Time) time.Duration {
	from := q.filter.From
	if from.Before(now.Add(-fineRange)) || !q.filter.To.IsZero() && q.filter.To.Sub(from) < activity.RecentStep {
		return 0
	}
	if !q.counted() && !p.completeSince(from).IsZero() {
		return 0
	}
	return activity.RecentStep
}

// chartRange is the maximum time range of the chart.
const chartRange = 30 * 24 * time.Hour

func latest(a, b time.Time) time.Time {
	if a.After(b) {
		return a
	}
	return b
}

// chips sets the chips of the blames.
func (d *overviewData) chips(a activityData) {
	for _, b := range classify.Blames() {
		c := chip{Blame: b, URL: d.Toggle("blame", string(b)), Current: d.has("blame", string(b))}
		for _, s := range a.Series {
			if s.Labels["blame"] == string(b) {
				c.Count = s.Total
			}
		}
		d.Chips = append(d.Chips, c)
	}
}

// ranges sets the links of time ranges.
func (d *overviewData) ranges(chosen string) {
	for _, v := range ranges {
		d.Ranges = append(d.Ranges, choice{Label: v, Value: v, URL: d.Between(v, ""), Current: v == chosen})
	}
	if chosen != "" || d.From.IsZero() {
		return
	}
	to := d.To
	if to.IsZero() {
		to = d.Now
	}
	length := to.Sub(d.From)
	to = to.Add(length / 2)
	if from := to.Add(-2 * length); to.Before(d.Now) {
		d.ZoomOut = d.Between(unix(from), unix(to))
	} else {
		d.ZoomOut = d.Between(unix(d.Now.Add(-2*length)), "")
	}
}

// filters sets the filters that are set, and the links that depend on them.
func (d *overviewData) filters() {
	bare := location{d.path, url.Values{}}
	for _, name := range sortedKeys(d.values) {
		switch name {
		case paramView, paramFrom, paramTo:
			bare.values[name] = d.values[name]
			continue
		case paramCursor, paramLimit, paramFormat, "blame":
			continue
		}
		for _, v := range d.values[name] {
			if v != "" {
				d.Filters = append(d.Filters, filter{name, v, d.Without(name, v)})
			}
		}
	}
	if len(d.Filters) > 0 || d.values.Get("blame") != "" {
		d.Clear = bare.link(bare.query())
	}
	v := d.query()
	v.Del(paramView)
	if !d.From.IsZero() && v.Get(paramFrom) == "" {
		v.Set(paramFrom, unix(d.From))
	}
	list := location{"/api/v1/failures", v}
	d.JSON, d.CSV = list.link(v), list.Set(paramFormat, formatCSV)
}

// Fields are the parameters that the search keeps, as hidden fields.
func (d overviewData) Fields() (all []filter) {
	for _, name := range sortedKeys(d.query()) {
		if name != paramText {
			for _, v := range d.values[name] {
				all = append(all, filter{Name: name, Value: v})
			}
		}
	}
	return all
}
