// Package connlog logs connections of programs that failed or were refused, with what to
// do, at a limited rate.
package connlog

import (
	"net"
	"sync"
	"sync/atomic"
	"time"

	"go.uber.org/zap"

	"github.com/ksyun-tap/ksyun-tap/collector"
)

// handshakeAdvice says what to do about a program with which the TLS handshake
// fails.
var handshakeAdvice = map[collector.HandshakeReason]string{
	collector.HandshakeUntrusted: "Make the program trust bundle.pem of --intercept.ca-dir or .publish-dir (SSL_CERT_FILE, REQUESTS_CA_BUNDLE, AWS_CA_BUNDLE; NODE_EXTRA_CA_CERTS takes ca.pem), or run it with ksyun-tap exec.",
	collector.HandshakeAborted:   "The program closed the connection without an alert, as some programs do that do not trust the CA. Check that it reads bundle.pem of --intercept.ca-dir or .publish-dir and does not pin certificates.",
	collector.HandshakeTimeout:   "The program did not complete the handshake in time.",
	collector.HandshakeOther:     "See the error.",
}

// Failed handshakes are logged once per host and logEvery, for up to maxHosts hosts.
const (
	logEvery = time.Minute
	maxHosts = 100
)

// Handshakes returns a function that logs failed handshakes with programs. tunnels reports
// whether later connections of a program that cannot be intercepted are tunnelled. The
// function is safe for concurrent use.
func Handshakes(log *zap.Logger, tunnels func() bool) func(collector.HandshakeError) {
	var mu sync.Mutex
	var since time.Time
	logged := map[string]bool{}
	isNew := func(host string) bool {
		mu.Lock()
		defer mu.Unlock()
		if now := time.Now(); now.Sub(since) > logEvery {
			since = now
			clear(logged)
		}
		if logged[host] || len(logged) >= maxHosts {
			return false
		}
		logged[host] = true
		return true
	}
	return func(e collector.HandshakeError) {
		if !isNew(e.Host) {
			return
		}
		log.Warn("TLS handshake with a program failed",
			zap.String("later_connections", later(e.Reason, tunnels())),
			zap.String("host", e.Host),
			zap.String("client", e.Client.String()),
			zap.String("reason", string(e.Reason)),
			zap.NamedError("error", e.Err),
			zap.String("advice", handshakeAdvice[e.Reason]))
	}
}

// later returns what happens to later connections of the program.
func later(reason collector.HandshakeReason, tunnels bool) string {
	if tunnels {
		switch reason {
		case collector.HandshakeUntrusted:
			return "tunnelled unobserved for up to an hour"
		case collector.HandshakeAborted:
			return "tunnelled unobserved for up to an hour, if the next one ends the same way"
		case collector.HandshakeTimeout, collector.HandshakeOther:
		}
	}
	return "intercepted"
}

// transparentAdvice says what to do about refused connections to a transparent
// listener.
var transparentAdvice = map[error]string{
	collector.ErrDirect: "Run ksyun-tap init-redirect and connect to the API's own address, or use --proxy.listen-address.",
	collector.ErrLoop:   "Exclude the tap's own connections: use init-redirect --exclude-uid with the user that it runs as, or --exclude-mark with its --upstream.mark.",
}

// Refusals returns a function that logs refused connections to a transparent listener, at
// most one in logEvery. It is safe for concurrent use.
func Refusals(log *zap.Logger) func(client net.Addr, err error) {
	var last atomic.Int64
	return func(client net.Addr, err error) {
		now := time.Now().Unix()
		if before := last.Load(); now-before < int64(logEvery/time.Second) || !last.CompareAndSwap(before, now) {
			return
		}
		log.Warn("a connection to --transparent.listen-address was refused",
			zap.Stringer("client", client), zap.Error(err), zap.String("advice", transparentAdvice[err]))
	}
}
