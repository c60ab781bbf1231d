//go:build e2e

package alerts

import (
	"bufio"
	"encoding/json"
	"fmt"
	"math"
	"net/http"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/monitoring/rules"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// TestNewbornSeriesAreCountedByAnInstalledPrometheus does as
// TestNewbornSeriesAreCounted with the prometheus and promtool that are
// installed, which may know nothing of start timestamps.
func TestNewbornSeriesAreCountedByAnInstalledPrometheus(t *testing.T) {
	version, err := exec.CommandContext(t.Context(), "prometheus", "--version").CombinedOutput()
	require.NoError(t, err)
	first, _, _ := strings.Cut(string(version), "\n")
	for _, times := range []int{1, 3} {
		ask := installed(t, newborn(t, times))
		truth := float64(times * newbornTaps * newbornSeries)
		for _, q := range newbornQueries(t) {
			got := q.ask(func(expr string, second float64) float64 { return ask(recorded(expr), second) })
			t.Logf("%s: %d failures each: %.0f of %.0f by %s", first, times, got, truth, q.what)
			if q.plain && math.Abs(got-truth) > truth/100 {
				t.Errorf("%s: %.0f, want %.0f", q.expr, got, truth)
			}
		}
	}
}

// recorded puts the expression of the recorded taps in their place, which
// nobody records here.
func recorded(expr string) string {
	for _, g := range rules.Groups() {
		for _, r := range g.Rules {
			if r.Record == "instance:ksyun_tap:known15m" {
				return strings.ReplaceAll(expr, r.Record, "("+r.Expr+")")
			}
		}
	}
	panic("no such rule")
}

// installed serves the scrapes by the installed Prometheus, and returns how to
// ask it for the sum of a query.
func installed(t *testing.T, all []scraped) func(expr string, second float64) float64 {
	t.Helper()
	dir := t.TempDir()
	file, err := os.Create(filepath.Join(dir, "newborn.om"))
	require.NoError(t, err)
	defer file.Close()
	out := bufio.NewWriter(file)
	slices.SortStableFunc(all, func(a, b scraped) int { return strings.Compare(a.labels.String(), b.labels.String()) })
	for _, s := range all {
		name := s.labels.Get("__name__")
		text := strings.ReplaceAll(strings.Replace(s.labels.String(), `__name__="`+name+`", `, "", 1), `", `, `",`)
		fmt.Fprintf(out, "%s%s %v %s\n", name, text, s.value, strconv.FormatFloat(float64(s.at)/1e3, 'f', 3, 64))
	}
	fmt.Fprintln(out, "# EOF")
	require.NoError(t, out.Flush())
	data, config := filepath.Join(dir, "data"), filepath.Join(dir, "prometheus.yml")
	if said, err := exec.CommandContext(t.Context(), "promtool", "tsdb", "create-blocks-from", "openmetrics", "--quiet", file.Name(), data).CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, said)
	}
	testfile.Write(t, config, "global: {scrape_interval: 1m}\n", 0o600)
	address := freeport.TCP(t)
	cmd := exec.Command("prometheus", "--config.file="+config, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=100y", "--web.listen-address="+address)
	var said strings.Builder
	cmd.Stderr = &said
	require.NoError(t, cmd.Start())
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	get := func(path string) (*http.Response, error) {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodGet, "http://"+address+path, nil)
		require.NoError(t, err)
		return http.DefaultClient.Do(r)
	}
	for deadline := time.Now().Add(time.Minute); ; {
		if res, err := get("/-/ready"); err == nil {
			res.Body.Close()
			if res.StatusCode == http.StatusOK {
				break
			}
		}
		require.False(t, time.Now().After(deadline), "Prometheus is not ready:\n%s", said.String())
	}
	return func(expr string, second float64) float64 {
		res, err := get("/api/v1/query?time=" + strconv.FormatInt(millis(second)/1000, 10) + "&query=" + url.QueryEscape(expr))
		require.NoError(t, err)
		defer res.Body.Close()
		var response struct {
			Error string
			Data  struct{ Result []struct{ Value [2]any } }
		}
		if err := json.NewDecoder(res.Body).Decode(&response); err != nil || response.Error != "" {
			t.Fatalf("%s: %v %s", expr, err, response.Error)
		}
		sum := 0.0
		for _, s := range response.Data.Result {
			v, err := strconv.ParseFloat(fmt.Sprint(s.Value[1]), 64)
			require.NoError(t, err)
			sum += v
		}
		return sum
	}
}
