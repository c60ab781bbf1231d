package collector

import (
	"net/netip"
	"strings"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
)

func TestHostPatterns(t *testing.T) {
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
		p, err := ParseHostPattern(tt.pattern)
		if err != nil {
			t.Errorf("%s: %v", tt.pattern, err)
			continue
		}
		for h := range strings.FieldsSeq(tt.yes) {
			if !p.Match(h) {
				t.Errorf("%s does not match %s", tt.pattern, h)
			}
		}
		for h := range strings.FieldsSeq(tt.no) {
			if p.Match(h) {
				t.Errorf("%s matches %s", tt.pattern, h)
			}
		}
		if again, err := ParseHostPattern(p.String()); err != nil || again != p {
			t.Errorf("%s: spelled %s, read %v, %v", tt.pattern, p, again, err)
		}
	}
	for _, bad := range []string{"", "*", "*.", "*.com", "a.*.com", "*a.example.com", "**.example.com", "host:80", "http://host", "a b", "a..b", ".a", "ä.example", strings.Repeat("a", 64), strings.Repeat("a.", 130) + "a"} {
		if p, err := ParseHostPattern(bad); err == nil {
			t.Errorf("%q was taken as %s", bad, p)
		}
	}
}

func TestConnectTo(t *testing.T) {
	for in, want := range map[string]string{
		"monitor.api.ksyun.com:80=127.0.0.1:8080": "monitor.api.ksyun.com:80=127.0.0.1:8080",
		"HOST.:443=Backend.example:8443":          "host:443=backend.example:8443",
		"[2001:DB8::1]:80=[::1]:8080":             "[2001:db8::1]:80=[::1]:8080",
	} {
		c, err := ParseConnectTo(in)
		if err != nil || c.String() != want {
			t.Errorf("%s: %s, %v", in, c, err)
		}
	}
	for _, bad := range []string{"", "=", "a:1", "a=b", "a:1=b", "a=b:1", ":1=b:1", "a:1=:1", "a:0=b:1", "a:1=b:65536", "a:1=b:x", "::1:80=b:1", "a:1=b:1=c:1", "a@b:1=c:1"} {
		if c, err := ParseConnectTo(bad); err == nil {
			t.Errorf("%q was taken as %s", bad, c)
		}
	}
}

func TestOtherHosts(t *testing.T) {
	for _, o := range []OtherHosts{OtherRefuse, OtherForward, OtherPass} {
		got := (o + 1) % 3
		if err := got.Set(o.String()); err != nil || got != o {
			t.Errorf("%s was read as %s (%v)", o, got, err)
		}
	}
	if err := new(OtherHosts).Set("drop"); err == nil {
		t.Error("drop was taken")
	}
}

func TestDestinations(t *testing.T) {
	tests := []struct {
		authority string
		https     bool
		policy    Policy
		want      relay.Key
		tapped    bool
		fault     classify.Fault
	}{
		{authority: "monitor.api.ksyun.com", want: relay.Key{Host: "monitor.api.ksyun.com", Port: 80}, tapped: true},
		{authority: "Monitor.API.Ksyun.com.", want: relay.Key{Host: "monitor.api.ksyun.com", Port: 80}, tapped: true},
		{authority: "monitor.api.ksyun.com", https: true, want: relay.Key{Host: "monitor.api.ksyun.com", Port: 443, TLS: true}, tapped: true},
		{authority: "monitor.api.ksyun.com:8080", want: relay.Key{Host: "monitor.api.ksyun.com", Port: 8080}, tapped: true},
		{authority: "monitor.api.ksyun.com", policy: Policy{UpstreamScheme: "https"}, want: relay.Key{Host: "monitor.api.ksyun.com", Port: 443, TLS: true}, tapped: true},
		{authority: "monitor.api.ksyun.com:80", policy: Policy{UpstreamScheme: "https"}, want: relay.Key{Host: "monitor.api.ksyun.com", Port: 443, TLS: true}, tapped: true},
		{authority: "monitor.api.ksyun.com:8443", policy: Policy{UpstreamScheme: "https"}, want: relay.Key{Host: "monitor.api.ksyun.com", Port: 8443, TLS: true}, tapped: true},
		{authority: "example.com", policy: Policy{OtherHosts: OtherForward}, want: relay.Key{Host: "example.com", Port: 80}},
		{authority: "example.com", policy: Policy{OtherHosts: OtherForward, UpstreamScheme: "https"}, want: relay.Key{Host: "example.com", Port: 80}},
		{authority: "example.com:443", policy: Policy{OtherHosts: OtherForward}, want: relay.Key{Host: "example.com", Port: 443}},
		{authority: "example.com", fault: classify.FaultHostRefused},
		{authority: "example.com:22", policy: Policy{OtherHosts: OtherForward}, fault: classify.FaultHostRefused},
		{authority: "example.com:22", policy: Policy{OtherHosts: OtherPass}, want: relay.Key{Host: "example.com", Port: 22}},
		{authority: "pushgateway:9091", policy: Policy{OtherHosts: OtherPass}, want: relay.Key{Host: "pushgateway", Port: 9091}},
		{authority: "", fault: classify.FaultNoRoute},
		{authority: ":80", fault: classify.FaultNoRoute},
	}
	for _, tt := range tests {
		if tt.policy.TapHosts == nil {
			tt.policy.TapHosts = DefaultTapHosts()
		}
		r := &rules{policy: tt.policy}
		d, err := r.destination([]byte(tt.authority), tt.https)
		if tt.fault != "" {
			if err == nil || explain(err).fault != tt.fault {
				t.Errorf("%+v: %v", tt, err)
			}
			continue
		}
		if err != nil || d.key != tt.want || d.tapped != tt.tapped {
			t.Errorf("%+v: %+v, %v", tt, d, err)
		}
	}
}

func TestForbiddenAddresses(t *testing.T) {
	for a := range strings.FieldsSeq(`127.0.0.1 127.255.255.254 ::1 ::ffff:127.0.0.1 0.0.0.0 0.1.2.3 :: 169.254.169.254
		169.254.0.1 fe80::1 fe80::1%eth0 224.0.0.1 239.255.255.255 255.255.255.255 240.0.0.1 ff02::1 ff05::1
		64:ff9b::7f00:1 64:ff9b::a9fe:a9fe 100.100.100.200 fd00:ec2::254`) {
		if !isForbidden(netip.MustParseAddr(a).Unmap()) {
			t.Errorf("%s is allowed", a)
		}
	}
	for a := range strings.FieldsSeq("10.0.0.1 172.16.0.1 192.168.0.1 100.64.0.1 8.8.8.8 2001:db8::1 fd00::1 64:ff9b::808:808") {
		if isForbidden(netip.MustParseAddr(a)) {
			t.Errorf("%s is forbidden", a)
		}
	}
}

func TestSignedFields(t *testing.T) {
	tests := []struct{ authorization, target, want string }{
		{"AWS4-HMAC-SHA256 Credential=a/b, SignedHeaders=host;x-amz-date, Signature=00", "/", "host;x-amz-date"},
		{"AWS4-HMAC-SHA256 SignedHeaders=connection;host,Signature=00", "/?X-Amz-SignedHeaders=other", "connection;host"},
		{"AWS4-HMAC-SHA256 Signature=00,SignedHeaders=te", "/", "te"},
		{"", "/?a=b&X-Amz-SignedHeaders=connection%3Bhost%3bte&c", "connection;host;te"},
		{"", "/?x-amz-signedheaders=host", "host"},
		{"Basic eDp5", "/?a=b", ""},
		{"", "/", ""},
	}
	for _, tt := range tests {
		if got := signedFields([]byte(tt.authorization), []byte(tt.target)); string(got) != tt.want {
			t.Errorf("%q, %q: %q, want %q", tt.authorization, tt.target, got, tt.want)
		}
	}
}

func TestConfigIsChecked(t *testing.T) {
	good := Config{Classifier: classify.New(classify.DefaultCatalog()), Sink: make(recorder)}
	for name, spoil := range map[string]func(*Config){
		"no classifier": func(c *Config) { c.Classifier = nil },
		"no sink":       func(c *Config) { c.Sink = nil },
		"bad scheme":    func(c *Config) { c.Policy.UpstreamScheme = "ftp" },
	} {
		cfg := good
		spoil(&cfg)
		if _, err := New(cfg); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	p := newProxy(t, good)
	if err := p.Reload(Policy{UpstreamScheme: "ftp"}, good.Classifier); err == nil {
		t.Error("a bad policy was loaded")
	}
	if p.rules.Load().policy.UpstreamScheme != "" {
		t.Error("a refused policy is in force")
	}
}
