package collector

import (
	"bytes"
	"cmp"
	"errors"
	"net/http"
	"strconv"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/netfault"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
	"github.com/ksyun-tap/ksyun-tap/collector/upstream"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// refuse returns the error of a request that is not forwarded. message is for the person
// who runs the program: it says what to do, and quotes nothing of the request but the
// host name.
func refuse(fault classify.Fault, message string) *upstream.Error {
	return &upstream.Error{Fault: fault, Message: message}
}

var (
	errNoRoute     = refuse(classify.FaultNoRoute, "The request names no host. Send it with a Host field, or use ksyun-tap as an HTTP proxy.")
	errConnect     = refuse(classify.FaultUnsupported, "CONNECT to this host is not allowed, because calls within the tunnel could not be observed. Set --intercept, or use the http:// endpoint, with --upstream.scheme=https to send calls on over TLS.")
	errNested      = refuse(classify.FaultUnsupported, "This is a request to a proxy within a tunnel through the same proxy. Send it in origin form, or outside of the tunnel.")
	errNoBuffers   = refuse(classify.FaultExhausted, "ksyun-tap has no memory left for the buffers that this request needs. Raise its memory limit, or --proxy.buffer-limit.")
	errHostsDiffer = refuse(classify.FaultHostRefused, "The request's target and its Host field name different hosts, and not both are tapped. Tap both with --tap.host.")
)

func refuseHost(host hostname.Name) error {
	return refuse(classify.FaultHostRefused, "The host "+string(host)+" is not tapped, and other hosts are refused. Tap it with --tap.host="+string(host)+", or forward all other hosts with --tap.other-hosts=forward.")
}

func refusePort(host hostname.Name) error {
	return refuse(classify.FaultHostRefused, "The host "+string(host)+" is not tapped, so only ports 80 and 443 are served. Tap it with --tap.host="+string(host)+", or, if one program uses this listener alone, pass every port with --tap.other-hosts=pass.")
}

// errorResponse is an error response of our own.
type errorResponse struct {
	status   int
	fault    classify.Fault
	message  string
	id       string
	json     bool // else XML, as the vendor's
	bodyless bool // to a HEAD request

	connection string // the value of the Connection field; "" for none
}

// explain returns the response for the error that kept a request from being sent.
func explain(err error) errorResponse {
	if netfault.IsExhausted(err) {
		err = upstream.ErrNoDescriptors
	}
	if errors.Is(err, relay.ErrNoBuffers) {
		err = errNoBuffers
	}
	if bad, ok := errors.AsType[*http1.RefusalError](err); ok {
		return errorResponse{
			status: bad.Status, fault: classify.FaultBadRequest,
			message: "ksyun-tap cannot forward the request: " + bad.Reason + ".",
		}
	}
	if up, ok := errors.AsType[*upstream.Error](err); ok {
		return errorResponse{status: statusOf(up.Fault, up.Lasting), fault: up.Fault, message: up.Message}
	}
	return errorResponse{status: 503, fault: classify.FaultUnreachable, message: "ksyun-tap cannot forward the request."}
}

// statusOf returns the status of a response of our own. For a fault that may be
// transient it is 503, the only status that every SDK retries that would retry the
// fault itself (the vendor's older Python SDK retries neither 502 nor 504); for a
// request that will be refused again, or a fault that lasts, it is one that no SDK
// retries.
func statusOf(fault classify.Fault, lasting bool) int {
	switch fault {
	case classify.FaultBadRequest, classify.FaultNoRoute:
		return 400
	case classify.FaultHostRefused, classify.FaultLoop, classify.FaultSignature:
		return 403
	case classify.FaultDNS, classify.FaultConnRefused, classify.FaultUnreachable, classify.FaultTLS, classify.FaultDialTimeout, classify.FaultExhausted:
		if !lasting {
			return 503
		}
	}
	return 501
}

func statusText(status int) string {
	switch status {
	case 400, 403, 431, 503:
		return http.StatusText(status)
	case 413:
		return "Content Too Large"
	}
	return "Not Implemented"
}

// codes are the error codes for faults, in the vendor's style. Others have
// codeUnreachable.
var codes = map[classify.Fault]string{
	classify.FaultBadRequest:  "TapBadRequest",
	classify.FaultNoRoute:     "TapNoRoute",
	classify.FaultHostRefused: "TapHostRefused",
	classify.FaultLoop:        "TapLoop",
	classify.FaultUnsupported: "TapUnsupported",
	classify.FaultSignature:   "TapSignatureDoesNotMatch",
	classify.FaultDNS:         "TapUpstreamNotFound",
	classify.FaultConnRefused: "TapUpstreamRefused",
	classify.FaultDialTimeout: "TapUpstreamSilent",
	classify.FaultTLS:         "TapUpstreamNotTrusted",
	classify.FaultExhausted:   "TapExhausted",
}

const codeUnreachable = "TapUpstreamUnreachable"

// busy is the response on a connection beyond the limit. It is sent before a
// request is read.
var busy = func() []byte {
	const body = "<ErrorResponse><Error><Type>Receiver</Type><Code>TapBusy</Code><Message>ksyun-tap has reached its limit of connections. " +
		"Raise --proxy.max-connections, or configure programs to keep fewer connections open.</Message></Error></ErrorResponse>"
	return []byte("HTTP/1.1 503 Service Unavailable\r\nContent-Type: text/xml; charset=utf-8\r\nContent-Length: " + strconv.Itoa(len(body)) +
		"\r\nX-Ksyun-Tap-Error: busy\r\nConnection: close\r\n\r\n" + body)
}()

// append appends the whole response to dst. Nothing needs escaping: messages are
// our own, and host names were validated.
func (a *errorResponse) append(dst []byte) []byte {
	kind := "Receiver"
	if a.fault.Refused() {
		kind = "Sender"
	}
	code := cmp.Or(codes[a.fault], codeUnreachable)
	var body []byte
	media := "application/json"
	if a.json {
		body = append(body, `{"RequestId":"`+a.id+`","Error":{"Type":"`+kind+`","Code":"`+code+`","Message":"`+a.message+`"}}`...)
	} else {
		media = "text/xml; charset=utf-8"
		body = append(body, `<ErrorResponse><RequestId>`+a.id+`</RequestId><Error><Type>`+kind+`</Type><Code>`+code+`</Code><Message>`+a.message+`</Message></Error></ErrorResponse>`...)
	}
	dst = append(dst, "HTTP/1.1 "+strconv.Itoa(a.status)+" "+statusText(a.status)+
		"\r\nContent-Type: "+media+
		"\r\nContent-Length: "+strconv.Itoa(len(body))+
		"\r\nX-KSC-REQUEST-ID: "+a.id+
		"\r\nX-Ksyun-Tap-Error: "+string(a.fault)...)
	if a.connection != "" {
		dst = append(dst, "\r\nConnection: "+a.connection...)
	}
	dst = append(dst, "\r\n\r\n"...)
	if a.bodyless {
		return dst
	}
	return append(dst, body...)
}

// wantsJSON interprets Accept as the vendor does: JSON only if it is named.
func wantsJSON(accept []byte) bool {
	return bytes.Contains(bytes.ToLower(accept), []byte("application/json"))
}
