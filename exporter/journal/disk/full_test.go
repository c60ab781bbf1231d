//go:build linux

package disk

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"slices"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"
	"go.uber.org/zap"
	"go.uber.org/zap/zapcore"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/exporter/record"
)

func init() { roles["limited"] = writeLimited }

// TestFullDisk limits the size of files, in a process of its own.
func TestFullDisk(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), os.Args[0], config(t).Path)
	cmd.Env = append(os.Environ(), roleVariable+"=limited")
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "%s", out)
}

// limitFiles limits the size of files; 0 sets no limit.
func limitFiles(bytes uint64) error {
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	limit.Cur = limit.Max
	if bytes > 0 {
		limit.Cur = bytes
	}
	return syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit)
}

// writeLimited begins on a full disk, then gets some room, fills it, and gets more: at
// the end every failure is in the file.
func writeLimited(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	core, logged := observer.New(zap.InfoLevel)
	warned := make(chan zapcore.Entry, 10)
	cfg := Config{Path: path, MaxEntries: 100_000, retry: 10 * time.Millisecond}
	cfg.Log = zap.New(core, zap.Hooks(func(e zapcore.Entry) error {
		if e.Level == zap.WarnLevel {
			warned <- e
		}
		return nil
	}))
	written := make(chan int, 1000)
	cfg.written = func(batch []*record.Record) { written <- len(batch) }
	var want []string
	add := func(s *Store, n int) {
		for range n {
			r := failure(1000)
			want = append(want, r.ID)
			s.Add(r)
		}
	}
	await := func(n int) {
		for n > 0 {
			n -= <-written
		}
	}

	if err := limitFiles(5000); err != nil { // less than an empty file has
		return err
	}
	s, _, err := Open(cfg)
	if err != nil {
		return err
	}
	if st := s.Stats(); st.Healthy || st.Failures == 0 || st.Corrupt != 0 {
		return fmt.Errorf("on a full disk: %+v", st)
	}
	add(s, 10)
	if err := limitFiles(256 << 10); err != nil {
		return err
	}
	await(10)
	<-warned
	add(s, 600)
	<-warned // the limit is reached
	if logged.FilterLevelExact(zap.WarnLevel).Len() != 2 {
		return fmt.Errorf("logged %v", logged.All())
	}
	if err := limitFiles(0); err != nil {
		return err
	}
	if err := s.Shutdown(context.Background()); err != nil {
		return err
	}
	s, got, err := Open(cfg)
	if err != nil {
		return err
	}
	if !slices.Equal(idsOf(got), want) {
		return fmt.Errorf("%d of %d failures are in the file", len(got), len(want))
	}
	if s.Stats().Corrupt != 0 {
		return errors.New("a full disk is taken for a corrupt file")
	}
	return s.Shutdown(context.Background())
}
