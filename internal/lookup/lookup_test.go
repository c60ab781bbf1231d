package lookup

import (
	"context"
	"encoding/json"
	"errors"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"reflect"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/traces"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

func TestNewQuery(t *testing.T) {
	for id, trace := range map[string]string{
		requestID:                              traceID,
		strings.ToUpper(requestID):             traceID,
		"131966d6-943c-1820-b35a-11673d6cd1fc": "", // version 1
		ownID:                                  "",
		"req-1":                                "",
	} {
		q, err := NewQuery(id, time.Hour, now)
		if err != nil || q.ID != id || q.TraceID != trace || !q.From.Equal(now.Add(-time.Hour)) || !q.To.After(now) || q.mayBeOwn() != (id == ownID) {
			t.Errorf("%s: %+v, %v", id, q, err)
		}
	}
	for _, id := range []string{"", ".", "..", `a"b`, "a'b", `a\b`, "a b", "a\nb", "a<b", "a>b", "ä", strings.Repeat("a", classify.MaxRequestID+1), "AKLTexampleexampleexample"} {
		q, err := NewQuery(id, time.Hour, now)
		assert.Error(t, err, "%q: %+v", id, q)
	}
}

// TestNoInjection checks that an ID is one string in every query language, whatever it
// contains.
func TestNoInjection(t *testing.T) {
	for _, id := range []string{
		requestID, "a}|=b", "a`b", "a)or(1:*", "a|delete", "{}", "$x", "${x}", "%22", "%0a", "*", "a*", "?", "a&query=x", "a;b", "a#b", "a,b", "/../x", "a/*b*/", "--", "//", "[1,2]", "_exists_:x", "~", "^a$", "!a",
	} {
		q := query(t, id)
		whole := func(language, text, before, after string) {
			t.Helper()
			text, ok1 := strings.CutPrefix(text, before)
			text, ok2 := strings.CutSuffix(text, after)
			// Strings of all these languages have the syntax of Go's.
			if got, err := strconv.Unquote(text); !ok1 || !ok2 || err != nil || got != id {
				t.Errorf("%s: the ID %s is %s, %v", language, id, text, err)
			}
		}
		whole("LogsQL", logsQL(q), "request_id:=", "")
		lines := logQL("{a=`b`}", q)
		whole("LogQL", lines[0], "{a=`b`} |= ", "")
		whole("LogQL", lines[1], "{a=`b`} | request_id=", "")
		whole("TraceQL", traceQL("ksyun.request_id", q), "{ span.ksyun.request_id = ", " }")
		var condition map[string]string
		if err := json.Unmarshal([]byte(tags("ksyun.request_id", q)), &condition); err != nil || len(condition) != 1 || condition["ksyun.request_id"] != id {
			t.Errorf("tags: %s, %v", tags("ksyun.request_id", q), err)
		}
		text, err := json.Marshal(queryDSL(q))
		require.NoError(t, err)
		var dsl struct {
			Query struct {
				Bool struct {
					Filter []struct {
						Match struct{ Query, Type string } `json:"multi_match"`
					}
				}
			}
		}
		if err := json.Unmarshal(text, &dsl); err != nil || dsl.Query.Bool.Filter[0].Match.Query != id || dsl.Query.Bool.Filter[0].Match.Type != "phrase" {
			t.Errorf("query DSL: %s, %v", text, err)
		}
		// The path of a tap's API has one segment for it.
		s := serve(t, `404 {"errorType":"not_found"}`)
		source, err := NewTap(s.base(t), Clients{})
		require.NoError(t, err)
		if _, err := source.Find(t.Context(), q); err != nil {
			t.Errorf("%s: %v", id, err)
		}
		if seen := s.seen(); len(seen) != 1 || strings.Count(seen[0], "/") != 4 || strings.Contains(seen[0][len("GET "):], " ") {
			t.Errorf("%s: requests %q", id, seen)
		}
	}
}

// TestSpanFields checks that every attribute of spans is read.
func TestSpanFields(t *testing.T) {
	for _, a := range traces.Attributes() {
		if _, ok := spanFields[string(a.Key)]; !ok && a.Key != "ksyun.diagnosis.advice" { // follows from the cause
			t.Errorf("%s is not read", a.Key)
		}
	}
}

// TestNetworkFailure checks what a span without a response becomes.
func TestNetworkFailure(t *testing.T) {
	end := now.Add(time.Second)
	r := fromSpan(&span{traceID: traceID, spanID: "0102030405060708", start: now, end: end, attributes: map[string]string{
		"ksyun.request_id": "req-1", "ksyun.outcome": "proxy", "error.type": string(classify.FaultConnRefused), "ksyun.error.category": "network",
		"http.request.resend_count": "2", "network.peer.address": "2001:db8::1", "network.peer.port": "443",
	}})
	if r.Fault != classify.FaultConnRefused || r.Attempt != 3 || r.Upstream != netip.MustParseAddrPort("[2001:db8::1]:443") ||
		r.DurationSeconds != 1 || !r.Time.Equal(end) || !r.Start.Equal(now) || r.Meaning.English == "" || r.Advice.IsZero() {
		t.Errorf("%+v", r)
	}
}

func TestMerge(t *testing.T) {
	found := func(source, id, span string, traces ...string) Found {
		return Found{&record.Record{ID: id, TraceID: traceID, SpanID: span}, []string{source}, traces}
	}
	all := Merge([]Result{
		{Name: "tap", Response: Response{Found: []Found{found("tap", "a", "1"), found("tap", "b", "2"), found("tap", "c", "")}}},
		{Name: "jaeger", Response: Response{Found: []Found{found("jaeger", "", "2", "url"), found("jaeger", "", "3")}}},
		{Name: "loki", Response: Response{Found: []Found{found("loki", "b", "2"), found("loki", "b", "2"), found("loki", "", "")}}},
		{Name: "none", Err: errors.New("no response")},
	})
	var got []string
	for _, f := range all {
		got = append(got, f.Record.ID+f.Record.SpanID+" "+strings.Join(f.Sources, "+")+" "+strings.Join(f.Traces, "+"))
	}
	want := []string{"a1 tap ", "b2 tap+jaeger+loki url", "c tap ", "3 jaeger ", " loki "}
	assert.Equal(t, want, got, "merged")
}

// names resolves names to fixed addresses.
type names map[string][]netip.Addr

func (n names) LookupNetIP(_ context.Context, _, host string) ([]netip.Addr, error) {
	all, ok := n[host]
	if !ok {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return all, nil
}

// TestTaps checks that every address behind a name is asked, and that those that do not
// answer are reported.
func TestTaps(t *testing.T) {
	body := testfile.Read(t, "testdata/tap.json")
	listener, err := net.Listen("tcp", "127.0.0.2:0")
	require.NoError(t, err)
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		assert.Equal(t, "/api/v1/failures/00000000-7777-4222-8333-444444444477", r.URL.Path, "request of %s", r.URL)
		_, _ = w.Write(body)
	}))
	s.Listener.Close()
	s.Listener = listener
	s.Start()
	defer s.Close()
	_, port, _ := net.SplitHostPort(listener.Addr().String())
	address := func(ip string) netip.Addr { return netip.MustParseAddr(ip) }
	all := names{
		"taps":    {address("127.0.0.3"), address("::ffff:127.0.0.2")},
		"none-up": {address("127.0.0.3"), address("127.0.0.4")},
		"empty":   {},
	}
	find := func(name string) (Named, Response, error) {
		t.Helper()
		a, err := ParseAddresses(name + ":" + port)
		require.NoError(t, err)
		named, err := NewTaps(a, Clients{})
		require.NoError(t, err)
		source, ok := named.Source.(taps)
		require.True(t, ok, "source %T", named.Source)
		source.resolver = all
		response, err := source.Find(t.Context(), query(t, "00000000-7777-4222-8333-444444444477"))
		return named, response, err
	}
	named, a, err := find("taps")
	if err != nil || len(a.Found) != 1 || len(a.Missing) != 1 || named.Name != "http://taps:"+port {
		t.Fatalf("%s: %+v, %v", named.Name, a, err)
	}
	if want := []string{"http://127.0.0.2:" + port}; !reflect.DeepEqual(a.Found[0].Sources, want) || a.Missing[0].Name != "http://127.0.0.3:"+port || !strings.Contains(a.Missing[0].Err.Error(), "connection refused") {
		t.Errorf("%+v", a)
	}
	if _, _, err := find("none-up"); err == nil || !strings.HasPrefix(err.Error(), "none of 2 addresses answers; http://127.0.0.3:") {
		t.Errorf("none up: %v", err)
	}
	if _, _, err := find("empty"); err == nil {
		t.Error("no addresses: no error")
	}
	if _, _, err := find("unknown"); err == nil || err.Error() != "name resolution: no such host" {
		t.Errorf("unknown name: %v", err)
	}
}

func TestParseAddresses(t *testing.T) {
	for text, want := range map[string]string{
		"taps.monitoring.svc:18184": "http://taps.monitoring.svc:18184", "https://taps:1/": "https://taps:1", "[::1]:80": "http://[::1]:80",
		"taps": "", "taps:": "", "ftp://taps:1": "", "taps:1/path": "", "": "", ":1": "",
	} {
		a, err := ParseAddresses(text)
		if (err == nil) != (want != "") || err == nil && withoutUser(a.URL) != want {
			t.Errorf("%q: %v, %v", text, a.URL, err)
		}
	}
}

func TestParseURL(t *testing.T) {
	for _, text := range []string{"", "host:1", "ftp://host", "http://", "http://u:secret@", "http://host?q=1", "http://host#x", "http://u:secret@host:x", "http://u:sec ret@host", "http://%zz"} {
		if u, err := ParseURL(text); err == nil || strings.Contains(err.Error(), "secret") {
			t.Errorf("%q: %v, %v", text, u, err)
		}
	}
	u, err := ParseURL("https://user:secret@host/prefix/")
	if err != nil || withoutUser(u) != "https://host/prefix" || Redacted("https://user:secret@host") != "https://user:xxxxx@host" || Redacted("host:1") != "host:1" {
		t.Errorf("%v, %v", u, err)
	}
}

// TestClients checks that each host gets its credentials, and no other.
func TestClients(t *testing.T) {
	s := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		seen := []string{r.Header.Get("Authorization"), r.Header.Get("X-Scope-Orgid")}
		w.WriteHeader(http.StatusTeapot)
		_, _ = w.Write([]byte(strings.Join(seen, "|")))
	}))
	defer s.Close()
	dir := t.TempDir()
	ca := "-----BEGIN CERTIFICATE-----\n" + base64Lines(s.Certificate().Raw) + "-----END CERTIFICATE-----\n"
	for name, text := range map[string]string{"ca.pem": ca, "token": "t0ken"} {
		testfile.Write(t, filepath.Join(dir, name), text, 0o600)
	}
	host := strings.TrimPrefix(s.URL, "https://")
	clients, err := ParseClients(filepath.Join(dir, "clients.yml"), []byte(`
127.0.0.1:
  basic_auth: {username: not, password: used}
"`+host+`":
  authorization: {credentials_file: token}
  http_headers: {X-Scope-OrgID: {values: [team-a]}}
  tls_config: {ca_file: ca.pem}
`))
	require.NoError(t, err)
	u, _ := ParseURL(s.URL)
	ask := func(clients Clients) string {
		t.Helper()
		source, err := NewLoki(u, clients, "{}")
		require.NoError(t, err)
		_, err = source.Find(t.Context(), query(t, requestID))
		require.Error(t, err)
		return err.Error()
	}
	got := ask(clients)
	assert.True(t, strings.HasSuffix(got, ": Bearer t0ken|team-a"), "with credentials: %s", got)
	assert.Contains(t, ask(Clients{}), "certificate", "without")
	for _, bad := range []string{
		"host: {basic_auth: s3cret}", "host: {unknown: s3cret}", "host: {basic_auth: {username: a, password: [s3cret]}}", "s3cret",
		"host: {authorization: {type: basic, credentials: s3cret}}", "host: {tls_config: {ca_file: missing.pem}}", "host: {bearer_token: s3cret, basic_auth: {username: u}}",
	} {
		if _, err := ParseClients("clients.yml", []byte(bad)); err == nil || strings.Contains(err.Error(), "s3cret") || !strings.Contains(err.Error(), "clients.yml") {
			t.Errorf("%s: %v", bad, err)
		}
	}
	if _, err := ParseClients("clients.yml", nil); err != nil {
		t.Errorf("empty file: %v", err)
	}
}

func base64Lines(der []byte) string {
	text, _ := json.Marshal(der)
	return strings.Trim(string(text), `"`) + "\n"
}

// FuzzResponses checks that no response of any source ends the program, and that nothing is
// found that was not looked for or is not safe to print.
func FuzzResponses(f *testing.F) {
	files, err := filepath.Glob("testdata/*.json")
	if err != nil || len(files) == 0 {
		f.Fatal(err)
	}
	for _, name := range files {
		body := testfile.Read(f, name)
		f.Add(body)
	}
	base, err := ParseURL("http://backend")
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, body []byte) {
		q := query(t, requestID)
		for name, read := range map[string]func() (Response, error){
			"tap":           func() (Response, error) { return readTap(http.StatusOK, body, q) },
			"jaeger":        func() (Response, error) { return readJaeger(body, base, q) },
			"jaeger v3":     func() (Response, error) { return readJaegerV3(body, base, q) },
			"tempo":         func() (Response, error) { return readTempo(body, "http://backend/", q) },
			"loki":          func() (Response, error) { return readLoki(body, q) },
			"victorialogs":  func() (Response, error) { return readVictoriaLogs(body, q) },
			"elasticsearch": func() (Response, error) { return readElasticsearch(body, q) },
		} {
			a, err := read()
			for _, found := range a.Found {
				if r := found.Record; r.RequestID != requestID && r.ID != requestID {
					t.Errorf("%s: found %+v, %v", name, r, err)
				}
				if _, err := json.Marshal(found.Record); err != nil && name != "tap" {
					t.Errorf("%s: %v", name, err)
				}
			}
			if text := a.Partial + errorText(body); strings.ContainsAny(text, "\n\x1b") || len(text) > 4*maxErrorText {
				t.Errorf("%s: partial %q", name, text)
			}
		}
	})
}
