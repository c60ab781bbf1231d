//go:build !race

package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/collector/upstream/upstreamtest"
	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/summary"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const matrixPage = "../../docs/reference/environment.md"

// matrixGroup is a group of environments, "NAME=VALUE NAME=VALUE". {COLLECTOR},
// {PROXY}, {SOCKS}, {TAP}, {DIR}, {EMPTY} and {NONE} are replaced by addresses and
// files, and {BLANK} by a space.
type matrixGroup struct {
	title string
	cases []string
}

var matrixGroups = []matrixGroup{
	{"OpenTelemetry", []string{
		"OTEL_SDK_DISABLED=true", "OTEL_SDK_DISABLED=TRUE", "OTEL_SDK_DISABLED=yes",
		"OTEL_TRACES_EXPORTER=otlp", "OTEL_TRACES_EXPORTER=OTLP{BLANK}", "OTEL_TRACES_EXPORTER=none", "OTEL_TRACES_EXPORTER=None",
		"OTEL_TRACES_EXPORTER=console", "OTEL_TRACES_EXPORTER=otlp,console", "OTEL_TRACES_EXPORTER=zipkin", "OTEL_TRACES_EXPORTER=zipkin,otlp",
		"OTEL_TRACES_EXPORTER=none,otlp", "OTEL_TRACES_EXPORTER=,",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://{COLLECTOR}", "OTEL_EXPORTER_OTLP_ENDPOINT={BLANK}http://{COLLECTOR}{BLANK}",
		"OTEL_EXPORTER_OTLP_ENDPOINT={COLLECTOR}", "OTEL_EXPORTER_OTLP_ENDPOINT=ftp://{COLLECTOR}", "OTEL_EXPORTER_OTLP_ENDPOINT=http://user:password@{COLLECTOR}",
		"OTEL_EXPORTER_OTLP_ENDPOINT=http://collector:99999", "OTEL_EXPORTER_OTLP_ENDPOINT=://",
		"OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=nonsense", "OTEL_EXPORTER_OTLP_TRACES_ENDPOINT=nonsense OTEL_EXPORTER_OTLP_ENDPOINT=http://{COLLECTOR}",
	}},
	{"OpenTelemetry, beside `OTEL_EXPORTER_OTLP_ENDPOINT`", []string{
		"OTEL_EXPORTER_OTLP_PROTOCOL=grpc", "OTEL_EXPORTER_OTLP_PROTOCOL=GRPC", "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_EXPORTER_OTLP_PROTOCOL=http/json",
		"OTEL_EXPORTER_OTLP_PROTOCOL=http", "OTEL_EXPORTER_OTLP_TRACES_PROTOCOL=thrift",
		"OTEL_EXPORTER_OTLP_HEADERS=x-team=a", "OTEL_EXPORTER_OTLP_HEADERS=Bearer{BLANK}token", "OTEL_EXPORTER_OTLP_HEADERS=a=%zz", "OTEL_EXPORTER_OTLP_TRACES_HEADERS=,=,",
		"OTEL_EXPORTER_OTLP_TIMEOUT=10s", "OTEL_EXPORTER_OTLP_TIMEOUT=-1", "OTEL_EXPORTER_OTLP_TRACES_TIMEOUT=99999999999999999999",
		"OTEL_EXPORTER_OTLP_COMPRESSION=gzip", "OTEL_EXPORTER_OTLP_COMPRESSION=brotli", "OTEL_EXPORTER_OTLP_TRACES_COMPRESSION=zstd",
		"OTEL_EXPORTER_OTLP_INSECURE=maybe", "OTEL_EXPORTER_OTLP_CERTIFICATE={NONE}",
		"OTEL_BSP_MAX_QUEUE_SIZE=2000000000", "OTEL_BSP_MAX_QUEUE_SIZE=-1", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=-5", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=0", "OTEL_BSP_MAX_EXPORT_BATCH_SIZE=many",
		"OTEL_BSP_SCHEDULE_DELAY=5s", "OTEL_BSP_SCHEDULE_DELAY=-1", "OTEL_BSP_EXPORT_TIMEOUT=0",
		"OTEL_SPAN_ATTRIBUTE_COUNT_LIMIT=few", "OTEL_SPAN_ATTRIBUTE_VALUE_LENGTH_LIMIT=-3", "OTEL_ATTRIBUTE_COUNT_LIMIT=0", "OTEL_ATTRIBUTE_VALUE_LENGTH_LIMIT=long",
		"OTEL_RESOURCE_ATTRIBUTES=team=a,broken", "OTEL_RESOURCE_ATTRIBUTES=team=%zz", "OTEL_SERVICE_NAME={BLANK}",
		"OTEL_TRACES_SAMPLER=sometimes", "OTEL_TRACES_SAMPLER_ARG=2", "OTEL_PROPAGATORS=pigeon",
		"OTEL_LOGS_EXPORTER=otlp", "OTEL_LOGS_EXPORTER=syslog", "OTEL_BLRP_MAX_QUEUE_SIZE=none", "OTEL_EXPORTER_OTLP_LOGS_PROTOCOL=udp OTEL_LOGS_EXPORTER=otlp",
		"OTEL_METRICS_EXPORTER=otlp", "OTEL_METRICS_EXPORTER=prometheus", "OTEL_METRICS_EXPORTER=graphite", "OTEL_METRIC_EXPORT_INTERVAL=60s",
		"OTEL_EXPORTER_OTLP_METRICS_TEMPORALITY_PREFERENCE=delta OTEL_METRICS_EXPORTER=otlp",
	}},
	{"OpenTelemetry, with TLS", []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://{COLLECTOR} OTEL_EXPORTER_OTLP_CERTIFICATE={NONE}", "OTEL_EXPORTER_OTLP_ENDPOINT=https://{COLLECTOR} OTEL_EXPORTER_OTLP_TRACES_CERTIFICATE={EMPTY}",
		"OTEL_EXPORTER_OTLP_ENDPOINT=https://{COLLECTOR} OTEL_EXPORTER_OTLP_CLIENT_CERTIFICATE={NONE}", "OTEL_EXPORTER_OTLP_ENDPOINT=https://{COLLECTOR} OTEL_EXPORTER_OTLP_CLIENT_KEY={DIR}",
		"OTEL_EXPORTER_OTLP_ENDPOINT={COLLECTOR} OTEL_EXPORTER_OTLP_PROTOCOL=grpc OTEL_EXPORTER_OTLP_INSECURE=maybe",
	}},
	{"Upstream proxies", []string{
		"HTTP_PROXY=http://{PROXY}", "http_proxy={PROXY}", "HTTP_PROXY={BLANK}HTTP://{PROXY}/{BLANK}", "HTTP_PROXY=http://user:password@{PROXY}",
		"HTTP_PROXY=socks5://{SOCKS}", "HTTP_PROXY=socks5h://{SOCKS}", "ALL_PROXY=socks5h://{SOCKS}", "all_proxy=socks5://{SOCKS}", "ALL_PROXY=http://{PROXY}",
		"HTTP_PROXY=http://{TAP}", "HTTP_PROXY={TAP}", "ALL_PROXY=socks5h://{TAP}",
		"HTTP_PROXY=http://{PROXY} NO_PROXY=localhost,{BLANK}.corp.example", "HTTP_PROXY=http://{NOWHERE} NO_PROXY=*", "HTTP_PROXY=http://{NOWHERE} NO_PROXY=.ksyun.com", "HTTP_PROXY=http://{NOWHERE} no_proxy=monitor.api.ksyun.com",
		"NO_PROXY=,{BLANK},", "NO_PROXY=10.0.0.0/8,[::1],host:80,|",
		"ALL_PROXY=socks4://{SOCKS}", "HTTP_PROXY=quic://{PROXY}", "HTTP_PROXY=http://[", "HTTP_PROXY=http://proxy:99999",
	}},
	{"Trust", []string{
		"SSL_CERT_FILE={NONE}", "SSL_CERT_FILE={EMPTY}", "SSL_CERT_FILE={DIR}", "SSL_CERT_DIR={NONE}", "SSL_CERT_DIR={DIR}",
		"REQUESTS_CA_BUNDLE={NONE}", "REQUESTS_CA_BUNDLE={DIR}", "CURL_CA_BUNDLE={EMPTY}", "AWS_CA_BUNDLE={NONE}", "KS_CA_BUNDLE={NONE}", "NODE_EXTRA_CA_CERTS={NONE}",
		"JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore={NONE}", "JAVA_TOOL_OPTIONS=-Djavax.net.ssl.trustStore={EMPTY}", "JAVA_TOOL_OPTIONS=-Dhttp.proxyHost=proxy.example",
		"JAVA_TOOL_OPTIONS=\"", "_JAVA_OPTIONS=-DsocksProxyHost=socks.example", "NODE_OPTIONS=\"", "NODE_USE_ENV_PROXY=0",
	}},
	{"Others", []string{
		"TMPDIR={NONE}", "TMPDIR={ODD}", "AWS_CSM_ENABLED=false", "AWS_CSM_PORT=x",
		"KSYUN_TAP_LOG_LEVELS=debug", "KSYUN_TAP_PORT=80", "KSYUN_TAP_PORT=tcp://10.0.0.1:80", "KSYUN_TAP_SERVICE_HOST=10.0.0.1",
	}},
}

// matrix is the environment of the cases.
type matrix struct {
	t     *testing.T
	self  string
	api   string
	tap   string // where a tap listens
	dns   string // a DNS server that knows an address of the API
	known *strings.Replacer
}

func newMatrix(t *testing.T) *matrix {
	t.Helper()
	self, err := os.Executable()
	require.NoError(t, err)
	api := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	t.Cleanup(api.Close)
	proxy := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Host != apiHost && r.URL.Host != apiHost+":80" {
			w.WriteHeader(http.StatusBadGateway)
		}
	}))
	t.Cleanup(proxy.Close)
	collector := httptest.NewServer(http.NotFoundHandler())
	t.Cleanup(collector.Close)
	dir := t.TempDir()
	paths := map[string]string{"DIR": filepath.Join(dir, "dir"), "EMPTY": filepath.Join(dir, "empty"), "NONE": filepath.Join(dir, "none"), "ODD": filepath.Join(dir, `a b"c'd\e`)}
	for _, name := range []string{"DIR", "ODD"} {
		require.NoError(t, os.Mkdir(paths[name], 0o700))
	}
	testfile.Write(t, paths["EMPTY"], "", 0o600)
	m := &matrix{t: t, self: self, api: api.Listener.Addr().String(), tap: freeport.TCP(t), dns: upstreamtest.ServeDNS(t, upstreamtest.Addresses(t, "192.0.2.1"))}
	socks, _ := rawconn.ServeSOCKS(t, m.api)
	m.known = strings.NewReplacer(
		"{COLLECTOR}", collector.Listener.Addr().String(), "{PROXY}", proxy.Listener.Addr().String(), "{SOCKS}", socks,
		"{TAP}", m.tap, "{NOWHERE}", rawconn.Nowhere, "{BLANK}", " ",
		"{DIR}", paths["DIR"], "{EMPTY}", paths["EMPTY"], "{NONE}", paths["NONE"], "{ODD}", paths["ODD"])
	return m
}

// TestEnvironmentMatrix runs the commands in every environment of the matrix, checks
// that the program runs in each, and compares the results with the page. It is built
// without the race detector, with which it takes three times as long. Other tests run
// each of the commands with it.
func TestEnvironmentMatrix(t *testing.T) {
	clearEnvironment(t)
	m := newMatrix(t)
	var page bytes.Buffer
	page.WriteString(matrixIntro)
	for _, g := range matrixGroups {
		fmt.Fprintf(&page, "\n## %s\n\n| environment | run | exec | check-config |\n|---|---|---|---|\n", g.title)
		for _, c := range g.cases {
			env := strings.Fields(c)
			shown := "`" + strings.ReplaceAll(strings.NewReplacer("{BLANK}", " ", "{COLLECTOR}", "collector:4318", "{PROXY}", "proxy:3128", "{SOCKS}", "socks:1080",
				"{NOWHERE}", "down:3128", "{TAP}", "127.0.0.1:18181", "{DIR}", "/directory", "{EMPTY}", "/empty", "{NONE}", "/nonexistent", "{ODD}", `/tmp/a b"c'd\e`).Replace(c), "|", `\|`) + "`"
			if strings.Contains(g.title, "beside") {
				env = append(env, "OTEL_EXPORTER_OTLP_ENDPOINT=http://{COLLECTOR}")
			}
			t.Run(c, func(t *testing.T) {
				for _, kv := range env {
					name, value, _ := strings.Cut(m.known.Replace(kv), "=")
					t.Setenv(name, value)
				}
				fmt.Fprintf(&page, "| %s | %s | %s | %s |\n", shown, m.run(t, env), m.exec(t, env), m.check(t))
			})
		}
	}
	golden.Check(t, matrixPage, page.Bytes()) // make matrix rewrites it
}

const matrixIntro = `<!-- Written by make matrix. Do not edit. -->

# Environment variables

The effect of each variable on ` + "`ksyun-tap run`, `ksyun-tap exec` and `ksyun-tap check-config`" + `, including unusual values. A test
runs every cell: a program calls the API through the tap, or under exec. The program runs in all of them.

- **observed**: the tap starts, and the call succeeds and is observed.
- **refused**: the tap starts and answers the call with an error that states the reason: the proxy would not work for the
  program itself either, or the tap does not support it.
- **without the tap**: exec runs the command in its original environment, and standard error states the reason.
- **valid**: exit code 0. **invalid**: exit code 2, with the reason.
- **ignores**: the variable is ignored, completely or partly. The log, or exec's standard error, contains its name but
  not its value, and ` + "`ksyun_tap_ignored_variables`" + ` counts it.
- **notes**: exec prints a note about the variable before the command starts.

Besides these, WATCHDOG_USEC, WATCHDOG_PID and LISTEN_FDS, which a service manager sets, are ignored with a warning if
they are invalid, and a service manager that reads no messages (NOTIFY_SOCKET) delays nothing. A GOMEMLIMIT that Go
cannot parse, such as 1GB instead of 1GiB, ends every Go program before it starts, including the tap and exec.
`

// leadsTo returns the flags for reaching the API without a proxy, or for resolving
// its name.
func (m *matrix) leadsTo(env []string) []string {
	text := strings.Join(env, " ")
	if strings.Contains(text, "=socks5://") {
		return []string{"--upstream.resolver=" + m.dns}
	}
	if strings.Contains(text, "PROXY}") || strings.Contains(text, "SOCKS}") || strings.Contains(text, "http://[") || strings.Contains(text, ":99999") && strings.Contains(text, "PROXY=") {
		return nil
	}
	return []string{"--upstream.connect-to=" + apiHost + ":80=" + m.api}
}

// run starts the tap and calls the API through it.
func (m *matrix) run(t *testing.T, env []string) string {
	t.Helper()
	args := append([]string{"run", "--proxy.listen-address=" + m.tap, "--web.listen-address=127.0.0.1:0"}, m.leadsTo(env)...)
	c, _, err := parseCommandLine(args, io.Discard)
	require.NoError(t, err)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	tap, err := newTap(ctx, &c.settings, nil, outputs{log: io.Discard, console: io.Discard}, service{})
	if err != nil {
		t.Errorf("run does not start: %v", err)
		return "does not start"
	}
	done := make(chan error, 1)
	go func() { done <- tap.serve(ctx) }()
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: m.tap})}
	res, err := (&http.Client{Transport: transport}).Get("http://" + apiHost + "/?Action=ListMetrics")
	transport.CloseIdleConnections()
	cell := "observed"
	if err != nil {
		t.Errorf("run: the call fails: %v", err)
	} else if res.Body.Close(); res.StatusCode != http.StatusOK {
		cell = "refused"
		if res.Header.Get("X-Ksyun-Tap-Error") == "" || len(tap.problems) == 0 {
			t.Errorf("run: the call is answered with %d without a warning", res.StatusCode)
		}
	}
	cancel()
	assert.NoError(t, <-done, "run")
	if calls, _ := tap.metrics.Counted(); calls != 1 {
		t.Errorf("run: %d calls observed", calls)
	}
	var names []string
	for _, p := range tap.problems {
		names = append(names, p.Variable)
	}
	return cell + ignores(names)
}

func ignores(names []string) string {
	if len(names) == 0 {
		return ""
	}
	slices.Sort(names)
	return ", ignores " + strings.Join(slices.Compact(names), ", ")
}

var (
	ignoredLine = regexp.MustCompile(`(?m)^ksyun-tap: ([A-Z_]+): .*\(ignored\)$`)
	withoutLine = regexp.MustCompile(`(?m)^ksyun-tap: .*: the command runs without the tap$`)
	noteLine    = regexp.MustCompile(`(?m)^ksyun-tap: ([A-Z_]+) .*$`)
	warningLine = regexp.MustCompile(`(?m)^warning: ([A-Z_]+): .*$`)
)

// exec runs the program under exec.
func (m *matrix) exec(t *testing.T, env []string) string {
	t.Helper()
	t.Setenv(matrixClient, "1")
	defer os.Unsetenv(matrixClient)
	args := slices.Concat([]string{"exec", "--summary=json"}, m.leadsTo(env), []string{"--", m.self})
	if strings.Contains(strings.Join(env, " "), "{TAP}") {
		// Another tap is running.
		other := httptest.NewUnstartedServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
		other.Listener.Close()
		ln, err := net.Listen("tcp", m.tap)
		require.NoError(t, err)
		other.Listener = ln
		other.Start()
		defer other.Close()
	}
	code, out, errOut := command(t, "", args...)
	if withoutLine.MatchString(errOut) {
		if !strings.Contains(out, "\n") {
			t.Errorf("exec: the program did not run: %s%s", out, errOut)
		}
		return "without the tap"
	}
	if code != exitOK || !strings.Contains(out, "status 200\n") {
		t.Errorf("exec: exit %d: %s%s", code, out, errOut)
	}
	var s summary.Summary
	if i := strings.LastIndex(errOut, "{\"calls\""); i < 0 || json.Unmarshal([]byte(errOut[i:]), &s) != nil || s.Calls != 1 {
		t.Errorf("exec: not observed: %s", errOut)
	}
	cell := "observed" + ignores(matches(ignoredLine, errOut))
	if notes := matches(noteLine, errOut); len(notes) > 0 {
		cell += ", notes " + strings.Join(notes, ", ")
	}
	return cell
}

// check runs check-config.
func (m *matrix) check(t *testing.T) string {
	t.Helper()
	code, out, errOut := command(t, "", "check-config", "--proxy.listen-address="+m.tap, "--web.listen-address=127.0.0.1:0")
	switch code {
	case exitOK:
		return "valid" + ignores(matches(warningLine, out))
	case exitUsage:
		return "invalid" + ignores(matches(warningLine, out))
	}
	t.Errorf("check-config: exit %d: %s%s", code, out, errOut)
	return ""
}

func matches(re *regexp.Regexp, text string) (names []string) {
	for _, m := range re.FindAllStringSubmatch(text, -1) {
		names = append(names, m[1])
	}
	return names
}
