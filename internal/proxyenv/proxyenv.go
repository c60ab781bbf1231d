// Package proxyenv reads which upstream proxies the environment configures.
package proxyenv

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

	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// Proxies are the upstream proxies that the environment configures, with curl's
// rules: HTTP_PROXY, HTTPS_PROXY and, if these are not set, ALL_PROXY. A proxy
// that is the tap itself is ignored, because the variables may be meant for the
// programs.
type Proxies struct {
	// Problems lists the variables whose value is not a usable proxy.
	Problems []usererror.Ignored

	http, https proxy
	direct      func(*url.URL) (*url.URL, error) // returns nil for hosts in NO_PROXY
}

// proxy is a proxy, or bad if the proxy that is named cannot be used. The zero
// value is a direct connection.
type proxy struct {
	url *url.URL
	bad bool
}

const unusableProxy = "does not name a proxy that ksyun-tap can use: write http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT"

var errUnusableProxy = errors.New(unusableProxy)

// Read reads the variables that getenv returns. listen are the addresses
// that the tap listens on. It resolves the names of proxies, within a timeout.
func Read(getenv func(string) string, listen []string) *Proxies {
	p := &Proxies{}
	l := newLocals(listen)
	read := func(names ...string) (proxy, bool) {
		for _, name := range names {
			value := strings.TrimSpace(getenv(name))
			if value == "" {
				continue
			}
			u, err := parseProxy(value)
			if err != nil {
				p.Problems = append(p.Problems, usererror.Ignored{Variable: name, Reason: unusableProxy})
				return proxy{bad: true}, true
			}
			if l.isTap(u) {
				return proxy{}, false
			}
			return proxy{url: u}, true
		}
		return proxy{}, false
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

// ForHost returns the proxy for a host, or nil for a direct connection. It is a
// collector.Policy.Proxy.
func (p *Proxies) ForHost(scheme, host string, port uint16) (*url.URL, error) {
	return p.find(&url.URL{Scheme: scheme, Host: net.JoinHostPort(host, strconv.Itoa(int(port)))})
}

// ForRequest returns the proxy for a request of the tap itself.
func (p *Proxies) ForRequest(r *http.Request) (*url.URL, error) { return p.find(r.URL) }

// Err returns the problem of the proxy for HTTP or HTTPS, or nil if both can be used.
func (p *Proxies) Err() error {
	if p.http.bad || p.https.bad {
		return errors.New(p.Problems[0].String())
	}
	return nil
}

// Use reports whether the proxy at a host and port is one of them. Without a port,
// that is any proxy at the host.
func (p *Proxies) Use(host, port string) bool {
	return slices.ContainsFunc([]proxy{p.http, p.https}, func(one proxy) bool {
		return one.url != nil && strings.EqualFold(one.url.Hostname(), host) && (port == "" || one.url.Port() == port)
	})
}

func (p *Proxies) find(to *url.URL) (*url.URL, error) {
	w := p.http
	if to.Scheme == "https" {
		w = p.https
	}
	if w == (proxy{}) {
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

// parseProxy parses a proxy's URL. Without a scheme it is http, as in most
// programs.
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

// noHostName reports whether r cannot occur in a host name.
func noHostName(r rune) bool {
	return r <= ' ' || r == 0x7f || r == unicode.ReplacementChar || strings.ContainsRune(`:/?#[]@!$&'()*+,;=%"<>\^{|}`+"`", r)
}

// parseIPv4 parses an address like inet_aton, and so like most programs: one to
// four numbers, decimal, octal or hexadecimal, the last of which fills the
// remaining bytes.
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

// locals determines which addresses are the tap's.
type locals struct {
	listen []string
	local  []netip.Addr // addresses of this machine
}

// lookUpTimeout limits how long names of proxies are resolved at a start or
// reload. A name that cannot be resolved is treated as another machine's.
const lookUpTimeout = 2 * time.Second

func newLocals(listen []string) *locals {
	l := &locals{listen: listen}
	addrs, _ := net.InterfaceAddrs() // if it fails, only loopback is known
	for _, a := range addrs {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				l.local = append(l.local, ip.Unmap())
			}
		}
	}
	return l
}

// isTap reports whether a proxy's address is one of the tap's listeners.
func (l *locals) isTap(proxy *url.URL) bool {
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

// lookUp returns the IP addresses of a host.
func lookUp(host string) []netip.Addr {
	if host == "" {
		return nil
	}
	if ip, err := netip.ParseAddr(host); err == nil {
		return []netip.Addr{ip.Unmap().WithZone("")}
	}
	ctx, cancel := context.WithTimeout(context.Background(), lookUpTimeout)
	defer cancel()
	addrs, _ := net.DefaultResolver.LookupNetIP(ctx, "ip", host) // an error means no addresses
	for i, a := range addrs {
		addrs[i] = a.Unmap().WithZone("")
	}
	return addrs
}
