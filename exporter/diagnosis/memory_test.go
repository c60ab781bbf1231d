//go:build !race

package diagnosis

import (
	"fmt"
	"net/netip"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"
	"unsafe"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

// maxMemory is what all analysers together may keep: see docs/diagnosis.md.
const maxMemory = 2 << 20

// TestMemoryIsBounded feeds the attempts of 1,000 actions by 1,000 credentials,
// of as many programs with long names. Some are refused, some fail with unknown
// codes, and some succeed without data. It is built without the race
// detector, which finds nothing in one goroutine and takes a minute.
func TestMemoryIsBounded(t *testing.T) {
	const n = 1000
	var actions, credentials [n]string
	for i := range n {
		actions[i], credentials[i] = fmt.Sprintf("Action%d", i), fmt.Sprintf("credential-%d", i)
	}
	inspected := &signature.Result{Checks: 30}
	agent := []byte(strings.Repeat("a", 2*maxAgentKey))
	causes() // what is read once
	byCause()
	heap := func() int64 {
		runtime.GC()
		runtime.GC()
		var m runtime.MemStats
		runtime.ReadMemStats(&m)
		return int64(m.HeapAlloc)
	}
	before := heap()
	d, o := New(), success()
	for a := range n {
		for c := range n {
			at := epoch.Add(time.Duration(a*n+c) * 50 * time.Millisecond) // half a day
			o.Call.Action, o.Credential = "GetMetricStatistics"+actions[a], credentials[c]
			o.Call.Version = "2010-05-25"
			if c%20 == 0 { // whose requests have a documented size
				o.Call.Action, o.Call.Version = "GetMetricStatisticsBatch", "2018-11-14"
			}
			o.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(c >> 8), byte(c), byte(a)}), 1)
			o.Start, o.FirstByte, o.End, o.Date, o.Call.SignedAt = at, at, at, at.Truncate(time.Second), at.Truncate(time.Second)
			o.Call.Fingerprint = uint64(a*n+c+1) * 0x9E3779B97F4A7C15
			o.UserAgent = append(agent[:0:0], agent...)
			copy(o.UserAgent, actions[a])
			o.Target = []byte("/?StartTime=2026-11-23T07:00:00Z&EndTime=2026-11-23T07:30:00Z&Period=60&InstanceID=" + actions[a] + "&MetricName=" + credentials[c])
			o.Verdict.Empty = c%10 == 0
			if !d.ObserveLater(o) {
				d.Observe(o)
			}
			if c%10 == 1 { // once more
				d.Observe(o)
				d.Flush()
			}
			if c%10 == 0 { // with a known status or an unknown code
				refused := *o
				refused.Verdict.Outcome, refused.Verdict.Category, refused.Signature = classify.OutcomeError, classify.CategoryAuth, inspected
				kind := (a + c/10) % 80
				refused.Verdict.Status, refused.Verdict.Message = 400+kind, credentials[c]
				if c%100 == 0 {
					refused.Verdict.Code = fmt.Sprintf("Code%d", kind)
				}
				if at := d.Observe(&refused); c%100 == 0 {
					d.Diagnose(&refused, at)
					refused.Verdict.Category = classify.CategoryThrottled
					d.Diagnose(&refused, at)
					d.Scope(Kind(&refused), refused.End)
				}
			}
		}
	}
	grown := heap() - before
	if grown > maxMemory {
		t.Errorf("%d bytes are kept, want at most %d", grown, maxMemory)
	}
	t.Logf("%d bytes are kept", grown)

	d.Flush() // so that only the backlog has its memory
	counted := map[unsafe.Pointer]bool{}
	sum := 0
	fields := reflect.ValueOf(d).Elem()
	left := make(map[string]bool) // fields without a limit
	for f := range fields.Type().Fields() {
		left[f.Name] = true
	}
	for _, part := range []struct {
		name   string
		limit  int // KiB; see docs/diagnosis.md
		fields []string
	}{
		{"clocks", 96, []string{"clocks"}},
		{"calls by action", 80, []string{"actions"}},
		{"keys, limits and sizes", 192, []string{"keys", "usages", "noUsage", "limits", "throttled"}},
		{"unfinished calls", 96, []string{"calls"}},
		{"redundant calls", 144, []string{"repeats", "redundant"}},
		{"queries and lists", 64, []string{"hidden", "queries"}},
		{"what programs use", 464, []string{"uses", "noUse"}},
		{"onset and scope", 400, []string{"incidents", "triggers"}},
		{"unknown codes", 16, []string{"unknown"}},
		{"successes to learn from", 192, []string{"backlog"}},
		{"nothing", 1, []string{"notify", "onFinding"}},
	} {
		kept := 0
		for _, name := range part.fields {
			kept += footprint(fields.FieldByName(name), counted)
			delete(left, name)
		}
		sum += kept
		assert.LessOrEqual(t, kept, part.limit<<10, "%s: %d bytes are kept, want at most %d KiB", part.name, kept, part.limit)
		t.Logf("%s: %d bytes", part.name, kept)
	}
	assert.Empty(t, left, "nothing limits")
	// What is not counted by an analyser would not be held.
	assert.GreaterOrEqual(t, int64(sum), grown*3/4, "%d of %d bytes are counted", sum, grown)
	runtime.KeepAlive(d)
}
