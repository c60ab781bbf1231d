package collector

import (
	"net"
	"net/netip"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

// way is how the requests of a program connection are routed. Each listener has
// one. Within a CONNECT that ends here, and within intercepted TLS, another follows
// (passage).
type way interface {
	// route sets the source and the destination of the running exchange in h.
	route(h *handler, x *relay.Exchange) (relay.Route, error)
}

// Serve accepts connections on ln until Shutdown, and then returns nil. Several
// listeners may be served at once.
func (p *Proxy) Serve(ln net.Listener) error {
	return p.serve(ln, &proxyWay{}, relay.Intake{Busy: busy})
}

// ServeTLS is like Serve, for a listener where programs start with TLS because
// the names of API hosts resolve to it (by a hosts file or hostAliases). The
// host is the server name of the program's ClientHello. A tapped host is
// intercepted as within a CONNECT; connections to other hosts are tunnelled or
// closed according to Policy.OtherHosts. A connection without a server name is
// closed and reported to Config.OnHandshakeError.
func (p *Proxy) ServeTLS(ln net.Listener) error {
	return p.serve(ln, &helloWay{}, relay.Intake{Hello: true})
}

// serve accepts connections on ln, whose requests w routes.
func (p *Proxy) serve(ln net.Listener, w way, in relay.Intake) error {
	defer p.guard.Listen(ln.Addr())()
	in.NewHandler = func(client netip.AddrPort) relay.Handler { return newHandler(p, w, client) }
	return p.server.Serve(ln, in)
}

// proxyWay routes as a forward proxy, and as a reverse proxy under the real host
// name.
type proxyWay struct{}

func (*proxyWay) route(h *handler, x *relay.Exchange) (relay.Route, error) {
	q := &x.Request
	switch q.Form { //nolint:exhaustive // the others are those of a server
	case http1.FormAuthority:
		h.source = classify.SourceConnect
		return h.connect(q.Authority(), q.Get("User-Agent"))
	case http1.FormAbsolute:
		h.source = classify.SourceForward
		return h.forwardFor(q, q.Authority(), q.TLS)
	}
	h.source = classify.SourceReverse
	if err := h.lookUp(q.Host(), q.TLS); err != nil {
		return relay.Route{}, err
	}
	return h.forward(q), nil
}

// helloWay routes connections that begin with TLS, to the host that the ClientHello
// names.
type helloWay struct{}

func (*helloWay) route(h *handler, x *relay.Exchange) (relay.Route, error) {
	h.source = classify.SourceReverse
	return h.connect(x.Request.Authority(), nil)
}

// passage routes the requests within a CONNECT, or within TLS, that ends here: all of
// them go to its authority.
type passage struct {
	source    classify.Source
	authority []byte
	https     bool
}

// passages are the ways within the CONNECT that is being routed, if it ends here.
type passages struct {
	tls      way
	plain    way
	identity identity // of the program
}

// passages returns the ways within a CONNECT to the destination of h.
func (h *handler) passages(id identity) passages {
	d := &h.dest
	return passages{
		tls:      &passage{h.source, d.authority(), true},
		plain:    &passage{h.source, []byte(d.Host.WithPort(d.Port)), false},
		identity: id,
	}
}

func (w *passage) route(h *handler, x *relay.Exchange) (relay.Route, error) {
	q := &x.Request
	h.source = w.source
	if q.Form == http1.FormAuthority || q.Form == http1.FormAbsolute {
		return relay.Route{}, errNested
	}
	return h.forwardFor(q, w.authority, w.https)
}

// forwardFor routes a request to an authority that is not taken from its Host field.
func (h *handler) forwardFor(q *http1.Request, authority []byte, https bool) (relay.Route, error) {
	if err := h.lookUp(authority, https); err != nil {
		return relay.Route{}, err
	}
	if err := h.checkHost(q.Host()); err != nil {
		return relay.Route{}, err
	}
	return h.forward(q), nil
}

// forward returns the route of a request to the destination of h.
func (h *handler) forward(q *http1.Request) (route relay.Route) {
	route = h.rules.route(&h.dest)
	if q.HopByHop() {
		route.Keep = signedFields(q.Get("Authorization"), q.Target())
	}
	return route
}
