package web_test

import (
	"compress/gzip"
	"fmt"
	"html"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/internal/attempt"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
)

// browse asks for a page as a browser does.
func browse(h http.Handler, target string, fields ...string) *httptest.ResponseRecorder {
	r := httptest.NewRequest(http.MethodGet, target, http.NoBody)
	r.Host = "localhost:18180"
	r.Header.Set("Accept", "text/html,*/*;q=0.8")
	for i := 0; i < len(fields); i += 2 {
		r.Header.Set(fields[i], fields[i+1])
	}
	return recordResponse(h, r)
}

// TestTextsAreComplete checks that every text is in both languages with the same
// arguments, is used, and that all used keys exist.
func TestTextsAreComplete(t *testing.T) {
	file, err := os.ReadFile("assets/texts.yaml")
	require.NoError(t, err)
	var texts map[string]classify.Text
	require.NoError(t, yaml.Unmarshal(file, &texts))
	verb := regexp.MustCompile(`%\[\d+\][a-z]`)
	arguments := func(text string) []string {
		return slices.Sorted(slices.Values(verb.FindAllString(text, -1)))
	}
	for key, text := range texts {
		if text.English == "" || text.Chinese == "" {
			t.Errorf("%s is missing in a language: %+v", key, text)
		}
		en, zh := arguments(text.English), arguments(text.Chinese)
		assert.Equal(t, zh, en, "%s has the arguments %v in English and %v in Chinese", key, en, zh)
		many := arguments(texts[strings.TrimSuffix(key, ".one")].English)
		assert.Equal(t, many, en, "%s has the arguments %v, and %v for other numbers", key, en, many)
	}
	used := map[string]bool{}
	kinds := map[string]bool{}
	for _, name := range []string{"assets/pages/frame.html", "assets/pages/overview.html", "assets/pages/failure.html", "assets/pages/programs.html", "assets/pages/catalogue.html", "assets/pages/tap.html", "assets/pages/notfound.html"} {
		page, err := os.ReadFile(name)
		require.NoError(t, err)
		for _, m := range regexp.MustCompile(`\bt "([^"]+)"`).FindAllStringSubmatch(string(page), -1) {
			used[m[1]] = true
		}
		for _, m := range regexp.MustCompile(`\bword "([^"]+)"`).FindAllStringSubmatch(string(page), -1) {
			kinds[m[1]] = true
		}
	}
	for key := range used {
		_, ok := texts[key]
		assert.True(t, ok, "the pages use %q, which is not in texts.yaml", key)
	}
	for _, kind := range []string{"theme", "zone", "view", "mark", "page", "per", "ticket"} { // used by Go
		kinds[kind] = true
	}
	for key := range texts {
		if kind, _, _ := strings.Cut(key, "."); !used[strings.TrimSuffix(key, ".one")] && !kinds[kind] {
			t.Errorf("%q is not used", key)
		}
	}
	for kind, values := range map[string][]string{
		"blame": words(classify.Blames()), "whose": words(classify.Blames()), "category": words(classify.Categories()),
	} {
		for _, v := range values {
			_, ok := texts[kind+"."+v]
			assert.True(t, ok, "no text %s.%s", kind, v)
		}
	}
}

func words[T ~string](values []T) (all []string) {
	for _, v := range values {
		all = append(all, string(v))
	}
	return all
}

// TestChineseIsComplete checks that no English text of texts.yaml is left on the
// Chinese pages.
func TestChineseIsComplete(t *testing.T) {
	h := handler(nil)
	tag := regexp.MustCompile(`<[^>]*>`)
	for _, target := range []string{"/", "/?view=list", "/programs", "/tap", "/nowhere", "/catalogue"} {
		text := tag.ReplaceAllString(browse(h, target, "Accept-Language", "zh-CN,zh;q=0.9,en;q=0.5").Body.String(), "\n")
		for _, english := range []string{"What to do", "Failures", "Search", "Whose fault", "Latest failure", "ago", "Settings", "Documentation", "client", "Provider"} {
			for line := range strings.Lines(text) {
				assert.NotEqual(t, english, strings.TrimSpace(line), "%s: %q is not translated", target, english)
			}
		}
	}
}

func TestLanguage(t *testing.T) {
	h := handler(nil)
	for _, tt := range []struct {
		target, accept, cookie, want string
	}{
		{"/", "", "", "en"},
		{"/", "zh-CN,zh;q=0.9,en;q=0.8", "", "zh-CN"},
		{"/", "fr, en;q=0.8, zh;q=0.7", "", "en"},
		{"/", "fr, zh;q=0.8, en;q=0.7", "", "zh-CN"},
		{"/", "zh", "ksyun-tap-lang=en", "en"},
		{"/?lang=zh", "en", "ksyun-tap-lang=en", "zh-CN"},
		{"/?lang=fr", "en", "", "en"},
		{"/nowhere?lang=zh", "", "", "zh-CN"},
	} {
		w := browse(h, tt.target, "Accept-Language", tt.accept, "Cookie", tt.cookie)
		assert.Contains(t, w.Body.String(), `<html lang="`+tt.want+`"`, "%+v: %.200s", tt, w.Body)
	}
	cookies := browse(h, "/?lang=zh&theme=dark&tz=local").Result().Cookies()
	assert.Len(t, cookies, 3)
}

// TestFiltersSurviveEachOther follows the links of a filtered page.
func TestFiltersSurviveEachOther(t *testing.T) {
	h := handler(nil)
	body := browse(h, "/?action=GetMetricStatistics&blame=quota&from=24h&text=slow&cursor=000000000000000").Body.String()
	for _, want := range []string{
		`href="/?action=GetMetricStatistics&amp;blame=quota&amp;from=15m&amp;text=slow"`,                // another range
		`href="/?action=GetMetricStatistics&amp;from=24h&amp;text=slow"`,                                // the chip again
		`href="/?action=GetMetricStatistics&amp;blame=provider&amp;from=24h&amp;text=slow"`,             // another chip
		`href="/?blame=quota&amp;from=24h&amp;text=slow" aria-label="Remove filter action = GetMetric`,  // removed
		`href="/?action=GetMetricStatistics&amp;blame=quota&amp;from=24h&amp;text=slow&amp;view=list"`,  // the list
		`href="/?action=GetMetricStatistics&amp;blame=quota&amp;from=24h&amp;text=slow&amp;theme=dark"`, // a preference
		`<input type="hidden" name="action" value="GetMetricStatistics">`,                               // another search
		`href="/api/v1/failures?action=GetMetricStatistics&amp;blame=quota&amp;from=24h&amp;text=slow"`, // export
	} {
		assert.Contains(t, body, want)
	}
}

// TestSearchOfAnID leads to the page of the failure.
func TestSearchOfAnID(t *testing.T) {
	h := handler(nil)
	w := browse(h, "/?text="+signatureID)
	if w.Code != http.StatusSeeOther || w.Header().Get("Location") != "/failures/"+signatureID {
		t.Errorf("%d %s", w.Code, w.Header())
	}
}

// TestBanner checks the states of the banner.
func TestBanner(t *testing.T) {
	empty := func(o *web.Options) {
		o.Journal, o.Groups, o.Activity, o.Proxy = journal.New(1), groups.New(0), new(activity.Activity), "http://127.0.0.1:28181"
	}
	if body := browse(handler(empty), "/").Body.String(); !strings.Contains(body, "No calls seen yet") || !strings.Contains(body, "export http_proxy=http://127.0.0.1:28181") {
		t.Errorf("without calls: %s", body)
	}
	later := func(o *web.Options) { o.Now = func() time.Time { return now.Add(20 * time.Minute) } }
	if body := browse(handler(later), "/").Body.String(); !strings.Contains(body, "No calls are failing") || !strings.Contains(body, "The last failure was 20 min ago") {
		t.Errorf("without recent failures: %s", body)
	}
	body := browse(handler(nil), "/").Body.String()
	for _, answer := range []string{"what", "why", "whose", "since", "do"} {
		assert.Contains(t, body, `data-answer="`+answer+`"`, "the banner does not answer %q", answer)
	}
}

// failing returns a handler with failures of codes, so many seconds ago.
func failing(ago map[string][]int) http.Handler {
	return handler(func(o *web.Options) {
		o.Journal, o.Groups, o.Activity = journal.New(100), groups.New(0), new(activity.Activity)
		var all []*record.Record
		for code, seconds := range ago {
			for i, s := range seconds {
				all = append(all, &record.Record{
					Time: now.Add(-time.Duration(s) * time.Second), Outcome: classify.OutcomeError, Status: 500, Code: code, Blame: classify.BlameProvider,
					Action: []string{"GetMetricStatistics", "ListMetrics", "ListAlarmPolicy"}[i%3], ID: fmt.Sprintf("1m4q7t9k%03dx7f2", 300-s),
				})
			}
		}
		slices.SortFunc(all, func(a, b *record.Record) int { return a.Time.Compare(b.Time) })
		for _, r := range all {
			o.Activity.Observe(&classify.Observation{End: r.Time, Verdict: classify.Verdict{Outcome: r.Outcome, Blame: r.Blame}})
			o.Groups.Add(r)
			o.Journal.Add(r)
		}
	})
}

// TestBannerOfKinds checks that the banner sums up equal failures of all actions, and
// prefers what goes on to what was more frequent and has ended.
func TestBannerOfKinds(t *testing.T) {
	h := failing(map[string][]int{"Ended": {200, 199, 198, 197, 196, 195, 194, 193, 192}, "GoesOn": {10, 9, 8}, "Single": {20}})
	body := browse(h, "/").Body.String()
	_, body, _ = strings.Cut(body, `data-answer="what"`)
	what, body, _ := strings.Cut(body, "</dd>")
	for _, want := range []string{"GoesOn</a> on 3 actions", "3 failures", "2 other kinds"} {
		assert.Contains(t, what, want)
	}
	assert.Contains(t, body, `href="/failures/1m4q7t9k292x7f2"`, "no link to the newest failure of the kind")
	for _, ago := range []map[string][]int{
		{"GoesOn": {62, 41, 21, 2}, "Ended": {44, 43, 42, 40, 39, 38}},                        // a burst that ended in this minute
		{"GoesOn": {62, 61, 2, 1}, "Ended": {105, 104, 103, 102}},                             // in the one before
		{"GoesOn": {290, 289, 230, 229, 170, 169, 110, 109, 50, 49}, "Seldom": {290, 160, 3}}, // bursts once a minute
		{"GoesOn": {9, 8, 7}, "Seldom": {150, 3}},                                             // both go on
		{"GoesOn": {100, 90, 80}, "Single": {60}},                                             // none does
	} {
		if body := browse(failing(ago), "/").Body.String(); !strings.Contains(body, `data-answer="what"><a class="value strong" href="/?code=GoesOn`) {
			t.Errorf("another kind than GoesOn leads: %v", ago)
		}
	}
}

// TestBadParametersOfPages checks that each page refuses parameters that it does not have or
// that cannot be read, says which, and accepts its own and the preferences.
func TestBadParametersOfPages(t *testing.T) {
	h := handler(nil)
	for _, path := range []string{"/", "/programs", "/catalogue", "/tap", "/failures/" + signatureID} {
		for query, want := range map[string]string{
			"?nosuch=1": "nosuch", "?q=a;b": "write % as %25 and ; as %3B", "?lang=%zz": "write % as %25 and ; as %3B",
			"?theme=dark&tz=utc&lang=en": "", "": "",
		} {
			status := http.StatusOK
			if want != "" {
				status = http.StatusBadRequest
			}
			w := browse(h, path+query)
			body := w.Body.String()
			refused := strings.Contains(body, `role="alert"`) || strings.Contains(body, "is not a filter")
			if w.Code != status || !strings.Contains(body, want) || refused != (want != "") {
				t.Errorf("%s: %d, want %d with %q", path+query, w.Code, status, want)
			}
		}
	}
	for target, status := range map[string]int{
		"/catalogue?q=limit": 200, "/catalogue?q=" + strings.Repeat("x", 300): 400, "/?view=list": 200, "/nowhere?nosuch=1": 404,
	} {
		assert.Equal(t, status, browse(h, target).Code, target)
	}
}

// TestNotFound checks that browsers get a page and others get text.
func TestNotFound(t *testing.T) {
	h := handler(nil)
	if w := browse(h, "/nowhere"); w.Code != 404 || !strings.Contains(w.Body.String(), "There is no page at this address") {
		t.Errorf("browser: %d %s", w.Code, w.Body)
	}
	if w := ask(h, http.MethodGet, "/nowhere"); w.Code != 404 || w.Body.String() != "404 page not found\n" {
		t.Errorf("others: %d %s", w.Code, w.Body)
	}
}

// TestPageWeight checks the compressed size of the overview with all it loads.
func TestPageWeight(t *testing.T) {
	const most = 150 << 10
	h := handler(nil)
	total := 0
	for _, target := range []string{"/", static(t, "style.css"), static(t, "desk.js"), static(t, "icon.svg")} {
		w := browse(h, target, "Accept-Encoding", "gzip")
		if w.Header().Get("Content-Encoding") == "gzip" {
			if z, err := gzip.NewReader(strings.NewReader(w.Body.String())); err != nil {
				t.Error(err)
			} else if _, err := io.Copy(io.Discard, z); err != nil {
				t.Error(err)
			}
		}
		total += w.Body.Len()
	}
	assert.LessOrEqual(t, total, most, "the page has %d bytes, want at most %d", total, most)
}

// TestCurl runs the commands for hostile calls in a shell, with a curl that prints
// its arguments.
func TestCurl(t *testing.T) {
	shell, err := exec.LookPath("sh")
	require.NoError(t, err)
	const evil = `'; touch /tmp/pwned; echo "$(id)" ` + "`id`"
	j := journal.New(1)
	j.Add(&record.Record{
		ID: "00000000000000x", Time: now, Method: "POST" + evil, Service: "monitor" + evil, Region: "cn" + evil,
		URL: "http://monitor.api.ksyun.com/?Action=A%27b'c&X-Amz-Signature=REDACTED&Signature=x&AccessKey=y&Nonce=n&X%2DKsc-Token=t",
	})
	body := browse(handler(func(o *web.Options) { o.Journal = j }), "/failures/00000000000000x").Body.String()
	_, rest, _ := strings.Cut(body, `<pre id="curl"`)
	_, rest, _ = strings.Cut(rest, ">")
	command, _, _ := strings.Cut(rest, "</pre>")
	command = html.UnescapeString(command)
	for _, secret := range []string{"REDACTED", "Signature=", "AccessKey=y", "Nonce", "Token"} {
		assert.NotContains(t, command, secret)
	}
	script := "curl() { for a; do printf '<%s>\\n' \"$a\"; done; }; KSYUN_ACCESS_KEY_ID=ak; KSYUN_SECRET_ACCESS_KEY=sk; " + command
	out, err := exec.CommandContext(t.Context(), shell, "-c", script).CombinedOutput()
	require.NoError(t, err, "%s\n%s", command, out)
	want := "<--globoff>\n<-X>\n<POST" + evil + ">\n<--aws-sigv4>\n<aws:amz:cn" + evil + ":monitor" + evil + ">\n<--user>\n<ak:sk>\n<-H>\n<Accept: application/json>\n<http://monitor.api.ksyun.com/?Action=A%27b'c>\n"
	assert.Equal(t, want, string(out), command)
}

func TestOutLinks(t *testing.T) {
	r := &record.Record{ID: "1", RequestID: `a/b?c&d#e"<f>`, TraceID: "abc", Start: time.UnixMilli(1_000_000), Time: time.UnixMilli(1_001_000)}
	for _, tt := range []struct{ template, want string }{
		{"https://jaeger.example.com/trace/{trace_id}", "https://jaeger.example.com/trace/abc"},
		{"http://logs:9428/?q={request_id}&from={from_ms}&to={to_ms}", "http://logs:9428/?q=a%2Fb%3Fc%26d%23e%22%3Cf%3E&from=700000&to=1301000"},
		{"https://x.example/{span_id}", ""}, // it has none
		{"", ""},
	} {
		l, err := web.ParseOutLink(tt.template)
		if err != nil {
			t.Errorf("%q: %v", tt.template, err)
		} else if got := l.For(r); got != tt.want {
			t.Errorf("%q: %q, want %q", tt.template, got, tt.want)
		}
	}
	for _, bad := range []string{
		"javascript:alert({trace_id})", "ftp://x/{id}", "/trace/{trace_id}", "{trace_id}", "https://{trace_id}.example.com/", "https://x.example/",
		"https://x.example/{traceid}", "https://user:pw@x.example/{id}", "https:///{id}", "https://x.example:{id}/",
	} {
		_, err := web.ParseOutLink(bad)
		assert.Error(t, err, "%q is accepted", bad)
	}
	j := journal.New(1)
	j.Add(&record.Record{ID: "00000000000000x", TraceID: "abc", Time: now, Client: netip.MustParseAddrPort("127.0.0.1:1")})
	l, _ := web.ParseOutLink("https://jaeger.example.com/trace/{trace_id}")
	body := browse(handler(func(o *web.Options) { o.Journal, o.TraceURL = j, l }), "/failures/00000000000000x").Body.String()
	assert.Contains(t, body, `href="https://jaeger.example.com/trace/abc"`, "the page has no link to the trace")
}

// TestBlankLists checks that an empty list says which filter matches nothing, with links
// that remove it or correct it.
func TestBlankLists(t *testing.T) {
	h := handler(nil)
	for _, tt := range []struct {
		target string
		status int
		want   []string // texts and links
	}{
		{"/?action=GetMetricStatistic", 200, []string{"action = GetMetricStatistic", "matches no failure that is kept", "Did you mean GetMetricStatistics?", `href="/?action=GetMetricStatistics"`, `<a href="/">Remove this filter`}},
		{"/?action=GetMetricStatistic&view=list", 200, []string{`href="/?action=GetMetricStatistics&amp;view=list"`, `<a href="/?view=list">Remove this filter`}},
		{"/?group=0000000000000&code=LimitExceeded", 200, []string{"group = 0000000000000", "matches no failure that is kept", `<a href="/?code=LimitExceeded">Remove`}},
		{"/?text=nowhere", 200, []string{"text = nowhere", "matches no failure that is kept"}},
		{"/?code=LimitExceeded&from=1&to=2", 200, []string{"code = LimitExceeded", "matches failures of another time only"}},
		{"/?code=LimitExceeded&blame=network", 200, []string{"No failure in this time range matches all filters"}},
		{"/?blame=quotas&lang=zh", 400, []string{"blame = quotas", "不是可能的取值", "是否指 quota？", `href="/?blame=quota"`}},
		{"/?catgory=throttled", 400, []string{"catgory = throttled", "is not a filter", "Did you mean category?", `href="/?category=throttled"`}},
		{"/?status=9&code=LimitExceeded", 400, []string{"status = 9", "is not valid", "is not an HTTP status", `<a href="/?code=LimitExceeded">Remove`}},
		{"/?from=x", 400, []string{"from = x", "is not valid", `<a href="/">Remove`}},
		{"/?from=2&to=1", 400, []string{"must be before"}},
	} {
		w := browse(h, tt.target)
		assert.Equal(t, tt.status, w.Code, "%s: status", tt.target)
		body := html.UnescapeString(strings.ReplaceAll(w.Body.String(), "&amp;", "&amp;amp;"))
		for _, want := range tt.want {
			if !strings.Contains(body, want) {
				_, results, _ := strings.Cut(body, `id="results"`)
				t.Errorf("%s: no %q in %s", tt.target, want, results)
			}
		}
	}
	// The API refuses what is never right, with a suggestion, and finds nothing otherwise.
	for target, want := range map[string]string{
		"/api/v1/failures?blame=quotas": `unknown value of blame \"quotas\": did you mean \"quota\"?`, "/api/v1/failures?catgory=x": `did you mean \"category\"?`,
		"/api/v1/failures?action=GetMetricStatistic": `"failures":[]`,
	} {
		w := browse(h, target)
		if refused := !strings.Contains(want, "[]"); (w.Code == 400) != refused || !strings.Contains(w.Body.String(), want) {
			t.Errorf("%s: %d %s", target, w.Code, w.Body)
		}
	}
}

// TestScopeOnPages checks that a page says since when once, in an element that scripts
// convert, and does not repeat the blame.
func TestScopeOnPages(t *testing.T) {
	r := &record.Record{
		ID: "00000000000000x", Time: now, Blame: classify.BlameQuota, Code: "LimitExceeded", Outcome: classify.OutcomeError,
		Scope: diagnosis.Scope{
			Since:  time.Date(2026, time.November, 23, 6, 53, 0, 0, time.UTC),
			Extent: classify.Text{English: "only <ListMetrics>, all regions", Chinese: "仅 <ListMetrics>，所有区域"},
			After:  &diagnosis.Happening{Event: diagnosis.TriggerReload, At: time.Date(2026, time.November, 23, 6, 52, 0, 0, time.UTC)},
		},
	}
	j := journal.New(1)
	j.Add(r)
	h := handler(func(o *web.Options) { o.Journal = j })
	for language, want := range map[string]string{
		"en": "only &lt;ListMetrics&gt;, all regions · after a reload of the tap&#39;s configuration at <time ", "zh": "仅 &lt;ListMetrics&gt;，所有区域 · 紧随以下事件之后：ksyun-tap 重新加载配置，发生于 <time ",
	} {
		body := browse(h, "/failures/"+r.ID+"?lang="+language).Body.String()
		_, banner, _ := strings.Cut(body, `class="answers"`)
		banner, _, _ = strings.Cut(banner, `class="actions"`)
		if !strings.Contains(banner, want) || strings.Contains(banner, "UTC</") || strings.Contains(banner, "; blame") || strings.Contains(banner, "责任方：配额") ||
			!strings.Contains(banner, `datetime="2026-11-23T06:53:00.000Z" data-style="moment"`) || !strings.Contains(banner, `datetime="2026-11-23T06:52:00.000Z" data-style="minute"`) {
			t.Errorf("%s: %s", language, banner)
		}
	}
}

// TestValuesHaveLabels checks that what does not explain itself in a row has a label, or is in
// a cell whose column has one.
func TestValuesHaveLabels(t *testing.T) {
	h := handler(nil)
	value := regexp.MustCompile(`(.{24})<a class="value(?: dim)?" href="[^"]*">([^<]*)</a>`)
	labels := map[string]*regexp.Regexp{
		"key-5f2c9a":   regexp.MustCompile(`(<span>Credential |with credential</span> )$`),
		"exporter":     regexp.MustCompile(`<span>Credential $`),
		"cn-beijing-6": regexp.MustCompile(`(<span>Region |<td class="nowrap">)$`),
	}
	found := map[string]bool{}
	for _, target := range []string{"/", "/?view=list", "/programs"} {
		for _, m := range value.FindAllStringSubmatch(browse(h, target).Body.String(), -1) {
			before, text := m[1], m[2]
			if label := labels[text]; label != nil {
				assert.Regexp(t, label, before, "%s: the label of %s", target, text)
				found[text] = true
			}
			assert.NotRegexp(t, `^[0-9]+$`, text, "%s: a number without a label", target)
		}
	}
	assert.Len(t, found, len(labels), "values that were found")
}

// TestOneSince checks that all outputs have the same begin of a failure that paused for less
// than the 15 minutes after which it begins again.
func TestOneSince(t *testing.T) {
	for pause, want := range map[time.Duration]string{14 * time.Minute: "07:47", 16 * time.Minute: "08:01"} {
		const id = "1m4q7t9k001x7f2"
		h := handler(func(o *web.Options) {
			o.Journal, o.Groups, o.Activity, o.Diagnoser = journal.New(100), groups.New(0), new(activity.Activity), diagnosis.New()
			for i, ago := range []time.Duration{pause, 0} {
				a := attempt.Get("error_throttled")
				a.End = now.Add(-ago)
				o.Activity.Observe(a)
				o.Diagnoser.Observe(a)
				r := new(record.Maker).New(a)
				r.Scope, _ = o.Diagnoser.Scope(r.Kind, a.End)
				r.ID = fmt.Sprintf("1m4q7t9k%03dx7f2", i)
				o.Groups.Add(r)
				o.Journal.Add(r)
			}
		})
		at := "2026-11-23T" + want + ":"
		for target, begin := range map[string]string{
			"/":                                  `<dt>Since</dt><dd data-answer="since"><time datetime="` + at,
			"/failures/" + id:                    `<dt>Since</dt><dd><time datetime="` + at,
			"/api/v1/failures/" + id + "/ticket": "since " + want + " UTC",
			"/api/v1/failures/" + id:             `"scope":{"since":"` + at,
			"/api/v1/incidents":                  `"since":"` + at,
		} {
			assert.Contains(t, browse(h, target).Body.String(), begin, "%s after a pause of %v", target, pause)
		}
	}
}

// TestPlurals checks that counts of 1 have the singular.
func TestPlurals(t *testing.T) {
	for text, want := range map[string]bool{"1 failure of 1 calls": true, "1 failures": false, "1 warning<": true, "1 address<": true} {
		found := false
		for _, path := range []string{"/", "/programs", "/tap", "/catalogue"} {
			h := handler(func(o *web.Options) {
				o.Activity = new(activity.Activity)
				o.Activity.Observe(&classify.Observation{End: now, Verdict: classify.Verdict{Outcome: classify.OutcomeError, Blame: classify.BlameClient}})
				if path == "/tap" {
					o.Journal = journal.New(9)
					o.Journal.AddNotice(&diagnosis.Notice{Time: now, Severity: diagnosis.SeverityWarn})
				}
			})
			found = found || strings.Contains(browse(h, path).Body.String(), text)
		}
		assert.Equal(t, want, found, "%q is on a page", text)
	}
}

// TestChartWithoutFailures checks that the chart with its time range stays if no failure
// matches, or if a filter is not valid, and that it has a link to clear the filters.
func TestChartWithoutFailures(t *testing.T) {
	h := handler(nil)
	for query, clear := range map[string]string{
		"?action=NoSuchAction":                               "/",
		"?action=NoSuchAction&view=list&from=6h":             "/?from=6h&amp;view=list",
		"?blame=nobody":                                      "/",
		"?blame=provider;code=x&text=a":                      "/",
		"?nosuch=1&text=a":                                   "/",
		"?from=yesterday&code=x":                             "/?from=yesterday",
		"?from=1795420800&to=1795420860&code=NoSuchCode":     "/?from=1795420800&amp;to=1795420860",
		"?from=2026-11-23T08:00:00Z&to=2026-11-23T07:00:00Z": "",
		"?from=2026-11-22T08:00:00Z&to=2026-11-22T09:00:00Z": "",
	} {
		page := browse(h, "/"+query).Body.String()
		_, chart, ok := strings.Cut(page, `<figure class="chart"`)
		chart, _, _ = strings.Cut(chart, "</figure>")
		if !ok || !strings.Contains(chart, `class="hit"`) || !strings.Contains(chart, "data-style=") {
			t.Errorf("%s: there is no chart with a time axis", query)
		}
		if clear == "" {
			assert.Contains(t, chart, "No failures in this time range", "%s: the chart does not say that there are none", query)
		} else if !strings.Contains(chart, `No failures match <a href="`+clear+`">Clear filters</a>`) {
			t.Errorf("%s: the chart has no link to %s", query, clear)
		}
	}
}

// TestAxis checks that the time axis has labels at round times, which scripts convert.
func TestAxis(t *testing.T) {
	for query, want := range map[string]string{
		"?from=1795420800&to=1795420830": "clock 08:00:10,clock 08:00:20",
		"?from=15m":                      "minute 07:48,minute 07:50",
		"?from=1h":                       "minute 07:10,minute 07:20",
		"?from=24h":                      "minute 12:00,minute 16:00",
		"?from=2026-11-13T00:00:00Z":     "day 11-15 00:00,day 11-17 00:00",
	} {
		page := browse(handler(nil), "/"+query).Body.String()
		var got []string
		for _, m := range regexp.MustCompile(`<text x="([0-9.]+)%" y="12" data-style="(\w+)" data-time="(\S+)">([^<]+)</text>`).FindAllStringSubmatch(page, -1) {
			got = append(got, m[2]+" "+m[4])
		}
		if len(got) < 2 || len(got) > 9 || strings.Join(got[:2], ",") != want {
			t.Errorf("%s: %v, want them to begin with %s", query, got, want)
		}
	}
}

// TestSettingsThatNeedARestart checks that the value in use is shown, and beside it
// what a restart would change.
func TestSettingsThatNeedARestart(t *testing.T) {
	h := handler(func(o *web.Options) {
		o.Status.Settings = func() []web.Setting {
			return []web.Setting{
				{Name: "journal.size", Value: "1000", Source: "default", Pending: &web.Pending{Value: "5000", Source: "f.yml:3"}},
				{Name: "log.level", Value: "info", Source: "default"},
			}
		}
	})
	page := browse(h, "/tap").Body.String()
	for _, want := range []string{
		`<a href="#settings">1 changed setting needs a restart</a>`, "1 setting with its default",
		`<code>1000</code></td><td>default<div class="row"><span class="severity" data-severity="warn">changed, needs a restart</span> <code>5000</code> <span class="dim">f.yml:3</span></div></td>`,
	} {
		assert.Contains(t, page, want, "the page has no")
	}
	for path, want := range map[string]string{"config": `"pending":{"journal.size":{"value":"5000","source":"f.yml:3"}}`, "flags": `{"journal.size":"1000","log.level":"info"}`} {
		assert.Contains(t, ask(h, http.MethodGet, "/api/v1/status/"+path).Body.String(), want, path)
	}
}
