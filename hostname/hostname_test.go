package hostname

import (
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	tests := []struct {
		authority string
		host      Name
		port      uint16
	}{
		{"Monitor.API.ksyun.com.", "monitor.api.ksyun.com", 0},
		{"monitor.api.ksyun.com:8443", "monitor.api.ksyun.com", 8443},
		{"h:", "h", 0},
		{"127.0.0.1:80", "127.0.0.1", 80},
		{"[2001:DB8::1]:80", "2001:db8::1", 80},
		{"[::ffff:10.0.0.1]", "10.0.0.1", 0},
		{"", "", 0},
		{":80", "", 0},
		{"h:0", "", 0},
		{"h:65536", "", 0},
		{"h:1x", "", 0},
		{"user@h", "", 0},
		{"[fe80::1%25eth0]", "", 0},
		{"a..b", "", 0},
	}
	for _, tt := range tests {
		host, port := Of(tt.authority)
		if host != tt.host || port != tt.port {
			t.Errorf("%q: %q, %d, want %q, %d", tt.authority, host, port, tt.host, tt.port)
		}
		if again, _ := Of([]byte(host.WithPort(80))); host != "" && again != host {
			t.Errorf("%q is written %q, which is parsed as %q", host, host.WithPort(80), again)
		}
	}
}

func TestIsDNS(t *testing.T) {
	for name, want := range map[Name]bool{
		"monitor.api.ksyun.com": true,
		"host":                  true,
		"under_score.example":   true,
		"":                      false,
		"a..b":                  false,
		"-a.example":            false,
		"a-.example":            false,
		"a b":                   false,
		"127.0.0.1":             false,
		"10.0x1f":               false,
		"::1":                   false,
		"Upper.example":         false, // not canonical
		Name(strings.Repeat("a", 64) + ".example"): false,
		Name(strings.Repeat("a.", 126) + "ab"):     false,
	} {
		if got := name.IsDNS(); got != want {
			t.Errorf("%q: %v, want %v", name, got, want)
		}
	}
}

func TestIsUnder(t *testing.T) {
	for _, tt := range []struct {
		host, domain Name
		want         bool
	}{
		{"a.example", "example", true},
		{"example", "example", true},
		{"aexample", "example", false},
		{"example", "a.example", false},
	} {
		if got := tt.host.IsUnder(tt.domain); got != tt.want {
			t.Errorf("%s under %s: %v", tt.host, tt.domain, got)
		}
	}
}

func TestAppendLower(t *testing.T) {
	for in, want := range map[string]string{
		"Monitor.API.ksyun.com.:80":      "monitor.api.ksyun.com",
		"user:password@h":                "h",
		" h ":                            "h",
		"[::1]:80":                       "::1",
		"[::1":                           "",
		"a/b":                            "",
		strings.Repeat("a", MaxLength+1): "",
	} {
		if got := AppendLower(nil, []byte(in)); string(got) != want {
			t.Errorf("%q: %q, want %q", in, got, want)
		}
	}
	buf, in := make([]byte, 0, MaxLength), []byte("Monitor.API.ksyun.com:80")
	if n := testing.AllocsPerRun(100, func() { AppendLower(buf, in) }); n != 0 {
		t.Errorf("%v allocations", n)
	}
}
