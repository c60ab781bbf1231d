package syntax

import "testing"

func TestReadHost(t *testing.T) {
	for host, want := range map[string][2]string{
		"monitor.api.ksyun.com":                       {"monitor", ""},
		"monitor.cn-shanghai-2.api.ksyun.com":         {"monitor", "cn-shanghai-2"},
		"monitor.internal.api.ksyun.com":              {"monitor", ""},
		"monitor.cn-beijing-6.internal.api.ksyun.com": {"monitor", "cn-beijing-6"},
		"kec.inner.api.ksyun.com":                     {"kec", ""},
		"internal.api.ksyun.com":                      {"", ""},
		"inner.api.ksyun.com":                         {"", ""},
		"api.ksyun.com":                               {"", ""},
		"monitor.api.ksyun.com.evil.example":          {"", ""},
		"proxy.example.com":                           {"", ""},
		"127.0.0.1":                                   {"", ""},
	} {
		service, region := ReadHost([]byte(host))
		if got := [2]string{string(service), string(region)}; got != want {
			t.Errorf("ReadHost(%q) = %q, want %q", host, got, want)
		}
	}
}
