package diagnosis

import (
	"encoding/json"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// headings matches the headings of a page.
var headings = regexp.MustCompile(`(?m)^#+ (.*)$`)

// checkRunbook checks that a URL leads to an existing page and heading of docs.
func checkRunbook(t *testing.T, of, url string) {
	t.Helper()
	name, ok := strings.CutPrefix(url, documents)
	if !ok {
		t.Errorf("%s: runbook %q", of, url)
		return
	}
	file, anchor, _ := strings.Cut(name, "#")
	page, err := os.ReadFile(filepath.Join("../../docs", file))
	if err != nil {
		t.Errorf("%s: runbook %q: %v", of, url, err)
		return
	}
	if anchor == "" {
		return
	}
	for _, h := range headings.FindAllStringSubmatch(string(page), -1) {
		if strings.NewReplacer(" ", "-", ",", "").Replace(strings.ToLower(h[1])) == anchor {
			return
		}
	}
	t.Errorf("%s: runbook %q leads to no heading", of, url)
}

// han matches Chinese text.
var han = regexp.MustCompile(`\p{Han}`)

// checkText checks that a text exists in both languages and is a sentence.
func checkText(t *testing.T, of string, text Text) {
	t.Helper()
	if !strings.HasSuffix(text.English, ".") || han.MatchString(text.English) {
		t.Errorf("%s: English text %q", of, text.English)
	}
	if !strings.HasSuffix(text.Chinese, "。") || !han.MatchString(text.Chinese) {
		t.Errorf("%s: Chinese text %q", of, text.Chinese)
	}
}

// checkAdvice checks the parts of advice.
func checkAdvice(t *testing.T, of string, a Advice) {
	t.Helper()
	checkText(t, of, a.Do)
	checkText(t, of+": with the retry", a.Text())
	assert.Contains(t, Retries(), a.Retry, "%s: retry", of)
	if pauses := a.Retry == RetryBackoff || a.Retry == RetryWindow || a.Retry == RetryCheck; pauses != (a.Pause > 0) || a.MaxPause < a.Pause {
		t.Errorf("%s: retry %s with pauses of %d to %d s", of, a.Retry, a.Pause, a.MaxPause)
	}
	checkRunbook(t, of, a.Runbook)
}

// TestAdviceIsComplete checks that every category, outcome, entry of the catalogue
// (which includes every fault) and cause has advice in both languages, a statement
// on retries, and a page to read.
func TestAdviceIsComplete(t *testing.T) {
	for _, c := range classify.Categories() {
		summary, a := ForCategory(c)
		checkText(t, string(c), summary)
		checkAdvice(t, string(c), a)
	}
	for _, o := range []classify.Outcome{classify.OutcomeMasked, classify.OutcomePartial, classify.OutcomeDryRun} {
		summary, a, ok := ForOutcome(o)
		assert.True(t, ok, "%s: no advice", o)
		checkText(t, string(o), summary)
		checkAdvice(t, string(o), a)
	}
	for _, e := range classify.DefaultCatalog().Entries() {
		checkText(t, e.Code, e.Meaning)
		checkAdvice(t, e.Code, ForEntry(e))
	}
	for _, d := range Causes() {
		checkText(t, string(d.Cause), d.Summary)
		checkAdvice(t, string(d.Cause), d.Advice)
		if d.Blame == "" || d.Evidence.English == "" || !han.MatchString(d.Evidence.Chinese) {
			t.Errorf("%s: blame %q, evidence %v", d.Cause, d.Blame, d.Evidence)
		}
	}
	for _, r := range Retries() {
		checkText(t, string(r), r.Text())
	}
	assert.NotZero(t, len(advices().faults)+len(advices().outcomes), "no general advice")
	assert.False(t, ForEntry(&classify.Entry{Category: classify.CategoryAuth}).IsZero(), "no general advice")
}

// TestForAttempt checks what is advised about retries and where more is read.
func TestForAttempt(t *testing.T) {
	answered := func(action string, status int, body string) *classify.Observation {
		o := &classify.Observation{Call: classify.Call{Action: action}, Method: "GET"}
		o.Verdict = classifier.Response(&o.Call, &classify.Response{Status: status, Body: []byte(body)})
		return o
	}
	broken := func(action, method string, f classify.Fault) *classify.Observation {
		return &classify.Observation{Call: classify.Call{Action: action}, Method: method, Fault: f, Verdict: classifier.Fault(f, 0)}
	}
	code := func(c string) string { return `{"Error":{"Code":"` + c + `","Message":"m"}}` }
	const html = "<html><body>Bad Gateway</body></html>"
	tests := []struct {
		name    string
		o       *classify.Observation
		retry   Retry
		runbook string
	}{
		{"throttled", answered("GetMetricStatistics", 409, code("LimitExceeded")), RetryWindow, "KsyunApiThrottled"},
		{"throttled write", answered("PutMetricData", 409, code("LimitExceeded")), RetryWindow, "KsyunApiThrottled"},
		{"quota of resources", answered("CreateAlarmPolicy", 409, `{"Error":{"Code":"LimitExceeded","Message":"quota"}}`), RetryNever, "KsyunApiBadRequests"},
		{"signature", answered("GetMetricStatistics", 403, code("SignatureDoesNotMatch")), RetryNever, "KsyunApiAuthFailing"},
		{"clock", answered("GetMetricStatistics", 400, code("InvalidTimestamp")), RetryNever, "KsyunApiClockSkew"},
		{"permission", answered("ListMetrics", 403, code("InvalidAuthenticationCode")), RetryNever, "KsyunApiPermissionDenied"},
		{"server, read", answered("ListMetrics", 500, code("ServiceFailure")), RetryBackoff, "KsyunApiOutage"},
		{"server, write", answered("CreateAlarmPolicy", 500, code("ServiceFailure")), RetryCheck, "KsyunApiOutage"},
		{"unknown code", answered("ListMetrics", 400, code("Brandnew")), RetryNever, "KsyunApiUnknownCodes"},
		{"masked", answered("ListMetrics", 200, html), RetryBackoff, "KsyunApiMaskedErrors"},
		{"masked, known code", answered("ListMetrics", 200, code("SignatureDoesNotMatch")), RetryNever, "KsyunApiMaskedErrors"},
		{"partial", answered("GetMetricStatisticsBatch", 200, `{"errorMessage":["a"]}`), RetryBackoff, "KsyunApiPartialFailures"},
		{"dry run", answered("PutMetricData", 412, code("DryRunOperation")), RetryUnneeded, "dryrunoperation"},
		{"success", answered("ListMetrics", 200, `{"data":[]}`), "", ""},
		{"reset, read", broken("ListMetrics", "GET", classify.FaultReset), RetryBackoff, "KsyunApiOutage"},
		{"reset, write", broken("AddAlarmReceives", "POST", classify.FaultReset), RetryCheck, "KsyunApiOutage"},
		{"reset, unknown action", broken("", "POST", classify.FaultReset), RetryCheck, "KsyunApiOutage"},
		{"reset, unknown action by GET", broken("", "GET", classify.FaultReset), RetryBackoff, "KsyunApiOutage"},
		{"never sent, write", broken("AddAlarmReceives", "POST", classify.FaultDNS), RetryBackoff, "KsyunApiOutage"},
		{"refused", broken("", "POST", classify.FaultHostRefused), RetryNever, "ways-in.md"},
		{"loop", broken("", "GET", classify.FaultLoop), RetryNever, "KsyunTapRedirectLoop"},
		{"exhausted, of a write", broken("", "POST", classify.FaultExhausted), RetryBackoff, "KsyunTapAtLimit"},
		{"head too long, of a write", broken("AddAlarmReceives", "POST", classify.FaultHeadTooLong), RetryUnneeded, "design.md"},
		{"canceled", broken("ListMetrics", "GET", classify.FaultCanceled), "", ""},
	}
	for _, tt := range tests {
		a := ForAttempt(tt.o)
		if a.Retry != tt.retry || !strings.Contains(a.Runbook, tt.runbook) || a.IsZero() != (tt.retry == "") {
			t.Errorf("%s: %s %+v, want retry %s and %s", tt.name, tt.o.Verdict.Category, a, tt.retry, tt.runbook)
		}
	}
}

// TestUsersEntries checks advice for entries of a user's file, which may have one
// language or no advice.
func TestUsersEntries(t *testing.T) {
	c, err := classify.DefaultCatalog().Extend("mine.yaml", []byte(`
entries:
  - {code: Mine, category: server, retryable: true, advice: Ask Ann.}
  - {code: Ours, category: auth, meaning: {en: Ours failed., zh: 我们的调用失败。}}
`))
	require.NoError(t, err)
	mine, _ := c.Lookup("Mine")
	ours, _ := c.Lookup("Ours")
	if a := ForEntry(mine); a.Do != (Text{English: "Ask Ann.", Chinese: "Ask Ann."}) || a.Retry != RetryBackoff {
		t.Errorf("%+v", a)
	}
	_, general := ForCategory(classify.CategoryAuth)
	if a := ForEntry(ours); a != general || ours.Meaning.Chinese != "我们的调用失败。" {
		t.Errorf("%+v, %+v", a, ours.Meaning)
	}
}

// TestAdviceJSON holds the form of the API.
func TestAdviceJSON(t *testing.T) {
	e, _ := classify.DefaultCatalog().Lookup("Status503")
	got, err := json.Marshal(ForEntry(e))
	require.NoError(t, err)
	const want = `{"do":{"en":"Retry with increasing delays.","zh":"请以递增的间隔重试。"},"retry":"backoff","pause_seconds":1,"max_pause_seconds":60,"runbook":"https://github.com/ksyun-tap/ksyun-tap/blob/main/docs/runbooks/KsyunApiOutage.md"}`
	assert.JSONEq(t, want, string(got))
}
