package relay

import (
	"io"
	"slices"
	"syscall"
	"time"
)

// report has the handler know the end of the exchange, once.
func (m *machine) report(end End) {
	if m.notified == noticeDone { // what is left of the request was still being sent
		return
	}
	m.notified = noticeDone
	x := m.x
	if m.flows[upstream].writing && x.responseSeen > 0 {
		// What is shown may be changed, and must not be while it is written.
		x.out, x.outAt = slices.Clone(x.out[x.outAt:x.outAt+x.responseSeen]), 0
	}
	x.End, x.Finish = end, m.now
	m.s.counters.requestBytes.Add(x.RequestBytes)
	m.s.counters.responseBytes.Add(x.ResponseBytes)
	m.h.Done(x)
}

// leave ends an exchange after everything was sent to the program.
func (m *machine) leave(end End, toProgram, toUpstream closing) {
	m.stage, m.end, m.since = stageLast, end, m.now
	m.bye = [2]closing{toProgram, toUpstream}
}

// closeBoth closes both sides. A program that may still be sending gets time to
// read the response: closing a connection with unread bytes resets it, and the
// program would lose the response.
func (m *machine) closeBoth(toProgram, toUpstream closing) {
	if toProgram == closeFIN && m.stage != stageLinger && m.got[program] == receiving && m.pressed() {
		m.linger(toUpstream)
		return
	}
	m.bye = [2]closing{toProgram, toUpstream}
	m.forget()
	m.stage = stageOver
	m.effects &^= effectConnect
}

// pressed reports whether the program may still be sending.
func (m *machine) pressed() bool {
	return m.x != nil && m.request != requestWhole || m.flows[program].hasUnread() || m.at.unread()
}

// linger closes the upstream connection at once and the program's gently.
func (m *machine) linger(toUpstream closing) {
	m.forget()
	m.stage, m.since = stageLinger, m.now
	m.effects |= effectEndProgram
	m.dropUpstream(toUpstream)
}

// dropUpstream closes the upstream connection and leaves the program's.
func (m *machine) dropUpstream(how closing) {
	if m.conn == connNone {
		return
	}
	m.effects |= effectDropUpstream
	m.bye[upstream], m.conn = how, connNone
	// What is our own goes to the program all the same.
	f := &m.flows[upstream]
	var ours flow
	if len(f.lead) > 0 {
		ours = flow{lead: f.lead, own: f.own, writing: f.writing}
		f.lead, f.own, f.writing = nil, nil, false
	}
	f.forget(&m.s.bufs)
	*f = ours
}

// forget gives all memory back that no read is under way into.
func (m *machine) forget() {
	m.releaseExchange()
	for i := range m.flows {
		m.flows[i].forget(&m.s.bufs)
	}
}

func (f *flow) forget(bufs *buffers) {
	for _, b := range []*buffer{f.kept, f.spill, f.own} {
		switch {
		case b == nil:
		case b == f.reading, f.writing:
			bufs.drop(b)
		default:
			bufs.put(b)
		}
	}
	*f = flow{}
}

// releaseExchange gives the exchange's memory back.
func (m *machine) releaseExchange() {
	if x := m.x; x != nil {
		m.x = nil
		x.tail.release(&m.s.bufs)
		x.route = Route{}
		if x.fields > 0 {
			m.s.bufs.inUse.Add(-int64(x.fields))
			x.fields = 0
			x.Request.Reset()
			x.Response.Reset()
		}
		m.s.exchanges.Put(x)
	}
}

// programEnded acts on the end of what the program sends.
func (m *machine) programEnded() {
	broken := m.got[program] == receivedReset
	switch m.stage {
	case stageIdle, stageHead, stageHold:
		if m.stage == stageIdle {
			m.reportSecured(m.endError())
		}
		m.closeBoth(m.echo(program), m.echo(program))
	case stageDial:
		if broken && m.cancelDial() {
			m.canceled()
		}
	case stageRelay:
		if broken {
			m.canceled()
		}
	case stageRefuse:
		if broken {
			m.report(EndRefused)
			m.closeBoth(closeReset, closeReset)
		}
	case stageOutlast:
		if broken {
			m.closeBoth(closeReset, closeReset)
		}
	case stageLast:
		if broken {
			m.report(m.end)
			m.closeBoth(closeReset, closeReset)
		}
	case stageUnasked:
		m.closeBoth(m.echo(program), m.echo(program))
	case stageLinger:
		m.closeBoth(closeFIN, closeFIN)
	}
}

// endError is the error that the end of the program's bytes is known by.
func (m *machine) endError() error {
	if m.got[program] == receivedReset {
		return syscall.ECONNRESET
	}
	return io.EOF
}

// upstreamEnded acts on the end of what the upstream sends.
func (m *machine) upstreamEnded() {
	switch m.stage {
	case stageIdle, stageHead, stageHold:
		if m.overtaken() {
			m.dropUpstream(m.echo(upstream))
			return
		}
		m.closeBoth(m.echo(upstream), m.echo(upstream))
	case stageUnasked:
		m.closeBoth(m.echo(upstream), m.echo(upstream))
	case stageRelay:
		m.responseEnded()
	case stageOutlast:
		if m.got[upstream] == receivedReset {
			m.closeBoth(closeReset, closeReset)
			return
		}
		m.closeBoth(m.echo(upstream), closeFIN)
	}
}

// pauseTime is how long an upstream waits for a request, at least, before it closes the
// connection for that reason. A request that comes sooner after a response may have been
// sent before it, and is treated as it would be directly.
const pauseTime = 100 * time.Millisecond

// paused reports whether a request that begins now comes after a pause.
func (m *machine) paused(now time.Time) bool {
	return m.conn == connOpen && m.stage == stageIdle && now.Sub(m.quiet) >= m.s.pause
}

// overtaken reports whether a request came after a pause, and before the end of the
// upstream's bytes was known. Nothing of it was sent, so it can go to a new connection.
// Otherwise more requests would fail than do directly: those that are received between
// the arrival of the end and its reading.
func (m *machine) overtaken() bool {
	if m.stage == stageIdle {
		return m.paused(m.now) && m.at.unread()
	}
	return m.conn == connOpen && m.x.Start.Sub(m.quiet) >= m.s.pause
}

// echo returns how to close the connections after one side has ended.
func (m *machine) echo(by side) closing {
	switch m.got[by] {
	case receivedReset:
		return closeReset
	case receivedCut:
		return closeCut
	}
	return closeFIN
}
