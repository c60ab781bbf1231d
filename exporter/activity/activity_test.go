package activity_test

import (
	"maps"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
)

var start = time.Date(2026, time.November, 23, 8, 0, 0, 0, time.UTC)

// ended returns an attempt that ended at a time after start.
func ended(after time.Duration, outcome classify.Outcome, blame classify.Blame) *classify.Observation {
	return &classify.Observation{End: start.Add(after), Verdict: classify.Verdict{Outcome: outcome, Blame: blame}}
}

func TestList(t *testing.T) {
	var a activity.Activity
	a.Observe(ended(0, classify.OutcomeSuccess, ""))
	a.Observe(ended(59*time.Second, classify.OutcomeError, classify.BlameQuota))
	a.Observe(ended(time.Minute, classify.OutcomeError, classify.BlameQuota))
	a.Observe(ended(2*time.Minute, classify.OutcomeCanceled, ""))
	a.Observe(ended(2*time.Minute, classify.OutcomeDryRun, ""))
	for _, b := range classify.Blames() {
		a.Observe(ended(3*time.Minute, classify.OutcomePartial, b))
	}
	refused := ended(3*time.Minute, classify.OutcomeProxy, classify.BlameClient)
	refused.Fault = classify.FaultHostRefused
	a.Observe(refused)
	a.Observe(&classify.Observation{}) // no time: not counted

	got := a.List(start.Add(-time.Minute), start.Add(4*time.Minute+time.Second))
	each := map[classify.Blame]uint64{}
	for _, b := range classify.Blames() {
		each[b] = 1
	}
	each[classify.BlameClient] = 2
	want := []activity.Interval{
		{start.Add(-time.Minute), 0, nil},
		{start, 2, map[classify.Blame]uint64{classify.BlameQuota: 1}},
		{start.Add(time.Minute), 1, map[classify.Blame]uint64{classify.BlameQuota: 1}},
		{start.Add(2 * time.Minute), 2, nil},
		{start.Add(3 * time.Minute), 7, each},
		{start.Add(4 * time.Minute), 0, nil},
	}
	require.Len(t, got, len(want), "minutes")
	for i, g := range got {
		if w := want[i]; !g.Start.Equal(w.Start) || g.Calls != w.Calls || !maps.Equal(g.Failures, w.Failures) {
			t.Errorf("minute %d: %+v, want %+v", i, g, w)
		}
	}
	assert.EqualValues(t, 12, a.Calls(), "calls")
}

// TestRecent checks the intervals of ten seconds, which are forgotten sooner than
// minutes.
func TestRecent(t *testing.T) {
	var a activity.Activity
	a.Observe(ended(0, classify.OutcomeSuccess, ""))
	a.Observe(ended(9*time.Second, classify.OutcomeError, classify.BlameQuota))
	a.Observe(ended(10*time.Second, classify.OutcomeError, classify.BlameTap))
	got := a.Recent(start, start.Add(29*time.Second))
	if len(got) != 3 || got[0].Calls != 2 || got[0].Failures[classify.BlameQuota] != 1 || got[1].Calls != 1 || got[1].Failures[classify.BlameTap] != 1 || got[2].Calls != 0 {
		t.Errorf("%+v", got)
	}
	a.Observe(ended(activity.RecentSlots*activity.RecentStep, classify.OutcomeSuccess, ""))
	if got := a.Recent(start, start); got[0].Calls != 0 {
		t.Errorf("the first interval is kept: %+v", got)
	}
	if got := a.List(start, start); got[0].Calls != 3 || a.Calls() != 4 {
		t.Errorf("the first minute has %d calls, all have %d", got[0].Calls, a.Calls())
	}
}

// TestDays checks that minutes are forgotten after a day, but not their calls.
func TestDays(t *testing.T) {
	var a activity.Activity
	const days = 3
	for m := range days * activity.Minutes {
		a.Observe(ended(time.Duration(m)*time.Minute, classify.OutcomeError, classify.BlameTap))
	}
	a.Observe(ended(0, classify.OutcomeError, classify.BlameTap)) // two days late
	last := start.Add((days*activity.Minutes - 1) * time.Minute)
	for i, m := range a.List(last.Add(-2*activity.Minutes*time.Minute), last) {
		want := uint64(1)
		if i <= activity.Minutes {
			want = 0
		}
		if m.Calls != want || m.Failures[classify.BlameTap] != want {
			t.Fatalf("minute %d: %+v, want %d", i, m, want)
		}
	}
	assert.EqualValues(t, days*activity.Minutes+1, a.Calls(), "calls")
}

func TestConcurrentUse(t *testing.T) {
	var a activity.Activity
	const workers, each = 8, 5000
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for i := range each {
				a.Observe(ended(time.Duration(i)*time.Second, classify.OutcomeError, classify.BlameClient))
				if i%1000 == 0 {
					a.List(start, start.Add(time.Hour))
				}
			}
		})
	}
	wg.Wait()
	calls, failed := uint64(0), uint64(0)
	for _, m := range a.List(start, start.Add(each*time.Second)) {
		calls += m.Calls
		failed += m.Failures[classify.BlameClient]
	}
	if calls != workers*each || failed != workers*each || a.Calls() != workers*each {
		t.Errorf("%d calls, %d failed, %d in all, want %d", calls, failed, a.Calls(), workers*each)
	}
}

func TestObserveDoesNotAllocate(t *testing.T) {
	var a activity.Activity
	o := ended(0, classify.OutcomeError, classify.BlameQuota)
	if n := testing.AllocsPerRun(100, func() { a.Observe(o) }); n > 0 {
		t.Errorf("%v allocations", n)
	}
}

func BenchmarkObserve(b *testing.B) {
	for _, bb := range []struct {
		name    string
		outcome classify.Outcome
	}{{"success", classify.OutcomeSuccess}, {"failure", classify.OutcomeError}} {
		b.Run(bb.name, func(b *testing.B) {
			var a activity.Activity
			o := ended(0, bb.outcome, classify.BlameQuota)
			b.ReportAllocs()
			for b.Loop() {
				a.Observe(o)
			}
		})
	}
}
