package relay

import (
	"errors"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

// relay forwards a request and its response.
func (m *machine) relay() bool {
	progress := m.upload()
	if m.stage != stageRelay {
		return true
	}
	switch m.response {
	case responseHead:
		return m.readResponse() || progress
	case responseBody:
		return m.passResponse() || progress
	case responseRaw:
		return m.passRaw() || progress
	}
	if len(m.pending(program)) > 0 {
		return progress
	}
	m.keepTail()
	m.complete()
	return true
}

// longHeads is how many times the limit of a request's head that of a response may be
// long: programs that do not limit it to 16 KiB read some hundred.
const longHeads = 4

// readResponse looks for the end of the response's head.
func (m *machine) readResponse() bool {
	x, f := m.x, &m.flows[upstream]
	if !f.hasUnread() || len(f.pending()) > 0 {
		return false
	}
	b := f.cur
	n, next, err := http1.ScanResponse(b.unread(), m.scan, longHeads*m.s.cfg.MaxHeadBytes)
	switch {
	case err != nil, n == 0 && !m.makeRoom(upstream):
		x.headTooLong = err == nil || errors.Is(err, http1.ErrHeadTooLarge)
		m.raw()
		return true
	case n == 0:
		m.scan = next
		return false
	}
	m.scan = 0
	p := &x.Response
	switch err := p.Parse(b.b, b.t, b.t+n); {
	case err != nil:
		m.raw()
		return true
	case p.Status == 101: // unasked, as Upgrade is not forwarded
		m.switched()
		return true
	case p.Status < 200:
		m.closeSoon = m.closeSoon || p.Odd()
		p.Reset() // its memory may be used again before the next one is read
		b.t += n
		if x.FirstByte = (time.Time{}); f.hasUnread() {
			x.FirstByte = m.now
		}
		return true
	}
	if fields := p.Memory(); fields > 0 {
		m.s.bufs.inUse.Add(int64(fields))
		x.fields += fields
	}
	m.ans = p.Body(string(x.Request.Method()) == "HEAD")
	b.t += n
	if free := len(b.free()); !m.ans.Done && !m.ans.Fits(free) && !m.ans.EndsIn(b.unread()) {
		if to := m.roomier(b, p.Start(), free); to != nil {
			p.Rebase(to.b, m.move(upstream, to, p.Start()))
			b = to
		}
	}
	if m.s.draining.Load() {
		p.AddClose()
		m.closeSoon = true
	}
	m.closeSoon = m.closeSoon || p.Odd()
	b.r = p.Start()
	x.out, x.outAt = b.b, p.End()
	m.response = responseBody
	return true
}

// passResponse forwards what was read of the response's body.
func (m *machine) passResponse() bool {
	x, f := m.x, &m.flows[upstream]
	if len(f.pending()) == 0 {
		m.keepTail()
	}
	progress := false
	if f.hasUnread() && !m.ans.Done {
		before := m.ans
		n, err := m.ans.Take(f.cur.unread())
		if err != nil {
			m.raw()
			return true
		}
		f.cur.t += n
		x.responseBody += int64(n)
		if f.cur == f.kept {
			x.responseSeen += n
		} else {
			m.spilt = before
		}
		progress = true
	}
	if m.ans.Done {
		m.closeSoon = m.closeSoon || m.ans.Odd()
		m.response, x.responseDone = responseWhole, true
		return true
	}
	return progress
}

// keepTail keeps the end of the spilled bytes after they were sent.
func (m *machine) keepTail() {
	f := &m.flows[upstream]
	if f.spill == nil || f.cur != f.spill || f.spill.t <= m.tailed {
		return
	}
	b := f.spill
	if !m.x.tail.add(m.spilt.Data(b.b[m.tailed:b.t]), &m.s.bufs) {
		m.x.Uninspected = true
	}
	m.tailed = b.t
}

// complete ends an exchange whose response was forwarded completely.
func (m *machine) complete() {
	end := EndComplete
	// A program that only half-closed its connection still reads the response; one
	// that closed it has reset the connection by now.
	if m.got[program] != receiving && m.at.broken() {
		end = EndCanceled
	}
	m.report(end)
	switch {
	case m.got[upstream] != receiving:
		m.closeBoth(m.echo(upstream), closeFIN)
	case m.closeSoon || m.got[program] != receiving || m.request == requestCut:
		m.closeBoth(closeFIN, closeFIN)
	case m.request == requestPassing || len(m.pending(upstream)) > 0:
		m.stage, m.since = stageOutlast, m.now
		if f := &m.flows[upstream]; f.reading == nil && !f.hasUnread() {
			// What is read from now on is little, but may take long.
			f.forget(&m.s.bufs)
		}
	default:
		m.next()
	}
}

// raw forwards the bytes of a response that cannot be parsed, until the upstream
// closes or the program sends more: the end of the response cannot be determined.
func (m *machine) raw() {
	x, b := m.x, m.flows[upstream].cur
	x.Response.Reset()
	x.out, x.outAt, x.responseSeen = nil, 0, 0
	m.response, b.t = responseRaw, b.w
}

// switched forwards what follows a response after which, as it says, another protocol
// is spoken: the response is complete, and the rest is raw.
func (m *machine) switched() {
	f := &m.flows[upstream]
	m.response, m.x.responseDone = responseRaw, true
	f.cur.t = f.cur.w
}

// rawEnd returns how an exchange ended of which raw bytes are forwarded.
func (m *machine) rawEnd() End {
	switch {
	case m.x.responseDone:
		return EndComplete
	case m.x.headTooLong:
		return EndHeadTooLong
	}
	return EndBadResponse
}

func (m *machine) passRaw() bool {
	f := &m.flows[upstream]
	switch {
	case f.hasUnread():
		f.cur.t = f.cur.w
	case len(f.pending()) == 0 && m.request == requestWhole && m.flows[program].hasUnread():
		m.leave(m.rawEnd(), closeFIN, closeFIN)
	default:
		return false
	}
	return true
}

// unasked forwards what the upstream sends without a request, as raw does.
func (m *machine) unasked() bool {
	m.releaseExchange()
	m.stage, m.since = stageUnasked, m.now
	return true
}

func (m *machine) passUnasked() bool {
	f := &m.flows[upstream]
	switch {
	case f.hasUnread():
		f.cur.t = f.cur.w
	case len(f.pending()) == 0 && m.flows[program].hasUnread():
		m.closeBoth(closeFIN, closeFIN)
	default:
		return false
	}
	return true
}

// responseEnded handles the end of the upstream's bytes before the response was
// forwarded completely.
func (m *machine) responseEnded() {
	x, f := m.x, &m.flows[upstream]
	reset := m.got[upstream] == receivedReset
	if m.response == responseBody && m.ans.UntilClose() && !reset {
		m.response, x.responseDone = responseWhole, true
		return
	}
	if m.response == responseWhole {
		return
	}
	if f.cur != nil {
		if m.response == responseHead {
			x.Broken = f.cur.unread()
		}
		f.cur.t = f.cur.w
	}
	end, toProgram, toUpstream := EndClosed, m.echo(upstream), closeFIN
	if reset {
		end, toUpstream = EndReset, closeReset
	}
	switch {
	case m.response == responseRaw:
		end = m.rawEnd()
	case m.got[program] != receiving:
		end = EndCanceled
	}
	m.leave(end, toProgram, toUpstream)
}
