package collector

import (
	"testing"

	"github.com/stretchr/testify/assert"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
)

func TestOtherHosts(t *testing.T) {
	for _, o := range []OtherHosts{OtherRefuse, OtherForward, OtherPass} {
		got := (o + 1) % 3
		if err := got.Set(o.String()); err != nil || got != o {
			t.Errorf("%s was read as %s (%v)", o, got, err)
		}
	}
	assert.Error(t, new(OtherHosts).Set("drop"), "drop was taken")
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
			tt.policy.TapHosts = classify.APIHosts()
		}
		r := &rules{policy: tt.policy, dialer: upstream.NewDialer(upstream.Config{})}
		d, err := r.destination([]byte(tt.authority), tt.https)
		if tt.fault != "" {
			if err == nil || explain(err).fault != tt.fault {
				t.Errorf("%+v: %v", tt, err)
			}
			continue
		}
		if err != nil || r.route(&d).Key != tt.want || d.tapped != tt.tapped {
			t.Errorf("%+v: %+v, %v", tt, d, err)
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
		got := signedFields([]byte(tt.authorization), []byte(tt.target))
		assert.Equal(t, tt.want, string(got), "%q, %q", tt.authorization, tt.target)
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
		_, err := New(cfg)
		assert.Error(t, err, "%s was taken", name)
	}
	p := newProxy(t, good)
	assert.Error(t, p.Reload(Policy{UpstreamScheme: "ftp"}, good.Classifier), "a bad policy was loaded")
	assert.Empty(t, p.rules.Load().policy.UpstreamScheme, "a refused policy is in force")
}
