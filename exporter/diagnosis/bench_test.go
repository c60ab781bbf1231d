package diagnosis

import (
	"net/netip"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// BenchmarkObserve measures what the relay waits for at a success: of a program
// that calls once, and ten thousand times, a second.
func BenchmarkObserve(b *testing.B) {
	for name, pace := range map[string]time.Duration{"sampled": time.Second, "not sampled": 100 * time.Microsecond} {
		b.Run(name, func(b *testing.B) {
			d := New()
			o := success()
			b.ReportAllocs()
			for b.Loop() {
				o.End = o.End.Add(pace)
				o.Call.SignedAt = o.Call.SignedAt.Add(time.Second)
				d.Observe(o)
			}
		})
	}
}

// BenchmarkSize measures what reading the size of a request costs the relay: one of
// the first in a second, and one of the others.
func BenchmarkSize(b *testing.B) {
	for name, pace := range map[string]time.Duration{"read": time.Second, "not read": time.Microsecond} {
		b.Run(name, func(b *testing.B) {
			d := New()
			o := success()
			o.Target = []byte("/?" + getStatistics)
			u := &d.usageOf(o, o.End.Unix()).value
			b.ReportAllocs()
			for b.Loop() {
				o.End = o.End.Add(pace)
				d.observeSize(o, u, o.End.Unix())
			}
		})
	}
}

// BenchmarkDiagnose measures what a refused signature costs behind the queue.
func BenchmarkDiagnose(b *testing.B) {
	d := New()
	o := seen(b, cloudmonitor.SigningScenarios()[0], "another-secret-key")
	b.ReportAllocs()
	for b.Loop() {
		d.Diagnose(o, Attempt{})
	}
}

// BenchmarkSignature measures what a refused signature costs the relay.
func BenchmarkSignature(b *testing.B) {
	s := cloudmonitor.SigningScenarios()[1].Bytes(credential, epoch)
	q := requestOf(b, s)
	b.ReportAllocs()
	for b.Loop() {
		classifier.Signature(q, classify.Extent{Body: true, Fields: true})
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

// TestObserveAllocatesNothing holds the cost of a success.
func TestObserveAllocatesNothing(t *testing.T) {
	d, o := New(), success()
	o.Target = []byte("/?" + getStatistics)
	d.Observe(o)
	if n := testing.AllocsPerRun(100, func() {
		o.End = o.End.Add(time.Second)
		o.Call.SignedAt = o.Call.SignedAt.Add(time.Second)
		d.Observe(o)
	}); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
