//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
)

// patience is how long any single thing may take before a test gives up.
var patience = setting("E2E_PATIENCE", time.Minute, time.ParseDuration)

// setting returns the value of an environment variable, for machines that are slow.
func setting[T any](name string, otherwise T, parse func(string) (T, error)) T {
	s := os.Getenv(name)
	if s == "" {
		return otherwise
	}
	return must(parse(s))
}

var binary string

// clientVariable makes this binary a client of the API instead of a test.
const clientVariable = "E2E_KSYUN_CLIENT"

// binaryVariable names the binary where a test runs this one again, on a network
// of its own.
const binaryVariable = "E2E_KSYUN_TAP"

func TestMain(m *testing.M) {
	if os.Getenv(clientVariable) != "" {
		goClient()
		return
	}
	os.Exit(func() int {
		dir, err := os.MkdirTemp("", "ksyun-tap-e2e")
		if err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		defer os.RemoveAll(dir)
		if binary = os.Getenv(binaryVariable); binary != "" {
			return m.Run()
		}
		binary = filepath.Join(dir, "ksyun-tap")
		if err := build(binary, "-race"); err != nil {
			fmt.Fprintln(os.Stderr, err)
			return 1
		}
		return m.Run()
	}())
}

// build builds the tap. With -race, calls and scrapes take ten times as long.
func build(to string, flags ...string) error {
	args := append([]string{"build", "-C", "../..", "-pgo=off", "-o", to}, flags...)
	if out, err := exec.Command("go", append(args, "./cmd/ksyun-tap")...).CombinedOutput(); err != nil {
		return fmt.Errorf("build: %w\n%s", err, out)
	}
	return nil
}

// subtests run at the same time, however many tests do: they mostly wait, so that
// t.Parallel, which has them wait for their turn as well, is not for them.
type subtests struct{ sync.WaitGroup }

func (s *subtests) run(t *testing.T, name string, f func(*testing.T)) {
	s.Go(func() { t.Run(name, f) })
}

// process is a running program whose output is read line by line.
type process struct {
	t    *testing.T
	cmd  *exec.Cmd
	mu   sync.Mutex
	out  bytes.Buffer
	more chan struct{} // closed and replaced at each line
	exit chan error
}

func start(t *testing.T, env []string, name string, args ...string) *process {
	t.Helper()
	cmd := exec.Command(name, args...)
	cmd.Env = append(os.Environ(), env...)
	// A session of its own: signals of the terminal that the tests run on are
	// not for it.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	if _, err := cmd.StdinPipe(); err != nil { // open until the process ends
		t.Fatal(err)
	}
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	return follow(t, cmd, r, w)
}

// follow starts a program that writes to w, and reads from r what it printed.
func follow(t *testing.T, cmd *exec.Cmd, r io.Reader, w io.Closer) *process {
	t.Helper()
	p := &process{t: t, cmd: cmd, more: make(chan struct{}), exit: make(chan error, 1)}
	require.NoError(t, p.cmd.Start())
	read := make(chan struct{})
	go func() {
		defer close(read)
		buf := make([]byte, 64<<10)
		for {
			n, err := r.Read(buf)
			p.mu.Lock()
			p.out.Write(buf[:n])
			close(p.more)
			p.more = make(chan struct{})
			p.mu.Unlock()
			if err != nil {
				return
			}
		}
	}()
	go func() {
		err := p.cmd.Wait()
		w.Close()
		<-read
		p.exit <- err
	}()
	t.Cleanup(func() {
		_ = p.cmd.Process.Kill()
		if _, race, found := strings.Cut(p.text(), "WARNING: DATA RACE"); found {
			t.Errorf("%s has a data race:%s", filepath.Base(cmd.Path), race[:min(len(race), 8<<10)])
		}
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(cmd.Path), tail(p.text(), 8<<10))
		}
	})
	return p
}

func tail(s string, n int) string { return s[max(0, len(s)-n):] }

func (p *process) text() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.out.String()
}

// wait returns the first line of output that holds all of parts.
func (p *process) wait(parts ...string) string {
	p.t.Helper()
	timeout := time.After(patience)
	for {
		p.mu.Lock()
		more, text := p.more, p.out.String()
		p.mu.Unlock()
		for line := range strings.Lines(text) {
			if holds(line, parts) {
				return line
			}
		}
		select {
		case <-more:
		case <-timeout:
			p.t.Fatalf("no line with %q", parts)
		}
	}
}

func holds(s string, parts []string) bool {
	for _, part := range parts {
		if !strings.Contains(s, part) {
			return false
		}
	}
	return true
}

// stop sends a signal and returns the exit code.
func (p *process) stop(sig os.Signal) int {
	p.t.Helper()
	if err := p.cmd.Process.Signal(sig); err != nil {
		p.t.Fatal(err)
	}
	select {
	case <-p.exit:
		return p.cmd.ProcessState.ExitCode()
	case <-time.After(patience):
		p.t.Fatal("it does not stop")
		return -1
	}
}

// runningTap is the real binary at work.
type runningTap struct {
	*process
	proxy, admin string // addresses
}

func startTap(t *testing.T, env []string, args ...string) *runningTap {
	t.Helper()
	return startProgram(t, binary, env, args...)
}

// startProgram starts a tap of that binary.
func startProgram(t *testing.T, program string, env []string, args ...string) *runningTap {
	t.Helper()
	p := start(t, env, program, append([]string{"run", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0", "--web.enable-lifecycle"}, args...)...)
	var line struct{ Proxy, Web []string }
	require.NoError(t, json.Unmarshal([]byte(p.wait("ksyun-tap started")), &line))
	return &runningTap{p, line.Proxy[0], line.Web[0]}
}

// startSilent starts a tap whose log is not to be had, and waits until it is
// ready.
func startSilent(t *testing.T, program string, args ...string) *runningTap {
	t.Helper()
	proxy, admin := freeport.TCP(t), freeport.TCP(t)
	p := start(t, nil, program, append([]string{"run", "--proxy.listen-address=" + proxy, "--web.listen-address=" + admin, "--web.enable-lifecycle"}, args...)...)
	awaitReady(t, "the tap", "http://"+admin)
	return &runningTap{p, proxy, admin}
}

// logScrape logs whether the tap can be scraped, and its stacks if that takes too long.
func (p *runningTap) logScrape() {
	p.t.Helper()
	began := time.Now()
	res, err := (&http.Client{Timeout: 10 * time.Second}).Get("http://" + p.admin + "/metrics")
	if err == nil {
		_, err = io.Copy(io.Discard, res.Body)
		res.Body.Close()
	}
	took := time.Since(began)
	p.t.Logf("scraping %s: %v after %v", p.admin, err, took)
	if err == nil && took < time.Second {
		return
	}
	p.stop(syscall.SIGQUIT)
	_, stacks, _ := strings.Cut(p.text(), "SIGQUIT: quit")
	p.t.Log(stacks)
}

// awaitReady waits until what serves at url says that it is ready.
func awaitReady(t *testing.T, what, url string) {
	t.Helper()
	eventually(t, what+" is ready", func() bool {
		res, err := http.Get(url + "/-/ready")
		if err != nil {
			return false
		}
		res.Body.Close()
		return res.StatusCode == http.StatusOK
	})
}

// eventually asks again and again, at a foreign process, until ok.
func eventually(t *testing.T, what string, ok func() bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for !ok() {
		select {
		case <-tick.C:
		case <-ctx.Done():
			t.Fatalf("it never came to be: %s", what)
		}
	}
}

// get returns the status and the body of a response.
func get(t *testing.T, url string) (int, string) {
	t.Helper()
	return do(t, must(http.NewRequest(http.MethodGet, url, nil)))
}

// reload has a tap reload its configuration.
func reload(t *testing.T, admin string) (int, string) {
	t.Helper()
	return do(t, must(http.NewRequest(http.MethodPost, "http://"+admin+"/-/reload", nil)))
}

func do(t *testing.T, req *http.Request) (int, string) {
	t.Helper()
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

func getJSON(t *testing.T, url string, into any) {
	t.Helper()
	status, body := get(t, url)
	require.Equal(t, http.StatusOK, status, "%s: %d %s", url, status, body)
	err := json.Unmarshal([]byte(body), into)
	require.NoError(t, err, "%s: %v in %s", url, err, body)
}
