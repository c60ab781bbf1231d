package upstream

import (
	"crypto/tls"
	"errors"
	"io"
	"net"
	"syscall"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/netfault"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// Error is the reason why a request is not forwarded: it is refused, or there is no
// connection to its upstream.
type Error struct {
	Fault classify.Fault
	// Message is for the person who runs the program: it says what to do, and
	// quotes nothing of the request but the host name.
	Message string
	// Lasting is set if a retry will fail too, although the fault is one that may be
	// transient.
	Lasting bool
}

func (e *Error) Error() string { return e.Message }

// errLoop is the error of a connection that was redirected back to us.
var errLoop = &Error{
	Fault:   classify.FaultLoop,
	Message: "The connection to the API came back to ksyun-tap: the redirect rules do not exclude its own connections. Exclude them with ksyun-tap init-redirect --exclude-uid or --exclude-mark.",
}

// ErrNoDescriptors is the error of a request for which the process has no file
// descriptor left.
var ErrNoDescriptors = &Error{
	Fault:   classify.FaultExhausted,
	Message: "ksyun-tap has no file descriptors left. Raise its limit (ulimit -n, or LimitNOFILE of its service), or lower --proxy.max-connections.",
}

func forbiddenAddress(host hostname.Name) *Error {
	return &Error{
		Fault:   classify.FaultHostRefused,
		Message: "The host " + string(host) + " resolves to a loopback, link-local or multicast address. If that is intended, set --upstream.connect-to=" + string(host) + ":PORT=ADDR:PORT. If a hosts file leads it here, name a DNS server with --upstream.resolver=IP.",
	}
}

func ownAddress(host hostname.Name) *Error {
	return &Error{
		Fault:   classify.FaultLoop,
		Message: "The host " + string(host) + " resolves to ksyun-tap itself. Name a DNS server that knows the real address with --upstream.resolver=IP, or set the address with --upstream.connect-to=" + string(host) + ":PORT=ADDR:PORT.",
	}
}

// dialError converts an error of connecting to host.
func dialError(err error, host hostname.Name) *Error {
	if ours, ok := errors.AsType[*Error](err); ok {
		return ours
	}
	if netfault.IsExhausted(err) {
		return ErrNoDescriptors
	}
	fault := netfault.OfDial(err)
	message := "The host " + string(host) + " cannot be reached. Check routes and firewalls between this machine and the host."
	switch fault { //nolint:exhaustive // the others have the message above
	case classify.FaultDNS:
		message = "The host " + string(host) + " cannot be resolved. Check the name and this machine's DNS, or set an address with --upstream.connect-to."
	case classify.FaultConnRefused:
		message = "The host " + string(host) + " refuses connections. Check the port, or set another address with --upstream.connect-to."
	case classify.FaultDialTimeout:
		message = "The host " + string(host) + " does not answer. Check routes and firewalls between this machine and the host."
	}
	return &Error{Fault: fault, Message: message}
}

// tlsError converts an error of the TLS handshake with a host or proxy.
func tlsError(err error, server string) *Error {
	if _, bad := errors.AsType[*tls.CertificateVerificationError](err); bad {
		return &Error{Fault: classify.FaultTLS, Message: "The certificate of " + server + " cannot be verified. Name the CA that signed it with --upstream.ca-file.", Lasting: true}
	}
	why := "The TLS handshake with " + server + " failed. Check that it serves TLS 1.2 or later on that port."
	if nerr, ok := errors.AsType[net.Error](err); ok && nerr.Timeout() {
		why = "The TLS handshake with " + server + " timed out. If a device on the path drops large ClientHellos, start ksyun-tap with GODEBUG=tlsmlkem=0; otherwise check that it serves TLS 1.2 or later on that port."
	}
	return &Error{Fault: classify.FaultTLS, Message: why, Lasting: !isPassing(err)}
}

// isPassing reports whether the connection was lost during a handshake, as
// opposed to the other side rejecting it.
func isPassing(err error) bool {
	nerr, ok := errors.AsType[net.Error](err)
	return ok && nerr.Timeout() || errors.Is(err, io.EOF) || errors.Is(err, syscall.ECONNRESET) || errors.Is(err, syscall.EPIPE)
}
