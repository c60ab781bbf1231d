//go:build e2e

package e2e

import (
	"fmt"
	"net/url"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"
)

// prometheus is a real one that scrapes the tap.
type prometheus struct {
	t       *testing.T
	url     string
	process *process
}

// servePrometheus starts one and waits until it is ready.
func servePrometheus(t *testing.T, args ...string) *prometheus {
	t.Helper()
	address := freeport.TCP(t)
	p := &prometheus{t, "http://" + address, start(t, nil, "prometheus", append(args, "--web.listen-address="+address)...)}
	awaitReady(t, "Prometheus", p.url)
	return p
}

func startPrometheus(t *testing.T, target string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	config := filepath.Join(dir, "prometheus.yml")
	text := fmt.Sprintf(`
global: {scrape_interval: 1s, scrape_timeout: 1s}
scrape_configs:
  - job_name: ksyun-tap
    static_configs: [{targets: [%q]}]
`, target)
	testfile.Write(t, config, text, 0o600)
	p := servePrometheus(t, "--config.file="+config, "--storage.tsdb.path="+filepath.Join(dir, "data"),
		"--enable-feature=exemplar-storage,native-histograms")
	eventually(t, "Prometheus scrapes the tap", func() bool { return p.value(`up{job="ksyun-tap"}`) == 1 })
	return p
}

// serveBlocks makes data of a file of OpenMetrics, if one is named, and starts a
// Prometheus on it that scrapes nothing.
func serveBlocks(t *testing.T, file, data string) *prometheus {
	t.Helper()
	if file != "" {
		promtool(t, "tsdb", "create-blocks-from", "openmetrics", "--quiet", file, data)
	}
	config := filepath.Join(t.TempDir(), "prometheus.yml")
	testfile.Write(t, config, "global: {scrape_interval: 1m}\n", 0o600)
	return servePrometheus(t, "--config.file="+config, "--storage.tsdb.path="+data, "--storage.tsdb.retention.time=10y")
}

func promtool(t *testing.T, args ...string) {
	t.Helper()
	if out, err := exec.Command("promtool", args...).CombinedOutput(); err != nil {
		t.Fatalf("promtool %s: %v\n%s", strings.Join(args[:3], " "), err, tail(string(out), 2000))
	}
}

type series struct {
	Metric map[string]string
	Value  [2]any
}

func (p *prometheus) query(expr string) []series {
	p.t.Helper()
	var response struct {
		Data struct{ Result []series }
	}
	getJSON(p.t, p.url+"/api/v1/query?query="+url.QueryEscape(expr), &response)
	return response.Data.Result
}

// value is the value of a query that gives one; -1 where it gives none yet.
func (p *prometheus) value(expr string) float64 {
	p.t.Helper()
	result := p.query(expr)
	if len(result) == 0 {
		return -1
	}
	f, err := strconv.ParseFloat(fmt.Sprint(result[0].Value[1]), 64)
	if err != nil || len(result) > 1 {
		p.t.Fatalf("%s: %v, %v", expr, result, err)
	}
	return f
}

// labels are the values of one label in a query's result.
func (p *prometheus) labels(expr, name string) []string {
	p.t.Helper()
	var values []string
	for _, s := range p.query(expr) {
		values = append(values, s.Metric[name])
	}
	return values
}

// hasExemplar reports whether a metric has an exemplar of that trace.
func (p *prometheus) hasExemplar(metric, traceID string) bool {
	p.t.Helper()
	now := time.Now()
	q := url.Values{
		"query": {metric},
		"start": {strconv.FormatInt(now.Add(-10*time.Minute).Unix(), 10)},
		"end":   {strconv.FormatInt(now.Add(time.Minute).Unix(), 10)},
	}
	_, text := get(p.t, p.url+"/api/v1/query_exemplars?"+q.Encode())
	return strings.Contains(text, `"trace_id":"`+traceID+`"`)
}
