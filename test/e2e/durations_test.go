//go:build e2e

package e2e

import (
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/dashboards"
)

// TestDurationsOfNativeHistograms sends the queries of the panels on durations
// to a Prometheus that scrapes native histograms: they use these, and no series
// is drawn twice. (TestDashboardsShowWhatHappened does so with classic
// histograms.)
func TestDurationsOfNativeHistograms(t *testing.T) {
	t.Parallel()
	api := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good}}))
	defer api.Close()
	tap := startTap(t, nil, "--upstream.connect-to="+apiHost+":80="+api.Listener.Addr().String())
	prometheus := startPrometheus(t, tap.admin)
	traffic := &cloudmonitor.Traffic{Client: &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy})}}, Host: apiHost}
	// All take 0.15 s and more; classic buckets would say anything up to 0.25 s.
	eventually(t, "the calls of ten seconds are scraped", func() bool {
		traffic.Send(t.Context(), slow.call)
		return prometheus.value(`histogram_count(sum(rate(ksyun_api_request_duration_seconds[10s])))`) > 2
	})
	asked := 0
	for _, d := range dashboards.All() {
		for _, p := range d.Panels() {
			for _, target := range p.Targets {
				if !strings.Contains(target.Expr, "ksyun_api_request_duration_seconds") {
					continue
				}
				asked++
				expr := dashboards.Zoom{Rate: 10 * time.Second}.Fill(target.Expr)
				if response := prometheus.query(expr); len(response) != 1 {
					t.Errorf("%q: %d series, want 1", p.Title, len(response))
				} else if v := prometheus.value(expr); v < 0.15 || v > 5 {
					t.Errorf("%q says %v s, and it was 0.15 and a little", p.Title, v)
				}
			}
		}
	}
	assert.Equal(t, 4, asked, "queries on durations")
}
