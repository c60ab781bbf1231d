package classify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"
)

// Observation is what is known of one attempt: one request on the wire and
// what became of it.
//
// The byte slices alias buffers of the collector and are valid only until
// Observe returns; whoever keeps an observation keeps a Clone. The strings may
// be kept.
type Observation struct {
	Call    Call
	Verdict Verdict

	Start     time.Time // when the first byte of the request was read
	FirstByte time.Time // when the first byte of the final answer was read; zero without one
	End       time.Time // when the last byte was passed on, or the attempt was given up

	Source Source // by which way in the attempt was seen
	Method string // the request's method; "_OTHER" where it is not a registered one
	Scheme string // "http" or "https", of the connection to the upstream
	Port   uint16 // the upstream's port
	Target []byte // origin-form request target, secrets included: redact before output

	Client   netip.AddrPort // the program's end; invalid where there is none
	Upstream netip.AddrPort // the address dialled; invalid if none was reached

	UserAgent   []byte // the request's User-Agent
	Traceparent []byte // the request's traceparent, unchecked
	Tracestate  []byte // the request's tracestate, unchecked

	RequestBytes  int64 // head and body, as received from the program
	ResponseBytes int64 // head and body, as written to the program

	// Fault is why there was no answer of the vendor's, or why it broke off;
	// FaultNone where it arrived whole.
	Fault Fault
	// Credential is a keyed hash that tells access keys apart without giving
	// one away; "" without an access key.
	Credential string

	// Date is the API's time when it answered, in whole seconds; zero where
	// ServerTime cannot tell.
	Date time.Time
	// Signature is what the form of the request says of its signature, of
	// attempts that were refused for it; else nil. It does not change.
	Signature *Signature

	// Span identifies the span of this attempt. It is set by the exporter,
	// before the sinks see the observation.
	Span Span
}

// Span holds the identifiers under which an attempt is traced.
type Span struct {
	TraceID [16]byte
	SpanID  [8]byte
	// Exported tells that the span goes to a trace backend, so that a link to
	// it leads somewhere.
	Exported bool
}

// Duration is the time from the first byte read to the last byte passed on.
func (o *Observation) Duration() time.Duration { return o.End.Sub(o.Start) }

// Clone returns a copy which shares no memory with the collector's buffers.
func (o *Observation) Clone() *Observation {
	c := new(Observation)
	o.CloneInto(c, nil)
	return c
}

// CloneInto makes c a copy of o which shares no memory with the collector's
// buffers. The copies of texts are in the memory of buf, which is returned, grown
// as needed.
func (o *Observation) CloneInto(c *Observation, buf []byte) []byte {
	*c = *o
	texts := [...]*[]byte{&c.Target, &c.UserAgent, &c.Traceparent, &c.Tracestate}
	size := 0
	for _, t := range texts {
		size += len(*t)
	}
	buf = slices.Grow(buf[:0], size) // once for all
	for _, t := range texts {
		start := len(buf)
		buf = append(buf, *t...)
		*t = slices.Clip(buf[start:])
	}
	return buf
}

// HashAccessKey returns what Observation.Credential holds: a hash of the access
// key, keyed so that it cannot be guessed from a list of keys; "" without an
// access key.
func HashAccessKey(key, accessKey []byte) string {
	if len(accessKey) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(accessKey)
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Source is the way in by which an attempt was seen.
type Source string

// The ways in.
const (
	SourceForward     Source = "forward"     // forward proxy, absolute-form targets
	SourceReverse     Source = "reverse"     // origin-form targets under the real host name
	SourceConnect     Source = "connect"     // within a CONNECT whose TLS the tap ended
	SourceTransparent Source = "transparent" // redirected by the system from where it was bound for
	SourceResign      Source = "resign"      // sent to the tap's own address and signed anew
	SourceTransport   Source = "transport"   // an http.RoundTripper in the program itself
	SourceCSM         Source = "csm"         // the SDK's own records of client-side monitoring
)

// Fault is what kept the vendor's answer from arriving whole. It is the
// reason label of ksyun_tap_proxy_errors_total.
type Fault string

// The faults. Those of refusal happen before anything is sent upstream.
const (
	FaultNone Fault = ""

	FaultBadRequest  Fault = "bad_request"  // refused: malformed or ambiguous HTTP
	FaultNoRoute     Fault = "no_route"     // refused: the request names no host
	FaultHostRefused Fault = "host_refused" // refused: the host is not served
	FaultLoop        Fault = "loop"         // refused: the request would come back to us
	FaultUnsupported Fault = "unsupported"  // refused: a method or protocol we do not offer
	FaultSignature   Fault = "signature"    // refused: not signed with the local key

	FaultDNS         Fault = "dns"
	FaultConnRefused Fault = "connection_refused"
	FaultUnreachable Fault = "unreachable"
	FaultDialTimeout Fault = "dial_timeout"
	FaultTLS         Fault = "tls"

	FaultTimeout     Fault = "timeout"      // the upstream fell silent
	FaultReset       Fault = "reset"        // the upstream reset the connection
	FaultClosed      Fault = "closed"       // the upstream closed it before the answer was whole
	FaultBadResponse Fault = "bad_response" // the upstream's answer was malformed HTTP

	FaultCanceled Fault = "canceled" // the program went away
	FaultShutdown Fault = "shutdown" // the tap was stopped before the answer was whole
)

// Refused reports whether the tap itself turned the request away, so that it
// was no attempt at a call.
func (f Fault) Refused() bool {
	switch f {
	case FaultBadRequest, FaultNoRoute, FaultHostRefused, FaultLoop, FaultUnsupported, FaultSignature:
		return true
	default:
		return false
	}
}
