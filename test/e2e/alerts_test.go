//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/ksyun-tap/ksyun-tap/internal/freeport"
	"github.com/ksyun-tap/ksyun-tap/internal/testfile"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.yaml.in/yaml/v3"

	"github.com/ksyun-tap/ksyun-tap/internal/demo/cloudmonitor"
)

const deploy = "../../deploy"

// TestMixinHoldsTheSameRules renders the mixin as it is, and with a changed
// threshold.
func TestMixinHoldsTheSameRules(t *testing.T) {
	t.Parallel()
	render := func(program string) string {
		t.Helper()
		cmd := exec.Command("jsonnet", "-J", deploy+"/prometheus/mixin", "-e", program)
		var said bytes.Buffer
		cmd.Stderr = &said
		out, err := cmd.Output()
		require.NoError(t, err, said.String())
		return string(out)
	}
	type rules struct {
		Groups []struct {
			Name  string
			Rules []map[string]any
		}
	}
	flat := func(text string) (all []string) {
		var r rules
		require.NoError(t, yaml.Unmarshal([]byte(text), &r))
		for _, g := range r.Groups {
			for _, rule := range g.Rules {
				line := must(json.Marshal(rule))
				all = append(all, g.Name+string(line))
			}
		}
		slices.Sort(all)
		return all
	}
	const mixin = "local m = import 'mixin.libsonnet'; { groups: m.prometheusRules.groups + m.prometheusAlerts.groups }"
	file := string(must(os.ReadFile(deploy + "/prometheus/rules.yaml")))
	if got, want := flat(render(mixin)), flat(file); !slices.Equal(got, want) || len(want) < 50 {
		t.Errorf("the mixin holds %d rules, the file %d, or others", len(got), len(want))
	}
	changed := render("local m = (import 'mixin.libsonnet') + { _config+:: { outageRatio: '0.9' } }; m.prometheusRules")
	assert.Contains(t, changed, ">= 0.9 and", "a changed threshold has no effect")
}

// TestAlertmanagerRoutes asks amtool which receiver gets which alert.
func TestAlertmanagerRoutes(t *testing.T) {
	t.Parallel()
	config := deploy + "/alertmanager/alertmanager.yaml"
	out, err := exec.Command("amtool", "check-config", config).CombinedOutput()
	assert.NoError(t, err, "check-config\n%s", out)
	for labels, want := range map[string]string{
		"alertname=KsyunApiOutage severity=critical blame=provider":            "pager",
		"alertname=KsyunTapDown severity=critical blame=tap":                   "pager",
		"alertname=KsyunApiAuthFailing severity=critical blame=credential":     "accounts",
		"alertname=KsyunApiThrottled severity=warning blame=quota":             "owners",
		"alertname=KsyunApiClockSkew severity=warning blame=credential":        "accounts",
		"alertname=KsyunApiBadRequests severity=warning blame=client":          "owners",
		"alertname=KsyunApiMaskedErrors severity=warning blame=provider":       "operators",
		"alertname=KsyunApiUnknownCodes severity=info blame=provider":          "operators",
		"alertname=KsyunTapConfigReloadFailed severity=warning blame=tap":      "operators",
		"alertname=KsyunApiPermissionDenied severity=warning blame=credential": "accounts",
	} {
		args := append([]string{"config", "routes", "test", "--config.file=" + config}, strings.Fields(labels)...)
		out, err := exec.Command("amtool", args...).Output()
		if err != nil || strings.TrimSpace(string(out)) != want {
			t.Errorf("%s: %v, sent to %s, want %s", labels, err, out, want)
		}
	}
}

// faster is the factor by which the durations of the rules are shortened: an
// hour becomes a minute. Rates stay per second.
const faster = 60

var duration = regexp.MustCompile(`(\[|:|offset |for: )(\d+)([smhd])`)

// hastened returns the rules with shorter windows, offsets and waits.
func hastened(rules string) string {
	return duration.ReplaceAllStringFunc(rules, func(s string) string {
		m := duration.FindStringSubmatch(s)
		n, _ := strconv.Atoi(m[2])
		unit := map[string]time.Duration{"s": time.Second, "m": time.Minute, "h": time.Hour, "d": 24 * time.Hour}[m[3]]
		return fmt.Sprintf("%s%dms", m[1], (time.Duration(n) * unit / faster).Milliseconds())
	})
}

// inbox collects what Alertmanager sends to each receiver.
type inbox struct {
	mu    sync.Mutex
	texts map[string]string // by receiver's path
}

func (i *inbox) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, _ := io.ReadAll(r.Body)
	i.mu.Lock()
	i.texts[r.URL.Path] += string(body) + "\n"
	i.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	io.WriteString(w, `{"ok":true,"errcode":0,"access_token":"x"}`)
}

func (i *inbox) holds(path string, parts ...string) bool {
	i.mu.Lock()
	defer i.mu.Unlock()
	return holds(i.texts[path], parts)
}

// TestAlertsReachPeople provokes each alert at real taps, and follows it
// through a real Prometheus and Alertmanager to its receiver. Two are tested by
// promtool only: a loop needs several hosts (TestTransparentLoop), and a panic
// cannot be provoked.
func TestAlertsReachPeople(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	plain := httptest.NewServer(cloudmonitor.New(cloudmonitor.Config{Credentials: []cloudmonitor.Credential{good, denied, foreign}}))
	defer plain.Close()
	settings := filepath.Join(t.TempDir(), "ksyun-tap.yaml")
	testfile.Write(t, settings, "log.level: info\n", 0o600)
	program := filepath.Join(t.TempDir(), "ksyun-tap")
	require.NoError(t, build(program)) // without the race detector: by the hastened rules, a slow scrape is one that fails
	tap := startProgram(t, program, nil, "--config.file="+settings, "--upstream.connect-to="+apiHost+":80="+plain.Listener.Addr().String(),
		"--upstream.connect-to=dead.api.ksyun.com:80="+freeport.TCP(t), "--check-path.interval=1s", "--check-path.target=http://dead.api.ksyun.com",
		"--intercept", "--intercept.ca-dir="+filepath.Join(t.TempDir(), "ca"))
	other := startProgram(t, program, nil)
	// A tap whose log is on a full disk, and whose credentials become invalid.
	keys := keyFile(t, good)
	ailing := startSilent(t, program, "--log.file=/dev/full", "--upstream.connect-to="+apiHost+":80="+plain.Listener.Addr().String(), "--resign.listen-address=127.0.0.1:0", "--resign.credentials-file="+keys)
	testfile.Write(t, keys, "access_key: half-writ", 0o600)
	people := &inbox{texts: map[string]string{}}
	receivers := httptest.NewServer(people)
	defer receivers.Close()
	alertmanager := startAlertmanager(t, receivers.URL)
	prometheus := startAlerting(t, alertmanager, tap.admin, other.admin, ailing.admin)

	var wg sync.WaitGroup
	defer wg.Wait()
	defer cancel()
	failing := make(chan struct{})
	proxy := http.ProxyURL(&url.URL{Scheme: "http", Host: tap.proxy})
	for range 3 {
		wg.Go(func() { drive(ctx, proxy, failing) })
	}
	wg.Go(func() { // a program that does not trust the CA
		stranger := &http.Transport{Proxy: proxy, DisableKeepAlives: true}
		for ctx.Err() == nil {
			_, _ = stranger.RoundTrip(must(http.NewRequestWithContext(ctx, http.MethodGet, "https://"+apiHost+"/", nil)))
			wait(ctx, 200*time.Millisecond)
		}
	})
	wg.Go(func() { // refused, and the line of it lost
		stranger := &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: ailing.proxy})}
		for ctx.Err() == nil {
			if res, err := stranger.RoundTrip(must(http.NewRequestWithContext(ctx, http.MethodGet, "http://other.example/", nil))); err == nil {
				res.Body.Close()
			}
			wait(ctx, 500*time.Millisecond)
		}
	})
	wg.Go(func() { // a program that only asks for what is wrong
		traffic := &cloudmonitor.Traffic{Client: &http.Client{Transport: &http.Transport{Proxy: http.ProxyURL(&url.URL{Scheme: "http", Host: ailing.proxy})}}, Host: apiHost}
		for ctx.Err() == nil {
			traffic.Send(ctx, cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good, Do: cloudmonitor.Directive{Error: "InvalidParameterValue"}})
			wait(ctx, 500*time.Millisecond)
		}
	})
	testfile.Write(t, settings, "log.levle: info\n", 0o600)
	reload(t, tap.admin)
	eventually(t, "all taps are known by the rules", func() bool { return prometheus.value(`count(instance:ksyun_tap:known)`) == 3 })
	other.stop(syscall.SIGTERM)

	defer func() {
		if t.Failed() {
			for _, expr := range []string{"ALERTS", "max_over_time(scrape_duration_seconds[2m])", "avg_over_time(up[2m])"} {
				for _, s := range prometheus.query(expr) {
					t.Logf("%s: %v %v", expr, s.Metric, s.Value[1])
				}
			}
			for _, p := range []*runningTap{tap, ailing} {
				p.logScrape()
			}
			people.mu.Lock()
			defer people.mu.Unlock()
			for path, text := range people.texts {
				t.Logf("%s received:\n%s", path, tail(text, 4<<10))
			}
		}
	}()
	for alert, at := range map[string]struct{ path, text string }{
		"KsyunApiErrorBudgetBurn":      {"/pager", `"window":"1h"`},
		"KsyunApiActionFailing":        {"/slack", "/?blame=provider"},
		"KsyunApiRegionFailing":        {"/slack", "Calls to one region fail because of the API or the network."},
		"KsyunApiMaskedErrors":         {"/slack", "/?outcome=masked"},
		"KsyunApiPartialFailures":      {"/slack", "docs/runbooks/KsyunApiPartialFailures.md"},
		"KsyunApiUnknownCodes":         {"/slack", "severity info, blame provider"},
		"KsyunApiThrottled":            {"/slack", "/?category=throttled"},
		"KsyunApiClockSkew":            {"/wechat/message/send", "KsyunApiClockSkew"},
		"KsyunApiBadRequests":          {"/slack", "blame client"},
		"KsyunApiAuthFailing":          {"/wechat/message/send", "调用因密钥或签名被拒绝"},
		"KsyunApiPermissionDenied":     {"/wechat/message/send", "责任方：密钥或权限"},
		"KsyunTapDown":                 {"/pager", other.admin},
		"KsyunTapPathCheckFailing":     {"/pager", tap.admin},
		"KsyunTapConfigReloadFailed":   {"/slack", "A tap could not reload its configuration."},
		"KsyunTapDroppingObservations": {"/slack", "did not reach logs in 15 minutes at " + ailing.admin},
		"KsyunTapCredentialsStale":     {"/slack", ailing.admin},
		"KsyunTapCAExpiring":           {"/slack", "The newest CA of " + tap.admin},
		"KsyunTapUntrusted":            {"/slack", "does not trust the CA of " + tap.admin},
	} {
		eventually(t, alert+" reaches "+at.path, func() bool { return people.holds(at.path, alert, at.text) })
	}

	// An outage is reported, and inhibits the alerts on its symptoms.
	close(failing)
	eventually(t, "the outage reaches the pager", func() bool { return people.holds("/pager", "KsyunApiOutage", "fail because of the provider") })
	eventually(t, "the failing action is silenced", func() bool {
		type alert struct {
			Status struct{ InhibitedBy []string }
		}
		var alerts []alert
		getJSON(t, alertmanager+"/api/v2/alerts?filter=alertname%3D%22KsyunApiActionFailing%22", &alerts)
		return slices.ContainsFunc(alerts, func(a alert) bool { return len(a.Status.InhibitedBy) > 0 })
	})

	// The end of an alert is sent, too.
	testfile.Write(t, settings, "log.level: info\n", 0o600)
	reload(t, tap.admin)
	eventually(t, "the valid configuration is reported", func() bool {
		return people.holds("/slack", "RESOLVED", "Resolved: A tap could not reload its configuration.")
	})

	cancel()
	wg.Wait()
	tap.stop(syscall.SIGTERM)
	ailing.stop(syscall.SIGTERM)
	eventually(t, "the absence of taps is reported", func() bool { return people.holds("/pager", "KsyunTapAbsent") })
}

// drive makes successful calls and each kind of failing call in turn and, once
// failing is closed, only calls that the API fails.
func drive(ctx context.Context, proxy func(*http.Request) (*url.URL, error), failing <-chan struct{}) {
	transport := &http.Transport{Proxy: proxy}
	defer transport.CloseIdleConnections()
	traffic := &cloudmonitor.Traffic{
		Client: &http.Client{Transport: transport}, Host: apiHost, Good: good, Denied: denied, Foreign: foreign, Codes: codes(),
	}
	bad := slices.DeleteFunc(traffic.Bad(), func(c cloudmonitor.CallSpec) bool { // they take a second and more
		return strings.Contains(c.Do.String(), "hang") || c.Do.Delay > 0 || c.Timeout > 0
	})
	fails := cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good, Do: cloudmonitor.Directive{Error: "ServiceTimeout"}}
	for i := 0; ctx.Err() == nil; i++ {
		call := cloudmonitor.CallSpec{Action: "ListMetrics", Version: "2010-05-25", As: good}
		select {
		case <-failing:
			call = fails
		default:
			switch i % 8 {
			case 1, 5:
				call = bad[(i/4)%len(bad)]
			case 2:
				call.As.SecretKey = "rotated"
			case 6:
				call.Do.Error = "LimitExceeded"
			case 3, 7:
				call = cloudmonitor.CallSpec{Action: "GetMetricStatistics", Version: "2010-05-25", As: good, Do: cloudmonitor.Directive{Error: "ServiceTimeout"}}
			}
		}
		traffic.Send(ctx, call)
		wait(ctx, 30*time.Millisecond)
	}
}

func wait(ctx context.Context, d time.Duration) {
	select {
	case <-time.After(d):
	case <-ctx.Done():
	}
}

// startAlertmanager starts an Alertmanager with the example's configuration,
// shorter waits and these receivers, and returns its address.
func startAlertmanager(t *testing.T, receivers string) string {
	t.Helper()
	dir := t.TempDir()
	text := string(must(os.ReadFile(deploy + "/alertmanager/alertmanager.yaml")))
	for old, with := range map[string]string{
		"http://127.0.0.1:9099": receivers, "group_wait: 30s": "group_wait: 1s", "group_interval: 5m": "group_interval: 1s",
	} {
		require.Contains(t, text, old, "the example has no")
		text = strings.ReplaceAll(text, old, with)
	}
	require.NoError(t, os.CopyFS(filepath.Join(dir, "templates"), os.DirFS(deploy+"/alertmanager/templates")))
	config := filepath.Join(dir, "alertmanager.yaml")
	testfile.Write(t, config, text, 0o600)
	address := freeport.TCP(t)
	start(t, nil, "prometheus-alertmanager", "--config.file="+config, "--storage.path="+filepath.Join(dir, "data"),
		"--web.listen-address="+address, "--cluster.listen-address=")
	return "http://" + address
}

// startAlerting starts a Prometheus with the hastened rules. The shortest windows of the
// rules, five seconds, have two samples.
func startAlerting(t *testing.T, alertmanager string, targets ...string) *prometheus {
	t.Helper()
	dir := t.TempDir()
	rules := hastened(string(must(os.ReadFile(deploy + "/prometheus/rules.yaml"))))
	const caDays = "time() < 7 * 86400"
	require.Contains(t, rules, caDays, "no such threshold for the CA")
	rules = strings.ReplaceAll(rules, caDays, "time() < 31 * 86400") // a month is all a CA has
	testfile.Write(t, filepath.Join(dir, "rules.yaml"), rules, 0o600)
	testfile.Write(t, filepath.Join(dir, "prometheus.yml"), fmt.Sprintf(`
global: {scrape_interval: 2s, scrape_timeout: 2s, evaluation_interval: 1s}
rule_files: [rules.yaml]
alerting: {alertmanagers: [{static_configs: [{targets: [%q]}]}]}
scrape_configs:
  - job_name: ksyun-tap
    static_configs: [{targets: [%s], labels: {cluster: test, namespace: shop}}]
`, strings.TrimPrefix(alertmanager, "http://"), `"`+strings.Join(targets, `", "`)+`"`), 0o600)
	return servePrometheus(t, "--config.file="+filepath.Join(dir, "prometheus.yml"), "--storage.tsdb.path="+filepath.Join(dir, "data"))
}
