package hostname

import (
	"strings"
	"testing"
)

func TestPatterns(t *testing.T) {
	tests := []struct{ pattern, yes, no string }{
		{
			"*.api.ksyun.com", "monitor.api.ksyun.com monitor.cn-beijing-6.api.ksyun.com internal.api.ksyun.com a.b.c.api.ksyun.com",
			"api.ksyun.com xapi.ksyun.com .api.ksyun.com api.ksyun.com.evil.example monitor.api.ksyun.comx",
		},
		{"Monitor.API.ksyun.com.", "monitor.api.ksyun.com", "x.monitor.api.ksyun.com api.ksyun.com"},
		{"127.0.0.1", "127.0.0.1", "127.0.0.2"},
		{"[::1]", "::1", "::2"},
		{"host", "host", "hos host.x"},
		{"under_score.example.com", "under_score.example.com", ""},
	}
	for _, tt := range tests {
		p, err := ParsePattern(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for h := range strings.FieldsSeq(tt.yes) {
			if !p.Match(Name(h)) {
				t.Errorf("%s does not match %s", tt.pattern, h)
			}
		}
		for h := range strings.FieldsSeq(tt.no) {
			if p.Match(Name(h)) {
				t.Errorf("%s matches %s", tt.pattern, h)
			}
		}
		if again, err := ParsePattern(p.String()); err != nil || again != p {
			t.Errorf("%s: spelled %s, read %v, %v", tt.pattern, p, again, err)
		}
	}
	for _, bad := range []string{"", "*", "*.", "*.com", "a.*.com", "*a.example.com", "**.example.com", "host:80", "http://host", "a b", "a..b", ".a", "ä.example", strings.Repeat("a", 64), strings.Repeat("a.", 130) + "a"} {
		if p, err := ParsePattern(bad); err == nil {
			t.Errorf("%q was taken as %s", bad, p)
		}
	}
}
