package journal_test

import (
	"fmt"
	"runtime"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// readers is how many clients search while failures are added.
const readers = 10

// flood adds n failures to j at full speed while readers search, and calls look for
// each search of a reader.
func flood(tb testing.TB, j *journal.Journal, n int, look func(last string)) {
	tb.Helper()
	ids := record.NewIDs()
	var last atomic.Pointer[record.Record]
	first := &record.Record{ID: ids.Next(start).String(), RequestID: "first"}
	last.Store(first)
	j.Add(first)
	var done atomic.Bool
	var wg sync.WaitGroup
	for range readers {
		wg.Go(func() {
			for !done.Load() {
				look(last.Load().RequestID)
			}
		})
	}
	for i := range n - 1 {
		r := &record.Record{ID: ids.Next(start).String(), RequestID: fmt.Sprintf("%08d", i), Action: "ListMetrics", Time: start}
		j.Add(r)
		last.Store(r)
	}
	done.Store(true)
	wg.Wait()
}

// TestFlood checks the bounds and the order of the journal under load.
func TestFlood(t *testing.T) {
	const capacity, n = 500, 5000
	j := journal.New(capacity)
	f := journal.Filter{Conditions: where("action", "listmetrics")}
	flood(t, j, n, func(last string) {
		if found := j.Find(last); len(found) > 1 || len(found) == 1 && found[0].RequestID != last {
			t.Errorf("found %d for %s", len(found), last)
		}
		page, more := j.Select(t.Context(), &f, "", 200)
		if len(page) > 200 || more && len(page) != 200 {
			t.Errorf("a page of %d, more: %t", len(page), more)
		}
		if !slices.IsSortedFunc(page, func(a, b *record.Record) int { return strings.Compare(b.ID, a.ID) }) {
			t.Error("a page is not in order")
		}
		assert.LessOrEqual(t, j.Stats().Entries, capacity)
	})
	assert.Equal(t, journal.Stats{Entries: capacity, Capacity: capacity, Evicted: n - capacity}, j.Stats())
}

// BenchmarkLookupUnderLoad adds a million failures at full speed to a journal for
// 100,000 while ten readers look up failures by request ID and search for text. It
// reports the 99th percentile of a look-up and the time to add a failure.
func BenchmarkLookupUnderLoad(b *testing.B) {
	const capacity, n = 100_000, 1_000_000
	for b.Loop() {
		j := journal.New(capacity)
		f := journal.Filter{Conditions: where("action", "listmetrics")}
		var mu sync.Mutex
		var took []time.Duration
		var turn atomic.Uint64
		begin := time.Now()
		flood(b, j, n, func(last string) {
			at := time.Now()
			j.Find(last)
			d := time.Since(at)
			mu.Lock()
			took = append(took, d)
			mu.Unlock()
			if turn.Add(1)%16 == 0 {
				j.Select(b.Context(), &f, "", 100)
			}
			runtime.Gosched()
		})
		elapsed := time.Since(begin)
		slices.Sort(took)
		b.ReportMetric(float64(took[len(took)*99/100].Microseconds()), "p99-µs/lookup")
		b.ReportMetric(float64(took[len(took)/2].Nanoseconds()), "p50-ns/lookup")
		b.ReportMetric(float64(elapsed.Nanoseconds())/n, "ns/added")
	}
}
