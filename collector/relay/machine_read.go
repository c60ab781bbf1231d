package relay

import (
	"time"
)

// space returns where to read what a side sends, or nil if nothing is wanted
// from it. A call is followed by one of received, nothing or ended.
func (m *machine) space(from side) []byte {
	if !m.wants(from) {
		return nil
	}
	f := &m.flows[from]
	f.reading = m.room(from)
	return f.reading.free()
}

// wants reports whether more is wanted from a side.
func (m *machine) wants(from side) bool {
	f := &m.flows[from]
	switch {
	case m.got[from] != receiving || f.reading != nil:
		return false
	case m.stage == stageLinger:
		return from == program
	case m.stage >= stageLast || m.stage == stageConnect || len(m.flows[from].pending()) > 0:
		return false
	case from == upstream:
		return m.conn != connNone && (!f.hasUnread() || m.stage == stageRelay && m.response == responseHead)
	}
	switch m.stage {
	case stageIdle, stageHead, stageHold:
		return true
	case stageDial: // the request cannot go anywhere yet
		return f.cur.w < len(f.cur.b) && m.bad == nil && (!m.req.Done || !f.hasUnread())
	}
	// Behind the request, one read shows whether the program is still there.
	return !f.hasUnread()
}

// room returns the buffer to read into. Nothing of it is pending.
func (m *machine) room(from side) *buffer {
	f, bufs := &m.flows[from], &m.s.bufs
	switch {
	case f.cur == nil && from == upstream && m.stage == stageRelay:
		f.kept = bufs.spare()
		f.cur = f.kept
		return f.cur
	case f.cur == nil:
		f.kept = bufs.getSmall()
		f.cur = f.kept
		return f.cur
	case m.stage == stageLinger:
		f.cur.reset()
		return f.cur
	}
	body := &m.req
	if from == upstream {
		body = &m.ans
	}
	switch passing := m.passing(from); {
	case !f.hasUnread() && from == upstream && m.stage == stageRelay && m.response == responseHead: // behind interim responses
		f.cur.reset()
	case f.cur == f.spill && !f.hasUnread():
		f.spill.reset()
		if from == upstream {
			m.tailed = headroom
		}
	case f.cur != f.spill && passing && len(f.cur.free()) < tightSpace && !body.Fits(len(f.cur.free())):
		f.spill = bufs.spare()
		f.cur = f.spill
		if from == upstream {
			m.tailed = headroom
		}
		m.x.Uninspected = m.x.Uninspected || len(f.kept.b) == smallBuffer
	case len(f.cur.free()) == 0: // behind a message that fills it to the brim
		f.spill = bufs.getSmall()
		f.cur = f.spill
	}
	return f.cur
}

// passing reports whether what a side sends belongs to a body.
func (m *machine) passing(from side) bool {
	switch {
	case m.stage != stageRelay && m.stage != stageOutlast:
		return false
	case from == program:
		return m.request == requestPassing
	}
	return m.response == responseBody
}

// nothing reports that a read into space had nothing.
func (m *machine) nothing(from side) {
	f := &m.flows[from]
	f.reading = nil
	m.trim(from)
}

// trim gives an empty buffer back.
func (m *machine) trim(from side) {
	f := &m.flows[from]
	if f.cur != nil && f.cur == f.kept && f.reading == nil && m.x == nil && f.cur.r == f.cur.w {
		m.s.bufs.put(f.cur)
		f.kept, f.cur = nil, nil
	}
}

// received reports that n bytes were read into space.
func (m *machine) received(from side, n int, now time.Time) {
	f := &m.flows[from]
	b := f.reading
	f.reading = nil
	if b == nil || b != f.cur { // of a connection that was closed
		return
	}
	m.now, m.since = now, now
	first := b.w == b.t
	b.w += n
	switch {
	case m.stage == stageLinger:
		return
	case from == upstream && m.x != nil && m.stage == stageRelay && m.response == responseHead && first:
		m.x.FirstByte = now
	}
	m.advance()
}

// compact moves the n bytes that were read into space, if they are few, from a large
// buffer to a small one. Drivers call it before received if they read from others
// first, which then use the large one.
func (m *machine) compact(from side, n int) {
	f := &m.flows[from]
	b := f.reading
	if b == nil || b != f.kept || b.w != headroom || len(b.b) == smallBuffer || n > smallBuffer-headroom {
		return
	}
	small := m.s.bufs.getSmall()
	copy(small.free(), b.free()[:n])
	m.s.bufs.put(b)
	f.kept, f.cur, f.reading = small, small, small
}

// ended reports that a side will send no more. A program that ended what it sends may
// still reset its connection.
func (m *machine) ended(from side, how reception, now time.Time) {
	f := &m.flows[from]
	f.reading = nil
	if got := m.got[from]; got != receiving && (from == upstream || how != receivedReset || got == receivedReset) {
		return
	}
	// A program that only half-closed its connection waits for the response. One that closed it
	// may be known by a reset later: the system asks with keep-alives.
	m.now, m.since = now, now
	m.got[from] = how
	if from == program {
		m.programEnded()
	} else {
		m.upstreamEnded()
	}
	m.advance()
}
