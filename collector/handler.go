package collector

import (
	"bytes"
	"context"
	"net"
	"net/netip"
	"sync"
	"time"

	"github.com/google/uuid"

	"github.com/ksyun-tap/ksyun-tap/classify"
	"github.com/ksyun-tap/ksyun-tap/collector/relay"
	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
	"github.com/ksyun-tap/ksyun-tap/hostname"
)

// handler routes the requests of one client connection and turns each exchange
// into an observation.
type handler struct {
	p      *Proxy
	client netip.AddrPort
	way    way
	next   passages // the ways within the running CONNECT
	rules  *rules   // of the running exchange
	dest   destination
	sink   classify.Sink // of the running exchange
	begun  bool
	why    errorResponse // to a request that was refused

	// authority names where the requests are sent, as it was received: with a
	// request, or with the CONNECT around it.
	authority []byte

	// Of the running exchange:
	source  classify.Source
	call    classify.Call
	secrets classify.Secrets
	body    int // bytes of the body that the call was read from

	found found     // the last result of lookUp
	dated time.Time // when the Date of a response was last read
	names [4]named  // of the last access keys
}

// observations are reused by the exchanges of all connections. One is in use while an
// exchange is reported, so that few are, and these stay in the processor's caches.
var observations = sync.Pool{New: func() any { return new(classify.Observation) }}

// found is the destination for the current authority, unless rules is nil.
type found struct {
	rules *rules
	https bool
	dest  destination
}

func newHandler(p *Proxy, w way, client netip.AddrPort) *handler {
	return &handler{p: p, client: client, way: w, rules: p.rules.Load()}
}

// Route implements relay.Handler.
func (h *handler) Route(x *relay.Exchange) (relay.Route, error) {
	h.rules = h.p.rules.Load()
	return h.way.route(h, x)
}

// forget makes h ready for the next exchange.
func (h *handler) forget() {
	h.dest, h.source, h.sink, h.begun, h.why = destination{}, "", nil, false, errorResponse{}
	h.call, h.secrets, h.body = classify.Call{}, classify.Secrets{}, 0
}

// maxAuthority is the length of the longest authority that may name a host. A longer one is
// not kept, as h lasts as long as its connection.
const maxAuthority = 512

// setAuthority sets the current authority.
func (h *handler) setAuthority(authority []byte) {
	authority = authority[:min(len(authority), maxAuthority)]
	if !bytes.Equal(h.authority, authority) {
		h.authority = append(h.authority[:0], authority...)
		h.found.rules = nil
	}
}

// lookUp decides where requests for authority go, which becomes the current one.
func (h *handler) lookUp(authority []byte, https bool) (err error) {
	h.setAuthority(authority)
	f := &h.found
	if f.rules != h.rules || f.https != https {
		dest, err := h.rules.destination(authority, https)
		if err != nil {
			h.dest = dest
			return err
		}
		*f = found{h.rules, https, dest}
	}
	h.dest = f.dest
	return nil
}

// checkHost compares the Host field of a request with the current authority. They
// may differ, as in the vendor's own examples, but not such that a host could be
// reached under the name of another.
func (h *handler) checkHost(field []byte) error {
	if field == nil || bytes.Equal(field, h.authority) {
		return nil
	}
	host, _ := hostname.Of(field)
	if host == h.dest.Host || h.dest.tapped && h.rules.taps(host) {
		return nil
	}
	return errHostsDiffer
}

// Dial implements relay.Handler.
func (h *handler) Dial(ctx context.Context, x *relay.Exchange) (net.Conn, error) {
	if h.dest.Host == "" { // nothing was routed yet
		return h.dialEarly(ctx, x.Destination)
	}
	return h.rules.dialer.Dial(ctx, &h.dest.Target)
}

// Sent implements relay.Handler.
func (h *handler) Sent(x *relay.Exchange) {
	if !h.dest.tapped {
		h.p.unobserved.Add(1)
		if h.dest.blind {
			h.p.blind.Add(1)
		}
		h.p.cfg.OnUnobserved(Unobserved{string(h.dest.Host), h.dest.Port, h.rules.taps(h.dest.Host)})
		return
	}
	h.begin(x)
}

// Refuse implements relay.Handler.
func (h *handler) Refuse(dst []byte, x *relay.Exchange, err error, close bool) []byte {
	a := explain(err)
	a.id = uuid.NewString()
	a.json = wantsJSON(x.Request.Get("Accept"))
	a.bodyless = string(x.Request.Method()) == "HEAD"
	switch {
	case close:
		a.connection = "close"
	case x.Request.Protocol() == "1.0": // its clients wait for the end otherwise
		a.connection = "keep-alive"
	}
	h.why = a
	return a.append(dst)
}

// Done implements relay.Handler.
func (h *handler) Done(x *relay.Exchange) {
	defer h.forget()
	fault := h.fault(x.End)
	switch {
	case h.dest.tapped, fault.Refused():
	case fault == classify.FaultExhausted && h.dest.Host == "": // there was no memory for its head
		h.setAuthority(nil)
	default:
		return
	}
	if !h.begun && !fault.Refused() {
		h.begin(x) // it failed before it could be sent
	}
	h.observe(x, fault)
}

func (h *handler) fault(end relay.End) classify.Fault {
	switch end {
	case relay.EndComplete:
		return classify.FaultNone
	case relay.EndRefused:
		return h.why.fault
	case relay.EndTimeout:
		return classify.FaultTimeout
	case relay.EndReset:
		return classify.FaultReset
	case relay.EndBadResponse:
		return classify.FaultBadResponse
	case relay.EndHeadTooLong:
		return classify.FaultHeadTooLong
	case relay.EndCanceled:
		return classify.FaultCanceled
	case relay.EndStopped:
		return classify.FaultShutdown
	}
	return classify.FaultClosed
}

// guard recovers from a panic in a sink or in making an observation, so that it
// does not affect the call.
func (h *handler) guard() {
	if p := recover(); p != nil {
		h.p.panics.Add(1)
	}
}

// begin parses the call from what was read of the request and announces it to the sink.
func (h *handler) begin(x *relay.Exchange) {
	defer h.guard()
	h.begun = true
	r, _ := h.request(x)
	h.read(&r)
	h.chooseSink()
	h.sink.Begin(&h.call)
}

// request returns what the classifier reads of a request, and whether that includes the
// whole body.
func (h *handler) request(x *relay.Exchange) (r classify.Request, whole bool) {
	q := &x.Request
	body, whole := x.RequestBody()
	return classify.Request{Method: classify.MethodName(q.Method()), Target: target(q), Host: h.authority, Header: q, Body: body}, whole
}

// read parses the call and the secrets from the request.
func (h *handler) read(r *classify.Request) {
	h.call, h.secrets = h.rules.classifier.Request(r)
	h.body = len(r.Body)
}

// observe reports to the sink how the exchange ended.
func (h *handler) observe(x *relay.Exchange, fault classify.Fault) {
	o := observations.Get().(*classify.Observation)
	defer func() {
		*o = classify.Observation{}
		observations.Put(o)
	}()
	defer h.guard()
	q := &x.Request
	r, whole := h.request(x)
	o.Client, o.Source, o.Fault = h.client, h.source, fault
	if fault.Refused() {
		o.Call = classify.Call{Host: string(h.dest.Host)}
	} else {
		if len(r.Body) > h.body {
			service := h.call.Service // as it began
			h.read(&r)
			h.call.Service = service
		}
		o.Call, o.RequestBody = h.call, r.Body
		if !whole && len(r.Body) > 0 {
			o.Call.Unread = unread(x)
		}
		o.Credential = h.hash(h.secrets.AccessKey)
	}
	reply := h.judge(o, x, fault)
	h.scrub(o, &r)
	h.inspect(o, x, &r, &reply)

	o.Start, o.FirstByte, o.End = x.Start, x.FirstByte, x.Finish
	o.Method = r.Method
	if o.Method == classify.MethodOther {
		o.MethodOriginal = q.Method()
	}
	o.Protocol = q.Protocol()
	if x.Response.Status != 0 {
		o.Protocol = x.Response.Protocol()
	}
	o.Scheme, o.Port = h.dest.scheme(), h.dest.Port
	o.Target = r.Target
	o.Upstream = x.Upstream
	o.UserAgent = q.Get("User-Agent")
	o.Traceparent = q.Get("traceparent")
	if o.Traceparent != nil { // it has no meaning otherwise
		o.Tracestate = q.Get("tracestate")
	}
	o.RequestHeader, o.ResponseHeader = q, &x.Response
	o.RequestBytes, o.ResponseBytes = x.RequestBytes, x.ResponseBytes
	if h.sink == nil { // it was refused before it began
		h.chooseSink()
	}
	h.sink.Observe(o)
}

// chooseSink sets the sink to which the running exchange is reported.
func (h *handler) chooseSink() {
	h.sink = h.p.cfg.Sink
	if h.p.cfg.SinkFor != nil {
		if other := h.p.cfg.SinkFor(h.client); other != nil {
			h.sink = other
		}
	}
}

// scrub removes the secrets of the request from the verdict.
func (h *handler) scrub(o *classify.Observation, r *classify.Request) {
	var own classify.Secrets // sent in place of the request's
	if w, ok := h.way.(*resignWay); ok {
		accessKey, token := w.signer.Sent()
		own.AccessKey, own.Token = []byte(accessKey), []byte(token)
	}
	o.Verdict.Scrub(r, h.secrets, own)
}

// judge sets the verdict. It returns the response that it is of.
func (h *handler) judge(o *classify.Observation, x *relay.Exchange, fault classify.Fault) classify.Response {
	v := &o.Verdict
	body, whole := x.ResponseBody()
	reply := classify.Response{Status: x.Response.Status, Header: &x.Response, Body: body, Truncated: !whole}
	o.ResponseBody = body
	if fault != classify.FaultNone {
		*v = h.rules.classifier.Fault(fault, x.Response.Status)
		switch {
		case h.why.id != "":
			v.RequestID, v.RequestIDSource = classify.MakeRequestID(h.why.id), classify.RequestIDTap
			v.Message = h.why.message
		case x.Response.Status != 0: // it broke off
			v.RequestID = h.rules.classifier.RequestID(&reply)
		default:
			v.RequestID = classify.MakeRequestID(brokenField(x.Broken, "X-KSC-REQUEST-ID"))
		}
		v.AdoptRequestID(&x.Request)
		return reply
	}
	if !whole {
		reply.Tail = x.ResponseTail()
	}
	*v = h.rules.classifier.Response(&o.Call, &reply)
	o.ResponseTail = reply.Tail
	v.AdoptRequestID(&x.Request)
	if v.Unread == classify.UnreadLength {
		v.Unread = unread(x)
	}
	return reply
}

// unread returns why a body was not kept completely.
func unread(x *relay.Exchange) classify.Unread {
	if x.Uninspected {
		return classify.UnreadMemory
	}
	return classify.UnreadLength
}

// brokenField returns the value of a field whose line is complete, in a head that
// is not.
func brokenField(head []byte, name string) []byte {
	for line := range bytes.Lines(head) {
		if n, value, ok := bytes.Cut(line, []byte(":")); ok && line[len(line)-1] == '\n' && bytes.EqualFold(n, []byte(name)) {
			return bytes.TrimSpace(value)
		}
	}
	return nil
}

// named is an access key and the name under which it is reported.
type named struct{ accessKey, name string }

// hash identifies an access key without revealing it. The last keys of the connection are
// remembered, because an HMAC takes longer than the rest of an observation.
func (h *handler) hash(accessKey []byte) string {
	if len(accessKey) == 0 {
		return ""
	}
	for i := range h.names {
		if k := &h.names[i]; k.accessKey == string(accessKey) {
			return k.name
		}
	}
	copy(h.names[1:], h.names[:])
	h.names[0] = named{string(accessKey), h.p.names.Of(accessKey)}
	return h.names[0].name
}

// target returns the origin-form target, even of a request in absolute form
// without a path that was not sent.
func target(q *http1.Request) []byte {
	if t := q.Target(); len(t) > 0 {
		return t
	}
	return []byte("/")
}
