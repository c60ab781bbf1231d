//go:build unix

package upstream

import (
	"errors"
	"net"
	"net/url"
	"syscall"
	"testing"

	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// withoutDescriptors runs f while the process can open no files.
func withoutDescriptors(t *testing.T, f func()) {
	t.Helper()
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
		t.Fatal(err)
	}
	none := limit
	none.Cur = 0
	if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &none); err != nil {
		t.Fatal(err)
	}
	defer func() {
		if err := syscall.Setrlimit(syscall.RLIMIT_NOFILE, &limit); err != nil {
			t.Fatal(err)
		}
	}()
	f()
}

// TestNoDescriptors dials when no file descriptors are left: to an address, after
// each way to resolve a name, and to a proxy.
func TestNoDescriptors(t *testing.T) {
	net.DefaultResolver.PreferGo = true // as in releases, which are built without cgo
	t.Cleanup(func() { net.DefaultResolver.PreferGo = false })
	dns, err := ParseDNS("127.0.0.1:53")
	if err != nil {
		t.Fatal(err)
	}
	for name, tt := range map[string]struct {
		host     string
		resolver Resolver
		proxy    string
	}{
		"address":         {host: "127.0.0.1"},
		"system resolver": {host: "monitor.api.ksyun.com"},
		"DNS server":      {host: "monitor.api.ksyun.com", resolver: dns},
		"proxy":           {host: "monitor.api.ksyun.com", proxy: "http://127.0.0.1:3128"},
		"proxy's name":    {host: "monitor.api.ksyun.com", proxy: "http://proxy.example:3128"},
	} {
		t.Run(name, func(t *testing.T) {
			reclaimed := 0
			cfg := Config{
				AnyAddress: true, Resolver: tt.resolver,
				Wrap:    func(nc net.Conn, _ []byte) net.Conn { return nc },
				Reclaim: func() bool { reclaimed++; return true },
			}
			if tt.proxy != "" {
				cfg.Proxy = func(string, string, uint16) (*url.URL, error) { return url.Parse(tt.proxy) }
			}
			d := NewDialer(cfg)
			target := Target{Host: hostname.Canonical(tt.host), Port: 80}
			if target.Proxy, err = d.ProxyFor(&target); err != nil {
				t.Fatal(err)
			}
			withoutDescriptors(t, func() { _, err = d.Dial(t.Context(), &target) })
			if !errors.Is(err, ErrNoDescriptors) {
				t.Errorf("%v", err)
			}
			if reclaimed == 0 {
				t.Error("no idle connection was closed to make room")
			}
		})
	}
}
