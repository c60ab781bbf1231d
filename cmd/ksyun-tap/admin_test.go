package main

import (
	"encoding/json"
	"io"
	"net/http"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// startAdmin runs a tap with the flags, and returns the addresses of its web and
// admin listeners; the latter is "" if there is none of its own.
func startAdmin(t *testing.T, flags ...string) (web, admin string) {
	t.Helper()
	tap := serveTap(t, flags...)
	if all := tap.listeners[wayAdmin]; len(all) > 0 {
		admin = all[0].Addr().String()
	}
	return tap.address(wayWeb), admin
}

// statusOf returns the status and the body of a response.
func statusOf(t *testing.T, method, url string) (int, string) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), method, url, nil)
	require.NoError(t, err)
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	res, err := client.Do(req)
	require.NoError(t, err)
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	require.NoError(t, err)
	return res.StatusCode, string(body)
}

// TestAdminAddress checks what each of the web listeners serves.
func TestAdminAddress(t *testing.T) {
	check := func(address string, want map[string]int) {
		t.Helper()
		for path, status := range want {
			if got, _ := statusOf(t, http.MethodGet, "http://"+address+path); got != status {
				t.Errorf("%s: %d, want %d", path, got, status)
			}
		}
	}
	everything := map[string]int{"/metrics": 200, "/-/healthy": 200, "/": 200, "/api/v1/failures": 200, "/debug/pprof/": 404}
	public := map[string]int{"/metrics": 200, "/-/healthy": 200, "/-/ready": 200, "/": 404, "/api/v1/failures": 404, "/debug/pprof/": 404}

	one, none := startAdmin(t, "--web.listen-address=127.0.0.1:0")
	check(one, everything)
	if none != "" {
		t.Errorf("an admin listener %s that is not set", none)
	}
	web, admin := startAdmin(t, "--web.listen-address=127.0.0.1:0", "--web.admin-listen-address=localhost:0")
	check(web, public)
	check(admin, everything)
	both, none := startAdmin(t, "--web.listen-address=127.0.0.1:0", "--web.admin-listen-address=127.0.0.1:0", "--web.enable-pprof")
	everything["/debug/pprof/"] = 200
	check(both, everything)
	if none != "" {
		t.Errorf("a second listener %s on the same address", none)
	}
}

// TestLifecycle checks that reload by HTTP must be enabled.
func TestLifecycle(t *testing.T) {
	web, _ := startAdmin(t, "--web.listen-address=127.0.0.1:0")
	if status, body := statusOf(t, http.MethodPost, "http://"+web+"/-/reload"); status != http.StatusForbidden || !strings.Contains(body, "--web.enable-lifecycle") {
		t.Errorf("%d %s", status, body)
	}
}

// TestStatus checks what the API reports on the running program.
func TestStatus(t *testing.T) {
	web, _ := startAdmin(t, "--web.listen-address=127.0.0.1:0", "--journal.size=77", "--tap.host=a.ksyun.com", "--tap.host=b.ksyun.com")
	of := func(name string, into any) {
		t.Helper()
		status, body := statusOf(t, http.MethodGet, "http://"+web+"/api/v1/status/"+name)
		if err := json.Unmarshal([]byte(body), into); status != http.StatusOK || err != nil {
			t.Fatalf("%s: %d %v %s", name, status, err, body)
		}
	}
	var config struct{ Data struct{ YAML string } }
	of("config", &config)
	if !strings.Contains(config.Data.YAML, "journal.size: 77  # --journal.size\n") || !strings.Contains(config.Data.YAML, "tap.host: [a.ksyun.com, b.ksyun.com]") {
		t.Errorf("config:\n%s", config.Data.YAML)
	}
	var flags struct{ Data map[string]string }
	of("flags", &flags)
	if flags.Data["journal.size"] != "77" || flags.Data["tap.host"] != "a.ksyun.com,b.ksyun.com" || flags.Data["log.level"] != "info" {
		t.Errorf("flags: %v", flags.Data)
	}
	var build struct {
		Data struct{ GoVersion, Version string }
	}
	of("buildinfo", &build)
	if !strings.HasPrefix(build.Data.GoVersion, "go") || build.Data.Version == "" {
		t.Errorf("build: %+v", build)
	}
	var run struct {
		Data struct {
			ReloadConfigSuccess bool
			GoroutineCount      int
			StartTime, CWD      string
		}
	}
	of("runtimeinfo", &run)
	if !run.Data.ReloadConfigSuccess || run.Data.GoroutineCount < 5 || run.Data.StartTime == "" || run.Data.CWD == "" {
		t.Errorf("runtime: %+v", run)
	}
}
