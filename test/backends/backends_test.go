//go:build e2e

// Package backends finds failed calls in real backends, with ksyun-tap lookup: in Jaeger,
// also below the span of the program that made the call, and in Loki.
package backends

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
)

const (
	apiHost  = "monitor.api.ksyun.com"
	patience = time.Minute
)

// fail makes a call that fails, because it is not signed, and returns its request ID.
func fail(t *testing.T, client *http.Client) string {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+apiHost+"/?Action=GetMetricStatistics&Version=2010-05-25", http.NoBody)
	require.NoError(t, err)
	resp, err := client.Do(req)
	require.NoError(t, err)
	defer resp.Body.Close()
	_, _ = io.Copy(io.Discard, resp.Body)
	id := resp.Header.Get("X-Ksc-Request-Id")
	if resp.StatusCode != http.StatusForbidden || id == "" {
		t.Fatalf("status %d, request ID %q", resp.StatusCode, id)
	}
	return id
}

// lookUp has the program find the call in a backend, and checks that it prints link.
func lookUp(t *testing.T, binary, id, link string, source ...string) {
	t.Helper()
	var out, errOut bytes.Buffer
	cmd := exec.Command(binary, append([]string{"lookup", id, "--url=http://127.0.0.1:1"}, source...)...)
	cmd.Stdout, cmd.Stderr = &out, &errOut
	err := cmd.Run()
	assert.NoError(t, err, "lookup %s: %v\n%s%s", source, err, out.String(), errOut.String())
	for _, want := range []string{"MissingAuthenticationToken", link, "GetMetricStatistics 2010-05-25"} {
		assert.Contains(t, out.String(), want, "lookup %s: no %q in\n%s", source, want, out.String())
	}
}

// build builds the tap and returns its path.
func build(t *testing.T) string {
	t.Helper()
	binary := filepath.Join(t.TempDir(), "ksyun-tap")
	out, err := exec.Command("go", "build", "-C", "../..", "-o", binary, "./cmd/ksyun-tap").CombinedOutput()
	require.NoError(t, err, "build\n%s", out)
	return binary
}

// startTap starts the tap with variables of the environment and returns the address of
// its proxy.
func startTap(t *testing.T, binary, api string, env ...string) string {
	t.Helper()
	proxy, web := freeport.TCP(t), freeport.TCP(t)
	start(t, env, binary,
		"--proxy.listen-address="+proxy, "--web.listen-address="+web, "--upstream.connect-to="+apiHost+":80="+api)
	until(t, "http://"+web+"/-/ready")
	return proxy
}

// start runs a program until the test ends.
func start(t *testing.T, env []string, name string, args ...string) {
	t.Helper()
	ctx, cancel := context.WithCancel(context.Background())
	cmd := exec.CommandContext(ctx, name, args...)
	cmd.Env = append(os.Environ(), env...)
	var out bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &out
	cmd.Cancel = func() error { return cmd.Process.Signal(syscall.SIGTERM) }
	cmd.WaitDelay = 10 * time.Second
	if err := cmd.Start(); err != nil {
		cancel()
		t.Fatal(err)
	}
	t.Cleanup(func() {
		cancel()
		_ = cmd.Wait()
		if t.Failed() {
			t.Logf("%s printed:\n%s", filepath.Base(name), out.Bytes()[max(0, out.Len()-8<<10):])
		}
	})
}

// until asks until the response is 200.
func until(t *testing.T, address string) {
	t.Helper()
	eventually(t, address+" answers", func() bool {
		resp, err := http.Get(address)
		if err != nil {
			return false
		}
		resp.Body.Close()
		return resp.StatusCode == http.StatusOK
	})
}

// eventually waits until a condition is true.
func eventually(t *testing.T, what string, condition func() bool) {
	t.Helper()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for timeout := time.After(patience); !condition(); {
		select {
		case <-tick.C:
		case <-timeout:
			t.Fatalf("it never came to be: %s", what)
		}
	}
}
