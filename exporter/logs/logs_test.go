package logs_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"io"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"
	"unicode/utf8"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// buffer is an io.Writer that may be read while it is written.
type buffer struct {
	mu     sync.Mutex
	b      bytes.Buffer
	writes int
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.writes++
	return b.b.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.b.String()
}

// counts is how much was dropped, by reason.
type counts struct {
	mu sync.Mutex
	by map[string]int
}

func (c *counts) add(reason string, n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.by == nil {
		c.by = make(map[string]int)
	}
	c.by[reason] += n
}

func (c *counts) get(reason string) int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.by[reason]
}

// newLogger returns a logger that is closed with the test.
func newLogger(t testing.TB, cfg logs.Config) *logs.Logger {
	t.Helper()
	l, err := logs.New(cfg)
	require.NoError(t, err)
	t.Cleanup(func() { _ = l.Close() })
	return l
}

func TestLines(t *testing.T) {
	for _, tt := range []struct{ name, format string }{{"lines.golden", "json"}, {"console.golden", "console"}, {"logfmt.golden", "logfmt"}} {
		var out buffer
		l := newLogger(t, logs.Config{Level: "debug", Format: tt.format, Writer: &out})
		events := logs.NewEvents(l.Logger, logs.EventsConfig{})
		for _, a := range attempt.All() {
			var id record.Identity
			if strings.HasPrefix(a.Name, "error_s") {
				id.Span = record.Span{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1, Exported: true}
			}
			r := new(record.Maker).Identified(a.Observation, &id)
			r.Diagnose(diagnosis.New().Diagnose(a.Observation, diagnosis.Attempt{}))
			events.Write(r)
		}
		require.NoError(t, l.Close())
		path := filepath.Join("testdata", tt.name)
		golden.Check(t, path, []byte(out.String()))
	}
}

// TestLinesUseTheWordsOfTheJournal holds the keys of a line to those of the
// record's JSON.
func TestLinesUseTheWordsOfTheJournal(t *testing.T) {
	ofLine := map[string]bool{"level": true, "msg": true, "event": true, "trace_flags": true}
	ofJournal := map[string]bool{"start": true, "catalog_code": true, "match": true, "meaning": true, "requested_items": true, "failed_item_names": true}
	for _, a := range attempt.All() {
		if !a.Observation.Verdict.Outcome.Failed() {
			continue
		}
		r := new(record.Maker).Identified(a.Observation, &record.Identity{Span: record.Span{TraceID: [16]byte{1}, SpanID: [8]byte{2}, Flags: 1, Exported: true}})
		var out buffer
		l := newLogger(t, logs.Config{Writer: &out})
		logs.NewEvents(l.Logger, logs.EventsConfig{}).Write(r)
		require.NoError(t, l.Close())
		var line, entry map[string]any
		require.NoError(t, json.Unmarshal([]byte(out.String()), &line))
		b, err := json.Marshal(r)
		require.NoError(t, err)
		require.NoError(t, json.Unmarshal(b, &entry))
		if advice, ok := entry["advice"].(map[string]any); ok { // flat in a line, in English
			entry["advice"] = advice["do"].(map[string]any)["en"]
			for of, key := range map[string]string{"retry": "retry", "pause_seconds": "retry_pause_seconds", "runbook": "runbook"} {
				if v, ok := advice[of]; ok {
					entry[key] = v
				}
			}
		}
		for k, v := range line {
			if e, ok := entry[k]; !ofLine[k] && (!ok || e != v) {
				t.Errorf("%s: line has %s=%v, record %v", a.Name, k, v, e)
			}
		}
		for k := range entry {
			if _, ok := line[k]; !ok && !ofJournal[k] {
				t.Errorf("%s: record has %s, line has not", a.Name, k)
			}
		}
	}
}

func TestSeverity(t *testing.T) {
	tests := []struct {
		name          string
		attempt       string
		blame         classify.Blame // "" leaves it
		plain, access zapcore.Level
	}{
		{"provider", "error_receiver", classify.BlameProvider, zap.WarnLevel, zap.WarnLevel},
		{"network", "refused_connection", classify.BlameNetwork, zap.WarnLevel, zap.WarnLevel},
		{"quota", "error_throttled", classify.BlameQuota, zap.WarnLevel, zap.WarnLevel},
		{"credential", "error_signature", classify.BlameCredential, zap.ErrorLevel, zap.ErrorLevel},
		{"client", "error_signature", classify.BlameClient, zap.InfoLevel, zap.InfoLevel},
		{"tap", "refused_connection", classify.BlameTap, zap.ErrorLevel, zap.ErrorLevel},
		{"partial, whoever is to blame", "partial", classify.BlameClient, zap.WarnLevel, zap.WarnLevel},
		{"masked, whoever is to blame", "masked", classify.BlameCredential, zap.WarnLevel, zap.WarnLevel},
		{"success", "success", "", zap.DebugLevel, zap.InfoLevel},
		{"dry run", "dry_run", "", zap.DebugLevel, zap.InfoLevel},
		{"canceled", "canceled", "", zap.DebugLevel, zap.InfoLevel},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			for _, access := range []bool{false, true} {
				want := tt.plain
				if access {
					want = tt.access
				}
				core, seen := observer.New(zap.DebugLevel)
				o := attempt.Get(tt.attempt)
				if tt.blame != "" {
					o.Verdict.Blame = tt.blame
				}
				logs.NewEvents(zap.New(core), logs.EventsConfig{Access: access}).Write(new(record.Maker).New(o))
				if seen.Len() != 1 || seen.All()[0].Level != want {
					t.Errorf("access %t: %v, want one line at %v", access, seen.All(), want)
				}
			}
		})
	}
}

func TestWants(t *testing.T) {
	for _, tt := range []struct {
		attempt string
		level   zapcore.Level
		access  bool
		want    bool
	}{
		{"success", zap.InfoLevel, false, false},
		{"success", zap.DebugLevel, false, true},
		{"success", zap.InfoLevel, true, true},
		{"dry_run", zap.InfoLevel, false, false},
		{"canceled", zap.InfoLevel, false, false},
		{"error_throttled", zap.InfoLevel, false, true},
		{"partial", zap.InfoLevel, false, true},
		{"host_refused", zap.InfoLevel, false, true},
	} {
		core, _ := observer.New(tt.level)
		events := logs.NewEvents(zap.New(core), logs.EventsConfig{Access: tt.access})
		got := events.Wants(attempt.Get(tt.attempt))
		assert.Equal(t, tt.want, got, "%s at %v, access %t: wanted", tt.attempt, tt.level, tt.access)
	}
}

func TestSampling(t *testing.T) {
	now := attempt.Start
	var d counts
	core, seen := observer.New(zap.InfoLevel)
	events := logs.NewEvents(zap.New(core), logs.EventsConfig{Dropped: d.add, Now: func() time.Time { return now }})
	throttled, signature := new(record.Maker).New(attempt.Get("error_throttled")), new(record.Maker).New(attempt.Get("error_signature"))

	for range 300 {
		events.Write(throttled)
	}
	if n := seen.Len(); n != 10+2 { // the first ten, the 110th and the 210th
		t.Errorf("%d of 300 lines alike, want 12", n)
	}
	assert.Equal(t, 300-12, d.get("sampled"), "counted as sampled")
	events.Write(signature)
	n := seen.Len()
	assert.Equal(t, 13, n, "another code shares the count of the first: %d lines, want 13", n)
	for range 9 {
		events.Write(signature)
	}
	diagnosed := new(record.Maker).New(attempt.Get("error_signature"))
	diagnosed.Diagnose(diagnosis.New().Diagnose(attempt.Get("error_signature"), diagnosis.Attempt{}))
	before := seen.Len()
	events.Write(signature)
	events.Write(diagnosed)
	if n := seen.Len(); n != before+1 {
		t.Errorf("another cause of the same code shares its count: %d lines, want %d", n, before+1)
	}
	now = now.Add(time.Second)
	events.Write(throttled)
	assert.Equal(t, before+2, seen.Len(), "lines in the next second")

	// What is not logged at this level is not sampled away either.
	sampled := d.get("sampled")
	core, _ = observer.New(zap.ErrorLevel)
	events = logs.NewEvents(zap.New(core), logs.EventsConfig{Dropped: d.add})
	for range 100 {
		events.Write(throttled)
	}
	assert.Equal(t, sampled, d.get("sampled"), "lines below the level count as sampled")
}

func TestSamplingIsBounded(t *testing.T) {
	core, seen := observer.New(zap.InfoLevel)
	events := logs.NewEvents(zap.New(core), logs.EventsConfig{Now: func() time.Time { return attempt.Start }})
	o := attempt.Get("error_html")
	for i := range 2000 {
		o.Verdict.Code = "Code" + strconv.Itoa(i)
		events.Write(new(record.Maker).New(o))
	}
	// Codes beyond the bound share one count, so that many codes are no way
	// around the sampling.
	if n := seen.Len(); n < 256 || n > 300 {
		t.Errorf("%d lines of 2000 with random codes, want one for each of the first 256 and few of the rest", n)
	}
}

func TestAccessLogIsNotSampled(t *testing.T) {
	core, seen := observer.New(zap.InfoLevel)
	events := logs.NewEvents(zap.New(core), logs.EventsConfig{Access: true})
	r := new(record.Maker).New(attempt.Get("error_throttled"))
	for range 200 {
		events.Write(r)
	}
	assert.Equal(t, 200, seen.Len(), "lines of 200, want all")
}

// TestControlsAreEscaped checks that no line makes a terminal do anything, in no
// format.
func TestControlsAreEscaped(t *testing.T) {
	const evil = "a\u009b31m\u0085\u202eb\u2066\u061c"
	for _, format := range logs.Formats() {
		var out buffer
		log := newLogger(t, logs.Config{Format: format, Writer: &out})
		log.Named(evil).With(zap.String("before", evil)).Error("msg "+evil+" \x1b[31m \x9b", zap.String("field", evil), zap.Strings("list", []string{evil}))
		require.NoError(t, log.Close())
		line := out.String()
		if strings.ContainsAny(line, "\u009b\u0085\u202e\u2066\u061c\x1b") || !utf8.ValidString(line) {
			t.Errorf("%s: %q", format, line)
		}
		n := strings.Count(line, `\u202e`) + strings.Count(line, `\\u202e`)
		assert.GreaterOrEqual(t, n, 5, "%s shows %d of 5 places: %q", format, n, line)
	}
}

func TestConfig(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct {
		name string
		cfg  logs.Config
		want string
	}{
		{"level", logs.Config{Level: "loud"}, `log level "loud": want debug, info, warn or error`},
		{"format", logs.Config{Format: "xml"}, `log format "xml": want one of json, logfmt, console`},
		{"file", logs.Config{File: filepath.Join(dir, "no", "such", "dir")}, "open log"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			_, err := logs.New(tt.cfg)
			assert.ErrorContains(t, err, tt.want)
		})
	}
}

func TestLevelChanges(t *testing.T) {
	var out buffer
	l := newLogger(t, logs.Config{Writer: &out})
	l.Debug("one")
	l.Level.SetLevel(zap.DebugLevel)
	l.Debug("two")
	require.NoError(t, l.Close())
	if s := out.String(); strings.Contains(s, "one") || !strings.Contains(s, "two") {
		t.Errorf("logged %q", s)
	}
}

func TestFirstLineIsPromptAndARushIsCollected(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		l := newLogger(t, logs.Config{Writer: &out})
		l.Info("first")
		synctest.Wait()
		assert.Contains(t, out.String(), "first", "the first line after a pause waits")
		for range 1000 {
			l.Info("rush")
		}
		synctest.Wait()
		assert.Equal(t, 1, out.writes, "writes, want the rush to be collected")
		begin := time.Now()
		require.NoError(t, l.Sync())
		if n := strings.Count(out.String(), "rush"); n != 1000 || out.writes != 2 {
			t.Errorf("%d lines in %d writes after Sync, want 1000 in 2", n, out.writes)
		}
		assert.Zero(t, time.Since(begin), "Sync waited")
	})
}

func TestCollectedLinesAreAtMostASecondLate(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var out buffer
		l := newLogger(t, logs.Config{Writer: &out})
		l.Info("first")
		synctest.Wait()
		l.Info("second")
		<-time.After(time.Second) // of the bubble's clock
		synctest.Wait()
		assert.Contains(t, out.String(), "second", "a line is not written after a second")
	})
}

// stuck is a writer that takes nothing until it is released.
type stuck struct {
	entered chan struct{}
	release chan struct{}
}

func (s stuck) Write(p []byte) (int, error) {
	s.entered <- struct{}{}
	<-s.release
	return len(p), nil
}

func TestStuckWriterDoesNotBlock(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		s := stuck{make(chan struct{}, 100), make(chan struct{})}
		var d counts
		l, err := logs.New(logs.Config{Writer: s, Dropped: d.add})
		require.NoError(t, err)
		l.Info("the writer takes this one")
		<-s.entered
		long := strings.Repeat("x", 10_000)
		const n = 300 // three times what the buffer holds
		for range n {
			l.Info(long)
		}
		dropped := d.get("queue_full")
		if dropped == 0 || dropped >= n {
			t.Errorf("%d of %d lines dropped", dropped, n)
		}
		assert.Error(t, l.Sync(), "Sync says that all is written")
		assert.Error(t, l.Close(), "Close says that all is written")
		close(s.release)
	})
}

// failing is a writer on a full disk.
type failing struct{}

func (failing) Write([]byte) (int, error) { return 0, errors.New("no space left on device") }

func TestFailedWritesAreCounted(t *testing.T) {
	var d counts
	l := newLogger(t, logs.Config{Writer: failing{}, Dropped: d.add})
	for range 5 {
		l.Info("lost")
	}
	require.NoError(t, l.Close())
	assert.Equal(t, 5, d.get("write_failed"), "lines counted as write_failed")
	l.Info("too late")
	assert.Equal(t, 1, d.get("shutdown"), "lines counted as shutdown")
}

func TestFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tap.log")
	require.NoError(t, os.WriteFile(path, []byte("from before\n"), 0o600))
	l := newLogger(t, logs.Config{File: path})
	l.Info("appended")
	require.NoError(t, l.Sync())
	require.NoError(t, os.Rename(path, path+".1"))
	require.NoError(t, l.Reopen())
	l.Info("rotated")
	require.NoError(t, l.Close())

	for name, want := range map[string][]string{path + ".1": {"from before", "appended"}, path: {"rotated"}} {
		f, err := os.Open(name)
		require.NoError(t, err)
		defer f.Close()
		b, err := io.ReadAll(f)
		require.NoError(t, err)
		lines := strings.Count(string(b), "\n")
		assert.Equal(t, len(want), lines, "%d lines in %s", lines, name)
		for _, w := range want {
			assert.True(t, bytes.Contains(b, []byte(w)), "%s has no %q", name, w)
		}
		info, err := f.Stat()
		require.NoError(t, err)
		if info.Mode().Perm() != 0o600 {
			t.Errorf("%s has mode %v, want 0600", name, info.Mode().Perm())
		}
	}
}

func TestReopenThatFailsKeepsTheFile(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "sub")
	require.NoError(t, os.Mkdir(dir, 0o700))
	path := filepath.Join(dir, "tap.log")
	l := newLogger(t, logs.Config{File: path})
	moved := dir + ".moved"
	require.NoError(t, os.Rename(dir, moved))
	assert.Error(t, l.Reopen(), "reopened a file in a directory that is gone")
	l.Info("still here")
	require.NoError(t, l.Close())
	if b, err := os.ReadFile(filepath.Join(moved, "tap.log")); err != nil || !bytes.Contains(b, []byte("still here")) {
		t.Errorf("the old file has %q, %v", b, err)
	}
}

func TestConcurrentLines(t *testing.T) {
	var out buffer
	l := newLogger(t, logs.Config{Writer: &out})
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for range 200 {
				l.Info("line")
			}
			_ = l.Sync()
		})
	}
	wg.Wait()
	require.NoError(t, l.Close())
	n := 0
	for line := range strings.Lines(out.String()) {
		require.True(t, json.Valid([]byte(line)), "torn line %q", line)
		n++
	}
	assert.Equal(t, 8*200, n, "lines")
}

func BenchmarkWrite(b *testing.B) {
	l := newLogger(b, logs.Config{Writer: io.Discard})
	events := logs.NewEvents(l.Logger, logs.EventsConfig{Access: true})
	r := new(record.Maker).New(attempt.Get("error_throttled"))
	b.ReportAllocs()
	for b.Loop() {
		events.Write(r)
	}
}
