package web

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// chart is a diagram of failures by blame and of calls over time. Its bars are
// computed in units of a viewBox as wide as the number of bars and 100 high, which
// is stretched to the size of the element.
type chart struct {
	Start, End time.Time
	Step       time.Duration
	Bars       []bar
	Blames     []classify.Blame // that occur, in the order of the stack
	Top        uint64           // failures at the top edge
	CallsTop   uint64           // calls at the top edge
	HasCalls   bool
	Ticks      []chartTick
	Marks      []chartMark
	Complete   time.Time // since when all failures are counted; zero if all are
	Total      uint64
}

// bar is one interval.
type bar struct {
	Index           int
	From, To        time.Time
	Label           string // of From, in UTC
	Calls, Failures uint64
	Parts           []part
	CallsY, CallsH  float64
	Zoom            string // link to the interval
}

// part is the failures of one blame in an interval.
type part struct {
	Blame classify.Blame
	Count uint64
	Y, H  float64
}

// chartMark is an event in the life of the tap.
type chartMark struct {
	Kind string // key of the text
	Time time.Time
	X    float64
}

// chartTick is a label of the time axis.
type chartTick struct {
	Time time.Time
	X    string // in percent of the width
}

// newChart returns the chart of an activity by blame with a number of intervals.
func newChart(d activityData, points int, here location) chart {
	step := time.Duration(d.StepSeconds) * time.Second
	c := chart{Start: d.Start, Step: step, Complete: d.CompleteSince, HasCalls: d.Calls != nil}
	byBlame := map[classify.Blame]series{}
	for _, s := range d.Series {
		byBlame[classify.Blame(s.Labels["blame"])] = s
	}
	for _, b := range classify.Blames() {
		if byBlame[b].Total > 0 {
			c.Blames = append(c.Blames, b)
		}
	}
	c.Bars = make([]bar, points)
	for i := range c.Bars {
		from := d.Start.Add(time.Duration(i) * step)
		b := bar{Index: i, From: from, To: from.Add(step), Label: from.Format("15:04")}
		if step < time.Minute {
			b.Label = from.Format("15:04:05")
		}
		b.Zoom = here.Between(unix(b.From), unix(b.To))
		if i < len(d.Calls) {
			b.Calls = d.Calls[i]
		}
		for _, blame := range c.Blames {
			if n := byBlame[blame].Counts[i]; n > 0 {
				b.Parts = append(b.Parts, part{Blame: blame, Count: n})
				b.Failures += n
			}
		}
		c.Total += b.Failures
		c.Top, c.CallsTop = max(c.Top, b.Failures), max(c.CallsTop, b.Calls)
		c.Bars[i] = b
	}
	c.Top, c.CallsTop = roundUp(c.Top), roundUp(c.CallsTop)
	c.End = d.Start.Add(time.Duration(points) * step)
	c.scale()
	c.ticks()
	return c
}

// scale sets the positions of bars.
func (c *chart) scale() {
	const height = 100.0
	for i := range c.Bars {
		b := &c.Bars[i]
		y := height
		for k := range b.Parts {
			p := &b.Parts[k]
			p.H = height * float64(p.Count) / float64(c.Top)
			y -= p.H
			p.Y = y
		}
		if c.CallsTop > 0 {
			b.CallsH = height * float64(b.Calls) / float64(c.CallsTop)
			b.CallsY = height - b.CallsH
		}
	}
}

// tickSteps are the possible intervals of the time axis. maxTicks is how many there are
// at most.
var tickSteps = []time.Duration{
	10 * time.Second, 30 * time.Second, time.Minute, 2 * time.Minute, 5 * time.Minute, 10 * time.Minute, 30 * time.Minute,
	time.Hour, 2 * time.Hour, 4 * time.Hour, 12 * time.Hour, 24 * time.Hour, 2 * 24 * time.Hour, 5 * 24 * time.Hour,
}

const maxTicks = 9

// ticks sets the labels of the time axis, at round times that are not at its very ends.
func (c *chart) ticks() {
	length := c.End.Sub(c.Start)
	step := tickSteps[len(tickSteps)-1]
	for _, s := range slices.Backward(tickSteps) {
		if length/s > maxTicks {
			break
		}
		step = s
	}
	for at := c.Start.Truncate(step); at.Before(c.End); at = at.Add(step) {
		if x := 100 * float64(at.Sub(c.Start)) / float64(length); x >= 2 && x <= 98 {
			c.Ticks = append(c.Ticks, chartTick{at, fmt.Sprintf("%.2f%%", x)})
		}
	}
}

// mark adds a mark if its time is in the chart.
func (c *chart) mark(kind string, at time.Time) {
	if at.Before(c.Start) || !at.Before(c.End) {
		return
	}
	c.Marks = append(c.Marks, chartMark{kind, at, at.Sub(c.Start).Seconds() / c.Step.Seconds()})
}

// markKind is the marks of one kind.
type markKind struct {
	Kind  string
	Count int
	Last  time.Time
}

// MarkKinds returns the marks by kind, for the legend.
func (c chart) MarkKinds() (all []markKind) {
	for _, m := range c.Marks {
		i := slices.IndexFunc(all, func(k markKind) bool { return k.Kind == m.Kind })
		if i < 0 {
			i = len(all)
			all = append(all, markKind{Kind: m.Kind})
		}
		all[i].Count++
		all[i].Last = m.Time
	}
	return all
}

// Width returns the width of the viewBox.
func (c chart) Width() int { return len(c.Bars) }

// TickStyle returns the style of the times of the axis.
func (c chart) TickStyle() string {
	switch length := c.End.Sub(c.Start); {
	case length <= 5*time.Minute:
		return "clock"
	case length <= 25*time.Hour:
		return "minute"
	}
	return "day"
}

// TickLabel returns the label of a time of the axis, in UTC.
func (c chart) TickLabel(t time.Time) string {
	return t.UTC().Format(map[string]string{"clock": "15:04:05", "minute": "15:04", "day": "01-02 15:04"}[c.TickStyle()])
}

// unix formats t as a parameter.
func unix(t time.Time) string { return strconv.FormatInt(t.Unix(), 10) }

// roundUp returns the next number that reads well on an axis: 1, 2, 5, 10, 20, ...
func roundUp(n uint64) uint64 {
	for unit := uint64(1); ; unit *= 10 {
		for _, f := range []uint64{1, 2, 5} {
			if f*unit >= n {
				return f * unit
			}
		}
	}
}

// sparkline is a small diagram of one series: the points of a path in a viewBox
// 100 wide and 24 high.
type sparkline struct {
	Area string
	Peak uint32
}

// newSparkline returns the diagram of counts.
func newSparkline(counts []uint32) sparkline {
	s := sparkline{}
	for _, n := range counts {
		s.Peak = max(s.Peak, n)
	}
	if s.Peak == 0 {
		return s
	}
	const height = 22.0
	var b strings.Builder
	width := 100 / float64(len(counts))
	for i, n := range counts {
		if n == 0 {
			continue
		}
		h := max(1.5, height*float64(n)/float64(s.Peak))
		fmt.Fprintf(&b, "M%.2f 24v-%.1fh%.2fv%.1fz", float64(i)*width, h, width*0.8, h)
	}
	s.Area = b.String()
	return s
}
