//go:build e2e

package fleet

import (
	"bytes"
	"context"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
)

// buffer collects the lines that a logger writes.
type buffer struct {
	mu    sync.Mutex
	b     []byte
	lines atomic.Int64
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	b.b = append(b.b, p...)
	b.mu.Unlock()
	b.lines.Add(int64(bytes.Count(p, []byte{'\n'})))
	return len(p), nil
}

// take returns the lines since the last call.
func (b *buffer) take() []byte {
	b.mu.Lock()
	defer b.mu.Unlock()
	lines := b.b
	b.b = nil
	return lines
}

// process is a running program.
type process struct {
	address string
	stop    func()
}

// storage starts a storage node of VictoriaLogs with its data in dir.
func storage(t *testing.T, address, dir string) *process {
	return start(t, address, "-storageDataPath="+dir, "-retentionPeriod=3d", "-memory.allowedPercent=20")
}

// cluster starts two storage nodes, and a node that inserts and selects.
func cluster(t *testing.T) (entry string, nodes [2]*process, dirs [2]string) {
	t.Helper()
	for i := range nodes {
		dirs[i] = t.TempDir()
		nodes[i] = storage(t, freeport.TCP(t), dirs[i])
	}
	front := start(t, freeport.TCP(t), "-storageNode="+nodes[0].address+","+nodes[1].address)
	return "http://" + front.address, nodes, dirs
}

// start starts VictoriaLogs until the test ends.
func start(t *testing.T, address string, args ...string) *process {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, victoriaLogs, append(args, "-httpListenAddr="+address, "-loggerLevel=WARN")...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 30 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	stop := sync.OnceFunc(func() {
		cancel()
		_ = cmd.Wait()
	})
	t.Cleanup(func() {
		stop()
		if t.Failed() {
			t.Logf("VictoriaLogs at %s printed:\n%s", address, out.Bytes()[max(0, out.Len()-4<<10):])
		}
	})
	until(t, address+" responds", func() bool {
		res, err := http.Get("http://" + address + "/health")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
	return &process{address, stop}
}

// until waits for a condition.
func until(t *testing.T, what string, holds func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(2 * time.Minute); !holds(); {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("waited too long until %s", what)
		}
	}
}

// size returns the size of the files in dir in MiB.
func size(t *testing.T, dir string) (mebibytes int64) {
	t.Helper()
	err := filepath.WalkDir(dir, func(_ string, e os.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		info, err := e.Info()
		if os.IsNotExist(err) { // merged meanwhile
			return nil
		}
		mebibytes += info.Size()
		return err
	})
	if err != nil && !os.IsNotExist(err) {
		t.Fatal(err)
	}
	return mebibytes >> 20
}

// buildTap builds the program and returns a function that runs it.
func buildTap(t *testing.T) func(args ...string) (code int, out, errOut string) {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ksyun-tap")
	out, err := exec.Command("go", "build", "-C", "../..", "-o", binary, "./cmd/ksyun-tap").CombinedOutput()
	require.NoError(t, err, "build\n%s", out)
	return func(args ...string) (int, string, string) {
		cmd := exec.Command(binary, args...)
		var out, errOut strings.Builder
		cmd.Stdout, cmd.Stderr = &out, &errOut
		if err := cmd.Run(); err != nil && cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode(), out.String(), errOut.String()
	}
}
