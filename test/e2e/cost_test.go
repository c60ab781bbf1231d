//go:build e2e

package e2e

import (
	"bufio"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// The maximum number of samples that one point of a panel, and one evaluation
// of a rule, may read with a thousand taps. Prometheus' default limit for a
// query is 50 million.
const (
	manyTaps    = 1000
	panelBudget = 1_000_000
	ruleBudget  = 450_000 // a rule that counts over 15 minutes reads three times what there is here
)

// TestCostOfManyTaps sends every query of every panel and of every rule to a
// Prometheus with the data of a thousand taps, and counts the samples that it
// reads.
func TestCostOfManyTaps(t *testing.T) {
	t.Parallel()
	prom, at := manyTapsData(t)
	cost := func(target dashboards.Target) int {
		var response struct {
			Data struct {
				Stats struct {
					Samples struct{ TotalQueryableSamples int }
				}
			}
		}
		getJSON(t, prom.url+"/api/v1/query?stats=all&time="+at+"&query="+url.QueryEscape(target.At(dashboards.Zoom{Interval: time.Minute, Rate: 5 * time.Minute, Range: 5 * time.Minute})), &response)
		return response.Data.Stats.Samples.TotalQueryableSamples
	}
	require.Equal(t, manyTaps, cost(dashboards.Target{Expr: "count(ksyun_tap_build_info)"}), "taps are there")
	worst, what := 0, ""
	for _, d := range dashboards.All() {
		for _, p := range d.Panels() {
			for _, target := range p.Targets {
				if target.Datasource.Type != "prometheus" {
					continue
				}
				n := cost(target)
				if n > worst {
					worst, what = n, fmt.Sprintf("%s, panel %q", d.UID, p.Title)
				}
				if n > panelBudget {
					t.Errorf("%s, panel %d %q, %s reads %d samples", d.UID, p.ID, p.Title, target.RefID, n)
				}
			}
		}
	}
	t.Logf("the dearest panel reads %d samples a point: %s", worst, what)
	worst = 0
	for _, r := range fileRules(t, must(os.ReadFile(deploy+"/prometheus/rules.yaml"))) {
		n := cost(dashboards.Target{Expr: r.Expr})
		if n > worst {
			worst, what = n, r.Record+r.Alert
		}
		assert.LessOrEqual(t, n, ruleBudget, "%s%s reads %d samples", r.Record, r.Alert, n)
	}
	t.Logf("the dearest rule reads %d samples: %s", worst, what)
}

// manyTapsData makes the data of a thousand taps from the metrics of one after
// some calls, scraped once a minute for five minutes, and returns a Prometheus
// that has them, and the time of the last scrape.
func manyTapsData(t *testing.T) (prom *prometheus, at string) {
	t.Helper()
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good, denied}}))
	defer api.Close()
	tap := startTap(t, nil, "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())
	traffic := &cloudmonitor.Traffic{Client: &http.Client{Transport: &http.Transport{
		Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy}), DisableKeepAlives: true,
	}}, Host: apiHost}
	kinds := []*kind{wellStats, wellList, wellRemote, wellBatch, wrongKey, noPolicy, skewed, tooMany, timeOut, regionOut, masked, partial, unknown, reset}
	failed := 0.0
	for _, k := range kinds {
		traffic.Send(t.Context(), k.call)
		if k.failed() {
			failed++
		}
	}
	counted := &dayTap{runningTap: tap, want: map[string]float64{"ksyun_api_requests_total": float64(len(kinds)), "ksyun_api_errors_total": failed}}
	text, _ := counted.scrapeAll(t, 0)

	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "taps.om"))
	require.NoError(t, err)
	defer file.Close()
	out := bufio.NewWriterSize(file, 1<<20)
	begin := time.Now().UTC().Truncate(2 * time.Hour).Add(-time.Hour)
	for minute := range 6 {
		stamp := begin.Add(time.Duration(minute) * time.Minute).Unix()
		for i := range manyTaps {
			target := fmt.Sprintf(`cluster="c",namespace="n%d",job="ksyun-tap",instance="10.0.%d.%d:18180"`, i%20, i/250, i%250)
			writeScrape(out, text, target, stamp)
		}
	}
	fmt.Fprintln(out, "# EOF")
	require.NoError(t, out.Flush())
	return serveBlocks(t, file.Name(), filepath.Join(dir, "data")), strconv.FormatInt(begin.Add(5*time.Minute).Unix(), 10)
}

// writeScrape writes what a tap served as OpenMetrics, with the labels of a
// target and a time: of its own metrics, and of others those that are looked at.
func writeScrape(out *bufio.Writer, text, target string, stamp int64) {
	fmt.Fprintf(out, "up{%s} 1 %d\n", target, stamp)
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(line, "ksyun_") && !strings.HasPrefix(line, "process_") && !strings.HasPrefix(line, "go_goroutines") {
			continue
		}
		series, value, _ := strings.Cut(strings.TrimSuffix(line, "\n"), "} ")
		if name, rest, ok := strings.Cut(series, "{"); ok {
			fmt.Fprintf(out, "%s{%s,%s} %s %d\n", name, target, rest, value, stamp)
		} else {
			name, value, _ := strings.Cut(series, " ")
			fmt.Fprintf(out, "%s{%s} %s %d\n", name, target, value, stamp)
		}
	}
}
