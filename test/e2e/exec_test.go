//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/selfsigned"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// goClient makes this test binary a program that calls the API with Go's
// default client, which is set up by its environment alone.
func goClient() {
	for _, do := range []cloudmonitor.Directive{{}, {Error: "LimitExceeded"}} {
		req, err := http.NewRequest(http.MethodGet, "https://"+apiHost+"/?Action=ListMetrics&Version=2010-05-25", nil)
		if err != nil {
			panic(err)
		}
		req.Header.Set("Accept", "application/json")
		cloudmonitor.SignV4(req, nil, good, cloudmonitor.Scope{Region: "cn-beijing-6", Service: "monitor"}, time.Now(), "accept")
		if text := do.String(); text != "" {
			req.Header.Set(cloudmonitor.DirectiveField, text)
		}
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			panic(err)
		}
		res.Body.Close()
		fmt.Println(res.StatusCode)
	}
}

// tlsAPI serves the simulated API over TLS under its real name. It returns its
// address and a file with the CA that vouches for it.
func tlsAPI(t *testing.T) (address, caFile string) {
	t.Helper()
	return serveTLS(t, cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}), apiHost)
}

// serveTLS serves hosts over TLS by a handler.
func serveTLS(t *testing.T, h http.Handler, hosts ...string) (address, caFile string) {
	t.Helper()
	cert, certPEM := selfsigned.Certificate(hosts...)
	srv := httptest.NewUnstartedServer(h)
	srv.TLS = &tls.Config{Certificates: []tls.Certificate{cert}}
	srv.StartTLS()
	t.Cleanup(srv.Close)
	caFile = filepath.Join(t.TempDir(), "vendor.pem")
	testfile.Write(t, caFile, certPEM, 0o600)
	return srv.Listener.Addr().String(), caFile
}

// failingIDs is the simulated API, and keeps the request ID of the last call
// that it refused for its rate.
type failingIDs struct {
	api  http.Handler
	last atomic.Value
}

func newFailingIDs() *failingIDs {
	return &failingIDs{api: cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}})}
}

func (f *failingIDs) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	f.api.ServeHTTP(&responseSeen{w, f}, r)
}

// take returns the ID and forgets it.
func (f *failingIDs) take() string {
	id, _ := f.last.Swap("").(string)
	return id
}

type responseSeen struct {
	http.ResponseWriter
	ids *failingIDs
}

func (a *responseSeen) WriteHeader(status int) {
	if status == http.StatusConflict {
		a.ids.last.Store(a.Header().Get("X-KSC-REQUEST-ID"))
	}
	a.ResponseWriter.WriteHeader(status)
}

// execSummary is the summary that exec prints at the end.
type execSummary struct {
	Calls, Failed int
	Failures      []struct {
		Code, Category string
		Count          int
		RequestID      string `json:"request_id"`
	}
}

func execTap(t *testing.T, address, caFile string, env []string, command ...string) (code int, out string, s execSummary) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), patience)
	defer cancel()
	file := filepath.Join(t.TempDir(), "summary.json")
	args := append([]string{
		"exec", "--upstream.ca-file=" + caFile, "--upstream.connect-to=" + apiHost + ":443=" + address,
		"--summary=json", "--summary.file=" + file, "--",
	}, command...)
	cmd := exec.CommandContext(ctx, binary, args...)
	cmd.Env = append(os.Environ(), env...)
	var b bytes.Buffer
	cmd.Stdout, cmd.Stderr = &b, &b
	err := cmd.Run()
	if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	text, err := os.ReadFile(file)
	require.NoError(t, err, "%v; it printed:\n%s", err, b.String())
	require.NoError(t, json.Unmarshal(text, &s))
	return cmd.ProcessState.ExitCode(), b.String(), s
}

// TestExec runs clients that know nothing of the tap over HTTPS: each makes a
// call that succeeds, its signature verified at the far end, and one that
// fails, which is found with its request ID.
func TestExec(t *testing.T) {
	t.Parallel()
	api := newFailingIDs()
	address, caFile := serveTLS(t, api, apiHost)
	curl := `for field in X-None:1 X-Simulate:error=LimitExceeded; do
	  curl -sS -o /dev/null -w '%{http_code}\n' --aws-sigv4 aws:amz:cn-beijing-6:monitor -u "$1:$2" \
	    -H 'Accept: application/json' -H "$field" 'https://` + apiHost + `/?Action=ListMetrics&Version=2010-05-25'
	done`
	self, err := os.Executable()
	require.NoError(t, err)
	f := func(name string, env []string, command ...string) {
		t.Helper()
		code, out, s := execTap(t, address, caFile, env, command...)
		if name == "Java HttpClient" { // which prints the variable, and cannot be told not to
			picked, rest, _ := strings.Cut(out, "\n")
			out = rest
			assert.True(t, strings.HasPrefix(picked, "Picked up JAVA_TOOL_OPTIONS: "), "%s printed %s", name, picked)
		}
		if code != 0 || out != "200\n409\n" { // as without exec, on either output
			t.Errorf("%s: exit code %d, printed:\n%s", name, code, out)
		}
		if s.Calls != 2 || s.Failed != 1 || len(s.Failures) != 1 || s.Failures[0].Code != "LimitExceeded" ||
			s.Failures[0].Category != "throttled" {
			t.Errorf("%s: summary %+v", name, s)
		} else if id := api.take(); len(id) != 36 || s.Failures[0].RequestID != id {
			t.Errorf("%s: request ID %q, want %q", name, s.Failures[0].RequestID, id)
		}
	}
	f("curl", nil, "sh", "-c", curl, "sh", good.AccessKey, good.SecretKey)
	f("Go", []string{clientVariable + "=1"}, self)
	f("Python requests", nil, "/usr/bin/python3", "testdata/client.py", good.AccessKey, good.SecretKey)
	f("Node fetch", nil, "node", "testdata/node.mjs", "fetch", good.AccessKey, good.SecretKey)
	f("Node https", nil, "node", "testdata/node.mjs", "https", good.AccessKey, good.SecretKey)
	f("Node, keep-alive agent", []string{"NODE_OPTIONS=--no-warnings"}, "node", "testdata/node.mjs", "agent", good.AccessKey, good.SecretKey)
	f("node-fetch", nil, "node", nodeFetch(t), "node-fetch", good.AccessKey, good.SecretKey)
	f("Go SDK v1", nil, buildSDKv1(t), "https://"+apiHost, good.AccessKey, good.SecretKey)
	f("Java HttpClient", nil, "java", "testdata/Client.java", good.AccessKey, good.SecretKey)
}

// TestExecPlain runs Node's clients over plain HTTP, which go through the proxy
// in another way.
func TestExecPlain(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer api.Close()
	for _, how := range []string{"fetch", "https", "agent"} {
		file := filepath.Join(t.TempDir(), "summary.json")
		out, err := exec.Command(binary, "exec", "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String(), "--summary=json", "--summary.file="+file,
			"--", "node", "testdata/node.mjs", how, good.AccessKey, good.SecretKey, "http").CombinedOutput()
		if err != nil || !strings.Contains(string(out), "200\n409\n") {
			t.Errorf("%s: %v\n%s", how, err, out)
		}
		var s execSummary
		if text, err := os.ReadFile(file); err != nil || json.Unmarshal(text, &s) != nil || s.Calls != 2 || s.Failed != 1 {
			t.Errorf("%s: %v, summary %s", how, err, text)
		}
	}
	// A server that NO_PROXY leaves out is reached as ever.
	own := httptest.NewServer(http.NotFoundHandler())
	defer own.Close()
	for _, script := range []string{`fetch(process.argv[1]).then((r) => console.log(r.status))`, `require("http").get(process.argv[1], (r) => console.log(r.resume().statusCode))`} {
		out, err := exec.Command(binary, "exec", "--summary=none", "--", "node", "-e", script, own.URL).CombinedOutput()
		if err != nil || string(out) != "404\n" {
			t.Errorf("%s: %v\n%s", script, err, out)
		}
	}
}

// nodeFetch installs the node-fetch that the vendor's Node SDK is built on, and
// returns a program that finds it.
func nodeFetch(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "node.mjs"} {
		text := testfile.Read(t, "testdata", name)
		testfile.Write(t, filepath.Join(dir, name), text, 0o600)
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "npm ci\n%s", out)
	return filepath.Join(dir, "node.mjs")
}

// TestExecDaemon runs a command that leaves a program behind: the tap stays
// until that ends, and passes signals on to it.
func TestExecDaemon(t *testing.T) {
	t.Parallel()
	address, caFile := tlsAPI(t)
	daemon := `(trap 'echo bye; kill $!; exit' TERM; sleep 600 >/dev/null & wait) &
	(read go < "$0"; curl -sS -o /dev/null -w '%{http_code}\n' "https://` + apiHost + `/?Action=ListMetrics&Version=2010-05-25") & exit 7`
	pipe := filepath.Join(t.TempDir(), "pipe")
	require.NoError(t, syscall.Mkfifo(pipe, 0o600))
	p := start(t, nil, binary, "exec", "--upstream.ca-file="+caFile, "--upstream.connect-to="+apiHost+":443="+address, "--", "sh", "-c", daemon, pipe)
	p.wait("sh ended and left 2 processes running")
	testfile.Write(t, pipe, "go\n", 0o600)
	p.wait("403\n") // the API wants a signature: the tap is still there
	if code := p.stop(syscall.SIGTERM); code != 7 {
		t.Errorf("exit code %d, want that of the command", code)
	}
	if text := p.text(); !strings.Contains(text, "bye") || !strings.Contains(text, "MissingAuthenticationToken") {
		t.Errorf("printed:\n%s", text)
	}
}

func TestExecExitCodes(t *testing.T) {
	t.Parallel()
	address, caFile := tlsAPI(t)
	f := func(want int, command ...string) {
		t.Helper()
		if code, out, _ := execTap(t, address, caFile, nil, command...); code != want {
			t.Errorf("%v: exit code %d, want %d: %s", command, code, want, out)
		}
	}
	f(0, "true")
	f(3, "sh", "-c", "exit 3")
	f(128+15, "sh", "-c", "kill -TERM $$")
	f(5, "sh", "-c", "(exit 4) & wait; exit 5")
}
