package relay

import (
	"context"
	"net"
	"net/netip"
	"slices"
	"strings"
	"testing"
	"time"
)

// machineRig is a machine that a test drives call by call, as a driver would.
type machineRig struct {
	t testing.TB
	machine
	route    func(x *Exchange) (Route, error)
	ends     []End
	shown    []string // the request bodies
	answered []string // the response bodies
	tails    []string // their ends
	observed Exchange // the last one; only its times and numbers are valid

	uninspected bool   // the last exchange was, for want of memory
	cutHead     string // what was received of the last response's head, if that is incomplete
	refusal     error  // of the last request that was refused
	last        bool   // its response said that the connection would be closed
	ahead       bool   // bytes of the program lie ready to be read
}

func newMachine(t testing.TB) *machineRig {
	r := &machineRig{t: t}
	r.s = New(Config{Timeouts: DefaultTimeouts(), MaxHeadBytes: 64 << 10, InspectBytes: 64 << 10})
	r.h, r.at = r, r
	r.now = time.Unix(1, 0)
	r.since = r.now
	r.route = func(*Exchange) (Route, error) { return Route{Key: Key{Host: "h"}}, nil }
	return r
}

func (r *machineRig) Route(x *Exchange) (Route, error)                  { return r.route(x) }
func (r *machineRig) Dial(context.Context, *Exchange) (net.Conn, error) { panic("not called") }
func (r *machineRig) Sent(*Exchange)                                    {}
func (r *machineRig) Secured(error)                                     {}
func (r *machineRig) Plain()                                            {}
func (r *machineRig) broken() bool                                      { return false }
func (r *machineRig) unread() bool                                      { return r.ahead }

func (r *machineRig) Refuse(dst []byte, _ *Exchange, err error, last bool) []byte {
	r.refusal, r.last = err, last
	return append(dst, "refused"...)
}

func (r *machineRig) Done(x *Exchange) {
	body, _ := x.RequestBody()
	r.ends, r.shown = append(r.ends, x.End), append(r.shown, string(body))
	body, _ = x.ResponseBody()
	r.answered, r.tails = append(r.answered, string(body)), append(r.tails, string(x.ResponseTail()))
	r.observed = *x
	r.uninspected, r.cutHead = x.Uninspected, string(x.Broken)
}

// read has the machine read s from a side.
func (r *machineRig) read(from side, s string) {
	r.t.Helper()
	r.readBy(from, s, func(int) {})
}

// readBy is read, with what was read shown to between before the machine receives it.
func (r *machineRig) readBy(from side, s string, between func(n int)) {
	r.t.Helper()
	for len(s) > 0 {
		b := r.space(from)
		if b == nil {
			r.t.Fatalf("%.40q is not wanted", s)
		}
		n := copy(b, s)
		s = s[n:]
		between(n)
		r.received(from, n, r.now)
		if from == program && len(s) > 0 {
			r.written(upstream)
		}
	}
}

// written takes all that is to be written to a side.
func (r *machineRig) written(to side) string {
	var all strings.Builder
	for b := r.pending(to); len(b) > 0; b = r.pending(to) {
		all.Write(b)
		r.wrote(to, len(b), r.now)
	}
	return all.String()
}

func (r *machineRig) expect(to side, want string) {
	r.t.Helper()
	if got := r.written(to); got != want {
		r.t.Fatalf("%.100q is written, want %.100q", got, want)
	}
}

// connect has the dial that runs succeed.
func (r *machineRig) connect() {
	r.t.Helper()
	if r.take()&effectDial == 0 {
		r.t.Fatal("no dial runs")
	}
	r.dialed(netip.AddrPort{}, r.now)
}

// sends has the program's first request, or the beginning of one, be sent.
func (r *machineRig) sends(request string) {
	r.t.Helper()
	r.read(program, request)
	r.connect()
	r.expect(upstream, request)
}

func (r *machineRig) sendsFirst() {
	r.t.Helper()
	r.sends(getRequest)
}

// responds has the upstream's response be sent.
func (r *machineRig) responds() {
	r.t.Helper()
	r.read(upstream, okResponse)
	r.expect(program, okResponse)
}

func (r *machineRig) wantEnds(ends ...End) {
	r.t.Helper()
	if !slices.Equal(r.ends, ends) {
		r.t.Fatalf("exchanges ended as %v, want %v", r.ends, ends)
	}
}

// wantNothingTwice wants that no memory was given back twice.
func (r *machineRig) wantNothingTwice() {
	r.t.Helper()
	bufs := &r.s.bufs
	a, b, c := bufs.getSmall(), bufs.getSmall(), bufs.getSmall()
	if a == b || b == c || a == c {
		r.t.Error("memory was given back twice")
	}
}
