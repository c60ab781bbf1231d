package syntax

import (
	"strings"
	"testing"
)

func TestSplitTarget(t *testing.T) {
	for _, tt := range []struct{ target, path, query, authority string }{
		{"", "", "", ""},
		{"/", "/", "", ""},
		{"/v3/?Action=a&b=?c", "/v3/", "Action=a&b=?c", ""},
		{"/?a=1#b=2", "/", "a=1", ""},
		{"/#?a=1", "/", "", ""},
		{"http://h:80/?a=1", "http://h:80/", "a=1", "h:80"},
		{"http://u:p@h", "http://u:p@h", "", "u:p@h"},
		{"/http://h/", "/http://h/", "", ""},
		{"://h/", "://h/", "", ""},
	} {
		path, query := SplitTarget([]byte(tt.target))
		if string(path) != tt.path || string(query) != tt.query {
			t.Errorf("SplitTarget(%q) = %q, %q", tt.target, path, query)
		}
		if got := Authority(path); string(got) != tt.authority {
			t.Errorf("Authority(%q) = %q, want %q", path, got, tt.authority)
		}
	}
}

func TestCut(t *testing.T) {
	for _, tt := range []struct{ text, before, after string }{
		{"a=b=c", "a", "b=c"},
		{"=", "", ""},
		{"a", "a", ""},
		{"", "", ""},
	} {
		before, after := Cut([]byte(tt.text), '=')
		if string(before) != tt.before || string(after) != tt.after {
			t.Errorf("Cut(%q) = %q, %q", tt.text, before, after)
		}
		if found := strings.Contains(tt.text, "="); found != (after != nil) {
			t.Errorf("Cut(%q): after is nil: %t", tt.text, after == nil)
		}
	}
}

func TestCutPair(t *testing.T) {
	for _, tt := range []struct{ text, name, value, rest string }{
		{"", "", "", ""},
		{"a=1", "a", "1", ""},
		{"a=1&b=2&c=3", "a", "1", "&b=2&c=3"},
		{"a=1;b=2", "a", "1", ";b=2"},
		{"a&b=2", "a", "", "&b=2"},
		{"=1=2&", "", "1=2", "&"},
		{"&b", "", "", "&b"},
	} {
		name, value, rest := CutPair([]byte(tt.text))
		if string(name) != tt.name || string(value) != tt.value || string(rest) != tt.rest {
			t.Errorf("CutPair(%q) = %q, %q, %q", tt.text, name, value, rest)
		}
	}
	if _, value, rest := CutPair([]byte("a")); value != nil || rest != nil {
		t.Error("there are no equals sign and no separator")
	}
	if _, value, _ := CutPair([]byte("a=")); value == nil {
		t.Error("there is an equals sign")
	}
}

func TestAuthorization(t *testing.T) {
	scheme, list := CutScheme([]byte(" AWS4-HMAC-SHA256 Credential=AK/20261123/cn-beijing-6/monitor/aws4_request, SignedHeaders=host,\tSignature=a=b ,c"))
	if string(scheme) != "AWS4-HMAC-SHA256" {
		t.Errorf("scheme %q", scheme)
	}
	want := [][2]string{
		{"Credential", "AK/20261123/cn-beijing-6/monitor/aws4_request"},
		{"SignedHeaders", "host"},
		{"Signature", "a=b"},
		{"c", ""},
	}
	for _, w := range want {
		var name, value []byte
		name, value, list = CutParameter(list)
		if string(name) != w[0] || string(value) != w[1] {
			t.Errorf("%q=%q, want %q", name, value, w)
		}
	}
	if len(list) > 0 {
		t.Errorf("%q is left", list)
	}
}

func TestSplitCredential(t *testing.T) {
	for _, tt := range []struct{ credential, key, scope, region, service string }{
		{"AK/20261123/cn-beijing-6/monitor/aws4_request", "AK", "20261123/cn-beijing-6/monitor/aws4_request", "cn-beijing-6", "monitor"},
		{"AK%2F1/r/s", "AK", "1/r/s", "r", "s"},
		{"AK%2f1/r", "AK", "1/r", "r", ""},
		{"AK%20/1", "AK%20", "1", "", ""},
		{"AK", "AK", "", "", ""},
		{"AK%2", "AK%2", "", "", ""},
		{"", "", "", "", ""},
	} {
		key, scope := SplitCredential([]byte(tt.credential))
		region, service := SplitScope(scope)
		if string(key) != tt.key || string(scope) != tt.scope || string(region) != tt.region || string(service) != tt.service {
			t.Errorf("%q: key %q, scope %q, region %q, service %q", tt.credential, key, scope, region, service)
		}
	}
}
