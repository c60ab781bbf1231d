package relay

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

// begin takes up the next request of the script.
func (s *sim) begin(x *Exchange) {
	if s.state != simNone {
		s.fail("an exchange begins before the end of another")
	}
	if s.last {
		s.fail("an exchange begins after %.100q, which was to be the last", s.cur.raw)
	}
	if s.at == len(s.script) {
		s.fail("a request that the program did not send")
		s.cur = &plan{}
		return
	}
	s.cur = s.script[s.at]
	s.at++
	s.own, s.toldOwn, s.written, s.expired = nil, false, 0, false
	s.upGone = receiving
	s.logf("request %d: %.60q", s.at-1, s.cur.raw)
	if x.RequestBytes == 0 {
		s.fail("a request without bytes")
	}
}

func (s *sim) Route(x *Exchange) (Route, error) {
	s.begin(x)
	p := s.cur
	s.state = simRouted
	if m := string(x.Request.Method()); !strings.HasPrefix(p.raw[p.skip:], m+" ") {
		s.fail("%q is routed, want %.50q", m, p.raw)
	}
	if p.status != 0 && p.routeErr == nil && !p.broken {
		s.fail("a request that was to be refused is routed: %.100q", p.raw)
	}
	if p.routeErr != nil && !p.held {
		return Route{}, p.routeErr
	}
	route := p.route
	if p.held {
		s.held = true
		route.Rewrite = func(dst []byte, _ *Exchange, body []byte) ([]byte, error) {
			if string(body) != p.body {
				s.fail("a body of %d bytes is shown, want %d", len(body), len(p.body))
			}
			return append(dst, p.rewrite...), p.routeErr
		}
	}
	return route, nil
}

func (s *sim) Dial(context.Context, *Exchange) (net.Conn, error) { panic("not called by a machine") }

// mayBeginToSend takes up the request if the machine is about to send it.
func (s *sim) mayBeginToSend() {
	if s.m.stage != stageRelay || s.state != simRouted && s.state != simDialed {
		return
	}
	p, c, x := s.cur, s.conn, s.m.x
	s.state = simSending
	switch {
	case c == nil:
		s.fail("sending nowhere")
		return
	case c.key != p.route.Key && len(c.turns) > 0:
		s.fail("sending to %v, want %v", c.key, p.route.Key)
	case c.got != len(c.want):
		s.fail("sending after %d bytes of %d", c.got, len(c.want))
	case p.want == "" || p.routeErr != nil:
		s.fail("sending what was to be refused: %.100q", p.raw)
	}
	c.key = p.route.Key // a connection made early is for the first request
	c.turns = append(c.turns, simTurn{p: p, start: len(c.want)})
	c.want = append(c.want, p.want...)
	s.passedAt = c.passed
	if got := string(x.Request.Method()); got != p.method && !p.held {
		s.fail("method %q, want %q", got, p.method)
	}
}

func (s *sim) Sent(*Exchange) {
	c := s.conn
	if s.state != simSending || c.got <= c.turns[len(c.turns)-1].start {
		s.fail("nothing was sent in state %d", s.state)
	}
	s.state = simSent
}

func (s *sim) Refuse(dst []byte, x *Exchange, err error, close bool) []byte {
	if s.state == simNone {
		s.begin(x)
	}
	if s.state == simSending || s.state == simSent || s.state == simRefused {
		s.fail("refused in state %d", s.state)
	}
	p := s.cur
	refusal, ok := errors.AsType[*http1.RefusalError](err)
	switch {
	case s.state == simRouted && (p.status != 0 || p.broken || p.routeErr != nil || p.connect):
	case s.state == simDialed:
	case errors.Is(err, ErrNoBuffers) && s.srv.bufs.limit > 0: // a large request
		p.denied = true
	case s.state == simRouted && s.kind == simWild && p.held:
	case p.status == 0 || !ok || refusal.Status != p.status && !p.broken:
		s.fail("refused for %v: %.200q", err, p.raw)
	}
	s.state = simRefused
	response := fmt.Sprintf("HTTP/1.1 500 Refused\r\nN: %d\r\nContent-Length: 0\r\n\r\n", s.at)
	s.logf("refused: %v (close %v)", err, close)
	if len(s.own) == 0 && p.held && p.expects && string(dst) == continue100 {
		s.own, s.toldOwn = []byte(continue100), true
	}
	if !bytes.Equal(dst, s.own) {
		s.fail("the refusal goes behind %q, want %q", dst, s.own)
	}
	s.own = append(s.own, response...)
	return append(dst, response...)
}

func (s *sim) Secured(error) {}
func (s *sim) Plain()        {}

func (s *sim) Done(x *Exchange) {
	p, c := s.cur, s.conn
	s.logf("done: end %d, status %d", x.End, x.Response.Status)
	switch {
	case s.state == simSending, s.state == simSent, s.state == simRefused:
	case (s.state == simDialed || s.state == simRouted) && (x.End == EndCanceled || x.End == EndStopped):
	default:
		s.fail("done in state %d, end %d", s.state, x.End)
	}
	s.ends[x.End]++
	s.dones++
	x.ResponseBody() // as handlers do, however it ended
	x.ResponseTail()
	refused := s.state == simRefused
	s.state = simNone
	unasked := s.kind == simWild && c != nil && c.sent != s.planned(c)
	s.last = p.mustEnd(x.End, unasked)
	if s.err != nil || p.connect {
		return
	}
	if x.ResponseBytes != s.written {
		s.fail("%d bytes of a response counted, %d written", x.ResponseBytes, s.written)
	}
	if n := int64(len(p.raw) - p.skip); x.RequestBytes > n && p.want != "" && !p.broken {
		s.fail("%d bytes of a request counted, %d sent", x.RequestBytes, n)
	}
	s.causes(x, refused)
	if q := &x.Response; q.Status != 0 && c != nil {
		if line := q.Bytes()[:q.Rest()-q.Start()]; q.Status < 200 || !bytes.Contains(c.read, line) {
			s.fail("status %d is shown, as %q", q.Status, line)
		}
	}
	if refused || s.state == simDialed || c == nil || len(c.turns) == 0 {
		return
	}
	s.compare(x, p, c, unasked)
}

// causes checks that there was a reason for the end.
func (s *sim) causes(x *Exchange, refused bool) {
	p := s.cur
	ok := true
	switch x.End {
	case EndComplete:
		ok = !refused && p.response.kind != unreadable || s.kind == simWild
	case EndRefused:
		ok = refused
	case EndTimeout:
		ok = s.expired
	case EndReset:
		ok = s.upGone == receivedReset
	case EndClosed:
		ok = s.upGone == receivedEnd || s.upGone == receivedCut
	case EndBadResponse:
		ok = p.response.kind == unreadable && !p.response.tooLong || s.kind == simWild
	case EndHeadTooLong:
		ok = p.response.tooLong || s.kind == simWild
	case EndCanceled:
		ok = s.progEnded || p.broken || s.expired
	case EndStopped:
		ok = s.killed
	}
	if !ok {
		s.fail("end %d has no cause", x.End)
	}
}

// compare compares what is shown of an exchange with what was sent.
// unasked is whether the upstream sent something else than its responses.
func (s *sim) compare(x *Exchange, p *plan, c *simConn, unasked bool) {
	a := &p.response
	if x.End == EndComplete && !unasked && a.kind != unreadable && !a.untilClose {
		if n := c.passed - s.passedAt; n != len(a.raw) {
			s.fail("a response of %d bytes was whole after %d", len(a.raw), n)
		}
		if a.status != 0 && x.Response.Status != a.status {
			s.fail("status %d, want %d", x.Response.Status, a.status)
		}
	}
	if x.End == EndComplete && a.untilClose && c.passed != len(c.read) {
		s.fail("a response until close was whole after %d of %d bytes", c.passed, len(c.read))
	}
	b, whole := x.RequestBody()
	switch {
	case p.broken:
	case !strings.HasPrefix(p.body, string(b)):
		s.fail("the request's body is shown as %.60q, want %.60q", b, p.body)
	case whole && len(b) != len(p.body):
		s.fail("the request's body is shown whole with %d bytes, want %d", len(b), len(p.body))
	case x.requestDone && !whole && !x.Uninspected && len(p.raw) < smallBuffer/2 && len(p.body) <= x.limit && s.waitsFor(p):
		s.fail("a request's body of %d bytes is not shown whole", len(p.body))
	}
	if unasked || a.kind == unreadable || a.body == unknownBody || x.End != EndComplete {
		return
	}
	b, whole = x.ResponseBody()
	switch tail := x.ResponseTail(); {
	case !strings.HasPrefix(a.body, string(b)):
		s.fail("the response's body is shown as %.60q, want %.60q", b, a.body)
	case whole && len(b) != len(a.body) && !a.untilClose:
		s.fail("the response's body is shown whole with %d bytes, want %d", len(b), len(a.body))
	case !whole && !x.Uninspected && len(a.raw) < smallBuffer/2 && len(a.body) <= x.limit:
		s.fail("a response's body of %d bytes is not shown whole", len(a.body))
	case !a.untilClose && !strings.HasSuffix(a.body, string(tail)):
		s.fail("the end of the response's body is shown as %d bytes that it does not end with", len(tail))
	case !whole && !a.untilClose && len(a.body)-len(b) >= x.tail.size && len(tail) != x.tail.size:
		s.fail("%d bytes of the end of the response's body are shown, want %d", len(tail), x.tail.size)
	}
}

// waitsFor reports whether the program sent nothing before this request that
// was not answered: then it has a buffer of its own.
func (s *sim) waitsFor(p *plan) bool {
	i := slices.Index(s.script, p)
	return i >= 0 && s.waits[i]
}

// planned is what an upstream connection has sent, if it sent nothing without a
// request.
func (s *sim) planned(c *simConn) (n int) {
	for _, t := range c.turns {
		n += t.answered
	}
	return n
}
