package web_test

import (
	"encoding/csv"
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/internal/golden"
)

// goldens are requests whose responses are in testdata.
var goldens = []struct {
	name, target string
	status       int
}{
	{"failures.json", "/api/v1/failures?limit=3", 200},
	{"notices.json", "/api/v1/notices", 200},
	{"incidents.json", "/api/v1/incidents", 200},
	{"inventory.json", "/api/v1/inventory", 200},
	{"failures-next.json", "/api/v1/failures?limit=3&cursor=1m4q7t9k008x7f2", 200},
	{"failures-filtered.json", "/api/v1/failures?category=auth&code=signaturedoesnotmatch&action=getmetricstatistics&from=2026-11-23T08:00:00Z", 200},
	{"failures-none.json", "/api/v1/failures?code=NoSuchCode", 200},
	{"failures.ndjson", "/api/v1/failures?format=ndjson", 200},
	{"failures.csv", "/api/v1/failures?format=csv", 200},
	{"failure-by-id.json", "/api/v1/failures/1m4q7t9k001x7f2", 200},
	{"failure-by-request-id.json", "/api/v1/failures/" + tapID, 200},
	{"failure-unknown.json", "/api/v1/failures/00000000-0000-0000-0000-000000000000", 404},
	{"failure-bad-id.json", "/api/v1/failures/%3Cscript%3E", 400},
	{"ticket-vendor.txt", "/api/v1/failures/" + signatureID + "/ticket", 200},
	{"ticket-vendor-zh.txt", "/api/v1/failures/" + signatureID + "/ticket?lang=zh", 200},
	{"ticket-program.txt", "/api/v1/failures/" + programID + "/ticket?lang=en", 200},
	{"ticket-tap.txt", "/api/v1/failures/" + tapID + "/ticket", 200},
	{"ticket-tap-zh.txt", "/api/v1/failures/" + tapID + "/ticket?lang=zh", 200},
	{"failure-har.json", "/api/v1/failures/" + signatureID + "/har", 200},
	{"ticket-bad-language.json", "/api/v1/failures/" + tapID + "/ticket?lang=fr", 400},
	{"groups.json", "/api/v1/groups", 200},
	{"group-unknown.json", "/api/v1/groups/0", 404},
	{"activity.json", "/api/v1/activity?from=2026-11-23T07:58:00Z", 200},
	{"activity-fine.json", "/api/v1/activity?by=blame&step=10s&from=2026-11-23T07:59:50Z&to=2026-11-23T08:00:20Z", 200},
	{"activity-fine-journal.json", "/api/v1/activity?by=code&step=10s&from=2026-11-23T07:59:50Z&to=2026-11-23T08:00:20Z&blame=quota", 200},
	{"activity-groups.json", "/api/v1/activity?by=action,code&from=2026-11-23T07:58:00Z", 200},
	{"activity-step.json", "/api/v1/activity?by=category&step=15m&region=cn-beijing-6", 200},
	{"activity-journal.json", "/api/v1/activity?by=client&by=outcome&from=2026-11-23T06:00:00Z&step=1h&blame=provider", 200},
	{"activity-other.json", "/api/v1/activity?by=code&from=2026-11-23T08:00:00Z&step=5m&limit=2", 200},
	{"bad-limit.json", "/api/v1/failures?limit=0", 400},
	{"bad-from.json", "/api/v1/failures?from=yesterday", 400},
	{"bad-parameter.json", "/api/v1/failures?catgory=auth", 400},
	{"bad-value.json", "/api/v1/failures?blame=providr", 400},
	{"bad-dimension.json", "/api/v1/activity?by=error_code", 400},
	{"unknown-endpoint.json", "/api/v1/errors", 404},
	{"overview.html", "/?category=throttled&request_id=&from=", 200},
	{"programs.html", "/programs", 200},
	{"programs-zh.html", "/programs?lang=zh", 200},
	{"list-zh.html", "/?view=list&limit=2&from=24h&lang=zh", 200},
	{"failure.html", "/failures/" + signatureID, 200},
	{"unknown-failure.html", "/failures/%3Cscript%3E", 400},
}

// staticHash matches the URLs of static files, which change with the files.
var staticHash = regexp.MustCompile(`/static/([a-z]+)\.[0-9a-f]+\.([a-z]+)`)

func TestGolden(t *testing.T) {
	h := handler(nil)
	for _, tt := range goldens {
		t.Run(tt.name, func(t *testing.T) {
			w := ask(h, http.MethodGet, tt.target)
			assert.Equal(t, tt.status, w.Code, "status")
			_, suffix, _ := strings.Cut(tt.name, ".")
			want := map[string]string{
				"json": "application/json; charset=utf-8", "html": "text/html; charset=utf-8", "txt": "text/plain; charset=utf-8",
				"csv": "text/csv; charset=utf-8; header=present", "ndjson": "application/x-ndjson; charset=utf-8",
			}[suffix]
			assert.Equal(t, want, w.Header().Get("Content-Type"), "Content-Type")
			golden.Check(t, "testdata/"+tt.name, staticHash.ReplaceAll(w.Body.Bytes(), []byte("/static/$1.HASH.$2")))
		})
	}
}

// list is a response with failures.
type list struct {
	Status string
	Data   struct {
		Failures   []record.Record
		NextCursor string `json:"next_cursor"`
	}
}

// failures returns the failures of a response.
func failures(t *testing.T, w *httptest.ResponseRecorder) list {
	t.Helper()
	var a list
	require.NoError(t, json.Unmarshal(w.Body.Bytes(), &a))
	require.Equal(t, "success", a.Status, "answered %s", w.Body)
	return a
}

func TestFrom(t *testing.T) {
	j := journal.New(10)
	for i, ago := range []time.Duration{2 * time.Hour, 10 * time.Minute, 0} {
		j.Add(&record.Record{ID: fmt.Sprintf("%015d", i), Code: ago.String(), Time: now.Add(-ago)})
	}
	h := handler(func(o *web.Options) { o.Journal = j })
	hourAgo := now.Add(-time.Hour)
	for _, tt := range []struct {
		query string
		want  int
	}{
		{"from=15m", 2},
		{"from=24h", 3},
		{"from=" + hourAgo.Format(time.RFC3339), 2},
		{"from=" + url.QueryEscape(hourAgo.In(time.FixedZone("", 8*60*60)).Format(time.RFC3339Nano)), 2},
		{"from=0", 3},
		{"from=1.5", 3},
		{"from=9999999999", 0},
		{"to=15m", 1},
		{"from=3h&to=1h", 1},
		{"from=15m&to=5m", 1},
	} {
		got := failures(t, ask(h, http.MethodGet, "/api/v1/failures?"+tt.query)).Data.Failures
		assert.Len(t, got, tt.want, "%s: %d failures, want %d", tt.query, len(got), tt.want)
	}
}

func TestBadParameters(t *testing.T) {
	h := handler(nil)
	for _, target := range []string{
		"failures?limit=1001", "failures?limit=-1", "failures?limit=x", "failures?limit=1&limit=2", "failures?limit=99999999999999999999",
		"failures?from=-5m", "failures?from=NaN", "failures?from=Inf", "failures?to=1e300", "failures?from=2026-13-01T00:00:00Z", "failures?from=1h&to=2h",
		"failures?request_id=a%20b", "failures?request_id=" + strings.Repeat("x", classify.MaxRequestID+1), "failures?request_id=%00",
		"failures?request_id=%E9%87%91", "failures?unknown=1", "failures?by=code",
		"failures?id=UPPER", "failures?id=" + strings.Repeat("0", 16), "failures?cursor=0", "failures?cursor=" + signatureID, "failures?format=xml",
		"failures?status=4xx", "failures?status=0", "failures?category=authn", "failures?source=fwd", "failures?outcome=failed", "failures?fault=x",
		"failures?text=" + strings.Repeat("x", 257), "failures?code=" + strings.Repeat("x", 257), "failures?" + strings.Repeat("code=x&", 33),
		"failures/" + signatureID + "?limit=1", "failures/" + signatureID + "/ticket?lang=EN", "failures/%00",
		"groups?limit=1", "groups/x?limit=1",
		"activity?by=code,action,region", "activity?by=code,code", "activity?by=text", "activity?step=1s", "activity?step=90s", "activity?step=25h",
		"activity?from=2027-01-01T00:00:00Z", "activity?from=2020-01-01T00:00:00Z&step=1m", "activity?cursor=000000000000000",
		"events?limit=1", "status/config?x=1", "failures?status=0403", "failures?status=%2B403",
		"failures?blame=provider;limit=1", "failures?%zz=1", "failures?limit=1&code=%", "events?blame=quota;x=1", "groups?;",
		"failures?text=%FF", "failures?action=a%FE", "activity?code=%C3",
	} {
		w := ask(h, http.MethodGet, "/api/v1/"+target)
		var a struct{ Status, ErrorType, Error string }
		err := json.Unmarshal(w.Body.Bytes(), &a)
		require.NoError(t, err, "%s: %v in %s", target, err, w.Body)
		if w.Code != 400 || a.Status != "error" || a.ErrorType != "bad_data" || a.Error == "" {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// TestSuggestions checks that an error suggests the name that was probably
// meant.
func TestSuggestions(t *testing.T) {
	h := handler(nil)
	for _, tt := range []struct{ target, want string }{
		{"failures?codes=x", `unknown parameter "codes": did you mean "code"?`},
		{"failures?http_status=403", `unknown parameter "http_status": known are id, request_id,`},
		{"failures?categry=auth", `did you mean "category"?`},
		{"failures?category=Throtled", `unknown value of category "Throtled": did you mean "throttled"?`},
		{"failures?blame=xyz", `known are client, credential, quota, provider, network, tap, none`},
		{"activity?by=regoin", `unknown dimension "regoin": did you mean "region"?`},
		{"groups?limit=1", `unknown parameter "limit": there are none here`},
		{"failures?blame=provider;limit=1", `invalid query string: write % as %25 and ; as %3B`},
		{"failures?format=jsn", `did you mean "json"?`},
	} {
		var a struct{ Error string }
		require.NoError(t, json.Unmarshal(ask(h, http.MethodGet, "/api/v1/"+tt.target).Body.Bytes(), &a))
		assert.Contains(t, a.Error, tt.want, tt.target)
	}
}

// TestPaging reads all failures in small pages, by cursor and by the Link field.
func TestPaging(t *testing.T) {
	h := handler(nil)
	var want, byCursor, byLink []string
	for _, r := range failures(t, ask(h, http.MethodGet, "/api/v1/failures")).Data.Failures {
		want = append(want, r.ID)
	}
	for cursor := ""; ; {
		page := failures(t, ask(h, http.MethodGet, "/api/v1/failures?limit=2&cursor="+cursor))
		for _, r := range page.Data.Failures {
			byCursor = append(byCursor, r.ID)
		}
		if cursor = page.Data.NextCursor; cursor == "" {
			break
		}
	}
	for target := "/api/v1/failures?limit=3&text=k"; target != ""; {
		w := ask(h, http.MethodGet, target)
		for _, r := range failures(t, w).Data.Failures {
			byLink = append(byLink, r.ID)
		}
		link := w.Header().Get("Link")
		target = ""
		if link != "" {
			target, _, _ = strings.Cut(strings.TrimPrefix(link, "<"), ">")
		}
	}
	if len(want) < 8 || !slices.Equal(byCursor, want) || !slices.Equal(byLink, want) {
		t.Errorf("by cursor %q\nby link %q\nwant %q", byCursor, byLink, want)
	}
}

// TestFormats checks that the format is selected by the Accept field, too, and that
// all formats have the same failures.
func TestFormats(t *testing.T) {
	h := handler(nil)
	accept := func(accept string) *httptest.ResponseRecorder {
		r := httptest.NewRequest(http.MethodGet, "/api/v1/failures", http.NoBody)
		r.Host = "localhost"
		r.Header.Set("Accept", accept)
		w := httptest.NewRecorder()
		h.ServeHTTP(w, r)
		return w
	}
	for _, tt := range []struct{ accept, want string }{
		{"", "application/json"},
		{"*/*", "application/json"},
		{"application/x-ndjson", "application/x-ndjson"},
		{"text/html, text/csv;q=0.5", "text/csv"},
		{"application/json, text/csv", "application/json"},
	} {
		got := accept(tt.accept).Header().Get("Content-Type")
		assert.True(t, strings.HasPrefix(got, tt.want+";"), "%q: %q, want %q", tt.accept, got, tt.want)
	}
	all := failures(t, accept("")).Data.Failures
	lines := strings.Split(strings.TrimSpace(accept("application/x-ndjson").Body.String()), "\n")
	rows, err := csv.NewReader(accept("text/csv").Body).ReadAll()
	if err != nil || len(lines) != len(all) || len(rows) != len(all)+1 {
		t.Fatalf("%d failures, %d lines, %d rows, %v", len(all), len(lines), len(rows), err)
	}
	flat := []string{"cause", "advice", "retry", "duration_seconds"} // of another form or format in JSON
	for i, r := range all {
		var fromLine map[string]any
		require.NoError(t, json.Unmarshal([]byte(lines[i]), &fromLine))
		if fromLine["id"] != r.ID {
			t.Errorf("line %d is of %v, want %s", i, fromLine["id"], r.ID)
		}
		for k, name := range rows[0] {
			want, ok := fromLine[name]
			if !ok {
				want = ""
			}
			if got := rows[i+1][k]; !slices.Contains(flat, name) && got != fmt.Sprint(want) {
				t.Errorf("row %d has %s %q, the line %v", i, name, got, want)
			}
		}
	}
}

// TestFormulas checks that a CSV file has no formulas.
func TestFormulas(t *testing.T) {
	j := journal.New(1)
	j.Add(&record.Record{ID: "000000000000000", Message: `=HYPERLINK("https://evil.example")`, Action: "@SUM(1)"})
	w := ask(handler(func(o *web.Options) { o.Journal = j }), http.MethodGet, "/api/v1/failures?format=csv")
	rows, err := csv.NewReader(w.Body).ReadAll()
	require.NoError(t, err)
	require.Len(t, rows, 2)
	for _, cell := range rows[1] {
		if strings.HasPrefix(cell, "=") || strings.HasPrefix(cell, "@") {
			t.Errorf("the cell %q is a formula", cell)
		}
	}
}

// TestTicketCitesNoForeignID checks that only an ID of the vendor's is in a ticket.
func TestTicketCitesNoForeignID(t *testing.T) {
	h := handler(nil)
	for _, id := range []string{tapID, programID} {
		for _, lang := range []string{"en", "zh"} {
			got := ask(h, http.MethodGet, "/api/v1/failures/"+id+"/ticket?lang="+lang).Body.String()
			assert.NotContains(t, got, id, "%s cites the ID", lang)
			if !strings.Contains(got, "2026-11-23T08:00:00Z") || !strings.Contains(got, "127.0.0.1:41000") {
				t.Errorf("%s has no time or no address:\n%s", lang, got)
			}
		}
		page := ask(h, http.MethodGet, "/failures/"+id)
		assert.Equal(t, 200, page.Code, "the page of %s", id)
		found := failures(t, ask(h, http.MethodGet, "/api/v1/failures?request_id="+id[:12])).Data.Failures
		assert.Len(t, found, 1, "%s: found %d by the beginning of the ID", id, len(found))
	}
}

// FuzzAPI sends any query; every response must be JSON, NDJSON or CSV, and none a 5xx.
func FuzzAPI(f *testing.F) {
	for _, q := range []string{
		"", "limit=3", "from=15m&code=x", "request_id=%3C", "a=b;c", "%zz", "from=1e999", "limit=%00", "id=1m4", "cursor=1m4q7t9k008x7f2",
		"by=code,action&step=5m", "by=client&from=23h&limit=1", "from=0&to=1", "from=9999999999", "status=403&status=none", "text=%E9%87%91",
	} {
		f.Add(q)
	}
	h := handler(nil)
	f.Fuzz(func(t *testing.T, query string) {
		for _, path := range []string{"/api/v1/failures", "/api/v1/activity", "/api/v1/groups", "/api/v1/failures/" + tapID + "/ticket"} {
			r := httptest.NewRequest(http.MethodGet, path, http.NoBody)
			r.Host = "localhost"
			r.URL.RawQuery = query
			w := recordResponse(h, r)
			isJSON := strings.HasPrefix(w.Header().Get("Content-Type"), "application/json")
			if w.Code >= 500 || isJSON && !json.Valid(w.Body.Bytes()) || w.Code != http.StatusOK && !isJSON {
				t.Fatalf("%s?%q: %d %s", path, query, w.Code, w.Body)
			}
		}
	})
}
