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

// ServeTransparent is Serve for listeners to which the system redirects
// connections that programs make elsewhere (Linux's REDIRECT). They go on to
// where they were bound for, whatever their names lead to: calls in plain HTTP
// to tapped hosts observed, TLS to tapped hosts as in ServeTLS, and everything
// else unseen and untouched, also where Policy.OtherHosts says otherwise. A
// connection that was not redirected, or is our own, is reset.
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

// Why a connection to a transparent listener is refused.
var (
	ErrDirect = errors.New("the connection was made to ksyun-tap, and not redirected")
	ErrLoop   = errors.New("the connection is ksyun-tap's own, which the rules redirect")
)

// destination returns where a redirected connection was bound for.
func (p *Proxy) destination(nc net.Conn) (netip.AddrPort, error) {
	to, err := originalDestination(nc)
	if err == nil && p.rules.Load().dialer.isOurs(to.Addr(), to.Port()) {
		err = ErrDirect
	}
	if err != nil {
		p.direct.Add(1)
		p.onRedirectError(nc.RemoteAddr(), err)
	}
	return to, err
}

// cameBack is told of a connection of our own that was redirected to us.
func (p *Proxy) cameBack(from netip.AddrPort) {
	p.looped.Add(1)
	p.onRedirectError(net.TCPAddrFromAddrPort(from), ErrLoop)
}

var errProxyRequest = &refusal{
	fault:   classify.FaultUnsupported,
	message: "This is a request to a proxy on a connection that was redirected to ksyun-tap. Use one or the other.",
}

// routeRedirected decides where a request goes whose connection was bound for
// another address: there.
func (h *handler) routeRedirected(x *relay.Exchange) (relay.Route, error) {
	h.obs.Source = classify.SourceTransparent
	q := &x.Request
	authority, https := q.Host(), false
	switch {
	case h.inside.authority != nil:
		authority, https = h.inside.authority, h.inside.https
	case q.Form == http1.FormAuthority && x.Hello:
		return h.connectRedirected(x)
	}
	if q.Form != http1.FormOrigin {
		return relay.Route{}, errProxyRequest
	}
	name, _, ok := http1.SplitAuthority(authority)
	if !ok || len(name) == 0 {
		return relay.Route{}, errNoRoute
	}
	h.dest = h.redirected(hostKey(name), x.Destination, https)
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

// connectRedirected decides on a connection that begins with TLS, or is to be
// passed on unseen.
func (h *handler) connectRedirected(x *relay.Exchange) (relay.Route, error) {
	name, _, _ := http1.SplitAuthority(x.Request.Authority())
	h.dest = h.redirected(hostKey(name), x.Destination, true)
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

// redirected is where a connection goes that was bound for an address.
func (h *handler) redirected(host string, to netip.AddrPort, https bool) destination {
	return destination{
		key:    relay.Key{Host: host, Port: to.Port(), TLS: https, Epoch: h.rules.epoch, Address: to},
		tapped: h.rules.taps(host),
	}
}

// dialEarly connects to where the client's connection was bound for, before the
// client said anything.
func (h *handler) dialEarly(ctx context.Context, to netip.AddrPort) (net.Conn, error) {
	d := h.redirected(to.Addr().String(), to, false)
	return h.rules.dial(ctx, &d)
}

// usable reports whether an original destination can be connected to.
func usable(to netip.AddrPort) bool {
	return to.IsValid() && to.Port() != 0 && !to.Addr().IsUnspecified()
}

// same reports whether a connection was made to the address at which it was
// accepted, and so not redirected.
func same(nc net.Conn, to netip.AddrPort) bool {
	local, ok := nc.LocalAddr().(*net.TCPAddr)
	return ok && slices.Equal(local.AddrPort().Addr().Unmap().AsSlice(), to.Addr().AsSlice()) && local.AddrPort().Port() == to.Port()
}
