package web_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"html"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/har"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// now is the time of all requests: half a minute after the last attempt.
var now = attempt.Start.Add(90 * time.Second)

// filled returns the options with every sort of failure.
func filled() web.Options {
	opts := web.Options{
		Version: "1.2.3",
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ksyun_metric 1\n") }),
		Journal: journal.New(100), Groups: groups.New(0), Diagnoser: diagnosis.New(), Activity: new(activity.Activity), Feed: new(feed.Feed),
		Now: func() time.Time { return now },
	}
	for i, a := range attempt.All() {
		o := a.Observation
		switch a.Name {
		case "host_refused":
			o.Verdict.RequestID, o.Verdict.RequestIDSource = classify.MakeRequestID(tapID), classify.RequestIDTap
			o.Verdict.Message = "ksyun-tap does not serve that host"
		case "refused_connection":
			o.Verdict.RequestID, o.Verdict.RequestIDSource = classify.MakeRequestID(programID), classify.RequestIDProgram
		}
		opts.Activity.Observe(o)
		opts.Diagnoser.Observe(o)
		if r := new(record.Maker).New(o); r.Failed() {
			r.Diagnose(diagnosis.New().Diagnose(o, diagnosis.Attempt{}))
			r.Scope, _ = opts.Diagnoser.Scope(r.Kind, o.End)
			r.ID = fmt.Sprintf("1m4q7t9k%03dx7f2", i)
			opts.Groups.Add(r)
			opts.Journal.Add(r)
		}
	}
	opts.Evidence = func(id string) *har.Details {
		if id != "1m4q7t9k001x7f2" { // the one with signatureID
			return nil
		}
		return &har.Details{
			Wait:     30 * time.Millisecond,
			Request:  har.Message{Fields: []har.Field{{Name: "Authorization", Value: "REDACTED"}}, Body: har.Body{MIMEType: "application/x-www-form-urlencoded", Params: []har.Field{{Name: "Period", Value: "60"}}}},
			Response: har.Message{Fields: []har.Field{{Name: "Server", Value: "nginx"}}, Body: har.Body{MIMEType: "application/json", Text: `{"Error":{}}`, Comment: "the rest is left out"}},
		}
	}
	opts.Journal.AddNotice(&diagnosis.Notice{
		Time: attempt.Start, Credential: "exporter", Service: "monitor", Severity: diagnosis.SeverityWarn,
		Diagnosis: diagnosis.Diagnosis{Cause: diagnosis.CauseKeyRevoked, Certainty: diagnosis.Certain, Blame: classify.BlameCredential, Advice: diagnosis.Advice{Retry: diagnosis.RetryNever}},
	})
	return opts
}

// Request IDs that the vendor did not issue.
const (
	tapID     = "00000000-7777-4222-8333-444444444477"
	programID = "00000000-6666-4222-8333-444444444466"
)

// handler returns a handler over filled.
func handler(change func(*web.Options)) http.Handler {
	opts := filled()
	if change != nil {
		change(&opts)
	}
	return web.NewHandler(opts)
}

// ask sends one request to h as from a program on this machine.
func ask(h http.Handler, method, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	r.Host = "localhost:18180"
	return recordResponse(h, r)
}

// recordResponse returns what h answers to r.
func recordResponse(h http.Handler, r *http.Request) *httptest.ResponseRecorder {
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// static returns the URL of a static file, from the page.
func static(t *testing.T, name string) string {
	t.Helper()
	base, ext, _ := strings.Cut(name, ".")
	url := regexp.MustCompile(`/static/` + base + `\.[0-9a-f]+\.` + ext).FindString(ask(handler(nil), http.MethodGet, "/").Body.String())
	require.NotEmpty(t, url, "the page does not load %s", name)
	return url
}

const signatureID = "00000000-1111-4222-8333-444444444403"

func TestPathOfID(t *testing.T) {
	j := journal.New(10)
	for i, id := range []string{"a/b", "a+b", "a?b", "a#b", "a%b", "a;b"} {
		j.Add(&record.Record{ID: fmt.Sprintf("%015d", i), RequestID: id, Code: id, Time: now})
	}
	h := handler(func(o *web.Options) { o.Journal = j })
	for r := range j.All(t.Context(), &journal.Filter{}) {
		w := ask(h, http.MethodGet, "/api/v1/failures/"+url.PathEscape(r.RequestID))
		assert.Equal(t, 200, w.Code, "%q by API: %s", r.RequestID, w.Body)
		// The page's own link must lead there.
		index := ask(h, http.MethodGet, "/?view=list&request_id="+url.QueryEscape(r.RequestID)).Body.String()
		_, rest, ok := strings.Cut(index, `<a href="/failures/`)
		if !ok {
			t.Errorf("%q has no link", r.RequestID)
			continue
		}
		link, _, _ := strings.Cut(rest, `"`)
		assert.Equal(t, 200, ask(h, http.MethodGet, "/failures/"+link).Code, "the link of %q", r.RequestID)
	}
}

func TestPagesEscape(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'{{.}}`
	both := diagnosis.Text{English: evil, Chinese: evil}
	j := journal.New(1)
	j.Add(&record.Record{
		ID: "00000000000000x", RequestID: "id-1", Time: now, Service: evil, Action: evil, Version: evil, Region: evil, Method: evil, Host: evil,
		Code: evil, InnerCode: evil, Message: evil, URL: "javascript:" + evil, UserAgent: evil, Credential: evil,
		Meaning: both, Advice: diagnosis.Advice{Do: both, Retry: evil, Runbook: "javascript:" + evil}, TraceID: evil, Category: evil, Blame: evil, Type: evil, Outcome: evil,
	})
	h := handler(func(o *web.Options) {
		o.Journal, o.Version = j, evil
		o.Ready = func() error { return errors.New(evil) }
	})
	for _, target := range []string{
		"/", "/?view=list", "/failures/id-1", "/programs", "/tap", "/?lang=zh&view=list", "/?code=" + url.QueryEscape(evil),
		"/?from=" + url.QueryEscape(evil), "/?text=" + url.QueryEscape(evil), "/catalogue?q=" + url.QueryEscape(evil),
	} {
		body := ask(h, http.MethodGet, target).Body.String()
		for _, bad := range []string{"<script>", "<img", `'{{`, "href=\"javascript:"} {
			assert.NotContains(t, body, bad, target)
		}
	}
}

// TestPagesEscapeControls checks that neither pages nor JSON contain control
// characters or characters that change the direction of text.
func TestPagesEscapeControls(t *testing.T) {
	const evil = "a\u009b31m\u0085\u202eb\u2066\u061c"
	j := journal.New(1)
	j.Add(&record.Record{ID: "00000000000000x", RequestID: "id-1", Code: evil, Message: evil, UserAgent: evil, Host: evil, Time: now})
	h := handler(func(o *web.Options) { o.Journal = j })
	for _, target := range []string{"/?view=list", "/failures/id-1", "/?code=" + url.QueryEscape(evil), "/?from=" + url.QueryEscape(evil), "/api/v1/failures", "/api/v1/failures?from=" + url.QueryEscape(evil)} {
		body := ask(h, http.MethodGet, target).Body.String()
		assert.False(t, strings.ContainsAny(body, "\u009b\u0085\u202e\u2066\u061c"), "%s: %q", target, body)
		assert.Contains(t, body, `\u202e`, "%s does not show what was there", target)
	}
}

func TestTicketHasWhatSupportAsksFor(t *testing.T) {
	body := html.UnescapeString(ask(handler(nil), http.MethodGet, "/failures/"+signatureID).Body.String())
	for _, want := range []string{
		signatureID, "2026-11-23T08:00:00Z (2026-11-23T16:00:00+08:00)", "cn-beijing-6",
		"monitor GetMetricStatistics 2010-05-25", "SignatureDoesNotMatch", "403", "sender",
		"The request signature we calculated does not match", "Signature=REDACTED", "aws-sdk-go/1.25.3",
		"Request ID: ", "请求 ID: ", "错误码: ", "地域: ",
	} {
		assert.Contains(t, body, want)
	}
}

func TestHealth(t *testing.T) {
	bad := errors.New("no listener yet")
	for _, tt := range []struct {
		name, method, target string
		change               func(*web.Options)
		status               int
		body                 string
	}{
		{"healthy", "GET", "/-/healthy", nil, 200, "ksyun-tap is healthy.\n"},
		{"healthy by HEAD", "HEAD", "/-/healthy", nil, 200, ""},
		{"ready", "GET", "/-/ready", nil, 200, "ksyun-tap is ready.\n"},
		{"not ready", "GET", "/-/ready", func(o *web.Options) { o.Ready = func() error { return bad } }, 503, "ksyun-tap is not ready: no listener yet\n"},
		{"reload", "POST", "/-/reload", func(o *web.Options) { o.Reload = func() error { return nil } }, 200, "configuration reloaded\n"},
		{"reload by PUT", "PUT", "/-/reload", func(o *web.Options) { o.Reload = func() error { return nil } }, 200, "configuration reloaded\n"},
		{"bad reload", "POST", "/-/reload", func(o *web.Options) { o.Reload = func() error { return bad } }, 500, "failed to reload config: no listener yet\n"},
		{"no reload", "POST", "/-/reload", nil, 403, "reload by HTTP is not enabled: set --web.enable-lifecycle, or send SIGHUP\n"},
		{"no command line", "GET", "/debug/pprof/cmdline", func(o *web.Options) { o.Profiles = true }, 404, "404 page not found\n"},
		{"metrics", "GET", "/metrics", nil, 200, "ksyun_metric 1\n"},
		{"no metrics", "GET", "/metrics", func(o *web.Options) { o.Metrics = nil }, 404, "404 page not found\n"},
		{"elsewhere", "GET", "/debug/pprof/", nil, 404, "404 page not found\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(handler(tt.change), tt.method, tt.target)
			if tt.method == "HEAD" {
				w.Body.Reset() // net/http's server does that
			}
			assert.Equal(t, tt.status, w.Code)
			assert.Equal(t, tt.body, w.Body.String())
		})
	}
}

func TestProfiles(t *testing.T) {
	h := handler(func(o *web.Options) { o.Profiles = true })
	for _, path := range []string{"/debug/pprof/", "/debug/pprof/goroutine?debug=1", "/debug/pprof/symbol"} {
		if w := ask(h, http.MethodGet, path); w.Code != 200 || w.Body.Len() == 0 {
			t.Errorf("%s: %d", path, w.Code)
		}
	}
}

// TestMetricsHandler checks that it serves nothing about single calls.
func TestMetricsHandler(t *testing.T) {
	opts := filled()
	opts.Reload = func() error { t.Error("reloaded"); return nil }
	opts.Profiles = true
	h := web.NewMetricsHandler(opts)
	for _, path := range []string{"/metrics", "/-/healthy", "/-/ready"} {
		assert.Equal(t, 200, ask(h, http.MethodGet, path).Code, path)
	}
	for _, path := range []string{
		"/", "/failures/" + signatureID, "/api/v1/failures", "/api/v1/groups", "/api/v1/events", "/api/v1/status/config", "/debug/pprof/", static(t, "style.css"),
	} {
		w := ask(h, http.MethodGet, path)
		assert.Equal(t, http.StatusNotFound, w.Code, "%s: %d, want 404", path, w.Code)
	}
	w := ask(h, http.MethodPost, "/-/reload")
	assert.Equal(t, http.StatusNotFound, w.Code, "reload: %d, want 404", w.Code)
}

func TestGzip(t *testing.T) {
	h := handler(nil)
	for _, target := range []string{"/api/v1/failures", "/api/v1/groups", "/api/v1/openapi.json", "/"} {
		r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
		r.Host = "localhost"
		r.Header.Set("Accept-Encoding", "gzip")
		w := recordResponse(h, r)
		if w.Header().Get("Content-Encoding") != "gzip" || w.Header().Get("Vary") != "Accept-Encoding" {
			t.Errorf("%s: %v", target, w.Header())
			continue
		}
		z, err := gzip.NewReader(w.Body)
		require.NoError(t, err)
		got, err := io.ReadAll(z)
		if plain := ask(h, http.MethodGet, target); err != nil || !bytes.Equal(got, plain.Body.Bytes()) {
			t.Errorf("%s: differs from the plain one, %v", target, err)
		}
	}
}

func TestOnlyReads(t *testing.T) {
	h := handler(func(o *web.Options) { o.Reload = func() error { t.Error("reloaded"); return nil } })
	for _, target := range []string{"/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/failures", "/api/v1/failures/x", "/failures/x", static(t, "style.css")} {
		for _, method := range []string{"POST", "PUT", "DELETE", "PATCH"} {
			if w := ask(h, method, target); w.Code != http.StatusMethodNotAllowed {
				t.Errorf("%s %s: %d, want 405", method, target, w.Code)
			}
		}
	}
	if w := ask(h, "GET", "/-/reload"); w.Code != http.StatusMethodNotAllowed {
		t.Errorf("GET /-/reload: %d, want 405", w.Code)
	}
	r := httptest.NewRequest(http.MethodPost, "/-/reload", http.NoBody)
	r.Host = "localhost:18180"
	r.Header.Set("Origin", "https://evil.example")
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	assert.Equal(t, http.StatusForbidden, w.Code, "a stranger's page may reload: %d, want 403", w.Code)
}

func TestHeaders(t *testing.T) {
	h := handler(nil)
	for _, target := range []string{"/", "/failures/x", "/api/v1/failures", "/metrics", static(t, "style.css"), "/nowhere"} {
		got := ask(h, "GET", target).Header()
		if strings.HasPrefix(target, "/static/") {
			assert.Contains(t, got.Get("Cache-Control"), "immutable", "%s: Cache-Control", target)
			got.Set("Cache-Control", "no-store")
		}
		for k, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "deny", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			assert.Contains(t, got.Get(k), want, "%s: %s is", target, k)
		}
		assert.Empty(t, got.Get("Access-Control-Allow-Origin"), "%s: allows the origin", target)
	}
	ct := ask(h, "GET", static(t, "style.css")).Header().Get("Content-Type")
	assert.True(t, strings.HasPrefix(ct, "text/css"), "the stylesheet is %q, and will not be loaded with nosniff", ct)
	body := ask(h, "GET", "/").Body.String()
	for _, not := range []string{"<script>", "<style", " style=", " onclick=", "src=\"http", "src=\"//"} {
		assert.NotContains(t, body, not, "the page has %q, which its own policy forbids", not)
	}
}

func TestHostGuard(t *testing.T) {
	h := handler(nil)
	loopback := &net.TCPAddr{IP: net.IPv4(127, 0, 0, 1), Port: 18180}
	pod := &net.TCPAddr{IP: net.IPv4(10, 0, 0, 5), Port: 18180}
	for _, tt := range []struct {
		local net.Addr
		host  string
		want  int
	}{
		{loopback, "localhost:18180", 200},
		{loopback, "LOCALHOST", 200},
		{loopback, "localhost.", 200},
		{loopback, "127.0.0.1:18180", 200},
		{loopback, "127.0.0.2", 200},
		{loopback, "[::1]:18180", 200},
		{loopback, "[::1]", 200},
		{loopback, "Tap.internal:18180", 403},
		{loopback, "evil.example:18180", 403},
		{loopback, "localhost.evil.example", 403},
		{loopback, "127.0.0.1.evil.example", 403},
		{loopback, "10.0.0.5", 403},
		{loopback, "", 403},
		{nil, "evil.example", 403},
		{pod, "10.0.0.5:18180", 200},
		{pod, "ksyun-tap.monitoring.svc:18180", 200},
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/failures", http.NoBody)
		r.Host = tt.host
		if tt.local != nil {
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, tt.local))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		assert.Equal(t, tt.want, w.Code, "host %q on %v", tt.host, tt.local)
	}
}

// serve starts a server on a loopback listener of its own and returns its
// address; it ends with the test.
func serve(t *testing.T, cfg web.ServerConfig, listeners int) []string {
	t.Helper()
	var open []net.Listener
	var addrs []string
	for range listeners {
		l := rawconn.Listen(t)
		open = append(open, l)
		addrs = append(addrs, l.Addr().String())
	}
	s, err := web.NewServer(cfg, open...)
	require.NoError(t, err)
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		assert.NoError(t, s.Shutdown(ctx), "shutdown")
		assert.NoError(t, <-served, "serve")
	})
	return addrs
}

// get asks for a URL, with a name and password if user is set.
func get(t *testing.T, target, user, password string) (int, string) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the test's own certificate
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	require.NoError(t, err)
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	resp, err := tr.RoundTrip(r)
	require.NoError(t, err)
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	require.NoError(t, err)
	return resp.StatusCode, string(body)
}

func TestServer(t *testing.T) {
	core, log := observer.New(zap.InfoLevel)
	for _, addr := range serve(t, web.ServerConfig{Handler: handler(nil), Log: zap.New(core)}, 2) {
		if code, body := get(t, "http://"+addr+"/-/healthy", "", ""); code != 200 || !strings.Contains(body, "healthy") {
			t.Errorf("%s: %d %s", addr, code, body)
		}
	}
	if log.FilterMessage("Listening on").Len() != 2 {
		t.Errorf("logged %v, want each listener once", log.All())
	}
}

func TestServerWithTLSAndPassword(t *testing.T) {
	dir := t.TempDir()
	writeCertificate(t, dir)
	config := filepath.Join(dir, "web.yml")
	// The password is "correct horse".
	writeFile(t, config, "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n"+
		"basic_auth_users:\n  sre: "+hash(t, "correct horse")+"\n")
	for _, addr := range serve(t, web.ServerConfig{Handler: handler(nil), ConfigFile: config}, 2) {
		for _, tt := range []struct {
			password string
			want     int
		}{{"correct horse", 200}, {"wrong horse", 401}} {
			code, _ := get(t, "https://"+addr+"/api/v1/failures", "sre", tt.password)
			assert.Equal(t, tt.want, code, "password %q", tt.password)
		}
		code, _ := get(t, "https://"+addr+"/metrics", "", "")
		assert.Equal(t, 401, code, "without a password")
		for _, path := range []string{"/-/healthy", "/-/ready"} {
			if code, body := get(t, "https://"+addr+path, "", ""); code != 200 || !strings.HasPrefix(body, "ksyun-tap is ") {
				t.Errorf("%s without a password: %d %s", path, code, body)
			}
		}
		for _, path := range []string{"/-/reload", "/-/healthy/", "//-/ready", "/-/healthy/../../metrics"} {
			code, _ := get(t, "https://"+addr+path, "", "")
			assert.Equal(t, 401, code, "%s without a password", path)
		}
	}
}

// TestBadWebConfig checks that what is wrong with the file is reported on one line
// which names the file and the place, and quotes no password.
func TestBadWebConfig(t *testing.T) {
	dir := t.TempDir()
	for _, tt := range []struct{ name, content, want string }{
		{"unknown key", "tls_config: {}\n", "line 1: field tls_config not found"},
		{"two unknown keys", "tls_config: {}\nusers: {}\n", "line 2: field users not found"},
		{"no YAML", "tls_server_config:\n  - a\n b: c\n", "line 2: did not find expected key"},
		{"wrong type", "basic_auth_users: hunter2`hunter2\n", "line 1: cannot unmarshal !!str ... into"},
		{"no key file", "tls_server_config:\n  cert_file: cert.pem\n", "key_file"},
		{"no such file", "tls_server_config:\n  cert_file: cert.pem\n  key_file: key.pem\n", "cert.pem"},
		{"clear password", "basic_auth_users:\n  sre: hunter2\n", "bcrypt"},
		{"header we do not know", "http_server_config:\n  headers:\n    X-Other: y\n", "X-Other"},
	} {
		path := filepath.Join(dir, strings.ReplaceAll(tt.name, " ", "-")+".yml")
		writeFile(t, path, tt.content)
		_, err := web.NewServer(web.ServerConfig{ConfigFile: path})
		if err == nil {
			t.Errorf("%s: no error", tt.name)
			continue
		}
		got := err.Error()
		if !strings.HasPrefix(got, "web configuration file "+path+": ") || !strings.Contains(got, tt.want) || strings.Contains(got, "\n") {
			t.Errorf("%s: %q, want one line with the file and %q", tt.name, got, tt.want)
		}
		assert.NotContains(t, got, "hunter", "%s: the password", tt.name)
	}
	assert.ErrorIs(t, web.CheckConfig(filepath.Join(dir, "none.yml")), fs.ErrNotExist, "missing file")
	assert.NoError(t, web.CheckConfig(""), "no file")
}

// TestMaxConnections has more connections than there may be. First those close that
// have sent nothing, then the one that has waited longest for a response.
func TestMaxConnections(t *testing.T) {
	began := make(chan struct{})
	addr := serve(t, web.ServerConfig{MaxConnections: 3, Handler: http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/wait" {
			began <- struct{}{}
			<-r.Context().Done()
		}
	})}, 1)[0]
	dial := func(request string) net.Conn {
		nc, err := net.Dial("tcp", addr)
		require.NoError(t, err)
		t.Cleanup(func() { nc.Close() })
		_, err = io.WriteString(nc, request)
		require.NoError(t, err)
		return nc
	}
	wait := func() net.Conn {
		nc := dial("GET /wait HTTP/1.1\r\nHost: h\r\n\r\n")
		<-began
		return nc
	}
	ends := func(nc net.Conn) {
		got, err := io.ReadAll(nc)
		assert.NoError(t, err)
		assert.Empty(t, got)
	}

	longest := wait()
	wait()
	silent := dial("")
	for range 3 {
		next := dial("")
		ends(silent)
		silent = next
	}
	wait()
	ends(silent)
	served := dial("GET / HTTP/1.1\r\nHost: h\r\nConnection: close\r\n\r\n")
	ends(longest)
	got, err := io.ReadAll(served)
	require.NoError(t, err)
	assert.Contains(t, string(got), "HTTP/1.1 200 OK")
}

func TestShutdownBeforeServe(t *testing.T) {
	l := rawconn.Listen(t)
	s, err := web.NewServer(web.ServerConfig{Handler: handler(nil)}, l)
	require.NoError(t, err)
	require.NoError(t, s.Shutdown(t.Context()))
	assert.NoError(t, s.Serve(), "serve after shutdown")
	if _, err := net.DialTimeout("tcp", l.Addr().String(), time.Second); err == nil {
		t.Error("the listener is still open")
	}
}
