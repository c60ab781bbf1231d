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
	if len(a.Allow) > 0 {
		ln = &guarded{Listener: ln, allow: a.Allow, refused: func() { p.notAllowed.Add(1) }}
	}
	w := &resignWay{a.Signer, []byte(a.Upstream.Host), a.Upstream.Scheme == "https"}
	return p.serve(ln, w, relay.Intake{TLS: a.TLS, Busy: busy})
}

// resignWay routes the requests of a re-signing address.
type resignWay struct {
	signer    *resign.Signer
	authority []byte
	https     bool
}

var errNotProxy = refuse(classify.FaultUnsupported, "This is ksyun-tap's re-signing address and not a proxy. Send calls to it as to the API, or use the proxy's address as a proxy.")

func (w *resignWay) route(h *handler, x *relay.Exchange) (relay.Route, error) {
	h.obs.Source = classify.SourceResign
	if x.Request.Form != http1.FormOrigin {
		return relay.Route{}, errNotProxy
	}
	if err := h.lookUp(w.authority, w.https); err != nil {
		return relay.Route{}, err
	}
	route := h.rules.route(&h.dest)
	route.Rewrite = w.rewrite
	return route, nil
}

// rewrite appends the request in x, signed again, to dst.
func (w *resignWay) rewrite(dst []byte, x *relay.Exchange, body []byte) ([]byte, error) {
	q := &x.Request
	p, err := w.signer.Append(dst, &resign.Request{
		Method: q.Method(), Target: q.Target(), Version: q.Version(), Fields: q.Fields(), Body: body,
	})
	if err != nil {
		return nil, refuse(classify.FaultSignature, "ksyun-tap refuses the request: "+err.Error()+". Sign it with the key of --resign.client-key-file.")
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
