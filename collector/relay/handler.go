package relay

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"sync/atomic"
	"time"
)

// Handler decides on the requests of one client connection and is told what
// became of them. Its methods are called on the connection's goroutine and
// must not block, Dial excepted. For each request that can be read:
//
//	Route ──> (Dial) ──> Sending ──> Done
//	  └────────┴──error──> Refuse ──> Done
//
// A request that cannot be read goes to Refuse at once. A CONNECT is one more
// request unless its route has TLS; then come
//
//	Route ──> Secured ──> Route, for each request within
type Handler interface {
	// Route decides where a request goes, by its head.
	Route(x *Exchange) (Route, error)
	// Dial connects to the upstream. ctx ends when the client goes away or the
	// server is stopped.
	Dial(ctx context.Context, x *Exchange) (net.Conn, error)
	// Sending tells that the request is about to be sent.
	Sending(x *Exchange)
	// Refuse appends to dst the whole answer to a request which was not sent
	// because of err. close tells that the connection will be closed after it.
	Refuse(dst []byte, x *Exchange, err error, close bool) []byte
	// Secured tells how TLS with the client began, once: nil when the first
	// byte of a request came through it. Otherwise the handshake failed, or the
	// client left right behind it, and the connection ends.
	Secured(err error)
	// Done tells how an exchange ended, after the last byte was passed on. It
	// follows each Sending and each Refuse, and a Dial that ended because the
	// client went away.
	Done(x *Exchange)
}

// Route is where a request goes.
type Route struct {
	Key Key
	// Keep names hop-by-hop fields to be passed on all the same, lower case
	// and parted by semicolons. It may be a part of the request: it is copied.
	Keep []byte
	// Proxied tells that the upstream is a proxy for the request; nil is the
	// server itself.
	Proxied *Proxied
	// TLS has a CONNECT end here: the client is served under that
	// configuration, and its requests come to Route. nil is a tunnel to the
	// upstream, passed on unseen.
	TLS *tls.Config
	// Rewrite, if not nil, appends to dst the request, with its body, that is
	// sent in place of the client's, which is read whole first and shown to it.
	// Its framing must be a Content-Length. From then on the exchange shows the
	// new one. An error has the request refused.
	Rewrite func(dst []byte, x *Exchange, body []byte) ([]byte, error)
}

// Proxied is what a request to a proxy has besides: an absolute-form target.
type Proxied struct {
	Origin        string // what comes before the path: "http://" and an authority
	Authorization string // the value of Proxy-Authorization; "" for none
}

// Exchange is one request and its answer. It is reused for the next one on the
// connection; all bytes in it are views that last until Done returns.
type Exchange struct {
	Request  RequestHead
	Response ResponseHead

	Client   netip.AddrPort
	Upstream netip.AddrPort // invalid until there is a connection
	// Destination is where the client's connection was bound for, if it was
	// redirected to us; else it is invalid.
	Destination netip.AddrPort

	Start     time.Time // when the first byte of the request was read
	FirstByte time.Time // when the first byte of the final answer was read
	Finish    time.Time // when the last byte was passed on, or all was given up

	// Hello tells that the request is a CONNECT made up from the ClientHello of
	// a connection that began with TLS.
	Hello bool

	End End

	// ResponseBytes counts what was written to the client.
	ResponseBytes int64

	route Route
	limit int // of what is shown of a body

	in           []byte // memory of the request
	headBytes    int64
	bodyAt       int          // where in it the body begins
	requestSeen  atomic.Int64 // bytes of the body in it
	requestBytes atomic.Int64
	requestDone  atomic.Bool // the body was read to its end

	out          []byte // memory of the response
	outAt        int    // where in it the body begins
	responseSeen int
	bodyBytes    int64
	responseDone bool

	unchunked []byte // copy of a chunked request body
	plain     bool   // the response body was unchunked, into plainBody
	plainBody []byte
	tail      tail // of the response body
}

// RequestBytes counts what was read of the request, head and body.
func (x *Exchange) RequestBytes() int64 { return x.requestBytes.Load() }

// RequestBody returns the first bytes of the request's body, as far as they
// were read and without the framing of chunks, and whether they are all of it.
func (x *Exchange) RequestBody() (prefix []byte, whole bool) {
	// Another goroutine may be adding to it: what is counted as seen lies
	// still.
	done, total, seen := x.requestDone.Load(), x.requestBytes.Load()-x.headBytes, x.requestSeen.Load()
	prefix = x.in[x.bodyAt : x.bodyAt+int(seen)]
	if x.Request.chunked {
		// The chunks themselves may not have been sent yet: a copy it is.
		x.unchunked = append(x.unchunked[:0], prefix...)
		prefix = dechunk(x.unchunked)
	}
	n := min(len(prefix), x.limit)
	return prefix[:n], done && total == seen && n == len(prefix)
}

// ResponseBody is RequestBody for the response. It is for Done alone.
func (x *Exchange) ResponseBody() (prefix []byte, whole bool) {
	p := x.kept()
	n := min(len(p), x.limit)
	return p[:n], x.responseDone && x.bodyBytes == int64(x.responseSeen) && n == len(p)
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

// kept returns what was kept of the response body in one piece, without the
// framing of chunks.
func (x *Exchange) kept() []byte {
	p := x.out[x.outAt : x.outAt+x.responseSeen]
	if !x.Response.chunked {
		return p
	}
	if !x.plain {
		// Everything was passed on: the memory is free to be changed.
		x.plain = true
		x.plainBody = dechunk(p)
	}
	return x.plainBody
}

func (x *Exchange) reset(now time.Time) {
	x.Request.reset()
	x.Response.reset()
	x.Upstream = netip.AddrPort{}
	x.Start, x.FirstByte, x.Finish = now, time.Time{}, time.Time{}
	x.End, x.ResponseBytes = EndComplete, 0
	x.route = Route{}
	x.in, x.headBytes, x.bodyAt = nil, 0, 0
	x.requestSeen.Store(0)
	x.requestBytes.Store(0)
	x.requestDone.Store(false)
	x.out, x.outAt, x.responseSeen, x.bodyBytes, x.responseDone = nil, 0, 0, 0, false
	x.unchunked, x.plain, x.plainBody = nil, false, nil
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
	EndCanceled               // the client went away, or broke the protocol halfway
	EndStopped                // the server was stopped
)
