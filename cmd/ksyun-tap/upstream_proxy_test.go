package main

import "testing"

func TestUpstreamProxy(t *testing.T) {
	t.Setenv("HTTP_PROXY", "http://proxy.example:3128")
	t.Setenv("HTTPS_PROXY", "http://localhost:18181")
	t.Setenv("NO_PROXY", "direct.api.ksyun.com")
	find := upstreamProxy([]string{"127.0.0.1:18181"})
	f := func(scheme, host string, port uint16, want string) {
		t.Helper()
		u, err := find(scheme, host, port)
		got := ""
		if u != nil {
			got = u.String()
		}
		if err != nil || got != want {
			t.Errorf("%s://%s:%d: %q, %v; want %q", scheme, host, port, got, err, want)
		}
	}
	f("http", "monitor.api.ksyun.com", 80, "http://proxy.example:3128")
	f("http", "direct.api.ksyun.com", 80, "")
	f("https", "monitor.api.ksyun.com", 443, "") // the tap itself
}
