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
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/ca"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// Interceptor provides the TLS configuration with which a program is served in
// place of a tapped host. *ca.CA implements it. It must be safe for concurrent use.
type Interceptor interface {
	// Permits reports whether TLSConfig may be called for host. It must not block.
	Permits(host string) bool
	// TLSConfig may block. An error is a failure of the Interceptor.
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
	// HandshakeAborted means that the program closed the connection after it got
	// the certificate, without an alert. Some programs that do not trust the CA
	// do that.
	HandshakeAborted HandshakeReason = "aborted"
	HandshakeTimeout HandshakeReason = "timeout"
	HandshakeOther   HandshakeReason = "other"
)

// HandshakeReasons returns all values of HandshakeReason.
func HandshakeReasons() []HandshakeReason {
	return []HandshakeReason{HandshakeUntrusted, HandshakeAborted, HandshakeTimeout, HandshakeOther}
}

// connect routes a CONNECT. To a tapped host it is intercepted if possible,
// even if the program sends plain HTTP within it. To other hosts it is
// tunnelled, as it is to a tapped host if the policy allows tunnels, or if the
// certificate cannot be made: that is our failure and must not become the program's.
// Where tunnels are allowed, servers on ports other than those of HTTP may speak first.
func (h *handler) connect(authority, userAgent []byte) (relay.Route, error) {
	if err := h.lookUp(authority, true); err != nil {
		return relay.Route{}, err
	}
	d := &h.dest
	var route relay.Route
	if d.tapped {
		id := newIdentity(h.client.Addr(), d.Host, userAgent)
		route.Plain = true
		others := h.rules.policy.OtherHosts
		web := d.Port == 443 || d.Port == 80
		known := web || others == OtherPass
		switch {
		case others == OtherPass && h.p.distrusts.tunnels(id, time.Now()):
			// The program does not trust the CA: tunnel.
		case h.p.intercepts(d.Host):
			route.TLS = h.p.tlsConfig(d.Host)
			route.ServerFirst = known && !web
			if !known {
				route.Unseen = errConnect
			}
		case known && others != OtherRefuse:
		case d.Port == 443: // the program will certainly start TLS
			return relay.Route{}, errConnect
		default:
			route.Unseen = errConnect
		}
		h.next = h.passages(id)
	}
	d.TLS, d.proxied = false, nil // TLS is the program's, within the tunnel
	d.blind, d.tapped, d.Tunnel = d.tapped, false, true
	route.Key = h.rules.route(d).Key
	return route, nil
}

// intercepts reports whether TLS to host is intercepted.
func (p *Proxy) intercepts(host hostname.Name) bool {
	return p.cfg.Intercept != nil && p.cfg.Intercept.Permits(string(host))
}

// tlsConfig returns a function that returns the configuration with which a program
// is served in place of host.
func (p *Proxy) tlsConfig(host hostname.Name) func() (*tls.Config, error) {
	return func() (*tls.Config, error) { return p.cfg.Intercept.TLSConfig(string(host)) }
}

// Plain implements relay.Handler.
func (h *handler) Plain() {
	h.forget()
	h.way = h.next.plain
}

// Secured implements relay.Handler.
func (h *handler) Secured(err error) {
	defer h.guard()
	h.forget()
	id := h.next.identity
	if err == nil {
		h.way = h.next.tls
		h.p.distrusts.accepted(id, time.Now())
		h.p.intercepted.Add(1)
		return
	}
	reason := handshakeReason(err)
	h.p.distrusts.failed(id, reason, time.Now())
	h.p.cfg.OnHandshakeError(HandshakeError{Host: string(id.host), Client: h.client, Reason: reason, Err: err})
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
	}
	return HandshakeOther
}
