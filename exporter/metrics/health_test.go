package metrics_test

import (
	"strings"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// TestEveryCounterHasAStart holds every counter and histogram of the tap's own,
// those read at scrape included, against a start that Prometheus can take as a
// sample of 0.
func TestEveryCounterHasAStart(t *testing.T) {
	before := time.Now()
	m := full()
	n := 0
	for name, f := range gather(t, m) {
		if !strings.HasPrefix(name, "ksyun_") || f.GetType() == dto.MetricType_GAUGE {
			continue
		}
		n++
		for _, s := range f.GetMetric() {
			start := s.GetCounter().GetCreatedTimestamp()
			if f.GetType() == dto.MetricType_HISTOGRAM {
				start = s.GetHistogram().GetCreatedTimestamp()
			}
			if start == nil || start.AsTime().Before(before) || start.AsTime().After(time.Now()) {
				t.Errorf("%s%v started at %v, want a time between the test's start and now", name, s.GetLabel(), start)
			}
		}
	}
	assert.GreaterOrEqual(t, n, 25, "only %d families were looked at", n)
}

// TestCausesExistAtZero asks for a series of every cause that the catalogue
// knows before the first call, and of the service that is called once a call
// has begun.
func TestCausesExistAtZero(t *testing.T) {
	m := metrics.New()
	m.Begin(&classify.Call{Service: "kec"})
	for _, service := range []string{"monitor", "kec"} {
		at := func(category, blame string) {
			t.Helper()
			labels := map[string]string{"service": service, "category": category, "blame": blame}
			if v, ok := value(t, m, "ksyun_api_attempts_total", labels); v != 0 || !ok {
				t.Errorf("%v: %v, %v, want 0", labels, v, ok)
			}
		}
		at("none", "none")
		at("unknown", "client")
		at("unknown", "provider")
		for _, e := range classify.DefaultCatalog().Entries() {
			if e.Blame != classify.BlameTap && !e.Fault.Refused() && e.Category != "" && e.Blame != "" {
				at(string(e.Category), string(e.Blame))
			}
		}
		for _, c := range classify.Categories() {
			if v, ok := value(t, m, "ksyun_api_errors_since_success", map[string]string{"service": service, "category": string(c)}); v != 0 || !ok {
				t.Errorf("errors since success of %s, %s: %v, %v, want 0", service, c, v, ok)
			}
		}
		if v, ok := value(t, m, "ksyun_api_last_success_timestamp_seconds", map[string]string{"service": service}); v != 0 || !ok {
			t.Errorf("last success of %s: %v, %v, want 0", service, v, ok)
		}
	}
}

func TestHealthOfAService(t *testing.T) {
	type want struct {
		since, lastSuccess float64
		attempts           map[[2]string]float64
	}
	ended := func(second int, o *classify.Observation) *classify.Observation {
		o.End = attempt.Start.Add(time.Duration(second) * time.Second)
		return o
	}
	at := func(second int) float64 { return float64(attempt.Start.Unix() + int64(second)) }
	none, throttled := [2]string{"none", "none"}, [2]string{"throttled", "quota"}
	tests := []struct {
		name string
		seen []*classify.Observation
		want want
	}{
		{"nothing", nil, want{}},
		{
			"failures add up",
			[]*classify.Observation{ended(1, attempt.Get("error_throttled")), ended(2, attempt.Get("error_throttled"))},
			want{2, 0, map[[2]string]float64{throttled: 2}},
		},
		{
			"a success ends them",
			[]*classify.Observation{ended(1, attempt.Get("error_throttled")), ended(2, attempt.Get("success"))},
			want{0, at(2), map[[2]string]float64{throttled: 1, none: 1}},
		},
		{
			"failures after it count again",
			[]*classify.Observation{ended(1, attempt.Get("error_throttled")), ended(2, attempt.Get("success")), ended(3, attempt.Get("error_throttled"))},
			want{1, at(2), map[[2]string]float64{throttled: 2, none: 1}},
		},
		{
			"so does a response in part, which is a failure itself",
			[]*classify.Observation{ended(1, attempt.Get("error_throttled")), ended(2, attempt.Get("partial"))},
			want{0, at(2), map[[2]string]float64{throttled: 1}},
		},
		{
			"a dry run does, and does not count",
			[]*classify.Observation{ended(1, attempt.Get("error_throttled")), ended(2, attempt.Get("dry_run"))},
			want{0, at(2), map[[2]string]float64{throttled: 1, none: 0}},
		},
		{
			"a canceled call proves nothing, and does not count",
			[]*classify.Observation{ended(1, attempt.Get("error_throttled")), ended(2, attempt.Get("canceled"))},
			want{1, 0, map[[2]string]float64{throttled: 1, none: 0}},
		},
		{
			"another category leaves them",
			[]*classify.Observation{ended(1, attempt.Get("error_throttled")), ended(2, attempt.Get("error_signature"))},
			want{1, 0, map[[2]string]float64{throttled: 1, {"auth", "credential"}: 1}},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := metrics.New()
			for _, o := range tt.seen {
				m.Observe(o, record.Span{})
			}
			if v, _ := value(t, m, "ksyun_api_errors_since_success", map[string]string{"service": "monitor", "category": "throttled"}); v != tt.want.since {
				t.Errorf("%v throttled since the last success, want %v", v, tt.want.since)
			}
			if v, _ := value(t, m, "ksyun_api_last_success_timestamp_seconds", map[string]string{"service": "monitor"}); v != tt.want.lastSuccess {
				t.Errorf("last success at %v, want %v", v, tt.want.lastSuccess)
			}
			for cause, want := range tt.want.attempts {
				if v, _ := value(t, m, "ksyun_api_attempts_total", map[string]string{"service": "monitor", "category": cause[0], "blame": cause[1]}); v != want {
					t.Errorf("%v attempts of %v, want %v", v, cause, want)
				}
			}
		})
	}
}

// TestFoldsKeepTheService sends more kinds than there is room for: the sums of
// each service stay correct.
func TestFoldsKeepTheService(t *testing.T) {
	m := metrics.New()
	const each = 3000
	for i := range each {
		for s, service := range []string{"monitor", "kec"} {
			o := attempt.Get("error_throttled")
			o.Call.Service = service
			o.Call.Action, o.Call.Region = "Action"+string(rune('A'+i%60)), "region-"+string(rune('a'+i/60%26))
			o.Verdict.Status = 400 + (i+s)%100
			m.Observe(o, record.Span{})
		}
	}
	for _, family := range []string{"ksyun_api_requests_total", "ksyun_api_errors_total", "ksyun_api_attempts_total"} {
		sums, other := map[string]float64{}, false
		for _, s := range gather(t, m)[family].GetMetric() {
			for _, l := range s.GetLabel() {
				if l.GetName() == "service" {
					sums[l.GetValue()] += s.GetCounter().GetValue()
				}
				other = other || l.GetName() == "action" && l.GetValue() == "_other"
			}
		}
		if sums["monitor"] != each || sums["kec"] != each {
			t.Errorf("%s by service is %v, want %d each", family, sums, each)
		}
		if !other && family != "ksyun_api_attempts_total" {
			t.Errorf("%s was not folded: the test is blind", family)
		}
	}
}
