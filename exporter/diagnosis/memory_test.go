package diagnosis

import (
	"fmt"
	"net/netip"
	"runtime"
	"strings"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// maxMemory is what all analysers together may keep: see docs/diagnosis.md.
const maxMemory = 1280 << 10

// TestMemoryIsBounded feeds the attempts of 1,000 actions by 1,000 credentials,
// of as many programs with long names. Some are refused, some fail with unknown
// codes, and some succeed without data.
func TestMemoryIsBounded(t *testing.T) {
	const n = 1000
	var actions, credentials [n]string
	for i := range n {
		actions[i], credentials[i] = fmt.Sprintf("Action%d", i), fmt.Sprintf("credential-%d", i)
	}
	signature := &classify.Signature{Checks: 30}
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
			at := epoch.Add(time.Duration(a*n+c) * time.Millisecond)
			o.Call.Action, o.Credential = "GetMetricStatistics"+actions[a], credentials[c]
			o.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, byte(c >> 8), byte(c), byte(a)}), 1)
			o.Start, o.FirstByte, o.End, o.Date, o.Call.SignedAt = at, at, at, at.Truncate(time.Second), at.Truncate(time.Second)
			o.Call.Fingerprint = uint64(a*n+c+1) * 0x9E3779B97F4A7C15
			o.UserAgent = append(agent[:0:0], agent...)
			copy(o.UserAgent, actions[a])
			o.Target = []byte("/?InstanceID=" + actions[a] + "&MetricName=" + credentials[c])
			o.Verdict.Empty = c%10 == 0
			d.Observe(o)
			d.Hidden(o)
			if c%100 == 0 {
				refused := *o
				refused.Verdict.Outcome, refused.Verdict.Category, refused.Signature = classify.OutcomeError, classify.CategoryAuth, signature
				refused.Verdict.Code, refused.Verdict.Message = actions[a], credentials[c]
				d.Diagnose(&refused, d.Observe(&refused))
			}
		}
	}
	grown := heap() - before
	if grown > maxMemory {
		t.Errorf("%d bytes are kept, want at most %d", grown, maxMemory)
	}
	runtime.KeepAlive(d)
	t.Logf("%d bytes are kept", grown)
}
