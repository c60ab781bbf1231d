package proxyenv

import (
	"net"
	"net/http"
	"net/netip"
	"os"
	"strings"
	"testing"

	"github.com/stretchr/testify/require"
)

// environ returns a getenv of "NAME=VALUE".
func environ(env ...string) func(string) string {
	return func(name string) string {
		for _, kv := range env {
			if k, v, _ := strings.Cut(kv, "="); k == name {
				return v
			}
		}
		return ""
	}
}

func TestProxies(t *testing.T) {
	f := func(scheme, host string, port uint16, want string, env ...string) {
		t.Helper()
		p := Read(environ(env...), []string{"127.0.0.1:18181"})
		u, err := p.ForHost(scheme, host, port)
		got := ""
		if u != nil {
			got = u.String()
		}
		if err != nil {
			got = "error"
		}
		if got != want || (want == "error") != (len(p.Problems) > 0) {
			t.Errorf("%v: %s://%s:%d by %q, %v; want %q", env, scheme, host, port, got, p.Problems, want)
		}
		for _, problem := range p.Problems {
			if strings.Contains(problem.String(), "secret") {
				t.Errorf("it quotes the value: %s", problem)
			}
		}
	}
	const api = "monitor.api.ksyun.com"
	f("http", api, 80, "")
	f("http", api, 80, "http://proxy.example:3128", "HTTP_PROXY=http://proxy.example:3128")
	f("http", api, 80, "http://proxy.example:3128", "http_proxy= proxy.example:3128 ")
	f("https", api, 443, "http://proxy.example:80", "https_proxy=proxy.example", "HTTP_PROXY=http://other.example:3128")
	f("https", api, 443, "", "HTTP_PROXY=http://proxy.example:3128")
	f("http", "direct.api.ksyun.com", 80, "", "HTTP_PROXY=http://proxy.example:3128", "NO_PROXY=localhost, .api.ksyun.com")
	f("https", api, 443, "socks5h://u:p@socks.example:1080", "ALL_PROXY=SOCKS5H://u:p@socks.example")
	f("http", api, 80, "socks5://192.0.2.1:9", "all_proxy=socks5://192.0.2.1:9")
	f("http", api, 80, "http://proxy.example:3128", "ALL_PROXY=socks5://192.0.2.1:9", "HTTP_PROXY=proxy.example:3128")
	f("https", api, 443, "", "ALL_PROXY=socks5://192.0.2.1:9", "NO_PROXY=*")
	f("https", api, 443, "error", "ALL_PROXY=socks4://secret@192.0.2.1:9")
	f("https", api, 443, "error", "HTTPS_PROXY=http://secret@[bad")
	f("https", api, 443, "error", "HTTPS_PROXY=http://secret:99999")
	f("https", api, 443, "socks5://192.0.2.1:9", "HTTPS_PROXY=http://127.0.0.1:18181", "ALL_PROXY=socks5://192.0.2.1:9")
}

// TestProxyThatIsTheTap spells the tap's own address in all the ways that
// programs understand.
func TestProxyThatIsTheTap(t *testing.T) {
	own := func(listen, value string) bool {
		p := Read(environ("HTTPS_PROXY="+value), []string{listen})
		return p.https == proxy{}
	}
	spellings := []string{
		"127.0.0.1:18181", "http://127.0.0.1:18181", "HTTP://127.0.0.1:18181/", "http://user:pass@127.0.0.1:18181",
		"localhost:18181", "http://LOCALHOST.:18181", "http://127.1:18181", "http://2130706433:18181", "http://0x7f.1:18181",
		"http://0177.0.0.1:18181", "http://[::ffff:127.0.0.1]:18181", "socks5h://127.0.0.1:18181", "http://0:18181", " 127.0.0.1:18181 ",
	}
	for _, s := range spellings {
		if !own("127.0.0.1:18181", s) || !own("localhost:18181", s) || !own(":18181", s) || !own("0.0.0.0:18181", s) || !own("[::]:18181", s) {
			t.Errorf("%q is taken for another's", s)
		}
	}
	for _, s := range []string{"127.0.0.1:18182", "http://192.0.2.1:18181", "http://proxy.invalid:18181", "http://127.0.0.1"} {
		if own(":18181", s) {
			t.Errorf("%q is taken for the tap", s)
		}
	}
	// Spans do not go through the tap either.
	p := Read(environ("HTTP_PROXY=127.0.0.1:18181", "HTTPS_PROXY=127.0.0.1:18181", "ALL_PROXY=127.0.0.1:18181"), []string{":18181"})
	for _, backend := range []string{"http://collector.example:4318/v1/traces", "https://collector.example"} {
		req, err := http.NewRequest(http.MethodPost, backend, http.NoBody)
		require.NoError(t, err)
		if u, err := p.ForRequest(req); u != nil || err != nil {
			t.Errorf("spans to %s go by %v, %v", backend, u, err)
		}
	}
	if !own("127.0.0.1:80", "http://127.0.0.1") {
		t.Error("the port of the scheme is not known")
	}
	if own("127.0.0.1:18181", "127.0.0.2:18181") {
		t.Error("another listener is taken for the tap")
	}
	// Every address of this machine, and its name.
	addrs, err := net.InterfaceAddrs()
	require.NoError(t, err)
	for _, a := range addrs {
		ip := netip.MustParsePrefix(a.String()).Addr()
		if s := net.JoinHostPort(ip.WithZone("").String(), "18181"); !own(":18181", s) {
			t.Errorf("%s is taken for another's", s)
		}
	}
	if name, err := os.Hostname(); err == nil && len(lookUp(name)) > 0 && !own(":18181", name+":18181") {
		t.Errorf("%s is taken for another's", name)
	}
}

func TestIPv4(t *testing.T) {
	for s, want := range map[string]string{
		"1.2.3.4": "1.2.3.4", "1.2.772": "1.2.3.4", "16909060": "1.2.3.4", "0": "0.0.0.0", "010.0.0.1": "8.0.0.1",
		"": "", "1.2.3.4.5": "", "1.2.3.256": "", "a": "", "1_0.0.0.1": "", "0b1.0.0.1": "", "-1": "",
	} {
		ip, ok := parseIPv4(s)
		if ok != (want != "") || ok && ip.String() != want {
			t.Errorf("%q: %s, %t", s, ip, ok)
		}
	}
}

func FuzzParseProxy(f *testing.F) {
	for _, s := range []string{"proxy:3128", "socks5h://u:p@[::1]:1080", "http://127.1", "http://[", "://", "http://a:99999", "0x7f.1:80", "..", "socks5://:p@d::"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		u, err := parseProxy(s)
		if err != nil {
			return
		}
		host, port, err := net.SplitHostPort(u.Host)
		if err != nil || host == "" || port == "" {
			t.Errorf("%q is read as %q", s, u.Host)
		}
		if again, err := parseProxy(u.String()); err != nil || *again != *u && again.String() != u.String() {
			t.Errorf("%q is read as %s, and that as %v, %v", s, u, again, err)
		}
	})
}
