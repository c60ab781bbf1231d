package metrics_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	"go/parser"
	"go/token"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// full returns metrics that have seen every sort of attempt, and everything
// else they can be reported.
func full() *metrics.Metrics {
	m := metrics.New()
	m.Register(metrics.NewCollector(func() float64 { return 0 },
		fixed(metrics.ClientConnections, 3), fixed(metrics.UpstreamConnections, 2),
		fixed(metrics.ConnectionsAccepted, 11), fixed(metrics.ConnectionsRefused, 13), fixed(metrics.ConnectionsReclaimed, 14),
		fixed(metrics.BufferBytes, 8192), fixed(metrics.BytesReceived, 4096), fixed(metrics.BytesSent, 8192),
		fixed(metrics.Dials, 5), fixed(metrics.Panics, 1), fixed(metrics.Unobserved, 2), fixed(metrics.Intercepted, 12),
		fixed(metrics.Tunnels, 8), fixed(metrics.TappedTunnels, 3), fixed(metrics.OpenTunnels, 2),
		fixed(metrics.TransparentRefused, 0, "direct"), fixed(metrics.TransparentRefused, 0, "loop"),
		fixed(metrics.CSMDatagrams, 20), fixed(metrics.CSMAttempts, 15), fixed(metrics.CSMAnnounced, 16),
		fixed(metrics.CSMDuplicates, 4), fixed(metrics.CSMRejected, 1),
		fixed(metrics.ResignRefused, 3, "address"), fixed(metrics.ResignRefused, 2, "tls"),
		fixed(metrics.ResignReloadOK, 1), fixed(metrics.ResignReloadTime, float64(attempt.Start.Unix())),
		fixed(metrics.PathSuccess, 0), fixed(metrics.PathFailed, 0, "proxy"), fixed(metrics.PathFailed, 1, "dns"),
		fixed(metrics.PathTime, float64(attempt.Start.Unix())), fixed(metrics.PathDuration, 1.5),
		fixed(metrics.ClockSkew, -90, "192.0.2.9"), fixed(metrics.ClockSkew, 1, "self"),
		fixed(metrics.ClockUncertainty, 1.02, "192.0.2.9"), fixed(metrics.ClockUncertainty, 1, "self"),
		fixed(metrics.RedundantCalls, 3, "monitor", "ListMetrics", "too_often"), fixed(metrics.QuotaLimit, 180, "monitor", "GetMetricStatisticsBatch", "2018-11-14"),
		fixed(metrics.QuotaUsed, 0.75, "billing", "GetMetricStatisticsBatch", "2018-11-14"), fixed(metrics.QuotaExhaustion, 25, "billing", "GetMetricStatisticsBatch", "2018-11-14"),
		fixed(metrics.Calls, 5, "monitor", "ListMetrics", "success"), fixed(metrics.Retries, 2, "monitor", "ListMetrics", "wasted"),
		metrics.EachHistogram(metrics.CallAttempts, func(_ float64, send func(metrics.Histogram, ...string)) {
			send(metrics.Histogram{Count: 5, Sum: 7, Buckets: map[float64]uint64{1: 4, 4: 5}}, "monitor", "ListMetrics")
		}),
		fixed(metrics.ProgramInfo, 1, "aws-sdk-go/1.25", "sigv4", "http"),
		fixed(metrics.CredentialErrors, 3, "billing", "throttled"), fixed(metrics.CredentialErrors, 1, "_other", "auth"),
		fixed(metrics.CredentialRefused, 1, "billing", "key"), fixed(metrics.CredentialRefused, 0, "billing", "permission"),
		fixed(metrics.QueueLength, 7), fixed(metrics.QueueCapacity, 2048),
		fixed(metrics.JournalEntries, 9), fixed(metrics.JournalCapacity, 1000), fixed(metrics.JournalEvicted, 1),
		fixed(metrics.JournalFileHealthy, 1), fixed(metrics.JournalFileEntries, 8), fixed(metrics.JournalFileBytes, 131072), fixed(metrics.JournalWritten, 8),
		fixed(metrics.JournalWriteLost, 0), fixed(metrics.JournalWriteFailures, 2), fixed(metrics.JournalCorrupt, 1),
		fixed(metrics.EvidenceEntries, 4), fixed(metrics.EvidenceBytes, 16384), fixed(metrics.EvidenceEvicted, 0),
		fixed(metrics.FailureGroups, 5), fixed(metrics.FailureGroupsEvicted, 0), fixed(metrics.EventSubscribers, 2), fixed(metrics.EventSubscribersDropped, 1),
	), metrics.NewCollector(func() time.Time { return attempt.Start.Add(time.Hour) }, metrics.Read(metrics.CANotAfter, time.Time.Unix)))
	handshakeFailed := metrics.Count(m, metrics.HandshakeErrors, []string{"untrusted_ca", "other"})
	handshakeFailed("untrusted_ca")
	handshakeFailed("a reason it does not know")
	m.SetReload(nil, attempt.Start)
	m.SetIgnoredVariables([]string{"OTEL_SDK_DISABLED"})
	m.Incomplete(attempt.Get("success"), diagnosis.CauseIntervalZone)
	m.Incomplete(attempt.Get("success"), "a cause it does not know")
	for _, a := range attempt.All() {
		if !a.Observation.Fault.Refused() {
			m.Begin(&a.Observation.Call)
		}
		m.Observe(a.Observation, record.Span{})
	}
	m.Begin(&classify.Call{Service: "monitor"})
	m.Dropped(metrics.SinkLogs, metrics.ReasonSampled, 3)
	return m
}

// fixed returns a row with that value.
func fixed(f metrics.Family, v float64, labels ...string) metrics.Row[float64] {
	return metrics.Read(f, func(zero float64) float64 { return zero + v }, labels...)
}

// scrape reads the metrics by HTTP.
func scrape(t *testing.T, m *metrics.Metrics, accept string) (string, http.Header) {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", accept)
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	if w.Code != http.StatusOK {
		t.Fatalf("scrape: status %d: %s", w.Code, w.Body)
	}
	return w.Body.String(), w.Result().Header
}

// Forms of the exposition, as Accept headers.
const (
	openMetrics = "application/openmetrics-text; version=1.0.0"
	protobuf    = "application/vnd.google.protobuf; proto=io.prometheus.client.MetricFamily; encoding=delimited"
	text        = "text/plain; version=0.0.4"
)

func TestScrapeIsAsDocumented(t *testing.T) {
	body, _ := scrape(t, full(), text)
	var ours bytes.Buffer
	for line := range strings.Lines(body) {
		if strings.Contains(line, "ksyun_") && !strings.Contains(line, "ksyun_tap_build_info{") {
			ours.WriteString(line)
		}
	}
	golden(t, "scrape.golden", ours.Bytes())
}

// golden compares got with the file, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (run with -update to accept):\n%s", path, got)
	}
}

func TestLint(t *testing.T) {
	problems, err := testutil.GatherAndLint(full().Gatherer())
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestDescribeAgreesWithTheRegistry(t *testing.T) {
	gathered := gather(t, full())
	described := make(map[string]bool)
	for _, f := range metrics.Describe() {
		described[f.Name] = true
		got, ok := gathered[f.Name]
		if !ok {
			t.Errorf("%s is described and not gathered", f.Name)
			continue
		}
		if typ := strings.ToLower(got.GetType().String()); typ != f.Type {
			t.Errorf("%s is a %s, described as %s", f.Name, typ, f.Type)
		}
		if got.GetHelp() != f.Help {
			t.Errorf("%s has help %q, described as %q", f.Name, got.GetHelp(), f.Help)
		}
		want := slices.Sorted(slices.Values(f.Labels))
		if labels := labelNames(got.GetMetric()[0]); !slices.Equal(labels, want) {
			t.Errorf("%s has labels %q, described with %q", f.Name, labels, want)
		}
	}
	for name := range gathered {
		if strings.HasPrefix(name, "ksyun_") && !described[name] {
			t.Errorf("%s is gathered and not described", name)
		}
	}
	for _, name := range []string{"go_goroutines", "promhttp_metric_handler_requests_total"} {
		if gathered[name] == nil {
			t.Errorf("%s is not gathered", name)
		}
	}
}

// gather returns the families by name.
func gather(t *testing.T, m *metrics.Metrics) map[string]*dto.MetricFamily {
	t.Helper()
	families, err := m.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := make(map[string]*dto.MetricFamily, len(families))
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return byName
}

// labelNames returns the names of m's labels, sorted.
func labelNames(m *dto.Metric) []string {
	var names []string
	for _, l := range m.GetLabel() {
		names = append(names, l.GetName())
	}
	return names
}

// value returns the value of the series with those labels, and whether it is there.
func value(t *testing.T, m *metrics.Metrics, family string, labels map[string]string) (float64, bool) {
	t.Helper()
	f := gather(t, m)[family]
	for _, s := range f.GetMetric() {
		have := make(map[string]string)
		for _, l := range s.GetLabel() {
			have[l.GetName()] = l.GetValue()
		}
		if !maps.Equal(have, labels) {
			continue
		}
		switch f.GetType() {
		case dto.MetricType_COUNTER:
			return s.GetCounter().GetValue(), true
		case dto.MetricType_GAUGE:
			return s.GetGauge().GetValue(), true
		default:
			return float64(s.GetHistogram().GetSampleCount()), true
		}
	}
	return 0, false
}

// TestCollectorReadsOneSnapshotPerScrape checks that the rows of a scrape fit
// together, that a row may have several series, and that those without a value are
// absent.
func TestCollectorReadsOneSnapshotPerScrape(t *testing.T) {
	m := metrics.New()
	n := 0
	value := func(n int) int { return n }
	m.Register(metrics.NewCollector(func() int { n++; return n },
		metrics.Read(metrics.QueueLength, value),
		metrics.Read(metrics.QueueCapacity, value),
		metrics.Read(metrics.JournalEntries, value).When(func(n int) bool { return n > 1 }),
		metrics.Each(metrics.PathFailed, func(n int, send metrics.Send) {
			for i := range n {
				send(float64(n), strconv.Itoa(i))
			}
		}),
	))
	for i, want := range []map[string]float64{
		{"ksyun_tap_queue_length": 1, "ksyun_tap_queue_capacity": 1, "ksyun_tap_path_check_failed0": 1},
		{
			"ksyun_tap_queue_length": 2, "ksyun_tap_queue_capacity": 2, "ksyun_tap_journal_entries": 2,
			"ksyun_tap_path_check_failed0": 2, "ksyun_tap_path_check_failed1": 2,
		},
	} {
		got := map[string]float64{}
		for name, f := range gather(t, m) {
			switch name {
			case metrics.QueueLength.Name, metrics.QueueCapacity.Name, metrics.JournalEntries.Name, metrics.PathFailed.Name:
				for _, s := range f.GetMetric() {
					series := name
					if labels := s.GetLabel(); len(labels) > 0 {
						series += labels[0].GetValue()
					}
					got[series] = s.GetGauge().GetValue()
				}
			}
		}
		if !maps.Equal(got, want) {
			t.Errorf("scrape %d: %v, want %v", i+1, got, want)
		}
	}
}

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
	if want := 1 + 6 + metrics.MaxUnknownCodes + 1; attempts != want {
		t.Errorf("%d attempts, want %d", attempts, want)
	}
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
		if got := tt.f.Counts(tt.action, tt.code, tt.name); got != tt.want {
			t.Errorf("%+v counts %q, %q, %q: %v", tt.f, tt.action, tt.code, tt.name, got)
		}
	}
}

func TestEveryFaultIsAReason(t *testing.T) {
	m := metrics.New()
	file, err := parser.ParseFile(token.NewFileSet(), "../../classify/observation.go", nil, 0)
	if err != nil {
		t.Fatal(err)
	}
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
	if found < 10 {
		t.Fatalf("found %d faults in the source, the test is blind", found)
	}

	m.Observe(&classify.Observation{Fault: "meteor"}, record.Span{})
	if v, _ := value(t, m, "ksyun_tap_proxy_errors_total", map[string]string{"reason": "_other"}); v != 1 {
		t.Errorf("an unknown fault counted %v times under _other, want 1", v)
	}
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
	if v, _ := value(t, m, "ksyun_tap_proxy_errors_total", map[string]string{"reason": "host_refused"}); v != 1 {
		t.Errorf("host_refused counted %v times, want 1", v)
	}
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
	if v, _ := value(t, m, "ksyun_api_requests_in_flight", map[string]string{"service": "monitor"}); v != 1 {
		t.Errorf("in flight %v, want 1", v)
	}
	for _, s := range services {
		m.Observe(&classify.Observation{Call: classify.Call{Service: s}, Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess}}, record.Span{})
	}
	for _, s := range gather(t, m)["ksyun_api_requests_in_flight"].GetMetric() {
		if v := s.GetGauge().GetValue(); v != 0 {
			t.Errorf("%v is %v after all ended, want 0", s.GetLabel(), v)
		}
	}
}

func TestLabels(t *testing.T) {
	known := &classify.Entry{Code: "Throttling", Aliases: []string{"Throttled"}, Grade: classify.GradeDocumented}
	tests := []struct {
		name    string
		verdict classify.Verdict
		want    map[string]string
	}{
		{
			"a code in the catalogue's spelling",
			classify.Verdict{Code: "throttling", Entry: known, Match: classify.MatchCode, Status: 429, Type: classify.TypeSender, Category: classify.CategoryThrottled},
			map[string]string{"code": "Throttling", "status": "429", "type": "sender", "category": "throttled"},
		},
		{
			"an alias in the catalogue's spelling",
			classify.Verdict{Code: "THROTTLED", Entry: known, Match: classify.MatchCode, Status: 429, Type: classify.TypeSender, Category: classify.CategoryThrottled},
			map[string]string{"code": "Throttled", "status": "429", "type": "sender", "category": "throttled"},
		},
		{
			"a row found by message names no code",
			classify.Verdict{Entry: known, Match: classify.MatchMessage, Status: 400, Type: classify.TypeUnknown, Category: classify.CategoryThrottled},
			map[string]string{"code": "none", "status": "400", "type": "unknown", "category": "throttled"},
		},
		{
			"a row under our own name leaves the wire's code",
			classify.Verdict{
				Code: "Wire", Match: classify.MatchCode, Status: 400, Type: classify.TypeSender, Category: classify.CategoryAuth,
				Entry: &classify.Entry{Code: "OurName", Grade: classify.GradePlaceholder},
			},
			map[string]string{"code": "Wire", "status": "400", "type": "sender", "category": "auth"},
		},
		{
			"nothing known",
			classify.Verdict{},
			map[string]string{"code": "none", "status": "none", "type": "unknown", "category": "unknown"},
		},
		{
			"a status beyond HTTP",
			classify.Verdict{Status: 999, Type: "sideways", Category: "bad luck"},
			map[string]string{"code": "none", "status": "_other", "type": "unknown", "category": "unknown"},
		},
		{
			"a code that is no text",
			classify.Verdict{Code: "\xff\xfe", Status: 400, Type: classify.TypeSender, Category: classify.CategoryRequest},
			map[string]string{"code": "_other", "status": "400", "type": "sender", "category": "request"},
		},
		{
			"a code that is too long",
			classify.Verdict{Code: strings.Repeat("x", 129), Status: 400, Type: classify.TypeSender, Category: classify.CategoryRequest},
			map[string]string{"code": "_other", "status": "400", "type": "sender", "category": "request"},
		},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			m := metrics.New()
			tt.verdict.Outcome = classify.OutcomeError
			o := &classify.Observation{Verdict: tt.verdict}
			maps.Copy(tt.want, map[string]string{"blame": "unknown", "service": "unknown", "action": "unknown", "version": "unknown", "region": "unknown"})
			for n := 1; n <= 2; n++ { // the second time by the table
				m.Observe(o, record.Span{})
				if v, _ := value(t, m, "ksyun_api_errors_total", tt.want); v != float64(n) {
					t.Fatalf("counted %v times under %v, want %d; have %v", v, tt.want, n, gather(t, m)["ksyun_api_errors_total"])
				}
			}
		})
	}
}

// TestDocumentedValuesAlwaysHaveTheirPlace fills every label with strangers'
// values before the first call of Cloud Monitor comes.
func TestDocumentedValuesAlwaysHaveTheirPlace(t *testing.T) {
	m := metrics.New()
	observe := func(service, action, version string) {
		call := classify.Call{Service: service, Action: action, Version: version}
		m.Begin(&call)
		m.Observe(&classify.Observation{Call: call, Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess, Status: 200}}, record.Span{})
	}
	for i := range metrics.MaxActions + 1 {
		observe(fmt.Sprint("service-", i), fmt.Sprint("Action", i), fmt.Sprint("version-", i))
	}
	if v, _ := value(t, m, "ksyun_tap_label_overflow_total", map[string]string{"label": "action"}); v != 1 {
		t.Errorf("%v strangers' actions beyond the limit, want 1", v)
	}
	for _, a := range classify.KnownActions() {
		observe(a.Service, a.Name, a.Version)
		labels := map[string]string{"service": a.Service, "action": a.Name, "version": a.Version, "region": "unknown", "outcome": "success", "status": "200"}
		if v, _ := value(t, m, "ksyun_api_requests_total", labels); v != 1 {
			t.Errorf("%s of %s counted %v times, want 1", a.Name, a.Version, v)
		}
	}
	observe("monitor", classify.SeveralActions, "2010-05-25")
	if v, _ := value(t, m, "ksyun_api_requests_total", map[string]string{"service": "monitor", "action": "_several", "version": "2010-05-25", "region": "unknown", "outcome": "success", "status": "200"}); v != 1 {
		t.Errorf("several actions counted %v times, want 1", v)
	}
}

func TestUnreadBodies(t *testing.T) {
	m := metrics.New()
	m.Observe(&classify.Observation{
		Call:    classify.Call{Unread: classify.UnreadLength},
		Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess, Unread: classify.UnreadLength},
	}, record.Span{})
	m.Observe(&classify.Observation{Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess, Unread: classify.UnreadCoding}}, record.Span{})
	m.Observe(&classify.Observation{Verdict: classify.Verdict{Outcome: classify.OutcomeSuccess}}, record.Span{})
	for reason, want := range map[string]float64{"length": 2, "coding": 1, "charset": 0} {
		if v, _ := value(t, m, "ksyun_tap_unread_bodies_total", map[string]string{"reason": reason}); v != want {
			t.Errorf("%s counted %v times, want %v", reason, v, want)
		}
	}
}

func TestUnknownCodesBeyondTheLimitAreOther(t *testing.T) {
	m := metrics.New()
	observe := func(v classify.Verdict) {
		v.Outcome, v.Status, v.Type, v.Category = classify.OutcomeError, 400, classify.TypeSender, classify.CategoryUnknown
		m.Observe(&classify.Observation{Verdict: v}, record.Span{})
	}
	for i := range metrics.MaxUnknownCodes + 5 {
		observe(classify.Verdict{Code: "Code" + strconv.Itoa(i)})
	}
	observe(classify.Verdict{
		Code: "Known", Match: classify.MatchCode,
		Entry: &classify.Entry{Code: "Known", Grade: classify.GradeDocumented},
	})

	codes := make(map[string]float64)
	for _, s := range gather(t, m)["ksyun_api_errors_total"].GetMetric() {
		for _, l := range s.GetLabel() {
			if l.GetName() == "code" {
				codes[l.GetValue()] += s.GetCounter().GetValue()
			}
		}
	}
	if codes["_other"] != 5 || codes["Code0"] != 1 || codes["Known"] != 1 || len(codes) != metrics.MaxUnknownCodes+2 {
		t.Errorf("codes %v, want the first %d, Known, and 5 under _other", codes, metrics.MaxUnknownCodes)
	}
	if v, _ := value(t, m, "ksyun_tap_label_overflow_total", map[string]string{"label": "code"}); v != 5 {
		t.Errorf("overflow counted %v, want 5", v)
	}
}

// TestKeysAreNoLabels checks that what looks like a key is no label, whoever
// made the verdict.
func TestKeysAreNoLabels(t *testing.T) {
	m := metrics.New()
	for _, key := range []string{"AKLTyl2l3e5gQAKkv7oEwH2O8g", "InvalidAccessKey.AKLTyl2l3e5gQAKkv7oEwH2O8g", "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2ln", strings.Repeat("0aF9", 10)} {
		m.Observe(&classify.Observation{
			Call:    classify.Call{Service: key, Action: key, Version: key, Region: key},
			Verdict: classify.Verdict{Outcome: classify.OutcomeError, Status: 403, Code: key, RequestID: classify.MakeRequestID(key)},
		}, record.Span{})
	}
	body, _ := scrape(t, m, openMetrics)
	for _, part := range []string{"AKLT", "eyJ", "0aF90aF9"} {
		if strings.Contains(body, part) {
			t.Errorf("%s is in the metrics", part)
		}
	}
	if !strings.Contains(body, `code="_other"`) {
		t.Error("the code is not counted as _other")
	}
}

func TestProtobufCarriesNativeAndClassicBuckets(t *testing.T) {
	body, header := scrape(t, full(), protobuf)
	format := expfmt.ResponseFormat(header)
	if format.FormatType() != expfmt.TypeProtoDelim {
		t.Fatalf("answered with %s", header.Get("Content-Type"))
	}
	dec := expfmt.NewDecoder(strings.NewReader(body), format)
	for {
		var f dto.MetricFamily
		if err := dec.Decode(&f); errors.Is(err, io.EOF) {
			t.Fatal("no durations")
		} else if err != nil {
			t.Fatal(err)
		}
		if f.GetName() != "ksyun_api_request_duration_seconds" {
			continue
		}
		h := f.GetMetric()[0].GetHistogram()
		if len(h.GetPositiveSpan()) == 0 || h.GetSchema() != 3 {
			t.Errorf("no native buckets of factor 1.1: schema %d, spans %v", h.GetSchema(), h.GetPositiveSpan())
		}
		if len(h.GetBucket()) != 17 {
			t.Errorf("%d classic buckets, want 17", len(h.GetBucket()))
		}
		return
	}
}

func TestScrapeSurvivesAPanicOfItsSource(t *testing.T) {
	m := metrics.New()
	m.Register(metrics.NewCollector(func() int { panic("relay") }, metrics.Read(metrics.Tunnels, func(n int) int { return n })))
	m.Observe(attempt.Get("error_throttled"), record.Span{})
	if body, _ := scrape(t, m, text); !strings.Contains(body, "ksyun_api_errors_total{") {
		t.Errorf("the other metrics are gone:\n%s", body)
	}
}

func TestReload(t *testing.T) {
	m := metrics.New()
	m.SetReload(nil, attempt.Start)
	m.SetReload(errors.New("line 3: no"), attempt.Start.Add(time.Hour))
	if v, _ := value(t, m, "ksyun_tap_config_last_reload_successful", map[string]string{}); v != 0 {
		t.Errorf("successful is %v after a failed reload, want 0", v)
	}
	want := float64(attempt.Start.Unix())
	if v, _ := value(t, m, "ksyun_tap_config_last_reload_success_timestamp_seconds", map[string]string{}); v != want {
		t.Errorf("time of the last success is %v, want %v", v, want)
	}
}

func TestClockSetBackTakesNoTimeAway(t *testing.T) {
	m := metrics.New()
	m.Observe(&classify.Observation{Start: attempt.Start, End: attempt.Start.Add(-time.Hour)}, record.Span{})
	for _, s := range gather(t, m)["ksyun_api_request_duration_seconds"].GetMetric() {
		if sum := s.GetHistogram().GetSampleSum(); sum != 0 {
			t.Errorf("sum %v, want 0", sum)
		}
	}
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
			if _, err := m.Gatherer().Gather(); err != nil {
				t.Error(err)
			}
		}
	})
	wg.Wait()
	total := 0.0
	for _, s := range gather(t, m)["ksyun_api_errors_total"].GetMetric() {
		total += s.GetCounter().GetValue()
	}
	if total != workers*each {
		t.Errorf("%v errors counted, want %d", total, workers*each)
	}
}

func TestKnownKindOfSuccessAllocatesNothing(t *testing.T) {
	m := metrics.New()
	o := attempt.Get("success")
	m.Observe(o, record.Span{})
	if n := testing.AllocsPerRun(1000, func() { m.Begin(&o.Call); m.Observe(o, record.Span{}) }); n != 0 {
		t.Errorf("%v allocations per success, want none", n)
	}
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
	if n := testing.AllocsPerRun(100, func() { m.Observe(o, record.Span{}) }); n != 0 {
		t.Errorf("%v allocations for a failure, want none", n)
	}
}
