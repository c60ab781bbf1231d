package relay

import (
	"errors"
	"net/netip"
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
	stageRelay                // forwarding request and response
	stageOutlast              // the response was complete before the request: forwarding the rest of the request
	stageRefuse               // sending our own response to the program
	stageConnect              // a CONNECT was routed: the driver takes over
	stageUnasked              // the upstream sends data without a request: it is forwarded as it is
	stageLast                 // sending what is left to the program, then closing both sides
	stageLinger               // giving the program time to read the response; discarding what it sends
	stageOver                 // both sides are to be closed
)

// requestState is the progress of a request in stageRelay and stageOutlast.
type requestState uint8

const (
	requestPassing requestState = iota
	requestWhole
	requestCut // it will not become whole
)

// responseState is the progress of the response in stageRelay.
type responseState uint8

const (
	responseHead responseState = iota
	responseBody
	responseWhole
	responseRaw // it cannot be read, or another protocol follows it: what comes passes as it is
)

// connState is the state of the upstream connection.
type connState uint8

const (
	connNone  connState = iota
	connEarly           // made before the first request, which it is for
	connOpen
	connEnded // FIN was sent to the upstream
)

// notice is what the handler knows of an exchange besides where it goes.
type notice uint8

const (
	noticeNone notice = iota
	noticeSent        // some of the request was sent
	noticeDone        // how the exchange ended
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
	// unread reports whether there are bytes of the program that the machine has not
	// received.
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

	stage    stage
	request  requestState
	response responseState
	effects  effects
	conn     connState
	key      Key // of the upstream connection

	notified  notice // of x
	closeSoon bool   // both sides close after the exchange, although neither asked for it
	killed    bool   // the server was stopped

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
	quiet   time.Time // since when no exchange has been running, before the present one
	secured time.Time // when TLS with the program began, until its first request

	client      netip.AddrPort
	destination netip.AddrPort
	upstream    netip.AddrPort
	hello       bool // the first request is one made up from the first bytes
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
	switch {
	case m.x == nil:
	case to == program:
		m.x.ResponseBytes += int64(n)
	case m.notified == noticeNone: // reading the call takes time, which the request does not wait for
		m.notified = noticeSent
		m.h.Sent(m.x)
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
	m.conn, m.got[upstream], m.upstream = connOpen, receiving, addr
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
	m.notified, m.scan, m.bad = noticeNone, 0, nil
	m.stage, m.request, m.req = stageHead, requestPassing, http1.Body{}
	return true
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
	m.stage, m.since, m.quiet = stageIdle, m.now, m.now
	if m.s.draining.Load() { // since the response was read
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
