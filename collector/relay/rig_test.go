package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"net"
	"net/netip"
	"sync/atomic"
	"testing"
	"time"

	"github.com/stretchr/testify/assert"
	"github.com/stretchr/testify/require"
	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
	"github.com/ksyun-tap/ksyun-tap/internal/rawconn"
)

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "8") // the tests wait for sockets more than they compute
	goleak.VerifyTestMain(m)
}

const patience = rawconn.Patience

// rig is a server between a test that plays the client and the same test
// playing the upstream, each with raw sockets.
type rig struct {
	looping bool  // redirected connections are bound for where they arrive
	direct  error // of those: they were not redirected
	t       testing.TB
	srv     *Server
	front   string
	// where clients begin with TLS
	frontTLS string
	back     *net.TCPListener
	reported chan note // of each Done
	dials    atomic.Int64

	secured     chan error  // of each Secured
	tls         *tls.Config // that clients are served under, within a CONNECT
	upTLS       bool        // the upstream speaks TLS
	plain       bool        // HTTP without TLS within a CONNECT is served
	serverFirst bool        // the server may speak first within a CONNECT

	// What the handlers do; nil is the usual.
	route func(x *Exchange) (Route, error)
	dial  func(ctx context.Context) (net.Conn, error)
	sent  func(x *Exchange)
	wrap  func(nc net.Conn) net.Conn // of the connection to a TLS upstream
}

// note is what is reported to a handler at the end of an exchange.
type note struct {
	end           End
	method        string
	target        string
	status        int
	reqBytes      int64
	respBytes     int64
	reqBody       string
	reqWhole      bool
	respBody      string
	respWhole     bool
	respTail      string
	began         bool
	firstByte     bool
	upstreamKnown bool
	refusal       error // of the latest request that was refused
}

// inTime is a timeout within which a busy machine does what comes before the
// silence that a test waits for.
const inTime = time.Second

func rigTimeouts() Timeouts {
	t := DefaultTimeouts()
	t.Linger = 200 * time.Millisecond
	return t
}

// injectNext is Server.inject of the next rig.
var injectNext func(call) error

// injecting returns a maker of rigs in which calls fail as inject says.
func injecting(newRig maker, inject func(call) error) maker {
	return func(t testing.TB, change ...func(*Config)) *rig {
		injectNext = inject
		return newRig(t, change...)
	}
}

// newRig starts a server; change may alter its configuration.
func newRig(t testing.TB, change ...func(*Config)) *rig {
	t.Helper()
	r := &rig{t: t, reported: make(chan note, 64), secured: make(chan error, 64)}
	cfg := Config{
		Timeouts:     rigTimeouts(),
		MaxHeadBytes: 64 << 10,
		InspectBytes: 64 << 10,
		TailBytes:    16 << 10,
	}
	for _, c := range change {
		c(&cfg)
	}
	r.srv = New(cfg)
	r.srv.pause = time.Hour // tests whose exchanges come after pauses set it to 0
	if injectNext != nil {  // not in a parallel test
		r.srv.inject, injectNext = injectNext, nil
	}
	r.back = rawconn.Listen(t)
	ln := rawconn.Listen(t)
	r.front = ln.Addr().String()
	lnTLS := rawconn.Listen(t)
	r.frontTLS = lnTLS.Addr().String()
	served := make(chan error, 2)
	go func() { served <- r.srv.Serve(ln, r.intake(false)) }()
	go func() { served <- r.srv.Serve(lnTLS, r.intake(true)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		r.srv.Shutdown(ctx)
		for range 2 {
			assert.NoError(t, <-served, "Serve")
		}
		r.back.Close()
	})
	return r
}

type testHandler struct {
	rig     *rig
	began   bool
	refusal error
}

func (h *testHandler) Route(x *Exchange) (Route, error) {
	if x.Request.Form == http1.FormAuthority {
		route := Route{Key: Key{Host: "h", Port: 443}, Plain: h.rig.plain, ServerFirst: h.rig.serverFirst}
		if h.rig.tls != nil {
			route.TLS = func() (*tls.Config, error) { return h.rig.tls, nil }
		}
		return route, nil
	}
	if h.rig.route != nil {
		return h.rig.route(x)
	}
	return Route{Key: Key{Host: "h", Port: 80}}, nil
}

func (h *testHandler) Dial(ctx context.Context, _ *Exchange) (net.Conn, error) {
	h.rig.dials.Add(1)
	nc, err := h.rig.connect(ctx)
	if err != nil || !h.rig.upTLS {
		return nc, err
	}
	tc := tls.Client(Wire(nc, nil), anyServer)
	if err := tc.HandshakeContext(ctx); err != nil {
		nc.Close()
		return nil, err
	}
	if h.rig.wrap != nil {
		return h.rig.wrap(tc), nil
	}
	return tc, nil
}

func (r *rig) connect(ctx context.Context) (net.Conn, error) {
	if r.dial != nil {
		return r.dial(ctx)
	}
	var d net.Dialer
	return d.DialContext(ctx, "tcp", r.back.Addr().String())
}

func (h *testHandler) Sent(x *Exchange) {
	h.began = true
	if h.rig.sent != nil {
		h.rig.sent(x)
	}
}

func (h *testHandler) Refuse(dst []byte, _ *Exchange, err error, close bool) []byte {
	h.refusal = err
	status := "HTTP/1.1 501 Refused\r\n"
	if bad, ok := errors.AsType[*http1.RefusalError](err); ok {
		status = map[int]string{400: "HTTP/1.1 400 Refused\r\n", 431: "HTTP/1.1 431 Refused\r\n", 501: "HTTP/1.1 501 Refused\r\n"}[bad.Status]
	}
	dst = append(dst, status...)
	if close {
		dst = append(dst, "Connection: close\r\n"...)
	}
	return append(dst, "Content-Length: 0\r\n\r\n"...)
}

func (h *testHandler) Secured(err error) {
	select {
	case h.rig.secured <- err:
	default: // a test that does not look
	}
}

// errTest is a refusal for no reason.
var errTest = &http1.RefusalError{Status: 400, Reason: "for a test"}

func (h *testHandler) Plain() {}

func (h *testHandler) Done(x *Exchange) {
	n := note{
		end: x.End, method: string(x.Request.Method()), target: string(x.Request.Target()), status: x.Response.Status,
		reqBytes: x.RequestBytes, respBytes: x.ResponseBytes, began: h.began,
		firstByte: !x.FirstByte.IsZero(), upstreamKnown: x.Upstream.IsValid(), refusal: h.refusal,
	}
	h.began = false
	b, whole := x.RequestBody()
	n.reqBody, n.reqWhole = string(b), whole
	b, whole = x.ResponseBody()
	n.respBody, n.respWhole, n.respTail = string(b), whole, string(x.ResponseTail())
	select {
	case h.rig.reported <- n:
	default: // a test that does not look
	}
}

// done returns the next result that was reported to the handler.
func (r *rig) done() note {
	r.t.Helper()
	return rawconn.Receive(r.t, r.reported, "the end was not reported to the handler")
}

func (r *rig) ends(want End) note {
	r.t.Helper()
	n := r.done()
	if n.end != want {
		r.t.Fatalf("end = %d, want %d", n.end, want)
	}
	return n
}

// peer is one side of a connection, or of TLS on it.
type peer struct {
	*rawconn.Conn
	t       testing.TB
	TCPConn *net.TCPConn
	wire    *wire // below TLS
}

func newPeer(t testing.TB, c *rawconn.Conn) *peer {
	return &peer{Conn: c, t: t, TCPConn: c.Conn.(*net.TCPConn)}
}

// Reset closes the connection with a RST, below TLS.
func (p *peer) Reset() {
	p.TCPConn.SetLinger(0)
	p.TCPConn.Close()
}

// client connects; to a rig with TLS, by way of a CONNECT.
func (r *rig) client() *peer {
	r.t.Helper()
	p := r.plainClient()
	if r.tls != nil {
		p.Send(connectRequest)
		p.Expect(established)
		p.handshake(tls.Client)
	}
	return p
}

func (r *rig) plainClient() *peer {
	r.t.Helper()
	return r.dialTo(r.front)
}

func (r *rig) dialTo(addr string) *peer {
	r.t.Helper()
	return newPeer(r.t, rawconn.Dial(r.t, addr))
}

// handshake starts TLS in the role of a client or server.
func (p *peer) handshake(role func(net.Conn, *tls.Config) *tls.Conn) {
	p.t.Helper()
	cfg := testTLS().Clone()
	cfg.ServerName, cfg.InsecureSkipVerify = "h", true
	cfg.DynamicRecordSizingDisabled = true // small records would split what a test sends in one piece
	p.wire = &wire{Conn: p.TCPConn}
	tc := role(p.wire, cfg)
	require.NoError(p.t, tc.Handshake(), "TLS")
	p.Conn = p.Within(tc)
}

// upstream waits for the relay to connect.
func (r *rig) upstream() *peer {
	r.t.Helper()
	p := newPeer(r.t, rawconn.Accept(r.t, r.back))
	if r.upTLS {
		p.handshake(tls.Server)
	}
	return p
}

// begin sends a request and returns both ends once the upstream has it.
func (r *rig) begin(request string) (c, up *peer) {
	r.t.Helper()
	c = r.client()
	c.Send(request)
	up = r.upstream()
	up.Expect(request)
	return c, up
}

// connecting sends a request, and returns once the upstream is connected to, which lasts
// until it is given up.
func (r *rig) connecting(request string) *peer {
	r.t.Helper()
	dialing := make(chan struct{})
	r.dial = func(ctx context.Context) (net.Conn, error) {
		close(dialing)
		<-ctx.Done()
		return nil, ctx.Err()
	}
	c := r.client()
	c.Send(request)
	<-dialing
	return c
}

// serves makes a call on a new connection, and returns both ends.
func (r *rig) serves() (c, up *peer) {
	r.t.Helper()
	c = r.client()
	c.Send(getRequest)
	return c, r.answers(c)
}

// answers waits for the relay to connect, responds to getRequest, which c sent, and returns
// the upstream's end.
func (r *rig) answers(c *peer) (up *peer) {
	r.t.Helper()
	up = r.upstream()
	up.Expect(getRequest)
	up.Deliver(okResponse, c)
	r.ends(EndComplete)
	return up
}

// calls makes another call on a connection.
func (r *rig) calls(c, up *peer) {
	r.t.Helper()
	c.Deliver(getRequest, up)
	up.Deliver(okResponse, c)
	r.ends(EndComplete)
}

// accepts waits until the server has accepted so many connections.
func (r *rig) accepts(n int64) {
	r.t.Helper()
	rawconn.Await(r.t, func() bool { return r.srv.Stats().Accepted >= n }, "%d connections are not accepted", n)
}

// drains waits until the server drains.
func (r *rig) drains() {
	r.t.Helper()
	rawconn.Await(r.t, r.srv.draining.Load, "the server does not drain")
}

// isEmpty waits until the server has no pairs, and none of their buffers.
func (r *rig) isEmpty() {
	r.t.Helper()
	var s Stats
	rawconn.Await(r.t, func() bool {
		s = r.srv.Stats()
		return s.OpenClients == 0 && s.OpenUpstreams == 0 && s.BufferBytes == 0
	}, "left behind: %+v", &s)
}

// intake is how the rig's connections are taken.
func (r *rig) intake(hello bool) Intake {
	return Intake{
		NewHandler: func(netip.AddrPort) Handler { return &testHandler{rig: r} },
		Hello:      hello,
		Busy:       []byte("HTTP/1.1 503 Busy\r\n\r\n"),
	}
}
