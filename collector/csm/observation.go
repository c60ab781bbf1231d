package csm

import (
	"encoding/json"
	"net/url"
	"strings"
	"time"

	"github.com/ksyun-tap/ksyun-tap/classify"
)

// observation makes of an attempt's record what the proxy would have seen of
// it, as far as it is told.
func (r *record) observation(c *classify.Classifier, key []byte, now time.Time) *classify.Observation {
	o := &classify.Observation{
		Call:       r.call(c),
		Source:     classify.SourceCSM,
		UserAgent:  []byte(r.UserAgent),
		Credential: classify.HashAccessKey(key, []byte(r.AccessKey)),
	}
	o.Start, o.End = r.times(now)
	if r.HTTPStatusCode != 0 {
		o.FirstByte = o.End // not told; it came, and not later
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

// call is the operation. The classifier reads it as from a request, so that
// names are bounded by the same rules.
func (r *record) call(c *classify.Classifier) classify.Call {
	service, version := r.operation()
	query := url.Values{"Action": {r.API}, "Service": {service}, "Version": {version}, "Region": {r.Region}}
	call, _ := c.Request(&classify.Request{Target: []byte("/?" + query.Encode()), Host: []byte(r.Fqdn)})
	return call
}

// verdict is what the vendor's answer meant, judged by the status and by what
// the SDK read of it, written down as the vendor would have.
func (r *record) verdict(c *classify.Classifier, call *classify.Call) classify.Verdict {
	text, id := r.message()
	answer := classify.Response{Status: r.HTTPStatusCode}
	if r.AWSException != "" {
		var body struct {
			Error struct{ Code, Message string }
		}
		switch {
		case r.AWSException != exceptionUnknown:
			body.Error.Code, body.Error.Message = r.AWSException, text
		case r.HTTPStatusCode < 300:
			body.Error.Message = text // the status alone would make it a success
		}
		answer.Body, _ = json.Marshal(body) //nolint:errchkjson // strings only
	}
	v := c.Response(call, &answer)
	v.Form = classify.FormEmpty // of the real body nothing is known
	v.RequestID = r.requestID(id)
	return v
}

// The exceptions by which the SDK says that it got no answer, or none that it
// could read.
const (
	exceptionCanceled      = "RequestCanceled"
	exceptionSerialization = "SerializationError"
	exceptionReadTimeout   = "ResponseTimeout"

	// exceptionUnknown stands for an answer whose code the SDK could not read. It
	// is not the vendor's.
	exceptionUnknown = "UnknownError"
)

// fault is why there was no answer; FaultNone if there was one.
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
		return classify.FaultNone // a page of a gateway's, say: its status tells
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

// cause is what stands behind the request's URL, in which anything may stand:
//
//	RequestError: send request failed
//	caused by: Get "http://...": dial tcp 192.0.2.1:80: connect: connection refused
//
// It is "" where the SDK cut the text within the URL.
func cause(message string) string {
	_, rest, ok := strings.Cut(message, `"`)
	if !ok {
		return message
	}
	_, rest, _ = strings.Cut(rest, `"`)
	return rest
}

// signs are what Go's errors have in their texts, the telling ones first. The
// texts themselves are dropped: they quote the request's URL.
var signs = []struct {
	text, with string
	fault      classify.Fault
}{
	{"no such host", "", classify.FaultDNS},
	{"server misbehaving", "", classify.FaultDNS},
	{"connection refused", "", classify.FaultConnRefused},
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
