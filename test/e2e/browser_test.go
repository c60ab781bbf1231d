//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	img "image"
	"image/color"
	"image/draw"
	"image/png"
	"maps"
	"os"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/chromedp/cdproto/browser"
	"github.com/chromedp/cdproto/cdp"
	"github.com/chromedp/cdproto/log"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
	"github.com/stretchr/testify/require"
)

// tab is a tab of a real browser.
type tab struct {
	t    *testing.T
	ctx  context.Context
	base string

	mu       sync.Mutex
	problems []string // of the console
}

// openBrowser starts Chromium, which ends with the test, and returns its tab.
func openBrowser(t *testing.T, base string) *tab {
	t.Helper()
	profile := must(os.MkdirTemp("", "chromium")) //nolint:usetesting // removed later than t.TempDir would
	t.Cleanup(func() {                            // Chromium's other processes end a moment after it, and write until then
		eventually(t, "the browser's profile can be removed", func() bool { return os.RemoveAll(profile) == nil })
	})
	opts := append(chromedp.DefaultExecAllocatorOptions[:], chromedp.ExecPath("chromium"), chromedp.NoSandbox, chromedp.UserDataDir(profile))
	ctx, cancel := chromedp.NewExecAllocator(t.Context(), opts...)
	t.Cleanup(cancel)
	ctx, cancel = chromedp.NewContext(ctx)
	t.Cleanup(cancel)
	ctx, cancel = context.WithTimeout(ctx, 3*patience)
	t.Cleanup(cancel)
	b := &tab{t: t, ctx: ctx, base: base}
	err := chromedp.Listen(ctx, func(event any) {
		b.mu.Lock()
		defer b.mu.Unlock()
		switch e := event.(type) {
		case *runtime.EventExceptionThrown:
			b.problems = append(b.problems, e.ExceptionDetails.Text+" "+e.ExceptionDetails.URL)
		case *log.EventEntryAdded:
			if e.Entry.Level == log.EntryLevelError && !strings.Contains(e.Entry.Text, "the server responded with a status of 4") {
				b.problems = append(b.problems, e.Entry.Text+" "+e.Entry.URL)
			}
		}
	})
	require.NoError(t, err)
	if _, err := chromedp.Call(ctx, log.Enable, cdp.Empty{}); err != nil {
		t.Fatal(err)
	}
	for _, name := range []string{"clipboard-read", "clipboard-write"} {
		granted := browser.SetPermissionParams{Permission: &browser.PermissionDescriptor{Name: name}, Setting: browser.PermissionSettingGranted}
		if _, err := chromedp.CallBrowser(ctx, browser.SetPermission, granted); err != nil {
			t.Fatal(err)
		}
	}
	b.size(1440, 900)
	return b
}

func (b *tab) run(actions ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, actions...); err != nil {
		b.t.Fatal(err)
	}
}

// open opens a page of the tap.
func (b *tab) open(path string) {
	b.t.Helper()
	b.run(chromedp.Navigate(b.base+path), chromedp.WaitReady(chromedp.CSS("#main")))
}

// click clicks an element. A live update may replace it meanwhile.
func (b *tab) click(selector string) {
	b.t.Helper()
	eventually(b.t, selector+" is clicked", func() bool { return chromedp.Do(b.ctx, chromedp.Click(chromedp.CSS(selector))) == nil })
}

// enter presses Enter on an element until an expression is true: a live update may
// take the focus meanwhile.
func (b *tab) enter(selector, what, expression string) {
	b.t.Helper()
	eventually(b.t, what, func() bool {
		done, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		if err == nil && !done {
			_ = chromedp.Do(b.ctx, chromedp.Focus(chromedp.CSS(selector)), chromedp.KeyEvent(kb.Enter))
		}
		return err == nil && done
	})
}

// size sets the size of the viewport.
func (b *tab) size(width, height int64) {
	b.t.Helper()
	if width < 500 {
		b.run(chromedp.EmulateViewport(width, height, chromedp.EmulateMobile, chromedp.EmulateTouch))
		return
	}
	b.run(chromedp.EmulateViewport(width, height))
}

// eval returns the value of an expression of JavaScript.
func eval[T any](b *tab, expression string) T {
	b.t.Helper()
	value, err := chromedp.Run(b.ctx, chromedp.Evaluate[T](expression, chromedp.EvalAwaitPromise))
	if err != nil {
		b.t.Fatalf("%s: %v", expression, err)
	}
	return value
}

// text returns the value of an expression as text.
func (b *tab) text(expression string) string {
	b.t.Helper()
	return eval[string](b, "String("+expression+")")
}

// until waits until an expression is true.
func (b *tab) until(what, expression string) {
	b.t.Helper()
	eventually(b.t, what, func() bool {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+expression+")"))
		return err == nil && ok // a page that is being loaded has no context
	})
}

// clean checks that the console has no errors.
func (b *tab) clean() {
	b.t.Helper()
	b.mu.Lock()
	defer b.mu.Unlock()
	for _, p := range b.problems {
		b.t.Errorf("on the console: %s", p)
	}
}

// accessible checks the page with axe-core.
func (b *tab) accessible(what string) {
	b.t.Helper()
	axe, err := os.ReadFile("testdata/axe/axe.min.js")
	if err != nil {
		b.t.Fatal(err)
	}
	eval[int](b, string(axe)+"; 0")
	found := eval[string](b, `axe.run().then((r) => JSON.stringify(r.violations.map((v) => v.id + ": " + v.help + " " + v.nodes.slice(0, 3).map((n) => n.html.slice(0, 200) + " " + (n.any[0] || n.all[0] || n.none[0] || {}).message).join(" | "))))`)
	var violations []string
	if err := json.Unmarshal([]byte(found), &violations); err != nil {
		b.t.Fatal(err)
	}
	for _, v := range violations {
		b.t.Errorf("%s: %s", what, v)
	}
}

// picture writes a picture of the viewport, in 256 colours so that it is small.
func (b *tab) picture(file string) {
	b.t.Helper()
	shot, err := chromedp.Run(b.ctx, chromedp.CaptureScreenshot())
	if err != nil {
		b.t.Fatal(err)
	}
	full, err := png.Decode(bytes.NewReader(shot))
	if err != nil {
		b.t.Fatal(err)
	}
	counts := map[color.Color]int{}
	for y := range full.Bounds().Dy() {
		for x := range full.Bounds().Dx() {
			counts[full.At(x, y)]++
		}
	}
	// Colours that are much like a more frequent one are left out, so that those of
	// small parts remain.
	var palette color.Palette
	for _, c := range slices.SortedFunc(maps.Keys(counts), func(a, c color.Color) int { return counts[c] - counts[a] }) {
		if len(palette) < 256 && (len(palette) == 0 || distance(c, palette.Convert(c)) > 12) {
			palette = append(palette, c)
		}
	}
	small := img.NewPaletted(full.Bounds(), palette)
	draw.Draw(small, small.Bounds(), full, img.Point{}, draw.Src)
	var out bytes.Buffer
	if err := (&png.Encoder{CompressionLevel: png.BestCompression}).Encode(&out, small); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, out.Bytes(), 0o644); err != nil {
		b.t.Fatal(err)
	}
}

// distance returns the sum of the differences of two colours in red, green and
// blue, from 0 to 765.
func distance(a, b color.Color) int {
	x, y := color.NRGBAModel.Convert(a).(color.NRGBA), color.NRGBAModel.Convert(b).(color.NRGBA)
	return abs(int(x.R)-int(y.R)) + abs(int(x.G)-int(y.G)) + abs(int(x.B)-int(y.B))
}

func abs(n int) int { return max(n, -n) }
