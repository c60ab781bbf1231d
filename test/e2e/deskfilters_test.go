//go:build e2e

package e2e

import (
	"cmp"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/diagnosis"
	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

// apiFailure is a failure as the API returns it.
type apiFailure map[string]any

// id returns the failure's own ID.
func (f apiFailure) id() string { return fmt.Sprint(f["id"]) }

// has reports whether a filter should select f, by the keys of the API alone.
func (f apiFailure) has(name, value string) bool {
	text := func(key string) string {
		switch v := f[key].(type) {
		case string:
			return v
		case float64:
			return strconv.Itoa(int(v))
		}
		return ""
	}
	got := text(name)
	switch name {
	case "code":
		if strings.EqualFold(text("catalog_code"), value) {
			return true
		}
	case "client":
		got = got[:strings.LastIndex(got, ":")]
	case "program":
		got = diagnosis.ProgramOf(text("user_agent"))
	case "cause":
		all, _ := f["diagnoses"].([]any)
		for _, one := range all {
			d, _ := one.(map[string]any)
			if c := d["certainty"]; got == "" && (c == "certain" || c == "likely") {
				got = fmt.Sprint(d["cause"])
			}
		}
	}
	return strings.EqualFold(cmp.Or(got, "none"), value)
}

// all returns all failures.
func (d *desk) all() (list []apiFailure) {
	d.t.Helper()
	var response struct {
		Data struct{ Failures []apiFailure }
	}
	getJSON(d.t, "http://"+d.admin+"/api/v1/failures?limit=1000", &response)
	return response.Data.Failures
}

// pageParams are the parameters of the overview that are not filters.
var pageParams = []string{"view", "from", "to"}

// filtersOf returns the filters of an address.
func filtersOf(t *testing.T, address string) url.Values {
	t.Helper()
	u, err := url.Parse(address)
	require.NoError(t, err)
	values := u.Query()
	for _, name := range pageParams {
		values.Del(name)
	}
	return values
}

// filteredDesk is a desk of which links are checked once.
type filteredDesk struct {
	*desk
	checked map[string]bool
}

// TestDeskFilters clicks every value that filters, in every view: the address has the
// filter, the page shows it, and the list and the groups have what matches and nothing
// else.
func TestDeskFilters(t *testing.T) {
	t.Parallel()
	d := &filteredDesk{startDesk(t), map[string]bool{}}
	varied := func(n int, change func(*cloudmonitor.CallSpec), code string) {
		c := d.fails(code)
		change(&c)
		d.call(n, c)
	}
	d.call(10, d.succeeds())
	varied(4, func(*cloudmonitor.CallSpec) {}, "LimitExceeded")
	varied(2, func(c *cloudmonitor.CallSpec) { c.Region = "cn-shanghai-2" }, "LimitExceeded")
	varied(2, func(c *cloudmonitor.CallSpec) { c.Action, c.Region = "DescribeAlarms", "cn-shanghai-2" }, "ServiceTimeout")
	varied(1, func(c *cloudmonitor.CallSpec) {
		c.Do = cloudmonitor.Directive{Error: "InternalFailure", Status: http.StatusBadGateway, Shape: "html"}
	}, "")
	varied(1, func(c *cloudmonitor.CallSpec) { c.As.SecretKey = "another" }, "")
	varied(1, func(c *cloudmonitor.CallSpec) { c.Host = "dead.api.ksyun.com" }, "")
	varied(1, func(c *cloudmonitor.CallSpec) { c.As = foreign }, "InvalidParameterValue")
	d.call(1, cloudmonitor.CallSpec{
		Method: http.MethodPost, Action: "GetMetricStatisticsBatch", Version: "2018-11-14", As: good, Do: cloudmonitor.Directive{Partial: 1},
		Body: `{"Namespace":"KEC","Period":"60","StartTime":"2026-11-01T00:00:00Z","EndTime":"2026-11-01T00:10:00Z","Metrics":[{"InstanceID":"a","MetricName":"cpu.utilizition.total"},{"InstanceID":"b","MetricName":"cpu.utilizition.total"}]}`,
	})
	const failed = 13
	eventually(t, "all failures are kept", func() bool { return len(d.all()) == failed })
	failures := d.all()

	for _, view := range []string{"/", "/?view=list", "/programs", "/catalogue", "/?blame=quota", "/?region=cn-shanghai-2&view=list"} {
		t.Run(view, func(t *testing.T) { d.clickAll(t, view, failures) })
	}
	pages := map[string]string{} // one failure of each outcome
	for _, f := range failures {
		pages[fmt.Sprint(f["outcome"])] = "/failures/" + f.id()
	}
	for outcome, view := range pages {
		t.Run("failure with outcome "+outcome, func(t *testing.T) { d.clickAll(t, view, failures) })
	}
}

// clickAll clicks every link of a view that has a filter, and checks where it leads to.
func (d *filteredDesk) clickAll(t *testing.T, view string, failures []apiFailure) {
	b := openBrowser(t, "http://"+d.admin)
	b.open(view)
	links := slices.Compact(slices.Sorted(slices.Values(strings.Split(b.text(
		`[...document.querySelectorAll("#main a[href^='/?']")].filter((a) => !a.closest(".ranges, .tabs, .legend, .clear, svg, details, .empty") && a.checkVisibility()).map((a) => a.getAttribute("href")).join("\n")`), "\n"))))
	// Links of the banner, which is about everything, lead to one filter alone.
	bannerLinks := func() []string {
		return strings.Split(b.text(`[...document.querySelectorAll("#banner a")].map((a) => a.getAttribute("href")).join("\n")`), "\n")
	}
	fromBanner := bannerLinks()
	before := filtersOf(t, view)
	clicked := 0
	for _, link := range links {
		want := filtersOf(t, link)
		if len(want) == 0 {
			continue // such as "other kinds of failure"
		}
		b.open(view)
		if slices.Contains(fromBanner, link) && !slices.Contains(bannerLinks(), link) {
			continue // what it reports has been over for some minutes
		}
		clicked++
		b.click(`#main a[href=` + strconv.Quote(link) + `]`)
		b.until("the click on "+link+" is followed", `location.pathname + location.search === `+strconv.Quote(link)+` && document.querySelector("#results")`)
		if !keeps(before, want) && !slices.Contains(fromBanner, link) {
			t.Errorf("%s: %s lost a filter", view, link)
		}
		if !d.checked[link] {
			d.checked[link] = true
			d.checkFiltered(b, link, want, failures)
		}
	}
	assert.NotZero(t, clicked, "%s has no value to click", view)
	t.Logf("%s: %d links", view, clicked)
	b.clean()
}

// keeps reports whether a click keeps all filters but the one that it sets or removes.
func keeps(before, after url.Values) bool {
	changed := map[string]bool{}
	for name := range before {
		changed[name] = !slices.Equal(before[name], after[name])
	}
	for name := range after {
		changed[name] = !slices.Equal(before[name], after[name])
	}
	n := 0
	for _, c := range changed {
		if c {
			n++
		}
	}
	return n <= 1
}

// checkFiltered checks that the page, which is open, shows its filters, and that its list
// and its groups have the failures that match them.
func (d *filteredDesk) checkFiltered(b *tab, link string, filters url.Values, failures []apiFailure) {
	t := b.t
	for name, values := range filters {
		for _, value := range values {
			shown := `[...document.querySelectorAll(".filters li span")].some((e) => e.textContent.trim().replace(/\s+/g, " ") === ` + strconv.Quote(name+" "+value) + `)`
			if name == "blame" {
				shown = `document.querySelector(".chip[aria-current][data-blame=` + value + `]")`
			}
			assert.Equal(t, "true", b.text("Boolean("+shown+")"), "%s does not show the filter %s = %s", link, name, value)
		}
	}
	var ids, groups []string
	counts := map[string]int{}
	for _, f := range failures {
		matches := true
		for name, values := range filters {
			matches = matches && slices.ContainsFunc(values, func(v string) bool { return f.has(name, v) })
		}
		if matches {
			ids = append(ids, f.id())
			counts[fmt.Sprint(f["group"])]++
		}
	}
	for group, n := range counts {
		groups = append(groups, fmt.Sprintf("%s %d", group, n))
	}
	u, err := url.Parse(link)
	require.NoError(t, err)
	check := func(view, row string, want []string) {
		q := u.Query()
		q.Set("view", view)
		b.open("/?" + q.Encode())
		text := b.text(`[...document.querySelectorAll("#results tbody tr")].map((row) => ` + row + `).join("\n")`)
		got := slices.DeleteFunc(strings.Split(text, "\n"), func(s string) bool { return s == "" })
		assert.ElementsMatch(t, want, got, "%s: the view %s", link, view)
	}
	check("list", `row.dataset.id`, ids)
	check("groups", `row.dataset.id + " " + row.querySelector(".count a").textContent`, groups)
}
