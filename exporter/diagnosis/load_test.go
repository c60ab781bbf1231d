package diagnosis

import (
	"fmt"
	"math/rand/v2"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// load is the successful attempts of several programs with keep-alive connections,
// as the relay reports them: a connection has one observation, whose fields change
// with each call.
type load struct {
	now         time.Time
	connections []connection
	next        uint64 // number of the next attempt
}

// connection is one connection of a program, with the calls that it makes in turn.
type connection struct {
	seen  classify.Observation
	calls []*classify.Observation
}

// newLoad makes the calls once, against the simulator.
func newLoad(t testing.TB) *load {
	l := newLab(t, false)
	var keys [3]cloudmonitor.Credential
	for i := range keys {
		keys[i] = cloudmonitor.Credential{AccessKey: fmt.Sprintf("AKLTload%013d", i), SecretKey: "the-secret-key"}
		l.gateway.SetCredential(keys[i])
	}
	const (
		list   = "Action=ListMetrics&Version=2010-05-25&Namespace=KEC"
		alarms = "Action=ListAlarmPolicy&Version=2021-01-01"
		batch  = "Action=GetMetricStatisticsBatch&Version=2018-11-14"
		body   = `{"Namespace":"KEC","StartTime":"2026-11-23T07:00:00Z","EndTime":"2026-11-23T07:30:00Z","Period":60,"Metrics":[` +
			`{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"}]}`
	)
	w := &load{now: epoch}
	for i, p := range []struct {
		agent, from string
		connections int
		keys        []cloudmonitor.Credential
		regions     []string
		queries     []string
	}{
		{"aws-sdk-go/1.44.204 (go1.19; linux; amd64)", "127.0.0.1", 32, keys[:2], []string{"cn-beijing-6", "cn-shanghai-2"}, []string{getStatistics, batch, list}},
		{"ksyun-sdk-go/2.2.122 (go1.21; linux; amd64)", "192.0.2.10", 8, keys[2:], []string{"cn-beijing-6"}, []string{getStatistics}},
		{"Grafana/11.2.0", "192.0.2.11", 16, keys[1:2], []string{"cn-beijing-6"}, []string{getStatistics, list, alarms}},
		{"python-requests/2.31.0", "127.0.0.1", 8, keys[:1], []string{"cn-guangzhou-1"}, []string{list, alarms}},
	} {
		var calls []*classify.Observation
		for _, key := range p.keys {
			for _, region := range p.regions {
				for _, query := range p.queries {
					a := attempt{as: &key, from: p.from, agent: p.agent, region: region, query: query}
					if query == batch {
						a.body = body
					}
					o := l.see(a)
					require.Equal(t, classify.OutcomeSuccess, o.Verdict.Outcome, "%s: %+v", query, o.Verdict)
					calls = append(calls, o)
				}
			}
		}
		for c := range p.connections {
			seen := *calls[0]
			seen.Client = netip.AddrPortFrom(seen.Client.Addr(), uint16(40000+1000*i+c))
			w.connections = append(w.connections, connection{seen, calls})
		}
	}
	rand.New(rand.NewPCG(1, 2)).Shuffle(len(w.connections), func(i, j int) {
		w.connections[i], w.connections[j] = w.connections[j], w.connections[i]
	})
	return w
}

// loadPace is the time from one attempt to the next one.
const loadPace = time.Second / 10_000

// attempt returns the next attempt, which asks for what no other one has asked for.
func (w *load) attempt() *classify.Observation {
	n := w.next
	w.next++
	c := &w.connections[n%uint64(len(w.connections))]
	call := c.calls[n/uint64(len(w.connections))%uint64(len(c.calls))]
	o := &c.seen
	w.now = w.now.Add(loadPace)
	second := w.now.Truncate(time.Second)
	o.Call, o.Credential, o.Target, o.RequestBody, o.ResponseBody = call.Call, call.Credential, call.Target, call.RequestBody, call.ResponseBody
	o.Call.Fingerprint, o.Call.SignedAt = call.Call.Fingerprint+n*0x9E3779B97F4A7C15, second
	o.Start, o.FirstByte, o.End, o.Date = w.now, w.now, w.now, second
	return o
}

// again returns each attempt of attempt twice, on the same connection.
func (w *load) again() *classify.Observation {
	n := w.next
	w.next = n / 2
	o := w.attempt()
	w.next = n + 1
	return o
}

// every returns a function that returns the next attempt, at that pace.
func every(pace time.Duration) func(*load) *classify.Observation {
	return func(w *load) *classify.Observation {
		w.now = w.now.Add(pace - loadPace)
		return w.attempt()
	}
}

// BenchmarkSuccess measures what a success costs the relay, without what the benchmark itself
// takes, and what it costs in Flush: the shortest of all runs. An operation is a run, of batches of
// 64 attempts that are followed by Flush.
func BenchmarkSuccess(b *testing.B) {
	for _, bb := range []struct {
		name    string
		batches int
		next    func(*load) *classify.Observation
	}{
		{"10000 a second", 160, (*load).attempt},
		{"10000 a second, every query again", 160, (*load).again},
		{"100 a second", 8, every(time.Second / 100)},
		{"64 a second", 8, every(time.Second / 64)},
		{"one a second", 8, every(time.Second)},
		{"one a second, others may be retried", 8, every(time.Second)},
	} {
		const batch = maxBacklog
		b.Run(bb.name, func(b *testing.B) {
			d, w, alone := New(), newLoad(b), newLoad(b)
			if strings.Contains(bb.name, "retried") {
				o := success()
				o.Verdict.Outcome = classify.OutcomeError
				for i := range maxOpenCalls / 4 {
					o.Call.Fingerprint = uint64(i+1) * 0x9E3779B97F4A7C15
					d.Observe(o)
				}
			}
			var own, relay, flush []time.Duration
			b.ReportAllocs()
			for b.Loop() {
				var took [3]time.Duration
				for range bb.batches {
					start := time.Now()
					for range batch {
						bb.next(alone)
					}
					took[0] += time.Since(start)
					start = time.Now()
					for range batch {
						if o := bb.next(w); !d.ObserveLater(o) {
							d.Observe(o)
						}
					}
					took[1] += time.Since(start)
					start = time.Now()
					d.Flush()
					took[2] += time.Since(start)
				}
				own, relay, flush = append(own, took[0]), append(relay, took[1]), append(flush, took[2])
			}
			shortest := func(all []time.Duration) float64 { return float64(slices.Min(all)) / float64(batch*bb.batches) }
			b.ReportMetric(shortest(relay)-shortest(own), "relay-ns/success")
			b.ReportMetric(shortest(flush), "flush-ns/success")
		})
	}
}

// BenchmarkSuccesses measures successes on several event loops at the same time.
func BenchmarkSuccesses(b *testing.B) {
	d := New()
	loads := make(chan *load, 64)
	for range cap(loads) {
		loads <- newLoad(b)
	}
	b.ReportAllocs()
	b.RunParallel(func(b *testing.PB) {
		w := <-loads
		for b.Next() {
			if o := w.attempt(); !d.ObserveLater(o) {
				d.Observe(o)
			}
		}
		loads <- w
	})
}
