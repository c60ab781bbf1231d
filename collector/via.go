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

// maxProxyHead limits the size of a proxy's response to CONNECT, in bytes.
const maxProxyHead = 64 << 10

// via is the upstream proxy through which a destination is reached. It holds
// credentials: only name may be logged or shown.
type via struct {
	name string // host and port
	host string
	tls  bool   // the connection to the proxy itself uses TLS
	auth string // the value of Proxy-Authorization; "" without credentials

	socks    *proxy.Auth           // not nil for a SOCKS proxy; empty without credentials
	resolver Resolver              // resolves names for a SOCKS proxy; nil if the proxy does
	allowed  func(netip.Addr) bool // reports whether a resolved address may be connected to
}

// proxyFor returns the proxy for a destination, or nil for a direct connection.
// A destination with an address in Policy.ConnectTo is connected to directly.
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
	case err != nil: // it may quote the proxy's password, so it is not passed on
		return nil, errProxyUnknown
	case u == nil:
		return nil, nil
	}
	if ip, err := netip.ParseAddr(key.Host); err == nil && !r.dialer.anywhere && isForbidden(ip) {
		return nil, refuseAddress(key.Host) // the proxy would not check it
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

// proxied returns what the relay adds to a request that is sent to the proxy in
// plain HTTP, or nil for a SOCKS proxy, which tunnels everything.
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

// connect opens a tunnel to address through the proxy at nc. The connection that
// it returns reads from where the tunnel begins.
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
	resp.Body.Close() // a tunnel has none, and an error page does not matter
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return nil, &refusal{fault: classify.FaultUnreachable, message: "The upstream proxy " + v.name + " rejects the credentials, or needs some. Give them in its URL, as in HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT.", lasting: true}
	case resp.StatusCode/100 != 2:
		return nil, &refusal{fault: classify.FaultUnreachable, message: "The upstream proxy " + v.name + " answers CONNECT " + address + " with status " + strconv.Itoa(resp.StatusCode) + ". Allow it there, or name the host in NO_PROXY.", lasting: resp.StatusCode/100 == 4}
	case !stop():
		return nil, ctx.Err()
	}
	ahead, _ := br.Peek(br.Buffered()) // cannot fail: the bytes are buffered
	if len(ahead) == 0 {
		return nc, nil
	}
	return relay.Wire(nc, bytes.Clone(ahead)), nil
}

// connectSOCKS makes the SOCKS proxy at nc connect to address.
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
		return &refusal{fault: classify.FaultUnreachable, message: "The upstream proxy " + v.name + " did not connect to " + address + ". Check its rules, user and password, or name the host in NO_PROXY."}
	}
	return nil
}

// resolve replaces the name in address by an IP address for a socks5 proxy. For
// socks5h, the proxy resolves names, and address is returned unchanged.
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

// connected is a proxy.Dialer that returns a connection that already exists.
type connected struct{ nc net.Conn }

// Dial returns the connection.
func (c connected) Dial(string, string) (net.Conn, error) { return c.nc, nil }

// secure starts TLS with the proxy itself, if its URL is an https one.
func (v *via) secure(ctx context.Context, nc net.Conn, cfg *tls.Config) (net.Conn, error) {
	if !v.tls {
		return nc, nil
	}
	cfg = cfg.Clone()
	cfg.ServerName = v.host
	tc := tls.Client(nc, cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, &refusal{fault: classify.FaultTLS, message: "The TLS handshake with the upstream proxy " + v.name + " failed. Name the CA that signed its certificate with --upstream.ca-file.", lasting: true}
	}
	return tc, nil
}

var errProxyUnknown = &refusal{
	fault:   classify.FaultUnreachable,
	lasting: true,
	message: "The URL of the upstream proxy is not valid. Set HTTPS_PROXY, HTTP_PROXY and ALL_PROXY of ksyun-tap to http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT.",
}

// failed converts an error of using the proxy to a *refusal.
func (v *via) failed(err error) error {
	r, _ := errors.AsType[*refusal](dialError(err, v.host))
	if r.fault == classify.FaultLoop {
		return &refusal{fault: r.fault, message: "The upstream proxy " + v.name + " is ksyun-tap itself. Unset HTTP_PROXY, HTTPS_PROXY and ALL_PROXY for ksyun-tap, or name another proxy."}
	}
	return &refusal{fault: r.fault, message: "The upstream proxy " + v.name + " cannot be used. Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of ksyun-tap, and that the proxy is running."}
}
