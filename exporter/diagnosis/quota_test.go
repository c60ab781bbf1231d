package diagnosis

import (
	"fmt"
	"math/rand/v2"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

const batchQuery = "Action=GetMetricStatisticsBatch&Version=2018-11-14"

const batchBody = `{"Namespace":"KEC","StartTime":"2026-11-23T07:00:00Z","EndTime":"2026-11-23T07:05:00Z","Period":60,` +
	`"Metrics":[{"InstanceID":"00000000-aaaa-4bbb-8ccc-000000000001","MetricName":"cpu.utilizition.total"}]}`

func TestQuotaIsExceeded(t *testing.T) {
	l := newLab(t, true)
	l.now = epoch.Add(time.Second) // the simulator's minute begins
	l.repeat(143, attempt{wait: 80 * time.Millisecond, query: batchQuery, body: batchBody})
	l.want()
	l.do(attempt{query: batchQuery, body: batchBody})
	// 80 % of 180
	q := l.d.Quotas(l.now)
	if len(q) != 1 || q[0].Limit != 180 || q[0].Used != 0.8 || !q[0].Approaching || q[0].Exhausted < time.Second || q[0].Exhausted > 10*time.Second {
		t.Errorf("%+v", q)
	}
	l.repeat(16, attempt{wait: 80 * time.Millisecond, query: batchQuery, body: batchBody})
	l.want(CauseQuotaNear) // it is checked once a second
	l.repeat(20, attempt{wait: 80 * time.Millisecond, query: batchQuery, body: batchBody})
	o, all := l.do(attempt{query: batchQuery, body: batchBody})
	if o.Verdict.CanonicalCode() != "LimitExceeded" || len(all) == 0 || all[0].Cause != CauseQuotaExceeded || all[0].Certainty != Certain {
		t.Errorf("%s: %v", o.Verdict.Code, names(all))
	}
	l.want(CauseQuotaNear) // once an hour
	if q := l.d.Quotas(l.now.Add(2 * time.Minute)); q[0].Used != 0 || q[0].Approaching {
		t.Errorf("after two minutes: %+v", q)
	}
}

// TestQuotaIsSharedWithOthers lets other programs, which the tap does not see, use the
// limit.
func TestQuotaIsSharedWithOthers(t *testing.T) {
	l := newLab(t, true)
	throttled := attempt{query: batchQuery, body: batchBody, do: cloudmonitor.Directive{Error: "LimitExceeded"}}
	if _, all := l.do(throttled); len(all) == 0 || all[0].Cause != CauseQuotaShared || all[0].Certainty != Possible {
		t.Errorf("in the first minute: diagnosed %v", names(all))
	}
	l.now = l.now.Add(2 * time.Minute)
	others := &lab{t: t, now: l.now, gateway: l.gateway, d: New()}
	others.repeat(180, attempt{query: batchQuery, body: batchBody})
	_, all := l.do(attempt{query: batchQuery, body: batchBody})
	if len(all) == 0 || all[0].Cause != CauseQuotaShared || all[0].Certainty != Likely {
		t.Errorf("diagnosed %v", names(all))
	}
	l.want()
}

// TestQuotaInnocent plays what is not near a limit.
func TestQuotaInnocent(t *testing.T) {
	for name, play := range map[string]func(l *lab){
		"two calls a second": func(l *lab) { l.repeat(500, attempt{wait: 480 * time.Millisecond, query: batchQuery, body: batchBody}) },
		"a burst every two minutes": func(l *lab) {
			for range 5 {
				l.now = l.now.Add(2 * time.Minute)
				l.repeat(140, attempt{query: batchQuery, body: batchBody})
			}
		},
		"an action without a limit": func(l *lab) { l.repeat(1000, attempt{query: listPolicies}) },
		"two keys": func(l *lab) {
			l.gateway.SetCredential(another)
			for range 100 {
				l.do(attempt{query: batchQuery, body: batchBody})
				l.do(attempt{query: batchQuery, body: batchBody, as: &another})
			}
		},
	} {
		l := newLab(t, true)
		play(l)
		for _, e := range l.notices {
			assert.NotEqual(t, CauseQuotaNear, e.Cause, "%s: %s", name, e.Evidence.English)
		}
		for _, q := range l.d.Quotas(l.now) {
			if q.Used >= 1 {
				t.Errorf("%s: %+v", name, q)
			}
		}
	}
}

// TestThrottledAsBefore compares diagnoses with those that are not shared, while what they
// depend on changes: the action, its limit, the number of attempts, the age of the key.
func TestThrottledAsBefore(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	shared, seen := 0, make(map[string]bool)
	for range 100 {
		d, o := New(), success()
		d.SetLimits([]QuotaLimit{
			{Action: "GetMetricStatistics", Version: "2010-05-25", PerMinute: 30},
			{Action: "GetMetricStatistics", PerMinute: 10},
			{Action: "ListMetrics", PerMinute: 10},
		})
		var last []Diagnosis
		for range 500 {
			o.Call.Action = [...]string{"GetMetricStatistics", "ListMetrics", "DescribeAlarmPolicy"}[random.IntN(3)]
			o.Call.Version = [...]string{"2010-05-25", "2018-11-14"}[random.IntN(2)]
			o.Credential = fmt.Sprintf("key-%d", random.IntN(throttlings))
			o.End = o.End.Add(time.Duration(random.IntN(500)) * time.Millisecond)
			if random.IntN(20) == 0 {
				o.End = o.End.Add(time.Duration(20+random.IntN(40)) * time.Second)
			}
			o.Verdict.Outcome, o.Verdict.Category = classify.OutcomeSuccess, ""
			for range random.IntN(3) {
				d.Observe(o)
			}
			o.Verdict.Outcome, o.Verdict.Category = classify.OutcomeError, classify.CategoryThrottled
			for range random.IntN(3) {
				got := d.Diagnose(o, Attempt{})
				if e := d.usages.find(usageKey(o)); e == nil {
					require.Empty(t, got)
				} else {
					require.Equal(t, throttled(o, &e.value, new(atomic.Pointer[throttling])), got)
				}
				if len(got) > 0 && len(last) > 0 && &got[0] == &last[0] {
					shared++
				}
				for _, g := range got {
					seen[string(g.Cause)+" "+string(g.Certainty)] = true
				}
				last = got
			}
		}
	}
	assert.Greater(t, shared, 1000, "few diagnoses are shared")
	assert.Len(t, seen, 4, "%v", seen) // each cause and certainty
}

func TestExhausted(t *testing.T) {
	f := func(name string, perBucket [quotaBuckets]int, limit int, want time.Duration, approaching bool) { // oldest first
		t.Helper()
		var r rate
		const start = 1_000_000
		for i, n := range perBucket {
			for range n {
				r.add(start + int64(i)*quotaBucket)
			}
		}
		got, ok := r.exhausted(start+(quotaBuckets-1)*quotaBucket, limit)
		if ok != approaching || ok && (got-want).Abs() > time.Second {
			t.Errorf("%s: %v, %v, want %v, %v", name, got, ok, want, approaching)
		}
	}
	steady := [quotaBuckets]int{10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10, 10}
	f("no calls", [quotaBuckets]int{}, 100, 0, false)
	f("steady, below", steady, 150, 0, false)
	f("steady, at the limit", steady, 120, 0, true)
	f("a burst that has ended", [quotaBuckets]int{0, 0, 100, 0, 0, 0, 0, 0, 0, 0, 0, 0}, 110, 0, false)
	f("growing", [quotaBuckets]int{0, 0, 0, 0, 0, 0, 0, 0, 20, 20, 20, 20}, 180, 25*time.Second, true)
	f("growing too late", [quotaBuckets]int{0, 0, 0, 0, 0, 0, 0, 0, 10, 10, 10, 10}, 121, 0, false)
}

func TestLimits(t *testing.T) {
	d := New()
	d.SetLimits(Override([]QuotaLimit{
		{Action: "GetMetricStatistics", PerMinute: 1200},
		{Action: "GetMetricStatisticsBatch", Version: "2018-11-14", PerMinute: 0},
		{Action: "DescribeInstances", PerMinute: 60},
		{Action: "DescribeInstances", PerMinute: 70},
	}))
	for _, tt := range []struct {
		service, action, version string
		want                     int
	}{
		{"monitor", "GetMetricStatistics", "2010-05-25", 1200},
		{"monitor", "GetMetricStatistics", "2023-07-12", 1200},
		{"monitor", "GetMetricStatisticsBatch", "2018-11-14", 0},
		{"monitor", "GetMetricStatisticsBatch", "2018-09-29", 180},
		{"kec", "GetMetricStatisticsBatch", "2018-09-29", 0},
		{"kec", "DescribeInstances", "2016-03-04", 70},
		{"monitor", "ListMetrics", "2010-05-25", 0},
	} {
		assert.Equal(t, tt.want, d.limitOf(tt.service, tt.action, tt.version), tt)
	}
	type series struct{ service, action, version string }
	var seen []series
	for _, l := range d.Limits() {
		s := series{l.Service, l.Action, l.Version}
		assert.NotContains(t, seen, s, "twice")
		seen = append(seen, s)
	}
}
