//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"golang.org/x/sys/unix"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestExecTerminal runs a command on a terminal, with and without its input
// from there: the terminal is the command's, its keys included.
func TestExecTerminal(t *testing.T) {
	t.Parallel()
	for _, input := range []string{"terminal", "none"} {
		t.Run(input, func(t *testing.T) {
			keyboard, screen := newTerminal(t)
			cmd := exec.Command(binary, "exec", "--", "/usr/bin/python3", "testdata/signals.py", "/dev/tty")
			cmd.Stdout, cmd.Stderr = screen, screen
			if input == "terminal" {
				cmd.Stdin = screen
			}
			cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true, Setctty: true, Ctty: 1}
			p := follow(t, cmd, keyboard, screen)
			p.wait("33 111")
			p.wait("ready")
			for n := 1; n <= 3; n++ {
				io.WriteString(keyboard, "\x03")
				p.wait(fmt.Sprintf("got SIGINT %d\r\n", n))
			}
			io.WriteString(keyboard, "goodbye\n")
			p.wait("goodbye after 3\r\n")
			p.wait("ksyun-tap: no call was seen, because nothing connected")
			<-p.exit
			if code := cmd.ProcessState.ExitCode(); code != 9 {
				t.Errorf("exit code %d, want the command's", code)
			}
		})
	}
}

// newTerminal returns both ends of a terminal of 33 lines and 111 columns.
func newTerminal(t *testing.T) (keyboard, screen *os.File) {
	t.Helper()
	keyboard, err := os.OpenFile("/dev/ptmx", os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { keyboard.Close() })
	fd := int(keyboard.Fd())
	require.NoError(t, unix.IoctlSetPointerInt(fd, unix.TIOCSPTLCK, 0))
	require.NoError(t, unix.IoctlSetWinsize(fd, unix.TIOCSWINSZ, &unix.Winsize{Row: 33, Col: 111}))
	number, err := unix.IoctlGetInt(fd, unix.TIOCGPTN)
	require.NoError(t, err)
	screen, err = os.OpenFile(fmt.Sprintf("/dev/pts/%d", number), os.O_RDWR|unix.O_NOCTTY, 0)
	require.NoError(t, err)
	t.Cleanup(func() { screen.Close() })
	return keyboard, screen
}

// TestExecSignals sends each signal to the tap: the command gets it, once.
func TestExecSignals(t *testing.T) {
	t.Parallel()
	cmd := exec.Command(binary, "exec", "--summary=none", "--", "/usr/bin/python3", "testdata/signals.py")
	cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true}
	in, err := cmd.StdinPipe()
	require.NoError(t, err)
	r, w := io.Pipe()
	cmd.Stdout, cmd.Stderr = w, w
	p := follow(t, cmd, r, w)
	p.wait("ready")
	signals := []syscall.Signal{unix.SIGTERM, unix.SIGINT, unix.SIGHUP, unix.SIGQUIT, unix.SIGUSR1, unix.SIGUSR2, unix.SIGTERM}
	for i, sig := range signals {
		require.NoError(t, cmd.Process.Signal(sig))
		p.wait(fmt.Sprintf("got %s %d\n", unix.SignalName(sig), i+1))
	}
	io.WriteString(in, "goodbye\n")
	p.wait(fmt.Sprintf("goodbye after %d\n", len(signals)))
	<-p.exit
	if code := cmd.ProcessState.ExitCode(); code != 9 {
		t.Errorf("exit code %d, want the command's", code)
	}
}

// TestExecSummaries has the summary written in each way: the command's own output
// is unchanged.
func TestExecSummaries(t *testing.T) {
	t.Parallel()
	ids := newFailingIDs()
	api := httptest.NewServer(ids)
	defer api.Close()
	command := []string{
		"sh", "-c", `echo begin; for field in X-None:1 X-Simulate:error=LimitExceeded; do
		  curl -sS -o /dev/null -w '%{http_code}\n' --aws-sigv4 aws:amz:cn-beijing-6:monitor -u "$0:$1" -H "$field" "$2"
		done`, good.AccessKey, good.SecretKey, "http://" + apiHost + "/?Action=ListMetrics&Version=2010-05-25",
	}
	run := func(flags ...string) string {
		t.Helper()
		args := slices.Concat([]string{"exec", "--upstream.connect-to=" + apiHost + ":80=" + api.Listener.Addr().String()}, flags, []string{"--"}, command)
		cmd := exec.Command(binary, args...)
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		if err != nil || string(out) != "begin\n200\n409\n" {
			t.Errorf("%v: %v, printed %q", flags, err, out)
		}
		return said.String()
	}
	for _, flags := range [][]string{nil, {"--summary=text"}} {
		text := run(flags...)
		for _, want := range []string{"ksyun-tap: 2 calls, 1 failed\n", "LimitExceeded", "throttled", ids.take()} {
			if want == "" || !strings.Contains(text, want) {
				t.Errorf("%v: no %q in\n%s", flags, want, text)
			}
		}
	}
	var s execSummary
	if text := run("--summary=json"); json.Unmarshal([]byte(text), &s) != nil || s.Calls != 2 || s.Failed != 1 || s.Failures[0].RequestID != ids.take() {
		t.Errorf("--summary=json: %s", text)
	}
	assert.Empty(t, run("--summary=none"), "--summary=none")
	file := filepath.Join(t.TempDir(), "summary")
	if text := run("--summary.file=" + file); text != "" {
		t.Errorf("--summary.file: %s on standard error", text)
	}
	if text, err := os.ReadFile(file); err != nil || !strings.HasPrefix(string(text), "ksyun-tap: 2 calls, 1 failed\n") {
		t.Errorf("--summary.file: %v, %s", err, text)
	}
	// What cannot be written does not change how the command ended.
	if text := run("--summary.file=" + filepath.Join(file, "x")); !strings.Contains(text, "write the summary") {
		t.Errorf("a file that cannot be: %s", text)
	}
}

// TestExecKeepsSettings has a command that is set up for other servers: for a
// proxy that some need not, and for CAs of its own, which it reaches as before.
func TestExecKeepsSettings(t *testing.T) {
	t.Parallel()
	const corporate = "corporate.example"
	address, caFile := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "corporate") }), corporate)
	text := testfile.Read(t, caFile)
	directory := filepath.Join(t.TempDir(), "certs")
	require.NoError(t, os.Mkdir(directory, 0o700))
	testfile.Write(t, filepath.Join(directory, "corporate.pem"), text, 0o600)
	run := func(env []string, command ...string) string {
		t.Helper()
		cmd := exec.Command(binary, slices.Concat([]string{"exec", "--summary=none", "--upstream.connect-to=" + corporate + ":443=" + address, "--"}, command)...)
		cmd.Env = os.Environ()
		for _, name := range []string{"SSL_CERT_FILE", "REQUESTS_CA_BUNDLE", "CURL_CA_BUNDLE", "AWS_CA_BUNDLE", "KS_CA_BUNDLE", "NODE_EXTRA_CA_CERTS"} {
			cmd.Env = append(cmd.Env, name+"=") // whatever this machine has there
		}
		cmd.Env = append(cmd.Env, env...)
		out, err := cmd.CombinedOutput()
		assert.NoError(t, err, "%v, %v\n%s", env, command, out)
		return string(out)
	}
	const url = "https://" + corporate + "/"
	python := []string{"/usr/bin/python3", "-c", "import requests; print(requests.get('" + url + "').text, end='')"}
	for _, tc := range []struct {
		env     string
		command []string
	}{
		{"CURL_CA_BUNDLE=" + caFile, []string{"curl", "-sS", url}},
		{"SSL_CERT_FILE=" + caFile, []string{"curl", "-sS", url}},
		{"REQUESTS_CA_BUNDLE=" + caFile, python},
		{"REQUESTS_CA_BUNDLE=" + directory, python},
		{"NODE_EXTRA_CA_CERTS=" + caFile, []string{"node", "-e", "fetch('" + url + "').then((r) => r.text()).then((t) => process.stdout.write(t))"}},
	} {
		assert.Equal(t, "corporate", run([]string{tc.env}, tc.command...), tc.env)
	}

	out := "\n" + run([]string{
		"NO_PROXY=corp.example,.internal", "no_proxy=", "JAVA_TOOL_OPTIONS=-Xmx64m", "NODE_OPTIONS=--no-warnings",
		"AWS_CA_BUNDLE=/nowhere", "OTHER=kept",
	}, "env")
	const noProxy = "corp.example,.internal,localhost,127.0.0.1,::1,169.254.169.254\n"
	for _, want := range []string{
		"\nNO_PROXY=" + noProxy, "\nno_proxy=" + noProxy, "\nJAVA_TOOL_OPTIONS=-Xmx64m -Dhttp.proxyHost=127.0.0.1 ",
		" -Dhttp.nonProxyHosts=corp.example|*.corp.example|*.internal|localhost|", "\nNODE_OPTIONS=--no-warnings --require=", "\nOTHER=kept\n",
		"\nHTTPS_PROXY=http://127.0.0.1:", "\nhttps_proxy=http://127.0.0.1:", "\nHTTP_PROXY=http://127.0.0.1:", "\nhttp_proxy=http://127.0.0.1:",
	} {
		assert.Contains(t, out, want, "no %q in the environment:\n%s", want, out)
	}
	// What cannot be read there is of no use to the program either.
	_, bundle, _ := strings.Cut(out, "\nAWS_CA_BUNDLE=")
	bundle, _, _ = strings.Cut(bundle, "\n")
	assert.True(t, strings.HasSuffix(bundle, "/ca/bundle.pem"), "AWS_CA_BUNDLE=%s", bundle)
}

// TestExecBehindAProxy runs a tap on a host that reaches the API by a proxy
// only, which here is another tap that lets everything pass.
func TestExecBehindAProxy(t *testing.T) {
	t.Parallel()
	plain := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer plain.Close()
	secure, caFile := tlsAPI(t)
	proxy := startTap(t, nil, "--tap.host=none.example", "--tap.other-hosts=forward",
		"--upstream.connect-to="+apiHost+":80="+plain.Listener.Addr().String(), "--upstream.connect-to="+apiHost+":443="+secure)
	for scheme, passed := range map[string]string{"http": "\nksyun_tap_unobserved_requests_total ", "https": "\nksyun_tap_tunnels_total "} {
		cmd := exec.Command(binary, "exec", "--upstream.ca-file="+caFile, "--summary=json", "--", "curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\n",
			"--aws-sigv4", "aws:amz:cn-beijing-6:monitor", "-u", good.AccessKey+":"+good.SecretKey, "-H", "X-Simulate: error=LimitExceeded",
			scheme+"://"+apiHost+"/?Action=ListMetrics&Version=2010-05-25")
		cmd.Env = append(os.Environ(), "HTTP_PROXY=http://"+proxy.proxy, "HTTPS_PROXY=http://"+proxy.proxy, "NO_PROXY=", "no_proxy=")
		var said strings.Builder
		cmd.Stderr = &said
		out, err := cmd.Output()
		var s execSummary
		if err != nil || string(out) != "409\n" || json.Unmarshal([]byte(said.String()), &s) != nil || s.Failed != 1 || len(s.Failures[0].RequestID) != 36 {
			t.Errorf("%s: %v, printed %s%s", scheme, err, out, said.String())
		}
		_, metrics := get(t, "http://"+proxy.admin+"/metrics")
		assert.NotContains(t, metrics, passed+"0\n", "%s: the call did not pass the proxy", scheme)
	}
}
