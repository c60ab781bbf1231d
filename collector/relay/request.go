package relay

import (
	"errors"
	"slices"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

// maxHeld limits the body of a request that is held until it is whole.
const maxHeld = 1 << 20

// signatureRoom is by how much a request usually grows at most when it is rewritten.
const signatureRoom = 2 << 10

var errRewrite = errors.New("the request that was to be sent instead cannot be read")

// ErrNoBuffers is the error of a request that needs more memory than
// Config.BufferBytes leaves.
var ErrNoBuffers = errors.New("the limit of memory for buffers is reached")

// readHead looks for the end of a request's head.
func (m *machine) readHead() bool {
	b := m.flows[program].cur
	n, next, err := http1.ScanRequest(b.unread(), m.scan, m.s.cfg.MaxHeadBytes)
	switch {
	case err != nil:
		m.refuse(err)
	case n == len("\r\n"): // empty lines are passed over (RFC 9112, 2.2), and begin no request
		b.t += n
		b.r = b.t
		m.releaseExchange()
		m.stage = stageIdle
		m.trim(program)
	case n > 0:
		m.parseHead(n)
	default:
		m.scan = next
		if !m.makeRoom(program) {
			m.refuse(ErrNoBuffers)
			return true
		}
		return false
	}
	return true
}

// makeRoom makes room behind the beginning of a head. A large buffer has it for the
// longest of a request. It reports false if there is no memory.
func (m *machine) makeRoom(from side) bool {
	b := m.flows[from].cur
	switch {
	case len(b.free()) > 0:
	case b.t > headroom: // behind another message
		m.move(from, b, b.t)
	case len(b.b) > smallBuffer && from == program: // as long as may be
	case len(b.b) > smallBuffer:
		longer := m.s.bufs.longer(b)
		if longer == nil {
			return false
		}
		m.move(from, longer, b.t)
	default:
		large := m.s.bufs.getHead(from)
		if large == nil {
			return false
		}
		m.move(from, large, b.t)
	}
	return true
}

// move moves what a side sent, from offset keep on, to the front of b, which may
// be where it is. It returns by how much it moved.
func (m *machine) move(from side, b *buffer, keep int) (moved int) {
	f := &m.flows[from]
	if f.reading != nil {
		panic("relay: memory is moved that is read into")
	}
	old := f.cur
	moved = headroom - keep
	copy(b.b[headroom:], old.b[keep:old.w])
	b.r, b.t, b.w = old.r+moved, old.t+moved, old.w+moved
	if b != old {
		m.s.bufs.put(old)
		f.kept, f.cur = b, b
	}
	return moved
}

// parseHead reads the head of n bytes and asks where the request goes.
func (m *machine) parseHead(n int) {
	x, b := m.x, m.flows[program].cur
	start := b.t
	if err := x.Request.Parse(b.b, start, start+n); err != nil {
		x.Request.Reset() // half of a head is worse than none
		m.refuse(err)
		return
	}
	b.t += n
	b.r = b.t
	m.req = x.Request.Body()
	x.in, x.bodyAt, x.RequestBytes = b.b, b.t, int64(n)
	m.request, x.requestDone = requestPassing, m.req.Done
	if m.req.Done {
		m.request = requestWhole
	}
	if err := m.takeRequest(); err != nil {
		m.refuse(err)
		return
	}
	fields := x.Request.Memory()
	if fields > 0 && !m.s.bufs.reserve(fields, m.s.bufs.limit/headShare) {
		m.refuse(ErrNoBuffers)
		return
	}
	x.fields = fields
	route, err := m.h.Route(x)
	if err != nil {
		m.refuse(err)
		return
	}
	// The request moves within its memory, and may leave it, before it is sent.
	m.keep = append(m.keep[:0], route.Keep...)
	route.Keep = m.keep
	x.route = route
	switch {
	case x.Request.Form == http1.FormAuthority:
		m.dropUpstream(closeFIN)
		m.stage = stageConnect
		m.effects |= effectConnect
	case route.Rewrite != nil:
		m.stage, m.since = stageHold, m.now
		if x.Request.Expects() && !m.req.Done {
			m.flows[upstream].lead = []byte("HTTP/1.1 100 Continue\r\n\r\n")
		}
	default:
		m.connect()
	}
}

// takeRequest takes what was read of the request's body.
func (m *machine) takeRequest() error {
	f := &m.flows[program]
	b := f.cur
	if m.req.Done || !f.hasUnread() {
		return nil
	}
	n, err := m.req.Take(b.unread())
	if err != nil {
		return err
	}
	x := m.x
	b.t += n
	x.RequestBytes += int64(n)
	x.requestBody += int64(n)
	if b == f.kept {
		x.requestSeen += n
	}
	if m.req.Done {
		x.requestDone, m.request = true, requestWhole
	}
	if m.stage != stageRelay && m.stage != stageOutlast {
		b.r = b.t
	}
	return nil
}

// connect sends the request, on a new upstream connection if there is none to
// where it goes.
func (m *machine) connect() {
	f := &m.flows[program]
	if free := len(f.cur.free()); !m.req.Done && !m.req.Fits(free) {
		if to := m.roomier(f.cur, m.x.Request.Start(), free); to != nil {
			m.moveRequest(to)
		}
	}
	if key := m.x.route.Key; m.conn == connEarly && !key.TLS || m.conn != connNone && m.key == key {
		m.key, m.conn = key, connOpen
		m.send()
		return
	}
	m.dropUpstream(closeFIN)
	m.stage = stageDial
	m.effects |= effectDial
	m.s.counters.dials.Add(1)
}

// roomier returns the buffer to move a message to that starts in b, as its body does not
// fit behind it: a large one if b is small and there is memory for it, or b itself if that
// makes much room. It returns nil if the message is to stay where it is.
func (m *machine) roomier(b *buffer, start, free int) *buffer {
	if len(b.b) == smallBuffer {
		if large := m.s.bufs.getLarge(); large != nil {
			return large
		}
	}
	if start > headroom+free { // behind another message
		return b
	}
	if len(b.b) > m.s.bufs.largeSize && free < m.s.bufs.largeSize-smallBuffer { // behind a long head
		return m.s.bufs.longer(b)
	}
	return nil
}

// moveRequest moves the request to the front of b, which may be where it is.
func (m *machine) moveRequest(b *buffer) {
	x := m.x
	moved := m.move(program, b, x.Request.Start())
	x.Request.Rebase(b.b, moved)
	x.in, x.bodyAt = b.b, x.bodyAt+moved
}

// readAhead takes what comes of the request while it cannot be sent yet, to know
// where it ends: what lies behind it is not to be read around.
func (m *machine) readAhead() {
	if m.bad == nil {
		m.bad = m.takeRequest()
	}
}

// send has the request sent, as far as it was read.
func (m *machine) send() {
	x, f := m.x, &m.flows[program]
	if m.readAhead(); m.bad != nil {
		m.refuse(m.bad)
		return
	}
	x.Upstream = m.upstream
	x.Request.Prepare(x.route.Keep)
	f.cur.r = x.Request.Start()
	if p := x.route.Proxied; p != nil {
		f.lead = x.Request.Proxied(p.Origin, p.Authorization)
		f.cur.r = x.Request.Rest()
	}
	m.stage, m.response, m.scan = stageRelay, responseHead, 0
	m.closeSoon = x.Request.Close()
}

// upload forwards what was read of the request's body.
func (m *machine) upload() (progress bool) {
	f := &m.flows[program]
	if m.request == requestPassing {
		progress = f.hasUnread()
		if err := m.takeRequest(); err != nil {
			// The head is with the upstream already: all that is left is to
			// leave the request unfinished there.
			m.report(EndCanceled)
			m.closeBoth(closeReset, closeReset)
			return true
		}
		if m.request == requestPassing && m.got[program] != receiving {
			m.request = requestCut
		}
	}
	// The end of what the program sends is passed on behind its last byte.
	if m.got[program] != receiving && m.conn != connEnded && m.request != requestPassing && !f.hasUnread() && len(f.pending()) == 0 {
		m.conn = connEnded
		m.effects |= effectEndUpstream
	}
	return progress
}

// outlast forwards the rest of a request that was answered before it was
// complete.
func (m *machine) outlast() bool {
	progress := m.upload()
	switch {
	case m.stage != stageOutlast || len(m.pending(upstream)) > 0:
		return progress
	case m.request == requestWhole && m.got[program] == receiving:
		m.next()
	case m.request != requestPassing:
		m.closeBoth(closeFIN, closeFIN)
	default:
		return progress
	}
	return true
}

// hold waits for the complete body of a request that will be rewritten.
func (m *machine) hold() bool {
	x, f := m.x, &m.flows[program]
	err := m.takeRequest()
	switch {
	case err != nil:
	case x.Request.Length() > maxHeld || x.requestSeen > maxHeld:
		err = http1.ErrBodyTooLarge
	case m.req.Done:
		err = m.rewrite()
	default:
		if len(f.cur.free()) > 0 {
			return false
		}
		b := m.s.bufs.holding(2 * len(f.cur.b))
		if b != nil {
			m.moveRequest(b)
			return false
		}
		err = ErrNoBuffers
	}
	if err != nil {
		m.refuse(err)
	} else {
		m.connect()
	}
	return true
}

// rewrite replaces the request, which was read completely, with another one. What
// the program sent after it is kept for the next exchange.
func (m *machine) rewrite() error {
	x, f, bufs := m.x, &m.flows[program], &m.s.bufs
	old := f.cur
	body := old.b[x.bodyAt:old.t]
	if x.Request.Chunked() {
		body = http1.Dechunk(slices.Clone(body))
	}
	b := bufs.holding(old.w - x.Request.Start() + signatureRoom)
	if b == nil {
		return ErrNoBuffers
	}
	p, err := x.route.Rewrite(b.b[headroom:headroom], x, body)
	if err != nil {
		bufs.put(b)
		return err
	}
	excess := old.unread()
	if len(p)+len(excess) > len(b.free()) {
		bufs.put(b)
		if b = bufs.holding(len(p) + len(excess)); b == nil {
			return ErrNoBuffers
		}
	}
	b.w += copy(b.free(), p)
	end, _, err := http1.ScanRequest(b.unread(), 0, len(p))
	if err == nil {
		err = x.Request.Parse(b.b, b.t, b.t+end)
	}
	if err != nil || x.Request.Chunked() || max(x.Request.Length(), 0) != int64(len(p)-end) {
		x.Request.Reset()
		bufs.put(b)
		return errRewrite
	}
	x.in, x.bodyAt, x.requestSeen, x.requestBody = b.b, b.t+end, len(p)-end, int64(len(p)-end)
	b.t = b.w
	b.r = b.t
	b.w += copy(b.free(), excess)
	bufs.put(old)
	f.kept, f.cur = b, b
	return nil
}

// refuse answers a request of which nothing was sent.
func (m *machine) refuse(err error) {
	x := m.x
	if x.in == nil {
		x.RequestBytes = int64(len(m.flows[program].cur.unread()))
	}
	more := m.req.Done && x.Request.Persists() && x.Request.Form != http1.FormAuthority && !m.s.draining.Load()
	own := m.s.bufs.getSmall()
	// It goes behind what is left of a 100 Continue.
	response := m.h.Refuse(append(own.b[:0], m.flows[upstream].lead...), x, err, !more)
	switch {
	case x.Hello && x.Destination.IsValid(): // like a port without a listener
		m.s.bufs.put(own)
		m.report(EndRefused)
		m.closeBoth(closeReset, closeReset)
		return
	case x.Hello:
		response, more = x.refusalAlert(), false
	}
	m.stage, m.since, m.closeSoon = stageRefuse, m.now, !more
	m.flows[upstream].lead, m.flows[upstream].own = response, own
}

// wasRefused goes on once our own response was sent.
func (m *machine) wasRefused() bool {
	if len(m.pending(program)) > 0 {
		return false
	}
	m.report(EndRefused)
	switch {
	case m.conn != connNone && m.got[upstream] != receiving: // meanwhile
		m.closeBoth(m.echo(upstream), closeFIN)
	case !m.closeSoon && m.got[program] == receiving:
		m.next()
	case m.got[program] == receiving:
		m.linger(closeFIN)
	default:
		m.closeBoth(closeFIN, closeFIN)
	}
	return true
}
