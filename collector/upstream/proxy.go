package upstream

import (
	"bufio"
	"bytes"
	"cmp"
	"context"
	"crypto/tls"
	"encoding/base64"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strconv"
	"time"

	"golang.org/x/net/proxy"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// maxProxyHead limits the size of a proxy's response to CONNECT, in bytes.
const maxProxyHead = 64 << 10

// Proxy is an upstream proxy. It holds credentials: only name may be logged or
// shown.
type Proxy struct {
	name string // host and port
	host string
	tls  bool   // the connection to the proxy itself uses TLS
	auth string // the value of Proxy-Authorization; "" without credentials

	socks    *proxy.Auth           // not nil for a SOCKS proxy; empty without credentials
	resolver Resolver              // resolves names for a SOCKS proxy; nil if the proxy does
	allowed  func(netip.Addr) bool // reports whether a resolved address may be connected to
}

// ProxyFor returns the proxy for a target, or nil for a direct connection. A target
// with an address in Config.ConnectTo is connected to directly. Its errors are of
// type *Error.
func (d *Dialer) ProxyFor(t *Target) (*Proxy, error) {
	if d.cfg.Proxy == nil || d.connectTo[t.authority()] != "" {
		return nil, nil
	}
	u, err := d.cfg.Proxy(t.scheme(), string(t.Host), t.Port)
	switch {
	case err != nil: // it may quote the proxy's password, so it is not passed on
		return nil, errProxyUnknown
	case u == nil:
		return nil, nil
	}
	if ip := t.Host.IP(); ip.IsValid() && !d.allows(ip) {
		return nil, forbiddenAddress(t.Host) // the proxy would not check it
	}
	p, err := newProxy(u)
	if err != nil {
		return nil, err
	}
	if u.Scheme == "socks5" {
		p.resolver, p.allowed = net.DefaultResolver, d.allows
		if d.cfg.Resolver != nil && d.cfg.Resolves(t.Host) {
			p.resolver = d.cfg.Resolver
		}
	}
	return p, nil
}

func newProxy(u *url.URL) (*Proxy, error) {
	p := &Proxy{host: u.Hostname()}
	port := u.Port()
	switch u.Scheme {
	case "http":
		port = cmp.Or(port, "80")
	case "https":
		port = cmp.Or(port, "443")
		p.tls = true
	case "socks5", "socks5h":
		port = cmp.Or(port, "1080")
		p.socks = &proxy.Auth{}
	default:
		return nil, errProxyUnknown
	}
	if p.host == "" {
		return nil, errProxyUnknown
	}
	p.name = net.JoinHostPort(p.host, port)
	if u.User != nil {
		password, _ := u.User.Password()
		if p.socks != nil {
			p.socks.User, p.socks.Password = u.User.Username(), password
		}
		p.auth = "Basic " + base64.StdEncoding.EncodeToString([]byte(u.User.Username()+":"+password))
	}
	return p, nil
}

// ForwardsHTTP reports whether the proxy forwards requests of plain HTTP, which are
// then sent to it in absolute form with Authorization. A SOCKS proxy does not: it
// tunnels everything.
func (p *Proxy) ForwardsHTTP() bool { return p.socks == nil }

// Authorization returns the value of Proxy-Authorization, which is a secret; "" for
// none.
func (p *Proxy) Authorization() string { return p.auth }

// connect opens a tunnel to address through the proxy at nc. The connection that
// it returns reads from where the tunnel begins.
func (p *Proxy) connect(ctx context.Context, nc net.Conn, address string, wrap func(net.Conn, []byte) net.Conn) (net.Conn, error) {
	stop := context.AfterFunc(ctx, func() {
		nc.SetDeadline(time.Unix(1, 0)) //nolint:errcheck // a closed connection ends its reads anyway
	})
	if p.socks != nil {
		if err := p.connectSOCKS(ctx, nc, address); err != nil {
			return nil, err
		}
		if !stop() {
			return nil, p.failed(ctx.Err())
		}
		return nc, nil
	}
	head := "CONNECT " + address + " HTTP/1.1\r\nHost: " + address + "\r\n"
	if p.auth != "" {
		head += "Proxy-Authorization: " + p.auth + "\r\n"
	}
	if _, err := io.WriteString(nc, head+"\r\n"); err != nil {
		return nil, p.failed(err)
	}
	br := bufio.NewReader(io.LimitReader(nc, maxProxyHead))
	resp, err := http.ReadResponse(br, &http.Request{Method: http.MethodConnect})
	if err != nil {
		return nil, p.failed(cmp.Or(ctx.Err(), err)) // the end of ctx may have cut a line off
	}
	resp.Body.Close() // a tunnel has none, and an error page does not matter
	switch {
	case resp.StatusCode == http.StatusProxyAuthRequired:
		return nil, &Error{Fault: classify.FaultUnreachable, Message: "The upstream proxy " + p.name + " rejects the credentials, or needs some. Give them in its URL, as in HTTPS_PROXY=http://USER:PASSWORD@HOST:PORT.", Lasting: true}
	case resp.StatusCode/100 != 2:
		return nil, &Error{Fault: classify.FaultUnreachable, Message: "The upstream proxy " + p.name + " answers CONNECT " + address + " with status " + strconv.Itoa(resp.StatusCode) + ". Allow it there, or name the host in NO_PROXY.", Lasting: resp.StatusCode/100 == 4}
	case !stop():
		return nil, p.failed(ctx.Err())
	}
	ahead, _ := br.Peek(br.Buffered()) // cannot fail: the bytes are buffered
	if len(ahead) == 0 {
		return nc, nil
	}
	return wrap(nc, bytes.Clone(ahead)), nil
}

// connectSOCKS makes the SOCKS proxy at nc connect to address.
func (p *Proxy) connectSOCKS(ctx context.Context, nc net.Conn, address string) error {
	address, err := p.resolve(ctx, address)
	if err != nil {
		return err
	}
	auth := p.socks
	if auth.User == "" {
		auth = nil
	}
	d, err := proxy.SOCKS5("tcp", p.name, auth, connected{nc})
	if err == nil {
		_, err = d.Dial("tcp", address)
	}
	switch {
	case err == nil:
		return nil
	case ctx.Err() != nil:
		return p.failed(ctx.Err())
	default:
		return &Error{Fault: classify.FaultUnreachable, Message: "The upstream proxy " + p.name + " did not connect to " + address + ". Check its rules, user and password, or name the host in NO_PROXY."}
	}
}

// resolve replaces the name in address by an IP address for a socks5 proxy. For
// socks5h, the proxy resolves names, and address is returned unchanged.
func (p *Proxy) resolve(ctx context.Context, address string) (string, error) {
	host, port, err := net.SplitHostPort(address)
	if _, isIP := netip.ParseAddr(host); err != nil || isIP == nil || p.resolver == nil {
		return address, err
	}
	addrs, err := p.resolver.LookupNetIP(ctx, "ip", host)
	if err != nil || len(addrs) == 0 {
		return "", dialError(&net.DNSError{Err: errNoSuchHost.Error(), Name: host}, hostname.Name(host))
	}
	if !p.allowed(addrs[0]) {
		return "", forbiddenAddress(hostname.Name(host))
	}
	return net.JoinHostPort(addrs[0].Unmap().String(), port), nil
}

// connected is a proxy.Dialer that returns a connection that already exists.
type connected struct{ nc net.Conn }

// Dial returns the connection.
func (c connected) Dial(string, string) (net.Conn, error) { return c.nc, nil }

// secure starts TLS with the proxy itself, if its URL is an https one.
func (p *Proxy) secure(ctx context.Context, nc net.Conn, cfg *tls.Config, wrap func(net.Conn, []byte) net.Conn) (net.Conn, error) {
	if !p.tls {
		return nc, nil
	}
	cfg = cfg.Clone()
	cfg.ServerName = p.host
	cfg.ClientSessionCache = sessionsOf{cfg.ClientSessionCache, p.auth}
	tc := tls.Client(wrap(nc, nil), cfg)
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, tlsError(err, "the upstream proxy "+p.name)
	}
	return tc, nil
}

// sessionsOf are the sessions with one user of a proxy. A proxy may remember with a
// session who it let in.
type sessionsOf struct {
	all  tls.ClientSessionCache
	auth string
}

// Get implements tls.ClientSessionCache.
func (s sessionsOf) Get(server string) (*tls.ClientSessionState, bool) {
	return s.all.Get(server + "\n" + s.auth)
}

// Put implements tls.ClientSessionCache.
func (s sessionsOf) Put(server string, session *tls.ClientSessionState) {
	s.all.Put(server+"\n"+s.auth, session)
}

var errProxyUnknown = &Error{
	Fault:   classify.FaultUnreachable,
	Lasting: true,
	Message: "The URL of the upstream proxy is not valid. Set HTTPS_PROXY, HTTP_PROXY and ALL_PROXY of ksyun-tap to http://HOST:PORT, https://HOST:PORT, socks5://HOST:PORT or socks5h://HOST:PORT.",
}

// failed converts an error of using the proxy to a *Error.
func (p *Proxy) failed(err error) error {
	e := dialError(err, hostname.Name(p.host))
	switch e.Fault { //nolint:exhaustive // the others have the message below
	case classify.FaultExhausted:
		return e
	case classify.FaultDialTimeout:
		return &Error{Fault: e.Fault, Message: "The upstream proxy " + p.name + " does not answer. Check that it is running and can reach the host, and routes and firewalls between this machine and the proxy."}
	case classify.FaultLoop:
		return &Error{Fault: e.Fault, Message: "The upstream proxy " + p.name + " is ksyun-tap itself. Unset HTTP_PROXY, HTTPS_PROXY and ALL_PROXY for ksyun-tap, or name another proxy."}
	}
	return &Error{Fault: e.Fault, Message: "The upstream proxy " + p.name + " cannot be used. Check HTTP_PROXY, HTTPS_PROXY, ALL_PROXY and NO_PROXY of ksyun-tap, and that the proxy is running."}
}
