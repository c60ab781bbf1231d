//go:build e2e

package e2e

import (
	"fmt"
	"iter"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/exporter/activity"
	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/exporter/feed"
	"github.com/ksyun-tap/ksyun-tap/exporter/groups"
	"github.com/ksyun-tap/ksyun-tap/exporter/journal"
	"github.com/ksyun-tap/ksyun-tap/exporter/record"
	"github.com/ksyun-tap/ksyun-tap/exporter/web"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// desk is a tap before the simulated API, and a program that calls it.
type desk struct {
	*runningTap
	*cloudmonitor.Traffic
	t *testing.T
}

func startDesk(t *testing.T) *desk {
	t.Helper()
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good, denied, foreign}}))
	t.Cleanup(api.Close)
	tap := startTap(t, nil, "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String(), "--upstream.connect-to=dead.api.ksyun.com:80="+freeport.TCP(t),
		"--web.trace-url=https://jaeger.example.com/trace/{request_id}")
	client := &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy})}}
	t.Cleanup(client.CloseIdleConnections)
	return &desk{tap, &cloudmonitor.Traffic{Client: client, Host: apiHost, DeadHost: "dead.api.ksyun.com", Good: good, Denied: denied, Foreign: foreign}, t}
}

// call makes n calls.
func (d *desk) call(n int, c cloudmonitor.CallSpec) {
	for range n {
		d.Send(d.t.Context(), c)
	}
}

// succeeds is a call that succeeds, and fails one that the API answers with a code.
func (d *desk) succeeds() cloudmonitor.CallSpec {
	return cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", Params: url.Values{"Namespace": {"KEC"}}, As: d.Good}
}

func (d *desk) fails(code string) cloudmonitor.CallSpec {
	c := d.succeeds()
	c.Do = cloudmonitor.Directive{Error: code}
	return c
}

// await waits until the journal has n failures with a code.
func (d *desk) await(n int, code string) {
	d.t.Helper()
	eventually(d.t, "the journal has "+code, func() bool {
		_, body := get(d.t, "http://"+d.admin+"/api/v1/failures?code="+code)
		return strings.Count(body, `"code":"`+code+`"`) >= n
	})
}

const hostile = `<script>window.pwned=1</script><img src=x onerror="window.pwned=2">`

// TestDesk uses the pages in a real browser.
func TestDesk(t *testing.T) {
	t.Parallel()
	d := startDesk(t)
	b := openBrowser(t, "http://"+d.admin)
	b.open("/")
	got := b.text(`document.querySelector("#banner").dataset.state`)
	assert.Equal(t, "empty", got, "the banner is %s before the first call", got)
	b.accessible("before the first call")
	d.call(20, d.succeeds())
	d.call(6, d.fails("LimitExceeded"))
	d.call(3, d.fails("ServiceTimeout"))
	evil, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+apiHost+"/?Action=ListMetrics", http.NoBody)
	require.NoError(t, err)
	evil.Header.Set("User-Agent", hostile)
	res, err := d.Client.Do(evil)
	require.NoError(t, err)
	res.Body.Close()
	d.await(6, "LimitExceeded")
	d.await(3, "ServiceTimeout")

	t.Run("live", func(t *testing.T) {
		b.t = t
		b.until("the banner shows the failures", `document.querySelector("#banner").dataset.state === "failing"`)
		b.open("/?view=list")
		d.call(1, d.fails("BrandNewError"))
		b.until("the new row is marked", `[...document.querySelectorAll("tr.fresh")].some((e) => e.textContent.includes("BrandNewError"))`)
		b.click("#live")
		b.until("it is paused", `document.querySelector("#live").getAttribute("aria-pressed") === "false"`)
		b.click("#live")
		b.until("it is live again", `document.querySelector("#live").getAttribute("aria-pressed") === "true"`)
	})
	t.Run("filter and search", func(t *testing.T) {
		b.t = t
		b.open("/")
		b.click(`.chip[data-blame="quota"]`)
		b.until("the chip filters", `location.search.includes("blame=quota") && document.querySelectorAll("#results tbody tr").length === 1`)
		b.run(chromedp.SendKeys(chromedp.CSS("#search"), "limit"+kb.Enter))
		b.until("both filters are set", `location.search.includes("blame=quota") && location.search.includes("text=limit")`)
		b.click(`.filters [aria-label^="Remove filter text"]`)
		b.until("one filter is left", `location.search.includes("blame=quota") && !location.search.includes("text")`)
		b.click(`.subject .value.strong`)
		b.until("a click filters", `location.search.includes("code=LimitExceeded")`)
		b.click(`.clear a`)
		b.until("no filter is left", `location.search === ""`)
	})
	t.Run("filters that match nothing", func(t *testing.T) {
		b.t = t
		b.open("/?action=ListMetric&view=list")
		b.click(`.blanks a[href*="action=ListMetrics"]`)
		b.until("the suggestion is used", `location.search.includes("action=ListMetrics&") && document.querySelector("#results tbody tr")`)
		b.open("/?action=NoSuchAction&code=LimitExceeded")
		b.until("it says which filter matches nothing", `document.querySelectorAll(".blanks li").length === 1 && document.querySelector(".blanks").textContent.includes("action = NoSuchAction")`)
		b.click(`.blanks a`)
		b.until("the other filter is left", `location.search === "?code=LimitExceeded" && document.querySelector("#results tbody tr")`)
	})
	t.Run("zoom", func(t *testing.T) {
		b.t = t
		b.open("/")
		box := eval[struct{ X, Y, W float64 }](b, `(() => { const r = document.querySelector("svg.failures").getBoundingClientRect(); return {X: r.left, Y: r.top + r.height / 2, W: r.width}; })()`)
		b.run(chromedp.MouseEvent("mousePressed", box.X+box.W*0.7, box.Y, chromedp.ButtonLeft), chromedp.MouseEvent("mouseMoved", box.X+box.W*0.99, box.Y, chromedp.Button("left")),
			chromedp.MouseEvent("mouseReleased", box.X+box.W*0.99, box.Y, chromedp.ButtonLeft))
		b.until("the range is zoomed", `/from=\d+.*to=\d+/.test(location.search)`)
		zoomed := b.text("location.search")
		b.click(".legend a")
		b.until("the range is wider", `location.search !== `+strconv.Quote(zoomed)+` && document.querySelector("#chart")`)

		b.open("/")
		if got := b.text(`document.querySelectorAll(".mark").length + " " + document.querySelector(".legend").textContent`); !strings.HasPrefix(got, "1 ") || !strings.Contains(got, "Started") {
			t.Errorf("marks: %q, want the start", got)
		}
		b.enter("#charttable summary", "the table is open", `document.querySelector("#charttable").open`)
		b.enter("#charttable tbody a", "the keyboard zooms", `/from=\d+.*to=\d+/.test(location.search)`)
	})
	t.Run("marks of reloads", func(t *testing.T) {
		b.t = t
		for n := 1; n <= 2; n++ {
			d.reload()
			b.open("/")
			b.until("the reload is marked", fmt.Sprintf(`document.querySelectorAll(".mark").length === %d && document.querySelector(".legend").textContent.includes("Configuration reloaded")`, 1+n))
		}
		within := eval[bool](b, `[...document.querySelectorAll(".mark")].every((m) => { const at = m.getBoundingClientRect(), box = m.closest("svg").getBoundingClientRect(); return at.left >= box.left && at.right <= box.right && at.height > 0; })`)
		assert.True(t, within, "a mark is outside of the chart")
		// They are in order, and the newest is near the present: at the right edge.
		if right := eval[float64](b, `(() => { const box = document.querySelector("svg.failures").getBoundingClientRect(); return ([...document.querySelectorAll(".mark")].at(-1).getBoundingClientRect().left - box.left) / box.width; })()`); right < 0.8 {
			t.Errorf("the last reload is marked at %.2f of the chart's width", right)
		}
	})
	t.Run("touch", func(t *testing.T) {
		b.t = t
		b.size(390, 844)
		b.open("/")
		at := eval[struct{ X, Y float64 }](b, `(() => { const e = [...document.querySelectorAll("svg.failures .part")].at(-1); e.scrollIntoView({block: "center"});
			const r = e.getBoundingClientRect(); return {X: r.left + r.width / 2, Y: r.top + r.height / 2}; })()`)
		b.run(chromedp.TapXY(at.X, at.Y))
		b.until("a tap on a bar zooms", `/from=\d+.*to=\d+/.test(location.search)`)
		b.size(1440, 900)
	})
	t.Run("time zone", func(t *testing.T) {
		b.t = t
		if _, err := chromedp.Call(b.ctx, emulation.SetTimezoneOverride, emulation.SetTimezoneOverrideParams{TimezoneID: "Asia/Shanghai"}); err != nil {
			t.Fatal(err)
		}
		b.open("/?view=list")
		utc := b.text(`document.querySelector("#results time").dateTime.slice(11, 13)`)
		b.click(`a[href="/?tz=local&view=list"]`)
		b.until("times are local", `Number(document.querySelector("#results time").textContent.slice(0, 2)) === (Number(document.querySelector("#results time").dateTime.slice(11, 13)) + 8) % 24`)
		// The banner says since when once, and in local time, as do the bars of the chart.
		b.open("/")
		local := `new Date(document.querySelector('[data-answer="since"] time').dateTime).toTimeString().slice(0, 5)`
		b.until("the banner is in local time", `document.querySelector('[data-answer="since"] time').textContent.endsWith(" " + `+local+`)`)
		if got := b.text(`document.querySelector("#banner").textContent + [...document.querySelectorAll("svg.failures title")].map((e) => e.textContent).join(" ")`); strings.Contains(got, "UTC") || strings.Count(strings.ToLower(got), "since") != 1 {
			t.Errorf("the banner or the chart is not in local time, or repeats since when: %s", got)
		}
		b.open("/?view=list")
		b.click(`a[href="/?tz=utc&view=list"]`)
		b.until("times are UTC", `document.querySelector("#results time").textContent.slice(0, 2) === `+strconv.Quote(utc)+` || document.querySelector("#results time").textContent.slice(0, 2) === document.querySelector("#results time").dateTime.slice(11, 13)`)
	})
	t.Run("without scripts", func(t *testing.T) {
		b.t = t
		off := func(v bool) {
			if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: v}); err != nil {
				t.Fatal(err)
			}
		}
		off(true)
		defer off(false)
		for path, want := range map[string]string{"/": "What to do", "/?view=list": "LimitExceeded", "/failures/" + d.newest(): "Ticket for the vendor", "/programs": "API versions", "/catalogue": "LimitExceeded", "/tap": "Losses"} {
			b.run(chromedp.Navigate(b.base + path))
			if got, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS("#main"))); err != nil || !strings.Contains(got, want) {
				t.Errorf("%s: %v, no %q", path, err, want)
			}
			if got, err := chromedp.Run(b.ctx, chromedp.Text(chromedp.CSS(".bar"))); err != nil || strings.Contains(got, "Live") || strings.Contains(got, "local") {
				t.Errorf("%s: %v, offers what needs scripts: %s", path, err, got)
			}
		}
	})
	t.Run("copy", func(t *testing.T) {
		b.t = t
		b.open("/?code=LimitExceeded&view=list")
		b.click(`.list .id a`)
		b.until("the failure is open", `document.getElementById("ticket-en")`)
		for selector, want := range map[string]string{
			`[data-copy="ticket-en"]`: `document.getElementById("ticket-en").textContent`, `[data-copy="ticket-zh"]`: `document.getElementById("ticket-zh").textContent`,
			`[data-copy="curl"]`: `document.getElementById("curl").textContent`, `[data-copy-link]`: `location.origin + document.querySelector("[data-copy-link]").dataset.copyLink`,
		} {
			b.click(selector)
			b.until(selector+" copies", `navigator.clipboard.readText().then((s) => { window.copied = s; }) && window.copied === `+want)
		}
		got := b.text(`[...document.querySelectorAll(".actions a")].map((a) => a.href).join(" ")`)
		assert.Contains(t, got, "https://jaeger.example.com/trace/", "no link to the trace")
	})
	t.Run("preferences", func(t *testing.T) {
		b.t = t
		b.open("/")
		b.click(`a[href="/?theme=dark"]`)
		b.until("it is dark", `getComputedStyle(document.documentElement).colorScheme === "dark"`)
		b.click(`a[href="/?lang=zh"]`)
		b.until("it is Chinese", `document.documentElement.lang === "zh-CN" && document.querySelector("#search").placeholder.includes("错误码") && location.search === ""`)
		b.click(`a[href="/?lang=en"]`)
		b.until("it is English", `document.documentElement.lang === "en"`)
		b.click(`a[href="/?theme=auto"]`)
		b.until("it is automatic", `document.documentElement.dataset.theme === "auto"`)
	})
	t.Run("keyboard", func(t *testing.T) {
		b.t = t
		b.open("/")
		b.run(chromedp.KeyEvent("/"))
		b.until("the search has the focus", `document.activeElement.id === "search"`)
		b.run(chromedp.KeyEvent("ServiceTimeout" + kb.Enter))
		b.until("it is searched", `/text=(%2F)?ServiceTimeout/.test(location.search)`) // the browser's protocol also types the slash
		b.open("/?code=ServiceTimeout&view=list")
		b.until("Tab reaches the failure", `true`)
		for range 80 {
			b.run(chromedp.KeyEvent(kb.Tab))
			if strings.HasPrefix(b.text(`document.activeElement.getAttribute("href")`), "/failures/") && b.text(`Boolean(document.activeElement.closest("#results"))`) == "true" {
				b.run(chromedp.KeyEvent(kb.Enter))
				b.until("Enter opens it", `location.pathname.startsWith("/failures/")`)
				return
			}
		}
		t.Error("Tab does not reach the list")
	})
	t.Run("every view", func(t *testing.T) {
		b.t = t
		for _, width := range []int64{1440, 390} {
			b.size(width, 900)
			for _, theme := range []string{"light", "dark"} {
				for _, path := range []string{"/", "/?view=list", "/?code=none", "/?action=NoSuchAction&blame=quotas", "/failures/" + d.newest(), "/failures/nosuchfailure", "/programs", "/catalogue", "/tap", "/nowhere", "/?from=x"} {
					mark := "?"
					if strings.Contains(path, "?") {
						mark = "&"
					}
					b.open(path + mark + "theme=" + theme)
					b.accessible(path + " " + theme)
					wide := b.text(`document.documentElement.scrollWidth > innerWidth`)
					assert.NotEqual(t, "true", wide, "%s is wider than %d", path, width)
					assert.Equal(t, "undefined", b.text("window.pwned"), "%s ran a hostile script", path)
				}
			}
		}
		b.size(1440, 900)
	})
	b.t = t
	b.open("/?code=MissingAuthenticationToken&view=list")
	b.click(`.list .id a`)
	b.until("the hostile User-Agent is shown as text", `document.querySelector(".facts").textContent.includes(`+strconv.Quote(hostile)+`)`)
	assert.Equal(t, "undefined", b.text("window.pwned"), "a hostile script ran")
	b.clean()
}

// reload reloads the configuration of the tap.
func (d *desk) reload() {
	d.t.Helper()
	res, err := http.Post("http://"+d.admin+"/-/reload", "", nil)
	if err != nil {
		d.t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusOK {
		d.t.Fatalf("reload: %s", res.Status)
	}
}

// newest returns the ID of the newest failure.
func (d *desk) newest() string {
	d.t.Helper()
	var list struct {
		Data struct{ Failures []struct{ ID string } }
	}
	getJSON(d.t, "http://"+d.admin+"/api/v1/failures?limit=1", &list)
	return list.Data.Failures[0].ID
}

// TestFiveSeconds checks that the first screen answers the five questions, in the
// scenarios of docs/failure-desk.md.
func TestFiveSeconds(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		name             string
		fail             func(d *desk) cloudmonitor.CallSpec
		what, whose, why string
	}{
		{"outage", func(d *desk) cloudmonitor.CallSpec { return d.fails("ServiceTimeout") }, "ServiceTimeout on ListMetrics", "Provider", ""},
		{"throttling", func(d *desk) cloudmonitor.CallSpec { return d.fails("LimitExceeded") }, "LimitExceeded on ListMetrics", "Quota", "the rate above the limit"},
		{"wrong key", func(d *desk) cloudmonitor.CallSpec {
			c := d.succeeds()
			c.As.SecretKey = "another"
			return c
		}, "SignatureDoesNotMatch on ListMetrics", "Credential", ""},
		{"wrong request", func(d *desk) cloudmonitor.CallSpec {
			c := d.succeeds()
			c.Action = "ListMetric"
			return c
		}, "on ListMetric", "Client", ""},
		{"no network", func(d *desk) cloudmonitor.CallSpec {
			c := d.succeeds()
			c.Host = "dead.api.ksyun.com"
			return c
		}, "connection_refused", "Network", ""},
	} {
		t.Run(tt.name, func(t *testing.T) {
			d := startDesk(t)
			d.call(8, d.succeeds())
			d.call(4, tt.fail(d))
			b := openBrowser(t, "http://"+d.admin)
			b.open("/")
			b.until("the failures are shown", `document.querySelector("#banner").dataset.state === "failing"`)
			for question, want := range map[string]string{"what": tt.what, "why": tt.why, "whose": tt.whose, "since": ":", "do": "."} {
				e := `document.querySelector('[data-answer="` + question + `"]')`
				assert.Contains(t, b.text(e+".textContent"), want, question)
				for _, size := range [][2]int64{{1440, 900}, {1024, 768}} {
					b.size(size[0], size[1])
					if b.text(e+".getBoundingClientRect().bottom <= innerHeight") != "true" {
						t.Errorf("%s is not on the first screen of %d x %d", question, size[0], size[1])
					}
				}
			}
			b.clean()
		})
	}
}

// TestDeskPictures draws the pictures of the documentation, every view at two widths in
// both themes, of an hour with throttling and an outage.
func TestDeskPictures(t *testing.T) {
	t.Parallel()
	dir := os.Getenv(picturesVariable)
	if dir == "" {
		dir = t.TempDir()
	}
	server := httptest.NewServer(web.NewHandler(anHour(time.Now().UTC())))
	defer server.Close()
	b := openBrowser(t, server.URL)
	b.open("/")
	failure := b.text(`document.querySelector(".banner .primary").getAttribute("href")`)
	for _, v := range []struct{ name, path string }{
		{"overview", "/"}, {"list", "/?view=list"}, {"failure", failure}, {"programs", "/programs"}, {"catalogue", "/catalogue"}, {"tap", "/tap"}, {"notfound", "/nowhere"},
	} {
		for _, size := range [][2]int64{{1440, 960}, {390, 844}} {
			b.size(size[0], size[1])
			for _, theme := range []string{"light", "dark"} {
				mark := "?"
				if strings.Contains(v.path, "?") {
					mark = "&"
				}
				b.open(v.path + mark + "theme=" + theme)
				b.picture(filepath.Join(dir, fmt.Sprintf("desk-%s-%d-%s.png", v.name, size[0], theme)))
			}
		}
	}
	b.clean()
}

// anHour returns the options of a tap that has seen an hour of calls until now.
func anHour(now time.Time) web.Options {
	opts := web.Options{
		Version: "1.0.0", Journal: journal.New(5000), Groups: groups.New(0), Activity: new(activity.Activity), Feed: new(feed.Feed),
		Status: web.Status{Runtime: func() web.RuntimeInfo {
			return web.RuntimeInfo{
				StartTime: now.Add(-56 * time.Minute), LastConfigTime: now.Add(-31 * time.Minute), ReloadConfigSuccess: true, Hostname: "exporter-0", GoroutineCount: 24,
				Reloads: []time.Time{now.Add(-47 * time.Minute), now.Add(-31 * time.Minute)},
			}
		}, Settings: func() []web.Setting {
			return []web.Setting{
				{Name: "log.level", Value: "warn", Source: "$KSYUN_TAP_LOG_LEVEL"},
				{Name: "web.trace-url", Value: "https://jaeger.example.com/trace/{request_id}", Source: "/etc/ksyun-tap/config.yml"},
				{Name: "journal.size", Value: "1000", Source: "default"},
			}
		}, Losses: func() []web.Loss {
			return []web.Loss{{Kind: "metrics"}, {Kind: "traces"}, {Kind: "sampled", Count: 212}}
		}},
	}
	opts.TraceURL, _ = web.ParseOutLink("https://jaeger.example.com/trace/{request_id}")
	classifier, diagnoser, ids := classify.New(classify.DefaultCatalog()), diagnosis.New(), record.NewIDs()
	opts.Diagnoser = diagnoser
	diagnoser.Notify(func(n diagnosis.Notice) { opts.Journal.AddNotice(&n) })
	random := rand.New(rand.NewPCG(1, 2))
	call := func(at time.Time, action, version string, status int, body, agent string) {
		target := "/?Action=" + action + "&Version=" + version
		c, _ := classifier.Request(&classify.Request{Method: http.MethodGet, Target: []byte(target), Host: []byte(apiHost), Header: noFields{}})
		c.Region = "cn-beijing-6"
		o := &classify.Observation{
			Call: c, Start: at.Add(-time.Duration(5+random.IntN(200)) * time.Millisecond), End: at, Source: classify.SourceForward, Method: http.MethodGet,
			Scheme: "http", Port: 80, Target: []byte(target), Client: netip.MustParseAddrPort("10.1.0.17:41000"), Upstream: netip.MustParseAddrPort("192.0.2.7:80"),
			UserAgent: []byte(agent), Credential: "exporter",
		}
		o.Verdict = classifier.Response(&o.Call, &classify.Response{Status: status, Header: noFields{}, Body: []byte(body)})
		opts.Activity.Observe(o)
		place := diagnoser.Observe(o)
		if r := new(record.Maker).New(o); r.Failed() {
			r.Diagnose(diagnoser.Diagnose(o, place))
			r.Scope, _ = diagnoser.Scope(r.Kind, o.End)
			r.ID = ids.Next(at).String()
			opts.Groups.Add(r)
			opts.Journal.Add(r)
		}
	}
	failed := func(code, message string) string {
		return fmt.Sprintf(`{"RequestId":"%08x-5b1f-4c6e-9d2a-%012x","Error":{"Code":%q,"Message":%q}}`, random.Uint32(), random.Uint64()>>16, code, message)
	}
	for minute := 56; minute >= 0; minute-- {
		at := now.Add(-time.Duration(minute) * time.Minute)
		for i := range 90 + random.IntN(20) {
			call(at.Add(time.Duration(-i)*300*time.Millisecond), "GetMetricStatistics", "2010-05-25", 200, `{"getMetricStatisticsResult":{"datapoints":{"member":[]}}}`, "ksc-exporter/0.4")
		}
		for range []int{0, 0, 0, 1}[random.IntN(4)] {
			call(at, "ListMetrics", "2010-05-25", 400, failed("InvalidParameterValue", "Namespace is invalid"), "grafana/11.2")
		}
		if minute > 32 && minute < 45 {
			for range 4 + random.IntN(8) {
				call(at, "GetMetricStatistics", "2010-05-25", 409, failed("LimitExceeded", "The request exceeds the limit."), "ksc-exporter/0.4")
			}
		}
		if minute%11 == 3 {
			call(at, "DescribeAlarms", "2021-01-01", 403, failed("SignatureDoesNotMatch", "The request signature we calculated does not match"), "python-requests/2.31")
		}
		if minute < 9 {
			for range 12 + random.IntN(9-minute+1)*2 {
				call(at, "GetMetricStatisticsBatch", "2018-11-14", 500, failed("ServiceTimeout", "The service did not answer in time."), "ksc-exporter/0.4")
			}
		}
	}
	return opts
}

// noFields is an empty classify.Header.
type noFields struct{}

// Get implements classify.Header.
func (noFields) Get(string) []byte { return nil }

// Fields implements classify.Header.
func (noFields) Fields() iter.Seq2[[]byte, []byte] { return func(func(name, value []byte) bool) {} }
