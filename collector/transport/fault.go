package transport

import (
	"compress/gzip"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"slices"
	"strings"
	"syscall"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/netfault"
)

// fault returns the fault for an error of RoundTrip, or of reading a response.
// Connections that could not be made are classified as the proxy does.
func (x *exchange) fault(err error) classify.Fault {
	x.mu.Lock()
	programs, dialing := x.sentErr, x.dialing
	x.mu.Unlock()

	var timeout net.Error
	switch {
	case programs, isCanceled(err) && !expired(x.request.Context()):
		return classify.FaultCanceled
	case isTLSError(err):
		return classify.FaultTLS
	case isDialError(err):
		return netfault.OfDial(err)
	case isCanceled(err), errors.Is(err, context.DeadlineExceeded), errors.As(err, &timeout) && timeout.Timeout():
		if dialing {
			return classify.FaultDialTimeout
		}
		return classify.FaultTimeout
	case errors.Is(err, syscall.ECONNRESET), errors.Is(err, syscall.EPIPE):
		return classify.FaultReset
	case isBadResponse(err):
		return classify.FaultBadResponse
	case dialing:
		return classify.FaultUnreachable
	}
	return classify.FaultClosed
}

// isCanceled reports whether the program canceled the call: by its context, or
// by http.Client's timeout, whose error has no type.
func isCanceled(err error) bool {
	return errors.Is(err, context.Canceled) || strings.Contains(err.Error(), "net/http: request canceled")
}

// expired reports whether the deadline of ctx has passed, even if its timer has
// not fired yet.
func expired(ctx context.Context) bool {
	deadline, ok := ctx.Deadline()
	return ok && !time.Now().Before(deadline)
}

// isDialError reports whether err is from making a connection.
func isDialError(err error) bool {
	var (
		dns *net.DNSError
		op  *net.OpError
	)
	return errors.As(err, &dns) || errors.As(err, &op) && (op.Op == "dial" || op.Op == "proxyconnect")
}

// isTLSError reports whether err is from TLS. Errors of the handshake have no
// type and are recognised by their text.
func isTLSError(err error) bool {
	var (
		cert   *tls.CertificateVerificationError
		alert  tls.AlertError
		record tls.RecordHeaderError
	)
	if errors.As(err, &cert) || errors.As(err, &alert) || errors.As(err, &record) || errors.Is(err, http.ErrSchemeMismatch) {
		return true
	}
	text := err.Error()
	return strings.Contains(text, "tls: ") || strings.Contains(text, "TLS handshake timeout")
}

// isBadResponse reports whether err means that the response is not valid HTTP, not encoded
// as it says, or beyond what net/http reads.
func isBadResponse(err error) bool {
	var (
		protocol textproto.ProtocolError
		network  *net.OpError
	)
	switch {
	case errors.As(err, &protocol), errors.Is(err, gzip.ErrHeader), errors.Is(err, gzip.ErrChecksum):
		return true
	case errors.Is(err, io.EOF), errors.Is(err, io.ErrUnexpectedEOF), errors.As(err, &network):
		return false
	}
	return slices.ContainsFunc(badResponses, func(text string) bool { return strings.Contains(err.Error(), text) })
}

// badResponses are parts of the texts of errors of net/http that have no type.
var badResponses = []string{
	"malformed",
	"transport connection broken", // followed by what is wrong with the head
	"response headers exceeded",
	"too many 1xx",
	"chunk length",
	"header line too long", // of a chunk
	"long trailer",
}
