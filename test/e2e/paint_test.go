//go:build e2e

package e2e

import (
	"flag"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"testing"
	"time"

	"github.com/chromedp/cdproto/network"
	"github.com/chromedp/chromedp"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/exporter/web"
)

var paintRounds = flag.Int("paint.rounds", 3, "how often TestFirstPaint loads each page")

// TestFirstPaint logs how long the first paint of the overview takes, of a tap that has
// seen an hour of failures, beside that of a copy of it: the same page, stylesheet and
// script as files, served by net/http's FileServer. Both are loaded in turns, by the same
// browser without its cache.
func TestFirstPaint(t *testing.T) {
	t.Parallel()
	tap := httptest.NewServer(web.NewHandler(anHour(time.Now().UTC())))
	defer tap.Close()
	dir := t.TempDir()
	save := func(path, name string) []byte {
		res, err := http.Get(tap.URL + path)
		require.NoError(t, err)
		defer res.Body.Close()
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != http.StatusOK {
			t.Fatalf("%s: %s, %v", path, res.Status, err)
		}
		file := filepath.Join(dir, name)
		require.NoError(t, os.MkdirAll(filepath.Dir(file), 0o755))
		require.NoError(t, os.WriteFile(file, body, 0o600))
		return body
	}
	for _, asset := range regexp.MustCompile(`/static/[a-z.0-9]+`).FindAll(save("/", "index.html"), -1) {
		save(string(asset), string(asset))
	}
	files := httptest.NewServer(http.FileServer(http.Dir(dir)))
	defer files.Close()

	b := openBrowser(t, "")
	_, err := chromedp.Call(b.ctx, network.SetCacheDisabled, network.SetCacheDisabledParams{CacheDisabled: true})
	require.NoError(t, err)
	type load struct{ Paint, Response float64 } // milliseconds since the navigation
	loads := map[string][]load{}
	for round := range *paintRounds + 1 {
		for _, url := range []string{tap.URL, files.URL} {
			b.open(url + "/")
			b.until("it is painted", `performance.getEntriesByName("first-contentful-paint").length`)
			one := eval[load](b, `({Paint: performance.getEntriesByName("first-contentful-paint")[0].startTime, Response: performance.getEntriesByType("navigation")[0].responseEnd})`)
			if round > 0 { // the first one starts the renderer
				loads[url] = append(loads[url], one)
			}
		}
	}
	median := func(url string, of func(load) float64) float64 {
		var all []float64
		for _, l := range loads[url] {
			all = append(all, of(l))
		}
		slices.Sort(all)
		return all[len(all)/2]
	}
	paint, response := func(l load) float64 { return l.Paint }, func(l load) float64 { return l.Response }
	t.Logf("median of %d loads: first paint %.0f ms, of the copy %.0f ms: %.2f; end of the response %.0f ms, of the copy %.0f ms", *paintRounds,
		median(tap.URL, paint), median(files.URL, paint), median(tap.URL, paint)/median(files.URL, paint), median(tap.URL, response), median(files.URL, response))
}
