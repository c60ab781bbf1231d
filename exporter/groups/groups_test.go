package groups_test

import (
	"fmt"
	"math/rand/v2"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

var start = time.Date(2026, time.November, 23, 8, 0, 0, 0, time.UTC)

// failure returns a failure with the code, at a time after start.
func failure(code string, after time.Duration) *record.Record {
	return &record.Record{Code: code, Time: start.Add(after)}
}

func TestWhatIsEqual(t *testing.T) {
	base := record.Record{
		Code: "Throttling", Fault: "", Action: "ListMetrics", Version: "2010-05-25", Status: 409,
		Region: "cn-beijing-6", Outcome: classify.OutcomeError, Credential: "key-1",
	}
	seen := map[string]string{}
	for _, tt := range []struct {
		name   string
		change func(*record.Record)
		same   bool
	}{
		{"base", func(*record.Record) {}, true},
		{"message", func(r *record.Record) { r.Message = "m" }, true},
		{"client", func(r *record.Record) { r.UserAgent = "u" }, true},
		{"time", func(r *record.Record) { r.Time = start }, true},
		{"code", func(r *record.Record) { r.Code = "x" }, false},
		{"fault", func(r *record.Record) { r.Fault = "dns" }, false},
		{"action", func(r *record.Record) { r.Action = "x" }, false},
		{"version", func(r *record.Record) { r.Version = "x" }, false},
		{"status", func(r *record.Record) { r.Status = 400 }, false},
		{"region", func(r *record.Record) { r.Region = "x" }, false},
		{"outcome", func(r *record.Record) { r.Outcome = classify.OutcomeMasked }, false},
		{"credential", func(r *record.Record) { r.Credential = "x" }, false},
		{"text in another field", func(r *record.Record) { r.Code, r.Action = "ThrottlingListMetrics", "" }, false},
	} {
		r := base
		tt.change(&r)
		groups.New(0).Add(&r)
		other, ok := seen[r.Group]
		assert.Equal(t, tt.same && tt.name != "base", ok, "%s: group %s, like %q", tt.name, r.Group, other)
		seen[r.Group] = tt.name
	}
	// The ID is part of URLs that are kept: it must not change.
	r := base
	groups.New(0).Add(&r)
	assert.Equal(t, "e3ekg8hppt4ej", r.Group)
}

func TestGroup(t *testing.T) {
	table := groups.New(0)
	for i := range 7 {
		r := failure("a", time.Duration(i)*time.Minute)
		r.ID, r.RequestID = fmt.Sprintf("id-%d", i), fmt.Sprintf("req-%d", i)
		r.Category, r.Blame = classify.CategoryThrottled, classify.BlameQuota
		table.Add(r)
	}
	table.Add(failure("b", 0))
	twice := failure("a", 6*time.Minute)
	twice.ID, twice.RequestID = "id-7", "req-6"
	table.Add(twice)

	all := table.List(start.Add(8*time.Minute+30*time.Second), 32)
	if len(all) != 2 || all[0].Code != "a" || all[1].Code != "b" {
		t.Fatalf("groups %+v", all)
	}
	g := all[0]
	if g.Count != 8 || g.Share != 0.25 || !g.FirstSeen.Equal(start) || !g.LastSeen.Equal(start.Add(6*time.Minute)) || g.LastID != "id-7" {
		t.Errorf("group %+v", g)
	}
	assert.Equal(t, []string{"req-6", "req-5", "req-4", "req-3", "req-2"}, g.RequestIDs, "request IDs")
	// The last minute is the current one; the last failures were two minutes ago.
	want := []uint32{0, 1, 1, 1, 1, 1, 1, 2, 0, 0}
	assert.Equal(t, want, g.Trend.Counts[50:], "the end of the trend %v", g.Trend.Counts)
	assert.True(t, g.Trend.Start.Equal(start.Add((8-59)*time.Minute)), "the trend begins at %s", g.Trend.Start)
	found, ok := table.Find(g.ID, start, 32)
	if !ok || found.Count != 8 {
		t.Errorf("found %+v", found)
	}
	if _, ok := table.Find("x", start, 0); ok {
		t.Error("found a group that does not exist")
	}
	if _, ok := table.Find(groups.Other, start, 0); ok {
		t.Error("found the group of evicted failures, but there are none")
	}
}

// TestTrend compares trends with a count of all failures.
func TestTrend(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 50 {
		table := groups.New(0)
		minutes := map[int64]uint32{}
		now, newest := int64(0), int64(0)
		for range 200 {
			now += random.Int64N(4) * random.Int64N(30) // sometimes a long pause
			late := max(0, now-random.Int64N(3))
			newest = max(newest, late)
			table.Add(failure("a", time.Duration(late)*time.Minute))
			minutes[late]++
		}
		view := table.List(start.Add(time.Duration(now)*time.Minute), 0)[0].Trend
		for i, got := range view.Counts {
			minute := now - 59 + int64(i)
			if want := minutes[minute]; got != want && minute > newest-60 {
				t.Fatalf("minute %d of %d: %d failures, want %d", minute, now, got, want)
			}
		}
	}
}

// TestEviction checks that the sum of all counts stays exact, however many groups
// there were.
func TestEviction(t *testing.T) {
	const limit, added = 4, 100
	table := groups.New(limit)
	for i := range added {
		table.Add(failure("always", time.Duration(i)*time.Second))
		table.Add(failure(strconv.Itoa(i), time.Duration(i)*time.Second))
	}
	now := start.Add(2 * time.Minute)
	all := table.List(now, 2*added)
	if len(all) != limit+1 || all[0].Code != "always" || all[0].Count != added || all[limit].ID != groups.Other {
		t.Fatalf("groups %+v", all)
	}
	var sum, inTrend uint64
	for _, g := range all {
		sum += g.Count
		for _, n := range g.Trend.Counts {
			inTrend += uint64(n)
		}
	}
	if sum != 2*added || inTrend != 2*added {
		t.Errorf("%d failures, %d of them in trends, want %d", sum, inTrend, 2*added)
	}
	if other, ok := table.Find(groups.Other, now, 2*added); !ok || other.Count != added-limit+1 || !other.FirstSeen.Equal(start) || other.Last != nil {
		t.Errorf("the group of evicted failures: %+v", other)
	}
	assert.Equal(t, groups.Stats{Groups: limit, Capacity: limit, Evicted: added - limit + 1}, table.Stats(), "stats")
}

func TestConcurrentUse(t *testing.T) {
	const workers, each = 4, 500
	table := groups.New(8)
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				table.Add(failure(strconv.Itoa((w+i)%20), time.Duration(i)*time.Second))
			}
		})
		wg.Go(func() {
			for range each {
				for _, g := range table.List(start, 1) {
					if g.Last != nil && g.Last.Group != g.ID {
						t.Errorf("a failure of group %s is in group %s", g.Last.Group, g.ID)
					}
				}
				table.Stats()
			}
		})
	}
	wg.Wait()
	sum := uint64(0)
	for _, g := range table.List(start, 1) {
		sum += g.Count
	}
	assert.EqualValues(t, workers*each, sum, "failures")
}

func BenchmarkAdd(b *testing.B) {
	table := groups.New(0)
	records := make([]*record.Record, 1024)
	for i := range records {
		records[i] = failure(strconv.Itoa(i%100), 0)
		records[i].RequestID = "00000000-1111-4222-8333-" + strconv.Itoa(i)
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		table.Add(records[i%len(records)])
	}
}

// TestRestore checks that failures of earlier runs count, but not as a part of the
// calls since the start, also in the group of others.
func TestRestore(t *testing.T) {
	table := groups.New(1)
	for range 3 {
		table.Restore(failure("a", 0))
	}
	recovered := failure("a", 0)
	recovered.CallOutcome = diagnosis.CallSuccessAfterRetry
	table.Restore(recovered)
	table.Add(failure("a", 2*time.Minute))
	g := table.List(start, 4)[0]
	if g.Count != 5 || g.Recovered != 1 || g.Share != 0.25 || !g.FirstSeen.Equal(start) {
		t.Errorf("count %d, %d recovered, share %v, first seen %v", g.Count, g.Recovered, g.Share, g.FirstSeen)
	}
	table.Add(failure("b", 0))
	if other, ok := table.Find(groups.Other, start, 4); !ok || other.Count != 5 || other.Share != 0.25 {
		t.Errorf("others: %+v", other)
	}
}

// TestRecover checks that recovered failures are counted in their group, and in Other
// once it has been evicted.
func TestRecover(t *testing.T) {
	table := groups.New(2)
	for i, code := range []string{"a", "b", "c"} { // evicts a
		r := failure(code, time.Duration(i)*time.Second)
		table.Add(r)
		table.Recover(r)
	}
	table.Recover(failure("a", 0))
	got := map[string]uint64{}
	for _, g := range table.List(start, 0) {
		got[g.Code] = g.Recovered
	}
	if got["b"] != 1 || got["c"] != 1 || got[""] != 2 {
		t.Errorf("recovered %v, want 1 of b, 1 of c, 2 of others", got)
	}
}
