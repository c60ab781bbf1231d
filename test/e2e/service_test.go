//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// manager is a service manager: it passes sockets to the tap, and receives its
// notifications.
type manager struct {
	t        *testing.T
	path     string
	messages chan string
}

func newManager(t *testing.T) *manager {
	t.Helper()
	m := &manager{t, filepath.Join(t.TempDir(), "notify"), make(chan string, 1000)}
	pc, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: m.path, Net: "unixgram"})
	require.NoError(t, err)
	t.Cleanup(func() { pc.Close() })
	go func() {
		buf := make([]byte, 4<<10)
		for {
			n, err := pc.Read(buf)
			if err != nil {
				return
			}
			m.messages <- string(buf[:n])
		}
	}()
	return m
}

// start starts the tap with those sockets, by their names.
func (m *manager) start(names string, sockets []*os.File, env []string, args ...string) *process {
	m.t.Helper()
	// The ID of the process that takes the sockets is known to itself only.
	cmd := exec.Command("/bin/sh", append([]string{"-c", `LISTEN_PID=$$ exec "$@"`, "sh", binary, "run"}, args...)...)
	cmd.Env = append(os.Environ(), "NOTIFY_SOCKET="+m.path, "LISTEN_FDNAMES="+names, "LISTEN_FDS="+string(rune('0'+len(sockets))))
	cmd.Env = append(cmd.Env, env...)
	cmd.ExtraFiles = sockets
	r, w, err := os.Pipe()
	if err != nil {
		m.t.Fatal(err)
	}
	cmd.Stdout, cmd.Stderr = w, w
	return follow(m.t, cmd, r, w)
}

// wait returns the next message that begins with one of the words, and passes
// over those of the watchdog.
func (m *manager) wait(word string) string {
	m.t.Helper()
	for timeout := time.After(patience); ; {
		select {
		case got := <-m.messages:
			if strings.HasPrefix(got, word) {
				return got
			}
			if got != "WATCHDOG=1" {
				m.t.Errorf("reported %q, want %s", got, word)
			}
		case <-timeout:
			m.t.Fatalf("%s was never reported", word)
		}
	}
}

// socketFile is a listening socket as it is handed over, and its address.
func socketFile(t *testing.T) (f *os.File, address string) {
	t.Helper()
	ln := rawconn.Listen(t)
	defer ln.Close()
	f, err := ln.File()
	require.NoError(t, err)
	t.Cleanup(func() { f.Close() })
	return f, ln.Addr().String()
}

func TestServiceManager(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer api.Close()
	proxySocket, proxy := socketFile(t)
	transparentSocket, transparent := socketFile(t)
	resignSocket, own := socketFile(t)
	adminSocket, admin := socketFile(t)
	keys := filepath.Join(t.TempDir(), "keys.yaml")
	// As a service manager lays out credentials: for the group at most.
	testfile.Write(t, keys, "access_key: "+good.AccessKey+"\nsecret_key: "+good.SecretKey+"\n", 0o440)
	settings := filepath.Join(t.TempDir(), "ksyun-tap.yaml")
	testfile.Write(t, settings, "log.level: info\n", 0o644)

	m := newManager(t)
	tap := m.start("proxy:web:transparent:resign", []*os.File{proxySocket, adminSocket, transparentSocket, resignSocket},
		[]string{"WATCHDOG_USEC=300000"}, "--config.file="+settings, "--resign.credentials-file="+keys,
		"--resign.upstream=http://"+apiHost, "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())
	assert.Contains(t, m.wait("READY=1"), "STATUS=tapping on "+proxy+", "+transparent+", "+own, "notified")
	var line struct{ Proxy, Transparent, Resign, Web []string }
	require.NoError(t, json.Unmarshal([]byte(tap.wait("ksyun-tap started")), &line))
	for name, got := range map[string][2][]string{
		"proxy": {line.Proxy, {proxy}}, "web": {line.Web, {admin}}, "transparent": {line.Transparent, {transparent}}, "resign": {line.Resign, {own}},
	} {
		if strings.Join(got[0], " ") != got[1][0] {
			t.Errorf("%s listens on %v, want %v alone", name, got[0], got[1])
		}
	}
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	traffic := &cloudmonitor.Traffic{
		Client: &http.Client{Transport: &http.Transport{
			Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: proxy}), DisableKeepAlives: true,
		}},
		Host: apiHost, Good: good,
	}
	got := traffic.Send(ctx, cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good})
	assert.Equal(t, http.StatusOK, got, "a call by the socket handed over: status")
	status, body := get(t, "http://"+own+"/?Action=ListMetrics&Version=2010-05-25")
	assert.Equal(t, http.StatusOK, status, "a call to the re-signing address: %d %s", status, body)

	// The watchdog is notified often, and its checks leave no trace.
	for range 5 {
		m.wait("WATCHDOG=1")
	}
	_, scrape := get(t, "http://"+admin+"/metrics")
	for line := range strings.Lines(scrape) {
		name, value, _ := strings.Cut(strings.TrimSpace(line), " ")
		if strings.HasPrefix(name, "ksyun_tap_proxy_errors_total") && value != "0" || strings.HasPrefix(name, "ksyun_api_requests_total") && value != "2" && value != "1" && value != "0" {
			t.Errorf("the checks are counted: %s", line)
		}
	}
	assert.NotContains(t, tap.text(), `"level":"warn"`, "the checks are logged")
	assert.NotContains(t, tap.text(), `"level":"error"`, "the checks are logged")

	// The beginning and the end of a reload are reported, even if it fails.
	for text, status := range map[string]string{
		"log.level: debug\n": "tapping on " + proxy, "log.level: nonsense\n": "reload failed, the old settings remain in use: ",
	} {
		testfile.Write(t, settings, text, 0o644)
		require.NoError(t, tap.cmd.Process.Signal(syscall.SIGHUP))
		assert.Contains(t, m.wait("RELOADING=1"), "\nMONOTONIC_USEC=", "notified")
		got := m.wait("READY=1")
		assert.Contains(t, got, "\nSTATUS="+status, "reported %q, want %q", got, status)
	}
	tap.wait("reload failed")
	assert.NotContains(t, tap.text(), "need a restart", "the sockets handed over are taken for changed settings")

	if code := tap.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	m.wait("STOPPING=1")
	// The sockets outlive the tap: programs are kept waiting, not refused.
	if nc, err := net.Dial("tcp", proxy); err != nil {
		t.Errorf("between two taps: %v", err)
	} else {
		nc.Close()
	}
}

func TestServiceManagerIsWrong(t *testing.T) {
	t.Parallel()
	for name, tc := range map[string]struct {
		names, want string
		args        []string
	}{
		"a name that is no listener's": {names: "ksyun-tap.socket", want: "write FileDescriptorName= and one of proxy, proxy-tls, transparent, resign, web, admin, csm"},
		"TLS without a CA":             {names: "proxy-tls", want: "--proxy.tls-listen-address needs --intercept"},
		"TCP for telemetry":            {names: "csm", want: "write ListenDatagram=ADDRESS:PORT"},
	} {
		t.Run(name, func(t *testing.T) {
			f, _ := socketFile(t)
			p := newManager(t).start(tc.names, []*os.File{f}, nil, tc.args...)
			p.wait(tc.want)
			select {
			case <-p.exit:
			case <-time.After(patience):
				t.Fatal("it does not end")
			}
			if code := p.cmd.ProcessState.ExitCode(); code != 2 {
				t.Errorf("exit code %d, want 2", code)
			}
		})
	}
}
