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

// Interceptor makes the TLS configurations under which programs are served in
// place of the tapped hosts; *ca.CA is one. It is used by many goroutines at
// once. Its error is ca.ErrRefused, wrapped, for a host it will never serve.
type Interceptor interface {
	TLSConfig(host string) (*tls.Config, error)
}

var _ Interceptor = (*ca.CA)(nil)

// HandshakeError tells that a program did not go on behind the TLS handshake
// with us.
type HandshakeError struct {
	Host   string // that the program wanted to reach; "" if it named none
	Client netip.AddrPort
	Reason HandshakeReason
	Err    error // as crypto/tls tells it; it may quote what the program offered
}

// HandshakeReason is why. There are no others than those below.
type HandshakeReason string

// The reasons.
const (
	// HandshakeUntrusted is that the program does not trust the CA: it was not
	// told to, or it has its own idea of the host's certificate.
	HandshakeUntrusted HandshakeReason = "untrusted_ca"
	// HandshakeHTTP2 is that the program speaks HTTP/2 only.
	HandshakeHTTP2 HandshakeReason = "http2_only"
	// HandshakeAborted is that the program closed without a word once it had
	// seen the certificate, as those do that do not trust it and say nothing.
	HandshakeAborted HandshakeReason = "aborted"
	HandshakeTimeout HandshakeReason = "timeout"
	HandshakeOther   HandshakeReason = "other"
)

// HandshakeReasons lists every reason.
func HandshakeReasons() []HandshakeReason {
	return []HandshakeReason{HandshakeUntrusted, HandshakeHTTP2, HandshakeAborted, HandshakeTimeout, HandshakeOther}
}

// inside is what is known of the requests that come through a CONNECT that ends
// here.
type inside struct {
	authority []byte // of all of them; nil outside
	host      string
	https     bool
	source    classify.Source
	agent     string // the program's, as its CONNECT says
}

// connect decides on a CONNECT. To a tapped host it ends here if it can, also
// where the program speaks plain HTTP in it; to others it is passed on unseen,
// and to a tapped one too where the policy says so: nobody knows what a refusal
// would break.
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
			// It does not trust us.
		case err == nil:
			route.TLS = cfg
		case h.rules.mayTunnel(key, err):
		case key.Port == 443: // what speaks TLS there for certain
			return relay.Route{}, errConnect
		default:
			route.Unseen = errConnect
		}
		h.enter(key)
		h.inside.agent = string(agent)
	}
	key.TLS, key.Forwarding = false, false // it is the program's, within the tunnel
	route.Key = key
	h.dest = destination{key: key, tunnel: true, blind: route.Plain, via: h.dest.via}
	return route, nil
}

// tlsConfig returns what to serve a program with in host's place.
func (p *Proxy) tlsConfig(host string) (*tls.Config, error) {
	if p.intercept == nil {
		return nil, ca.ErrRefused
	}
	return p.intercept.TLSConfig(host)
}

// mayTunnel reports whether a CONNECT to a tapped host is passed on unseen for
// want of a certificate. One that could not be made for once is our failure,
// which must not become the program's.
func (r *rules) mayTunnel(key relay.Key, err error) bool {
	known := key.Port == 443 || key.Port == 80 || r.policy.OtherHosts == OtherPass
	return known && (r.policy.OtherHosts != OtherRefuse || !errors.Is(err, ca.ErrRefused))
}

// enter notes where the requests within a CONNECT go. Without the usual port of
// HTTPS, the authority is what most programs' Host field says.
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

// The alerts by which programs tell that they do not accept a certificate
// (RFC 8446, 6.2).
var untrusted = []tls.AlertError{
	42, // bad_certificate
	43, // unsupported_certificate
	44, // certificate_revoked
	45, // certificate_expired
	46, // certificate_unknown
	48, // unknown_ca
}

// badRecord ends the error for a record that cannot be decrypted. In TLS 1.3
// OpenSSL says in the clear that it does not accept a certificate, where
// crypto/tls expects it encrypted; within a handshake over TCP nothing else is
// known to lead there.
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
