package collector

import (
	"context"
	"errors"
	"net"
	"net/netip"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
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
	return p.server.Serve(ln, relay.Intake{
		NewHandler:  p.newHandler,
		Destination: p.destination,
		Serves: func(host []byte) bool {
			name, _, ok := http1.SplitAuthority(host)
			return ok && len(name) > 0 && p.rules.Load().taps(hostKey(name))
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
	if err == nil && p.rules.Load().dialer.isOurs(to.Addr(), to.Port()) {
		err = ErrDirect
	}
	if err != nil {
		p.direct.Add(1)
		p.onTransparentError(nc.RemoteAddr(), err)
	}
	return to, err
}

// cameBack counts and reports a connection of our own that was redirected to us.
func (p *Proxy) cameBack(from netip.AddrPort) {
	p.looped.Add(1)
	p.onTransparentError(net.TCPAddrFromAddrPort(from), ErrLoop)
}

var errProxyRequest = &refusal{
	fault:   classify.FaultUnsupported,
	message: "This is a request to a proxy on a connection that was redirected to ksyun-tap. Use either a proxy or redirection, not both.",
}

// routeTransparent routes a request on a redirected connection to the
// connection's original destination.
func (h *handler) routeTransparent(x *relay.Exchange) (relay.Route, error) {
	h.obs.Source = classify.SourceTransparent
	q := &x.Request
	authority, https := q.Host(), false
	switch {
	case h.inside.authority != nil:
		authority, https = h.inside.authority, h.inside.https
	case q.Form == http1.FormAuthority && x.Hello:
		return h.connectTransparent(x)
	}
	if q.Form != http1.FormOrigin {
		return relay.Route{}, errProxyRequest
	}
	name, _, ok := http1.SplitAuthority(authority)
	if !ok || len(name) == 0 {
		return relay.Route{}, errNoRoute
	}
	h.dest = h.transparent(hostKey(name), x.Destination, https)
	h.last.rules, h.last.authority = nil, append(h.last.authority[:0], authority...)
	if https {
		if err := h.checkHost(q.Host(), authority); err != nil {
			return relay.Route{}, err
		}
	}
	route := relay.Route{Key: h.dest.key}
	if q.HopByHop() {
		route.Keep = signedFields(q.Get("Authorization"), q.Target())
	}
	return route, nil
}

// connectTransparent routes a redirected connection that begins with TLS or is
// tunnelled.
func (h *handler) connectTransparent(x *relay.Exchange) (relay.Route, error) {
	name, _, _ := http1.SplitAuthority(x.Request.Authority())
	h.dest = h.transparent(hostKey(name), x.Destination, true)
	if h.dest.tapped {
		if cfg, err := h.p.tlsConfig(h.dest.key.Host); err == nil && !h.p.distrusts.has(h.dest.key.Host, "") {
			h.enter(h.dest.key)
			return relay.Route{TLS: cfg}, nil
		}
		h.dest.blind = true
	}
	h.dest.key.TLS, h.dest.tunnel, h.dest.tapped = false, true, false
	return relay.Route{Key: h.dest.key}, nil
}

// transparent returns the destination for a host at the original address to.
func (h *handler) transparent(host string, to netip.AddrPort, https bool) destination {
	return destination{
		key:    relay.Key{Host: host, Port: to.Port(), TLS: https, Epoch: h.rules.epoch, Address: to},
		tapped: h.rules.taps(host),
	}
}

// dialEarly connects to a redirected connection's original destination before
// the program has sent anything, for protocols in which the server speaks first.
func (h *handler) dialEarly(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := h.transparent(to.Addr().String(), to, false)
	return h.rules.dial(ctx, &d)
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
