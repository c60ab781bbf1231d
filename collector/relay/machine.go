package relay

import (
	"errors"
	"io"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"github.com/ksyun-tap/ksyun-tap/collector/relay/http1"
)

// side is one of the two connections of a pair.
type side uint8

const (
	program side = iota
	upstream
)

func (s side) other() side { return 1 - s }

// stage is what a machine is doing.
type stage uint8

const (
	stageIdle    stage = iota // between exchanges: either side may end, or a request begin
	stageHead                 // receiving the head of a request
	stageHold                 // receiving the body of a request that will be rewritten
	stageDial                 // connecting to the upstream
	stageRelay                // forwarding request and answer
	stageOutlast              // the answer was complete before the request: forwarding the rest of the request
	stageRefuse               // sending our own answer to the program
	stageConnect              // a CONNECT was routed: the driver takes over
	stageUnasked              // the upstream sends data without a request: it is forwarded as it is
	stageLast                 // sending what is left to the program, then closing both sides
	stageLinger               // giving the program time to read the answer; discarding what it sends
	stageOver                 // both sides are to be closed
)

// requestState is the progress of a request in stageRelay and stageOutlast.
type requestState uint8

const (
	requestPassing requestState = iota
	requestWhole
	requestCut // it will not become whole
)

// answerState is the progress of the answer in stageRelay.
type answerState uint8

const (
	answerHead answerState = iota
	answerBody
	answerWhole
	answerRaw // it cannot be read, and passes as it is
)

// reception is the state of what a side sends.
type reception uint8

const (
	receiving     reception = iota
	receivedEnd             // FIN; with TLS, after close_notify
	receivedCut             // FIN without close_notify
	receivedReset           // the connection is broken
)

// closing is how a side is closed.
type closing uint8

const (
	closeFIN   closing = iota
	closeCut           // FIN without close_notify
	closeReset         // RST
)

// effects are the actions that a machine requests besides reading and writing.
type effects uint8

const (
	effectDial         effects = 1 << iota // connect to the upstream of m.x
	effectCancelDial                       // give up the dial that runs
	effectDropUpstream                     // close the upstream connection, for another one
	effectEndUpstream                      // send FIN to the upstream
	effectEndProgram                       // send FIN to the program
	effectConnect                          // take over: stageConnect
)

// flow is what one side sends, on its way to the other. All reads go to cur and
// all writes come from it; it is kept, which lasts as long as the exchange, or
// spill, which takes what does not fit.
type flow struct {
	kept, spill, cur *buffer
	reading          *buffer // where a read was begun and did not end yet
	writing          bool    // a write of what is pending was begun and did not end yet
	lead             []byte  // goes before what is in cur
	own              *buffer // memory of lead, or nil
}

func (f *flow) pending() []byte {
	switch {
	case len(f.lead) > 0:
		return f.lead
	case f.cur != nil:
		return f.cur.unsent()
	}
	return nil
}

func (f *flow) hasUnread() bool { return f.cur != nil && f.cur.t < f.cur.w }

// sockets reports the state of sockets, which only the system knows.
type sockets interface {
	// broken reports whether what was written to the program was refused.
	broken() bool
	// unread reports whether bytes of the program lie ready to be read.
	unread() bool
}

// machine relays between a program's connection and its upstream connection. It
// has no socket, goroutine or clock: its driver reads into space, writes what is
// pending, carries out effects, and reports the results. The machine wants a read
// only if it has room, and none from a side until the other side has taken what
// was read before; this is the only backpressure.
type machine struct {
	s    *Server
	h    Handler
	at   sockets
	x    *Exchange // from the first byte of a request until its end
	keep []byte    // of the route

	stage   stage
	request requestState
	answer  answerState
	effects effects
	key     Key // of the upstream connection

	connected bool // there is an upstream connection
	early     bool // it was made before the first request, which it is for
	reported  bool // the handler knows the end of x
	closeSoon bool // both sides close after the exchange, although neither asked for it
	skipped   bool // the empty line before a request
	endSent   bool // FIN was sent to the upstream
	killed    bool // the server was stopped

	got  [2]reception // from each side
	bye  [2]closing   // for each side, in stageOver
	end  End          // of the exchange, in stageLast
	scan int          // where to go on looking for the end of a head
	bad  error        // what is wrong with the body, found before it could be sent

	flows [2]flow // by the side that sends
	req   http1.Body
	ans   http1.Body

	// The end of a body that spills is kept once it was sent.
	spilt  http1.Body // ans, before what is in the spill was taken
	tailed int        // up to where in the spill it was kept

	now     time.Time
	since   time.Time // the last progress
	secured time.Time // when TLS with the program began, until its first request

	client      netip.AddrPort
	destination netip.AddrPort
	upstream    netip.AddrPort
	hello       bool // the first request is one made up from the first bytes
}

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
		return m.connected && m.stage != stageDial && m.stage != stageRefuse &&
			(!f.hasUnread() || m.stage == stageRelay && m.answer == answerHead)
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
	case !f.hasUnread() && m.headNext(from):
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

// headNext reports whether a side is about to send a head, and nothing that came
// before it is kept: an empty line, or interim answers.
func (m *machine) headNext(from side) bool {
	if from == program {
		return m.stage == stageHead
	}
	return m.stage == stageRelay && m.answer == answerHead
}

// passing reports whether what a side sends belongs to a body.
func (m *machine) passing(from side) bool {
	switch {
	case m.stage != stageRelay && m.stage != stageOutlast:
		return false
	case from == program:
		return m.request == requestPassing
	}
	return m.answer == answerBody
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
	case from == upstream && m.x != nil && m.stage == stageRelay && m.answer == answerHead && first:
		m.x.FirstByte = now
	}
	m.advance()
}

// ended reports that a side will send no more.
func (m *machine) ended(from side, how reception, now time.Time) {
	f := &m.flows[from]
	f.reading = nil
	if m.got[from] != receiving {
		return
	}
	m.now, m.since = now, now
	m.got[from] = how
	if from == program {
		m.programEnded()
	} else {
		m.upstreamEnded()
	}
	m.advance()
}

// pending returns what is to be written to a side next.
func (m *machine) pending(to side) []byte { return m.flows[to.other()].pending() }

// wrote reports that n bytes of what was pending were written.
func (m *machine) wrote(to side, n int, now time.Time) {
	m.now, m.since = now, now
	f := &m.flows[to.other()]
	f.writing = false
	if len(f.pending()) == 0 { // it was given up meanwhile
		return
	}
	if to == program && m.x != nil {
		m.x.ResponseBytes += int64(n)
	}
	if len(f.lead) > 0 {
		if f.lead = f.lead[n:]; len(f.lead) == 0 {
			m.s.bufs.put(f.own)
			f.lead, f.own = nil, nil
		}
	} else {
		f.cur.r += n
	}
	if len(f.pending()) == 0 {
		m.advance()
	}
}

// refused reports that a side takes no more.
func (m *machine) refused(to side, now time.Time) {
	m.now = now
	if to == program {
		m.got[program] = receivedReset
		m.programEnded()
		m.advance()
		return
	}
	// What the upstream sent before decides, or how its connection ends.
	f := &m.flows[program]
	f.lead, f.writing = nil, false
	if f.cur != nil {
		f.cur.r = f.cur.t
	}
	m.request = requestCut // also if it was read whole
	m.advance()
}

// take returns what is to be done, once.
func (m *machine) take() effects {
	e := m.effects
	m.effects = 0
	return e
}

func (m *machine) over() bool { return m.stage == stageOver }

// dialed reports that there is an upstream connection.
func (m *machine) dialed(addr netip.AddrPort, now time.Time) {
	m.now, m.since = now, now
	m.connected, m.endSent, m.got[upstream], m.upstream = true, false, receiving, addr
	m.key = m.x.route.Key
	if m.killed || m.got[program] == receivedReset {
		m.canceled()
		return
	}
	m.send()
	m.advance()
}

// notDialed reports that there is none.
func (m *machine) notDialed(err error, now time.Time) {
	m.now, m.since = now, now
	if m.killed || m.got[program] == receivedReset {
		m.canceled()
		return
	}
	m.refuse(err)
	m.advance()
}

// canceled ends an exchange whose program is gone.
func (m *machine) canceled() {
	end := EndCanceled
	if m.killed {
		end = EndStopped
	}
	m.report(end)
	m.closeBoth(closeReset, closeReset)
}

// drain closes the connections if no exchange runs; one that runs will be the
// last.
func (m *machine) drain(now time.Time) {
	m.now = now
	if m.stage == stageIdle || m.stage == stageHead {
		m.closeBoth(closeFIN, closeFIN)
	}
}

// yield closes the connections if no request is on its way.
func (m *machine) yield(now time.Time) {
	if m.stage == stageIdle && !m.at.unread() {
		m.now = now
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
	return m.x != nil && m.x.in != nil && !m.reported && m.stage != stageHold
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
		case m.got[program] != receiving || m.answer == answerRaw:
			d = limits.HalfClosed
		}
	case stageHold, stageOutlast, stageRefuse, stageLast:
		d = limits.Stall
	case stageUnasked:
		d = limits.HalfClosed
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
		case m.answer == answerRaw:
			m.leave(EndBadResponse, closeFIN, closeFIN)
		case m.got[program] != receiving:
			m.leave(EndCanceled, closeFIN, closeReset)
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

// advance goes on as far as it can.
func (m *machine) advance() {
	for m.step() {
	}
}

// step makes one step. It reports whether another may follow.
func (m *machine) step() bool {
	switch m.stage {
	case stageIdle:
		if m.flows[upstream].hasUnread() {
			return m.unasked()
		}
		return m.begin()
	case stageHead:
		if m.flows[upstream].hasUnread() {
			return m.unasked()
		}
		return m.readHead()
	case stageHold:
		if m.flows[upstream].hasUnread() {
			return m.unasked()
		}
		return m.hold()
	case stageDial:
		m.readAhead()
	case stageRelay:
		return m.relay()
	case stageOutlast:
		return m.outlast()
	case stageRefuse:
		return m.wasRefused()
	case stageUnasked:
		return m.passUnasked()
	case stageLast:
		if len(m.pending(program)) > 0 {
			return false
		}
		m.report(m.end)
		m.closeBoth(m.bye[program], m.bye[upstream])
		return true
	}
	return false
}

// begin begins an exchange if the program has sent something.
func (m *machine) begin() bool {
	if !m.flows[program].hasUnread() {
		return false
	}
	m.reportSecured(nil)
	x := m.s.exchanges.Get().(*Exchange)
	x.reset(m.now, m.s.cfg.TailBytes)
	x.Client, x.Destination, x.Hello = m.client, m.destination, m.hello
	m.x, m.hello = x, false
	m.reported, m.skipped, m.scan, m.bad = false, false, 0, nil
	m.stage, m.request, m.req = stageHead, requestPassing, http1.Body{}
	return true
}

// report has the handler know the end of the exchange.
func (m *machine) report(end End) {
	if m.x == nil || m.reported {
		return
	}
	m.reported = true
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
// read the answer: closing a connection with unread bytes resets it, and the
// program would lose the answer.
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
	if !m.connected {
		return
	}
	m.effects |= effectDropUpstream
	m.bye[upstream], m.connected, m.early, m.endSent = how, false, false, false
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
		m.s.exchanges.Put(x)
	}
}

// next makes the machine ready for another exchange.
func (m *machine) next() {
	m.releaseExchange()
	for i := range m.flows {
		f := &m.flows[i]
		if f.cur == f.spill && f.spill != nil {
			m.s.bufs.put(f.kept)
			f.kept, f.cur = f.spill, f.spill
		} else {
			m.s.bufs.put(f.spill)
		}
		f.spill = nil
		if f.cur != nil {
			f.cur.r = f.cur.t
		}
		m.trim(side(i))
	}
	m.req, m.ans = http1.Body{}, http1.Body{}
	m.closeSoon = false
	m.stage, m.since = stageIdle, m.now
	if m.s.draining.Load() { // since the answer was read
		m.closeBoth(closeFIN, closeFIN)
	}
}

// reportSecured reports to the handler once what came of TLS with the program:
// err is nil if it went on to send a request.
func (m *machine) reportSecured(err error) {
	if m.secured.IsZero() {
		return
	}
	since := m.now.Sub(m.secured)
	m.secured = time.Time{}
	if err == nil || !errors.Is(err, errIdle) && since < rejection {
		m.h.Secured(err)
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
	case stageIdle, stageHead, stageHold, stageUnasked:
		m.closeBoth(m.echo(upstream), m.echo(upstream))
	case stageRelay:
		m.answerEnded()
	case stageOutlast:
		if m.got[upstream] == receivedReset {
			m.closeBoth(closeReset, closeReset)
			return
		}
		m.closeBoth(m.echo(upstream), closeFIN)
	}
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
