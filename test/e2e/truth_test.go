//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"math"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// truth is the expected result of a query.
type truth struct {
	by        []string // the labels that tell its series apart
	at        []int    // minutes; nil is all moments
	end       bool     // at the last minute only
	want      func(d *day, minute int) map[string]float64
	tolerance float64 // share of the value; 0 is 1 %
	// holds, used instead of want, returns what is wrong with the result.
	holds func(d *day, minute int, got map[string]float64) string
	// nothing is for a query that may have no response at all.
	nothing bool
}

// verify asks a query at all its moments.
func (d *day) verify(where string, target dashboards.Target, is truth, z dashboards.Zoom) {
	d.t.Helper()
	at, answered := is.at, false
	switch {
	case is.end:
		at = []int{d.end}
	case at == nil:
		at = d.moments
	}
	for _, minute := range at {
		got := map[string]float64{}
		for _, s := range d.ask(target, minute, z) {
			answered = true
			values := make([]string, len(is.by))
			for i, l := range is.by {
				values[i] = s.Metric[l]
			}
			if v := s.number(d.t); v != 0 && !math.IsNaN(v) {
				got[strings.Join(values, "|")] += v
			}
		}
		if is.holds != nil {
			if wrong := is.holds(d, minute, got); wrong != "" {
				d.t.Errorf("%s at %s: %s: %s", where, clock(minute), wrong, jsonText(got))
			}
			continue
		}
		tolerance := cmp.Or(is.tolerance, 0.01)
		want := is.want(d, minute)
		if !alike(got, want, tolerance) {
			d.t.Errorf("%s at %s: says %s, and it was %s", where, clock(minute), jsonText(got), jsonText(want))
		}
	}
	if !answered && !is.nothing {
		d.t.Errorf("%s: no response: %s", where, target.Expr)
	}
}

func (s series) number(t *testing.T) float64 {
	t.Helper()
	v, err := strconv.ParseFloat(fmt.Sprint(s.Value[1]), 64)
	assert.NoError(t, err)
	return v
}

func clock(minute int) string { return fmt.Sprintf("%02d:%02d", minute/60, minute%60) }

// alike compares values by name; zeros do not count.
func alike(got, want map[string]float64, tolerance float64) bool {
	for k, w := range want {
		if math.Abs(got[k]-w) > tolerance*math.Abs(w)+1e-9 {
			return false
		}
	}
	for k := range got {
		if want[k] == 0 {
			return false
		}
	}
	return true
}

// ask asks a query as of a minute, with everything chosen, from the first minute
// on.
func (d *day) ask(target dashboards.Target, minute int, z dashboards.Zoom) []series {
	d.t.Helper()
	z.Interval, z.Rate, z.Range = time.Minute, 5*time.Minute, time.Duration(d.end)*time.Minute
	var response struct {
		Data struct{ Result []series }
	}
	getJSON(d.t, d.prom.url+"/api/v1/query?time="+strconv.FormatInt(d.at(minute).Unix(), 10)+"&query="+url.QueryEscape(target.At(z)), &response)
	return response.Data.Result
}

// values are the numbers of a response.
func (d *day) values(target dashboards.Target, minute int, z dashboards.Zoom) (all []float64) {
	d.t.Helper()
	for _, s := range d.ask(target, minute, z) {
		all = append(all, s.number(d.t))
	}
	return all
}

// What counts, and what counts as a failure that is not the program's own.
func countedCall(e *event) bool { return e.outcome != "dry_run" && e.outcome != "canceled" }

func faultyCall(e *event) bool { return e.blame == "provider" || e.blame == "network" }

func failedCall(e *event) bool { return e.failed() }

func in(label string, values ...string) func(*event) bool {
	return func(e *event) bool { return slices.Contains(values, e.label(label)) }
}

// inMinutes is how many such calls there were in the minutes before, in each of
// which they count as by each.
func inMinutes(window int, each float64, where func(*event) bool, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 { return scaled(d.count(minute, window, by, where), each) }}
}

// perMinute is how many there are in a minute, and in15 how many in 15.
func perMinute(where func(*event) bool, by ...string) truth {
	return inMinutes(2, 0.5, where, by...)
}

func in15(where func(*event) bool, by ...string) truth { return inMinutes(15, 1, where, by...) }

// inAll is how many there were from the first minute on. Counters of a tap that
// was restarted are extrapolated.
func inAll(where func(*event) bool, by ...string) truth {
	return truth{by: by, end: true, tolerance: 0.04, want: func(d *day, minute int) map[string]float64 { return d.count(minute, d.end, by, where) }}
}

// shareOf is how many of the calls that count are such calls, in 15 minutes.
func shareOf(where func(*event) bool, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 {
		return over(d.count(minute, 15, by, where), d.count(minute, 15, by, countedCall))
	}}
}

// said is what the taps said themselves of a gauge, in so many parts of its unit;
// changed is how that of a counter changed in a minute, changedRate in a second.
func said(metric string, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 { return d.raw(minute, metric, by...) }}
}

// ifAny is for what there may be none of: a clock is known from its third second on.
func ifAny(is truth) truth {
	is.nothing = true
	return is
}

func saidMillis(metric string, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 { return scaled(d.raw(minute, metric, by...), 1000) }}
}

func changed(metric string, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 { return scaled(d.rawChange(minute, 2, metric, by...), 0.5) }}
}

// changed15 is how the counter changed in 15 minutes. There may be none of it: which
// calls are attempts of one, or repeat what was known, depends on the pace at which
// the day is played.
func changed15(metric string, by ...string) truth {
	return truth{by: by, nothing: true, want: func(d *day, minute int) map[string]float64 { return d.rawChange(minute, 15, metric, by...) }}
}

// bounded is between two values, where there are any.
func bounded(least, most float64, by ...string) truth {
	return truth{by: by, nothing: true, holds: func(_ *day, _ int, got map[string]float64) string {
		for k, v := range got {
			if v < least || v > most {
				return fmt.Sprintf("%s is not within %v and %v", k, least, most)
			}
		}
		return ""
	}}
}

func changedRate(metric string, by ...string) truth {
	return truth{by: by, want: func(d *day, minute int) map[string]float64 {
		return scaled(d.rawChange(minute, 5, metric, by...), 1.0/300)
	}}
}

// inWaysIn is so many a minute, of each reason if there are any, while calls
// reach the taps by every way.
func inWaysIn(perMinute float64, reasons ...string) truth {
	if len(reasons) == 0 {
		return truth{want: func(_ *day, minute int) map[string]float64 {
			if !during(waysIn, minute-1) {
				return nil
			}
			return map[string]float64{"": perMinute}
		}}
	}
	return truth{by: []string{"reason"}, want: func(_ *day, minute int) map[string]float64 {
		if !during(waysIn, minute-1) {
			return nil
		}
		all := map[string]float64{}
		for _, r := range reasons {
			all[r] = perMinute
		}
		return all
	}}
}

func one(v func(d *day, minute int) float64) func(*day, int) map[string]float64 {
	return func(d *day, minute int) map[string]float64 { return map[string]float64{"": v(d, minute)} }
}

func number(v float64) truth { return truth{want: one(func(*day, int) float64 { return v })} }

// during1 is 1 in a span of minutes, and else 0.
func during1(span [2]int) truth {
	return truth{want: one(func(_ *day, minute int) float64 {
		if during(span, minute-1) {
			return 1
		}
		return 0
	})}
}

func scaled(values map[string]float64, by float64) map[string]float64 {
	for k := range values {
		values[k] *= by
	}
	return values
}

func over(a, b map[string]float64) map[string]float64 {
	for k := range a {
		a[k] /= b[k]
	}
	return a
}

// faultShare is the share of failures of provider and network over a window.
func faultShare(d *day, minute, window int) float64 {
	return d.count(minute, window, nil, faultyCall)[""] / d.count(minute, window, nil, countedCall)[""]
}

func burns(window int) truth {
	// Recorded every five minutes, so looked at where those are.
	at := []int{hours(8.5), hours(10.5), hours(16.5), minutesOfDay}
	if window < 360 {
		at = append(at, hours(6.5))
	}
	is := burned(window)
	is.at, is.end = at, false
	return is
}

// burned is how fast the budget was used up at the end.
func burned(window int) truth {
	return truth{end: true, want: one(func(d *day, minute int) float64 { return faultShare(d, minute, min(window, minute)) / 0.001 }), tolerance: 0.1}
}

// quantiles checks quantiles against what is known about the durations: that calls
// of a tenth of a second and more are one in six while it is slow, and that
// there are none else.
func quantiles(q float64, by ...string) truth {
	return truth{by: by, holds: func(_ *day, minute int, got map[string]float64) string {
		slowly := during([2]int{hours(5), hours(5.5)}, minute-1)
		for k, v := range got {
			if slowly && q >= 0.95 && (k == "" || k == "monitor|GetMetricStatistics|success") {
				if v < 0.1 || v > 0.5 {
					return "it was slow, by 0.15 s"
				}
			} else if q < 0.95 && v > 0.25 {
				return "it was fast"
			}
		}
		if len(got) == 0 {
			return "there were calls"
		}
		return ""
	}}
}

func none(*day, int) map[string]float64 { return nil }

// headroom is what is left of a documented limit.
func headroom(action string, limit float64) truth {
	return truth{want: one(func(d *day, m int) float64 { return 1 - d.count(m, 2, nil, in("action", action))[""]/2/limit })}
}
