package disk

import (
	"context"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	bolterrors "go.etcd.io/bbolt/errors"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

func TestSurvivesRestart(t *testing.T) {
	cfg := config(t)
	want := fill(t, cfg, 300, 100)
	s, got := open(t, cfg)
	require.Equal(t, want, got, "%d records were read, want the %d that were written, as they were", len(got), len(want))
	info, err := os.Stat(cfg.Path)
	if err != nil || info.Mode().Perm() != mode {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	if st := s.Stats(); !st.Healthy || st.Entries != 300 || st.Bytes != info.Size() {
		t.Errorf("%+v", st)
	}
	s.Add(failure(1))
	shutdown(t, s)
	if s.Add(failure(1)); s.Stats().Written != 1 || s.Stats().Lost != 1 {
		t.Errorf("%+v, want 1 written, and 1 lost after the end", s.Stats())
	}
}

// TestUpdate checks that a record with the ID of another replaces it, whether that is
// in the file already or not.
func TestUpdate(t *testing.T) {
	cfg := config(t)
	want := fill(t, cfg, 3, 100)
	f, _, err := openFile(&cfg, time.Now())
	require.NoError(t, err)
	want = append(want, failure(100))
	added := []*record.Record{want[3]}
	for _, i := range []int{1, 3} {
		resolved := *want[i]
		resolved.CallOutcome = diagnosis.CallSuccessAfterRetry
		want[i] = &resolved
		added = append(added, &resolved)
	}
	require.NoError(t, f.write(encode(added), time.Now()))
	entries, data := f.entries, f.data
	f.close()
	f, got, err := openFile(&cfg, time.Now())
	require.NoError(t, err)
	defer f.close()
	assert.Equal(t, want, got, "%d records were read, want the %d newest ones", len(got), len(want))
	if f.entries != entries || f.data != data {
		t.Errorf("%d entries of %d bytes were counted, there are %d of %d", entries, data, f.entries, f.data)
	}
}

func TestLimits(t *testing.T) {
	tests := map[string]struct {
		change  func(*Config)
		n, size int
		want    func(got int) bool
	}{
		"count": {func(c *Config) { c.MaxEntries = 10 }, 600, 10, func(got int) bool { return got == 10 }},
		"bytes": {func(c *Config) { c.MaxBytes = 1 << 20 }, 900, 1000, func(got int) bool { return got > 100 && got < 900 }},
		"age":   {func(c *Config) { c.MaxAge = time.Nanosecond }, 10, 10, func(got int) bool { return got == 0 }},
		"none":  {func(*Config) {}, 900, 1000, func(got int) bool { return got == 900 }},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			tt.change(&cfg)
			want := fill(t, cfg, tt.n, tt.size)
			_, got := open(t, cfg)
			if !tt.want(len(got)) || !slices.Equal(idsOf(got), idsOf(want[len(want)-len(got):])) {
				t.Errorf("%d of %d records are left, or not the newest", len(got), len(want))
			}
		})
	}
}

// TestFileSize writes records of every size to a small file, in batches of every
// size: no transaction may fail for lack of room.
func TestFileSize(t *testing.T) {
	cfg := config(t)
	cfg.MaxBytes, cfg.MaxEntries = 1<<20, 100_000
	f, _, err := openFile(&cfg, time.Now())
	require.NoError(t, err)
	defer f.close()
	random := rand.New(rand.NewPCG(1, 2))
	for i := range 600 {
		batch := make([]*record.Record, 1+random.IntN(16))
		for j := range batch {
			batch[j] = failure(random.IntN(6000))
		}
		if err := f.write(encode(batch), time.Now()); err != nil {
			t.Fatalf("batch %d with %d bytes of data in %d of file: %v", i, f.data, f.size(), err)
		}
		if f.size() > cfg.MaxBytes {
			t.Fatalf("batch %d: the file has %d bytes", i, f.size())
		}
	}
}

func TestCorruptFile(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	flip := func(b []byte) []byte {
		for range 64 {
			b[random.IntN(len(b))] ^= byte(1 + random.IntN(255))
		}
		return b
	}
	// set returns a change of a byte of each page of a type: 1 is a branch, 2 a leaf.
	set := func(kind byte, offset int, value byte) func([]byte) []byte {
		return func(b []byte) []byte {
			for at := 2 * 4096; at+4096 <= len(b); at += 4096 {
				if b[at+8] == kind && b[at+9] == 0 {
					b[at+offset] = value
				}
			}
			return b
		}
	}
	tests := map[string]func([]byte) []byte{
		"numbers of elements":  set(2, 11, 1),
		"lengths of pages":     set(2, 15, 0x10),
		"positions of keys":    set(1, 16+16+3, 0x40),
		"lengths of keys":      set(1, 16+16+4+3, 0x10),
		"another kind of file": func([]byte) []byte { return []byte("hello\n") },
		"random bytes": func(b []byte) []byte {
			for i := range b {
				b[i] = byte(random.Uint32())
			}
			return b
		},
		"zeros":                       func(b []byte) []byte { return make([]byte, len(b)) },
		"truncated to a byte":         func(b []byte) []byte { return b[:1] },
		"truncated in the first page": func(b []byte) []byte { return b[:5000] },
		"truncated to the first page": func(b []byte) []byte { return b[:4096] },
		"truncated in half":           func(b []byte) []byte { return b[:len(b)/2] },
		"flipped bytes":               flip,
		"a flipped record": func(b []byte) []byte {
			b[strings.LastIndex(string(b), "LimitExceeded")] ^= 1
			return b
		},
		"flipped pages": func(b []byte) []byte {
			for at := 4 * 4096; at+8192 <= len(b); at += 3 * 4096 {
				clear(b[at : at+4096])
			}
			return b
		},
	}
	for name, change := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			core, logged := observer.New(zap.InfoLevel)
			cfg.Log = zap.New(core)
			fill(t, cfg, 500, 500)
			b, err := os.ReadFile(cfg.Path)
			require.NoError(t, err)
			require.NoError(t, os.WriteFile(cfg.Path, change(b), mode))
			s, got := open(t, cfg)
			aside, _ := filepath.Glob(cfg.Path + ".corrupt-*")
			if len(got) != 0 || len(aside) != 1 || s.Stats().Corrupt != 1 || !s.Stats().Healthy {
				t.Fatalf("%d records, set aside %v, %+v", len(got), aside, s.Stats())
			}
			if e := logged.FilterMessageSnippet("renamed").All(); len(e) != 1 || e[0].ContextMap()["renamed_to"] != aside[0] {
				t.Errorf("logged %v", logged.All())
			}
			shutdown(t, s)
			want := fill(t, cfg, 3, 10)
			if _, got := open(t, cfg); !slices.Equal(idsOf(got), idsOf(want)) {
				t.Errorf("the new file has %v, want %v", idsOf(got), idsOf(want))
			}
		})
	}
}

// TestFlippedBytes flips a few random bytes many times: whatever that hits, the file
// opens with records as they were written, or it is set aside.
func TestFlippedBytes(t *testing.T) {
	cfg := config(t)
	written := map[string]*record.Record{}
	for _, r := range fill(t, cfg, 200, 300) {
		written[r.ID] = r
	}
	intact, err := os.ReadFile(cfg.Path)
	require.NoError(t, err)
	random := rand.New(rand.NewPCG(5, 6))
	for range 150 {
		b := slices.Clone(intact)
		for range 1 + random.IntN(3) {
			b[random.IntN(len(b))] ^= 1 << random.IntN(8)
		}
		cfg := config(t)
		require.NoError(t, os.WriteFile(cfg.Path, b, mode))
		s, got := open(t, cfg)
		for _, r := range got {
			require.Equal(t, written[r.ID], r, "%s was read differently", r.ID)
		}
		shutdown(t, s)
	}
}

// TestCorruptWhileOpen changes the file under the store: it is set aside with the next
// batch, and that batch is written to the new file.
func TestCorruptWhileOpen(t *testing.T) {
	cfg := config(t)
	cfg.retry = time.Millisecond
	fill(t, cfg, 500, 500)
	s, _ := open(t, cfg)
	require.NoError(t, os.Truncate(cfg.Path, 8192))
	want := failure(1)
	s.Add(want)
	shutdown(t, s)
	s, got := open(t, cfg)
	if ids := idsOf(got); !slices.Equal(ids, []string{want.ID}) || s.Stats().Corrupt != 0 {
		t.Errorf("read %v, %+v", ids, s.Stats())
	}
}

func TestRefused(t *testing.T) {
	tests := map[string]struct {
		path func(t *testing.T, cfg Config) string
		want string
	}{
		"locked": {func(t *testing.T, cfg Config) string {
			open(t, cfg)
			return cfg.Path
		}, "another process uses the file: give each tap"},
		"no directory": {func(_ *testing.T, cfg Config) string { return filepath.Join(cfg.Path, "a", "b") }, "the directory does not exist: create it"},
		"a directory":  {func(_ *testing.T, cfg Config) string { return filepath.Dir(cfg.Path) }, "is a directory: name a file"},
		"a device":     {func(*testing.T, Config) string { return os.DevNull }, "not a regular file: name a file"},
		"below a file": {func(t *testing.T, cfg Config) string {
			fill(t, cfg, 1, 1)
			return filepath.Join(cfg.Path, "a")
		}, "name a file in a directory"},
		"read-only": {func(*testing.T, Config) string { return "/proc/sys/journal.db" }, "--journal.path=/proc/sys/journal.db"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			cfg := config(t)
			cfg.Path = tt.path(t, cfg)
			s, _, err := Open(cfg)
			if err == nil {
				_ = s.Shutdown(t.Context())
			}
			var user *usererror.Error
			if !errors.As(err, &user) || user.Hint == "" || !strings.HasPrefix(err.Error(), "--journal.path="+cfg.Path+": ") || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("%v, want %q", err, tt.want)
			}
			// /proc reports different errors for opening and for access.
			checked := Check(cfg.Path)
			if (checked == nil) != (name == "locked") || checked != nil && name != "read-only" && checked.Error() != err.Error() {
				t.Errorf("Check: %v, want %v", checked, err)
			}
		})
	}
}

// TestExplain has the errors that a test cannot cause on every machine.
func TestExplain(t *testing.T) {
	for _, f := range faults {
		err := explain("/j", &os.PathError{Op: "open", Path: "/j", Err: f.err})
		if !strings.HasPrefix(err.Error(), "--journal.path=/j: ") || !strings.HasSuffix(err.Error(), f.what+": "+f.hint) && f.what != "" {
			t.Errorf("%v", err)
		}
	}
	if err := explain("/j", bolterrors.ErrTxClosed); usererror.Hint(err) == "" || !temporary(err) {
		t.Errorf("%v", err)
	}
}

// TestBrokenDisk takes the file away and brings it back: nothing is lost but what
// exceeds the limit.
func TestBrokenDisk(t *testing.T) {
	cfg := config(t)
	cfg.retry = time.Millisecond
	core, logged := observer.New(zap.InfoLevel)
	cfg.Log = zap.New(core)
	written := make(chan int, 100)
	cfg.written = func(batch []*record.Record) { written <- len(batch) }
	s := &Store{cfg: cfg, queue: make(chan *record.Record, maxQueued), done: make(chan struct{})}
	s.healthy.Store(true)
	dir := filepath.Dir(cfg.Path)
	require.NoError(t, os.Rename(dir, dir+".away"))
	for range maxPending + 10 {
		s.hold(failure(1))
	}
	s.flush()
	s.flush()
	if st := s.Stats(); st.Healthy || st.Failures != 2 || st.Lost != 10 || logged.Len() != 1 {
		t.Errorf("%+v, logged %v; want one warning", st, logged.All())
	}
	require.NoError(t, os.Rename(dir+".away", dir))
	go s.run()
	for n := 0; n < maxPending; {
		n += <-written
	}
	shutdown(t, s)
	if st := s.Stats(); !st.Healthy || st.Written != maxPending || logged.FilterMessageSnippet("again").Len() != 2 {
		t.Errorf("%+v, logged %v", st, logged.All())
	}
}

// TestLongTexts checks how many records with long texts wait for the disk.
func TestLongTexts(t *testing.T) {
	s := &Store{queue: make(chan *record.Record, maxQueued), done: make(chan struct{})}
	r := failure(0)
	r.Message = strings.Repeat("m", 16<<10-r.TextBytes())
	const fit = 4 << 20 / (16 << 10)
	for range fit + 10 {
		s.Add(r)
	}
	assert.Equal(t, Stats{Lost: 10}, s.Stats())
	assert.Len(t, s.queue, fit, "queued")

	for range 10 {
		s.hold(failure(1))
	}
	for range fit {
		s.hold(r)
	}
	assert.Equal(t, Stats{Lost: 20}, s.Stats(), "the oldest are dropped")
	assert.Equal(t, slices.Repeat([]*record.Record{r}, fit), s.pending)
	n, texts := s.batch()
	assert.Equal(t, fit/4, n, "records of a transaction")
	assert.Equal(t, 1<<20, texts, "their texts")

	s.cfg = config(t)
	go s.run()
	shutdown(t, s)
	assert.EqualValues(t, 2*(fit+10), s.Stats().Written+s.Stats().Lost)
	assert.Zero(t, s.texts.Load(), "of what was queued")
	assert.Zero(t, s.pendingTexts, "of what was pending")
}

// TestShutdownInTime blocks the writer: Shutdown returns when its context ends.
func TestShutdownInTime(t *testing.T) {
	cfg := config(t)
	block := make(chan struct{})
	cfg.written = func([]*record.Record) { <-block }
	s, _ := open(t, cfg)
	s.Add(failure(1))
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	assert.ErrorIs(t, s.Shutdown(ctx), context.Canceled)
	close(block)
	shutdown(t, s)
}

func BenchmarkAdd(b *testing.B) {
	s, _ := open(b, config(b))
	r := failure(100)
	b.ReportAllocs()
	for b.Loop() {
		s.Add(r)
	}
}

func BenchmarkWriteBatch(b *testing.B) {
	cfg := config(b)
	f, _, err := openFile(&cfg, time.Now())
	if err != nil {
		b.Fatal(err)
	}
	defer f.close()
	b.ReportAllocs()
	for b.Loop() {
		batch := make([]*record.Record, maxBatch)
		for i := range batch {
			batch[i] = failure(1000)
		}
		if err := f.write(encode(batch), time.Now()); err != nil {
			b.Fatal(err)
		}
	}
}
