package soak

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/otlprecv"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// soakSinks are the exporters, and what came out of them: spans at a receiver of
// OTLP, the lines of the log, and the entries of the journal. Nothing may be
// dropped: the queues hold a minute of the load.
type soakSinks struct {
	*exporter.Pipeline
	metrics *metrics.Metrics
	journal *journal.Journal
	log     *logs.Logger
	otlp    *httptest.Server

	mu                    sync.Mutex
	spans, entries, lines map[string]*tally
	wrong                 map[string]int // what does not fit what was done
	newest                *record.Record // of the entries that are counted
}

// soakQueue is how many calls may wait for a sink, and soakJournal how many
// failures may come between two looks at the journal.
const (
	soakQueue   = 100_000
	soakJournal = 50_000
)

func newSoakSinks(t *testing.T) *soakSinks {
	t.Helper()
	s := &soakSinks{
		metrics: metrics.New(), journal: journal.New(soakJournal), wrong: map[string]int{},
		spans: newTallies(), entries: newTallies(), lines: newTallies(),
	}
	s.otlp = httptest.NewServer(http.HandlerFunc(s.receive))
	for name, value := range map[string]string{
		"OTEL_EXPORTER_OTLP_ENDPOINT": s.otlp.URL, "OTEL_EXPORTER_OTLP_PROTOCOL": "http/protobuf",
		"OTEL_BSP_MAX_QUEUE_SIZE": strconv.Itoa(soakQueue), "OTEL_BSP_SCHEDULE_DELAY": "200",
	} {
		t.Setenv(name, value)
	}
	tracer := traces.New(t.Context(), traces.Config{SuccessRatio: 1, Dropped: s.metrics.DropCounter(metrics.SinkTraces)})
	if p := tracer.Problems(); len(p) > 0 || !tracer.Exports() {
		t.Fatalf("spans are not exported: %v", p)
	}
	var err error
	s.log, err = logs.New(logs.Config{Writer: (*soakLog)(s), Dropped: s.metrics.DropCounter(metrics.SinkLogs)})
	require.NoError(t, err)
	s.Pipeline = exporter.New(exporter.Options{
		Metrics: s.metrics, Traces: tracer, Journal: s.journal, QueueSize: soakQueue,
		Logs: logs.NewEvents(s.log.Logger, logs.EventsConfig{Access: true, Dropped: s.metrics.DropCounter(metrics.SinkLogs)}),
	})
	return s
}

func newTallies() map[string]*tally {
	all := make(map[string]*tally, len(deeds))
	for _, d := range deeds {
		all[d.name] = &tally{}
	}
	return all
}

// take counts one call in a sink's books, as what its fields say it was.
func (s *soakSinks) take(book map[string]*tally, sink, address string, outcome classify.Outcome, status int, code string, fault classify.Fault) {
	u, err := url.Parse(address)
	var d *deed
	var id uint64
	if err == nil {
		d, id = deedOf(u.RequestURI())
	}
	if fault == classify.FaultBadRequest {
		d, id = &deeds[len(deeds)-1], 0
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	switch {
	case d == nil:
		s.wrong[fmt.Sprintf("%s: %q", sink, address)]++
		return
	case outcome != d.outcome, status != d.status, code != d.code:
		s.wrong[fmt.Sprintf("%s: %s: outcome %q, status %d, code %q", sink, d.name, outcome, status, code)]++
	}
	book[d.name].add(id, 0, 0)
}

// receive takes spans by OTLP.
func (s *soakSinks) receive(w http.ResponseWriter, r *http.Request) {
	request := otlprecv.New(soakQueue)
	request.ServeHTTP(w, r)
	for _, span := range request.Select(func(otlprecv.Span) bool { return true }) {
		a := span.Attributes
		status, _ := strconv.Atoi(a["http.response.status_code"])
		s.take(s.spans, "span", a["url.full"], classify.Outcome(a["ksyun.outcome"]), status, a["ksyun.error.code"], "")
	}
}

// soakLog reads the lines of the log.
type soakLog soakSinks

func (l *soakLog) Write(text []byte) (int, error) {
	for line := range bytes.Lines(text) {
		var r struct {
			Event   string           `json:"event"`
			URL     string           `json:"url"`
			Outcome classify.Outcome `json:"outcome"`
			Status  int              `json:"status"`
			Code    string           `json:"code"`
			Fault   classify.Fault   `json:"fault"`
		}
		if err := json.Unmarshal(line, &r); err != nil {
			return 0, err
		}
		(*soakSinks)(l).take(l.lines, "log", r.URL, r.Outcome, r.Status, r.Code, r.Fault)
	}
	return len(text), nil
}

// readJournal counts the entries since the last time. The journal must not have
// turned over in between.
func (s *soakSinks) readJournal() {
	var fresh []*record.Record
	last := s.newest
	page, _ := s.journal.Select(context.Background(), &journal.Filter{}, "", math.MaxInt)
	for _, r := range page {
		if r == last {
			last = nil
			break
		}
		fresh = append(fresh, r)
	}
	if last != nil {
		s.mu.Lock()
		s.wrong["the journal turned over unread"]++
		s.mu.Unlock()
	}
	for _, r := range fresh {
		s.take(s.entries, "journal", r.URL, r.Outcome, r.Status, r.Code, r.Fault)
	}
	if len(fresh) > 0 {
		s.newest = fresh[0]
	}
}

// followJournal reads the journal until ctx ends.
func (s *soakSinks) followJournal(ctx context.Context) {
	tick := time.NewTicker(200 * time.Millisecond)
	defer tick.Stop()
	for {
		select {
		case <-tick.C:
			s.readJournal()
		case <-ctx.Done():
			return
		}
	}
}

// shutdown has every sink give out what it holds.
func (s *soakSinks) shutdown(t *testing.T) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), time.Minute)
	defer cancel()
	assert.NoError(t, s.Shutdown(ctx))
	assert.NoError(t, s.log.Close())
	s.otlp.Close()
	s.readJournal()
}

// scrape returns the metrics.
func (s *soakSinks) scrape(t *testing.T) map[string]*dto.MetricFamily {
	t.Helper()
	w := httptest.NewRecorder()
	s.metrics.Handler().ServeHTTP(w, httptest.NewRequestWithContext(t.Context(), http.MethodGet, "/metrics", http.NoBody))
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(bufio.NewReader(w.Body))
	require.NoError(t, err)
	return families
}

// sums adds up a counter by some of its labels, leaving out what is 0.
func sums(family *dto.MetricFamily, labels ...string) map[string]uint64 {
	all := map[string]uint64{}
	for _, m := range family.GetMetric() {
		values := make([]string, len(labels))
		for _, pair := range m.GetLabel() {
			if i := slices.Index(labels, pair.GetName()); i >= 0 {
				values[i] = pair.GetValue()
			}
		}
		if n := uint64(m.GetCounter().GetValue()); n > 0 {
			all[strings.Join(values, " ")] += n
		}
	}
	return all
}

// check holds the sinks to the books of the programs and the vendor.
func (s *soakSinks) check(t *testing.T, l *ledger) {
	t.Helper()
	requests, failures, faults := map[string]uint64{}, map[string]uint64{}, map[string]uint64{}
	var began uint64
	for _, d := range deeds {
		want := l.received[d.name] // what the vendor counted
		if d.unsent() {
			want = l.sent[d.name]
		}
		inJournal := &tally{}
		if d.outcome.Failed() || d.fault.Refused() {
			inJournal = want
		}
		spans := want
		if d.fault.Refused() {
			spans = &tally{} // no attempt at a call
		} else {
			began += want.n
		}
		for sink, pair := range map[string][2]*tally{
			"spans": {spans, s.spans[d.name]}, "journal": {inJournal, s.entries[d.name]}, "log": {want, s.lines[d.name]},
		} {
			want, got := pair[0], pair[1]
			if want.n != got.n || !d.fault.Refused() && !want.same(got) {
				t.Errorf("%s: not the same calls in the %s: %+v, want %+v", d.name, sink, *got, *want)
			}
		}
		if d.fault != classify.FaultNone {
			faults[string(d.fault)] += want.n
		}
		if d.fault.Refused() {
			continue
		}
		status := "none"
		if d.status > 0 {
			status = strconv.Itoa(d.status)
		}
		requests[d.action+" "+string(d.outcome)+" "+status] += want.n
		if d.outcome.Failed() {
			code := cmp.Or(d.code, "none")
			failures[d.action+" "+code+" "+status] += want.n
		}
	}
	families := s.scrape(t)
	for name, pair := range map[string][2]map[string]uint64{
		"ksyun_api_requests_total":             {requests, sums(families["ksyun_api_requests_total"], "action", "outcome", "status")},
		"ksyun_api_errors_total":               {failures, sums(families["ksyun_api_errors_total"], "action", "code", "status")},
		"ksyun_tap_proxy_errors_total":         {faults, sums(families["ksyun_tap_proxy_errors_total"], "reason")},
		"ksyun_tap_observations_dropped_total": {nil, sums(families["ksyun_tap_observations_dropped_total"], "sink", "reason")},
	} {
		maps.DeleteFunc(pair[0], func(_ string, n uint64) bool { return n == 0 })
		assert.True(t, maps.Equal(pair[0], pair[1]), "%s: %v\nwant %v", name, pair[1], pair[0])
	}
	if n := families["ksyun_api_request_duration_seconds"]; n != nil {
		var count uint64
		for _, m := range n.GetMetric() {
			count += m.GetHistogram().GetSampleCount()
		}
		assert.Equal(t, began, count, "ksyun_api_request_duration_seconds")
	}
	for what, n := range s.wrong {
		t.Errorf("%d times %s", n, what)
	}
	t.Logf("requests counted %d, spans %d, journal entries %d, lines of the log %d, dropped %v",
		began, total(s.spans), total(s.entries), total(s.lines), sums(families["ksyun_tap_observations_dropped_total"], "sink", "reason"))
}

func total(book map[string]*tally) (n uint64) {
	for _, t := range book {
		n += t.n
	}
	return n
}

// vacant is an address on which nobody listens, and nobody can while the test
// runs: it is the near end of a connection.
func vacant(t *testing.T) string {
	t.Helper()
	return rawconn.Open(t, rawconn.Listen(t).Addr().String()).LocalAddr().String()
}
