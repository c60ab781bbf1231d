package transport

import (
	"bytes"
	"compress/gzip"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/hostname"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

const (
	transportKey   = "AKLTcanaryAccessKey0123"
	transportQuery = "/?Action=GetMetricStatistics&Version=2010-05-25&Service=monitor&Region=cn-beijing-6&Accesskey=" + transportKey + "&Signature=abcdefgh"
)

// transportRig is a server, and a client whose calls to it are reported to sink.
type transportRig struct {
	t       *testing.T
	sink    recorder
	tripper *RoundTripper
	client  *http.Client
	url     string
}

func newTransportRig(t *testing.T, h http.HandlerFunc, change ...func(*Config)) *transportRig {
	t.Helper()
	server := httptest.NewServer(h)
	t.Cleanup(server.Close)
	return rigFor(t, server.URL, http.DefaultTransport.(*http.Transport).Clone(), change...)
}

func rigFor(t *testing.T, url string, next http.RoundTripper, change ...func(*Config)) *transportRig {
	t.Helper()
	r := &transportRig{t: t, sink: make(recorder, 64), url: url}
	cfg := Config{Sink: r.sink, TapHosts: hostname.Patterns{hostname.Exactly("127.0.0.1")}, CredentialKey: []byte("key")}
	for _, c := range change {
		c(&cfg)
	}
	r.tripper = New(next, cfg)
	r.client = &http.Client{Transport: r.tripper}
	t.Cleanup(r.client.CloseIdleConnections)
	return r
}

// do sends a request, for which the server answers.
func (r *transportRig) do(method, target string, body io.Reader) *http.Response {
	r.t.Helper()
	resp, err := r.client.Do(r.request(method, target, body))
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { resp.Body.Close() })
	return resp
}

func (r *transportRig) request(method, target string, body io.Reader) *http.Request {
	r.t.Helper()
	req, err := http.NewRequestWithContext(r.t.Context(), method, r.url+target, body)
	if err != nil {
		r.t.Fatal(err)
	}
	return req
}

// reported returns what the sink got for one call: that it began and how it ended.
func (r *transportRig) reported() (*classify.Call, *classify.Observation) {
	r.t.Helper()
	var begun *classify.Call
	for {
		select {
		case e := <-r.sink:
			if e.obs != nil {
				return begun, e.obs
			}
			begun = e.call
		default:
			r.t.Fatal("nothing was reported to the sink")
		}
	}
}

// silent checks that the sink was not called again.
func (r *transportRig) silent() {
	r.t.Helper()
	select {
	case e := <-r.sink:
		r.t.Errorf("the sink got %+v", e)
	default:
	}
}

func readAll(t *testing.T, body io.Reader) string {
	t.Helper()
	b, err := io.ReadAll(body)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func sample(t *testing.T, name string) string {
	t.Helper()
	return string(testfile.Read(t, "../testdata/"+name))
}

func TestTransport(t *testing.T) {
	type request struct {
		method, query string
		body          io.Reader
	}
	get := request{"GET", transportQuery, nil}
	const form = "Action=ListMetrics&Version=2010-05-25&Service=monitor&Accesskey=" + transportKey
	for _, tt := range []struct {
		name    string
		request request
		status  int
		file    string
		outcome classify.Outcome
		code    string
		action  string
	}{
		{"success", get, 200, "success.json", classify.OutcomeSuccess, "", "GetMetricStatistics"},
		{"quota", get, 409, "error-quota.json", classify.OutcomeError, "LimitExceeded", "GetMetricStatistics"},
		{"permission", get, 403, "error-permission.xml", classify.OutcomeError, "InvalidAuthenticationCode", "GetMetricStatistics"},
		{"partial", get, 200, "partial.json", classify.OutcomePartial, "", "GetMetricStatistics"},
		{"masked", get, 200, "error-quota.json", classify.OutcomeMasked, "LimitExceeded", "GetMetricStatistics"},
		{"gateway", get, 502, "gateway.html", classify.OutcomeError, "", "GetMetricStatistics"},
		{"form", request{"POST", "/", strings.NewReader(form)}, 200, "success.json", classify.OutcomeSuccess, "", "ListMetrics"},
		{"form of unknown length", request{"POST", "/", io.MultiReader(strings.NewReader(form))}, 200, "success.json", classify.OutcomeSuccess, "", "ListMetrics"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			want := sample(t, tt.file)
			received := make(chan string, 1)
			r := newTransportRig(t, func(w http.ResponseWriter, req *http.Request) {
				b, _ := io.ReadAll(req.Body)
				received <- req.Method + " " + req.RequestURI + " " + string(b)
				w.WriteHeader(tt.status)
				_, _ = io.WriteString(w, want)
			})
			req := r.request(tt.request.method, tt.request.query, tt.request.body)
			req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
			req.Header.Set("User-Agent", "program/1")
			req.Header.Set("Traceparent", "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01")
			before := req.Header.Clone()
			body := ""
			if tt.request.body != nil {
				body = form
			}
			resp, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := readAll(t, resp.Body); got != want || resp.StatusCode != tt.status {
				t.Errorf("the program got %d %q", resp.StatusCode, got)
			}
			if got := <-received; got != tt.request.method+" "+tt.request.query+" "+body {
				t.Errorf("the server got %q", got)
			}
			if resp.Request != req || fmt.Sprint(req.Header) != fmt.Sprint(before) {
				t.Errorf("the request was changed: %v", req.Header)
			}
			begun, o := r.reported()
			if begun == nil || begun.Service != o.Call.Service {
				t.Errorf("begun %+v, ended %+v", begun, o.Call)
			}
			v := o.Verdict
			if v.Outcome != tt.outcome || v.Code != tt.code || v.Status != tt.status || o.Call.Action != tt.action || o.Fault != classify.FaultNone {
				t.Errorf("got %+v of %+v, fault %q", v, o.Call, o.Fault)
			}
			if o.Source != classify.SourceTransport || o.Method != tt.request.method || o.Scheme != "http" || string(o.Target) != tt.request.query {
				t.Errorf("source %q, method %q, scheme %q, target %q", o.Source, o.Method, o.Scheme, o.Target)
			}
			if "http://"+o.Upstream.String() != r.url || o.Port != o.Upstream.Port() {
				t.Errorf("upstream %v, port %d of %s", o.Upstream, o.Port, r.url)
			}
			if o.FirstByte.Before(o.Start) || o.End.Before(o.FirstByte) {
				t.Errorf("times %v, %v, %v", o.Start, o.FirstByte, o.End)
			}
			if o.RequestBytes != int64(len(body)) || o.ResponseBytes != int64(len(want)) {
				t.Errorf("%d bytes sent, %d received", o.RequestBytes, o.ResponseBytes)
			}
			if string(o.UserAgent) != "program/1" || len(o.Traceparent) != 55 {
				t.Errorf("agent %q, traceparent %q", o.UserAgent, o.Traceparent)
			}
			if o.Credential != classify.HashAccessKey([]byte("key"), []byte(transportKey)) {
				t.Errorf("credential %q", o.Credential)
			}
			resp.Body.Close()
			r.silent()
		})
	}
}

// TestTransportStreams checks that the program can read the beginning of a body before
// the rest is sent.
func TestTransportStreams(t *testing.T) {
	more := make(chan struct{})
	r := newTransportRig(t, func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, "first")
		w.(http.Flusher).Flush()
		<-more
		_, _ = io.WriteString(w, "second")
	})
	resp := r.do("GET", transportQuery, nil)
	first := make([]byte, 5)
	if _, err := io.ReadFull(resp.Body, first); err != nil || string(first) != "first" {
		t.Fatalf("got %q, %v", first, err)
	}
	<-r.sink // it began
	r.silent()
	close(more)
	if got := readAll(t, resp.Body); got != "second" {
		t.Errorf("got %q", got)
	}
	if _, o := r.reported(); o.ResponseBytes != 11 {
		t.Errorf("%d bytes", o.ResponseBytes)
	}
}

// TestTransportUploadStreams checks that the request's body goes out as the
// program writes it.
func TestTransportUploadStreams(t *testing.T) {
	got := make(chan string)
	r := newTransportRig(t, func(_ http.ResponseWriter, req *http.Request) {
		b := make([]byte, 5)
		_, _ = io.ReadFull(req.Body, b)
		got <- string(b)
		_, _ = io.Copy(io.Discard, req.Body)
	})
	body, w := io.Pipe()
	done := make(chan *http.Response)
	go func() {
		resp, err := r.client.Do(r.request("POST", transportQuery, body))
		if err != nil {
			t.Error(err)
		}
		done <- resp
	}()
	if _, err := io.WriteString(w, "first"); err != nil {
		t.Error(err)
	}
	if s := <-got; s != "first" {
		t.Errorf("the server got %q", s)
	}
	_, _ = io.WriteString(w, "second")
	w.Close()
	resp := <-done
	resp.Body.Close()
	if _, o := r.reported(); o.RequestBytes != 11 {
		t.Errorf("%d bytes sent", o.RequestBytes)
	}
}

// TestTransportWithoutBody checks responses that have none, which a program need
// not read.
func TestTransportWithoutBody(t *testing.T) {
	for _, tt := range []struct {
		name, method string
		status       int
		outcome      classify.Outcome
	}{
		{"HEAD", "HEAD", 200, classify.OutcomeSuccess},
		{"HEAD of an error", "HEAD", 503, classify.OutcomeError},
		{"204", "GET", 204, classify.OutcomeSuccess},
		{"304", "GET", 304, classify.OutcomeSuccess},
		{"length 0", "GET", 200, classify.OutcomeSuccess},
		{"another method", "PURGE", 204, classify.OutcomeSuccess},
	} {
		t.Run(tt.name, func(t *testing.T) {
			r := newTransportRig(t, func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(tt.status) })
			r.do(tt.method, transportQuery, nil)
			_, o := r.reported()
			if o.Verdict.Outcome != tt.outcome || o.Verdict.Status != tt.status || o.Protocol != "1.1" {
				t.Errorf("got %+v, protocol %q", o.Verdict, o.Protocol)
			}
			if tt.method == "PURGE" && (o.Method != classify.MethodOther || string(o.MethodOriginal) != tt.method) {
				t.Errorf("method %q, originally %q", o.Method, o.MethodOriginal)
			}
			if tt.method != "PURGE" && (o.Method != tt.method || len(o.MethodOriginal) > 0) {
				t.Errorf("method %q, originally %q", o.Method, o.MethodOriginal)
			}
		})
	}
}

// TestTransportGzip checks both ways of compression: undone by net/http, and
// left to the program.
func TestTransportGzip(t *testing.T) {
	var packed bytes.Buffer
	zw := gzip.NewWriter(&packed)
	_, _ = io.WriteString(zw, sample(t, "error-quota.json"))
	zw.Close()
	for _, own := range []bool{false, true} {
		t.Run(fmt.Sprint("asked for by the program: ", own), func(t *testing.T) {
			r := newTransportRig(t, func(w http.ResponseWriter, _ *http.Request) {
				w.Header().Set("Content-Encoding", "gzip")
				w.WriteHeader(http.StatusConflict)
				_, _ = w.Write(packed.Bytes())
			})
			req, want := r.request("GET", transportQuery, nil), sample(t, "error-quota.json")
			if own {
				req.Header.Set("Accept-Encoding", "gzip")
				want = packed.String()
			}
			resp, err := r.client.Do(req)
			if err != nil {
				t.Fatal(err)
			}
			defer resp.Body.Close()
			if got := readAll(t, resp.Body); got != want {
				t.Errorf("the program got %q", got)
			}
			if _, o := r.reported(); o.Verdict.Code != "LimitExceeded" || o.Verdict.Outcome != classify.OutcomeError {
				t.Errorf("got %+v", o.Verdict)
			}
		})
	}
}

// TestTransportLongBody checks that the end of a long response is read too, and
// that no more than that is kept.
func TestTransportLongBody(t *testing.T) {
	data := `{"RequestId":"6f3b1c52-0d7e-4b1a-9a3c-2f0e5d7c8b9a","data":"` + strings.Repeat("x", 1<<20) +
		`","errorMessage":["no such instance"]}`
	r := newTransportRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, data) },
		func(c *Config) { c.InspectBytes = 1 << 10 })
	resp := r.do("GET", transportQuery, nil)
	body := resp.Body.(*receivedBody)
	if got := readAll(t, resp.Body); got != data {
		t.Error("the program got something else")
	}
	_, o := r.reported()
	if o.Verdict.Outcome != classify.OutcomePartial || o.Verdict.FailedItems != 1 || o.ResponseBytes != int64(len(data)) {
		t.Errorf("got %+v", o.Verdict)
	}
	if len(body.kept.b) != 1<<10 || cap(body.tail) > 64*classify.TailBytes {
		t.Errorf("kept %d and %d bytes", len(body.kept.b), cap(body.tail))
	}
}

// TestTransportClosedEarly checks that a body that the program closes early is not a
// failure, and that the call is reported once.
func TestTransportClosedEarly(t *testing.T) {
	r := newTransportRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, sample(t, "error-permission.xml")+strings.Repeat(" ", 1<<20))
	})
	resp := r.do("GET", transportQuery, nil)
	if _, err := io.ReadFull(resp.Body, make([]byte, 1<<10)); err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	resp.Body.Close()
	if _, o := r.reported(); o.Verdict.Code != "InvalidAuthenticationCode" || o.Fault != classify.FaultNone {
		t.Errorf("got %+v, fault %q", o.Verdict, o.Fault)
	}
	r.silent()
}

// TestTransportRedirect checks that each request of a redirected call is reported.
func TestTransportRedirect(t *testing.T) {
	r := newTransportRig(t, func(w http.ResponseWriter, req *http.Request) {
		if req.URL.Path == "/" {
			http.Redirect(w, req, "/there?Action=ListMetrics", http.StatusTemporaryRedirect)
			return
		}
		_, _ = io.Copy(w, req.Body)
	})
	resp := r.do("POST", transportQuery, strings.NewReader("Namespace=KEC"))
	if got := readAll(t, resp.Body); got != "Namespace=KEC" {
		t.Errorf("the body was not sent again: %q", got)
	}
	_, first := r.reported()
	_, second := r.reported()
	if first.Verdict.Status != 307 || second.Verdict.Status != 200 || second.Call.Action != "ListMetrics" {
		t.Errorf("got %+v and %+v", first.Verdict, second.Verdict)
	}
	r.silent()
}

// TestTransportOtherHosts checks that only calls to tapped hosts are reported, also by
// their Host field.
func TestTransportOtherHosts(t *testing.T) {
	r := newTransportRig(t, func(http.ResponseWriter, *http.Request) {}, func(c *Config) { c.TapHosts = nil })
	r.do("GET", "/", nil)
	r.silent()
	req := r.request("GET", "/?Action=ListMetrics", nil)
	req.Host = "monitor.cn-beijing-6.api.ksyun.com:80"
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	resp.Body.Close()
	if _, o := r.reported(); o.Call.Host != "monitor.cn-beijing-6.api.ksyun.com" || o.Call.Region != "cn-beijing-6" {
		t.Errorf("got %+v", o.Call)
	}
}

// tripper is an http.RoundTripper of the test's.
type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// TestTransportNeedsLittle checks what may be left out.
func TestTransportNeedsLittle(t *testing.T) {
	none := New(nil, Config{})
	if none.next != http.DefaultTransport {
		t.Error("nil is not the default transport")
	}
	want := errors.New("broken")
	passed := New(tripper(func(*http.Request) (*http.Response, error) { return nil, want }), Config{})
	passed.CloseIdleConnections()
	req := httptest.NewRequest(http.MethodGet, "http://monitor.api.ksyun.com/", http.NoBody)
	if _, err := passed.RoundTrip(req); any(err) != any(want) {
		t.Errorf("got %v", err)
	}
	sink := make(recorder, 4)
	empty := New(tripper(func(*http.Request) (*http.Response, error) { return nil, nil }), Config{Sink: sink})
	if resp, err := empty.RoundTrip(req); resp != nil || err != nil {
		t.Errorf("got %v, %v", resp, err)
	}
	<-sink
	if e := <-sink; e.obs == nil || e.obs.Fault != classify.FaultClosed {
		t.Errorf("got %+v", e.obs)
	}
	odd := New(tripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK}, nil // no body, no header
	}), Config{Sink: sink})
	if _, err := odd.RoundTrip(&http.Request{URL: req.URL}); err != nil {
		t.Error(err)
	}
	if e := <-sink; e.call == nil {
		t.Errorf("got %+v", e)
	}
	if e := <-sink; e.obs == nil || e.obs.Method != http.MethodGet || e.obs.Port != 80 || e.obs.FirstByte.IsZero() {
		t.Errorf("got %+v", e.obs)
	}
}

// TestTransportUpgrade checks that a connection that changes its protocol stays
// writable.
func TestTransportUpgrade(t *testing.T) {
	r := newTransportRig(t, func(w http.ResponseWriter, _ *http.Request) {
		nc, rw, err := w.(http.Hijacker).Hijack()
		if err != nil {
			t.Error(err)
			return
		}
		defer nc.Close()
		_, _ = io.WriteString(nc, "HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: echo\r\n\r\n")
		line, _ := rw.ReadString('\n')
		_, _ = io.WriteString(nc, line)
	})
	req := r.request("GET", transportQuery, nil)
	req.Header.Set("Connection", "Upgrade")
	req.Header.Set("Upgrade", "echo")
	resp, err := r.client.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	rwc, ok := resp.Body.(io.ReadWriteCloser)
	if !ok {
		t.Fatalf("the body is a %T", resp.Body)
	}
	_, _ = io.WriteString(rwc, "hello\n")
	if got := readAll(t, rwc); got != "hello\n" {
		t.Errorf("got %q", got)
	}
	if _, o := r.reported(); o.Verdict.Status != 101 {
		t.Errorf("got %+v", o.Verdict)
	}
}

// panicking is a sink that always panics.
type panicking struct{}

func (panicking) Begin(*classify.Call)          { panic("begin") }
func (panicking) Observe(*classify.Observation) { panic("observe") }

// TestTransportSinkPanics checks that the program does not notice.
func TestTransportSinkPanics(t *testing.T) {
	r := newTransportRig(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, "fine") },
		func(c *Config) { c.Sink = panicking{} })
	if got := readAll(t, r.do("GET", transportQuery, nil).Body); got != "fine" {
		t.Errorf("got %q", got)
	}
	if got := r.tripper.Panics(); got != 2 {
		t.Errorf("%d panics", got)
	}
}

// TestTransportSecrets checks that a response that quotes the request gives
// nothing away.
func TestTransportSecrets(t *testing.T) {
	r := newTransportRig(t, func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(http.StatusForbidden)
		_, _ = io.WriteString(w, `{"Error":{"Code":"SignatureDoesNotMatch","Message":"for `+transportKey+` got abcdefgh"}}`)
	})
	readAll(t, r.do("GET", transportQuery, nil).Body)
	if _, o := r.reported(); o.Verdict.Message != "for REDACTED got REDACTED" {
		t.Errorf("message %q", o.Verdict.Message)
	}
}

// TestTransportConcurrent runs many calls through one RoundTripper, for the race
// detector, and closes bodies while they are read.
func TestTransportConcurrent(t *testing.T) {
	r := newTransportRig(t, func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		_, _ = w.Write(bytes.Repeat(b, 100))
	}, func(c *Config) { c.InspectBytes = 64 })
	const calls = 16
	var wg sync.WaitGroup
	for i := range calls {
		wg.Go(func() {
			var body io.Reader = strings.NewReader("Action=ListMetrics&x=" + strings.Repeat("y", 1000))
			if i%2 == 0 {
				body = io.MultiReader(body) // of unknown length
			}
			resp, err := r.client.Do(r.request("POST", "/", body))
			if err != nil {
				t.Error(err)
				return
			}
			if i%4 < 2 {
				wg.Go(func() { resp.Body.Close() })
			}
			_, _ = io.Copy(io.Discard, resp.Body)
			resp.Body.Close()
		})
	}
	wg.Wait()
	for range calls {
		r.reported()
	}
	r.silent()
}

// BenchmarkTransport measures what a call costs beyond what net/http does.
func BenchmarkTransport(b *testing.B) {
	const body = `{"RequestId":"6f3b1c52-0d7e-4b1a-9a3c-2f0e5d7c8b9a","data":[]}`
	next := tripper(func(*http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(body))}, nil
	})
	t := New(next, Config{Sink: discardSink{}, CredentialKey: []byte("key")})
	r := httptest.NewRequest(http.MethodGet, "http://monitor.api.ksyun.com"+transportQuery, http.NoBody)
	b.ReportAllocs()
	for b.Loop() {
		resp, err := t.RoundTrip(r)
		if err != nil {
			b.Fatal(err)
		}
		_, _ = io.Copy(io.Discard, resp.Body)
		resp.Body.Close()
	}
}

type discardSink struct{}

func (discardSink) Begin(*classify.Call)          {}
func (discardSink) Observe(*classify.Observation) {}
