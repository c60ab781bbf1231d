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

// OwnAddress is how programs are served that call us under an address of our
// own: their calls are signed anew and go to one host.
type OwnAddress struct {
	Signer *resign.Signer
	// Upstream is where the calls go: https or http, a host, perhaps a port. No
	// more of it is looked at.
	Upstream *url.URL
	// TLS, if not nil, is spoken with the programs.
	TLS *tls.Config
	// Allow are the networks that programs may call from; none is all.
	Allow []netip.Prefix
}

// ServeOwn is Serve for listeners under addresses of our own.
func (p *Proxy) ServeOwn(ln net.Listener, a OwnAddress) error {
	o := &own{a.Signer, []byte(a.Upstream.Host), a.Upstream.Scheme == "https"}
	if len(a.Allow) > 0 {
		ln = &guarded{Listener: ln, allow: a.Allow, refused: func() { p.notAllowed.Add(1) }}
	}
	return p.server.Serve(ln, relay.Intake{TLS: a.TLS, Busy: busy, NewHandler: func(client netip.AddrPort) relay.Handler {
		h := newHandler(p, client)
		h.own = o
		return h
	}})
}

// own is an OwnAddress, made ready.
type own struct {
	signer    *resign.Signer
	authority []byte
	https     bool
}

var errNotProxy = &refusal{
	fault:   classify.FaultUnsupported,
	message: "This is ksyun-tap's own address and no proxy. Send calls to it as to the API, or use the proxy's address as a proxy.",
}

// routeOwn decides where a request goes that came to our own address.
func (h *handler) routeOwn(x *relay.Exchange) (relay.Route, error) {
	h.obs.Source = classify.SourceResign
	if x.Request.Form != http1.FormOrigin {
		return relay.Route{}, errNotProxy
	}
	if err := h.lookUp(h.own.authority, h.own.https); err != nil {
		return relay.Route{}, err
	}
	return relay.Route{Key: h.dest.key, Proxied: h.dest.proxied, Rewrite: h.own.rewrite}, nil
}

// rewrite signs a request anew.
func (o *own) rewrite(dst []byte, x *relay.Exchange, body []byte) ([]byte, error) {
	q := &x.Request
	p, err := o.signer.Append(dst, &resign.Request{
		Method: q.Method(), Target: q.Target(), Version: q.Version(), Fields: q.Fields(), Body: body,
	})
	if err != nil {
		return nil, &refusal{
			fault:   classify.FaultSignature,
			message: "The request is refused by ksyun-tap: " + err.Error() + ". Sign it with the key of --resign.client-key-file.",
		}
	}
	return p, nil
}

// guarded is a listener for some networks only.
type guarded struct {
	net.Listener
	allow   []netip.Prefix
	refused func()
}

// Accept returns the next connection from where it may come.
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
