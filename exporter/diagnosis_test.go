package exporter_test

import (
	"math"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.opentelemetry.io/otel/sdk/trace/tracetest"
	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal/disk"
)

// TestDiagnosesReachEveryOutput checks that why a call failed is in the journal,
// the line and the span, in the same words.
func TestDiagnosesReachEveryOutput(t *testing.T) {
	out := newOutput(t, setting{})
	out.see(attempt.Get("error_signature"))
	out.see(attempt.Get("error_html"))
	out.flush(t)

	want, ok := diagnosis.Describe(diagnosis.CauseSecretWrong)
	require.True(t, ok, "no such cause")
	found := out.journal.Find("00000000-1111-4222-8333-444444444403")
	if len(found) != 1 || found[0].Cause() == nil || found[0].Cause().Cause != want.Cause || found[0].Cause().Summary != want.Summary {
		t.Fatalf("in the journal: %+v", found)
	}
	assert.Equal(t, want.Advice, found[0].Advice)
	lines := out.log.String()
	if strings.Count(lines, `"cause":`) != 1 || !strings.Contains(lines, `"cause":"secret_wrong","certainty":"likely"`) || !strings.Contains(lines, want.Advice.Do.English) {
		t.Errorf("lines %s", lines)
	}
	events := 0
	for _, s := range out.spans.got {
		events += len(s.Events)
	}
	assert.Equal(t, len(found[0].Diagnoses), events, "events of spans")
}

// TestIncompleteResultsReachEveryOutput checks that a success without data is
// counted each time, and reported once, in the journal and as a line; and that it is
// no failure.
func TestIncompleteResultsReachEveryOutput(t *testing.T) {
	out := newOutput(t, setting{})
	o := attempt.Get("success")
	o.Verdict.Empty = true
	o.Date = o.End
	o.Target = []byte("/?Action=GetMetricStatistics&InstanceID=i-1&MetricName=cpu&StartTime=2026-11-23T15:00:00Z&EndTime=2026-11-23T16:00:00Z")
	for range 3 {
		out.see(o)
	}
	out.flush(t)
	got := out.counted(t, "ksyun_api_incomplete_results_total", "reason", "interval_zone")
	assert.EqualValues(t, 3, got, "counted")
	assert.EqualValues(t, 3, out.counted(t, "ksyun_api_requests_total", "outcome", "success"), "successes")
	want, _ := diagnosis.Describe(diagnosis.CauseIntervalZone)
	kept, _ := out.journal.Select(t.Context(), &journal.Filter{}, "", 10)
	if len(kept) != 1 || kept[0].Failed() || !kept[0].Incomplete() || kept[0].Meaning != want.Summary || kept[0].Advice != want.Advice {
		t.Fatalf("in the journal: %+v", kept)
	}
	lines := out.log.String()
	if strings.Count(lines, "\n") != 1 || !strings.Contains(lines, `"level":"warn"`) || !strings.Contains(lines, `"event":"ksyun.api.incomplete"`) ||
		!strings.Contains(lines, `"cause":"interval_zone"`) || !strings.Contains(lines, "i-1 cpu") {
		t.Errorf("lines %s", lines)
	}
}

// TestClockSkewIsMeasured checks the gauge of a program whose clock is off.
func TestClockSkewIsMeasured(t *testing.T) {
	out := newOutput(t, setting{})
	const off = -6 * time.Minute
	for i := range 5 {
		o := attempt.Get("success")
		o.End = time.Now().Add(time.Duration(i-5) * 10 * time.Second)
		o.Start, o.FirstByte = o.End.Add(-time.Second), o.End
		o.Date = o.End.Truncate(time.Second)
		o.Call.SignedAt = o.Start.Add(off).Truncate(time.Second)
		o.Call.Signing = "sigv4"
		out.see(o)
	}
	got := out.counted(t, "ksyun_api_clock_skew_seconds", "client", "127.0.0.1")
	uncertainty := out.counted(t, "ksyun_api_clock_skew_uncertainty_seconds", "client", "127.0.0.1")
	if math.Abs(got-off.Seconds()) > uncertainty || uncertainty != 1.5 {
		t.Errorf("skew %v ± %v, want %v ± 1.5", got, uncertainty, off.Seconds())
	}
}

// TestEventsReachTheOutputs checks that a key which is revoked is in the journal, the
// log and the metrics.
func TestEventsReachTheOutputs(t *testing.T) {
	out := newOutput(t, setting{})
	for i := range 6 {
		o := attempt.Get("success")
		if i > 2 {
			o = attempt.Get("error_signature")
			o.Verdict.Code, o.Verdict.Entry, o.Signature = "InvalidClientTokenId", nil, nil
		}
		o.End = time.Now().Add(time.Duration(i-6) * time.Minute)
		out.see(o)
	}
	credential := attempt.Get("success").Credential
	n := out.counted(t, "ksyun_api_credential_errors_total", "credential", credential, "category", "auth")
	assert.EqualValues(t, 3, n, "failures counted")
	if n := out.counted(t, "ksyun_api_credential_refused", "credential", credential, "reason", "key"); n != 1 {
		t.Errorf("refused: %v", n)
	}
	all := out.journal.Notices()
	if len(all) != 2 || all[0].Cause != diagnosis.CauseKeyRevoked || all[1].Cause != diagnosis.CauseKeyFirstSeen {
		t.Errorf("events %+v", all)
	}
	out.flush(t)
	if lines := out.log.String(); strings.Count(lines, `"event":"ksyun.api.notice"`) != 1 || !strings.Contains(lines, `"cause":"key_revoked"`) || !strings.Contains(lines, `"level":"warn"`) {
		t.Errorf("lines %s", lines)
	}
}

// TestAttemptsOfACallAreLinked checks that the attempts of one call have the same ID,
// and that the journal notes that a retry succeeded.
func TestAttemptsOfACallAreLinked(t *testing.T) {
	cfg := disk.Config{Path: filepath.Join(t.TempDir(), "journal.db"), MaxEntries: 100, Log: zap.NewNop()}
	store, _, err := disk.Open(cfg)
	require.NoError(t, err)
	out := newOutput(t, setting{ratio: 1, disk: store})
	at := time.Now()
	see := func(name string) {
		o := attempt.Get(name)
		o.Start, o.End = at, at.Add(10*time.Millisecond)
		at = at.Add(time.Second)
		out.see(o)
	}
	see("error_throttled")
	see("error_receiver")
	see("success")
	see("success")
	n := out.counted(t, "ksyun_api_calls_total", "outcome", "success_after_retry")
	assert.EqualValues(t, 1, n, "calls succeeded after a retry")
	assert.EqualValues(t, 1, out.counted(t, "ksyun_api_calls_total", "outcome", "success"), "calls succeeded at once")
	assert.EqualValues(t, 1, out.counted(t, "ksyun_api_retries_total", "outcome", "failed"), "retries failed")
	out.flush(t)
	all, _ := out.journal.Select(t.Context(), &journal.Filter{}, "", 10)
	if len(all) != 2 || all[0].Attempt != 2 || all[1].Attempt != 1 || all[0].CallID == "" {
		t.Fatalf("journal %+v", all)
	}
	for _, r := range all {
		if r.CallID != all[0].CallID || r.CallOutcome != diagnosis.CallSuccessAfterRetry {
			t.Errorf("attempt %d: call %s, %s", r.Attempt, r.CallID, r.CallOutcome)
		}
	}
	store, restored, err := disk.Open(cfg)
	require.NoError(t, err)
	defer func() { _ = store.Shutdown(t.Context()) }()
	if len(restored) != 2 || restored[0].CallOutcome != diagnosis.CallSuccessAfterRetry || restored[1].CallOutcome != diagnosis.CallSuccessAfterRetry {
		t.Errorf("after a restart: %+v", restored)
	}
	for _, g := range out.groups.List(time.Now(), 0) {
		assert.EqualValues(t, 1, g.Recovered, "group %s: %d recovered, want 1", g.Code, g.Recovered)
	}
	assert.Equal(t, 2, strings.Count(out.log.String(), `"call_id":"`+all[0].CallID), "lines %s", out.log.String())
	for i, want := range []struct {
		resent int64
		linked int // to the span with this index; -1 for none
	}{{0, -1}, {1, 0}, {2, 1}, {0, -1}} {
		s := out.spans.got[i]
		resent := int64(0)
		for _, kv := range s.Attributes {
			if kv.Key == "http.request.resend_count" {
				resent = kv.Value.AsInt64()
			}
		}
		linked := -1
		for _, link := range s.Links {
			linked = slices.IndexFunc(out.spans.got, func(s tracetest.SpanStub) bool { return s.SpanContext.SpanID() == link.SpanContext.SpanID() })
		}
		if resent != want.resent || linked != want.linked {
			t.Errorf("span %d: resent %d times, linked to %d, want %d and %d", i, resent, linked, want.resent, want.linked)
		}
	}
}
