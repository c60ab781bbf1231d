//go:build e2e

package e2e

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/classify/canary"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/otlprecv"
)

const apiHost = "monitor.api.ksyun.com"

// Secrets that are sent through every sink. None may appear in any output.
const (
	canaryKey    = "AKLTcanaryAccessKey0"
	canaryToken  = "canary-security-token-8d1f"
	canarySecret = "canary-secret-key-77ab"
	canaryBody   = "canary-body-password-42"
)

var (
	good      = cloudmonitor.Credential{AccessKey: "AKLTgood", SecretKey: "s1"}
	denied    = cloudmonitor.Credential{AccessKey: "AKLTdenied", SecretKey: "s2", Denied: []string{"*"}}
	foreign   = cloudmonitor.Credential{AccessKey: "AKLTforeign", SecretKey: "s3", Foreign: true}
	secretive = cloudmonitor.Credential{AccessKey: canaryKey, SecretKey: canarySecret, Token: canaryToken}
)

// TestWholeLine sends every kind of failing call through the real binary and
// looks for each in a real Prometheus, the OTLP receiver, the log and the
// journal.
func TestWholeLine(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{
		Credentials: []cloudmonitor.Credential{good, denied, foreign, secretive},
	}))
	defer api.Close()
	spans := otlprecv.New(100_000)
	otlp := httptest.NewServer(spans)
	defer otlp.Close()

	tap := startTap(t, []string{
		"OTEL_EXPORTER_OTLP_ENDPOINT=" + otlp.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_BSP_SCHEDULE_DELAY=100",
	}, "--traces.success-ratio=1", "--log.access", "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String(),
		"--upstream.connect-to=dead.api.ksyun.com:80="+freeport.TCP(t))
	prometheus := startPrometheus(t, tap.admin)

	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy}), DisableKeepAlives: true}
	traffic := &cloudmonitor.Traffic{
		Client: &http.Client{Transport: transport}, Host: apiHost, DeadHost: "dead.api.ksyun.com",
		Good: good, Denied: denied, Foreign: foreign, Codes: codes(),
	}
	calls := traffic.Bad()
	for _, c := range calls {
		traffic.Send(ctx, c)
	}
	const successes = 20
	for range successes {
		got := traffic.Send(ctx, cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good})
		assert.Equal(t, http.StatusOK, got, "a good call: status")
	}
	total := float64(len(calls) + successes)

	// Prometheus has counted each call, once.
	eventually(t, "Prometheus has all calls", func() bool {
		return prometheus.value(`sum(ksyun_api_requests_total)`) == total
	})
	got := prometheus.value(`sum(ksyun_api_requests_total{outcome="success"})`)
	assert.EqualValues(t, successes, got, "successes")
	for outcome, want := range map[string]float64{"partial": 1, "masked": 2, "canceled": 1} {
		got := prometheus.value(fmt.Sprintf(`sum(ksyun_api_requests_total{outcome=%q})`, outcome))
		assert.Equal(t, want, got, "outcome %s", outcome)
	}
	if got := prometheus.labels(`count by (code) (ksyun_api_errors_total)`, "code"); len(got) < 20 {
		t.Errorf("%d codes, want 20 at least: %v", len(got), got)
	}
	categories := prometheus.labels(`count by (category) (ksyun_api_errors_total)`, "category")
	for _, want := range classify.Categories() {
		assert.Contains(t, categories, string(want), "no category %s among", want)
	}
	assert.EqualValues(t, 2, prometheus.value(`sum(ksyun_api_partial_failed_items_total)`), "failed items")
	assert.Zero(t, prometheus.value(`sum(ksyun_api_requests_in_flight)`), "calls in flight")
	if got := prometheus.value(`histogram_count(sum(ksyun_api_request_duration_seconds))`); got != total {
		t.Errorf("native histogram counts %v, want %v", got, total)
	}

	// One failure is the same call in the log, the journal, the span and the
	// exemplar.
	line := logLine(t, tap, "LimitExceeded")
	var found struct {
		Data struct {
			Failures []map[string]any `json:"failures"`
		}
	}
	getJSON(t, "http://"+tap.admin+"/api/v1/failures/"+line.RequestID, &found)
	if len(found.Data.Failures) != 1 || found.Data.Failures[0]["trace_id"] != line.TraceID {
		t.Errorf("journal: %v, want one with trace %s", found.Data.Failures, line.TraceID)
	}
	span, err := spans.Wait(ctx, func(s otlprecv.Span) bool { return s.TraceID == line.TraceID })
	require.NoError(t, err, "span of trace %s", line.TraceID)
	if span.Name != "monitor.GetMetricStatistics" || span.Kind != "SPAN_KIND_CLIENT" ||
		span.Attributes["ksyun.request_id"] != line.RequestID || span.Attributes["ksyun.error.code"] != "LimitExceeded" {
		t.Errorf("span: %+v", span)
	}
	// The span has the way back to the failure's page.
	if id := span.Attributes["ksyun.failure_id"]; id != found.Data.Failures[0]["id"] || id != line.ID {
		t.Errorf("the span has the failure ID %v, the journal %v and the log line %s", id, found.Data.Failures[0]["id"], line.ID)
	} else if status, page := get(t, fmt.Sprintf("http://%s/failures/%v", tap.admin, id)); status != http.StatusOK || !strings.Contains(page, line.TraceID) {
		t.Errorf("the page of the failure: %d", status)
	}
	eventually(t, "an exemplar with the trace", func() bool {
		return prometheus.hasExemplar("ksyun_api_errors_total", line.TraceID)
	})
	if _, err := spans.Wait(ctx, func(s otlprecv.Span) bool { return s.Status != "STATUS_CODE_ERROR" }); err != nil {
		t.Errorf("no span of a success: %v", err)
	}

	promtoolCheck(t, tap.admin)
	if code := tap.stop(syscall.SIGTERM); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
}

// codes are the catalogue's codes that come with an error status.
func codes() []string {
	var all []string
	for _, e := range classify.DefaultCatalog().Entries() {
		if e.Grade == classify.GradeDocumented && !e.Refines && len(e.Statuses) > 0 && e.Statuses[0] >= 400 {
			all = append(all, e.Code)
		}
	}
	return all
}

// line is one failure as it was logged.
type line struct {
	RequestID string `json:"request_id"`
	ID        string `json:"id"`
	TraceID   string `json:"trace_id"`
	Code      string `json:"code"`
}

func logLine(t *testing.T, tap *runningTap, code string) line {
	t.Helper()
	var l line
	text := tap.wait(`"code":"`+code+`"`, "request_id")
	// The last one of several: only its exemplar is kept.
	for next := range strings.Lines(tap.text()) {
		if strings.HasSuffix(next, "\n") && strings.Contains(next, `"code":"`+code+`"`) {
			text = next
		}
	}
	if err := json.Unmarshal([]byte(text), &l); err != nil || l.TraceID == "" || l.RequestID == "" {
		t.Fatalf("log line %q: %v", text, err)
	}
	return l
}

func promtoolCheck(t *testing.T, admin string) {
	t.Helper()
	_, text := get(t, "http://"+admin+"/metrics")
	cmd := exec.Command("promtool", "check", "metrics")
	cmd.Stdin = strings.NewReader(text)
	if out, err := cmd.CombinedOutput(); err != nil || len(bytes.TrimSpace(out)) > 0 {
		t.Errorf("promtool check metrics: %v\n%s", err, out)
	}
}

// echoed are the fields of a response in which a gateway may quote the request.
var echoed = []string{"code", "inner code", "type", "message", "request ID", "ID field", "error type field", "flat code", "item", "text", "success"}

// echo answers with text in one of those fields, and with the ID elsewhere.
func echo(w http.ResponseWriter, field, text, id string) {
	const idField, typeField = "X-Ksc-Request-Id", "X-Ksc-Errortype"
	detail := map[string]string{"Code": "SomeCode", "Type": "Sender", "Message": "refused"}
	body := map[string]any{"Error": detail}
	status := http.StatusForbidden
	w.Header().Set(idField, id)
	switch field {
	case "code":
		detail["Code"] = "Invalid." + text
	case "inner code":
		detail["InnerCode"] = text
	case "type":
		detail["Type"] = text
	case "message":
		detail["Message"] = "refused \u009b31m\u202e " + text
	case "request ID":
		w.Header().Del(idField)
		body["RequestId"] = text
	case "ID field":
		w.Header().Set(idField, text)
	case "error type field":
		w.Header().Set(typeField, text)
		delete(detail, "Code")
	case "flat code":
		body = map[string]any{"code": text, "message": text}
	case "item":
		status, body = http.StatusOK, map[string]any{"getMetricStatisticsBatchResults": []any{}, "errorMessage": []string{text}}
	case "success":
		w.Header().Set(idField, text)
		status, body = http.StatusOK, map[string]any{"code": text, "metrics": []any{}}
	case "text":
		w.WriteHeader(status)
		_, _ = io.WriteString(w, text)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(body)
}

// TestNoSecretComesOut drives secrets through the tap in every place where a
// request has one, quoted in every field of a response and in every way of
// writing, and looks for them in everything that comes out.
func TestNoSecretComesOut(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 3*patience)
	defer cancel()
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if field := r.Header.Get("Echo-Field"); field != "" {
			text := canary.Encodings(canary.Secrets[1])[r.Header.Get("Echo-Encoding")]
			echo(w, field, text, r.Header.Get("Echo-Id"))
			return
		}
		// A gateway that echoes what it was sent is the worst there can be.
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("X-Ksc-Request-Id", "11111111-2222-4333-8444-555555555555")
		w.WriteHeader(http.StatusForbidden)
		message := "refused " + r.RequestURI + " " + r.Header.Get("Authorization") + " " + r.Header.Get("X-Amz-Security-Token")
		_ = json.NewEncoder(w).Encode(map[string]any{
			"Error": map[string]any{"Code": "SignatureDoesNotMatch", "Message": message}, "Token": canaryBody,
		})
	}))
	defer api.Close()
	spans := otlprecv.New(10_000)
	otlp := httptest.NewServer(spans)
	defer otlp.Close()
	tap := startTap(t, []string{"OTEL_EXPORTER_OTLP_ENDPOINT=" + otlp.URL, "OTEL_EXPORTER_OTLP_PROTOCOL=http/protobuf", "OTEL_BSP_SCHEDULE_DELAY=50"},
		"--log.access", "--log.level=debug", "--journal.size=5000", "--evidence", "--traces.success-ratio=1",
		"--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())
	transport := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy})}
	defer transport.CloseIdleConnections()
	traffic := &cloudmonitor.Traffic{Client: &http.Client{Transport: transport}, Host: apiHost}
	body := `{"Password":"` + canaryBody + `"}`
	for _, sign := range []string{"v4", "presigned", "simple"} {
		call := cloudmonitor.CallSpec{Method: "POST", Action: "PutMetricData", Version: "2017-07-01", As: secretive, Sign: sign, Body: body}
		require.Equal(t, http.StatusForbidden, traffic.Send(ctx, call), "%s: status", sign)
	}
	// A refused request and one that cannot be parsed are reported, too.
	got := traffic.Send(ctx, cloudmonitor.CallSpec{Host: "other.example", Action: "A", As: secretive, Sign: "presigned"})
	require.Equal(t, http.StatusForbidden, got, "other host: status")

	ids, places := sendCanaries(t, tap.proxy)
	sent := 0
	if _, err := spans.Wait(ctx, func(otlprecv.Span) bool { sent++; return sent == 3+len(ids) }); err != nil {
		t.Fatalf("%d spans of %d: %v", sent, 3+len(ids), err)
	}
	admin := "http://" + tap.admin
	outputs := map[string]string{}
	see := func(path string) {
		status, text := get(t, admin+path)
		if status != http.StatusOK || text == "" {
			t.Errorf("%s: status %d", path, status)
		}
		outputs[path] = text
	}
	for _, path := range []string{"/", "/metrics", "/api/v1/failures?limit=1000", "/api/v1/failures/11111111-2222-4333-8444-555555555555", "/failures/11111111-2222-4333-8444-555555555555", "/api/v1/failures/11111111-2222-4333-8444-555555555555/har"} {
		see(path)
	}
	pages := 0
	for id, field := range ids {
		if field != "request ID" && field != "ID field" && field != "success" && field != "text" {
			see("/failures/" + id) // with the texts of the ticket
			see("/api/v1/failures/" + id)
			see("/api/v1/failures/" + id + "/har")
			pages++
		}
	}
	outputs["exemplars"] = openMetrics(t, admin)
	if !strings.Contains(outputs["exemplars"], `# {`) || !strings.Contains(outputs["exemplars"], "request_id=") {
		t.Error("no exemplars, so they prove nothing")
	}
	if !strings.Contains(outputs["/api/v1/failures?limit=1000"], "SomeCode") || !strings.Contains(outputs["/api/v1/failures/11111111-2222-4333-8444-555555555555"], "SignatureDoesNotMatch") {
		t.Error("the journal does not hold the failures, so this proves nothing")
	}
	if har := outputs["/api/v1/failures/11111111-2222-4333-8444-555555555555/har"]; !strings.Contains(har, `\"Token\":\"[string]\"`) || !strings.Contains(har, `"name": "Authorization"`) {
		t.Errorf("the archive has neither bodies nor header fields, so it proves nothing: %s", har)
	}
	exported, err := json.Marshal(spans.Select(func(otlprecv.Span) bool { return true }))
	require.NoError(t, err)
	outputs["spans"] = string(exported)
	// SIGQUIT makes the Go runtime dump every stack: that, too, is an output.
	_ = tap.cmd.Process.Signal(syscall.SIGQUIT)
	<-tap.exit
	outputs["log and crash dump"] = tap.text()
	for _, secret := range []string{canaryKey, canaryToken, canarySecret, canaryBody} {
		for where, text := range outputs {
			if strings.Contains(text, secret) || strings.Contains(text, url.QueryEscape(secret)) {
				t.Errorf("%s comes out in %s:\n%s", secret, where, excerpt(text, secret))
			}
		}
	}
	for where, text := range outputs {
		if i := strings.Index(text, "Signature="); i >= 0 && !strings.HasPrefix(text[i:], "Signature=REDACTED") {
			t.Errorf("a signature comes out in %s: %s", where, text[i:min(len(text), i+40)])
		}
		if part := canary.In(text); part != "" {
			t.Errorf("a canary comes out in %s:\n%s", where, excerpt(strings.ToLower(text), part))
		}
		if i := strings.IndexAny(text, "\u009b\u202e"); i >= 0 {
			t.Errorf("controls come out in %s: %q", where, text[max(0, i-100):i+5])
		}
	}
	t.Logf("%d places in requests, %d calls, %d outputs", places, len(ids), len(outputs))
	if places < 80 || len(ids) < 10*places || pages < 6*places {
		t.Errorf("too few to prove anything: %d places, %d calls, %d pages", places, len(ids), pages)
	}
}

// sendCanaries sends each canary in each place, for each field of a response; the
// ways of writing take turns. It returns the fields by the request IDs that
// their calls are to have.
func sendCanaries(t *testing.T, proxy string) (ids map[string]string, places int) {
	t.Helper()
	conn := rawconn.Open(t, proxy)
	responses := bufio.NewReader(conn)
	ids = map[string]string{}
	secret := canary.Secrets[1]
	requests, encodings := canary.Requests(secret), slices.Sorted(maps.Keys(canary.Encodings(secret)))
	for _, place := range slices.Sorted(maps.Keys(requests)) {
		if place == "Proxy-Authorization" || place == "absolute form" || place == "fragment" || place == "second Authorization" {
			continue // the tap removes that field, a user and a fragment, and refuses a second Authorization
		}
		places++
		r := requests[place]
		for _, field := range echoed {
			n := len(ids)
			id := fmt.Sprintf("00000000-0000-4000-8000-%012d", n)
			ids[id] = field
			var b strings.Builder
			fmt.Fprintf(&b, "POST %s HTTP/1.1\r\nHost: %s\r\nContent-Length: %d\r\n", r.Target, apiHost, len(r.Body))
			fmt.Fprintf(&b, "Echo-Field: %s\r\nEcho-Encoding: %s\r\nEcho-Id: %s\r\n", field, encodings[n%len(encodings)], id)
			for _, f := range r.Fields {
				fmt.Fprintf(&b, "%s: %s\r\n", f[0], f[1])
			}
			if _, err := io.WriteString(conn, b.String()+"\r\n"+r.Body); err != nil {
				t.Fatalf("%s: %v", place, err)
			}
			res, err := http.ReadResponse(responses, nil)
			require.NoError(t, err, place)
			_, err = io.Copy(io.Discard, res.Body)
			_ = res.Body.Close()
			if err != nil || res.Header.Get("X-Ksyun-Tap-Error") != "" {
				t.Fatalf("%s: %v %v", place, res.Header, err)
			}
		}
	}
	return ids, places
}

// openMetrics returns the metrics with their exemplars.
func openMetrics(t *testing.T, admin string) string {
	t.Helper()
	req := must(http.NewRequest(http.MethodGet, admin+"/metrics", nil))
	req.Header.Set("Accept", "application/openmetrics-text; version=1.0.0")
	_, text := do(t, req)
	return text
}

func excerpt(text, part string) string {
	i := max(0, strings.Index(text, part))
	return text[max(0, i-200):min(len(text), i+100)]
}

// TestReload changes the configuration file under a running tap.
func TestReload(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ksyun-tap.yaml")
	write := func(text string) { testfile.Write(t, file, text, 0o600) }
	write("log.level: info\n")
	tap := startTap(t, nil, "--config.file="+file)
	admin := "http://" + tap.admin
	metric := func(name string) string {
		_, text := get(t, admin+"/metrics")
		for l := range strings.Lines(text) {
			if v, ok := strings.CutPrefix(l, name+" "); ok {
				return strings.TrimSpace(v)
			}
		}
		return ""
	}
	if status, text := reload(t, tap.admin); status != http.StatusOK {
		t.Errorf("good file: %d %s", status, text)
	}
	write("log.levle: debug\n")
	if status, text := reload(t, tap.admin); status != http.StatusInternalServerError || !strings.Contains(text, "ksyun-tap.yaml:1: unknown setting") {
		t.Errorf("bad file: %d %s", status, text)
	}
	assert.Equal(t, "0", metric("ksyun_tap_config_last_reload_successful"), "after a bad file the gauge is")
	write("tap.host: [\"*.example.com\"]\njournal.size: 5\n")
	require.NoError(t, tap.cmd.Process.Signal(syscall.SIGHUP))
	tap.wait("need a restart", "journal.size")
	tap.wait("settings reloaded")
	eventually(t, "the gauge is 1 again", func() bool { return metric("ksyun_tap_config_last_reload_successful") == "1" })
	// The new host pattern is in force: what was served is refused now.
	req, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+tap.proxy+"/?Action=A", nil)
	require.NoError(t, err)
	req.Host = apiHost
	res, err := http.DefaultClient.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	if res.StatusCode != http.StatusForbidden || res.Header.Get("X-Ksyun-Tap-Error") != "host_refused" {
		t.Errorf("after reload: %d %v", res.StatusCode, res.Header)
	}
}

// TestDrain stops the tap while a call runs: the call ends well, new ones are
// not taken, and the exit code is 0.
func TestDrain(t *testing.T) {
	t.Parallel()
	arrived, release := make(chan struct{}), make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(arrived)
		<-release
		_, _ = w.Write([]byte(`{"requestId":"late"}`))
	}))
	defer api.Close()
	tap := startTap(t, nil, "--log.access", "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())
	type response struct {
		status int
		err    error
	}
	answered := make(chan response, 1)
	go func() {
		req, _ := http.NewRequest(http.MethodGet, "http://"+tap.proxy+"/?Action=ListMetrics", nil)
		req.Host = apiHost
		res, err := http.DefaultClient.Do(req)
		if err != nil {
			answered <- response{0, err}
			return
		}
		res.Body.Close()
		answered <- response{res.StatusCode, nil}
	}()
	<-arrived
	require.NoError(t, tap.cmd.Process.Signal(syscall.SIGTERM))
	tap.wait("ksyun-tap is stopping")
	eventually(t, "the tap is not ready any more", func() bool {
		status, _ := get(t, "http://"+tap.admin+"/-/ready")
		return status == http.StatusServiceUnavailable
	})
	close(release)
	if a := <-answered; a.err != nil || a.status != http.StatusOK {
		t.Errorf("the running call: %+v", a)
	}
	<-tap.exit
	if code := tap.cmd.ProcessState.ExitCode(); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	assert.Contains(t, tap.text(), `"request_id":"late"`, "the last call's log line is lost")
}

// TestSecondSignalKills stops a tap that waits for a call that never ends.
func TestSecondSignalKills(t *testing.T) {
	t.Parallel()
	arrived := make(chan struct{})
	api := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		close(arrived)
		<-r.Context().Done()
	}))
	defer api.Close()
	tap := startTap(t, nil, "--proxy.shutdown-timeout=10m", "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())
	go func() {
		req, _ := http.NewRequest(http.MethodGet, "http://"+tap.proxy+"/", nil)
		req.Host = apiHost
		if res, err := http.DefaultClient.Do(req); err == nil {
			res.Body.Close()
		}
	}()
	<-arrived
	require.NoError(t, tap.cmd.Process.Signal(syscall.SIGTERM))
	tap.wait("ksyun-tap is stopping")
	assert.NotZero(t, tap.stop(syscall.SIGTERM), "killed by a second signal, it exits with 0")
}

// TestDemo runs the demo as a newcomer does and checks what the issue of the
// README promises: many codes, every category, partial and masked outcomes.
func TestDemo(t *testing.T) {
	t.Parallel()
	demo := start(t, nil, binary, "demo", "--all-codes", "--for=5m", "--pace=10ms", "--proxy.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0")
	var started struct{ Web []string }
	require.NoError(t, json.Unmarshal([]byte(demo.wait("ksyun-tap started")), &started))
	admin := "http://" + started.Web[0]
	seen := map[string]map[string]bool{"code": {}, "category": {}, "outcome": {}}
	var missing []string
	eventually(t, "every category, partial and masked", func() bool {
		_, text := get(t, admin+"/metrics")
		for l := range strings.Lines(text) {
			for name, values := range seen {
				if _, rest, ok := strings.Cut(l, " "+name+`="`); ok {
					values[rest[:strings.Index(rest, `"`)]] = true
				} else if _, rest, ok := strings.Cut(l, ","+name+`="`); ok {
					values[rest[:strings.Index(rest, `"`)]] = true
				} else if _, rest, ok := strings.Cut(l, "{"+name+`="`); ok {
					values[rest[:strings.Index(rest, `"`)]] = true
				}
			}
		}
		missing = nil
		for _, c := range classify.Categories() {
			if !seen["category"][string(c)] {
				missing = append(missing, string(c))
			}
		}
		return len(missing) == 0 && len(seen["code"]) >= 20 && seen["outcome"]["partial"] && seen["outcome"]["masked"]
	})
	l := logLine(t, &runningTap{process: demo}, "LimitExceeded")
	if status, text := get(t, admin+"/api/v1/failures/"+l.RequestID); status != http.StatusOK || !strings.Contains(text, l.TraceID) {
		t.Errorf("%d codes, missing %v; look-up: %d %s", len(seen["code"]), missing, status, text)
	}
	if code := demo.stop(syscall.SIGINT); code != 0 {
		t.Errorf("exit code %d, want 0", code)
	}
	if !strings.Contains(demo.text(), "done: ") {
		t.Errorf("no summary; codes %v", slices.Sorted(maps.Keys(seen["code"])))
	}
}
