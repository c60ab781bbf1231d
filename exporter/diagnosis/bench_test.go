package diagnosis

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/signature"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// BenchmarkDiagnose measures what a refused signature costs behind the queue.
func BenchmarkDiagnose(b *testing.B) {
	d := New()
	o := seen(b, cloudmonitor.SigningScenarios()[0], "another-secret-key")
	b.ReportAllocs()
	for b.Loop() {
		d.Diagnose(o, Attempt{})
	}
}

// BenchmarkThrottled measures what a throttled attempt costs behind the queue, when as many
// programs call as are remembered. There are a thousand in a second.
func BenchmarkThrottled(b *testing.B) {
	for name, counted := range map[string]int{"as the one before": 0, "after another attempt": 1} {
		b.Run(name, func(b *testing.B) {
			d, o := New(), success()
			for i := range maxUses {
				o.Client = netip.AddrPortFrom(netip.AddrFrom4([4]byte{10, 0, byte(i >> 8), byte(i)}), 1)
				d.Observe(o)
			}
			o.Verdict.Outcome, o.Verdict.Category = classify.OutcomeError, classify.CategoryThrottled
			u := &d.usages.find(usageKey(o)).value
			b.ReportAllocs()
			for b.Loop() {
				o.End = o.End.Add(time.Millisecond)
				for range counted {
					u.window.add(o.End.Unix())
				}
				d.Diagnose(o, Attempt{})
			}
		})
	}
}

// BenchmarkSignature measures what a refused signature costs the relay.
func BenchmarkSignature(b *testing.B) {
	s := cloudmonitor.SigningScenarios()[1].Bytes(credential, epoch)
	q := requestOf(b, s)
	b.ReportAllocs()
	for b.Loop() {
		classifier.Signature(q, signature.Extent{Body: true, Fields: true})
	}
}

// success is an attempt that succeeded.
func success() *classify.Observation {
	o := &classify.Observation{
		Call:  classify.Call{SignedAt: epoch, Signing: classify.SigningSigV4},
		Start: epoch, FirstByte: epoch.Add(time.Second), End: epoch.Add(2 * time.Second), Date: epoch,
		Client: netip.MustParseAddrPort("192.0.2.9:1"), Credential: "key-a", Scheme: "http",
		UserAgent: []byte("aws-sdk-go/1.25.3 (go1.21; linux; amd64)"),
	}
	o.Call.Service, o.Call.Action, o.Call.Version, o.Call.Region = "monitor", "GetMetricStatistics", "2010-05-25", "cn-beijing-6"
	o.Verdict.Outcome = classify.OutcomeSuccess
	o.Verdict.RequestID = classify.MakeRequestID("00000000-0000-4000-8000-000000000001")
	return o
}

// TestSuccessAllocatesNothing holds the cost of a success.
func TestSuccessAllocatesNothing(t *testing.T) {
	for name, next := range map[string]func(*load) *classify.Observation{
		"new queries": (*load).attempt, "every query again": (*load).again, "one a second": every(time.Second),
	} {
		d, w := New(), newLoad(t)
		n := testing.AllocsPerRun(4096, func() { // and once more before
			if o := next(w); !d.ObserveLater(o) {
				d.Observe(o)
			}
			if w.next%maxBacklog == 0 {
				d.Flush()
			}
		})
		if n != 0 {
			t.Errorf("%s: %v allocations", name, n)
		}
	}
}
