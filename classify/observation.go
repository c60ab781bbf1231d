package classify

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"net/netip"
	"slices"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify/signature"
)

// Observation is what is known about one attempt: one request on the wire and its
// result.
//
// The byte slices alias buffers of the collector and are valid only until Observe
// returns. Use Clone to retain an observation. The strings may be retained.
type Observation struct {
	Call    Call
	Verdict Verdict

	Start     time.Time // when the first byte of the request was read
	FirstByte time.Time // when the first byte of the final response was read; zero if there was none
	End       time.Time // when the last byte was forwarded or the attempt was abandoned

	Source Source // the way in by which the attempt was observed
	Method string // the request's method; MethodOther if it is not a registered method
	Scheme string // "http" or "https", of the connection to the upstream
	Port   uint16 // the upstream's port
	Target []byte // origin-form request target, secrets included: redact before output
	// MethodOriginal is the request's method as received if Method is MethodOther.
	MethodOriginal []byte
	// Protocol is the version of HTTP: "1.0", "1.1", "2" or "3". It is the
	// version of the response, or of the request if there was no response. It is
	// "" if it is not known.
	Protocol string

	Client   netip.AddrPort // address of the program; invalid if there is none
	Upstream netip.AddrPort // address of the upstream; invalid if it was not reached

	UserAgent   []byte // the request's User-Agent
	Traceparent []byte // the request's traceparent, not validated
	Tracestate  []byte // the request's tracestate, not validated

	RequestBytes  int64 // head and body, as received from the program
	ResponseBytes int64 // head and body, as written to the program

	// Fault is why the vendor's response is missing or incomplete. It is
	// FaultNone if the response is complete.
	Fault Fault
	// Credential distinguishes access keys without revealing them: a keyed hash, or
	// an alias (see CredentialNames). It is "" if there is no access key.
	Credential string

	// Date is the time of the response by the API's clock, in whole seconds, as
	// returned by ServerTime.
	Date time.Time
	// RequestBody, ResponseBody and ResponseTail are the beginnings of the bodies and
	// the end of a longer response, as received: still content-encoded, and with
	// secrets. They alias buffers of the collector and are not copied by Clone.
	RequestBody, ResponseBody, ResponseTail []byte
	// RequestHeader and ResponseHeader are the fields as received, with secrets, or
	// nil. Like the bodies, they are not copied by Clone.
	RequestHeader, ResponseHeader Header
	// Items are the items of a batch without data, of a partial response, or nil. It
	// is immutable.
	Items *Items
	// Signature is the result of inspecting the signature of an attempt that was
	// refused because of it, or else nil. It is immutable.
	Signature *signature.Result
}

// MethodOther is Observation.Method of a request whose method is not registered.
const MethodOther = "_OTHER"

// Duration returns the time from the first byte read to the last byte forwarded.
func (o *Observation) Duration() time.Duration { return o.End.Sub(o.Start) }

// Clone returns a copy that shares no memory with the buffers of the collector.
func (o *Observation) Clone() *Observation {
	c := new(Observation)
	o.CloneInto(c, nil)
	return c
}

// CloneInto makes c a copy of o that shares no memory with the buffers of the
// collector. Texts are copied into buf, which is grown as needed and returned; c
// aliases it.
func (o *Observation) CloneInto(c *Observation, buf []byte) []byte {
	*c = *o
	c.RequestBody, c.ResponseBody, c.ResponseTail = nil, nil, nil
	c.RequestHeader, c.ResponseHeader = nil, nil
	texts := [...]*[]byte{&c.Target, &c.MethodOriginal, &c.UserAgent, &c.Traceparent, &c.Tracestate}
	buf = slices.Grow(buf[:0], o.TextBytes()) // one allocation at most
	for _, t := range texts {
		start := len(buf)
		buf = append(buf, *t...)
		*t = slices.Clip(buf[start:])
	}
	return buf
}

// TextBytes returns the length of the texts that CloneInto copies.
func (o *Observation) TextBytes() int {
	return len(o.Target) + len(o.MethodOriginal) + len(o.UserAgent) + len(o.Traceparent) + len(o.Tracestate)
}

// CredentialNames gives access keys the names under which they are reported.
type CredentialNames struct {
	Key     []byte            // of the hash
	Aliases map[string]string // aliases by the hash of the access key; may be nil
}

// Of returns the value of Observation.Credential for an access key: its alias, or
// else its hash. It returns "" if there is no access key.
func (n *CredentialNames) Of(accessKey []byte) string {
	hash := HashAccessKey(n.Key, accessKey)
	if alias, ok := n.Aliases[hash]; ok {
		return alias
	}
	return hash
}

// HashAccessKey returns an HMAC of the access key, so that it cannot be found by
// hashing a list of keys. It returns "" if there is no access key.
func HashAccessKey(key, accessKey []byte) string {
	if len(accessKey) == 0 {
		return ""
	}
	mac := hmac.New(sha256.New, key)
	mac.Write(accessKey)
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// Source is the way in by which an attempt was observed.
type Source string

// The ways in.
const (
	SourceForward     Source = "forward"     // forward proxy, absolute-form targets
	SourceReverse     Source = "reverse"     // origin-form targets under the real host name
	SourceConnect     Source = "connect"     // within a CONNECT tunnel whose TLS the tap terminated
	SourceTransparent Source = "transparent" // redirected to the tap by the operating system
	SourceResign      Source = "resign"      // sent to the re-signing address and re-signed
	SourceTransport   Source = "transport"   // an http.RoundTripper in the program itself
	SourceCSM         Source = "csm"         // the SDK's own records of client-side monitoring
)

// Sources lists every source.
func Sources() []Source {
	return []Source{SourceForward, SourceReverse, SourceConnect, SourceTransparent, SourceResign, SourceTransport, SourceCSM}
}

// Fault is why the vendor's response did not arrive completely. It is the label
// reason of ksyun_tap_proxy_errors_total.
type Fault string

// The faults. A request is refused before anything is sent upstream.
const (
	FaultNone Fault = ""

	FaultBadRequest  Fault = "bad_request"  // refused: malformed or ambiguous HTTP
	FaultNoRoute     Fault = "no_route"     // refused: the request names no host
	FaultHostRefused Fault = "host_refused" // refused: the host is not served
	FaultLoop        Fault = "loop"         // refused: the request would come back to the tap
	FaultUnsupported Fault = "unsupported"  // refused: the method or protocol is not supported
	FaultSignature   Fault = "signature"    // refused: not signed with the local key

	FaultDNS         Fault = "dns"
	FaultConnRefused Fault = "connection_refused"
	FaultUnreachable Fault = "unreachable"
	FaultDialTimeout Fault = "dial_timeout"
	FaultTLS         Fault = "tls"
	FaultExhausted   Fault = "exhausted" // the tap had no file descriptors or buffers left to send the request

	FaultTimeout     Fault = "timeout"      // the upstream stopped sending
	FaultReset       Fault = "reset"        // the upstream reset the connection
	FaultClosed      Fault = "closed"       // the upstream closed the connection before the response was complete
	FaultBadResponse Fault = "bad_response" // the upstream's response was malformed HTTP
	// FaultHeadTooLong is the fault of a response that the program received, and that the tap
	// could not read, as its head is longer than the tap's limit or than there was memory for.
	FaultHeadTooLong Fault = "head_too_long"

	FaultCanceled Fault = "canceled" // the program closed the connection
	FaultShutdown Fault = "shutdown" // the tap was stopped before the response was complete
)

// Faults lists every fault except FaultNone.
func Faults() []Fault {
	return []Fault{
		FaultBadRequest, FaultNoRoute, FaultHostRefused, FaultLoop, FaultUnsupported, FaultSignature,
		FaultDNS, FaultConnRefused, FaultUnreachable, FaultDialTimeout, FaultTLS, FaultExhausted,
		FaultTimeout, FaultReset, FaultClosed, FaultBadResponse, FaultHeadTooLong,
		FaultCanceled, FaultShutdown,
	}
}

// Refused reports whether the tap itself refused the request, which is then not
// an attempt at a call.
func (f Fault) Refused() bool {
	switch f {
	case FaultBadRequest, FaultNoRoute, FaultHostRefused, FaultLoop, FaultUnsupported, FaultSignature:
		return true
	default:
		return false
	}
}

// MethodName returns a method if it is one of HTTP's, else MethodOther.
func MethodName[T ~string | ~[]byte](m T) string {
	switch string(m) {
	case "GET":
		return "GET"
	case "POST":
		return "POST"
	case "PUT":
		return "PUT"
	case "DELETE":
		return "DELETE"
	case "HEAD":
		return "HEAD"
	case "OPTIONS":
		return "OPTIONS"
	case "PATCH":
		return "PATCH"
	case "CONNECT":
		return "CONNECT"
	case "TRACE":
		return "TRACE"
	}
	return MethodOther
}
