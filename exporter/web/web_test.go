package web_test

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"flag"
	"html"
	"io"
	"io/fs"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"go.uber.org/zap"
	"go.uber.org/zap/zaptest/observer"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
)

var update = flag.Bool("update", false, "rewrite the golden files")

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// filled returns a journal with every sort of failure.
func filled() *journal.Journal {
	j := journal.New(100)
	for _, a := range attempt.All() {
		if r := record.New(a.Observation); r.Failed() {
			r.Diagnose(diagnosis.New().Diagnose(a.Observation, diagnosis.Attempt{}))
			j.Add(r)
		}
	}
	return j
}

// handler returns an admin handler over filled.
func handler(change func(*web.Options)) http.Handler {
	opts := web.Options{
		Version: "1.2.3",
		Metrics: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "ksyun_metric 1\n") }),
		Journal: filled(),
	}
	if change != nil {
		change(&opts)
	}
	return web.NewHandler(opts)
}

// ask sends one request to h as from a program on this machine.
func ask(h http.Handler, method, target string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(method, target, http.NoBody)
	r.Host = "localhost:18180"
	w := httptest.NewRecorder()
	h.ServeHTTP(w, r)
	return w
}

// golden compares got with the file, or writes it with -update.
func golden(t *testing.T, name string, got []byte) {
	t.Helper()
	path := filepath.Join("testdata", name)
	if *update {
		if err := os.WriteFile(path, got, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Errorf("differs from %s (run with -update to accept):\n%s", path, got)
	}
}

const signatureID = "00000000-1111-4222-8333-444444444403"

func TestGolden(t *testing.T) {
	h := handler(nil)
	for _, tt := range []struct {
		name, target string
		status       int
	}{
		{"list.json", "/api/v1/errors?limit=3", 200},
		{"filtered.json", "/api/v1/errors?category=auth&code=signaturedoesnotmatch&action=getmetricstatistics&since=2026-11-23T08:00:00Z", 200},
		{"none.json", "/api/v1/errors?code=NoSuchCode", 200},
		{"by-id.json", "/api/v1/errors/" + signatureID, 200},
		{"unknown-id.json", "/api/v1/errors/00000000-0000-0000-0000-000000000000", 404},
		{"bad-limit.json", "/api/v1/errors?limit=0", 400},
		{"bad-since.json", "/api/v1/errors?since=yesterday", 400},
		{"bad-parameter.json", "/api/v1/errors?codes=X", 400},
		{"bad-id.json", "/api/v1/errors/%3Cscript%3E", 400},
		{"index.html", "/", 200},
		{"search.html", "/?category=throttled&request_id=&since=", 200},
		{"bad-search.html", "/?since=yesterday&code=%22%3E%3Cscript%3E", 400},
		{"call.html", "/errors/" + signatureID, 200},
		{"unknown-call.html", "/errors/00000000-0000-0000-0000-000000000000", 404},
		{"bad-call.html", "/errors/%3Cscript%3E", 400},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(h, http.MethodGet, tt.target)
			if w.Code != tt.status {
				t.Errorf("status %d, want %d", w.Code, tt.status)
			}
			want := "text/html; charset=utf-8"
			if strings.HasSuffix(tt.name, ".json") {
				want = "application/json; charset=utf-8"
				if !json.Valid(w.Body.Bytes()) {
					t.Errorf("no JSON: %s", w.Body)
				}
			}
			if got := w.Header().Get("Content-Type"); got != want {
				t.Errorf("Content-Type %q, want %q", got, want)
			}
			golden(t, tt.name, w.Body.Bytes())
		})
	}
}

// codes lists the error codes of an API answer.
func codes(t *testing.T, w *httptest.ResponseRecorder) []string {
	t.Helper()
	var a struct {
		Status string
		Data   struct {
			Errors []struct {
				Code string `json:"error_code"`
			}
		}
	}
	if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
		t.Fatal(err)
	}
	if a.Status != "success" {
		t.Fatalf("answered %s", w.Body)
	}
	var codes []string
	for _, e := range a.Data.Errors {
		codes = append(codes, e.Code)
	}
	return codes
}

func TestSince(t *testing.T) {
	j := journal.New(10)
	for _, ago := range []time.Duration{2 * time.Hour, 10 * time.Minute, 0} {
		j.Add(&record.Record{ErrorCode: ago.String(), Time: time.Now().Add(-ago)})
	}
	h := handler(func(o *web.Options) { o.Journal = j })
	hourAgo := time.Now().Add(-time.Hour)
	for _, tt := range []struct {
		since string
		want  int
	}{
		{"15m", 2},
		{"24h", 3},
		{hourAgo.Format(time.RFC3339), 2},
		{hourAgo.Format(time.RFC3339Nano), 2},
		{"0", 3},
		{"1.5", 3},
		{"9999999999", 0},
	} {
		if got := codes(t, ask(h, http.MethodGet, "/api/v1/errors?since="+url.QueryEscape(tt.since))); len(got) != tt.want {
			t.Errorf("since %s: %q, want %d", tt.since, got, tt.want)
		}
	}
}

func TestBadParameters(t *testing.T) {
	h := handler(nil)
	for _, query := range []string{
		"limit=1001", "limit=-1", "limit=x", "limit=1&limit=2", "limit=99999999999999999999",
		"since=-5m", "since=NaN", "since=Inf", "since=1e300", "since=2026-13-01T00:00:00Z",
		"request_id=a%20b", "request_id=" + strings.Repeat("x", classify.MaxRequestID+1), "request_id=%00",
		"request_id=%E9%87%91", "code=a&code=b", "unknown=1",
	} {
		w := ask(h, http.MethodGet, "/api/v1/errors?"+query)
		var a struct{ Status, ErrorType, Error string }
		if err := json.Unmarshal(w.Body.Bytes(), &a); err != nil {
			t.Fatal(err)
		}
		if w.Code != 400 || a.Status != "error" || a.ErrorType != "bad_data" || a.Error == "" {
			t.Errorf("%s: %d %s", query, w.Code, w.Body)
		}
	}
}

func TestPathOfID(t *testing.T) {
	j := journal.New(10)
	for _, id := range []string{"a/b", "a+b", "a?b", "a#b", "a%b", "a;b"} {
		j.Add(&record.Record{RequestID: id, ErrorCode: id})
	}
	h := handler(func(o *web.Options) { o.Journal = j })
	for _, r := range j.Select(journal.Filter{}) {
		if w := ask(h, http.MethodGet, "/api/v1/errors/"+url.PathEscape(r.RequestID)); w.Code != 200 {
			t.Errorf("%q by API: %d %s", r.RequestID, w.Code, w.Body)
		}
		// The page's own link must lead there.
		index := ask(h, http.MethodGet, "/?request_id="+url.QueryEscape(r.RequestID)).Body.String()
		_, rest, ok := strings.Cut(index, `<a href="/errors/`)
		if !ok {
			t.Errorf("%q has no link", r.RequestID)
			continue
		}
		link, _, _ := strings.Cut(rest, `"`)
		if w := ask(h, http.MethodGet, "/errors/"+link); w.Code != 200 {
			t.Errorf("the link of %q leads to %d", r.RequestID, w.Code)
		}
	}
}

func TestPagesEscape(t *testing.T) {
	const evil = `"><script>alert(1)</script><img src=x onerror=alert(2)>'{{.}}`
	both := diagnosis.Text{English: evil, Chinese: evil}
	j := journal.New(1)
	j.Add(&record.Record{
		RequestID: "id-1", Service: evil, Action: evil, Version: evil, Region: evil, Method: evil, Host: evil,
		ErrorCode: evil, InnerCode: evil, Message: evil, URL: "javascript:" + evil, UserAgent: evil, Credential: evil,
		Meaning: both, Advice: diagnosis.Advice{Do: both, Retry: evil, Runbook: "javascript:" + evil}, TraceID: evil, Category: evil, Blame: evil, ErrorType: evil, Outcome: evil,
	})
	h := handler(func(o *web.Options) {
		o.Journal, o.Version = j, evil
		o.Ready = func() error { return errors.New(evil) }
	})
	for _, target := range []string{"/", "/errors/id-1", "/?code=" + url.QueryEscape(evil), "/?since=" + url.QueryEscape(evil)} {
		body := ask(h, http.MethodGet, target).Body.String()
		for _, bad := range []string{"<script", "<img", `'{{`} {
			if strings.Contains(body, bad) {
				t.Errorf("%s has %q:\n%s", target, bad, body)
			}
		}
	}
}

// TestPagesEscapeControls checks that neither pages nor JSON have what a
// terminal obeys or what turns the direction of text.
func TestPagesEscapeControls(t *testing.T) {
	const evil = "a\u009b31m\u0085\u202eb\u2066\u061c"
	j := journal.New(1)
	j.Add(&record.Record{RequestID: "id-1", ErrorCode: evil, Message: evil, UserAgent: evil, Host: evil})
	h := handler(func(o *web.Options) { o.Journal = j })
	for _, target := range []string{"/", "/errors/id-1", "/?code=" + url.QueryEscape(evil), "/?since=" + url.QueryEscape(evil), "/api/v1/errors", "/api/v1/errors?since=" + url.QueryEscape(evil)} {
		body := ask(h, http.MethodGet, target).Body.String()
		if strings.ContainsAny(body, "\u009b\u0085\u202e\u2066\u061c") {
			t.Errorf("%s: %q", target, body)
		}
		if !strings.Contains(body, `\u202e`) {
			t.Errorf("%s does not show what was there: %q", target, body)
		}
	}
}

func TestTicketHasWhatSupportAsksFor(t *testing.T) {
	body := html.UnescapeString(ask(handler(nil), http.MethodGet, "/errors/"+signatureID).Body.String())
	for _, want := range []string{
		signatureID, "2026-11-23T08:00:00Z (2026-11-23T16:00:00+08:00)", "cn-beijing-6",
		"monitor GetMetricStatistics 2010-05-25", "SignatureDoesNotMatch", "403", "sender",
		"The request signature we calculated does not match", "Signature=REDACTED", "aws-sdk-go/1.25.3",
		"Request ID: ", "请求 ID: ", "错误码: ", "地域: ",
	} {
		if !strings.Contains(body, want) {
			t.Errorf("no %q", want)
		}
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
		{"no reload", "POST", "/-/reload", nil, 501, "there is no configuration to reload\n"},
		{"metrics", "GET", "/metrics", nil, 200, "ksyun_metric 1\n"},
		{"no metrics", "GET", "/metrics", func(o *web.Options) { o.Metrics = nil }, 404, "404 page not found\n"},
		{"elsewhere", "GET", "/debug/pprof/", nil, 404, "404 page not found\n"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(handler(tt.change), tt.method, tt.target)
			if tt.method == "HEAD" {
				w.Body.Reset() // net/http's server does that
			}
			if w.Code != tt.status || w.Body.String() != tt.body {
				t.Errorf("%d %q, want %d %q", w.Code, w.Body, tt.status, tt.body)
			}
		})
	}
}

func TestOnlyReads(t *testing.T) {
	h := handler(func(o *web.Options) { o.Reload = func() error { t.Error("reloaded"); return nil } })
	for _, target := range []string{"/", "/metrics", "/-/healthy", "/-/ready", "/api/v1/errors", "/api/v1/errors/x", "/errors/x", "/style.css"} {
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
	if w.Code != http.StatusForbidden {
		t.Errorf("a stranger's page may reload: %d, want 403", w.Code)
	}
}

func TestHeaders(t *testing.T) {
	h := handler(nil)
	for _, target := range []string{"/", "/errors/x", "/api/v1/errors", "/metrics", "/style.css", "/nowhere"} {
		got := ask(h, "GET", target).Header()
		for k, want := range map[string]string{
			"Content-Security-Policy": "default-src 'none'", "X-Content-Type-Options": "nosniff",
			"X-Frame-Options": "deny", "Referrer-Policy": "no-referrer", "Cache-Control": "no-store",
		} {
			if !strings.Contains(got.Get(k), want) {
				t.Errorf("%s: %s is %q, want %q", target, k, got.Get(k), want)
			}
		}
		if v := got.Get("Access-Control-Allow-Origin"); v != "" {
			t.Errorf("%s: allows the origin %q", target, v)
		}
	}
	if ct := ask(h, "GET", "/style.css").Header().Get("Content-Type"); !strings.HasPrefix(ct, "text/css") {
		t.Errorf("the stylesheet is %q, and will not be loaded with nosniff", ct)
	}
	body := ask(h, "GET", "/").Body.String()
	for _, not := range []string{"<script", "style=", "http://cdn", "https://"} {
		if strings.Contains(body, not) {
			t.Errorf("the page has %q, which its own policy forbids", not)
		}
	}
}

func TestHostGuard(t *testing.T) {
	h := handler(func(o *web.Options) { o.Hosts = []string{"tap.internal"} })
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
		{loopback, "Tap.internal:18180", 200},
		{loopback, "evil.example:18180", 403},
		{loopback, "localhost.evil.example", 403},
		{loopback, "127.0.0.1.evil.example", 403},
		{loopback, "10.0.0.5", 403},
		{loopback, "", 403},
		{nil, "evil.example", 403},
		{pod, "10.0.0.5:18180", 200},
		{pod, "ksyun-tap.monitoring.svc:18180", 200},
	} {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/errors", http.NoBody)
		r.Host = tt.host
		if tt.local != nil {
			r = r.WithContext(context.WithValue(r.Context(), http.LocalAddrContextKey, tt.local))
		}
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code != tt.want {
			t.Errorf("host %q on %v: %d, want %d", tt.host, tt.local, w.Code, tt.want)
		}
	}
}

// FuzzAPI sends what it likes; every answer must be JSON and no 5xx.
func FuzzAPI(f *testing.F) {
	for _, q := range []string{"", "limit=3", "since=15m&code=x", "request_id=%3C", "a=b;c", "%zz", "since=1e999", "limit=%00"} {
		f.Add(q)
	}
	h := handler(nil)
	f.Fuzz(func(t *testing.T, query string) {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/errors", http.NoBody)
		r.Host = "localhost"
		r.URL.RawQuery = query
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		if w.Code >= 500 || !json.Valid(w.Body.Bytes()) {
			t.Fatalf("%q: %d %s", query, w.Code, w.Body)
		}
	})
}

// serve starts a server on a loopback listener of its own and returns its
// address; it ends with the test.
func serve(t *testing.T, cfg web.ServerConfig, listeners int) []string {
	t.Helper()
	var open []net.Listener
	var addrs []string
	for range listeners {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		open = append(open, l)
		addrs = append(addrs, l.Addr().String())
	}
	s, err := web.NewServer(cfg, open...)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan error, 1)
	go func() { served <- s.Serve() }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), 5*time.Second)
		defer cancel()
		if err := s.Shutdown(ctx); err != nil {
			t.Errorf("shutdown: %v", err)
		}
		if err := <-served; err != nil {
			t.Errorf("serve: %v", err)
		}
	})
	return addrs
}

// get asks for a URL, with a name and password if user is set.
func get(t *testing.T, target, user, password string) (int, string) {
	t.Helper()
	tr := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}} // the test's own certificate
	defer tr.CloseIdleConnections()
	r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, target, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	if user != "" {
		r.SetBasicAuth(user, password)
	}
	resp, err := tr.RoundTrip(r)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		t.Fatal(err)
	}
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
			if code, _ := get(t, "https://"+addr+"/api/v1/errors", "sre", tt.password); code != tt.want {
				t.Errorf("password %q: %d, want %d", tt.password, code, tt.want)
			}
		}
		if code, _ := get(t, "https://"+addr+"/metrics", "", ""); code != 401 {
			t.Errorf("without a password: %d, want 401", code)
		}
	}
}

// TestBadWebConfig checks that what is wrong with the file is told on one line
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
		if strings.Contains(got, "hunter") {
			t.Errorf("%s: the password is in %q", tt.name, got)
		}
	}
	if err := web.CheckConfig(filepath.Join(dir, "none.yml")); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("missing file: %v", err)
	}
	if err := web.CheckConfig(""); err != nil {
		t.Errorf("no file: %v", err)
	}
}

func TestShutdownBeforeServe(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s, err := web.NewServer(web.ServerConfig{Handler: handler(nil)}, l)
	if err != nil {
		t.Fatal(err)
	}
	if err := s.Shutdown(t.Context()); err != nil {
		t.Fatal(err)
	}
	if err := s.Serve(); err != nil {
		t.Errorf("serve after shutdown: %v", err)
	}
	if _, err := net.DialTimeout("tcp", l.Addr().String(), time.Second); err == nil {
		t.Error("the listener is still open")
	}
}
