package alerts

import (
	"cmp"
	"fmt"
	"math"
	"math/rand/v2"
	"slices"
	"testing"
	"testing/synctest"
	"time"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/storage"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
)

// scraped is a sample as a scrape would store it.
type scraped struct {
	labels    labels.Labels
	start, at int64 // milliseconds
	value     float64
}

const (
	newbornTaps   = 10
	newbornSeries = 100 // of each tap
	newbornFrom   = 300 // seconds; the failures are in the ten minutes after it
	newbornSeen   = newbornFrom + 600 + 3*60
)

// newborn are the scrapes, once a minute and in random phases, of taps where
// each of 1,000 series fails so many times in a minute, at a random time: by the
// real exporter, whose starts are those of a clock of the test's own.
func newborn(t *testing.T, times int) (all []scraped) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		if !time.Now().Equal(begin) {
			t.Fatalf("the test's clock starts at %v, want %v", time.Now(), begin)
		}
		type event struct {
			second float64
			do     func()
		}
		random := rand.New(rand.NewPCG(1, 2))
		var events []event
		w := &world{t: t, starts: true, wanted: map[string]bool{
			"ksyun_api_errors_total": true, "ksyun_api_attempts_total": true, "ksyun_api_requests_total": true, "ksyun_tap_build_info": true,
		}}
		for i := range newbornTaps {
			tap := &tap{
				program: program{instance: fmt.Sprintf("tap-%d:18180", i), lives: []span{{0, math.Inf(1)}}},
				job:     "newborn", series: map[string]*series{}, metrics: metrics.New(), clocks: diagnosis.New(),
			}
			for n := range newbornSeries {
				first := newbornFrom + 600*random.Float64()
				for range times {
					events = append(events, event{first + 60*random.Float64()*float64(min(times-1, 1)), func() {
						o := *broken.observation
						o.Call.Action = fmt.Sprintf("Action%d", n)
						o.Start, o.End = time.Now(), time.Now()
						tap.metrics.Observe(&o, record.Span{})
					}})
				}
			}
			phase := 60 * random.Float64()
			for second := phase; second < newbornSeen+60; second += 60 {
				events = append(events, event{second, func() {
					at := time.Now().UnixMilli()
					for _, s := range append(w.gather(tap), sample{w.seriesOf(tap, "up", nil), 0, 1}) {
						all = append(all, scraped{s.series.labels, s.start, at, s.value})
					}
				}})
			}
		}
		slices.SortFunc(events, func(a, b event) int { return cmp.Compare(a.second, b.second) })
		for _, e := range events {
			<-time.After(time.Until(begin.Add(time.Duration(e.second * float64(time.Second))))) // by the bubble's clock
			e.do()
		}
	})
	return all
}

// newbornQuery is what panels or alerts ask of newborn series, and whether the
// answer is to be true without start timestamps and with them.
type newbornQuery struct {
	what, expr   string
	plain, start bool
	every        int // minutes between two points of a graph, whose sum it is; 0 is one response
}

// newbornQueries are those of the alerts, and of the panels that show all
// failures: by graph, and by table.
func newbornQueries(t *testing.T) []newbornQuery {
	t.Helper()
	all := []newbornQuery{
		{"increase of the errors by code and call", `sum(increase(ksyun_api_errors_total[15m]))`, false, false, 0},
		{"what the alerts count of them", "sum(" + rules.Counted15m("ksyun_api_errors_total") + ")", true, true, 0},
		{"increase of the attempts by cause", `sum(increase(ksyun_api_attempts_total{category="server"}[15m]))`, false, false, 0},
		{"what the alerts count of them", "sum(" + rules.Counted15m(`ksyun_api_attempts_total{category="server"}`) + ")", true, true, 0},
	}
	shown := map[string]bool{
		"ksyun-tap-overview/5/B": true, "ksyun-tap-overview/8/A": true, "ksyun-tap-overview/8/B": true,
		"ksyun-tap-errors/1/A": true, "ksyun-tap-errors/2/A": true,
	}
	for _, d := range dashboards.All() {
		for _, p := range d.Panels() {
			for _, target := range p.Targets {
				if !shown[fmt.Sprintf("%s/%d/%s", d.UID, p.ID, target.RefID)] {
					continue
				}
				q := newbornQuery{what: fmt.Sprintf("%s, %q", d.Title, p.Title), plain: true, start: true}
				if target.Range {
					q.every = 2
				}
				q.expr = "sum(" + target.At(dashboards.Zoom{Interval: 2 * time.Minute, Range: newbornSeen * time.Second}) + ")"
				all = append(all, q)
			}
		}
	}
	require.Len(t, all, 4+len(shown), "queries")
	return all
}

// ask asks for the sum of a query, or of its points, once all was seen.
func (q newbornQuery) ask(at func(expr string, second float64) float64) float64 {
	if q.every == 0 {
		return at(q.expr, newbornSeen)
	}
	sum := 0.0
	for second := newbornSeen; second > -60*q.every; second -= 60 * q.every {
		sum += at(q.expr, float64(second)) * float64(q.every)
	}
	return sum
}

// store has a Prometheus take the scrapes and evaluate the rules, and returns it.
func store(t *testing.T, all []scraped, starts bool) *world {
	t.Helper()
	w := newWorld(t, starts, "ksyun-tap.recording", "ksyun-tap.slo")
	minute, i := 1, 0
	for ; minute*60 <= newbornSeen; minute++ {
		app := w.db.AppenderV2(t.Context())
		for ; i < len(all) && all[i].at <= millis(float64(minute*60)); i++ {
			s := all[i]
			start := s.start
			if !starts {
				start = 0
			}
			_, err := app.Append(0, s.labels, start, s.at, s.value, nil, nil, storage.AppendV2Options{})
			require.NoError(t, err)
		}
		require.NoError(t, app.Commit())
		w.evaluate(float64(minute * 60))
	}
	return w
}

// TestNewbornSeriesAreCounted has 1,000 series fail for the first time, and
// compares what is counted of them with the truth once three scrapes have seen
// each.
func TestNewbornSeriesAreCounted(t *testing.T) {
	t.Parallel()
	for _, times := range []int{1, 3} {
		all := newborn(t, times)
		truth := float64(times * newbornTaps * newbornSeries)
		for _, starts := range []bool{false, true} {
			w := store(t, all, starts)
			for _, q := range newbornQueries(t) {
				got := q.ask(w.query)
				t.Logf("%d failures each, start timestamps %-5v: %.0f of %.0f by %s", times, starts, got, truth, q.what)
				exact := q.plain
				if starts {
					exact = q.start
				}
				if exact && math.Abs(got-truth) > truth/100 {
					t.Errorf("%s: %.0f, want %.0f", q.expr, got, truth)
				}
			}
		}
	}
}
