package classify

import (
	"net/http"
	"slices"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

func TestAppendHost(t *testing.T) {
	for authority, want := range map[string]string{
		"Monitor.API.ksyun.com":      "monitor.api.ksyun.com",
		"monitor.api.ksyun.com.:443": "monitor.api.ksyun.com",
		"u:p@h:80":                   "h",
		"[2001:DB8::1]:8080":         "2001:db8::1",
		"[::1":                       "",
		"a/b":                        "",
		"a b":                        "",
		"h\x00":                      "",
		"":                           "",
	} {
		if got := string(hostname.AppendLower(nil, []byte(authority))); got != want {
			t.Errorf("hostname.AppendLower(%q) = %q, want %q", authority, got, want)
		}
	}
}

func TestKnownActions(t *testing.T) {
	all := KnownActions()
	seen := make(map[[2]string]bool)
	for _, a := range all {
		for _, name := range []string{a.Service, a.Name, a.Version} {
			if !isName([]byte(name)) {
				t.Errorf("%q is no name, in %+v", name, a)
			}
		}
		if !slices.Contains([]string{"GET", "POST", "PUT"}, a.Method) || !slices.Contains([]string{"/", "/v3/", "/v4/"}, a.Path) {
			t.Errorf("%+v", a)
		}
		key := [2]string{a.Name, a.Version}
		if seen[key] {
			t.Errorf("%v is there twice", key)
		}
		seen[key] = true
	}
	i := slices.IndexFunc(all, func(a Action) bool { return a.Name == "GetMetricStatisticsBatch" && a.Version == "2018-11-14" })
	if i < 0 || all[i].PerMinute != 180 || all[i].MaxMetrics != 200 || all[i].MaxRecords != 6000 || all[i].Method != http.MethodPost {
		t.Errorf("GetMetricStatisticsBatch: %+v", all[max(i, 0)])
	}
	all[0].Name = "changed"
	if KnownActions()[0].Name == "changed" {
		t.Error("the caller's slice is ours")
	}
}

// TestRequestAllocations holds reading a request to none.
func TestRequestAllocations(t *testing.T) {
	c := New(DefaultCatalog())
	head := plainFields{
		{"Content-Type", []byte("application/x-www-form-urlencoded")},
		{"Authorization", []byte(sigv4)},
		{"X-Amz-Date", []byte("20261123T150257Z")},
	}
	for name, r := range map[string]*Request{
		"query":     {Target: []byte("/?Action=GetMetricStatistics&Version=2010-05-25"), Host: []byte("monitor.api.ksyun.com"), Header: head},
		"form":      {Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"), Header: head, Body: []byte("Action=AddAlarmReceives&Version=2021-01-01")},
		"JSON":      {Target: []byte("/"), Host: []byte("monitor.api.ksyun.com"), Header: head, Body: []byte(`{"Action":"PutMetricData","Version":"2017-07-01","DryRun":true}`)},
		"simple":    {Target: []byte("/?Action=ListMetrics&Version=2010-05-25&Service=monitor&Timestamp=2026-11-23T15%3A02%3A57Z&Accesskey=AK&Signature=c2ln"), Host: []byte("monitor.cn-beijing-6.api.ksyun.com")},
		"presigned": {Target: []byte("/?Action=ListMetrics&X-Amz-Credential=AK%2F20261123%2Fcn-beijing-6%2Fmonitor%2Faws4_request&X-Amz-Signature=ab"), Host: []byte("internal.api.ksyun.com")},
	} {
		if got := testing.AllocsPerRun(100, func() { c.Request(r) }); got != 0 {
			t.Errorf("%s: %v allocations, want none", name, got)
		}
	}
}
