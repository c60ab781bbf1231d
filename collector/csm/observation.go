package csm

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// observation converts the record of an attempt to what the proxy would have
// observed, as far as the record has it.
func (r *record) observation(c *classify.Classifier, names *classify.CredentialNames, now time.Time) *classify.Observation {
	o := &classify.Observation{
		Call:       r.call(c),
		Source:     classify.SourceCSM,
		UserAgent:  []byte(r.UserAgent),
		Credential: names.Of([]byte(r.AccessKey)),
	}
	o.Start, o.End = r.times(now)
	if r.HTTPStatusCode != 0 {
		o.FirstByte = o.End // not in the record; this is the latest possible time
	}
	o.Fault = r.fault()
	if o.Fault == classify.FaultNone {
		o.Verdict = r.verdict(c, &o.Call)
	} else {
		o.Verdict = c.Fault(o.Fault, r.HTTPStatusCode)
		o.Verdict.RequestID = r.requestID("")
	}
	o.Verdict.Scrub(nil, classify.Secrets{AccessKey: []byte(r.AccessKey), Token: []byte(r.SessionToken)})
	return o
}

// call returns the operation. It is parsed as if it came from a request, so that
// the same limits apply to names.
func (r *record) call(c *classify.Classifier) classify.Call {
	service, version := r.operation()
	query := url.Values{"Action": {r.API}, "Service": {service}, "Version": {version}, "Region": {r.Region}}
	call, _ := c.Request(&classify.Request{Target: []byte("/?" + query.Encode()), Host: []byte(r.Fqdn)})
	call.Fingerprint = 0 // the parameters are not in the record
	return call
}

// verdict classifies the response. The classifier gets a body in the vendor's
// format that is built from what the SDK understood.
func (r *record) verdict(c *classify.Classifier, call *classify.Call) classify.Verdict {
	text, id := r.message()
	response := classify.Response{Status: r.HTTPStatusCode}
	if r.AWSException != "" {
		var body struct {
			Error struct{ Code, Message string }
		}
		switch {
		case r.AWSException != exceptionUnknown:
			body.Error.Code, body.Error.Message = r.AWSException, text
		case r.HTTPStatusCode < 300:
			body.Error.Message = text // without it, the status would mean success
		}
		response.Body, _ = json.Marshal(body) //nolint:errchkjson // strings only
	}
	v := c.Response(call, &response)
	v.Form = classify.FormEmpty // the real body is not known
	v.RequestID = r.requestID(id)
	return v
}

// The exceptions with which the SDK reports that there was no response, or none
// that it could parse.
const (
	exceptionCanceled      = "RequestCanceled"
	exceptionSerialization = "SerializationError"
	exceptionReadTimeout   = "ResponseTimeout"

	// exceptionUnknown is the SDK's name for an error whose code it could not
	// parse. It is not a code of the vendor's.
	exceptionUnknown = "UnknownError"
)

// fault returns why there was no response, or FaultNone if there was one.
func (r *record) fault() classify.Fault {
	answered := r.HTTPStatusCode != 0
	switch {
	case r.AWSException == exceptionReadTimeout && r.HTTPStatusCode < 300:
		return classify.FaultTimeout
	case r.SDKException == "" && answered:
		return classify.FaultNone
	case r.SDKException == exceptionCanceled && !strings.Contains(r.SDKExceptionMessage, "deadline exceeded"):
		return classify.FaultCanceled
	case r.SDKException == exceptionSerialization && r.HTTPStatusCode >= 300:
		return classify.FaultNone // for example a gateway's HTML page; the status is enough
	}
	text := cause(r.SDKExceptionMessage)
	for _, s := range signs {
		if strings.Contains(text, s.text) && strings.Contains(text, s.with) {
			return s.fault
		}
	}
	if answered {
		return classify.FaultBadResponse
	}
	return classify.FaultUnreachable
}

// cause returns the part of an error's message after the quoted URL, which could
// contain any text:
//
//	RequestError: send request failed
//	caused by: Get "http://...": dial tcp 192.0.2.1:80: connect: connection refused
//
// It is "" if the SDK cut the message within the URL.
func cause(message string) string {
	_, rest, ok := strings.Cut(message, `"`)
	if !ok {
		return message
	}
	_, rest, _ = strings.Cut(rest, `"`)
	return rest
}

// signs maps substrings of Go's error messages to faults. The first match is
// used. The messages themselves are dropped, because they quote the URL.
var signs = []struct {
	text, with string
	fault      classify.Fault
}{
	{"no such host", "", classify.FaultDNS},
	{"server misbehaving", "", classify.FaultDNS},
	{"connection refused", "", classify.FaultConnRefused},
	{"too many open files", "", classify.FaultExhausted},
	{"no route to host", "", classify.FaultUnreachable},
	{"network is unreachable", "", classify.FaultUnreachable},
	{"TLS handshake timeout", "", classify.FaultTLS},
	{"x509: ", "", classify.FaultTLS},
	{"tls: ", "", classify.FaultTLS},
	{"connection reset by peer", "", classify.FaultReset},
	{"broken pipe", "", classify.FaultReset},
	{"timeout", "dial tcp ", classify.FaultDialTimeout},
	{"timeout", "", classify.FaultTimeout},
	{"Timeout", "", classify.FaultTimeout},
	{"deadline exceeded", "", classify.FaultTimeout},
	{"malformed HTTP", "", classify.FaultBadResponse},
	{"EOF", "", classify.FaultClosed},
	{"server closed idle connection", "", classify.FaultClosed},
}
