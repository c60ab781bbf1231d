package collector

import (
	"context"
	"crypto/tls"
	"net/netip"
	"testing"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

// gate blocks who passes it until it is opened.
type gate struct{ reached, open chan struct{} }

func newGate() gate { return gate{make(chan struct{}, 1), make(chan struct{})} }

func (g gate) pass() {
	g.reached <- struct{}{}
	<-g.open
}

// slowCA makes certificates for a host other than the rig's only behind a gate.
type slowCA struct {
	Interceptor
	gate gate
}

func (s slowCA) TLSConfig(name string) (*tls.Config, error) {
	if name != host {
		s.gate.pass()
	}
	return s.Interceptor.TLSConfig(name)
}

// slowResolver finds no name, and that only behind a gate.
type slowResolver struct{ gate }

func (s slowResolver) LookupNetIP(context.Context, string, string) ([]netip.Addr, error) {
	s.pass()
	return nil, nil
}

// TestNothingBlocksALoop has the only loop serve a program while what another one
// waits for blocks.
func TestNothingBlocksALoop(t *testing.T) {
	const slow = "slow.api.ksyun.com"
	for name, begin := range map[string]func(*interceptRig){
		"certificate for a CONNECT": func(r *interceptRig) { r.client().Send(connectTo443(slow)) },
		"certificate for TLS": func(r *interceptRig) {
			c := rawconn.Dial(r.t, r.addrTLS)
			go tls.Client(c.Conn, &tls.Config{ServerName: slow, InsecureSkipVerify: true}).Handshake()
		},
		"name": func(r *interceptRig) { r.client().Send(request(slow)) },
	} {
		t.Run(name, func(t *testing.T) {
			g := newGate()
			r := newInterceptRig(t, func(c *Config) {
				c.Loops = 1
				c.Intercept = slowCA{c.Intercept, g}
				c.Policy.OtherHosts = OtherForward
				c.Policy.Resolver = slowResolver{g}
			})
			r.leadAll(host + ":80")
			defer close(g.open)
			other := r.client()
			other.Send(request(host))
			up := r.upstream()
			up.Expect(request(host))
			up.Deliver(okResponse, other)
			begin(r)
			rawconn.Receive(t, g.reached, "nothing blocks")
			other.Send(request(host))
			up.Expect(request(host))
			up.Deliver(okResponse, other)
		})
	}
}

// TestRedirectedTLSIsTunnelledAsItIs routes a redirected connection to a tapped host.
// If it cannot be intercepted, as where its ClientHello cannot be read, what is sent
// to the server is the program's TLS, and not that within TLS of our own.
func TestRedirectedTLSIsTunnelledAsItIs(t *testing.T) {
	r := newInterceptRig(t)
	h := newHandler(r.proxy, transparentWay{}, netip.AddrPort{})
	head := connectTo443(host + ".")
	x := &relay.Exchange{Hello: true, Destination: netip.MustParseAddrPort("192.0.2.1:443")}
	require.NoError(t, x.Request.Parse([]byte(head), 0, len(head)))
	require.Equal(t, http1.FormAuthority, x.Request.Form)
	route, err := h.Route(x)
	require.NoError(t, err)
	assert.NotNil(t, route.TLS, "it is intercepted if possible")
	assert.False(t, h.dest.TLS, "TLS of our own")
	assert.True(t, h.dest.Tunnel)
	assert.Equal(t, relay.Key{Host: host, Port: 443, Epoch: r.proxy.rules.Load().epoch, Address: x.Destination}, route.Key)
	assert.Equal(t, classify.SourceTransparent, h.source)
}
