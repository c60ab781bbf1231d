package collector

import (
	"crypto/tls"
	"net"
	"net/netip"
	"net/url"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
	"github.com/ksyun-tap/ksyun-tap/collector/resign"
)

// ResignAddress describes a re-signing address: an endpoint of ksyun-tap's own
// to which programs send API calls. Each call is signed again with other
// credentials and sent to Upstream.
type ResignAddress struct {
	Signer *resign.Signer
	// Upstream is where the calls go: an http or https URL. Only its scheme and
	// host, with an optional port, are used.
	Upstream *url.URL
	// TLS, if not nil, is the server configuration for the programs' connections.
	TLS *tls.Config
	// Allow lists the networks that programs may connect from. If empty, every
	// address is allowed.
	Allow []netip.Prefix
}

// ServeResign serves a re-signing address on ln. It returns nil after Shutdown.
func (p *Proxy) ServeResign(ln net.Listener, a ResignAddress) error {
	o := &resigning{a.Signer, []byte(a.Upstream.Host), a.Upstream.Scheme == "https"}
	if len(a.Allow) > 0 {
		ln = &guarded{Listener: ln, allow: a.Allow, refused: func() { p.notAllowed.Add(1) }}
	}
	return p.server.Serve(ln, relay.Intake{TLS: a.TLS, Busy: busy, NewHandler: func(client netip.AddrPort) relay.Handler {
		h := newHandler(p, client)
		h.resign = o
		return h
	}})
}

// resigning is a ResignAddress prepared for use by the handlers.
type resigning struct {
	signer    *resign.Signer
	authority []byte
	https     bool
}

var errNotProxy = &refusal{
	fault:   classify.FaultUnsupported,
	message: "This is ksyun-tap's re-signing address and not a proxy. Send calls to it as to the API, or use the proxy's address as a proxy.",
}

// routeResign routes a request that arrived at a re-signing address.
func (h *handler) routeResign(x *relay.Exchange) (relay.Route, error) {
	h.obs.Source = classify.SourceResign
	if x.Request.Form != http1.FormOrigin {
		return relay.Route{}, errNotProxy
	}
	if err := h.lookUp(h.resign.authority, h.resign.https); err != nil {
		return relay.Route{}, err
	}
	return relay.Route{Key: h.dest.key, Proxied: h.dest.proxied, Rewrite: h.resign.rewrite}, nil
}

// rewrite appends the request in x, signed again, to dst.
func (o *resigning) rewrite(dst []byte, x *relay.Exchange, body []byte) ([]byte, error) {
	q := &x.Request
	p, err := o.signer.Append(dst, &resign.Request{
		Method: q.Method(), Target: q.Target(), Version: q.Version(), Fields: q.Fields(), Body: body,
	})
	if err != nil {
		return nil, &refusal{
			fault:   classify.FaultSignature,
			message: "ksyun-tap refuses the request: " + err.Error() + ". Sign it with the key of --resign.client-key-file.",
		}
	}
	return p, nil
}

// guarded is a listener that accepts connections from some networks only.
type guarded struct {
	net.Listener
	allow   []netip.Prefix
	refused func()
}

// Accept returns the next connection from an allowed network and closes others.
func (g *guarded) Accept() (net.Conn, error) {
	for {
		nc, err := g.Listener.Accept()
		if err != nil {
			return nil, err
		}
		if g.allows(nc.RemoteAddr()) {
			return nc, nil
		}
		nc.Close()
		g.refused()
	}
}

func (g *guarded) allows(a net.Addr) bool {
	tcp, ok := a.(*net.TCPAddr)
	if !ok {
		return false
	}
	from := tcp.AddrPort().Addr().Unmap().WithZone("")
	return slices.ContainsFunc(g.allow, func(p netip.Prefix) bool { return p.Contains(from) })
}
