//go:build unix

package logs_test

import (
	"bufio"
	"encoding/json"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
)

func newPipe(t *testing.T) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(name, 0o600))
	return name
}

// within fails if f does not return soon: it must not wait for anybody.
func within(t *testing.T, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		f()
	}()
	select {
	case <-done:
	case <-time.After(10 * time.Second):
		t.Fatalf("%s: blocked", what)
	}
}

// TestPipeWithoutReader opens, fills, reopens and closes a named pipe that
// nobody reads.
func TestPipeWithoutReader(t *testing.T) {
	name := newPipe(t)
	var l *logs.Logger
	var d counts
	within(t, "open", func() {
		var err error
		l, err = logs.New(logs.Config{File: name, Dropped: d.add})
		assert.NoError(t, err)
	})
	text := strings.Repeat("x", 1000)
	for range 3000 { // more than pipe and queue hold
		l.Info(text)
	}
	within(t, "reopen", func() {
		assert.NoError(t, l.Reopen())
	})
	within(t, "close", func() { _ = l.Close() })
	assert.NotZero(t, d.get("queue_full"), "nothing was dropped, so the pipe was not full")
}

// TestPipeWhoseReaderComesLate loses nothing.
func TestPipeWhoseReaderComesLate(t *testing.T) {
	name := newPipe(t)
	l := newLogger(t, logs.Config{File: name})
	l.Info("early")
	f, err := os.Open(name)
	require.NoError(t, err)
	defer f.Close()
	line, err := bufio.NewReader(f).ReadString('\n')
	require.NoError(t, err, "read")
	assert.Contains(t, line, "early", "read")
}

// TestStandardStreams logs to the standard streams by their names, where they
// are sockets, which cannot be opened by name.
func TestStandardStreams(t *testing.T) {
	if file := os.Getenv("TEST_LOG_FILE"); file != "" {
		l, err := logs.New(logs.Config{File: file})
		require.NoError(t, err)
		l.Info("hello")
		require.NoError(t, l.Reopen())
		l.Info("again")
		require.NoError(t, l.Close())
		return
	}
	self, err := os.Executable()
	require.NoError(t, err)
	for file, fd := range map[string]int{"-": 1, "/dev/stdout": 1, "/dev/fd/1": 1, "/dev/stderr": 2, "/proc/self/fd/2": 2} {
		pair, err := syscall.Socketpair(syscall.AF_UNIX, syscall.SOCK_STREAM, 0)
		require.NoError(t, err)
		ours, theirs := os.NewFile(uintptr(pair[0]), "ours"), os.NewFile(uintptr(pair[1]), "theirs")
		cmd := exec.Command(self, "-test.run=^TestStandardStreams$")
		cmd.Env = append(os.Environ(), "TEST_LOG_FILE="+file)
		if fd == 1 {
			cmd.Stdout = theirs
		} else {
			cmd.Stderr = theirs
		}
		assert.NoError(t, cmd.Run(), file)
		theirs.Close()
		var got []string
		for s := bufio.NewScanner(ours); s.Scan(); {
			var line struct{ Msg string }
			if json.Unmarshal(s.Bytes(), &line) == nil && line.Msg != "" {
				got = append(got, line.Msg)
			}
		}
		ours.Close()
		assert.Equal(t, "hello again", strings.Join(got, " "), "%s: got %q", file, got)
	}
}

func TestLogfmt(t *testing.T) {
	var out buffer
	l := newLogger(t, logs.Config{Format: "logfmt", Writer: &out})
	l.With(zap.String("with", "x")).Info("two words", zap.String("empty", ""), zap.String("quote", `a"b`), zap.String("equals", "a=b"),
		zap.String("line", "a\nb"), zap.Int("n", -1), zap.Bool("b", true), zap.Strings("list", []string{"a", `b"]`}),
		zap.Dict("object", zap.String("k", "}")), zap.String("bare", "127.0.0.1:80"), zap.String("umlaut", "ü"))
	require.NoError(t, l.Close())
	first, got, _ := strings.Cut(out.String(), " ")
	at, got, _ := strings.Cut(got, " ")
	if first != "level=info" || !strings.HasPrefix(at, "ts=20") {
		t.Errorf("it begins with %s %s", first, at)
	}
	want := `msg="two words" with=x empty="" quote="a\"b" equals="a=b" line="a\nb" n=-1 b=true list="[\"a\",\"b\\\"]\"]" object="{\"k\":\"}\"}" bare=127.0.0.1:80 umlaut="ü"` + "\n"
	assert.Equal(t, want, got)
}

func TestCheckFile(t *testing.T) {
	dir := t.TempDir()
	missing := filepath.Join(dir, "new.log")
	for _, good := range []string{"", "-", "/dev/stderr", missing, newPipe(t)} {
		assert.NoError(t, logs.CheckFile(good), good)
	}
	_, err := os.Stat(missing)
	assert.Error(t, err, "it made the file")
	for _, bad := range []string{dir, filepath.Join(dir, "none", "x.log")} {
		assert.Error(t, logs.CheckFile(bad), "%q is taken", bad)
	}
}
