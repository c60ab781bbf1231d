package relay

import (
	"bytes"
	"slices"
)

// deliver has the machine receive what a loop read, as a loop does before it informs
// the machine of anything else. It reports whether there was something.
func (s *sim) deliver() (some bool) {
	if s.prog.arrived > 0 && s.conn != nil && s.conn.arrived == 0 && s.m.paused(s.now) {
		s.readNow(upstream)
	}
	for from := program; from <= upstream; from++ {
		if p := s.peer(from); p != nil && p.arrived > 0 {
			n := p.arrived
			p.arrived = 0
			s.m.received(from, n, s.now)
			s.mayBeginToSend()
			some = true
		}
	}
	return some
}

// read has the machine read from a side.
func (s *sim) read(from side) bool {
	return s.deliver() || s.readNow(from)
}

func (s *sim) readNow(from side) bool {
	p := s.peer(from)
	if p == nil {
		return false
	}
	if p.reading == nil {
		if !s.blocking && len(p.out) == 0 && p.fin == receiving && !s.g.chance(5) {
			return false
		}
		b := s.m.space(from)
		if b == nil {
			return false
		}
		if len(b) == 0 {
			return s.fail("no room to read into")
		}
		for _, at := range []int{0, len(b) / 2, len(b) - 1} {
			b[at] = '#' // a read may write to all of it at any time
		}
		p.reading = b
		if s.blocking {
			s.logf("a read from %d of up to %d", from, len(b))
			return true
		}
	}
	if len(p.out) == 0 && p.fin == receiving {
		if !s.blocking {
			p.reading = nil
			s.m.nothing(from)
		}
		return false
	}
	b := p.reading
	p.reading = nil
	n := 0
	if len(p.out) > 0 {
		n = copy(b, p.out[:s.some(len(p.out))])
		if from == upstream {
			s.conn.read = append(s.conn.read, b[:n]...)
		}
		p.out = p.out[n:]
		s.logf("%d bytes from %d", n, from)
		if !s.blocking && s.g.chance(50) { // a loop reads from others first
			s.m.compact(from, n)
			p.arrived = n
			if s.kind == simWild && s.g.chance(20) {
				s.misfortune()
			}
			return true
		}
		s.m.received(from, n, s.now)
		if !s.blocking || s.g.chance(80) {
			return true
		}
	}
	if len(p.out) > 0 || p.fin == receiving || s.peer(from) != p {
		return true
	}
	// A read may have bytes and the end at once.
	if n == 0 {
		s.m.nothing(from)
	}
	s.logf("the end (%d) from %d", p.fin, from)
	s.noteEnd(from, p.fin)
	s.m.ended(from, p.fin, s.now)
	return true
}

func (s *sim) noteEnd(from side, how reception) {
	if from == program {
		s.progEnded = true
	} else {
		s.upGone = how
	}
}

// write takes what the machine has for a side.
func (s *sim) write(to side) bool {
	s.deliver()
	p := s.peer(to)
	if p == nil || p.stuck {
		return false
	}
	if p.writing == nil {
		b := s.m.pending(to)
		if len(b) == 0 || s.m.over() {
			return false
		}
		if !s.verify(to, b) {
			return false
		}
		p.writing = b
		p.before = append(p.before[:0], b...)
		if s.blocking {
			s.m.flows[to.other()].writing = true
			return true
		}
	}
	b := p.writing
	p.writing = nil
	if !bytes.Equal(b, p.before) {
		return s.fail("memory that is being written was changed")
	}
	n := len(b)
	refused := p.fin == receivedReset
	switch {
	case refused:
		n = 0
	case !s.blocking:
		n = s.some(n)
	}
	if n > 0 {
		s.logf("%d bytes to %d", n, to)
		s.took(to, b[:n])
		if s.m.over() {
			return true
		}
		s.m.wrote(to, n, s.now)
		if to == upstream && s.state == simSending {
			s.fail("the handler does not know that the request is sent")
		}
	}
	if refused && !s.m.over() && s.peer(to) == p {
		s.logf("%d takes no more", to)
		s.noteRefused(to)
		s.m.refused(to, s.now)
	}
	return true
}

func (s *sim) noteRefused(to side) {
	if to == program {
		s.progEnded = true
	}
}

const (
	closeLine   = "Connection: close\r\n"
	continue100 = "HTTP/1.1 100 Continue\r\n\r\n"
)

// verify compares what is to be written with what should be.
func (s *sim) verify(to side, b []byte) bool {
	if to == upstream {
		c := s.conn
		if !bytes.HasPrefix(c.want[c.got:], b) {
			return s.fail("upstream: at %d, %.100q is sent, want %.100q", c.got, b, c.want[c.got:])
		}
		return true
	}
	if len(s.m.flows[upstream].lead) > 0 {
		if len(s.own) == 0 && s.cur != nil && s.cur.held && s.cur.expects && !s.toldOwn {
			s.own, s.toldOwn = []byte(continue100), true
		}
		if !bytes.HasPrefix(s.own, b) {
			return s.fail("program: our own response %.100q is sent, want %.100q", b, s.own)
		}
		return true
	}
	if len(s.own) > 0 {
		return s.fail("program: our own response %.100q was not sent whole", s.own)
	}
	if s.conn == nil {
		return s.fail("program: %.100q comes from nowhere", b)
	}
	_, _, ok := s.fromUpstream(b)
	return ok
}

// fromUpstream compares what is to be written to the program with what came
// from the upstream. It returns how much of that it was, and how much of a field
// that is added to a head is sent then.
func (s *sim) fromUpstream(b []byte) (n, added int, ok bool) {
	c := s.conn
	at, added := c.passed, c.added
	for len(b) > 0 {
		if added > 0 || b[0] == closeLine[0] && s.drained && slices.Contains(c.blanks, at) {
			k := min(len(closeLine)-added, len(b))
			if string(b[:k]) != closeLine[added:added+k] {
				return 0, 0, s.fail("program: %.60q is sent as a field", b)
			}
			added, b = (added+k)%len(closeLine), b[k:]
			continue
		}
		n := len(b)
		for _, blank := range c.blanks {
			if blank > at {
				n = min(n, blank-at)
			}
		}
		if at+n > len(c.read) || !bytes.Equal(c.read[at:at+n], b[:n]) {
			return 0, 0, s.fail("program: at %d of the upstream's, %.100q is sent, want %.100q", at, b[:n], c.read[min(at, len(c.read)):min(at+n, len(c.read))])
		}
		at, b = at+n, b[n:]
	}
	return at - c.passed, added, true
}

// took learns what a side has taken.
func (s *sim) took(to side, b []byte) {
	if to == upstream {
		s.conn.got += len(b)
		return
	}
	s.written += int64(len(b))
	s.progGot += len(b)
	if len(s.own) > 0 {
		s.own = s.own[len(b):]
		return
	}
	if s.conn == nil { // the connection was given up while this was written
		return
	}
	n, added, _ := s.fromUpstream(b)
	s.conn.passed += n
	s.conn.added = added
}

// settle carries out what the machine wants done, and checks it.
func (s *sim) settle() {
	for s.err == nil {
		s.mayBeginToSend()
		e := s.m.take()
		if e == 0 {
			break
		}
		s.logf("effects %06b, stage %d", e, s.m.stage)
		if e&effectDropUpstream != 0 {
			s.drop()
		}
		if e&effectEndUpstream != 0 && s.conn != nil {
			if s.conn.ended {
				s.fail("FIN was sent twice")
			}
			s.conn.ended = true
		}
		if e&effectCancelDial != 0 {
			if !s.dialing {
				s.fail("no dial to cancel")
			}
			s.cancels = true
		}
		if e&effectDial != 0 {
			if s.dialing || s.conn != nil {
				s.fail("a dial too many")
			}
			s.dialing = true
			if s.state == simRouted {
				s.state = simDialed
			}
		}
		if e&effectConnect != 0 {
			s.connect()
		}
	}
	s.check()
}

func (s *sim) drop() {
	c := s.conn
	if c == nil {
		s.fail("no upstream connection to drop")
		return
	}
	if c.fin != receiving && s.m.got[upstream] != receiving && s.m.stage < stageRelay {
		s.replaced++
	}
	s.zombies = append(s.zombies, simZombie{c.reading, c.writing, c.before})
	s.conn = nil
}

// connect goes on with a CONNECT in place of those who drive a machine.
func (s *sim) connect() {
	if s.m.flows[program].reading != nil {
		s.fail("the program is read while its CONNECT is routed")
	}
	switch s.g.IntN(3) {
	case 0:
		s.logf("CONNECT fails")
		s.m.refuse(errTest)
	case 1:
		s.logf("CONNECT to us")
		s.state = simNone
		s.progGot += len(established)
		s.m.now = s.now
		s.m.notified = noticeDone
		s.dones++
		s.m.next()
	case 2:
		s.logf("CONNECT is tunnelled")
		s.state = simSent
		s.m.now = s.now
		s.m.report(EndComplete)
		s.m.forget()
		s.m.stage = stageOver
		return
	}
	s.m.advance()
}
