package collector

import (
	"cmp"
	"context"
	"crypto/rand"
	"errors"
	"maps"
	"net"
	"net/netip"
	"slices"
	"sync"
	"sync/atomic"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
)

// Timeouts limit how long the proxy waits. A zero Timeouts is replaced by
// DefaultTimeouts; otherwise a zero field means no limit.
type Timeouts = relay.Timeouts

// DefaultTimeouts returns timeouts that are longer than those of the known SDKs.
func DefaultTimeouts() Timeouts { return relay.DefaultTimeouts() }

// The defaults of Config.
const (
	DefaultInspectBytes = 64 << 10
	DefaultMaxHeadBytes = 64 << 10
)

// Config configures a Proxy. Classifier and Sink are required.
type Config struct {
	Classifier *classify.Classifier
	Sink       classify.Sink
	// SinkFor, if not nil, returns the sink for the calls of one client, or nil
	// for Sink. It is called when a call begins, and must not block.
	SinkFor  func(client netip.AddrPort) classify.Sink
	Policy   Policy
	Timeouts Timeouts
	// InspectBytes is the size of the prefix of each body that is inspected, for
	// tapped hosts only. It is also the size of the buffers. 0 means
	// DefaultInspectBytes.
	InspectBytes int
	// MaxHeadBytes limits the size of the head of a request, and four times as much that
	// of a response. 0 means DefaultMaxHeadBytes.
	MaxHeadBytes int
	// BufferBytes limits the memory of all buffers, in bytes. If it is used up,
	// bodies are relayed without being inspected. 0 means no limit.
	BufferBytes int64
	// QueueBytes is the memory that the system's queues of all connections should take,
	// in bytes: the more connections, the shorter are those of new ones. 0 means no limit.
	QueueBytes int64
	// MaxConnections limits the programs' connections. A connection beyond it
	// replaces the one that has been idle for the longest, or is answered with
	// 503 if none is idle. 0 means no limit.
	MaxConnections int
	// MaxTurnedAway limits how many connections beyond MaxConnections are answered
	// at the same time; others are closed without a response. 0 means 32.
	MaxTurnedAway int
	// Loops is relay.Config.Loops.
	Loops int
	// CredentialKey is the key of the hash that identifies access keys
	// (classify.Observation.Credential). If nil, a random key is used, and the
	// hashes change with every start.
	CredentialKey []byte
	// CredentialAliases are reported in place of hashes, by hash.
	CredentialAliases map[string]string
	// Intercept, if not nil, provides the certificates with which the TLS within
	// CONNECTs to tapped hosts is intercepted, so that the calls are observed.
	Intercept Interceptor
	// OnHandshakeError, if not nil, is called when a TLS handshake with a program
	// fails, on the goroutine that serves the program. It must not block.
	OnHandshakeError func(HandshakeError)
	// OnTransparentError, if not nil, is called with ErrDirect or ErrLoop when
	// ServeTransparent refuses a connection. It must not block.
	OnTransparentError func(client net.Addr, err error)
	// OnUnobserved, if not nil, is called for each request or tunnel that is
	// forwarded unobserved, on the goroutine that serves the program. It must
	// not block.
	OnUnobserved func(Unobserved)
}

// Proxy forwards calls and reports them to a classify.Sink. One listener serves as a
// forward proxy (targets in absolute form, and CONNECT) and as a reverse proxy
// under the real host name (targets in origin form). Proxy is safe for
// concurrent use.
type Proxy struct {
	cfg       Config // its policy and classifier are replaced by rules
	names     classify.CredentialNames
	server    *relay.Server
	guard     *upstream.Guard
	rules     atomic.Pointer[rules]
	reload    sync.Mutex // one Reload at a time
	distrusts distrusts

	panics, unobserved, intercepted, blind, notAllowed, direct, loops atomic.Int64 // see Stats
}

// Stats is a snapshot of a proxy's counters.
type Stats struct {
	relay.Stats         // Panics are all that were recovered
	Unobserved    int64 // requests to other hosts that were forwarded, tunnels included
	Intercepted   int64 // intercepted TLS connections that carried a request
	TappedTunnels int64 // of Tunnels, those to tapped hosts
	Direct        int64 // connections to a transparent listener that were not redirected
	Looped        int64 // connections of our own that were redirected to us
	NotAllowed    int64 // connections to a re-signing address from a network that is not allowed
}

// New returns a Proxy. It serves nothing until one of its Serve methods is
// called.
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
	if cfg.OnTransparentError == nil {
		cfg.OnTransparentError = func(net.Addr, error) {}
	}
	if cfg.OnUnobserved == nil {
		cfg.OnUnobserved = func(Unobserved) {}
	}
	p := &Proxy{cfg: cfg, names: classify.CredentialNames{Key: slices.Clone(cfg.CredentialKey), Aliases: maps.Clone(cfg.CredentialAliases)}}
	if p.names.Key == nil {
		p.names.Key = make([]byte, 32)
		rand.Read(p.names.Key)
	}
	p.guard = upstream.NewGuard(p.looped)
	p.server = relay.New(p.relayConfig(&cfg))
	if err := p.Reload(cfg.Policy, cfg.Classifier); err != nil {
		return nil, err
	}
	return p, nil
}

func (p *Proxy) relayConfig(cfg *Config) relay.Config {
	return relay.Config{
		Timeouts:       cfg.Timeouts,
		MaxHeadBytes:   cmp.Or(max(0, cfg.MaxHeadBytes), DefaultMaxHeadBytes),
		InspectBytes:   cmp.Or(max(0, cfg.InspectBytes), DefaultInspectBytes),
		TailBytes:      classify.TailBytes,
		BufferBytes:    cfg.BufferBytes,
		QueueBytes:     cfg.QueueBytes,
		MaxConnections: cfg.MaxConnections,
		MaxTurnedAway:  cfg.MaxTurnedAway,
		Loops:          cfg.Loops,
		Guard:          p.guard,
	}
}

// Reload replaces policy and classifier, and clears the list of programs that do
// not accept interception. Running exchanges keep the old ones. The next request
// of each connection uses the new ones, on a new upstream connection. If Reload
// returns an error, nothing has changed.
func (p *Proxy) Reload(policy Policy, classifier *classify.Classifier) error {
	apply, err := p.Prepare(policy, classifier)
	if err == nil {
		apply()
	}
	return err
}

// Prepare checks the arguments of Reload and returns what makes the change.
func (p *Proxy) Prepare(policy Policy, classifier *classify.Classifier) (apply func(), err error) {
	r, err := newRules(policy, classifier, upstream.Config{
		Timeout: p.cfg.Timeouts.Dial, TLSTimeout: p.cfg.Timeouts.TLSHandshake,
		Guard: p.guard, Reclaim: p.server.Reclaim, Control: relay.LimitReceived, Wrap: relay.Wire,
	})
	if err != nil {
		return nil, err
	}
	return func() {
		p.reload.Lock()
		defer p.reload.Unlock()
		if old := p.rules.Load(); old != nil {
			r.epoch = old.epoch + 1
		}
		p.rules.Store(r)
		p.distrusts.clear()
	}, nil
}

// Shutdown stops accepting connections, closes idle ones and waits for running
// exchanges. If ctx ends first, those that remain are reset and observed with
// classify.FaultShutdown, and Shutdown returns ctx's error. It may be called
// more than once.
func (p *Proxy) Shutdown(ctx context.Context) error { return p.server.Shutdown(ctx) }

// Stats returns the current values of the counters.
func (p *Proxy) Stats() Stats {
	s := Stats{
		Stats:         p.server.Stats(),
		Unobserved:    p.unobserved.Load(),
		Intercepted:   p.intercepted.Load(),
		TappedTunnels: p.blind.Load(),
		Direct:        p.direct.Load(),
		Looped:        p.loops.Load(),
		NotAllowed:    p.notAllowed.Load(),
	}
	s.Panics += p.panics.Load()
	return s
}
