package relay

import (
	"bytes"
	"context"
	"errors"
	"net/netip"
	"slices"
	"strings"
)

// misfortune makes something happen that neither side has planned.
func (s *sim) misfortune() {
	switch s.g.IntN(13) {
	case 0:
		s.endProgram()
	case 1, 2:
		s.endUpstream()
	case 3:
		s.prog.stuck = !s.prog.stuck
	case 4:
		if s.conn != nil {
			s.conn.stuck = !s.conn.stuck
		}
	case 5:
		s.passTime(false)
	case 6:
		s.passTime(true)
	case 7:
		if s.g.chance(30) {
			s.kill()
		}
	case 8:
		if s.g.chance(50) && !s.drained {
			s.logf("drain")
			s.drained = true
			s.srv.draining.Store(true)
			s.deliver()
			s.m.drain(s.now)
		}
	case 9:
		if !s.roomy {
			s.logf("memory limit")
			s.srv.bufs.limit = int64(s.g.IntN(2))
		}
	case 10:
		if s.conn != nil && s.conn.fin == receiving && s.g.chance(30) {
			s.logf("unasked bytes")
			for i, at := range s.conn.blanks {
				if at >= s.conn.sent { // it comes within a response
					s.conn.blanks[i] += len("unasked")
				}
			}
			s.conn.send("unasked")
		}
	case 11:
		s.scribble()
	case 12:
		s.yield()
	}
}

var junk = bytes.Repeat([]byte("!"), 2*largeBuffer)

// scribble writes over the memory that the machine has given back.
func (s *sim) scribble() {
	bufs := &s.srv.bufs
	limit := bufs.limit
	bufs.limit = 0
	free := []*buffer{bufs.getSmall(), bufs.getSmall(), bufs.getSmall(), bufs.getLarge(), bufs.getLarge(), bufs.getLarge(), bufs.getTail()}
	for i, b := range free {
		if slices.Contains(free[:i], b) {
			s.fail("memory was given back twice")
			return
		}
	}
	bufs.limit = limit
	for _, b := range free {
		copy(b.b, junk)
		bufs.put(b)
	}
	for _, z := range s.zombies {
		copy(z.reading, junk)
		if z.writing != nil && !bytes.Equal(z.writing, z.before) {
			s.fail("memory that is being written was changed")
		}
	}
}

func (s *sim) kill() {
	s.logf("kill")
	s.killed = true
	s.deliver()
	s.m.kill(s.now)
}

func (s *sim) yield() {
	s.logf("yield")
	s.deliver()
	before, used := s.m.stage, s.unread()
	switch before {
	case stageIdle:
	case stageHead:
		used = used || s.now.Sub(s.m.x.Start) < s.m.s.cfg.Timeouts.MakeRoom
	default:
		used = true
	}
	if s.m.yield(s.now); used != (s.m.stage == before) {
		s.fail("yields in stage %d, where a request is on its way: %v", before, used)
	}
}

func (s *sim) endProgram() {
	if s.prog.fin != receiving {
		return
	}
	s.prog.fin = pick(s.g, []reception{receivedEnd, receivedCut, receivedReset, receivedReset})
	s.logf("the program ends: %d", s.prog.fin)
	s.sent = len(s.stream)
	if s.prog.fin == receivedReset {
		s.prog.out, s.prog.stuck = nil, false
		if !s.blocking {
			s.deliver()
			s.progEnded = true
			s.m.ended(program, receivedReset, s.now) // as the system reports an error
		}
	}
}

func (s *sim) endUpstream() {
	if s.conn == nil || s.conn.fin != receiving {
		return
	}
	s.conn.fin = pick(s.g, []reception{receivedEnd, receivedCut, receivedReset})
	s.logf("the upstream ends: %d", s.conn.fin)
	if s.conn.fin == receivedReset {
		s.conn.stuck = false
		if s.g.chance(50) {
			s.conn.out = nil
		}
	}
}

// passTime moves the clock: past the deadline, or by less.
func (s *sim) passTime(far bool) {
	s.deliver()
	at, limited := s.m.deadline()
	switch {
	case s.dialing && far:
		s.dialEnds(errors.New("timeout"))
		return
	case !limited:
		return
	case !far:
		s.now = s.now.Add(at.Sub(s.now) / 2)
		return
	}
	s.now = at
	s.logf("expired in stage %d", s.m.stage)
	s.expired = true
	s.m.expired(s.now)
}

// programSends has the program send more, as far as it does not wait for a
// response.
func (s *sim) programSends() bool {
	limit := len(s.stream)
	for i := s.dones + 1; i < len(s.script); i++ {
		if s.waits[i] {
			limit = s.starts[i]
			break
		}
	}
	if s.prog.fin != receiving || s.sent >= limit {
		return false
	}
	n := s.some(limit - s.sent)
	s.prog.out = append(s.prog.out, s.stream[s.sent:s.sent+n]...)
	s.sent += n
	return true
}

// some returns a number from 1 to n: often one of the two, or close to it.
func (s *sim) some(n int) int {
	switch s.g.IntN(6) {
	case 0:
		return 1
	case 1:
		return max(1, n-1)
	case 2, 3:
		return n
	}
	return 1 + s.g.IntN(min(n, pick(s.g, []int{10, 1000, 100_000})))
}

func (c *simConn) send(b string) {
	c.out = append(c.out, b...)
	c.sent += len(b)
}

// upstreamAnswers has the upstream answer as much of the first unanswered
// request as it has got.
func (s *sim) upstreamAnswers() bool {
	c := s.conn
	if c == nil || c.fin != receiving {
		return false
	}
	for i := range c.turns {
		t := &c.turns[i]
		a, got := &t.p.response, c.got-t.start
		if t.answered == len(a.raw) && a.raw != "" {
			continue
		}
		to := 0
		switch {
		case a.raw == "":
			return false
		case t.p.early > 0 && got >= t.p.early, got >= len(t.p.want), c.ended && s.g.chance(20):
			to = len(a.raw)
		case t.p.expects && got >= t.p.head:
			to = a.head
		}
		if to <= t.answered {
			return false
		}
		if t.answered == 0 && a.blank >= 0 {
			c.blanks = append(c.blanks, c.sent+a.blank)
		}
		if s.g.chance(50) { // a slow one
			to = t.answered + s.some(to-t.answered)
		}
		c.send(a.raw[t.answered:to])
		t.answered = to
		if to == len(a.raw) {
			c.send(a.excess)
			if a.untilClose || a.kind == unreadable {
				c.fin = receivedEnd
			}
		}
		return true
	}
	return false
}

func (s *sim) dials() bool {
	if !s.dialing || s.kind == simWild && s.g.chance(50) && !s.cancels {
		return false
	}
	switch {
	case s.cancels:
		s.dialEnds(context.Canceled)
	case s.cur.dialErr, s.kind == simWild && s.g.chance(5):
		s.dialEnds(errors.New("refused"))
	default:
		s.dialEnds(nil)
	}
	return true
}

func (s *sim) dialEnds(err error) {
	s.logf("dial ends: %v", err)
	s.deliver()
	s.dialing, s.cancels = false, false
	if err != nil {
		s.m.notDialed(err, s.now)
		return
	}
	s.conn = &simConn{key: s.cur.route.Key}
	s.m.dialed(netip.AddrPortFrom(netip.IPv4Unspecified(), 80), s.now)
}

func (s *sim) peer(of side) *simPeer {
	if of == program {
		return &s.prog
	}
	if s.conn == nil {
		return nil
	}
	return &s.conn.simPeer
}

// isLong reports whether the head of a response has more bytes than that of a request may
// have. Where there is no memory for it, it is not read.
func isLong(response string) bool { return strings.Index(response, "\r\n\r\n") > simHeadBytes }
