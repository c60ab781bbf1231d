package relay

import (
	"context"
	"crypto/tls"
	"net"
	"net/netip"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

// Handler routes the requests of one program connection and is informed of their
// results. Its methods are called one at a time and, except for Dial, must not
// block: they may run on the thread of a loop. For each request that can be parsed:
//
//	Route ──> (Dial) ──> (Sent) ──> Done
//	  └────────┴──error──> Refuse ──> Done
//
// A request that cannot be parsed goes to Refuse directly. A CONNECT is handled
// like any other request, unless the program speaks HTTP inside it, with or
// without TLS. Then the calls are
//
//	Route ──> (Dial) ──> Secured ──> Route, for each request within
type Handler interface {
	// Route decides by the head of a request where it goes.
	Route(x *Exchange) (Route, error)
	// Dial connects to the upstream. ctx is canceled when the program closes its
	// connection or the server is stopped.
	Dial(ctx context.Context, x *Exchange) (net.Conn, error)
	// Sent reports that the beginning of the request was sent, or that its tunnel begins.
	// It is not called if the exchange ended before.
	Sent(x *Exchange)
	// Refuse appends to dst the complete response to a request that was not sent
	// because of err. close is set if the connection will be closed after it.
	Refuse(dst []byte, x *Exchange, err error, close bool) []byte
	// Secured reports once whether TLS with the program was established: nil when
	// the first byte of a request was received through it. Otherwise the handshake
	// failed, or the program closed the connection right after it.
	Secured(err error)
	// Plain reports that the program speaks HTTP without TLS inside its CONNECT.
	Plain()
	// Done reports how an exchange ended, after the last byte was forwarded. It
	// follows each Sent and each Refuse, and a Route or Dial after which one side
	// closed its connection, or the server was stopped, before anything was sent.
	Done(x *Exchange)
}

// Route is where a request goes.
type Route struct {
	Key Key
	// Keep names the fields meant only for a proxy that are forwarded nevertheless,
	// in lower case and separated by semicolons. It is copied, so it may be a part
	// of the request.
	Keep []byte
	// Proxied is set if the upstream is a proxy for the request; nil is the
	// server itself.
	Proxied *Proxied
	// TLS, if not nil, returns the configuration that terminates TLS inside a CONNECT;
	// the requests in it are passed to Route. It is called once, and may block. If it
	// is nil, or returns an error, TLS is tunnelled to the upstream.
	TLS func() (*tls.Config, error)
	// ServerFirst is set if the server may be the one to speak first inside a CONNECT of
	// which TLS is terminated. If the program is silent, Dial is called, until the program
	// sends something; if the server does speak first, all is tunnelled.
	ServerFirst bool
	// Unseen is the reason why a CONNECT whose TLS is not terminated may not be
	// tunnelled either; nil if it may.
	Unseen error
	// Plain is set if HTTP without TLS inside a CONNECT is served here: its requests
	// are passed to Route.
	Plain bool
	// Rewrite, if not nil, appends to dst the request, with its body, that is sent
	// instead of the program's. The program's request is read completely before.
	// The new one must be framed by a Content-Length; the exchange shows it from
	// then on. On an error, the request is refused.
	Rewrite func(dst []byte, x *Exchange, body []byte) ([]byte, error)
}

// Proxied is what is added to a request to a proxy.
type Proxied struct {
	Origin        string // what comes before the path: "http://" and an authority
	Authorization string // the value of Proxy-Authorization; "" for none
}

// Key identifies an upstream. A program's connection keeps its upstream connection
// as long as its requests go to the same upstream.
type Key struct {
	Host  string
	Port  uint16
	TLS   bool
	Epoch uint64 // of the rules by which the connection was made
	// Forwarding is set if the connection is to a proxy that forwards requests.
	Forwarding bool
	// Address is the server's address if the program connected to that address;
	// else it is invalid.
	Address netip.AddrPort
}

// Exchange is one request and its response. It is reused; all bytes in it are views
// that are valid until Done returns.
type Exchange struct {
	Request  http1.Request
	Response http1.Response

	Client   netip.AddrPort
	Upstream netip.AddrPort // invalid until there is a connection
	// Destination is the original destination of the program's connection, if it
	// was redirected to us; else it is invalid.
	Destination netip.AddrPort

	Start     time.Time // when the first byte of the request was read
	FirstByte time.Time // when the first byte of the final response was read
	Finish    time.Time // when the last byte was forwarded, or the exchange was given up

	// Hello is set for a CONNECT that the program did not send, but that was made
	// up from the first bytes of its connection.
	Hello bool

	End End

	RequestBytes  int64 // read of the request, head and body
	ResponseBytes int64 // written to the program

	// Broken is what was received of the response's head, if it is incomplete.
	Broken []byte

	// Uninspected is set if bodies were not kept because memory was short.
	Uninspected bool

	route Route
	limit int // of what is shown of a body

	in          []byte // memory of the request
	bodyAt      int    // where in it the body begins
	requestSeen int    // bytes of the body in it
	requestBody int64  // bytes of the body, with its framing
	requestDone bool   // the body was read to its end

	out          []byte // memory of the response
	outAt        int    // where in it the body begins
	responseSeen int
	responseBody int64
	responseDone bool
	headTooLong  bool // of the response, which passes as it is

	fields    int    // bytes of the fields of heads that are counted as buffers
	unchunked []byte // copy of a chunked request body
	plain     bool   // the response's body was unchunked, into plainBody
	plainBody []byte
	tail      tail // of the response's body
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

// ResponseBody is RequestBody for the response. Only Done may call it.
func (x *Exchange) ResponseBody() (prefix []byte, whole bool) {
	p := x.kept()
	n := min(len(p), x.limit)
	return p[:n], x.responseDone && x.responseBody == int64(x.responseSeen) && n == len(p)
}

// ResponseTail returns the last bytes, up to Config.TailBytes, of a body that is
// longer than what ResponseBody returns; nil if it is incomplete. Only Done may
// call it.
func (x *Exchange) ResponseTail() []byte {
	if !x.responseDone {
		return nil
	}
	p := x.kept()
	return x.tail.after(p[min(len(p), x.limit):])
}

// kept returns what was kept of the response's body in one piece, without the
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
	*x = Exchange{
		Request: x.Request, Response: x.Response,
		Start: now, limit: x.limit, unchunked: x.unchunked[:0], tail: tail{size: tailBytes},
	}
	x.Request.Reset()
	x.Response.Reset()
}

// End is how an exchange ended.
type End uint8

// The ends.
const (
	EndComplete    End = iota // the response arrived whole
	EndRefused                // the response was ours
	EndTimeout                // the upstream stopped responding
	EndReset                  // the upstream reset the connection
	EndClosed                 // the upstream closed the connection
	EndBadResponse            // the upstream's response could not be read
	EndHeadTooLong            // it could not be, as its head is too long
	EndCanceled               // the program closed its connection, or broke the protocol
	EndStopped                // the server was stopped
)
