//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
)

// exits waits for a program to end by itself and returns its exit code.
func exits(t *testing.T, cmd *exec.Cmd) int {
	t.Helper()
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	select {
	case err := <-ended:
		if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
			t.Fatal(err)
		}
		return cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		_ = cmd.Process.Kill()
		t.Fatal("it does not end")
		return -1
	}
}

// TestReaderOfTheLogGoesAway closes the pipe that a tap logs to: it stays, and
// ends well on SIGTERM.
func TestReaderOfTheLogGoesAway(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	proxy, admin := freeport.TCP(t), freeport.TCP(t)
	cmd := exec.Command(binary, "run", "--log.access", "--proxy.listen-address="+proxy, "--web.listen-address="+admin)
	cmd.Stderr = w
	require.NoError(t, cmd.Start())
	w.Close()
	if _, err := bufio.NewReader(r).ReadString('\n'); err != nil {
		t.Fatal(err)
	}
	r.Close()
	awaitReady(t, "the tap", "http://"+admin)
	for range 3 { // each is a line, now or later
		require.NoError(t, cmd.Process.Signal(syscall.SIGHUP))
		eventually(t, "lines are lost", func() bool {
			_, metrics := get(t, "http://"+admin+"/metrics")
			return !strings.Contains(metrics, `ksyun_tap_observations_dropped_total{reason="write_failed",sink="logs"} 0`)
		})
	}
	require.NoError(t, cmd.Process.Signal(syscall.SIGTERM))
	if code := exits(t, cmd); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestExecWhoseReaderGoesAway closes standard error: the command's exit code
// stays, and the command dies of a closed pipe as it would without.
func TestExecWhoseReaderGoesAway(t *testing.T) {
	t.Parallel()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	r.Close()
	defer w.Close()
	for script, want := range map[string]int{"exit 3": 3, "exec yes >&2": 128 + int(syscall.SIGPIPE)} {
		cmd := exec.Command(binary, "exec", "--", "sh", "-c", script)
		cmd.Stderr = w
		require.NoError(t, cmd.Start())
		if code := exits(t, cmd); code != want {
			t.Errorf("%s: exit code %d, want %d", script, code, want)
		}
	}
}

// fullPipe returns a pipe that takes nothing more.
func fullPipe(t *testing.T) (w *os.File) {
	t.Helper()
	r, w, err := os.Pipe()
	require.NoError(t, err)
	t.Cleanup(func() { r.Close(); w.Close() })
	require.NoError(t, w.SetWriteDeadline(time.Now().Add(100*time.Millisecond)))
	if _, err := w.Write(bytes.Repeat([]byte("x"), 1<<20)); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Fatalf("the pipe is not full: %v", err)
	}
	w.Fd() // from now on writes block
	return w
}

// TestStuckStandardError has standard error take nothing: the tap ends when it
// is asked to, and exec with the command's exit code.
func TestStuckStandardError(t *testing.T) {
	t.Parallel()
	admin := freeport.TCP(t)
	tap := exec.Command(binary, "run", "--proxy.listen-address="+freeport.TCP(t), "--web.listen-address="+admin)
	tap.Stderr = fullPipe(t)
	require.NoError(t, tap.Start())
	awaitReady(t, "the tap", "http://"+admin)
	require.NoError(t, tap.Process.Signal(syscall.SIGTERM))
	if code := exits(t, tap); code != 0 {
		t.Errorf("the tap: exit code %d", code)
	}

	cmd := exec.Command(binary, "exec", "--", "sh", "-c", "exit 3")
	cmd.Stderr = fullPipe(t)
	require.NoError(t, cmd.Start())
	if code := exits(t, cmd); code != 3 {
		t.Errorf("exec: exit code %d", code)
	}

	pipe := filepath.Join(t.TempDir(), "summary")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	cmd = exec.Command(binary, "exec", "--summary.file="+pipe, "--", "sh", "-c", "exit 3")
	require.NoError(t, cmd.Start())
	if code := exits(t, cmd); code != 3 {
		t.Errorf("a summary to a pipe without a reader: exit code %d", code)
	}
}

// TestPipesInPlaceOfFiles has the log and the configuration be named pipes.
func TestPipesInPlaceOfFiles(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	logPipe, settings := filepath.Join(dir, "log"), filepath.Join(dir, "settings")
	for _, name := range []string{logPipe, settings} {
		require.NoError(t, syscall.Mkfifo(name, 0o600))
	}
	go os.WriteFile(settings, []byte("journal.size: 7\n"), 0o600)
	tap := startSilent(t, binary, "--config.file="+settings, "--log.file="+logPipe)
	require.NoError(t, tap.cmd.Process.Signal(syscall.SIGHUP))
	eventually(t, "the reload fails", func() bool {
		_, metrics := get(t, "http://"+tap.admin+"/metrics")
		return strings.Contains(metrics, "\nksyun_tap_config_last_reload_successful 0\n") && strings.Contains(metrics, "\nksyun_tap_journal_capacity 7\n")
	})
	f, err := os.Open(logPipe)
	require.NoError(t, err)
	defer f.Close()
	require.NoError(t, f.SetReadDeadline(time.Now().Add(patience)))
	lines := bufio.NewScanner(f)
	for found := false; !found; found = strings.Contains(lines.Text(), "can be read only once") {
		require.True(t, lines.Scan(), "the log does not say why the reload failed")
	}
	if code := tap.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d", code)
	}
}

// TestRotateWithoutReload renames the log and sends SIGUSR1.
func TestRotateWithoutReload(t *testing.T) {
	t.Parallel()
	log := filepath.Join(t.TempDir(), "tap.log")
	tap := startSilent(t, binary, "--log.file="+log, "--log.format=logfmt", "--log.access")
	require.NoError(t, os.Rename(log, log+".1"))
	require.NoError(t, tap.cmd.Process.Signal(syscall.SIGUSR1))
	eventually(t, "there is a new log", func() bool {
		_, err := os.Stat(log)
		return err == nil
	})
	req, err := http.NewRequest(http.MethodGet, "http://"+tap.proxy+"/", http.NoBody)
	require.NoError(t, err)
	req.Host = "other.example"
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	io.Copy(io.Discard, res.Body)
	res.Body.Close()
	eventually(t, "a line is in the new log", func() bool {
		text, err := os.ReadFile(log)
		return err == nil && strings.Contains(string(text), " event=ksyun.tap.refused ")
	})
	if old, err := os.ReadFile(log + ".1"); err != nil || !strings.Contains(string(old), `msg="ksyun-tap started"`) || strings.Contains(string(old), "reloaded") {
		t.Errorf("the old log: %v, %s", err, old)
	}
}

// TestPortWithoutRights listens on port 80 as nobody.
func TestPortWithoutRights(t *testing.T) {
	t.Parallel()
	if os.Geteuid() != 0 {
		t.Skip("only root can become somebody else")
	}
	if text, err := os.ReadFile("/proc/sys/net/ipv4/ip_unprivileged_port_start"); err == nil && strings.TrimSpace(string(text)) == "0" {
		t.Skip("every user may listen on every port here")
	}
	require.NoError(t, os.Chmod(filepath.Dir(binary), 0o755))
	cmd := exec.Command(binary, "run", "--proxy.listen-address=127.0.0.1:80", "--web.listen-address=127.0.0.1:0")
	cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
	out, err := cmd.CombinedOutput()
	if err == nil || !strings.Contains(string(out), "--proxy.listen-address=127.0.0.1:80: ") || !strings.Contains(string(out), "CAP_NET_BIND_SERVICE") || strings.Contains(string(out), "what holds it") {
		t.Errorf("%v: %s", err, out)
	}
}

// TestOddSystemVariables has what a system or a service manager sets be wrong:
// the tap starts, takes a call, names what it ignores, and ends.
func TestOddSystemVariables(t *testing.T) {
	t.Parallel()
	full, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: filepath.Join(t.TempDir(), "full"), Net: "unixgram"})
	require.NoError(t, err)
	defer full.Close() // nobody reads it
	for env, ignored := range map[string]string{
		"WATCHDOG_USEC=soon": "WATCHDOG_USEC", "WATCHDOG_USEC=-5": "WATCHDOG_USEC", "WATCHDOG_USEC=30000000 WATCHDOG_PID=me": "WATCHDOG_USEC",
		"LISTEN_FDS=1": "LISTEN_FDS", "LISTEN_FDS=2000000000": "LISTEN_FDS", "LISTEN_FDS=1 LISTEN_FDNAMES=proxy": "LISTEN_FDS",
		"LISTEN_FDS=many": "", "LISTEN_FDS=-1": "", "NOTIFY_SOCKET=/nonexistent": "", "NOTIFY_SOCKET=@nobody": "", "NOTIFY_SOCKET=relative": "",
		"WATCHDOG_USEC=30000 NOTIFY_SOCKET=" + full.LocalAddr().String(): "",
		"GOMEMLIMIT=0": "", "GOMEMLIMIT=1MiB": "", "GOMEMLIMIT=off": "", "GOGC=some": "", "GOGC=off": "", "GOMAXPROCS=none": "", "GOMAXPROCS=1": "", "GODEBUG=,=,x=y": "",
		"TZ=Nowhere/Place": "", "LANG=xx": "", "HOME=/nonexistent": "", "PATH=": "", "INVOCATION_ID=x": "", "JOURNAL_STREAM=1:2": "",
	} {
		t.Run(env, func(t *testing.T) {
			proxy, admin := freeport.TCP(t), freeport.TCP(t)
			cmd := exec.Command("/bin/sh", "-c", `LISTEN_PID=$$ exec "$0" run --proxy.listen-address="$1" --web.listen-address="$2"`, binary, proxy, admin)
			cmd.Env = append(os.Environ(), strings.Fields(env)...)
			r, w := io.Pipe()
			cmd.Stdout, cmd.Stderr = w, w
			tap := follow(t, cmd, r, w)
			awaitReady(t, "the tap", "http://"+admin)
			if ignored != "" {
				tap.wait("an environment variable is ignored", ignored)
			}
			if code := tap.stop(syscall.SIGTERM); code != 0 {
				t.Errorf("exit code %d", code)
			}
			if ignored == "" && strings.Contains(tap.text(), "variable is ignored") {
				t.Error("a variable is ignored")
			}
		})
	}
}
