package collector

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// ServeTransparent serves a listener to which the kernel redirects connections
// that programs made elsewhere (the REDIRECT target of nftables and iptables).
// Each is forwarded to its original destination, whatever the host name
// resolves to: plain HTTP calls to tapped hosts are observed, TLS to tapped
// hosts is handled as in ServeTLS, and everything else is tunnelled unchanged,
// even where Policy.OtherHosts is OtherRefuse. A connection that was not
// redirected, or that ksyun-tap itself made, is reset. ServeTransparent returns
// nil after Shutdown.
func (p *Proxy) ServeTransparent(ln net.Listener) error {
	p.guard.Watch()
	return p.serve(ln, transparentWay{}, relay.Intake{
		Destination: p.destination,
		Serves: func(field []byte) bool {
			host, _ := hostname.Of(field)
			return host != "" && p.rules.Load().taps(host)
		},
	})
}

// The reasons why a connection to a transparent listener is refused.
var (
	ErrDirect = errors.New("the connection was made to ksyun-tap directly and not redirected")
	ErrLoop   = errors.New("the connection is one of ksyun-tap's own, which the redirect rules should exclude")
)

// destination returns the original destination of a redirected connection.
func (p *Proxy) destination(nc net.Conn) (netip.AddrPort, error) {
	to, err := originalDestination(nc)
	if err == nil && p.guard.Listens(to) {
		err = ErrDirect
	}
	if err != nil {
		p.direct.Add(1)
		p.cfg.OnTransparentError(nc.RemoteAddr(), err)
	}
	return to, err
}

// looped counts and reports a connection of our own that was redirected to us.
func (p *Proxy) looped(from netip.AddrPort) {
	p.loops.Add(1)
	p.cfg.OnTransparentError(net.TCPAddrFromAddrPort(from), ErrLoop)
}

var errProxyRequest = refuse(classify.FaultUnsupported, "This is a request to a proxy on a connection that was redirected to ksyun-tap. Use either a proxy or redirection, not both.")

// transparentWay routes redirected connections to their original destination.
type transparentWay struct{}

func (transparentWay) route(h *handler, x *relay.Exchange) (relay.Route, error) {
	q := &x.Request
	h.source = classify.SourceTransparent
	switch {
	case q.Form == http1.FormAuthority && x.Hello:
		return h.connectTransparent(q.Authority(), x.Destination)
	case q.Form != http1.FormOrigin:
		return relay.Route{}, errProxyRequest
	}
	host, _ := hostname.Of(q.Host())
	if host == "" {
		return relay.Route{}, errNoRoute
	}
	h.setAuthority(q.Host())
	h.dest = h.redirected(host, x.Destination, false)
	return h.forward(q), nil
}

// connectTransparent routes a redirected connection that begins with TLS or is
// tunnelled.
func (h *handler) connectTransparent(authority []byte, to netip.AddrPort) (relay.Route, error) {
	host, _ := hostname.Of(authority)
	h.dest = h.redirected(host, to, true)
	d := &h.dest
	var route relay.Route
	id := newIdentity(h.client.Addr(), host, nil)
	if d.tapped && h.p.intercepts(host) && !h.p.distrusts.tunnels(id, time.Now()) {
		h.next = passages{tls: &redirectedPassage{d.authority(), to}, identity: id}
		route.TLS = h.p.tlsConfig(host)
	}
	// TLS that is not intercepted is the program's, within the tunnel.
	d.blind, d.tapped, d.Tunnel, d.TLS = d.tapped, false, true, false
	route.Key = h.rules.route(d).Key
	return route, nil
}

// redirectedPassage routes the requests within intercepted TLS on a redirected
// connection.
type redirectedPassage struct {
	authority []byte
	to        netip.AddrPort // the connection's original destination
}

func (w *redirectedPassage) route(h *handler, x *relay.Exchange) (relay.Route, error) {
	q := &x.Request
	h.source = classify.SourceTransparent
	if q.Form != http1.FormOrigin {
		return relay.Route{}, errProxyRequest
	}
	host, _ := hostname.Of(w.authority)
	h.setAuthority(w.authority)
	h.dest = h.redirected(host, w.to, true)
	if err := h.checkHost(q.Host()); err != nil {
		return relay.Route{}, err
	}
	return h.forward(q), nil
}

// redirected returns the destination for a host at the original address to.
func (h *handler) redirected(host hostname.Name, to netip.AddrPort, https bool) destination {
	return destination{
		Target: upstream.Target{Host: host, Port: to.Port(), TLS: https, Address: to},
		tapped: h.rules.taps(host),
	}
}

// dialEarly connects to a redirected connection's original destination before
// the program has sent anything, for protocols in which the server speaks first.
func (h *handler) dialEarly(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	return h.rules.dialer.Dial(ctx, &upstream.Target{Host: hostname.Canonical(to.Addr().String()), Port: to.Port(), Address: to})
}

// usable reports whether to is an address that can be connected to.
func usable(to netip.AddrPort) bool {
	return to.IsValid() && to.Port() != 0 && !to.Addr().IsUnspecified()
}

// same reports whether to is the address at which nc was accepted, which means
// that nc was not redirected.
func same(nc net.Conn, to netip.AddrPort) bool {
	local, ok := nc.LocalAddr().(*net.TCPAddr)
	return ok && slices.Equal(local.AddrPort().Addr().Unmap().AsSlice(), to.Addr().AsSlice()) && local.AddrPort().Port() == to.Port()
}
