package subprocess_test

import (
	"os/exec"
	"path/filepath"
	"runtime"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/subprocess"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestRun(t *testing.T) {
	dir := t.TempDir()
	testfile.Write(t, filepath.Join(dir, "text"), "no program", 0o600)
	for _, tt := range []struct {
		name    string
		command []string
		started bool
		code    int
	}{
		{"success", []string{"true"}, true, 0},
		{"failure", []string{"sh", "-c", "exit 3"}, true, 3},
		{"killed", []string{"sh", "-c", "kill -9 $$"}, true, 137},
		{"not found", []string{filepath.Join(dir, "none")}, false, 127},
		{"not in PATH", []string{"no-such-command-anywhere"}, false, 127},
		{"not executable", []string{filepath.Join(dir, "text")}, false, 126},
	} {
		started, code, err := subprocess.Run(exec.Command(tt.command[0], tt.command[1:]...), func(n int) { t.Errorf("%s: %d left", tt.name, n) })
		if started != tt.started || code != tt.code || (err == nil) != tt.started {
			t.Errorf("%s: started %t, exit code %d, %v", tt.name, started, code, err)
		}
	}
}

// TestProcessesLeft checks that Run ends only after a process that the command left.
func TestProcessesLeft(t *testing.T) {
	if runtime.GOOS != "linux" {
		return // elsewhere, init is the parent of such processes
	}
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, exec.Command("mkfifo", pipe).Run())
	done := filepath.Join(t.TempDir(), "done")
	left := 0
	started, code, err := subprocess.Run(exec.Command("sh", "-c", "(read line <"+pipe+"; echo $line >"+done+") & exit 3"), func(n int) {
		left = n
		testfile.Write(t, pipe, "line\n", 0o600) // ends it
	})
	if !started || code != 3 || left != 1 || err != nil {
		t.Errorf("started %t, exit code %d, %d left, %v", started, code, left, err)
	}
	require.Equal(t, "line\n", string(testfile.Read(t, done)))
}
