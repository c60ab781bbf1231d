package relay

import (
	"context"
	"crypto/tls"
	"errors"
	"flag"
	"io"
	"net"
	"net/netip"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

func TestMain(m *testing.M) {
	flag.Set("test.parallel", "8") // the tests wait for sockets more than they compute
	goleak.VerifyTestMain(m)
}

// patience is how long a test waits for what must come.
const patience = 10 * time.Second

// rig is a server between a test that plays the client and the same test
// playing the upstream, each with raw sockets.
type rig struct {
	looping bool // redirected connections are bound for where they arrive
	t       testing.TB
	srv     *Server
	front   string
	// where clients begin with TLS
	frontTLS string
	back     *net.TCPListener
	reported chan note // of each Done
	dials    atomic.Int64

	secured chan error  // of each Secured
	tls     *tls.Config // that clients are served under, within a CONNECT
	upTLS   bool        // the upstream speaks TLS

	// What the handlers do; nil is the usual.
	route   func(x *Exchange) (Route, error)
	dial    func(ctx context.Context) (net.Conn, error)
	sending func(x *Exchange)
	wrap    func(nc net.Conn) net.Conn // of the connection to a TLS upstream
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
}

// inTime is a timeout within which a busy machine does what comes before the
// silence that a test waits for.
const inTime = 300 * time.Millisecond

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
	if injectNext != nil { // not in a parallel test
		r.srv.inject, injectNext = injectNext, nil
	}
	r.back = listen(t)
	ln := listen(t)
	r.front = ln.Addr().String()
	lnTLS := listen(t)
	r.frontTLS = lnTLS.Addr().String()
	served := make(chan error, 2)
	go func() { served <- r.srv.Serve(ln, r.intake(false)) }()
	go func() { served <- r.srv.Serve(lnTLS, r.intake(true)) }()
	t.Cleanup(func() {
		ctx, cancel := context.WithTimeout(context.Background(), time.Millisecond)
		defer cancel()
		r.srv.Shutdown(ctx)
		for range 2 {
			if err := <-served; err != nil {
				t.Errorf("Serve: %v", err)
			}
		}
		r.back.Close()
	})
	return r
}

func listen(t testing.TB) *net.TCPListener {
	t.Helper()
	ln, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return ln.(*net.TCPListener)
}

type testHandler struct {
	rig   *rig
	began bool
}

func (h *testHandler) Route(x *Exchange) (Route, error) {
	if x.Request.Form == http1.FormAuthority {
		return Route{Key: Key{Host: "h", Port: 443}, TLS: h.rig.tls}, nil
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

func (h *testHandler) Sending(x *Exchange) {
	h.began = true
	if h.rig.sending != nil {
		h.rig.sending(x)
	}
}

func (h *testHandler) Refuse(dst []byte, _ *Exchange, err error, close bool) []byte {
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
		firstByte: !x.FirstByte.IsZero(), upstreamKnown: x.Upstream.IsValid(),
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
	select {
	case n := <-r.reported:
		return n
	case <-time.After(patience):
		r.t.Fatal("the end was not reported to the handler")
		return note{}
	}
}

func (r *rig) ends(want End) note {
	r.t.Helper()
	n := r.done()
	if n.end != want {
		r.t.Fatalf("end = %d, want %d", n.end, want)
	}
	return n
}

// peer is one side's raw socket, or TLS on it.
type peer struct {
	t testing.TB
	*net.TCPConn
	tls  *tls.Conn
	wire *wire // below tls
}

func (p *peer) Read(b []byte) (int, error) {
	if p.tls != nil {
		return p.tls.Read(b)
	}
	return p.TCPConn.Read(b)
}

func (p *peer) Write(b []byte) (int, error) {
	if p.tls != nil {
		return p.tls.Write(b)
	}
	return p.TCPConn.Write(b)
}

func (p *peer) CloseWrite() error {
	if p.tls != nil {
		return p.tls.CloseWrite()
	}
	return p.TCPConn.CloseWrite()
}

func (p *peer) Close() error {
	if p.tls != nil {
		return p.tls.Close()
	}
	return p.TCPConn.Close()
}

// client connects; to a rig with TLS, by way of a CONNECT.
func (r *rig) client() *peer {
	r.t.Helper()
	p := r.plainClient()
	if r.tls != nil {
		p.send(connectRequest)
		p.expect(established)
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
	nc, err := net.Dial("tcp", addr)
	if err != nil {
		r.t.Fatal(err)
	}
	return newPeer(r.t, nc)
}

// handshake starts TLS in the role of a client or server.
func (p *peer) handshake(role func(net.Conn, *tls.Config) *tls.Conn) {
	p.t.Helper()
	cfg := testTLS().Clone()
	cfg.ServerName, cfg.InsecureSkipVerify = "h", true
	cfg.DynamicRecordSizingDisabled = true // small records would split what a test sends in one piece
	p.wire = &wire{Conn: p.TCPConn}
	p.tls = role(p.wire, cfg)
	if err := p.tls.Handshake(); err != nil {
		p.t.Fatalf("TLS: %v", err)
	}
}

// upstream waits for the relay to connect.
func (r *rig) upstream() *peer {
	r.t.Helper()
	r.back.SetDeadline(time.Now().Add(patience))
	nc, err := r.back.Accept()
	if err != nil {
		r.t.Fatalf("the relay did not connect: %v", err)
	}
	p := newPeer(r.t, nc)
	if r.upTLS {
		p.handshake(tls.Server)
	}
	return p
}

func newPeer(t testing.TB, nc net.Conn) *peer {
	nc.SetDeadline(time.Now().Add(patience))
	t.Cleanup(func() { nc.Close() })
	return &peer{t: t, TCPConn: nc.(*net.TCPConn)}
}

func (p *peer) send(s string) {
	p.t.Helper()
	if _, err := io.WriteString(p, s); err != nil {
		p.t.Fatalf("send: %v", err)
	}
}

// expect reads as much as want and compares.
func (p *peer) expect(want string) {
	p.t.Helper()
	got := make([]byte, len(want))
	n, err := io.ReadFull(p, got)
	if string(got[:n]) != want {
		p.t.Fatalf("got %.300q (%v)\nwant %.300q", got[:n], err, want)
	}
}

// expectEnd reads to the end and wants nothing but a FIN.
func (p *peer) expectEnd() {
	p.t.Helper()
	rest, err := io.ReadAll(p)
	if err != nil || len(rest) > 0 {
		p.t.Fatalf("got %q, %v; want the end", rest, err)
	}
}

// expectReset wants nothing but a RST.
func (p *peer) expectReset() {
	p.t.Helper()
	rest, err := io.ReadAll(p)
	if !errors.Is(err, syscall.ECONNRESET) || len(rest) > 0 {
		p.t.Fatalf("got %q, %v; want a reset", rest, err)
	}
}

func (p *peer) reset() {
	p.SetLinger(0)
	p.TCPConn.Close()
}

// expectNothing checks that no bytes are ready to be read.
func (p *peer) expectNothing() {
	p.t.Helper()
	p.SetReadDeadline(past)
	defer p.SetReadDeadline(time.Now().Add(patience))
	var one [1]byte
	if n, err := p.Read(one[:]); n > 0 || !isTimeout(err) {
		p.t.Fatalf("got %q, %v; want nothing", one[:n], err)
	}
}

// intake is how the rig's connections are taken.
func (r *rig) intake(hello bool) Intake {
	return Intake{
		NewHandler: func(netip.AddrPort) Handler { return &testHandler{rig: r} },
		Hello:      hello,
		Busy:       []byte("HTTP/1.1 503 Busy\r\n\r\n"),
	}
}
