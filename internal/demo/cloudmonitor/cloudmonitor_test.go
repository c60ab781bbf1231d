package cloudmonitor

import (
	"encoding/json"
	"encoding/xml"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
)

var (
	good    = Credential{AccessKey: "AKLTgood", SecretKey: "sk-good"}
	denied  = Credential{AccessKey: "AKLTdenied", SecretKey: "sk-denied", Denied: []string{"*"}}
	foreign = Credential{AccessKey: "AKLTforeign", SecretKey: "sk-foreign", Foreign: true}
	session = Credential{AccessKey: "AKLTsession", SecretKey: "sk-session", Token: "tok-session"}
	expired = Credential{AccessKey: "AKLTexpired", SecretKey: "sk-expired", TokenExpired: true}
)

func newTraffic(t *testing.T, limits bool) *Traffic {
	t.Helper()
	srv := httptest.NewServer(New(Config{
		Credentials: []Credential{good, denied, foreign, session, expired},
		Errors:      []Error{{Status: 400, Code: "InvalidQueryParameter", Message: "The query parameter is malformed"}},
		Limits:      limits,
	}))
	t.Cleanup(srv.Close)
	proxy, err := url.Parse(srv.URL)
	require.NoError(t, err)
	transport := &http.Transport{Proxy: http.ProxyURL(proxy)}
	t.Cleanup(transport.CloseIdleConnections)
	return &Traffic{
		Client: &http.Client{Transport: transport}, Host: "monitor.api.ksyun.com",
		Good: good, Denied: denied, Foreign: foreign, Codes: []string{"InvalidQueryParameter", "NeverHeardOf"},
	}
}

// TestTraffic checks that every kind of bad call gets the response it is for.
func TestTraffic(t *testing.T) {
	tr := newTraffic(t, false)
	want := map[string]int{
		"unsigned": 403, "wrong secret key": 403, "unknown access key": 403, "clock off": 403,
		"clock off, simple signature": 400, "unknown access key, simple signature": 400,
		"no policy": 403, "somebody else's resource": 403, "no such action": 400, "parameter missing": 400,
		"period 0": 400, "no such namespace": 400, "no such metric": 404, "short instance id": 400,
		"dry run": 412, "error in 200": 200, "error as a string in 200": 200, "throttled in XML": 409, "load balancer": 502,
		"gateway time-out": 504, "code nobody knows": 418, "error without text": 503,
		"reset": 0, "closed": 0, "truncated": 200, "given up": 0, "partial batch": 200, "batch too large": 400,
		"InvalidQueryParameter": 400, "NeverHeardOf": 400,
	}
	calls := tr.Bad()
	assert.Len(t, calls, len(want), "kinds of bad calls")
	for _, c := range calls {
		assert.Equal(t, want[c.Name], tr.Send(t.Context(), c), "%s: status", c.Name)
	}
	for range 50 {
		if c := tr.good(); tr.Send(t.Context(), c) != http.StatusOK {
			t.Errorf("%s %s signed %q: not answered with 200", c.Action, c.Version, c.Sign)
		}
	}
}

func do(t *testing.T, tr *Traffic, c CallSpec) (*http.Response, []byte) {
	t.Helper()
	r, err := tr.request(t.Context(), c)
	require.NoError(t, err)
	res, err := tr.Client.Do(r)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res, body
}

func TestSessionTokens(t *testing.T) {
	tr := newTraffic(t, false)
	without := session
	without.Token = ""
	f := func(name string, c Credential, sign, want string) {
		t.Helper()
		call := CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: c, Sign: sign}
		_, body := do(t, tr, call)
		assert.Contains(t, string(body), want, "%s: got %s, want %s in it", name, body, want)
	}
	for _, sign := range []string{"v4", "presigned", "simple"} {
		f("token sent", session, sign, "listMetricsResult")
		f("token missing", without, sign, "InvalidClientTokenId")
		f("token expired", expired, sign, "SecurityTokenExpired")
	}
}

func TestTamperedRequestsAreRefused(t *testing.T) {
	tr := newTraffic(t, false)
	f := func(name string, tamper func(*http.Request)) {
		t.Helper()
		r, err := tr.request(t.Context(), CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good})
		require.NoError(t, err)
		tamper(r)
		res, err := tr.Client.Do(r)
		require.NoError(t, err)
		body, _ := io.ReadAll(res.Body)
		_ = res.Body.Close()
		if res.StatusCode != http.StatusForbidden || !strings.Contains(string(body), "SignatureDoesNotMatch") {
			t.Errorf("%s: got %d %s, want 403 SignatureDoesNotMatch", name, res.StatusCode, body)
		}
	}
	f("query", func(r *http.Request) { r.URL.RawQuery += "&Namespace=KEC" })
	f("path", func(r *http.Request) { r.URL.Path = "/v4/" })
	f("signed field", func(r *http.Request) { r.Header.Set("Accept", "*/*") })
	f("host", func(r *http.Request) { r.Host = "monitor.cn-beijing-6.api.ksyun.com" })
	f("method", func(r *http.Request) { r.Method = http.MethodDelete })
	f("service of another host", func(r *http.Request) { r.Host = "kec.api.ksyun.com" })
}

func TestResponsesByAccept(t *testing.T) {
	tr := newTraffic(t, false)
	call := CallSpec{Action: "GetMetricStatistics", Version: "2010-05-25", Params: span(10 * time.Minute), As: good}
	res, body := do(t, tr, call)
	var doc struct {
		Result struct {
			Datapoints struct{ Member []struct{ Average string } }
		} `json:"getMetricStatisticsResult"`
		Meta struct{ RequestID string } `json:"responseMetadata"`
	}
	if err := json.Unmarshal(body, &doc); err != nil || len(doc.Result.Datapoints.Member) < 8 {
		t.Errorf("JSON: %v in %s", err, body)
	}
	if id := res.Header.Get("X-Ksc-Request-Id"); id == "" || id != doc.Meta.RequestID {
		t.Errorf("request ID: %q in the field, %q in the body", id, doc.Meta.RequestID)
	}
	call.Accept = "*/*"
	if _, body = do(t, tr, call); xml.Unmarshal(body, new(struct {
		XMLName xml.Name `xml:"https://ksyun.kingeyes.com/ GetMetricStatisticsResponse"`
	})) != nil {
		t.Errorf("XML: %s", body)
	}
}

func TestEveryShape(t *testing.T) {
	tr := newTraffic(t, false)
	for _, shape := range Shapes() {
		res, body := do(t, tr, CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good, Do: Directive{Error: "LimitExceeded", Shape: shape}})
		assert.Equal(t, http.StatusConflict, res.StatusCode, "%s: status %d, want 409", shape, res.StatusCode)
		named := strings.Contains(string(body), "LimitExceeded") || res.Header.Get("X-Ksc-Errortype") == "LimitExceeded"
		nameless := shape == "numeric" || shape == "string" || shape == "html" || shape == "empty"
		assert.NotEqual(t, nameless, named, "%s: %s", shape, body)
	}
}

func TestLimits(t *testing.T) {
	tr := newTraffic(t, true)
	call := CallSpec{Method: http.MethodPost, Action: "GetMetricStatisticsBatch", Version: "2018-11-14", Body: batch(1), As: good}
	last := 0
	for range 2 * 181 { // the minute may turn once meanwhile
		if last = tr.Send(t.Context(), call); last != http.StatusOK {
			break
		}
	}
	assert.Equal(t, http.StatusConflict, last, "last status %d, want 409", last)
}

func TestCodings(t *testing.T) {
	tr := newTraffic(t, false)
	for _, coding := range []string{"gzip", "deflate"} {
		res, body := do(t, tr, CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good, Do: Directive{Encoding: coding}})
		// The client decompresses gzip and reports that.
		coded := res.Header.Get("Content-Encoding") == coding
		assert.NotEqual(t, json.Valid(body), coded, "%s: coded %v, body %q", coding, coded, body)
	}
}
