package ca

import (
	"errors"
	"slices"
	"strings"
	"testing"

	"github.com/stretchr/testify/assert"
)

func TestPermitted(t *testing.T) {
	long := strings.Repeat("a.", 121) + "api.ksyun.com"
	c := mustOpen(t, Config{Permitted: []string{"*.api.ksyun.com", "One.Example.net."}})
	for host, want := range map[string]bool{
		"monitor.api.ksyun.com":              true,
		"MONITOR.API.KSYUN.COM":              true,
		"monitor.api.ksyun.com.":             true,
		"monitor.cn-beijing-6.api.ksyun.com": true,
		"internal.api.ksyun.com":             true,
		"under_score.api.ksyun.com":          true,
		"one.example.net":                    true,
		"api.ksyun.com":                      false,
		"ksyun.com":                          false,
		"evilapi.ksyun.com":                  false,
		"monitor.api.ksyun.com.evil.net":     false,
		"below.one.example.net":              false,
		"example.net":                        false,
		"monitor.api.ksyun.com..":            false,
		".api.ksyun.com":                     false,
		"*.api.ksyun.com":                    false,
		"a..api.ksyun.com":                   false,
		"-a.api.ksyun.com":                   false,
		"a b.api.ksyun.com":                  false,
		"a\x00.api.ksyun.com":                false,
		"ü.api.ksyun.com":                    false,
		"monitor.api.ksyun.com:443":          false,
		"":                                   false,
		"127.0.0.1":                          false,
		"[::1]":                              false,
		"::1":                                false,
		"fe80::1%api.ksyun.com":              false,
		strings.Repeat("a", 64) + ".api.ksyun.com": false,
		long: false,
	} {
		cert, err := c.Certificate(host)
		switch {
		case want && err != nil:
			t.Errorf("%q: %v", host, err)
		case !want && !errors.Is(err, ErrRefused):
			t.Errorf("%q: error %v, want ErrRefused", host, err)
		case !want && cert != nil:
			t.Errorf("%q: refused, and signed for", host)
		}
		if _, err := c.TLSConfig(host); (err == nil) != want {
			t.Errorf("TLSConfig(%q): %v", host, err)
		}
	}
	// All spellings of a host share one entry, and refused hosts have none.
	if s := c.Stats(); s.Minted != 5 || s.Cached != 5 {
		t.Errorf("%d minted and %d cached, want 5", s.Minted, s.Cached)
	}
}

func TestParsePermitted(t *testing.T) {
	f := func(in, want, wantErr string) {
		t.Helper()
		p, err := parsePermitted(strings.Fields(in))
		if wantErr != "" {
			assert.EqualError(t, err, wantErr, in)
			return
		}
		if err != nil || !slices.Equal(p.domains, strings.Fields(want)) {
			t.Errorf("%q: %q, %v, want %q", in, p.domains, err, want)
		}
	}
	f("*.api.ksyun.com", "api.ksyun.com", "")
	// The same set is the same, whatever the order and the spelling.
	f("b.example *.A.example. a.example", "a.example b.example", "")
	// What lies under another is permitted with it.
	f("x.api.ksyun.com *.api.ksyun.com notapi.ksyun.com", "api.ksyun.com notapi.ksyun.com", "")

	f("", "", "no permitted names: a CA must have name constraints")
	f("*.com", "", `permitted name "*.com" is too wide: write at least two labels`)
	f("localhost", "", `permitted name "localhost" is too wide: write at least two labels`)
	f("*", "", `permitted name "*" is not valid: write a host name or *.DOMAIN`)
	f("a.*.com", "", `permitted name "a.*.com" is not valid: write a host name or *.DOMAIN`)
	f("10.0.0.1", "", `permitted name "10.0.0.1": an IP address cannot be intercepted: name a host or *.DOMAIN`)
	f("[::1]", "", `permitted name "[::1]": an IP address cannot be intercepted: name a host or *.DOMAIN`)
	// So would these be taken for.
	f("10.1", "", `permitted name "10.1": an IP address cannot be intercepted: name a host or *.DOMAIN`)
	f("10.0x1f", "", `permitted name "10.0x1f": an IP address cannot be intercepted: name a host or *.DOMAIN`)
	f("a.example:443", "", `permitted name "a.example:443": an IP address cannot be intercepted: name a host or *.DOMAIN`)
}

func TestConfig(t *testing.T) {
	f := func(cfg Config, want string) {
		t.Helper()
		if cfg.Permitted == nil {
			cfg.Permitted = names
		}
		_, err := Open(cfg)
		assert.EqualError(t, err, want)
	}
	f(Config{Validity: 59 * minValidity / 60}, "open CA: validity 59m0s: want 1h0m0s or more")
	f(Config{Validity: -1}, "open CA: validity -1ns: want 1h0m0s or more")
	f(Config{Validity: 2 * minValidity, Overlap: minValidity + 1}, "open CA: overlap 1h0m0.000000001s: want at most half of the validity, 1h0m0s")
	f(Config{Overlap: -1}, "open CA: overlap -1ns: want at most half of the validity, 360h0m0s")
	f(Config{CacheSize: -1}, "open CA: cache size -1: want 1 or more")
	f(Config{PublishDir: "x"}, "open CA: there is a publish directory, but no directory for the key")
	f(Config{Permitted: []string{}}, "open CA: no permitted names: a CA must have name constraints")
}
