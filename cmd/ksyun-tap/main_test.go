package main

import (
	"bytes"
	"encoding/json"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// command runs the program in this process.
func command(t *testing.T, stdin string, args ...string) (code int, out, errOut string) {
	t.Helper()
	var o, e bytes.Buffer
	code = run(t.Context(), args, strings.NewReader(stdin), &o, &e)
	return code, o.String(), e.String()
}

// expectCommand runs a command, and checks its exit code and that its output, or what it
// reports if it fails, contains want.
func expectCommand(t *testing.T, code int, want string, args ...string) {
	t.Helper()
	got, out, errOut := command(t, "", args...)
	text := out
	if code != exitOK {
		text = errOut
	}
	if got != code || !strings.Contains(text, want) {
		t.Errorf("%q: exit %d, want %d and %q: %s%s", args, got, code, want, out, errOut)
	}
}

// TestUnreadOutput checks that a command ends without an error message if nothing reads
// its output any more, as after "| head".
func TestUnreadOutput(t *testing.T) {
	in, out, err := os.Pipe()
	require.NoError(t, err)
	defer out.Close()
	require.NoError(t, in.Close())
	var errOut bytes.Buffer
	code := run(t.Context(), []string{"explain"}, strings.NewReader(""), out, &errOut)
	require.Equal(t, exitFailed, code)
	require.Empty(t, errOut.String())
}

func TestClassify(t *testing.T) {
	const e1 = `{"requestid":"11111111-2222-4333-8444-555555555555","error":{"type":"sender","code":"MissingSignature","message":"The Request is missing Signature Parameter"}}`
	raw := "HTTP/1.1 400 Bad Request\r\nContent-Type: application/json\r\n\r\n" + e1
	f := func(name, stdin string, want map[string]any, args ...string) {
		t.Helper()
		code, out, errOut := command(t, stdin, append([]string{"classify"}, args...)...)
		if code != exitOK {
			t.Errorf("%s: exit %d: %s", name, code, errOut)
			return
		}
		var got map[string]any
		if err := json.Unmarshal([]byte(out), &got); err != nil {
			t.Errorf("%s: %v in %q", name, err, out)
			return
		}
		for k, v := range want {
			if got[k] != v {
				t.Errorf("%s: %s is %v, want %v", name, k, got[k], v)
			}
		}
		for _, k := range []string{"outcome", "code", "type", "status", "category", "blame", "retryable", "request_id", "message", "failed_items", "advice"} {
			if _, ok := got[k]; !ok {
				t.Errorf("%s: no key %s", name, k)
			}
		}
	}
	read := map[string]any{
		"outcome": "error", "code": "MissingSignature", "type": "sender", "status": 400.0, "category": "auth", "blame": "credential",
		"retryable": false, "request_id": "11111111-2222-4333-8444-555555555555", "message": "The Request is missing Signature Parameter",
	}
	f("body", e1, read, "--status=400")
	f("whole response", raw, read)
	f("whole response with LF", strings.ReplaceAll(raw, "\r\n", "\n"), read)
	f("after an interim response", "HTTP/1.1 100 Continue\r\n\r\n"+raw, read)
	f("HTTP/2, as curl prints it", strings.Replace(raw, "HTTP/1.1 400 Bad Request", "HTTP/2 400 ", 1), read)
	f("chunked", "HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n5\r\n"+e1[:5]+"\r\na2\r\n"+e1[5:]+"\r\n0\r\n\r\n", read)
	f("chunked, joined by curl", "HTTP/1.1 400 Bad Request\r\nTransfer-Encoding: chunked\r\n\r\n"+e1, read)
	f("under 200", e1, map[string]any{"outcome": "masked", "code": "MissingSignature", "status": 200.0})
	f("field", `{}`, map[string]any{"outcome": "error", "code": "LimitExceeded", "request_id": "abc"}, "--status=409",
		"--header=X-Ksc-ErrorType: LimitExceeded", "--header", "x-ksc-request-id: abc")
	f("a secret in a message", `{"Error":{"Code":"X","Message":"key AKLTabcdefghijklmnop is off"}}`, map[string]any{"message": "key REDACTED is off"}, "--status=400")
}

// usageForm matches an error with or without a hint.
var usageForm = regexp.MustCompile(`^ksyun-tap: .*\n(  hint: .*\n)?$`)

// TestUsageErrors checks that errors that the user can fix are reported on one line that
// names the place and one with a hint, with exit code 2.
func TestUsageErrors(t *testing.T) {
	dir := t.TempDir()
	bad := filepath.Join(dir, "bad.yaml")
	notPEM := filepath.Join(dir, "not.pem")
	for name, text := range map[string]string{bad: "log:\n  colour: info\n", notPEM: "not a certificate"} {
		testfile.Write(t, name, text, 0o600)
	}
	f := func(want string, args ...string) {
		t.Helper()
		code, _, errOut := command(t, "", args...)
		if code != exitUsage || !strings.Contains(errOut, want) || !usageForm.MatchString(errOut) {
			t.Errorf("%v: exit %d, %q; want %d and %q", args, code, errOut, exitUsage, want)
		}
	}
	f("unknown flag --nope", "run", "--nope")
	f(`--proxy.idle-timeout: "abc" is not a positive duration`, "run", "--proxy.idle-timeout=abc")
	f("is not a listen address", "run", "--proxy.listen-address=here")
	f("is not a ratio", "check-config", "--traces.success-ratio=2")
	f(bad+":2: unknown setting", "check-config", "--config.file="+bad)
	f("--config.file", "run", "--config.file="+filepath.Join(dir, "none.yaml"))
	f("open proxy", "check-config", "--tap.other-hosts=forward", "--proxy.listen-address=0.0.0.0:1")
	f("CERTIFICATE", "check-config", "--upstream.ca-file="+notPEM)
	f("--upstream.ca-file", "check-config", "--upstream.ca-file="+filepath.Join(dir, "none.pem"))
	f("--tap.catalog-file", "check-config", "--tap.catalog-file="+filepath.Join(dir, "none.yaml"))
	f(bad+":1:", "check-config", "--tap.catalog-file="+bad)
	f(bad, "check-config", "--web.config.file="+bad)
	f("not in the catalogue", "explain", "NoSuchCodeAtAll")
	f("no such file", "classify", filepath.Join(dir, "none.json"))
	f("write NAME: VALUE", "classify", "--header=broken")
	f("100 to 999", "classify", "--status=7")
	f("--pace", "demo", "--pace=0s")
	f("--exclude-uid=UID", "init-redirect")
	f("is not a network", "init-redirect", "--exclude-uid=1", "--exclude-cidr=10.0.0.1/8")
	f("is not a mark", "init-redirect", "--exclude-mark=x")
	f(`--port: "65536" is not a number`, "init-redirect", "--exclude-uid=1", "--port=65536")
	f("cannot be combined", "init-redirect", "--undo", "--dry-run")
}

// TestAddressInUse has every listener's address held by another.
func TestAddressInUse(t *testing.T) {
	ln := rawconn.Listen(t)
	keys := filepath.Join(t.TempDir(), "keys.yaml")
	testfile.Write(t, keys, "access_key: A\nsecret_key: S\n", 0o600)
	for _, setting := range []string{"proxy.listen-address", "web.listen-address", "resign.listen-address"} {
		args := []string{"run", "--resign.credentials-file=" + keys}
		for _, s := range []string{"proxy.listen-address", "web.listen-address"} {
			if s != setting {
				args = append(args, "--"+s+"=127.0.0.1:0")
			}
		}
		code, _, errOut := command(t, "", append(args, "--"+setting+"="+ln.Addr().String())...)
		if code != exitFailed || !strings.Contains(errOut, "--"+setting+"="+ln.Addr().String()) ||
			!strings.Contains(errOut, "address already in use\n  hint: choose another address") {
			t.Errorf("%s: exit %d: %s", setting, code, errOut)
		}
	}
}

// clearEnvironment makes the test independent of the developer's variables.
func clearEnvironment(t *testing.T) {
	t.Helper()
	for _, kv := range os.Environ() {
		name, _, _ := strings.Cut(kv, "=")
		if strings.HasPrefix(name, "OTEL_") || strings.HasPrefix(name, "KSYUN_") || strings.HasSuffix(strings.ToLower(name), "_proxy") {
			t.Setenv(name, "")
			os.Unsetenv(name)
		}
	}
}

// TestCheckConfigChecksTheEnvironment checks that what a start warns of is a
// warning, with the variable's name and never its value.
func TestCheckConfigChecksTheEnvironment(t *testing.T) {
	f := func(code int, want string, env ...string) {
		t.Helper()
		clearEnvironment(t)
		for _, kv := range env {
			k, v, _ := strings.Cut(kv, "=")
			t.Setenv(k, v)
			defer os.Unsetenv(k)
		}
		got, out, errOut := command(t, "", "check-config", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0")
		if got != code || !strings.Contains(out+errOut, want) || strings.Contains(out+errOut, "secret") {
			t.Errorf("%q: exit %d: %s%s; want %d and %q", env, got, out, errOut, code, want)
		}
	}
	f(exitOK, "warning: OTEL_TRACES_EXPORTER: ", "OTEL_TRACES_EXPORTER=secret")
	f(exitOK, "warning: OTEL_EXPORTER_OTLP_HEADERS: ", "OTEL_EXPORTER_OTLP_HEADERS=secret", "OTEL_EXPORTER_OTLP_ENDPOINT=http://"+rawconn.Nowhere)
	f(exitOK, "warning: ALL_PROXY: ", "ALL_PROXY=socks4://secret@127.0.0.1:1")
	f(exitOK, "warning: SSL_CERT_FILE: ", "SSL_CERT_FILE=/nonexistent/secret")
	f(exitUsage, "KSYUN_TAP_LOG_LEVELS: unknown setting\n  hint: did you mean KSYUN_TAP_LOG_LEVEL?", "KSYUN_TAP_LOG_LEVELS=secret")
	f(exitOK, "valid", "KSYUN_TAP_SERVICE_HOST=10.0.0.1", "KSYUN_TAP_PORT=tcp://10.0.0.1:80")
	f(exitUsage, "KSYUN_TAP_JOURNAL_SIZE: ", "KSYUN_TAP_JOURNAL_SIZE=many")
}

// TestCheckConfigOpensWhatAStartOpens breaks each thing that a start opens.
func TestCheckConfigOpensWhatAStartOpens(t *testing.T) {
	clearEnvironment(t)
	dir := t.TempDir()
	held := rawconn.Listen(t)
	wide := filepath.Join(dir, "wide")
	require.NoError(t, os.Mkdir(wide, 0o755))
	require.NoError(t, os.Chmod(wide, 0o755))
	f := func(code int, want string, args ...string) {
		t.Helper()
		args = append([]string{"check-config", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0"}, args...)
		if got, out, errOut := command(t, "", args...); got != code || !strings.Contains(out+errOut, want) {
			t.Errorf("%v: exit %d: %s%s; want %d and %q", args, got, out, errOut, code, want)
		}
	}
	f(exitUsage, "--log.file: open log: ", "--log.file="+filepath.Join(dir, "none", "x.log"))
	f(exitUsage, "so that other users can access the CA's key", "--intercept", "--intercept.ca-dir="+wide)
	f(exitUsage, "choose an address that this machine has", "--proxy.listen-address=192.0.2.1:1")
	f(exitUsage, "--csm.listen-address=192.0.2.1:1", "--csm.listen-address=192.0.2.1:1")
	f(exitOK, "address already in use", "--web.listen-address="+held.Addr().String()) // perhaps by the running tap
	f(exitOK, "valid", "--intercept", "--intercept.ca-dir="+filepath.Join(dir, "new"), "--log.file="+filepath.Join(dir, "new.log"))
	if entries, err := os.ReadDir(dir); err != nil || len(entries) != 1 {
		t.Errorf("it made something: %v, %v", entries, err)
	}
}

func TestListenError(t *testing.T) {
	for err, want := range map[syscall.Errno]string{
		syscall.EACCES: "CAP_NET_BIND_SERVICE", syscall.EADDRINUSE: "stop the process that uses it", syscall.EADDRNOTAVAIL: "this machine has",
		syscall.EINVAL: "choose another address",
	} {
		got := listenError("proxy.listen-address", "127.0.0.1:80", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", err)}).Error()
		if !strings.HasPrefix(got, "--proxy.listen-address=127.0.0.1:80: ") || !strings.Contains(got, want) || err != syscall.EADDRINUSE && strings.Contains(got, "process") {
			t.Errorf("%v: %s", err, got)
		}
	}
}

func TestReady(t *testing.T) {
	_, admin := startTap(t, rawconn.Nowhere)
	if code, out, errOut := command(t, "", "ready", "--url=http://"+admin); code != exitOK || out != "ready\n" {
		t.Errorf("exit %d: %s%s", code, out, errOut)
	}
	t.Setenv("KSYUN_TAP_WEB_LISTEN_ADDRESS", admin)
	expectCommand(t, exitOK, "", "ready")
	down := httptest.NewServer(http.NotFoundHandler())
	down.Close()
	expectCommand(t, exitFailed, "not ready", "ready", "--url="+down.URL)
	draining := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		http.Error(w, "starting or stopping", http.StatusServiceUnavailable)
	}))
	defer draining.Close()
	expectCommand(t, exitFailed, "starting or stopping", "ready", "--url="+draining.URL)
}

// TestHelpIntoAClosedPipe checks that help does not panic if it cannot be printed.
func TestHelpIntoAClosedPipe(t *testing.T) {
	r, w := io.Pipe()
	r.Close()
	if code := run(t.Context(), []string{"--help"}, strings.NewReader(""), w, io.Discard); code != exitOK {
		t.Errorf("exit %d", code)
	}
}
