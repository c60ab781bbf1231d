//go:build e2e

package e2e

import (
	"strconv"
	"strings"
	"testing"
)

// TestDeskWithoutMatches uses the chart in a real browser while no failure matches.
func TestDeskWithoutMatches(t *testing.T) {
	t.Parallel()
	d := startDesk(t)
	d.call(3, d.fails("LimitExceeded"))
	d.await(3, "LimitExceeded")
	b := openBrowser(t, "http://"+d.admin)
	for _, path := range []string{"/?action=NoSuchAction", "/?blame=nobody", "/?nosuch=1&view=list"} {
		for _, width := range []int64{1440, 390} {
			b.size(width, 844)
			b.open(path)
			b.until("the chart has a time axis", `document.querySelectorAll(".chart .ticks text").length >= 2`)
			if b.text(`[...document.querySelectorAll(".ticks text")].every((e) => { const r = e.getBoundingClientRect(); return r.left >= 0 && r.right <= innerWidth; })`) != "true" {
				t.Errorf("%s at %d pixels: a label of the time axis is cut off", path, width)
			}
			b.accessible(path)
		}
		b.click(".nothing a")
		b.until("the filters are cleared", `!document.querySelector(".filters") && document.querySelector("#results tbody tr")`)
	}
	b.open("/?tz=local")
	b.until("the axis has local times", `[...document.querySelectorAll(".ticks text")].every((e) => { const at = new Date(e.dataset.time); return e.textContent.includes(String(at.getHours()).padStart(2, "0") + ":"); })`)
	b.clean()
}

// TestDeskKeepsFocus checks that live updates leave the focus where it is.
func TestDeskKeepsFocus(t *testing.T) {
	t.Parallel()
	d := startDesk(t)
	d.call(2, d.fails("LimitExceeded"))
	d.call(1, d.fails("ServiceTimeout"))
	d.await(1, "ServiceTimeout")
	b := openBrowser(t, "http://"+d.admin)
	for i, e := range []string{`#charttable summary`, `#charttable .scroll`, `#results tr:last-child .subject .dim .value`, `.chip[data-blame="quota"]`} {
		b.open("/")
		eval[int](b, `document.querySelector("#charttable").open = true; document.querySelector(`+strconv.Quote(e)+`).focus();
			window.row = document.activeElement.closest("[data-id]")?.dataset.id; window.before = document.querySelector("#results"); 0`)
		d.call(1, d.fails("LimitExceeded"))
		b.until(e+" is replaced", `!document.contains(window.before)`)
		if got := b.text(`document.activeElement.localName + " " + (document.activeElement.closest("[data-id]")?.dataset.id === window.row)`); strings.HasPrefix(got, "body") || !strings.HasSuffix(got, "true") {
			t.Errorf("%d %s: the focus is at %s", i, e, got)
		}
	}
	b.clean()
}
