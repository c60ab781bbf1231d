// Package upstream connects to the servers that programs call: it resolves their
// names, refuses addresses that no request may lead to, uses upstream proxies, and
// recognises connections that come back.
//
//	Target ──> ConnectTo or Resolver ──> address check ──> Proxy ──> TLS ──> net.Conn
//	                                          │                       │
//	                                          └─────── Guard ─────────┘
package upstream

import (
	"cmp"
	"context"
	"crypto/tls"
	"crypto/x509"
	"net"
	"net/netip"
	"net/url"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/netfault"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// Config configures a Dialer. All fields are optional.
type Config struct {
	// ConnectTo redirects connections to other addresses. The first match is
	// used.
	ConnectTo []ConnectTo
	// Resolver resolves the names for which Resolves returns true (nil: all
	// names). If nil, the system's resolver is used.
	Resolver Resolver
	Resolves func(host hostname.Name) bool
	// Proxy returns the proxy through which to reach a host, or nil for a direct
	// connection. It must not block, and must return the same result for the same
	// arguments. If nil, no proxy is used.
	Proxy func(scheme, host string, port uint16) (*url.URL, error)
	// Mark is set on connections (SO_MARK). It needs Linux and CAP_NET_ADMIN. 0 sets
	// no mark.
	Mark uint32
	// RootCAs verifies the servers' certificates. If nil, the system's roots do.
	RootCAs *x509.CertPool
	// AnyAddress allows connections to loopback, link-local and multicast
	// addresses. Otherwise only ConnectTo and Target.Address lead to them.
	AnyAddress bool

	Timeout    time.Duration // to connect, including name resolution and the proxy; 0 is no limit
	TLSTimeout time.Duration // for TLS with the server, which follows; 0 is no limit

	// Guard recognises connections that lead back to us.
	Guard *Guard
	// Reclaim frees a file descriptor when none is left, and reports whether it
	// could.
	Reclaim func() bool
	// Control is called with every socket before it is connected.
	Control func(ctx context.Context, socket syscall.RawConn)
	// Wrap wraps the connection below TLS, and one that the bytes in
	// ahead were read from already, which must be read again. It is required.
	Wrap func(nc net.Conn, ahead []byte) net.Conn
}

// Target is what a Dialer connects to.
type Target struct {
	Host hostname.Name
	Port uint16
	TLS  bool // with the server; its certificate is verified
	// Address is where to connect to, whatever Host resolves to. If invalid, that is
	// found out.
	Address netip.AddrPort
	// Tunnel is set if the bytes need not be HTTP, so that a proxy has to tunnel
	// them.
	Tunnel bool
	// Proxy is the result of Dialer.ProxyFor; nil for a direct connection.
	Proxy *Proxy
}

// authority returns the target's host and port.
func (t *Target) authority() string { return t.Host.WithPort(t.Port) }

// scheme returns the scheme of the target's URL.
func (t *Target) scheme() string {
	if t.TLS {
		return "https"
	}
	return "http"
}

// Dialer connects to upstreams and refuses forbidden addresses. It is safe for
// concurrent use. Its TLS connections resume the sessions of earlier ones.
type Dialer struct {
	cfg       Config
	connectTo map[string]string // addresses by authority
	tls       *tls.Config
	latest    atomic.Pointer[tls.Config] // of the latest host
}

// NewDialer returns a Dialer.
func NewDialer(cfg Config) *Dialer {
	if cfg.Guard == nil {
		cfg.Guard = NewGuard(nil)
	}
	if cfg.Reclaim == nil {
		cfg.Reclaim = func() bool { return false }
	}
	if cfg.Control == nil {
		cfg.Control = func(context.Context, syscall.RawConn) {}
	}
	if cfg.Resolves == nil {
		cfg.Resolves = func(hostname.Name) bool { return true }
	}
	d := &Dialer{cfg: cfg, connectTo: make(map[string]string), tls: &tls.Config{
		MinVersion:         tls.VersionTLS12,
		NextProtos:         []string{"http/1.1"},
		RootCAs:            cfg.RootCAs,
		ClientSessionCache: tls.NewLRUClientSessionCache(0),
	}}
	for _, c := range cfg.ConnectTo {
		from := c.host.WithPort(c.port)
		d.connectTo[from] = cmp.Or(d.connectTo[from], c.to)
	}
	return d
}

// Dial connects to t. Its errors are of type *Error, unless ctx ended.
func (d *Dialer) Dial(ctx context.Context, t *Target) (net.Conn, error) {
	connecting, cancel := within(ctx, d.cfg.Timeout)
	defer cancel()
	nc, err := d.connect(connecting, t)
	switch {
	case err != nil && t.Proxy != nil:
		return nil, t.Proxy.failed(err)
	case err != nil:
		return nil, dialError(err, t.Host)
	}
	p := pathOf(nc)
	if err := d.cfg.Guard.Connected(p.from, p.to); err != nil {
		nc.Close()
		return nil, err
	}
	defer d.cfg.Guard.Closed(p.from, p.to)
	up, err := d.tunnel(connecting, nc, t)
	if err == nil && t.TLS {
		up, err = d.secure(ctx, up, t)
	}
	if d.cfg.Guard.cameBack(p) {
		err = errLoop
	}
	if err != nil {
		nc.Close()
		return nil, err
	}
	return up, nil
}

// within limits the time of ctx to timeout, unless that is 0.
func within(ctx context.Context, timeout time.Duration) (context.Context, context.CancelFunc) {
	if timeout == 0 {
		return ctx, func() {}
	}
	return context.WithTimeout(ctx, timeout)
}

// connect makes the TCP connection to the server or its proxy.
func (d *Dialer) connect(ctx context.Context, t *Target) (net.Conn, error) {
	address, trusted := d.connectTo[t.authority()], true
	switch {
	case t.Address.IsValid():
		address = t.Address.String()
	case t.Proxy != nil:
		address = t.Proxy.name
	case address == "":
		address, trusted = t.authority(), false
	}
	nd := net.Dialer{
		// The address is checked as it is about to be connected to, so that a
		// name cannot resolve to another address after the check.
		ControlContext: func(ctx context.Context, _, address string, raw syscall.RawConn) error {
			if err := d.check(address, t.Host, trusted); err != nil {
				return err
			}
			d.cfg.Control(ctx, raw)
			return d.mark(raw)
		},
	}
	resolver := d.cfg.Resolver
	if !d.cfg.Resolves(t.Host) {
		resolver = nil
	}
	nc, err := dialBy(ctx, &nd, resolver, address)
	for tries := 3; tries > 0 && netfault.IsExhausted(err) && d.cfg.Reclaim(); tries-- {
		nc, err = dialBy(ctx, &nd, resolver, address)
	}
	return nc, err
}

// tunnel opens the tunnel through the upstream proxy, if there is one, and the target
// needs a tunnel.
func (d *Dialer) tunnel(ctx context.Context, nc net.Conn, t *Target) (net.Conn, error) {
	p := t.Proxy
	if p == nil {
		return nc, nil
	}
	nc, err := p.secure(ctx, nc, d.tls, d.cfg.Wrap)
	if err != nil || !t.TLS && !t.Tunnel && p.socks == nil {
		return nc, err
	}
	return p.connect(ctx, nc, t.authority(), d.cfg.Wrap)
}

// secure starts TLS with the server.
func (d *Dialer) secure(ctx context.Context, nc net.Conn, t *Target) (net.Conn, error) {
	ctx, cancel := within(ctx, d.cfg.TLSTimeout)
	defer cancel()
	tc := tls.Client(d.cfg.Wrap(nc, nil), d.tlsConfig(string(t.Host)))
	if err := tc.HandshakeContext(ctx); err != nil {
		return nil, tlsError(err, string(t.Host))
	}
	return tc, nil
}

// tlsConfig returns the configuration for host. Connections keep it, so those to the
// same host share one.
func (d *Dialer) tlsConfig(host string) *tls.Config {
	cfg := d.latest.Load()
	if cfg == nil || cfg.ServerName != host {
		cfg = d.tls.Clone()
		cfg.ServerName = host
		d.latest.Store(cfg)
	}
	return cfg
}

// mark sets the mark on a socket, if there is one.
func (d *Dialer) mark(raw syscall.RawConn) error {
	if d.cfg.Mark == 0 {
		return nil
	}
	var failed error
	if err := raw.Control(func(fd uintptr) { failed = setMark(fd, d.cfg.Mark) }); err != nil {
		return err
	}
	if failed != nil {
		return &Error{Fault: classify.FaultUnreachable, Message: "ksyun-tap cannot mark its connections. Give it CAP_NET_ADMIN, which --upstream.mark needs.", Lasting: true}
	}
	return nil
}
