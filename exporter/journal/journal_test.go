package journal_test

import (
	"slices"
	"strconv"
	"sync"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

var start = time.Date(2026, time.November, 23, 8, 0, 0, 0, time.UTC)

// add adds failures with those request IDs, one second apart; each one's
// message is its number, from 0.
func add(j *journal.Journal, ids ...string) {
	for i, id := range ids {
		j.Add(&record.Record{RequestID: id, Message: strconv.Itoa(i), Time: start.Add(time.Duration(i) * time.Second)})
	}
}

// messages lists the messages of records.
func messages(records []*record.Record) []string {
	var m []string
	for _, r := range records {
		m = append(m, r.Message)
	}
	return m
}

func TestFind(t *testing.T) {
	tests := []struct {
		name     string
		capacity int
		ids      []string
		find     string
		want     []string
	}{
		{"empty", 3, nil, "a", nil},
		{"one", 3, []string{"a", "b"}, "a", []string{"0"}},
		{"several, newest first", 5, []string{"a", "b", "a", "a"}, "a", []string{"3", "2", "0"}},
		{"evicted", 2, []string{"a", "b", "c"}, "a", nil},
		{"older ones evicted", 3, []string{"a", "a", "b", "a", "b"}, "a", []string{"3"}},
		{"evicted and back", 2, []string{"a", "b", "c", "a"}, "a", []string{"3"}},
		{"all places the same", 2, []string{"a", "a", "a", "a", "a"}, "a", []string{"4", "3"}},
		{"one place", 1, []string{"a", "a"}, "a", []string{"1"}},
		{"without an ID", 3, []string{"", "", ""}, "", nil},
		{"case matters", 3, []string{"A"}, "a", nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			j := journal.New(tt.capacity)
			add(j, tt.ids...)
			if got := messages(j.Find(tt.find)); !slices.Equal(got, tt.want) {
				t.Errorf("found %q, want %q", got, tt.want)
			}
			if got := messages(j.Select(journal.Filter{RequestID: tt.find})); tt.find != "" && !slices.Equal(got, tt.want) {
				t.Errorf("selected %q, want %q", got, tt.want)
			}
		})
	}
}

func TestSelect(t *testing.T) {
	j := journal.New(4)
	for i, r := range []record.Record{
		{ErrorCode: "Evicted"},
		{ErrorCode: "throttled", CatalogCode: "Throttling", Category: "throttled", Action: "ListMetrics"},
		{ErrorCode: "SignatureDoesNotMatch", Category: "auth", Action: "GetMetricStatistics"},
		{Category: "server", Action: "ListMetrics", Outcome: "masked", Blame: "provider"},
		{ErrorCode: "SignatureDoesNotMatch", Category: "auth", Action: "ListMetrics"},
	} {
		r.Message = strconv.Itoa(i)
		r.Time = start.Add(time.Duration(i) * time.Second)
		j.Add(&r)
	}
	tests := []struct {
		name   string
		filter journal.Filter
		want   []string
	}{
		{"all", journal.Filter{}, []string{"4", "3", "2", "1"}},
		{"limit", journal.Filter{Limit: 2}, []string{"4", "3"}},
		{"limit beyond", journal.Filter{Limit: 9}, []string{"4", "3", "2", "1"}},
		{"code without case", journal.Filter{Code: "signaturedoesnotmatch"}, []string{"4", "2"}},
		{"code of the wire", journal.Filter{Code: "throttled"}, []string{"1"}},
		{"code of the catalogue", journal.Filter{Code: "Throttling"}, []string{"1"}},
		{"category", journal.Filter{Category: "server"}, []string{"3"}},
		{"outcome", journal.Filter{Outcome: "masked"}, []string{"3"}},
		{"blame", journal.Filter{Blame: "provider"}, []string{"3"}},
		{"action", journal.Filter{Action: "ListMetrics"}, []string{"4", "3", "1"}},
		{"action, limit applies to what matches", journal.Filter{Action: "ListMetrics", Limit: 2}, []string{"4", "3"}},
		{"since includes its moment", journal.Filter{Since: start.Add(3 * time.Second)}, []string{"4", "3"}},
		{"all together", journal.Filter{Code: "SignatureDoesNotMatch", Category: "auth", Action: "ListMetrics", Since: start}, []string{"4"}},
		{"none", journal.Filter{Code: "Evicted"}, nil},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			if got := messages(j.Select(tt.filter)); !slices.Equal(got, tt.want) {
				t.Errorf("selected %q, want %q", got, tt.want)
			}
		})
	}
}

func TestStats(t *testing.T) {
	j := journal.New(2)
	for n, want := range []journal.Stats{
		{Entries: 0, Capacity: 2, Evicted: 0},
		{Entries: 1, Capacity: 2, Evicted: 0},
		{Entries: 2, Capacity: 2, Evicted: 0},
		{Entries: 2, Capacity: 2, Evicted: 1},
	} {
		if n > 0 {
			add(j, "a")
		}
		if got := j.Stats(); got != want {
			t.Errorf("after %d: %+v, want %+v", n, got, want)
		}
	}
	if got := journal.New(0).Stats().Capacity; got != journal.DefaultCapacity {
		t.Errorf("capacity %d by default, want %d", got, journal.DefaultCapacity)
	}
}

func TestConcurrentUse(t *testing.T) {
	j := journal.New(16)
	var wg sync.WaitGroup
	for w := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				add(j, strconv.Itoa((w+i)%40))
			}
		})
		wg.Go(func() {
			for i := range 1000 {
				for _, r := range j.Find(strconv.Itoa(i % 40)) {
					if r.RequestID != strconv.Itoa(i%40) {
						t.Errorf("found %q under %d", r.RequestID, i%40)
					}
				}
				if n := len(j.Select(journal.Filter{})); n > 16 {
					t.Errorf("%d records in a journal for 16", n)
				}
				j.Stats()
			}
		})
	}
	wg.Wait()
	if got := j.Stats(); got.Entries != 16 || got.Evicted != 4000-16 {
		t.Errorf("%+v at the end, want 16 entries and %d evicted", got, 4000-16)
	}
}

// FuzzFind holds the index to what a search through all records finds.
func FuzzFind(f *testing.F) {
	f.Add(uint8(3), []byte("aabbca"))
	f.Add(uint8(1), []byte("aaa"))
	f.Add(uint8(5), []byte("abcdefgabcdefg"))
	f.Fuzz(func(t *testing.T, capacity uint8, ids []byte) {
		j := journal.New(int(capacity%8) + 1)
		for i, id := range ids {
			j.Add(&record.Record{RequestID: string(rune('a' + id%6)), Message: strconv.Itoa(i)})
			for want := range 6 {
				id := string(rune('a' + want))
				var searched []string
				for _, r := range j.Select(journal.Filter{}) {
					if r.RequestID == id {
						searched = append(searched, r.Message)
					}
				}
				if found := messages(j.Find(id)); !slices.Equal(found, searched) {
					t.Fatalf("found %q for %s, a search finds %q", found, id, searched)
				}
			}
		}
	})
}

func BenchmarkAdd(b *testing.B) {
	j := journal.New(0)
	records := make([]*record.Record, 4096)
	for i := range records {
		records[i] = &record.Record{RequestID: "00000000-1111-4222-8333-" + strconv.Itoa(i)}
	}
	b.ReportAllocs()
	for i := 0; b.Loop(); i++ {
		j.Add(records[i%len(records)])
	}
}
