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
	"github.com/ksyun-tap/ksyun-tap/exporter/metrics"
	"github.com/ksyun-tap/ksyun-tap/internal/config"
	"github.com/ksyun-tap/ksyun-tap/usererror"
)

// caConfig returns the configuration of the CA for the tapped hosts.
func caConfig(s *config.Settings) ca.Config {
	cfg := ca.Config{Dir: s.CADir, PublishDir: s.PublishDir}
	for _, host := range s.TapHosts {
		cfg.Permitted = append(cfg.Permitted, host.String())
	}
	return cfg
}

// openCA opens the CA for the tapped hosts.
func openCA(s *config.Settings, log *logs.Logger) (*ca.CA, error) {
	cfg := caConfig(s)
	cfg.OnError = func(err error) { log.Error("cannot maintain the CA for interception", zap.Error(err)) }
	authority, err := ca.Open(cfg)
	if err != nil {
		return nil, usererror.At("--intercept.ca-dir", err)
	}
	log.Info("interception is on",
		zap.String("ca_dir", s.CADir),
		zap.String("trust_dir", s.TrustDir()),
		zap.String("ca_sha256", authority.Fingerprint()),
		zap.Time("ca_not_after", authority.NotAfter()))
	return authority, nil
}

// handshakeAdvice says what to do about a program with which the TLS handshake
// fails.
var handshakeAdvice = map[collector.HandshakeReason]string{
	collector.HandshakeUntrusted: "Make the program trust bundle.pem of --intercept.ca-dir or .publish-dir (SSL_CERT_FILE, REQUESTS_CA_BUNDLE, AWS_CA_BUNDLE; NODE_EXTRA_CA_CERTS takes ca.pem), or run it with ksyun-tap exec.",
	collector.HandshakeHTTP2:     "The tap serves HTTP/1.1 only. Configure the program to offer it as well.",
	collector.HandshakeAborted:   "The program closed the connection without an alert, as some programs do that do not trust the CA. Check that it reads bundle.pem of --intercept.ca-dir or .publish-dir and does not pin certificates.",
	collector.HandshakeTimeout:   "The program did not complete the handshake in time.",
	collector.HandshakeOther:     "See the error.",
}

// Failed handshakes are logged once per host and minute, for a limited number of
// hosts.
const (
	handshakeLogEvery = time.Minute
	handshakeLogHosts = 100
)

// handshakeFailed returns a function that counts failed handshakes and logs them
// with advice.
func (t *tap) handshakeFailed() func(collector.HandshakeError) {
	count := metrics.Count(t.metrics, metrics.HandshakeErrors, collector.HandshakeReasons())
	var mu sync.Mutex
	var since time.Time
	logged := map[string]bool{}
	return func(e collector.HandshakeError) {
		count(e.Reason)
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(since) > handshakeLogEvery {
			since = now
			clear(logged)
		}
		if logged[e.Host] || len(logged) >= handshakeLogHosts {
			return
		}
		logged[e.Host] = true
		later := "intercepted"
		if t.settings.OtherHosts != collector.OtherRefuse {
			switch e.Reason {
			case collector.HandshakeUntrusted, collector.HandshakeHTTP2:
				later = "tunnelled unobserved until the next reload"
			case collector.HandshakeAborted:
				later = "tunnelled unobserved until the next reload, if the next one ends the same way"
			case collector.HandshakeTimeout, collector.HandshakeOther:
			}
		}
		t.log.Warn("TLS handshake with a program failed",
			zap.String("later_connections", later),
			zap.String("host", e.Host),
			zap.String("client", e.Client.String()),
			zap.String("reason", string(e.Reason)),
			zap.NamedError("error", e.Err),
			zap.String("advice", handshakeAdvice[e.Reason]))
	}
}

// transparentAdvice says what to do about refused connections to a transparent
// listener.
var transparentAdvice = map[error]string{
	collector.ErrDirect: "Run ksyun-tap init-redirect and connect to the API's own address, or use --proxy.listen-address.",
	collector.ErrLoop:   "Exclude the tap's own connections: use init-redirect --exclude-uid with the user that it runs as, or --exclude-mark with its --upstream.mark.",
}

// transparentRefused returns a function that logs refused connections to a
// transparent listener, at most once a minute.
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
