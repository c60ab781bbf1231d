package relay

import (
	"errors"
	"time"
)

// drain closes the connections if no exchange runs; one that runs will be the
// last.
func (m *machine) drain(now time.Time) {
	m.now = now
	if m.stage == stageIdle || m.stage == stageHead {
		m.forget() // a part of a head is not worth waiting for
		m.closeBoth(closeFIN, closeFIN)
	}
}

// yield closes the connections if no request is on its way, or only a part of its head
// after Timeouts.MakeRoom.
func (m *machine) yield(now time.Time) {
	m.now = now
	switch {
	case m.at.unread():
	case m.stage == stageIdle, m.stage == stageHead && now.Sub(m.x.Start) >= m.s.cfg.Timeouts.MakeRoom:
		m.s.counters.reclaimed.Add(1)
		m.forget()
		m.closeBoth(closeFIN, closeFIN)
	}
}

// kill gives up whatever runs.
func (m *machine) kill(now time.Time) {
	m.now, m.killed = now, true
	if m.stage == stageDial && !m.cancelDial() {
		return
	}
	switch {
	case m.stage == stageRefuse:
		m.report(EndRefused)
	case m.active():
		m.report(EndStopped)
	}
	m.closeBoth(closeReset, closeReset)
}

// cancelDial gives up connecting. It reports false if a dial runs, which has to end
// before the exchange: it uses it.
func (m *machine) cancelDial() bool {
	if m.effects&effectDial != 0 {
		m.effects &^= effectDial
		return true
	}
	m.effects |= effectCancelDial
	return false
}

// active reports whether the handler waits for the end of an exchange.
func (m *machine) active() bool {
	return m.x != nil && m.x.in != nil && m.notified != noticeDone && m.stage != stageHold
}

// deadline returns when to call expired, and whether to at all.
func (m *machine) deadline() (time.Time, bool) {
	from, d := m.since, time.Duration(0)
	limits := &m.s.cfg.Timeouts
	switch m.stage {
	case stageIdle:
		d = limits.ClientIdle
	case stageHead:
		from, d = m.x.Start, limits.ReadHead
	case stageRelay:
		d = limits.Response
		switch {
		case len(m.pending(program)) > 0, len(m.pending(upstream)) > 0, m.request == requestPassing:
			d = limits.Stall
		case m.response == responseRaw:
			d = limits.Unframed
		}
	case stageHold, stageOutlast, stageRefuse, stageLast:
		d = limits.Stall
	case stageUnasked:
		d = limits.Unframed
	case stageLinger:
		d = limits.Linger
	}
	return from.Add(d), d > 0
}

// expired reports that the deadline is past.
func (m *machine) expired(now time.Time) {
	m.now = now
	switch m.stage {
	case stageRelay:
		switch {
		case len(m.pending(program)) > 0:
			m.report(EndCanceled)
			m.closeBoth(closeReset, closeReset)
		case len(m.pending(upstream)) == 0 && m.request == requestPassing:
			m.report(EndCanceled)
			m.closeBoth(closeReset, closeReset)
		case m.response == responseRaw:
			m.leave(m.rawEnd(), closeFIN, closeFIN)
		default:
			m.leave(EndTimeout, closeFIN, closeFIN)
		}
	case stageOutlast:
		m.closeBoth(closeReset, closeReset)
	case stageRefuse:
		m.report(EndRefused)
		m.closeBoth(closeReset, closeReset)
	case stageLast:
		m.report(m.end)
		m.closeBoth(closeReset, closeReset)
	case stageIdle:
		m.reportSecured(errIdle)
		m.closeBoth(closeFIN, closeFIN)
	default:
		m.closeBoth(closeFIN, closeFIN)
	}
	m.advance()
}

var errIdle = errors.New("the program sent no request")
