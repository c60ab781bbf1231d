package metrics_test

import (
	"errors"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"net/http"
	"net/http/httptest"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

// Forms of the exposition, as Accept headers.
const (
	openMetrics = "application/openmetrics-text; version=1.0.0"
	protobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	text        = "text/plain; version=0.0.4"
)

// TestCounted compares the counts with what was observed.
func TestCounted(t *testing.T) {
	m := metrics.New()
	observe := func(action, code string, n int) {
		for range n {
			o := attempt.Get("error_throttled")
			o.Call.Action, o.Verdict.Code, o.Verdict.Entry, o.Verdict.Match = action, code, nil, ""
			m.Observe(o, record.Span{})
		}
	}
	m.Observe(attempt.Get("success"), record.Span{})
	m.Observe(attempt.Get("host_refused"), record.Span{}) // not an attempt
	observe("ListMetrics", "A", 3)
	observe("ListMetrics", "", 2)
	observe("", "A", 1)
	for i := range metrics.MaxUnknownCodes + 1 {
		observe("X", "Code"+strconv.Itoa(i), 1)
	}
	attempts, failures := m.Counted()
	assert.Equal(t, 1+6+metrics.MaxUnknownCodes+1, attempts)
	byKind := map[[2]string]metrics.Failures{}
	for _, f := range failures {
		byKind[[2]string{f.Action, f.Code}] = f
	}
	none, other := byKind[[2]string{"ListMetrics", "none"}], byKind[[2]string{"X", "_other"}]
	if none.Count != 2 || other.Count != 2 || byKind[[2]string{"ListMetrics", "A"}].Count != 3 || byKind[[2]string{"unknown", "A"}].Count != 1 {
		t.Errorf("got %v", failures)
	}
	if none.Category != "throttled" || none.Blame != "quota" || none.Status != "409" {
		t.Errorf("got %+v", none)
	}
	for _, tt := range []struct {
		f                  metrics.Failures
		action, code, name string
		want               bool
	}{
		{none, "ListMetrics", "", "", true},
		{none, "ListMetrics", "A", "", false},
		{none, "", "", "", false},
		{other, "X", "anything", "", true},
		{other, "Y", "anything", "", false},
		{metrics.Failures{Action: "unknown", Code: "LimitExceeded"}, "", "limitexceeded", "", true},
		{metrics.Failures{Action: "_other", Code: "LimitExceeded"}, "Z", "wire", "LimitExceeded", true},
	} {
		got := tt.f.Counts(tt.action, tt.code, tt.name)
		assert.Equal(t, tt.want, got, "%+v counts %q, %q, %q", tt.f, tt.action, tt.code, tt.name)
	}
}

func TestEveryFaultIsAReason(t *testing.T) {
	m := metrics.New()
	file, err := parser.ParseFile(token.NewFileSet(), "../../classify/observation.go", nil, 0)
	require.NoError(t, err)
	found := 0
	ast.Inspect(file, func(n ast.Node) bool {
		spec, ok := n.(*ast.ValueSpec)
		if !ok {
			return true
		}
		if typ, ok := spec.Type.(*ast.Ident); !ok || typ.Name != "Fault" {
			return true
		}
		for _, v := range spec.Values {
			reason, err := strconv.Unquote(v.(*ast.BasicLit).Value)
			if err != nil || reason == "" {
				continue
			}
			found++
			if _, ok := value(t, m, "ksyun_tap_proxy_errors_total", map[string]string{"reason": reason}); !ok {
				t.Errorf("fault %q has no series from the start", reason)
			}
		}
		return true
	})
	require.GreaterOrEqual(t, found, 10, "found %d faults in the source, the test is blind", found)

	m.Observe(&classify.Observation{Fault: "meteor"}, record.Span{})
	v, _ := value(t, m, "ksyun_tap_proxy_errors_total", map[string]string{"reason": "_other"})
	assert.EqualValues(t, 1, v, "an unknown fault counted %v times under _other, want 1", v)
}

func TestRefusedRequestsDoNotTouchTheAPIsMetrics(t *testing.T) {
	m := metrics.New()
	m.Observe(attempt.Get("host_refused"), record.Span{})
	for name, f := range gather(t, m) {
		for _, s := range f.GetMetric() {
			if strings.HasPrefix(name, "ksyun_api_") && s.GetCounter().GetValue()+s.GetGauge().GetValue()+float64(s.GetHistogram().GetSampleCount()) != 0 {
				t.Errorf("%s is %v after a refused request", name, s)
			}
		}
	}
	v, _ := value(t, m, "ksyun_tap_proxy_errors_total", map[string]string{"reason": "host_refused"})
	assert.EqualValues(t, 1, v, "host_refused counted %v times, want 1", v)
}

func TestInFlightReturnsToZero(t *testing.T) {
	m := metrics.New()
	services := []string{"", "monitor", "kec"}
	for i := range 3 * metrics.MaxServices {
		services = append(services, fmt.Sprintf("service-%d", i)) // most of them past the limit
	}
	for _, s := range services {
		m.Begin(&classify.Call{Service: s})
	}
	v, _ := value(t, m, "ksyun_api_requests_in_flight", map[string]string{"service": "monitor"})
	assert.EqualValues(t, 1, v, "in flight")
	for _, s := range services {
		m.Observe(&classify.Observation{Call: classify.Call{Service: s}, Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess}}, record.Span{})
	}
	for _, s := range gather(t, m)["ksyun_api_requests_in_flight"].GetMetric() {
		if v := s.GetGauge().GetValue(); v != 0 {
			t.Errorf("%v is %v after all ended, want 0", s.GetLabel(), v)
		}
	}
}

func TestReload(t *testing.T) {
	m := metrics.New()
	m.SetReload(nil, attempt.Start)
	m.SetReload(errors.New("line 3: no"), attempt.Start.Add(time.Hour))
	v, _ := value(t, m, "ksyun_tap_config_last_reload_successful", map[string]string{})
	assert.Zero(t, v, "successful is %v after a failed reload, want 0", v)
	want := float64(attempt.Start.Unix())
	if v, _ := value(t, m, "ksyun_tap_config_last_reload_success_timestamp_seconds", map[string]string{}); v != want {
		t.Errorf("time of the last success is %v, want %v", v, want)
	}
}

func TestClockSetBackTakesNoTimeAway(t *testing.T) {
	m := metrics.New()
	m.Observe(&classify.Observation{Start: attempt.Start, End: attempt.Start.Add(-time.Hour)}, record.Span{})
	for _, s := range gather(t, m)["ksyun_api_request_duration_seconds"].GetMetric() {
		assert.Zero(t, s.GetHistogram().GetSampleSum())
	}
}

// stalled is a client that does not read its response.
type stalled struct {
	http.ResponseWriter
	reached, release chan struct{}
}

func (s *stalled) Write(b []byte) (int, error) {
	select {
	case s.reached <- struct{}{}:
	case <-s.release:
	}
	<-s.release
	return len(b), nil
}

// TestStalledScraperKeepsNoValues has another client read while one reads nothing.
func TestStalledScraperKeepsNoValues(t *testing.T) {
	m := metrics.New()
	w := &stalled{httptest.NewRecorder(), make(chan struct{}), make(chan struct{})}
	done := make(chan struct{})
	go func() {
		defer close(done)
		m.Handler().ServeHTTP(w, httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody))
	}()
	<-w.reached
	m.Begin(&classify.Call{Service: "monitor"})
	values, _ := scrape(t, m, text)
	assert.Contains(t, values, "\nksyun_api_requests_in_flight{service=\"monitor\"} 1\n", "got the values of the one that reads nothing")
	close(w.release)
	<-done
}

func TestConcurrentUse(t *testing.T) {
	m := metrics.New()
	const workers, each = 8, 500
	var wg sync.WaitGroup
	for w := range workers {
		wg.Go(func() {
			for i := range each {
				o := attempt.Get("error_throttled")
				o.Call.Action = "Action" + strconv.Itoa((w+i)%200)
				m.Begin(&o.Call)
				m.Observe(o, record.Span{})
			}
		})
	}
	wg.Go(func() {
		for range 20 {
			_, err := m.Gatherer().Gather()
			assert.NoError(t, err)
		}
	})
	wg.Wait()
	total := 0.0
	for _, s := range gather(t, m)["ksyun_api_errors_total"].GetMetric() {
		total += s.GetCounter().GetValue()
	}
	assert.EqualValues(t, workers*each, total, "errors counted")
}

func TestKnownKindOfSuccessAllocatesNothing(t *testing.T) {
	m := metrics.New()
	o := attempt.Get("success")
	m.Observe(o, record.Span{})
	n := testing.AllocsPerRun(1000, func() { m.Begin(&o.Call); m.Observe(o, record.Span{}) })
	assert.Zero(t, n, "allocations per success, want none")
}

func BenchmarkObserve(b *testing.B) {
	for _, name := range []string{"success", "error_throttled"} {
		b.Run(name, func(b *testing.B) {
			m := metrics.New()
			o := attempt.Get(name)
			b.ReportAllocs()
			for b.Loop() {
				m.Begin(&o.Call)
				m.Observe(o, record.Span{})
			}
		})
	}
}

func BenchmarkObserveFolded(b *testing.B) {
	m := metrics.New()
	for i := range metrics.MaxActions {
		m.Observe(&classify.Observation{Call: classify.Call{Action: "Action" + strconv.Itoa(i)}}, record.Span{})
	}
	o := attempt.Get("success")
	b.ReportAllocs()
	for b.Loop() {
		m.Begin(&o.Call)
		m.Observe(o, record.Span{})
	}
}

// TestFailuresDoNotAllocate counts what the relay waits for.
func TestFailuresDoNotAllocate(t *testing.T) {
	m := metrics.New()
	o := attempt.Get("error_throttled")
	m.Observe(o, record.Span{})
	n := testing.AllocsPerRun(100, func() { m.Observe(o, record.Span{}) })
	assert.Zero(t, n, "allocations for a failure, want none")
}
