package lookup

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// The attempt of all responses in testdata but those of taps.
const (
	requestID = "131966d6-943c-4820-b35a-11673d6cd1fc"
	traceID   = "131966d6943c4820b35a11673d6cd1fc"
	ownID     = "1k14y6q93jqhnfq"
)

// now is the end of the time range of all queries.
var now = time.Date(2026, 11, 26, 6, 0, 0, 0, time.UTC)

func query(t *testing.T, id string) *Query {
	t.Helper()
	q, err := NewQuery(id, 24*time.Hour, now)
	require.NoError(t, err)
	return q
}

// server answers each request with the next of the files in testdata, or with a
// status and a text ("404 trace not found"), and notes the requests.
type server struct {
	*httptest.Server
	requests chan string
}

func serve(t *testing.T, responses ...string) *server {
	t.Helper()
	s := &server{requests: make(chan string, 10)}
	next := make(chan string, len(responses))
	for _, a := range responses {
		next <- a
	}
	s.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		s.requests <- describe(r, body)
		var response string
		select {
		case response = <-next:
		default:
			response = "500 no more requests were expected"
		}
		var status int
		if n, _ := fmt.Sscanf(response, "%d ", &status); n == 1 {
			w.WriteHeader(status)
			_, _ = io.WriteString(w, response[4:])
			return
		}
		data, err := os.ReadFile("testdata/" + response)
		assert.NoError(t, err)
		_, _ = w.Write(data)
	}))
	t.Cleanup(s.Close)
	return s
}

// describe returns a request on one line, with its parameters sorted and decoded.
func describe(r *http.Request, body []byte) string {
	text := r.Method + " " + r.URL.EscapedPath()
	params := r.URL.Query()
	if r.Header.Get("Content-Type") == "application/x-www-form-urlencoded" {
		params, _ = url.ParseQuery(string(body))
		body = nil
	}
	var all []string
	for name, values := range params {
		all = append(all, name+"="+strings.Join(values, ","))
	}
	slices.Sort(all)
	return strings.TrimSpace(text + " " + strings.Join(all, " ") + " " + string(body))
}

func (s *server) base(t *testing.T) *url.URL {
	t.Helper()
	u, err := ParseURL(s.URL)
	require.NoError(t, err)
	return u
}

// seen returns the requests so far, sorted, because some are made at the same time.
func (s *server) seen() []string {
	all := make([]string, 0, len(s.requests))
	for len(s.requests) > 0 {
		all = append(all, <-s.requests)
	}
	slices.Sort(all)
	return all
}

// opener opens a source.
type opener func(*url.URL, Clients) (Named, error)

var services = []string{"ksyun-tap"}

func openJaeger(u *url.URL, c Clients) (Named, error)   { return NewJaeger(u, c, services) }
func openJaegerV3(u *url.URL, c Clients) (Named, error) { return NewJaegerV3(u, c, services) }
func openLoki(u *url.URL, c Clients) (Named, error) {
	return NewLoki(u, c, `{service_name="ksyun-tap"}`)
}

const (
	jaegerRange = "end=1795673100000000 %sstart=1795586400000000"
	noTrace     = `404 {"data":null,"total":0,"limit":0,"offset":0,"errors":[{"code":404,"msg":"trace not found"}]}`
	noTraceV3   = `404 {"error":{"httpCode":404,"message":"No traces found"}}`
	lokiRange   = `GET /loki/api/v1/query_range direction=backward end=1795673100000000000 limit=100 query=%s start=1795586400000000000`
	vlRange     = `POST /select/logsql/query allow_partial_response=%s end=2026-11-26T06:05:00Z limit=100 query=%s start=2026-11-25T06:00:00Z`
)

// TestSources checks the requests to each source, and what is read from its responses.
// The records are in golden files.
func TestSources(t *testing.T) {
	const other = "req-1" // no UUID, so there is no trace ID for it
	const tempoRange = "end=1795673101 %sstart=1795586400"
	const lokiByID = `{service_name="ksyun-tap"} |= "` + requestID + `"`
	const lokiByField = `{service_name="ksyun-tap"} | request_id="` + requestID + `"`
	vl := func(partial, query string) string { return fmt.Sprintf(vlRange, partial, query) }
	loki := func(queries ...string) (all []string) {
		for _, q := range queries {
			all = append(all, fmt.Sprintf(lokiRange, q))
		}
		return all
	}
	for _, tt := range []struct {
		name      string
		open      opener
		id        string
		responses []string
		requests  []string // nil if they are in another row
		found     int
		partial   string
		err       string
	}{
		{name: "tap", open: NewTap, id: "00000000-7777-4222-8333-444444444477", responses: []string{"tap.json"}, requests: []string{"GET /api/v1/failures/00000000-7777-4222-8333-444444444477"}, found: 1},
		{name: "tap none", open: NewTap, id: "a/b", responses: []string{`404 {"status":"error","errorType":"not_found","error":"no failure"}`}, requests: []string{"GET /api/v1/failures/a%2Fb"}},
		{name: "no tap", open: NewTap, id: other, responses: []string{"404 page not found"}, err: "does not respond like a tap (HTTP status 404)"},
		{name: "tap password", open: NewTap, id: other, responses: []string{"401 Unauthorized"}, err: "HTTP status 401 Unauthorized"},
		{
			name: "jaeger", open: openJaeger, id: requestID, responses: []string{"jaeger.json"}, found: 1,
			requests: []string{"GET /api/traces/" + traceID + " " + fmt.Sprintf(jaegerRange, "")},
		},
		{
			name: "jaeger search", open: openJaeger, id: requestID, responses: []string{noTrace, "jaeger.json"}, found: 1,
			requests: []string{
				"GET /api/traces " + fmt.Sprintf(jaegerRange, "limit=20 service=ksyun-tap ") + ` tags={"ksyun.request_id":"` + requestID + `"}`,
				"GET /api/traces/" + traceID + " " + fmt.Sprintf(jaegerRange, ""),
			},
		},
		{name: "jaeger none", open: openJaeger, id: other, responses: []string{"200 " + `{"data":[],"errors":null}`}, requests: []string{
			"GET /api/traces " + fmt.Sprintf(jaegerRange, "limit=20 service=ksyun-tap ") + ` tags={"ksyun.request_id":"req-1"}`,
		}},
		{name: "jaeger own", open: openJaeger, id: ownID, responses: []string{"200 " + `{"data":[],"errors":null}`, "200 " + `{"data":[],"errors":null}`}, requests: []string{
			"GET /api/traces " + fmt.Sprintf(jaegerRange, "limit=20 service=ksyun-tap ") + ` tags={"ksyun.failure_id":"` + ownID + `"}`,
			"GET /api/traces " + fmt.Sprintf(jaegerRange, "limit=20 service=ksyun-tap ") + ` tags={"ksyun.request_id":"` + ownID + `"}`,
		}},
		{name: "jaeger page", open: openJaeger, id: other, responses: []string{"200 <!DOCTYPE html>"}, err: errNotExpected.Error()},
		{name: "no jaeger", open: openJaeger, id: other, responses: []string{"404 404 page not found"}, err: "HTTP status 404 Not Found: 404 page not found"},
		{
			name: "jaeger_v3", open: openJaegerV3, id: requestID, responses: []string{"jaeger_v3.json"}, found: 1,
			requests: []string{"GET /api/v3/traces/" + traceID + " end_time=2026-11-26T06:05:00Z start_time=2026-11-25T06:00:00Z"},
		},
		{
			name: "jaeger_v3 search", open: openJaegerV3, id: requestID, responses: []string{noTraceV3, "jaeger_v3.json"}, found: 1,
			requests: []string{
				`GET /api/v3/traces query.attributes={"ksyun.request_id":"` + requestID + `"} query.num_traces=20 query.search_depth=20 query.service_name=ksyun-tap query.start_time_max=2026-11-26T06:05:00Z query.start_time_min=2026-11-25T06:00:00Z`,
				"GET /api/v3/traces/" + traceID + " end_time=2026-11-26T06:05:00Z start_time=2026-11-25T06:00:00Z",
			},
		},
		{name: "jaeger_v3 without search", open: openJaegerV3, id: other, responses: []string{"jaeger_v3.json"}, partial: "this version of Jaeger does not search by attribute in /api/v3; use --lookup.jaeger"},
		{name: "jaeger_v3 none", open: openJaegerV3, id: other, responses: []string{noTraceV3}},
		{
			name: "tempo", open: NewTempo, id: requestID, responses: []string{"tempo.json"}, found: 1,
			requests: []string{"GET /api/v2/traces/" + traceID + " " + fmt.Sprintf(tempoRange, "")},
		},
		{
			name: "tempo search", open: NewTempo, id: requestID, responses: []string{"404 ", "tempo_search.json", "tempo.json"}, found: 1,
			requests: []string{
				"GET /api/search " + fmt.Sprintf(tempoRange, `limit=20 q={ span.ksyun.request_id = "`+requestID+`" } `),
				"GET /api/v2/traces/" + traceID + " " + fmt.Sprintf(tempoRange, ""),
				"GET /api/v2/traces/" + traceID + " " + fmt.Sprintf(tempoRange, ""),
			},
		},
		{name: "tempo partial", open: NewTempo, id: requestID, responses: []string{"tempo_partial.json"}, found: 1, partial: "partial trace: trace exceeds max size, partial trace returned"},
		{name: "tempo none", open: NewTempo, id: other, responses: []string{`200 {"traces":[],"metrics":{}}`}},
		{name: "no tempo", open: NewTempo, id: requestID, responses: []string{"404 404 page not found"}, err: "HTTP status 404 Not Found: 404 page not found"},
		{
			name: "loki_line", open: openLoki, id: requestID, responses: []string{"loki_line.json", "loki_none.json"}, found: 1,
			requests: loki(lokiByField, lokiByID),
		},
		{name: "loki_otlp", open: openLoki, id: requestID, responses: []string{"loki_none.json", "loki_otlp.json"}, found: 1},
		{
			name: "loki own", open: openLoki, id: ownID, responses: []string{"loki_line.json", "loki_none.json"}, found: 1,
			requests: loki(`{service_name="ksyun-tap"} | request_id="`+ownID+`" or id="`+ownID+`"`, `{service_name="ksyun-tap"} |= "`+ownID+`"`),
		},
		{name: "loki tenant", open: openLoki, id: other, responses: []string{"401 no org id", "401 no org id"}, err: "HTTP status 401 Unauthorized"},
		{
			name: "victorialogs_line", open: NewVictoriaLogs, id: requestID, responses: []string{"victorialogs_line.json"}, found: 1,
			requests: []string{vl("0", `request_id:="`+requestID+`"`)},
		},
		{
			name: "victorialogs_otlp", open: NewVictoriaLogs, id: ownID, responses: []string{"victorialogs_otlp.json"}, found: 1,
			requests: []string{vl("0", `request_id:="`+ownID+`" or id:="`+ownID+`"`)},
		},
		{
			name: "victorialogs partial", open: NewVictoriaLogs, id: requestID, responses: []string{"502 cannot connect to storage node 1", "victorialogs_line.json"}, found: 1,
			requests: []string{vl("0", `request_id:="`+requestID+`"`), vl("1", `request_id:="`+requestID+`"`)},
			partial:  "HTTP status 502 Bad Gateway: cannot connect to storage node 1",
		},
		{name: "victorialogs none", open: NewVictoriaLogs, id: requestID, responses: []string{"200 "}},
		{name: "victorialogs down", open: NewVictoriaLogs, id: requestID, responses: []string{"502 all are down", "502 all are down"}, err: "HTTP status 502 Bad Gateway: all are down"},
		{
			name: "elasticsearch_line", open: NewElasticsearch, id: requestID, responses: []string{"elasticsearch_line.json"}, found: 1,
			requests: []string{`POST /_search allow_partial_search_results=true ignore_unavailable=true ` +
				`{"query":{"bool":{"filter":[{"multi_match":{"fields":["request_id","*.request_id"],"lenient":true,"query":"` + requestID + `","type":"phrase"}},` +
				`{"bool":{"minimum_should_match":1,"should":[{"range":{"@timestamp":{"format":"strict_date_optional_time_nanos||strict_date_optional_time","gte":"2026-11-25T06:00:00Z","lte":"2026-11-26T06:05:00Z"}}},` +
				`{"range":{"ts":{"format":"strict_date_optional_time_nanos||strict_date_optional_time","gte":"2026-11-25T06:00:00Z","lte":"2026-11-26T06:05:00Z"}}}]}}]}},"size":100}`},
		},
		{name: "elasticsearch_otel", open: NewElasticsearch, id: ownID, responses: []string{"elasticsearch_otel.json"}, found: 1},
		{name: "elasticsearch_raw", open: NewElasticsearch, id: requestID, responses: []string{"elasticsearch_raw.json"}, found: 1},
		{name: "elasticsearch partial", open: NewElasticsearch, id: requestID, responses: []string{"elasticsearch_partial.json"}, partial: "1 of 3 shards failed: No shard available for the search"},
		{name: "elasticsearch refused", open: NewElasticsearch, id: requestID, responses: []string{`400 {"error":{"type":"parsing_exception","reason":"unknown field"},"status":400}`}, err: "HTTP status 400 Bad Request: unknown field"},
		{name: "no elasticsearch", open: NewElasticsearch, id: requestID, responses: []string{"200 {}"}, err: errNotExpected.Error()},
	} {
		t.Run(tt.name, func(t *testing.T) {
			s := serve(t, tt.responses...)
			source, err := tt.open(s.base(t), Clients{})
			require.NoError(t, err)
			a, err := source.Find(t.Context(), query(t, tt.id))
			if text := fmt.Sprint(err); (err != nil || tt.err != "") && text != tt.err {
				t.Fatalf("error %q, want %q", text, tt.err)
			}
			if len(a.Found) != tt.found || a.Partial != tt.partial {
				t.Errorf("%d found, partial %q; want %d, %q", len(a.Found), a.Partial, tt.found, tt.partial)
			}
			if seen := s.seen(); tt.requests != nil && !slices.Equal(seen, tt.requests) {
				t.Errorf("requests\n%s\nwant\n%s", strings.Join(seen, "\n"), strings.Join(tt.requests, "\n"))
			}
			if tt.found > 0 && !strings.Contains(tt.name, " ") {
				for _, f := range a.Found {
					withoutTexts(f.Record)
				}
				golden.Check(t, "testdata/want/"+tt.name+".json", bytes.ReplaceAll(indent(t, a.Found), []byte(s.URL), []byte("http://backend")))
			}
		})
	}
}

// withoutTexts removes the texts of catalogue and causes, which other tests check.
func withoutTexts(r *record.Record) {
	r.Meaning, r.Advice = diagnosis.Text{}, diagnosis.Advice{}
	for i := range r.Diagnoses {
		d := &r.Diagnoses[i]
		d.Summary, d.Advice = diagnosis.Text{}, diagnosis.Advice{}
	}
}

func indent(t *testing.T, v any) []byte {
	t.Helper()
	var b bytes.Buffer
	e := json.NewEncoder(&b)
	e.SetEscapeHTML(false)
	e.SetIndent("", "  ")
	require.NoError(t, e.Encode(v))
	return b.Bytes()
}

// TestTimeout checks that no source waits longer than the context, and that the reason
// has no secrets.
func TestTimeout(t *testing.T) {
	release := make(chan struct{})
	s := httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		select {
		case <-release:
		case <-r.Context().Done():
		}
	}))
	defer s.Close()
	defer close(release)
	u, err := ParseURL(strings.Replace(s.URL, "http://", "http://user:secret@", 1))
	require.NoError(t, err)
	for _, open := range []opener{NewTap, openJaeger, openJaegerV3, NewTempo, openLoki, NewVictoriaLogs, NewElasticsearch} {
		source, err := open(u, Clients{})
		require.NoError(t, err)
		ctx, cancel := context.WithDeadline(t.Context(), time.Now().Add(-time.Second))
		r := All(ctx, []Named{source}, query(t, requestID))[0]
		cancel()
		if r.Err == nil || r.Err.Error() != "timeout" || strings.Contains(r.Name, "secret") || !strings.HasSuffix(r.Name, s.URL) {
			t.Errorf("%s: %v", r.Name, r.Err)
		}
	}
	u.Host = rawconn.Nowhere
	source, err := NewTap(u, Clients{})
	require.NoError(t, err)
	if _, err := source.Find(t.Context(), query(t, requestID)); err == nil || strings.Contains(err.Error(), "secret") || !strings.Contains(err.Error(), "connection refused") {
		t.Errorf("connection refused: %v", err)
	}
}

// TestLargeResponse checks that a response is not read without a limit.
func TestLargeResponse(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		chunk := bytes.Repeat([]byte{'['}, 1<<20)
		for range maxResponse>>20 + 2 {
			if _, err := w.Write(chunk); err != nil {
				return
			}
		}
	}))
	defer s.Close()
	u, _ := ParseURL(s.URL)
	source, err := NewVictoriaLogs(u, Clients{})
	require.NoError(t, err)
	if _, err := source.Find(t.Context(), query(t, requestID)); err == nil || !strings.Contains(err.Error(), "larger than 16 MiB") {
		t.Errorf("error %v", err)
	}
}

// TestRedirect checks that credentials are not sent to where a source redirects.
func TestRedirect(t *testing.T) {
	var other server
	other.Server = httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("the redirect was followed") }))
	defer other.Close()
	s := httptest.NewServer(http.RedirectHandler(other.URL, http.StatusFound))
	defer s.Close()
	u, _ := ParseURL(s.URL)
	source, err := NewTempo(u, Clients{})
	require.NoError(t, err)
	var status statusError
	if _, err := source.Find(t.Context(), query(t, requestID)); !errors.As(err, &status) || status.status != http.StatusFound {
		t.Errorf("error %v", err)
	}
}
