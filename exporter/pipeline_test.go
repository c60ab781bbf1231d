package exporter_test

import (
	"bytes"
	"context"
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"
	dto "github.com/prometheus/client_model/go"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/attribute"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/evidence"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal/disk"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
)

var _ classify.Sink = (*exporter.Pipeline)(nil)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// spans is a trace backend.
type spans struct {
	mu  sync.Mutex
	got tracetest.SpanStubs
}

func (s *spans) ExportSpans(_ context.Context, batch []sdktrace.ReadOnlySpan) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.got = append(s.got, tracetest.SpanStubsFromReadOnlySpans(batch)...)
	return nil
}

func (s *spans) Shutdown(context.Context) error { return nil }

// output is everything that a pipeline writes.
type output struct {
	pipeline *exporter.Pipeline
	metrics  *metrics.Metrics
	journal  *journal.Journal
	groups   *groups.Table
	activity *activity.Activity
	feed     *feed.Feed
	spans    *spans
	logger   *logs.Logger
	log      *bytes.Buffer // to be read after flush
}

// setting changes how newOutput sets up the pipeline.
type setting struct {
	queue  int
	ratio  float64
	access bool
	core   zapcore.Core // instead of the logger's

	evidence *evidence.Store
	disk     *disk.Store
}

// newOutput returns a pipeline with every sink.
func newOutput(t testing.TB, s setting) *output {
	t.Helper()
	out := &output{metrics: metrics.New(), journal: journal.New(100), groups: groups.New(0), activity: new(activity.Activity), feed: new(feed.Feed), spans: &spans{}, log: &bytes.Buffer{}}
	tracer := traces.New(t.Context(), traces.Config{
		Exporter: out.spans, SuccessRatio: s.ratio, Dropped: out.metrics.DropCounter(metrics.SinkTraces),
	})
	var err error
	out.logger, err = logs.New(logs.Config{Writer: out.log, Dropped: out.metrics.DropCounter(metrics.SinkLogs)})
	require.NoError(t, err)
	log := out.logger.Logger
	if s.core != nil {
		log = zap.New(s.core)
	}
	out.pipeline = exporter.New(exporter.Options{
		Metrics: out.metrics,
		Traces:  tracer,
		Logs: logs.NewEvents(log, logs.EventsConfig{
			Access: s.access, Dropped: out.metrics.DropCounter(metrics.SinkLogs),
		}),
		Journal:   out.journal,
		Groups:    out.groups,
		Activity:  out.activity,
		Feed:      out.feed,
		Evidence:  s.evidence,
		Disk:      s.disk,
		QueueSize: s.queue,
	})
	t.Cleanup(func() { out.flush(t) })
	return out
}

// flush ends the pipeline; all that was observed is then reported.
func (o *output) flush(t testing.TB) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
	defer cancel()
	assert.NoError(t, o.pipeline.Shutdown(ctx))
	assert.NoError(t, o.logger.Close())
}

// see has the pipeline observe the attempt.
func (o *output) see(a *classify.Observation) {
	if !a.Fault.Refused() {
		o.pipeline.Begin(&a.Call)
	}
	o.pipeline.Observe(a)
}

// counted returns the value of a series, 0 without one.
func (o *output) counted(t testing.TB, family string, labels ...string) float64 {
	t.Helper()
	families, err := o.metrics.Gatherer().Gather()
	require.NoError(t, err)
	sum := 0.0
	for _, f := range families {
		if f.GetName() != family {
			continue
		}
		for _, m := range f.GetMetric() {
			if hasLabels(m, labels) {
				sum += m.GetCounter().GetValue() + m.GetGauge().GetValue()
			}
		}
	}
	return sum
}

// hasLabels reports whether m has the labels, given as name, value, name, value.
func hasLabels(m *dto.Metric, labels []string) bool {
	for i := 0; i < len(labels); i += 2 {
		found := false
		for _, l := range m.GetLabel() {
			found = found || l.GetName() == labels[i] && l.GetValue() == labels[i+1]
		}
		if !found {
			return false
		}
	}
	return true
}

// dropped returns how many observations a sink lost for a reason.
func (o *output) dropped(t testing.TB, sink metrics.Sink, reason metrics.Reason) float64 {
	t.Helper()
	return o.counted(t, "ksyun_tap_observations_dropped_total", "sink", string(sink), "reason", string(reason))
}

// lines counts the lines of the log.
func (o *output) lines() int { return bytes.Count(o.log.Bytes(), []byte("\n")) }

func TestWhoIsTold(t *testing.T) {
	for _, tt := range []struct {
		attempt               string
		setting               setting
		spans, lines, entries int
		requests, errors      float64
	}{
		{"success", setting{}, 0, 0, 0, 1, 0},
		{"success", setting{ratio: 1}, 1, 0, 0, 1, 0},
		{"success", setting{access: true}, 0, 1, 0, 1, 0},
		{"dry_run", setting{}, 0, 0, 0, 1, 0},
		{"canceled", setting{}, 0, 0, 0, 1, 0},
		{"canceled", setting{access: true}, 0, 1, 0, 1, 0},
		{"error_signature", setting{}, 1, 1, 1, 1, 1},
		{"partial", setting{}, 1, 1, 1, 1, 1},
		{"masked", setting{}, 1, 1, 1, 1, 1},
		{"refused_connection", setting{}, 1, 1, 1, 1, 1},
		{"broken_off", setting{}, 1, 1, 1, 1, 1},
		{"host_refused", setting{ratio: 1}, 0, 1, 1, 0, 0},
	} {
		t.Run(tt.attempt, func(t *testing.T) {
			out := newOutput(t, tt.setting)
			out.see(attempt.Get(tt.attempt))
			out.flush(t)
			assert.Len(t, out.spans.got, tt.spans, "spans")
			n := out.lines()
			assert.Equal(t, tt.lines, n, "%d lines, want %d: %s", n, tt.lines, out.log)
			assert.Equal(t, tt.entries, out.journal.Stats().Entries, "in the journal")
			assert.Equal(t, tt.requests, out.counted(t, "ksyun_api_requests_total"), "requests counted")
			assert.Equal(t, tt.errors, out.counted(t, "ksyun_api_errors_total"), "errors counted")
		})
	}
}

func TestOneAttemptIsTheSameEverywhere(t *testing.T) {
	out := newOutput(t, setting{})
	o := attempt.Get("error_throttled")
	out.see(o)
	out.flush(t)

	traceID := out.spans.got[0].SpanContext.TraceID().String()
	id := strings.ReplaceAll(o.Verdict.RequestID.String(), "-", "")
	assert.Equal(t, id, traceID, "trace ID %s, want the request ID %s", traceID, id)
	var line struct {
		TraceID   string `json:"trace_id"`
		RequestID string `json:"request_id"`
		ID        string `json:"id"`
	}
	require.NoError(t, json.Unmarshal(out.log.Bytes(), &line))
	found := out.journal.Find(o.Verdict.RequestID.String())
	attrs := attribute.NewSet(out.spans.got[0].Attributes...)
	if id, _ := attrs.Value("ksyun.failure_id"); line.ID == "" || id.AsString() != line.ID || found[0].ID != line.ID {
		t.Errorf("failure ID: span %s, line %s, journal %s", id.AsString(), line.ID, found[0].ID)
	}
	if len(found) != 1 || found[0].TraceID != traceID || line.TraceID != traceID || line.RequestID != found[0].RequestID {
		t.Errorf("span %s, line %+v, journal %+v: not the same attempt", traceID, line, found)
	}
	body := scrape(t, out.metrics)
	if !strings.Contains(body, `trace_id="`+traceID+`"`) || !strings.Contains(body, `request_id="`+line.RequestID+`"`) {
		t.Error("no exemplar leads to the attempt")
	}
}

// scrape reads the metrics with their exemplars.
func scrape(t *testing.T, m *metrics.Metrics) string {
	t.Helper()
	r := httptest.NewRequest(http.MethodGet, "/metrics", http.NoBody)
	r.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	w := httptest.NewRecorder()
	m.Handler().ServeHTTP(w, r)
	return w.Body.String()
}

// TestNoSecretGetsOut sends secrets in every text a stranger can fill, and reads
// every output there is.
func TestNoSecretGetsOut(t *testing.T) {
	out := newOutput(t, setting{ratio: 1, access: true})
	for _, a := range attempt.All() {
		o := a.Observation
		o.UserAgent = []byte("sdk/1 (Credential=" + attempt.AccessKey + "/20261123/r/s/aws4_request, Signature=" + attempt.Signature + ")")
		if o.Verdict.Outcome.Failed() {
			o.Verdict.Message = "Access key " + attempt.AccessKey + " sent Signature=" + attempt.Signature +
				"&SecurityToken=" + attempt.Token + " which is wrong"
		}
		out.see(o)
	}
	out.flush(t)

	reported := map[string]string{"metrics": scrape(t, out.metrics), "log": out.log.String()}
	b, err := json.Marshal(out.spans.got.Snapshots()[0].Attributes())
	require.NoError(t, err)
	reported["spans"] = string(b)
	for _, s := range out.spans.got {
		reported["spans"] += s.Name + s.Status.Description
		for _, kv := range s.Attributes {
			reported["spans"] += "\n" + string(kv.Key) + "=" + kv.Value.String()
		}
	}
	h := web.NewHandler(web.Options{Journal: out.journal, Groups: out.groups, Metrics: out.metrics.Handler()})
	for _, target := range []string{
		"/", "/?view=list", "/programs", "/api/v1/failures", "/api/v1/failures?format=csv", "/api/v1/failures?format=ndjson", "/api/v1/groups",
		"/failures/00000000-1111-4222-8333-444444444403", "/api/v1/failures/00000000-1111-4222-8333-444444444403/ticket", "/metrics",
	} {
		r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
		r.Host = "localhost"
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		require.Equal(t, 200, w.Code, target)
		reported[target] = w.Body.String()
	}
	for where, text := range reported {
		for _, secret := range []string{attempt.AccessKey, attempt.Signature, attempt.Token, attempt.Token[:12], "canary"} {
			assert.NotContains(t, text, secret, where)
		}
		plain := strings.HasPrefix(where, "/") && !strings.Contains(where, "failures") || strings.Contains(where, "metrics") // without URLs of calls
		if !plain && !strings.Contains(text, "REDACTED") {
			t.Errorf("%s shows nothing redacted, the test is blind", where)
		}
	}
}

// TestEvidence checks that the exchanges of failures are kept, and of nothing else.
func TestEvidence(t *testing.T) {
	store := evidence.New(evidence.Config{})
	out := newOutput(t, setting{evidence: store})
	failures := 0
	for _, a := range attempt.All() {
		o := a.Observation
		o.RequestHeader = classify.HeaderMap{"Authorization": {"Signature=" + attempt.Signature}}
		o.ResponseBody = []byte(`{"Code":"LimitExceeded","Key":"x"}`)
		if o.Verdict.Outcome.Failed() || o.Fault.Refused() {
			failures++
		}
		out.see(o)
	}
	out.flush(t)
	if n := store.Stats().Entries; n != failures || n == 0 {
		t.Errorf("%d exchanges of %d failures", n, failures)
	}
	for _, r := range out.journal.Find(attempt.Get("error_signature").Verdict.RequestID.String()) {
		d := store.Find(r.ID)
		if d == nil || d.Response.Body.Text != `{"Code":"LimitExceeded","Key":"[string]"}` || len(d.Request.Fields) != 1 || d.Request.Fields[0].Value != "REDACTED" {
			t.Errorf("%+v", d)
		}
	}
}

// TestEveryFailureIsIdentified checks that every failure has an ID under which
// all outputs have it, and is in a group, and that all calls are counted.
func TestEveryFailureIsIdentified(t *testing.T) {
	out := newOutput(t, setting{})
	sub, err := out.feed.Subscribe()
	require.NoError(t, err)
	calls, failed := uint64(0), uint64(0)
	for range 2 {
		for _, a := range attempt.All() {
			calls++
			if a.Observation.Verdict.Outcome.Failed() || a.Observation.Fault.Refused() {
				failed++
			}
			out.see(a.Observation)
		}
	}
	out.flush(t)
	last, n := "", uint64(0)
	for e := range sub.C {
		r := e.Failure
		if r == nil {
			continue // a notice
		}
		n++
		if r.ID <= last || r.Group == "" {
			t.Errorf("ID %q in group %q after ID %q", r.ID, r.Group, last)
		}
		last = r.ID
		if found := out.journal.Find(r.ID); len(found) != 1 || found[0] != r {
			t.Errorf("%s: found %d in the journal", r.ID, len(found))
		}
		assert.Contains(t, out.log.String(), `"id":"`+r.ID+`"`, "%s is not in the log", r.ID)
	}
	counted := uint64(0)
	for _, g := range out.groups.List(time.Now(), calls) {
		counted += g.Count
		assert.Zero(t, g.Count%2, "%d failures in group %+v, want each kind twice", g.Count, g.Key)
	}
	if n != failed || counted != failed || out.activity.Calls() != calls {
		t.Errorf("%d published, %d in groups, want %d; %d calls, want %d", n, counted, failed, out.activity.Calls(), calls)
	}
}

func TestBuffersMayBeReusedAtOnce(t *testing.T) {
	out := newOutput(t, setting{})
	o := attempt.Get("error_signature")
	target, agent := o.Target, o.UserAgent
	out.see(o)
	for _, b := range [][]byte{target, agent} {
		for i := range b {
			b[i] = 'X'
		}
	}
	out.flush(t)
	r := out.journal.Find(o.Verdict.RequestID.String())[0]
	assert.NotContains(t, r.URL+r.UserAgent, "XXX", "the journal reads the collector's buffers: %s %s", r.URL, r.UserAgent)
}

// gate is a log core at which the pipeline's goroutine waits.
type gate struct {
	zapcore.LevelEnabler

	entered chan struct{}
	open    chan struct{}
}

func newGate() *gate {
	return &gate{LevelEnabler: zapcore.InfoLevel, entered: make(chan struct{}, 1000), open: make(chan struct{})}
}

func (g *gate) With([]zapcore.Field) zapcore.Core { return g }
func (g *gate) Sync() error                       { return nil }
func (g *gate) Check(e zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(e, g)
}

func (g *gate) Write(zapcore.Entry, []zapcore.Field) error {
	g.entered <- struct{}{}
	<-g.open
	return nil
}

func TestFullQueueDropsAndCounts(t *testing.T) {
	g := newGate()
	out := newOutput(t, setting{queue: 8, ratio: 1, core: g})
	out.see(attempt.Get("error_signature"))
	<-g.entered // the goroutine is busy, the queue empty

	for range 10 {
		out.see(attempt.Get("success"))
	}
	assert.EqualValues(t, 6, out.dropped(t, metrics.SinkTraces, metrics.ReasonQueueFull), "successes dropped")
	for range 10 {
		out.see(attempt.Get("error_throttled"))
	}
	for sink, want := range map[metrics.Sink]float64{metrics.SinkTraces: 6 + 6, metrics.SinkLogs: 6, metrics.SinkJournal: 6} {
		n := out.dropped(t, sink, metrics.ReasonQueueFull)
		assert.Equal(t, want, n, "%s: %v dropped, want %v", sink, n, want)
	}
	assert.EqualValues(t, 21, out.counted(t, "ksyun_api_requests_total"), "requests counted")
	assert.EqualValues(t, 8, out.counted(t, "ksyun_tap_queue_length"), "queue length")
	close(g.open)
	out.flush(t)
	assert.Equal(t, 1+4, out.journal.Stats().Entries, "in the journal, want 5")
	assert.Len(t, out.spans.got, 1+4+4, "spans, want 9")
}

// TestQueueOfLongTexts has the texts of the attempts in the queue need more memory than
// they may, while there is room for more attempts.
func TestQueueOfLongTexts(t *testing.T) {
	const each = (8 << 20) / 4
	for name, lengthen := range map[string]func(o *classify.Observation, n int){
		"target":     func(o *classify.Observation, n int) { o.Target = bytes.Repeat([]byte("/"), n+len(o.Target)) },
		"message":    func(o *classify.Observation, n int) { o.Verdict.Message += strings.Repeat("m", n) },
		"code":       func(o *classify.Observation, n int) { o.Verdict.Code += strings.Repeat("c", n) },
		"inner code": func(o *classify.Observation, n int) { o.Verdict.Inner += strings.Repeat("i", n) },
	} {
		t.Run(name, func(t *testing.T) {
			o := attempt.Get("error_throttled").Clone()
			v := &o.Verdict
			lengthen(o, each-o.TextBytes()-len(v.Message)-len(v.Code)-len(v.Inner))
			testQueueOfLongTexts(t, o)
		})
	}
}

// testQueueOfLongTexts has the texts of an attempt take a quarter of what they may.
func testQueueOfLongTexts(t *testing.T, o *classify.Observation) {
	g := newGate()
	out := newOutput(t, setting{core: g})
	out.see(attempt.Get("error_signature"))
	<-g.entered // the goroutine is busy, the queue empty
	for range 6 {
		out.see(o)
	}
	out.see(attempt.Get("error_throttled"))
	assert.EqualValues(t, 3, out.dropped(t, metrics.SinkJournal, metrics.ReasonQueueFull), "dropped")
	close(g.open)
	out.pipeline.Settle(t.Context())
	out.see(o)
	assert.EqualValues(t, 3, out.dropped(t, metrics.SinkJournal, metrics.ReasonQueueFull), "dropped after there was room")
	out.flush(t)
	assert.Equal(t, 1+4+1, out.journal.Stats().Entries, "in the journal, want 6")
}

// explosive is a log core that panics when it is asked whether it is enabled, or on a
// write.
type explosive struct {
	*gate

	on string // "enabled" or "write"
}

func (e explosive) Enabled(l zapcore.Level) bool {
	if e.on == "enabled" {
		panic("boom")
	}
	return e.gate.Enabled(l)
}

func (e explosive) Check(entry zapcore.Entry, ce *zapcore.CheckedEntry) *zapcore.CheckedEntry {
	return ce.AddCore(entry, e)
}

func (e explosive) Write(zapcore.Entry, []zapcore.Field) error { panic("boom") }

func TestPanicOfASinkIsCountedAndStopsNothing(t *testing.T) {
	for _, tt := range []struct{ name, on, attempt string }{
		{"behind the queue", "write", "error_throttled"},
		{"before the queue", "enabled", "success"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			out := newOutput(t, setting{ratio: 1, core: explosive{newGate(), tt.on}})
			const n = 3
			for range n {
				out.see(attempt.Get(tt.attempt))
			}
			out.flush(t)
			assert.EqualValues(t, n, out.dropped(t, metrics.SinkLogs, metrics.ReasonPanic), "panics counted")
			got := len(out.spans.got)
			assert.Equal(t, n, got, "%d spans, want %d: the other sinks go on", got, n)
		})
	}
}

func TestShutdownFlushesAndIsIdempotent(t *testing.T) {
	out := newOutput(t, setting{access: true})
	const n = 100
	for range n {
		out.see(attempt.Get("error_throttled"))
	}
	out.flush(t)
	if len(out.spans.got) != n || out.lines() != n || out.journal.Stats().Entries != n {
		t.Errorf("%d spans, %d lines, %d entries, want %d of each", len(out.spans.got), out.lines(), out.journal.Stats().Entries, n)
	}
	out.see(attempt.Get("error_throttled"))
	out.flush(t)
	for _, sink := range []metrics.Sink{metrics.SinkTraces, metrics.SinkLogs, metrics.SinkJournal} {
		got := out.dropped(t, sink, metrics.ReasonShutdown)
		assert.EqualValues(t, 1, got, "%s: %v late ones counted as dropped, want 1", sink, got)
	}
	if got := out.counted(t, "ksyun_api_errors_total"); got != n+1 {
		t.Errorf("%v errors counted, want %d: metrics go on", got, n+1)
	}
}

func TestShutdownWithoutTimeGivesUpTheQueue(t *testing.T) {
	g := newGate()
	out := newOutput(t, setting{core: g})
	for range 5 {
		out.see(attempt.Get("error_throttled"))
	}
	<-g.entered
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, out.pipeline.Shutdown(ctx), context.Canceled, "shutdown returned")
	assert.EqualValues(t, 4, out.dropped(t, metrics.SinkJournal, metrics.ReasonShutdown), "given up")
	close(g.open)
	_ = out.pipeline.Shutdown(t.Context())
}

func TestConcurrentUse(t *testing.T) {
	out := newOutput(t, setting{queue: 64, ratio: 0.5, access: true})
	const workers, rounds = 8, 50
	var wg sync.WaitGroup
	for range workers {
		wg.Go(func() {
			for range rounds {
				for _, a := range attempt.All() {
					out.see(a.Observation)
				}
			}
		})
	}
	wg.Go(func() { // in the middle of it all
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		assert.NoError(t, out.pipeline.Shutdown(ctx))
	})
	wg.Wait()
	refused := 1
	n := out.counted(t, "ksyun_api_requests_total")
	assert.Equal(t, float64(workers*rounds*(len(attempt.All())-refused)), n, "requests counted")
	assert.Zero(t, out.counted(t, "ksyun_api_requests_in_flight"), "in flight after all ended")
}

func TestPipelineWithMetricsAlone(t *testing.T) {
	m := metrics.New()
	p := exporter.New(exporter.Options{Metrics: m})
	for _, a := range attempt.All() {
		p.Observe(a.Observation)
	}
	require.NoError(t, p.Shutdown(t.Context()))
	if n, err := testutil.GatherAndCount(m.Gatherer(), "ksyun_api_errors_total"); err != nil || n == 0 {
		t.Errorf("%d series of errors, %v", n, err)
	}
}

// TestObservationIsUnchanged checks that the observation, which belongs to the
// collector, is only read.
func TestObservationIsUnchanged(t *testing.T) {
	out := newOutput(t, setting{ratio: 1})
	for _, a := range attempt.All() {
		want := a.Observation.Clone()
		out.pipeline.Observe(a.Observation)
		assert.Equal(t, want, a.Observation.Clone(), "%s: the observation was changed", a.Name)
	}
}

func TestSuccessAllocatesNothing(t *testing.T) {
	out := newOutput(t, setting{})
	for _, traceparent := range []string{"", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-00"} {
		o := attempt.Get("success")
		o.Traceparent = []byte(traceparent)
		out.see(o)
		n := testing.AllocsPerRun(1000, func() { out.see(o) })
		assert.Zero(t, n, "traceparent %q: %v allocations per success, want none", traceparent, n)
	}
}
