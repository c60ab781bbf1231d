package main

import (
	"cmp"
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode"

	"golang.org/x/net/http/httpproxy"

	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// proxies are the ways out that the environment names, as curl reads them:
// HTTP_PROXY, HTTPS_PROXY and, where these say nothing, ALL_PROXY. A proxy that
// is the tap itself is none: the variables may well be those of the programs.
type proxies struct {
	http, https way
	direct      func(*url.URL) (*url.URL, error) // nil for what NO_PROXY leaves out
	// problems are the variables that name no proxy that can be used.
	problems []problem
}

// way is a proxy, or that the one that is named cannot be used. The zero way is
// straight.
type way struct {
	url *url.URL
	bad bool
}

const unusableProxy = "is no proxy that ksyun-tap can use: give http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT"

var errUnusableProxy = errors.New(unusableProxy)

// readProxies reads the variables that getenv returns. own are the addresses
// that the tap listens on. It looks up the names of proxies, for a limited time.
func readProxies(getenv func(string) string, own []string) *proxies {
	p := &proxies{}
	l := newLocals(own)
	read := func(names ...string) (way, bool) {
		for _, name := range names {
			value := strings.TrimSpace(getenv(name))
			if value == "" {
				continue
			}
			u, err := parseProxy(value)
			if err != nil {
				p.problems = append(p.problems, problem{name, unusableProxy})
				return way{bad: true}, true
			}
			if l.isOwn(u) {
				return way{}, false
			}
			return way{url: u}, true
		}
		return way{}, false
	}
	all, _ := read("ALL_PROXY", "all_proxy")
	var ok bool
	if p.http, ok = read("http_proxy", "HTTP_PROXY"); !ok {
		p.http = all
	}
	if p.https, ok = read("https_proxy", "HTTPS_PROXY"); !ok {
		p.https = all
	}
	const any = "http://proxy.invalid"
	p.direct = (&httpproxy.Config{
		HTTPProxy: any, HTTPSProxy: any,
		NoProxy: cmp.Or(strings.TrimSpace(getenv("no_proxy")), getenv("NO_PROXY")),
	}).ProxyFunc()
	return p
}

// forHost returns the proxy for a host, nil for none, as collector.Policy wants
// it.
func (p *proxies) forHost(scheme, host string, port uint16) (*url.URL, error) {
	return p.find(&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(int(port)))})
}

// forRequest does so for a request of our own.
func (p *proxies) forRequest(r *http.Request) (*url.URL, error) { return p.find(r.URL) }

func (p *proxies) find(to *url.URL) (*url.URL, error) {
	w := p.http
	if to.Scheme == "https" {
		w = p.https
	}
	if w == (way{}) {
		return nil, nil
	}
	if asked, err := p.direct(to); err != nil || asked == nil {
		return nil, err
	}
	if w.bad {
		return nil, errUnusableProxy
	}
	return w.url, nil
}

// parseProxy reads a proxy as programs do: without a scheme it is http.
func parseProxy(value string) (*url.URL, error) {
	if !strings.Contains(value, "://") {
		value = "http://" + value
	}
	u, err := url.Parse(value)
	if err != nil {
		return nil, errUnusableProxy
	}
	u.Scheme = strings.ToLower(u.Scheme)
	port := map[string]string{"http": "80", "https": "443", "socks5": "1080", "socks5h": "1080"}[u.Scheme]
	if port == "" || u.Hostname() == "" {
		return nil, errUnusableProxy
	}
	port = cmp.Or(u.Port(), port)
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return nil, errUnusableProxy
	}
	host := strings.TrimSuffix(u.Hostname(), ".")
	if ip, ok := parseIPv4(host); ok {
		host = ip.String()
	}
	if _, err := netip.ParseAddr(host); err != nil && (host == "" || strings.HasSuffix(host, ".") || strings.ContainsFunc(host, noHostName)) {
		return nil, errUnusableProxy
	}
	return &url.URL{Scheme: u.Scheme, User: u.User, Host: net.JoinHostPort(host, port)}, nil
}

// noHostName reports characters that no name of a host has.
func noHostName(r rune) bool {
	return r <= ' ' || r == 0x7f || r == unicode.ReplacementChar || strings.ContainsRune(`:/?#[]@!$&'()*+,;=%"<>\^{|}`+"`", r)
}

// parseIPv4 reads an address as inet_aton does, and so most programs: one to
// four numbers, decimal, octal or hexadecimal, the last of which fills what is
// left.
func parseIPv4(s string) (netip.Addr, bool) {
	parts := strings.Split(s, ".")
	if len(parts) > 4 {
		return netip.Addr{}, false
	}
	var sum uint64
	for i, part := range parts {
		n, err := strconv.ParseUint(part, 0, 32)
		bits := 8
		if i == len(parts)-1 {
			bits = 8 * (5 - len(parts))
		}
		if err != nil || n >= 1<<bits || strings.ContainsAny(part, "_obOB+") {
			return netip.Addr{}, false
		}
		sum = sum<<bits | n
	}
	return netip.AddrFrom4([4]byte{byte(sum >> 24), byte(sum >> 16), byte(sum >> 8), byte(sum)}), true
}

// locals knows which addresses lead to the tap.
type locals struct {
	listen []string
	local  []netip.Addr // of this machine
}

// lookUpTimeout limits how long the names of proxies are looked up at start and
// reload. One that is not found by then is taken for another machine's.
const lookUpTimeout = 2 * time.Second

func newLocals(listen []string) *locals {
	l := &locals{listen: listen}
	addrs, _ := net.InterfaceAddrs() // without, only loopback is known
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				l.local = append(l.local, ip.Unmap())
			}
		}
	}
	return l
}

// isOwn reports whether a proxy leads to one of the listeners.
func (l *locals) isOwn(proxy *url.URL) bool {
	for _, address := range l.listen {
		host, port, err := net.SplitHostPort(address)
		if err != nil || port != proxy.Port() {
			continue
		}
		at := lookUp(host)
		for _, ip := range lookUp(proxy.Hostname()) {
			everywhere := host == "" || slices.ContainsFunc(at, netip.Addr.IsUnspecified) || ip.IsUnspecified()
			if slices.Contains(at, ip) || everywhere && l.isLocal(ip) {
				return true
			}
		}
	}
	return false
}

func (l *locals) isLocal(ip netip.Addr) bool {
	return ip.IsLoopback() || ip.IsUnspecified() || slices.Contains(l.local, ip)
}

// lookUp returns the addresses of a host.
func lookUp(host string) []netip.Addr {
	if host == "" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap().WithZone("")}
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTimeout)
	defer cancel()
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host) // none is found then
	for i, a := range addrs {
		addrs[i] = a.Unmap().WithZone("")
	}
	return addrs
}

// listenAddresses are those at which programs, or what they send, may come in.
func listenAddresses(s *config.Settings) []string {
	return slices.Concat(s.ProxyListen, s.ProxyTLSListen, s.Transparent, s.Resign.Listen)
}
