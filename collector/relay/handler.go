package relay

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

// Handler decides on the requests of one program connection and learns what
// became of them. Its methods are called one at a time and must not block, Dial
// excepted. For each request that can be read:
//
//	Route ──> (Dial) ──> Sending ──> Done
//	  └────────┴──error──> Refuse ──> Done
//
// A request that cannot be read goes to Refuse at once. A CONNECT is one more
// request unless the program speaks HTTP inside of it, with TLS or without; then
// come
//
//	Route ──> Secured ──> Route, for each request within
type Handler interface {
	// Route decides where a request goes, by its head.
	Route(x *Exchange) (Route, error)
	// Dial connects to the upstream. ctx ends when the program goes away or the
	// server is stopped.
	Dial(ctx context.Context, x *Exchange) (net.Conn, error)
	// Sending announces that the request is about to be sent.
	Sending(x *Exchange)
	// Refuse appends to dst the whole answer to a request which was not sent
	// because of err. close reports that the connection will be closed after it.
	Refuse(dst []byte, x *Exchange, err error, close bool) []byte
	// Secured reports how TLS with the program began, once: nil when the first
	// byte of a request came through it. Otherwise the handshake failed, or the
	// program left right behind it, and the connection ends.
	Secured(err error)
	// Plain reports that the program speaks HTTP without TLS inside its CONNECT.
	Plain()
	// Done reports how an exchange ended, after the last byte was passed on. It
	// follows each Sending and each Refuse, and a Dial that ended because the
	// program went away.
	Done(x *Exchange)
}

// Route is where a request goes.
type Route struct {
	Key Key
	// Keep names fields that are for a proxy alone and are passed on all the
	// same, in lower case and separated by semicolons. It may be a part of the
	// request: it is copied.
	Keep []byte
	// Proxied is set if the upstream is a proxy for the request; nil is the
	// server itself.
	Proxied *Proxied
	// TLS has a CONNECT end here if the program speaks TLS in it: the program is
	// served under that configuration, and its requests come to Route. nil is a
	// tunnel to the upstream, passed on unseen.
	TLS *tls.Config
	// Unseen is why a CONNECT may not be passed on unseen; nil if it may.
	Unseen error
	// Plain has a CONNECT end here if the program speaks HTTP in it without TLS:
	// its requests come to Route.
	Plain bool
	// Rewrite, if not nil, appends to dst the request, with its body, that is
	// sent in place of the program's, which is read whole first and shown to it.
	// Its framing must be a Content-Length. From then on the exchange shows the
	// new one. An error has the request refused.
	Rewrite func(dst []byte, x *Exchange, body []byte) ([]byte, error)
}

// Proxied is what a request to a proxy has besides: an absolute-form target.
type Proxied struct {
	Origin        string // what comes before the path: "http://" and an authority
	Authorization string // the value of Proxy-Authorization; "" for none
}

// Key names an upstream. A program's connection keeps its upstream connection
// for as long as its requests go to the same one.
type Key struct {
	Host  string
	Port  uint16
	TLS   bool
	Epoch uint64 // of the rules by which the connection was made
	// Forwarding is set if the connection is to a proxy that forwards requests.
	Forwarding bool
	// Address is the server's, where the program's connection was bound for it;
	// else invalid.
	Address netip.AddrPort
}

// Exchange is one request and its answer. It is reused for others; all bytes in
// it are views that last until Done returns.
type Exchange struct {
	Request  http1.Request
	Response http1.Response

	Client   netip.AddrPort
	Upstream netip.AddrPort // invalid until there is a connection
	// Destination is where the program's connection was bound for, if it was
	// redirected to us; else it is invalid.
	Destination netip.AddrPort

	Start     time.Time // when the first byte of the request was read
	FirstByte time.Time // when the first byte of the final answer was read
	Finish    time.Time // when the last byte was passed on, or all was given up

	// Hello is set for a CONNECT made up from the first bytes of a connection
	// whose program sent none.
	Hello bool

	End End

	RequestBytes  int64 // read of the request, head and body
	ResponseBytes int64 // written to the program

	// Broken is what came of the answer's head, where it broke off within.
	Broken []byte

	// Uninspected is set if bodies were not kept, since memory was short.
	Uninspected bool

	route Route
	limit int // of what is shown of a body

	in          []byte // memory of the request
	bodyAt      int    // where in it the body begins
	requestSeen int    // bytes of the body in it
	requestBody int64  // bytes of the body, with its framing
	requestDone bool   // the body was read to its end

	out          []byte // memory of the answer
	outAt        int    // where in it the body begins
	responseSeen int
	responseBody int64
	responseDone bool

	unchunked []byte // copy of a chunked request body
	plain     bool   // the answer's body was unchunked, into plainBody
	plainBody []byte
	tail      tail // of the answer's body
}

// RequestBody returns the first bytes of the request's body, as far as they
// were read and without the framing of chunks, and whether they are all of it.
func (x *Exchange) RequestBody() (prefix []byte, whole bool) {
	prefix = x.in[x.bodyAt : x.bodyAt+x.requestSeen]
	if x.Request.Chunked() {
		// The chunks themselves may not have been sent yet.
		x.unchunked = append(x.unchunked[:0], prefix...)
		prefix = http1.Dechunk(x.unchunked)
	}
	n := min(len(prefix), x.limit)
	return prefix[:n], x.requestDone && x.requestBody == int64(x.requestSeen) && n == len(prefix)
}

// ResponseBody is RequestBody for the answer. It is for Done alone.
func (x *Exchange) ResponseBody() (prefix []byte, whole bool) {
	p := x.kept()
	n := min(len(p), x.limit)
	return p[:n], x.responseDone && x.responseBody == int64(x.responseSeen) && n == len(p)
}

// ResponseTail returns the last bytes, up to Config.TailBytes, of a body that
// goes on after what ResponseBody returns; nil where it broke off. It is for
// Done alone.
func (x *Exchange) ResponseTail() []byte {
	if !x.responseDone {
		return nil
	}
	p := x.kept()
	return x.tail.after(p[min(len(p), x.limit):])
}

// kept returns what was kept of the answer's body in one piece, without the
// framing of chunks.
func (x *Exchange) kept() []byte {
	p := x.out[x.outAt : x.outAt+x.responseSeen]
	if !x.Response.Chunked() {
		return p
	}
	if !x.plain {
		// Everything was passed on: the memory is free to be changed.
		x.plain = true
		x.plainBody = http1.Dechunk(p)
	}
	return x.plainBody
}

// reset makes x ready for a request of which the first byte was read.
func (x *Exchange) reset(now time.Time, tailBytes int) {
	x.Request.Reset()
	x.Response.Reset()
	*x = Exchange{
		Request: x.Request, Response: x.Response,
		Start: now, limit: x.limit, unchunked: x.unchunked[:0], tail: tail{size: tailBytes},
	}
}

// End is how an exchange ended.
type End uint8

// The ends.
const (
	EndComplete    End = iota // the answer arrived whole
	EndRefused                // the answer was ours
	EndTimeout                // the upstream fell silent
	EndReset                  // the upstream reset the connection
	EndClosed                 // the upstream closed the connection
	EndBadResponse            // the upstream's answer could not be read
	EndCanceled               // the program went away, or broke the protocol halfway
	EndStopped                // the server was stopped
)
