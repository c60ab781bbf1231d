package collector

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/net/proxy"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
)

// maxProxyHead limits a proxy's answer to a CONNECT.
const maxProxyHead = 64 << 10

// via is the proxy by which a destination is reached. It holds a secret: of all
// in it, only name is told.
type via struct {
	name string // host and port
	host string
	tls  bool // the proxy itself is spoken to over TLS
	auth string

	socks    *proxy.Auth // not nil for a SOCKS proxy; empty without credentials
	resolver Resolver    // of the names that a SOCKS proxy is not to resolve; nil if it is
	allowed  func(netip.Addr) bool
}

// proxyFor returns the proxy to go by, nil for none. Where an address was
// given for a destination, that is the way.
func (r *rules) proxyFor(key relay.Key) (*via, error) {
	if r.policy.Proxy == nil || r.connectTo[joinHostPort(key.Host, key.Port)] != "" {
		return nil, nil
	}
	scheme := "http"
	if key.TLS {
		scheme = "https"
	}
	u, err := r.policy.Proxy(scheme, key.Host, key.Port)
	switch {
	case err != nil: // it may quote the proxy's password
		return nil, errProxyUnknown
	case u == nil:
		return nil, nil
	}
	if ip, err := netip.ParseAddr(key.Host); err == nil && !r.dialer.anywhere && isForbidden(ip) {
		return nil, refuseAddress(key.Host) // the proxy would not look
	}
	v, err := newVia(u)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "socks5" {
		v.resolver = net.DefaultResolver
		if r.policy.Resolver != nil && r.taps(key.Host) {
			v.resolver = r.policy.Resolver
		}
		v.allowed = func(ip netip.Addr) bool { return r.dialer.anywhere || !isForbidden(ip.Unmap()) }
	}
	return v, nil
}

func newVia(u *url.URL) (*via, error) {
	v := &via{host: u.Hostname()}
	port := u.Port()
	switch u.Scheme {
	case "http":
		port = orElse(port, "80")
	case "https":
		port = orElse(port, "443")
		v.tls = true
	case "socks5", "socks5h":
		port = orElse(port, "1080")
		v.socks = &proxy.Auth{}
	default:
		return nil, errProxyUnknown
	}
	if v.host == "" {
		return nil, errProxyUnknown
	}
	v.name = net.JoinHostPort(v.host, port)
	if u.User != nil {
		password, _ := u.User.Password()
		if v.socks != nil {
			v.socks.User, v.socks.Password = u.User.Username(), password
		}
		v.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return v, nil
}

func orElse(s, otherwise string) string {
	if s == "" {
		return otherwise
	}
	return s
}

// proxied returns what a request needs that goes to a proxy in plain HTTP; nil
// where it goes through a tunnel as well.
func (v *via) proxied(key relay.Key) *relay.Proxied {
	if v.socks != nil {
		return nil
	}
	origin := "http://" + joinHostPort(key.Host, key.Port)
	if key.Port == 80 {
		origin = "http://" + hostInURL(key.Host)
	}
	return &relay.Proxied{Origin: origin, Authorization: v.auth}
}

func hostInURL(host string) string {
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		return "[" + host + "]"
	}
	return host
}

// connect has the proxy at nc open a tunnel to address. What comes back reads
// from where the tunnel begins.
func (v *via) connect(ctx context.Context, nc net.Conn, address string) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() {
		nc.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed connection ends its reads anyway
	})
	if v.socks != nil {
		if err := v.connectSOCKS(ctx, nc, address); err != nil {
			return nil, err
		}
		if !stop() {
			return nil, ctx.Err()
		}
		return nc, nil
	}
	head := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if v.auth != "" {
		head += "Proxy-Authorization: " + v.auth + "\r\n"
	}
	if _, err := io.WriteString(nc, head+"\r\n"); err != nil {
		return nil, v.failed(err)
	}
	br := bufio.NewReader(io.LimitReader(nc, maxProxyHead))
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, v.failed(err)
	}
	resp.Body.Close() // a tunnel has none, and an error's does not matter
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return nil, &refusal{fault: classify.FaultUnreachable, message: "The upstream proxy " + v.name + " wants other credentials. Give them in its URL, as in HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT.", lasting: true}
	case resp.StatusCode/100 != 2:
		return nil, &refusal{fault: classify.FaultUnreachable, message: "The upstream proxy " + v.name + " answers " + strconv.Itoa(resp.StatusCode) + " to CONNECT " + address + ". Allow it there, or name the host in NO_PROXY.", lasting: resp.StatusCode/100 == 4}
	case !stop():
		return nil, ctx.Err()
	}
	ahead, _ := br.Peek(br.Buffered()) // as many as there are cannot fail
	if len(ahead) == 0 {
		return nc, nil
	}
	return relay.Wire(nc, bytes.Clone(ahead)), nil
}

// connectSOCKS has the SOCKS proxy at nc connect to address.
func (v *via) connectSOCKS(ctx context.Context, nc net.Conn, address string) error {
	address, err := v.resolve(ctx, address)
	if err != nil {
		return err
	}
	auth := v.socks
	if auth.User == "" {
		auth = nil
	}
	d, err := proxy.SOCKS5("tcp", v.name, auth, connected{nc})
	if err == nil {
		_, err = d.Dial("tcp", address)
	}
	if err != nil {
		return &refusal{fault: classify.FaultUnreachable, message: "The upstream proxy " + v.name + " does not connect to " + address + ". Check whether it may, and its user and password, or name the host in NO_PROXY."}
	}
	return nil
}

// resolve replaces a name by an address where the proxy's URL says so (socks5;
// socks5h has the proxy do it).
func (v *via) resolve(ctx context.Context, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if _, isIP := netip.ParseAddr(host); err != nil || isIP == nil || v.resolver == nil {
		return address, err
	}
	addrs, err := v.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return "", dialError(&net.DNSError{Err: errNoSuchHost.Error(), Name: host}, host)
	}
	if !v.allowed(addrs[0]) {
		return "", refuseAddress(host)
	}
	return net.JoinHostPort(addrs[0].Unmap().String(), port), nil
}

// connected is a dialer that has connected already.
type connected struct{ nc net.Conn }

// Dial returns the connection.
func (c connected) Dial(string, string) (net.Conn, error) { return c.nc, nil }

// secure speaks TLS with the proxy itself, where it wants that.
func (v *via) secure(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
	if !v.tls {
		return nc, nil
	}
	cfg = cfg.Clone()
	cfg.ServerName = v.host
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, &refusal{fault: classify.FaultTLS, message: "TLS with the upstream proxy " + v.name + " failed. Name the CA that signed its certificate with --upstream.ca-file.", lasting: true}
	}
	return tc, nil
}

var errProxyUnknown = &refusal{
	fault:   classify.FaultUnreachable,
	lasting: true,
	message: "The upstream proxy's URL cannot be used. Give HTTPS_PROXY, HTTP_PROXY and ALL_PROXY of ksyun-tap as http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT.",
}

// failed tells what kept the proxy from being used.
func (v *via) failed(err error) error {
	r, _ := errors.AsType[*refusal](dialError(err, v.host))
	if r.fault == classify.FaultLoop {
		return &refusal{fault: r.fault, message: "The upstream proxy " + v.name + " is ksyun-tap itself. Unset HTTP_PROXY, HTTPS_PROXY and ALL_PROXY for ksyun-tap, or name another proxy."}
	}
	return &refusal{fault: r.fault, message: "The upstream proxy " + v.name + " cannot be used. Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of ksyun-tap, and whether the proxy is up."}
}
