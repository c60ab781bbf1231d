package journal_test

import (
	"context"
	"net/netip"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
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
			assert.Equal(t, tt.want, messages(j.Find(tt.find)), "found")
		})
	}
}

// where returns the conditions of dimension and value pairs.
func where(pairs ...string) (all []journal.Condition) {
	for i := 0; i < len(pairs); i += 2 {
		d, ok := record.DimensionNamed(pairs[i])
		if !ok {
			panic("no dimension " + pairs[i])
		}
		all = append(all, journal.Condition{Dimension: d, Values: strings.Split(pairs[i+1], "|")})
	}
	return all
}

// selected returns the messages of the records that a filter selects.
func selected(j *journal.Journal, f journal.Filter) []string {
	page, more := j.Select(context.Background(), &f, "", 1000)
	if more {
		panic("more than a page")
	}
	return messages(page)
}

func TestSelect(t *testing.T) {
	j := journal.New(6)
	client := netip.MustParseAddrPort("10.0.0.7:41000")
	for i, r := range []record.Record{
		{Code: "Evicted"},
		{Code: "throttled", CatalogCode: "Throttling", Category: "throttled", Action: "ListMetrics", RequestID: "req-1", RequestIDSource: "vendor"},
		{Code: "SignatureDoesNotMatch", Category: "auth", Action: "GetMetricStatistics", RequestID: "req-2", Status: 403, Type: "sender"},
		{Category: "server", Action: "ListMetrics", Outcome: "masked", Blame: "provider", Version: "2010-05-25", Region: "cn-beijing-6"},
		{Code: "SignatureDoesNotMatch", Category: "auth", Action: "ListMetrics", Credential: "abc", Source: "forward", Client: client},
		{Fault: "dns", Outcome: "proxy", RequestID: "tap-1", RequestIDSource: "tap", Group: "g1", Host: "monitor.api.ksyun.com", UserAgent: "aws-sdk-go/1.44"},
		{Diagnoses: []diagnosis.Diagnosis{{Cause: "clock_skew", Certainty: diagnosis.Certain, Evidence: diagnosis.Text{English: "7 minutes fast"}}}},
	} {
		r.Message = strconv.Itoa(i)
		r.ID = "00000000000000" + r.Message
		r.Time = start.Add(time.Duration(i) * time.Second)
		j.Add(&r)
	}
	tests := []struct {
		name   string
		filter journal.Filter
		want   string
	}{
		{"all", journal.Filter{}, "654321"},
		{"code without case", journal.Filter{Conditions: where("code", "signaturedoesnotmatch")}, "42"},
		{"code of the wire", journal.Filter{Conditions: where("code", "throttled")}, "1"},
		{"code of the catalogue", journal.Filter{Conditions: where("code", "Throttling")}, "1"},
		{"no code", journal.Filter{Conditions: where("code", "none")}, "653"},
		{"one of two codes", journal.Filter{Conditions: where("code", "throttled|SignatureDoesNotMatch")}, "421"},
		{"category", journal.Filter{Conditions: where("category", "server")}, "3"},
		{"type", journal.Filter{Conditions: where("type", "sender")}, "2"},
		{"outcome", journal.Filter{Conditions: where("outcome", "masked")}, "3"},
		{"blame", journal.Filter{Conditions: where("blame", "provider")}, "3"},
		{"action", journal.Filter{Conditions: where("action", "ListMetrics")}, "431"},
		{"version", journal.Filter{Conditions: where("version", "2010-05-25")}, "3"},
		{"region", journal.Filter{Conditions: where("region", "cn-beijing-6")}, "3"},
		{"credential", journal.Filter{Conditions: where("credential", "abc")}, "4"},
		{"status", journal.Filter{Conditions: where("status", "403")}, "2"},
		{"no status", journal.Filter{Conditions: where("status", "none")}, "65431"},
		{"source", journal.Filter{Conditions: where("source", "forward")}, "4"},
		{"client", journal.Filter{Conditions: where("client", "10.0.0.7")}, "4"},
		{"client and port", journal.Filter{Conditions: where("client", "10.0.0.7:41000")}, "4"},
		{"other port", journal.Filter{Conditions: where("client", "10.0.0.7:41001")}, ""},
		{"fault", journal.Filter{Conditions: where("fault", "dns")}, "5"},
		{"group", journal.Filter{Conditions: where("group", "g1")}, "5"},
		{"cause", journal.Filter{Conditions: where("cause", "clock_skew")}, "6"},
		{"who made the request ID", journal.Filter{Conditions: where("request_id_source", "tap")}, "5"},
		{"two conditions", journal.Filter{Conditions: where("action", "ListMetrics", "category", "auth")}, "4"},
		{"beginning of a request ID", journal.Filter{RequestID: "req-"}, "21"},
		{"request ID", journal.Filter{RequestID: "tap-1"}, "5"},
		{"case of a request ID", journal.Filter{RequestID: "REQ"}, ""},
		{"beginning of an ID", journal.Filter{ID: "0000"}, "654321"},
		{"ID", journal.Filter{ID: "000000000000003"}, "3"},
		{"evicted ID", journal.Filter{ID: "000000000000000"}, ""},
		{"unknown ID", journal.Filter{ID: "1"}, ""},
		{"from includes its moment", journal.Filter{From: start.Add(3 * time.Second)}, "6543"},
		{"to excludes its moment", journal.Filter{To: start.Add(3 * time.Second)}, "21"},
		{"text in a code", journal.Filter{Text: "doesnot"}, "42"},
		{"text in a host", journal.Filter{Text: "API.KSYUN"}, "5"},
		{"text in an address", journal.Filter{Text: "10.0.0"}, "4"},
		{"text in a user agent", journal.Filter{Text: "sdk-go"}, "5"},
		{"text in the evidence", journal.Filter{Text: "minutes FAST"}, "6"},
		{"all together", journal.Filter{Conditions: where("code", "SignatureDoesNotMatch", "category", "auth"), From: start, Text: "sig"}, "42"},
		{"evicted", journal.Filter{Conditions: where("code", "Evicted")}, ""},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			assert.Equal(t, tt.want, strings.Join(selected(j, tt.filter), ""), "selected")
		})
	}
}

// TestPages checks that pages follow on each other while records are added and
// evicted.
func TestPages(t *testing.T) {
	ids := record.NewIDs()
	const capacity, limit = 2000, 7
	j := journal.New(capacity)
	added := 0
	put := func() {
		j.Add(&record.Record{ID: ids.Next(start).String(), Message: strconv.Itoa(added), Action: strconv.Itoa(added % 2)})
		added++
	}
	for range capacity + 500 {
		put()
	}
	f := journal.Filter{Conditions: where("action", "1")}
	want, cursor, seen := added-1, "", 0
	for {
		page, more := j.Select(t.Context(), &f, cursor, limit)
		for _, r := range page {
			require.Equal(t, strconv.Itoa(want), r.Message, "record %s, want %d", r.Message, want)
			want, seen = want-2, seen+1
		}
		if !more {
			break
		}
		require.Len(t, page, limit, "records on a page that is not the last")
		cursor = page[limit-1].ID
		put()
	}
	if evicted := (added - capacity - 500) / 2; seen < capacity/2-evicted-limit || seen > capacity/2 {
		t.Errorf("saw %d of %d records", seen, capacity/2)
	}
	if page, more := j.Select(t.Context(), &f, "0", limit); len(page) > 0 || more {
		t.Errorf("%d records before the first one", len(page))
	}
	n := 0
	for range j.All(t.Context(), &f) {
		n++
	}
	if n != capacity/2 {
		t.Errorf("each of %d records, want %d", n, capacity/2)
	}
}

// TestSearchEnds checks that a search ends soon after its context.
func TestSearchEnds(t *testing.T) {
	j := journal.New(10_000)
	add(j, make([]string, 10_000)...)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	n := 0
	for range j.All(ctx, &journal.Filter{}) {
		n++
		cancel()
	}
	if n == 0 || n > 1000 {
		t.Errorf("read %d records", n)
	}
	if page, more := j.Select(ctx, &journal.Filter{}, "", 100); len(page) > 0 || more {
		t.Errorf("selected %d records", len(page))
	}
}

func TestFindByID(t *testing.T) {
	ids := record.NewIDs()
	j := journal.New(3)
	if j.Oldest() != nil || j.Find("x") != nil {
		t.Error("found something in an empty journal")
	}
	var all []*record.Record
	for range 5 {
		r := &record.Record{ID: ids.Next(start).String()}
		all = append(all, r)
		j.Add(r)
	}
	for i, r := range all {
		found := j.Find(r.ID)
		if kept := i >= 2; kept != (len(found) == 1) || kept && found[0] != r {
			t.Errorf("record %d: found %d", i, len(found))
		}
	}
	if j.Oldest() != all[2] {
		t.Error("the oldest record is another one")
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
		assert.Equal(t, want, j.Stats(), "after %d", n)
	}
	got := journal.New(0).Stats().Capacity
	assert.Equal(t, journal.DefaultCapacity, got, "capacity %d by default, want %d", got, journal.DefaultCapacity)
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
				if page, more := j.Select(t.Context(), &journal.Filter{}, "", 16); len(page) > 16 || more {
					t.Errorf("%d records in a journal for 16", len(page))
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
				for r := range j.All(t.Context(), &journal.Filter{}) {
					if r.RequestID == id {
						searched = append(searched, r.Message)
					}
				}
				require.Equal(t, searched, messages(j.Find(id)), "found for %s", id)
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
