package collector

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
)

// Interceptor provides the TLS configuration with which a program is served in
// place of a tapped host. *ca.CA implements it. TLSConfig must be safe for
// concurrent use, and must return an error that wraps ca.ErrRefused for a host
// that it never serves.
type Interceptor interface {
	TLSConfig(host string) (*tls.Config, error)
}

var _ Interceptor = (*ca.CA)(nil)

// HandshakeError reports that a program did not complete the TLS handshake with
// us, or closed the connection right after it.
type HandshakeError struct {
	Host   string // the host that the program wanted; "" if it named none
	Client netip.AddrPort
	Reason HandshakeReason
	Err    error // from crypto/tls; it may quote what the program offered
}

// HandshakeReason is the reason of a HandshakeError.
type HandshakeReason string

// All values of HandshakeReason.
const (
	// HandshakeUntrusted means that the program does not trust the CA: it was
	// not configured to, or it pins the host's certificate.
	HandshakeUntrusted HandshakeReason = "untrusted_ca"
	// HandshakeHTTP2 means that the program offers HTTP/2 only.
	HandshakeHTTP2 HandshakeReason = "http2_only"
	// HandshakeAborted means that the program closed the connection after it got
	// the certificate, without an alert. Some programs that do not trust the CA
	// do that.
	HandshakeAborted HandshakeReason = "aborted"
	HandshakeTimeout HandshakeReason = "timeout"
	HandshakeOther   HandshakeReason = "other"
)

// HandshakeReasons returns all values of HandshakeReason.
func HandshakeReasons() []HandshakeReason {
	return []HandshakeReason{HandshakeUntrusted, HandshakeHTTP2, HandshakeAborted, HandshakeTimeout, HandshakeOther}
}

// inside describes the CONNECT, or the TLS connection, that the requests of a
// handler arrive in.
type inside struct {
	authority []byte // of all requests within; nil outside of a CONNECT
	host      string
	https     bool
	source    classify.Source
	agent     string // the User-Agent of the CONNECT
}

// connect routes a CONNECT. To a tapped host it is intercepted if possible,
// even if the program sends plain HTTP within it. To other hosts it is
// tunnelled, as it is to a tapped host if the policy allows tunnels.
func (h *handler) connect(authority, agent []byte) (relay.Route, error) {
	if err := h.lookUp(authority, true); err != nil {
		return relay.Route{}, err
	}
	key := h.dest.key
	var route relay.Route
	if h.dest.tapped {
		route.Plain = true
		cfg, err := h.p.tlsConfig(key.Host)
		switch {
		case h.rules.policy.OtherHosts == OtherPass && h.p.distrusts.has(key.Host, string(agent)):
			// The program does not trust the CA: tunnel.
		case err == nil:
			route.TLS = cfg
		case h.rules.mayTunnel(key, err):
		case key.Port == 443: // the program will certainly start TLS
			return relay.Route{}, errConnect
		default:
			route.Unseen = errConnect
		}
		h.enter(key)
		h.inside.agent = string(agent)
	}
	key.TLS, key.Forwarding = false, false // TLS is the program's, within the tunnel
	route.Key = key
	h.dest = destination{key: key, tunnel: true, blind: route.Plain, via: h.dest.via}
	return route, nil
}

// tlsConfig returns the configuration with which a program is served in place
// of host.
func (p *Proxy) tlsConfig(host string) (*tls.Config, error) {
	if p.intercept == nil {
		return nil, ca.ErrRefused
	}
	return p.intercept.TLSConfig(host)
}

// mayTunnel reports whether a CONNECT to a tapped host is tunnelled because
// there is no certificate for it. A certificate that could not be made is our
// failure and must not become the program's.
func (r *rules) mayTunnel(key relay.Key, err error) bool {
	known := key.Port == 443 || key.Port == 80 || r.policy.OtherHosts == OtherPass
	return known && (r.policy.OtherHosts != OtherRefuse || !errors.Is(err, ca.ErrRefused))
}

// enter records where the requests within a CONNECT go. Port 443 is left out of
// the authority, as in the Host field that most programs send.
func (h *handler) enter(key relay.Key) {
	authority := key.Host
	if key.Port != 443 {
		authority = joinHostPort(key.Host, key.Port)
	}
	h.inside = inside{authority: []byte(authority), host: key.Host, https: true, source: h.obs.Source}
}

// Plain implements relay.Handler.
func (h *handler) Plain() {
	in := h.inside
	in.https = false
	if in.authority != nil && h.dest.key.Port == 443 {
		in.authority = []byte(joinHostPort(in.host, 443))
	}
	h.forget()
	h.inside = in
}

// Secured implements relay.Handler.
func (h *handler) Secured(err error) {
	defer h.guard()
	host := h.inside.host
	h.forget()
	if err == nil {
		h.p.distrusts.accepted(host, h.inside.agent)
		h.p.intercepted.Add(1)
		return
	}
	reason := handshakeReason(err)
	h.p.distrusts.failed(host, h.inside.agent, reason)
	h.p.onHandshakeError(HandshakeError{Host: host, Client: h.obs.Client, Reason: reason, Err: err})
}

// untrusted lists the alerts with which programs reject a certificate (RFC
// 8446, section 6.2).
var untrusted = []tls.AlertError{
	42, // bad_certificate
	43, // unsupported_certificate
	44, // certificate_revoked
	45, // certificate_expired
	46, // certificate_unknown
	48, // unknown_ca
}

// badRecord is the suffix of the error for a record that cannot be decrypted.
// In TLS 1.3, OpenSSL sends the alert that rejects a certificate in plaintext
// where crypto/tls expects ciphertext. No other cause is known during a
// handshake over TCP.
var badRecord = tls.AlertError(20).Error()

func handshakeReason(err error) HandshakeReason {
	if op, ok := errors.AsType[*net.OpError](err); ok && op.Op == "remote error" {
		for _, alert := range untrusted {
			if op.Err.Error() == alert.Error() {
				return HandshakeUntrusted
			}
		}
		return HandshakeOther
	}
	switch {
	case strings.HasSuffix(err.Error(), badRecord):
		return HandshakeUntrusted
	case errors.Is(err, os.ErrDeadlineExceeded):
		return HandshakeTimeout
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return HandshakeAborted
	case strings.Contains(err.Error(), "unsupported application protocols"): // crypto/tls has no name for it
		return HandshakeHTTP2
	}
	return HandshakeOther
}
