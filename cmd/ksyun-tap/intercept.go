package main

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/collector"
	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/exporter/logs"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
)

// caConfig returns what the CA for the tapped hosts is opened by.
func caConfig(s *config.Settings) ca.Config {
	cfg := ca.Config{Dir: s.CADir, PublishDir: s.PublishDir}
	for _, host := range s.TapHosts {
		cfg.Permitted = append(cfg.Permitted, host.String())
	}
	return cfg
}

// openCA opens the CA for interception of the tapped hosts.
func openCA(s *config.Settings, log *logs.Logger) (*ca.CA, error) {
	cfg := caConfig(s)
	cfg.OnError = func(err error) { log.Error("the CA for interception needs care", zap.Error(err)) }
	authority, err := ca.Open(cfg)
	if err != nil {
		return nil, err
	}
	log.Info("interception is on",
		zap.String("ca_dir", s.CADir),
		zap.String("trust_dir", s.TrustDir()),
		zap.String("ca_sha256", authority.Fingerprint()),
		zap.Time("ca_not_after", authority.NotAfter()))
	return authority, nil
}

// handshakeAdvice tells what to do about programs that do not go on behind the
// TLS handshake.
var handshakeAdvice = map[collector.HandshakeReason]string{
	collector.HandshakeUntrusted: "Let the program trust bundle.pem of --intercept.ca-dir or .publish-dir (SSL_CERT_FILE, REQUESTS_CA_BUNDLE, AWS_CA_BUNDLE; NODE_EXTRA_CA_CERTS takes ca.pem), or run it with ksyun-tap exec.",
	collector.HandshakeHTTP2:     "The tap speaks HTTP/1.1 only: let the program offer it, too.",
	collector.HandshakeAborted:   "The program went away without a word, as those do that do not trust the CA: see whether it reads bundle.pem of --intercept.ca-dir or .publish-dir, or pins certificates.",
	collector.HandshakeTimeout:   "The program did not end the handshake in time.",
	collector.HandshakeOther:     "See the error.",
}

// The bounds of what is logged of handshakes: a line per host and minute, and
// no more hosts than these in one.
const (
	handshakeLogEvery = time.Minute
	handshakeLogHosts = 100
)

// handshakeFailed counts programs that do not go on behind the TLS handshake,
// and logs which and what to do.
func (t *tap) handshakeFailed() func(collector.HandshakeError) {
	var mu sync.Mutex
	var since time.Time
	told := map[string]bool{}
	return func(e collector.HandshakeError) {
		t.metrics.HandshakeFailed(string(e.Reason))
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(since) > handshakeLogEvery {
			since = now
			clear(told)
		}
		if told[e.Host] || len(told) >= handshakeLogHosts {
			return
		}
		told[e.Host] = true
		later := "intercepted"
		if t.settings.OtherHosts != collector.OtherRefuse {
			switch e.Reason {
			case collector.HandshakeUntrusted, collector.HandshakeHTTP2:
				later = "passed on unobserved until the next reload"
			case collector.HandshakeAborted:
				later = "passed on unobserved until the next reload, if the next one ends so, too"
			case collector.HandshakeTimeout, collector.HandshakeOther:
			}
		}
		t.log.Warn("a program does not accept interception",
			zap.String("later_connections", later),
			zap.String("host", e.Host),
			zap.String("client", e.Client.String()),
			zap.String("reason", string(e.Reason)),
			zap.NamedError("error", e.Err),
			zap.String("advice", handshakeAdvice[e.Reason]))
	}
}

// transparentAdvice tells what to do about connections to a transparent listener
// that are refused.
var transparentAdvice = map[error]string{
	collector.ErrDirect: "Run ksyun-tap init-redirect, and connect to the API's own address; or use --proxy.listen-address.",
	collector.ErrLoop:   "Leave the tap's own connections out: init-redirect --exclude-uid with the user it runs as, or --exclude-mark with its --upstream.mark.",
}

// transparentRefused logs connections to a transparent listener that are refused,
// one a minute at most.
func (t *tap) transparentRefused() func(client net.Addr, err error) {
	var last atomic.Int64
	return func(client net.Addr, err error) {
		now := time.Now().Unix()
		if before := last.Load(); now-before < int64(handshakeLogEvery/time.Second) || !last.CompareAndSwap(before, now) {
			return
		}
		t.log.Warn("a connection to --transparent.listen-address was refused",
			zap.Stringer("client", client), zap.Error(err), zap.String("advice", transparentAdvice[err]))
	}
}
