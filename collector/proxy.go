package collector

import (
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
)

// Timeouts limit how long the proxy waits. The zero value is DefaultTimeouts;
// a single zero in it is no limit.
type Timeouts = relay.Timeouts

// DefaultTimeouts returns timeouts that outlast the known SDKs'.
func DefaultTimeouts() Timeouts { return relay.DefaultTimeouts() }

// The defaults of Config.
const (
	DefaultInspectBytes = 64 << 10
	DefaultMaxHeadBytes = 64 << 10
)

// Config is what a Proxy works by. Of all numbers 0 is the default.
type Config struct {
	Classifier *classify.Classifier
	Sink       Sink
	// SinkFor, if not nil, may name another sink for the calls of one client; a
	// nil one is Sink. It is asked when a call begins, and must not block.
	SinkFor  func(client netip.AddrPort) Sink
	Policy   Policy
	Timeouts Timeouts
	// InspectBytes is how much of a body is looked at, of tapped hosts only.
	// Buffers are as large as it is.
	InspectBytes int
	// MaxHeadBytes limits the head of a request or answer.
	MaxHeadBytes int
	// BufferBytes limits the memory of all buffers; beyond it, bodies pass
	// without being inspected. 0 is no limit.
	BufferBytes int64
	// MaxConnections limits the connections of programs: beyond it the one that
	// waited longest for a request makes room, else the new one is answered with
	// 503. 0 is no limit.
	MaxConnections int
	// Loops is relay.Config.Loops.
	Loops int
	// CredentialKey keys the hash that tells access keys apart
	// (classify.Observation.Credential). nil is a random one: the hashes then
	// change with every start.
	CredentialKey []byte
	// Intercept ends the TLS of CONNECTs to tapped hosts, so that the calls
	// within are observed; nil is to leave it alone.
	Intercept Interceptor
	// OnHandshakeError is told of programs that TLS with us failed for. It is
	// called on the goroutine that serves the program: it must not block. nil
	// is nobody.
	OnHandshakeError func(HandshakeError)
	// OnRedirectError is told of connections that ServeTransparent refused, or
	// that it should not have got: the error is ErrDirect or ErrLoop. Likewise.
	OnRedirectError func(client net.Addr, err error)
	// OnUnseen is called for each request or tunnel that is passed on
	// unobserved, on the goroutine that serves the program: it must not block.
	// If nil, it is not called.
	OnUnseen func(Unseen)
}

// Proxy relays calls and tells a Sink of them. It serves both ways in at once:
// absolute-form targets as a forward proxy, origin-form ones as a reverse proxy
// under the real host name. It is safe for concurrent use.
type Proxy struct {
	sink       Sink
	sinkFor    func(client netip.AddrPort) Sink
	key        []byte
	timeouts   Timeouts
	server     *relay.Server
	rules      atomic.Pointer[rules]
	reload     sync.Mutex // one Reload at a time
	panics     atomic.Int64
	unobserved atomic.Int64
	notAllowed atomic.Int64
	direct     atomic.Int64
	looped     atomic.Int64

	intercept        Interceptor
	onHandshakeError func(HandshakeError)
	onRedirectError  func(client net.Addr, err error)
	onUnseen         func(Unseen)
	distrusts        distrusts
	intercepted      atomic.Int64
	blind            atomic.Int64
}

// rules are a policy and a classifier, made ready. They do not change: an
// exchange keeps those it began with.
type rules struct {
	policy     Policy
	classifier *classify.Classifier
	connectTo  map[string]string
	dialer     dialer
	epoch      uint64
}

// Stats is a snapshot of a proxy's counters.
type Stats struct {
	ClientConnections   int64 // open, of programs
	UpstreamConnections int64 // open
	Accepted            int64 // connections of programs, ever
	Refused             int64 // of them, those beyond the limit
	Reclaimed           int64 // closed while they waited, to make room for others
	BufferBytes         int64 // of memory in use
	Dials               int64 // connections tried to upstreams, ever
	RequestBytes        int64 // read from programs
	ResponseBytes       int64 // written to programs
	Unobserved          int64 // requests of other hosts passed on, tunnels included
	Intercepted         int64 // connections whose TLS we ended and that sent a request
	Tunnels             int64 // CONNECTs passed on unseen, ever
	OpenTunnels         int64
	TappedTunnels       int64 // of Tunnels, those asked for to tapped hosts
	Unsecured           int64 // connections to our own address whose TLS failed
	Direct              int64 // connections that were not redirected to us, where all should be
	Looped              int64 // connections of our own that were redirected to us
	NotAllowed          int64 // connections to our own address from where none may come
	Panics              int64 // recovered
}

// New returns a proxy.
func New(cfg Config) (*Proxy, error) {
	if cfg.Sink == nil {
		return nil, errors.New("collector: no sink")
	}
	if cfg.Timeouts == (Timeouts{}) {
		cfg.Timeouts = DefaultTimeouts()
	}
	if cfg.OnHandshakeError == nil {
		cfg.OnHandshakeError = func(HandshakeError) {}
	}
	if cfg.OnRedirectError == nil {
		cfg.OnRedirectError = func(net.Addr, error) {}
	}
	if cfg.OnUnseen == nil {
		cfg.OnUnseen = func(Unseen) {}
	}
	p := &Proxy{
		sink: cfg.Sink, sinkFor: cfg.SinkFor, key: slices.Clone(cfg.CredentialKey), timeouts: cfg.Timeouts,
		intercept: cfg.Intercept, onHandshakeError: cfg.OnHandshakeError,
		onRedirectError: cfg.OnRedirectError, onUnseen: cfg.OnUnseen,
	}
	if p.key == nil {
		p.key = make([]byte, 32)
		rand.Read(p.key)
	}
	if err := p.Reload(cfg.Policy, cfg.Classifier); err != nil {
		return nil, err
	}
	p.server = relay.New(relay.Config{
		Timeouts:     cfg.Timeouts,
		MaxHeadBytes: orDefault(cfg.MaxHeadBytes, DefaultMaxHeadBytes),
		InspectBytes: orDefault(cfg.InspectBytes, DefaultInspectBytes),
		TailBytes:    classify.TailBytes,
		BufferBytes:  cfg.BufferBytes,
		CameBack:     p.cameBack,
	})
	return p, nil
}

func orDefault(n, def int) int {
	if n <= 0 {
		return def
	}
	return n
}

// Reload swaps policy and classifier, and forgets which programs did not accept
// interception. Running exchanges keep the old ones; the next request of every
// connection goes by the new, on a new upstream connection. On error nothing
// changes.
func (p *Proxy) Reload(policy Policy, classifier *classify.Classifier) error {
	if classifier == nil {
		return errors.New("collector: no classifier")
	}
	switch policy.UpstreamScheme {
	case "", "http", "https":
	default:
		return fmt.Errorf("collector: upstream scheme %q is neither http nor https", policy.UpstreamScheme)
	}
	policy.TapHosts = slices.Clone(policy.TapHosts)
	if len(policy.TapHosts) == 0 {
		policy.TapHosts = DefaultTapHosts()
	}
	r := &rules{policy: policy, classifier: classifier, connectTo: make(map[string]string)}
	for _, c := range policy.ConnectTo {
		from := joinHostPort(c.host, c.port)
		if _, ok := r.connectTo[from]; !ok {
			r.connectTo[from] = c.to
		}
	}
	r.dialer = dialer{
		connect:   p.timeouts.Dial,
		handshake: p.timeouts.TLSHandshake,
		resolver:  policy.Resolver,
		listeners: func() []net.Addr { return p.server.Listeners() },
		expect:    func(nc net.Conn) (func() bool, func()) { return p.server.Expect(nc) },
		reclaim:   func() bool { return p.server.Reclaim() },
		mark:      policy.Mark,
		anywhere:  policy.OtherHosts == OtherPass,
		taps:      r.taps,
		tls: &tls.Config{
			MinVersion:         tls.VersionTLS12,
			NextProtos:         []string{"http/1.1"},
			RootCAs:            policy.RootCAs,
			ClientSessionCache: tls.NewLRUClientSessionCache(0),
		},
	}

	p.reload.Lock()
	defer p.reload.Unlock()
	old := p.rules.Load()
	if old != nil {
		r.epoch = old.epoch + 1
	}
	p.rules.Store(r)
	p.distrusts.clear()
	return nil
}

// dial connects to an upstream.
func (r *rules) dial(ctx context.Context, d *destination) (net.Conn, error) {
	if at := d.key.Address; at.IsValid() {
		return r.dialer.dial(ctx, d, at.String())
	}
	return r.dialer.dial(ctx, d, r.connectTo[joinHostPort(d.key.Host, d.key.Port)])
}

// Serve takes connections from ln until Shutdown, when it returns nil. Several
// listeners may be served at once.
func (p *Proxy) Serve(ln net.Listener) error {
	return p.server.Serve(ln, relay.Intake{NewHandler: p.newHandler, Busy: busy})
}

// ServeTLS is Serve for listeners where programs speak TLS at once, since the
// names of hosts lead there (a hosts file, hostAliases). A tapped host that is
// intercepted is served as within a CONNECT; the others are passed on unseen,
// or closed, by Policy.OtherHosts. The server's name is taken from the
// program's ClientHello; a connection without one is closed and told to
// Config.OnHandshakeError.
func (p *Proxy) ServeTLS(ln net.Listener) error {
	return p.server.Serve(ln, relay.Intake{NewHandler: p.newHandler, Hello: true})
}

func (p *Proxy) newHandler(client netip.AddrPort) relay.Handler { return newHandler(p, client) }

// Shutdown stops accepting, closes idle connections and lets running exchanges
// finish. Those that run on when ctx ends are reset, observed with
// classify.FaultShutdown, and ctx's error is returned. It may be called more
// than once.
func (p *Proxy) Shutdown(ctx context.Context) error { return p.server.Shutdown(ctx) }

// Stats returns the counters as they are.
func (p *Proxy) Stats() Stats {
	s := p.server.Stats()
	return Stats{
		ClientConnections:   s.OpenClients,
		UpstreamConnections: s.OpenUpstreams,
		Accepted:            s.Accepted,
		Refused:             s.Refused,
		Reclaimed:           s.Reclaimed,
		BufferBytes:         s.BufferBytes,
		Dials:               s.Dials,
		RequestBytes:        s.RequestBytes,
		ResponseBytes:       s.ResponseBytes,
		Unobserved:          p.unobserved.Load(),
		Intercepted:         p.intercepted.Load(),
		Tunnels:             s.Tunnels,
		OpenTunnels:         s.OpenTunnels,
		TappedTunnels:       p.blind.Load(),
		Unsecured:           s.Unsecured,
		Direct:              p.direct.Load(),
		Looped:              p.looped.Load(),
		NotAllowed:          p.notAllowed.Load(),
		Panics:              s.Panics + p.panics.Load(),
	}
}
