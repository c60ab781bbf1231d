//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// TestFewDescriptors runs a tap with 64 file descriptors. Programs that keep
// their connections starve neither each other nor the web listener.
func TestFewDescriptors(t *testing.T) {
	t.Parallel()
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "{}") }))
	defer vendor.Close()
	proxy, admin := freeport.TCP(t), freeport.TCP(t)
	start(t, nil, "sh", "-c", `ulimit -n 64 && exec "$0" "$@"`, binary, "run",
		"--proxy.listen-address="+proxy, "--web.listen-address="+admin,
		"--upstream.connect-to="+apiHost+":80="+vendor.Listener.Addr().String())
	awaitReady(t, "the tap", "http://"+admin)
	for i := range 200 {
		c := rawconn.Dial(t, proxy) // open until the end of the test
		c.Send("GET /?Action=ListMetrics HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n")
		resp, _ := c.Response()
		require.Equal(t, http.StatusOK, resp.StatusCode, "call %d: %v", i, resp)
		if i%20 == 0 {
			status, body := get(t, "http://"+admin+"/-/healthy")
			require.Equal(t, http.StatusOK, status, "call %d: /-/healthy: %d %s", i, status, body)
		}
	}
	_, metrics := get(t, "http://"+admin+"/metrics")
	for _, want := range []string{"ksyun_tap_client_connections_refused_total 0", "ksyun_api_requests_total{"} {
		assert.Contains(t, metrics, want, "no %s in the metrics", want)
	}
	assert.NotContains(t, metrics, "ksyun_tap_client_connections_reclaimed_total 0", "no connection made room")
}

// TestFewDescriptorsForTunnels is TestFewDescriptors with tunnels, none of which is ever
// idle: those beyond the limit are refused, and the web listener works on.
func TestFewDescriptorsForTunnels(t *testing.T) {
	t.Parallel()
	const limit = 16 // of connections, with 64 descriptors
	server := rawconn.Listen(t)
	proxy, admin := freeport.TCP(t), freeport.TCP(t)
	start(t, nil, "sh", "-c", `ulimit -n 64 && exec "$0" "$@"`, binary, "run",
		"--proxy.listen-address="+proxy, "--web.listen-address="+admin, "--proxy.max-connections=1000",
		"--tap.other-hosts=forward", "--upstream.connect-to=example.com:443="+server.Addr().String())
	awaitReady(t, "the tap", "http://"+admin)
	for i := range limit {
		c := rawconn.Dial(t, proxy) // open until the end of the test
		c.Send("CONNECT example.com:443 HTTP/1.1\r\nHost: example.com:443\r\n\r\n")
		c.Expect("HTTP/1.1 200 Connection Established\r\n\r\n")
		up := rawconn.Accept(t, server)
		c.Send("there")
		up.Expect("there")
		up.Send("and back")
		c.Expect("and back")
		status, body := get(t, "http://"+admin+"/-/healthy")
		require.Equal(t, http.StatusOK, status, "tunnel %d: /-/healthy: %d %s", i, status, body)
	}
	c := rawconn.Dial(t, proxy)
	resp, body := c.Response()
	assert.Equal(t, "busy", resp.Header.Get("X-Ksyun-Tap-Error"), "beyond the limit: %d %s", resp.StatusCode, body)
	_, metrics := get(t, "http://"+admin+"/metrics")
	assert.Contains(t, metrics, "ksyun_tap_client_connections_refused_total 1")
}

// TestLittleMemory runs a tap with 128 MiB: 1,000 answers of 1 MB at once, and then as
// many connections as its limit permits, and more.
func TestLittleMemory(t *testing.T) {
	const memory, answers, size = 128 << 20, 1000, 1 << 20
	dir := t.TempDir()
	plain := filepath.Join(dir, "ksyun-tap") // the race detector takes several times the memory
	out, err := exec.Command("go", "build", "-C", "../..", "-o", plain, "./cmd/ksyun-tap").CombinedOutput()
	require.NoError(t, err, "%s", out)

	answer := `{"Data":"` + strings.Repeat("0123456789abcdef", size/16) + `"}`
	var arrived sync.WaitGroup
	arrived.Add(answers)
	vendor := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path != "/large" {
			io.WriteString(w, "{}")
			return
		}
		arrived.Done()
		arrived.Wait() // all are answered at once
		io.WriteString(w, answer)
	}))
	defer vendor.Close()
	proxy, admin := freeport.TCP(t), freeport.TCP(t)
	env, command := withMemory(t, memory)
	tap := start(t, env, "sh", "-c", command, plain, "run",
		"--proxy.listen-address="+proxy, "--web.listen-address="+admin,
		"--upstream.connect-to="+apiHost+":80="+vendor.Listener.Addr().String())
	awaitReady(t, "the tap", "http://"+admin)

	programs := make([]net.Conn, answers)
	for i := range programs {
		programs[i] = must(net.Dial("tcp", proxy))
		must(io.WriteString(programs[i], "GET /large?Action=ListMetrics HTTP/1.1\r\nHost: "+apiHost+"\r\n\r\n"))
	}
	arrived.Wait()
	var read sync.WaitGroup
	for _, nc := range programs {
		read.Go(func() {
			defer nc.Close()
			resp, err := http.ReadResponse(bufio.NewReader(nc), nil)
			if !assert.NoError(t, err) {
				return
			}
			n, err := io.Copy(io.Discard, resp.Body)
			assert.NoError(t, err)
			assert.EqualValues(t, len(answer), n)
		})
	}
	read.Wait()

	const most = memory * 9 / 10 / 2 / (24 << 10) // connections
	for i := range most + 100 {
		c := rawconn.Dial(t, proxy) // open until the end of the test
		c.Send("GET /?Action=ListMetrics HTTP/1.1\r\nHost: " + apiHost + "\r\n\r\n")
		resp, _ := c.Response()
		require.Equal(t, http.StatusOK, resp.StatusCode, "call %d", i)
	}
	_, metrics := get(t, "http://"+admin+"/metrics")
	for _, want := range []string{
		"ksyun_tap_client_connections " + strconv.Itoa(most), "ksyun_tap_client_connections_reclaimed_total 100",
		"ksyun_tap_client_connections_refused_total 0", `ksyun_tap_proxy_errors_total{reason="exhausted"} 0`,
	} {
		if !strings.Contains(metrics, "\n"+want+"\n") {
			t.Errorf("no %s in the metrics", want) // which are long
		}
	}
	if peak := peakMemory(t, tap.cmd.Process.Pid); peak > memory {
		t.Errorf("%d MiB were resident, with a limit of %d", peak>>20, memory>>20)
	} else {
		t.Logf("%d MiB were resident at most", peak>>20)
	}
}

// withMemory returns the environment and the shell command for a program with a limit
// on its memory: of a cgroup if the machine permits one, else GOMEMLIMIT alone.
func withMemory(t *testing.T, limit int) (env []string, command string) {
	t.Helper()
	const v2, v1 = "/sys/fs/cgroup", "/sys/fs/cgroup/memory"
	for root, file := range map[string]string{v2: "memory.max", v1: "memory.limit_in_bytes"} {
		if _, err := os.Stat(filepath.Join(root, "cgroup.procs")); err != nil {
			continue // no cgroup
		}
		group := filepath.Join(root, "ksyun-tap-test-"+strconv.Itoa(os.Getpid()))
		if os.Mkdir(group, 0o755) != nil {
			continue
		}
		t.Cleanup(func() { // the program has ended, but the system may take a moment to notice
			eventually(t, group+" is removed", func() bool { err := os.Remove(group); return err == nil || os.IsNotExist(err) })
		})
		if os.WriteFile(filepath.Join(group, file), []byte(strconv.Itoa(limit)), 0o644) == nil {
			t.Log("the limit is that of " + group)
			return nil, `echo $$ > ` + group + `/cgroup.procs && exec "$0" "$@"`
		}
	}
	t.Log("no cgroup can be made")
	return []string{"GOMEMLIMIT=" + strconv.Itoa(limit/10*9)}, `exec "$0" "$@"`
}

// peakMemory returns the most memory of a process that was resident, in bytes.
func peakMemory(t *testing.T, pid int) int {
	t.Helper()
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	require.NoError(t, err)
	_, after, _ := strings.Cut(string(status), "VmHWM:")
	var peak int
	_, err = fmt.Sscanf(after, "%d kB", &peak)
	require.NoError(t, err)
	return peak << 10
}
