package relay

import (
	"context"
	"sync"
	"time"
)

// blocking drives a pair with blocking calls. One goroutine reads from the program
// and another from the upstream, and each writes the result to the other side.
// They hold the pair's mu except while reading, writing or dialing.
type blocking struct {
	p        *pair
	changed  sync.Cond // whether a side is to be read
	writing  [2]bool
	reading  bool // of the program
	watching bool // that the program does not reset its connection
	timer    *time.Timer
	timerAt  time.Time // when it fires; zero if it does not
	upstream sync.WaitGroup
}

// block drives the pair until it is over, or a CONNECT was routed.
func (p *pair) block() {
	p.mu.Lock()
	defer p.mu.Unlock()
	d := &blocking{p: p}
	d.changed.L = &p.mu
	p.blocking, p.where = d, atBlocking
	p.m.killed = p.killed
	if p.up != nil {
		d.readUpstream(p.up)
	}
	d.begin()
	d.read(program, p.cl)
	if d.timer != nil {
		d.timer.Stop()
	}
	p.mu.Unlock()
	d.upstream.Wait()
	p.mu.Lock()
	p.blocking, p.where = nil, atDoor
}

func (d *blocking) begin() {
	defer d.guard()
	if d.p.s.draining.Load() {
		d.p.m.drain(time.Now())
	}
	d.p.m.advance()
	d.settle()
}

// done reports whether another driver has the machine, or the pair has ended.
func (d *blocking) done() bool { return d.p.m.over() || d.p.m.stage == stageConnect }

func (d *blocking) readUpstream(l *link) {
	d.upstream.Go(func() {
		d.p.mu.Lock()
		defer d.p.mu.Unlock()
		d.read(upstream, l)
	})
}

// read reads from a side whenever the machine wants it, until the pair ends or
// the upstream connection is replaced.
func (d *blocking) read(from side, l *link) {
	defer d.guard()
	p, m := d.p, &d.p.m
	for !d.done() && (from == program || p.up == l) {
		if from == program && d.watching {
			d.changed.Wait()
			continue
		}
		b := m.space(from)
		if b == nil {
			d.pause(from, l)
			continue
		}
		d.reading = d.reading || from == program
		n, err := p.unlocked(l.readUnreported, b)
		d.reading = d.reading && from != program
		if from == upstream && p.up != l {
			return
		}
		if from == program && n > 0 {
			d.letUpstreamEnd()
		}
		l.unreported.Store(readNothing)
		now := time.Now()
		if n > 0 {
			m.received(from, n, now)
		} else {
			m.nothing(from)
		}
		if err != nil {
			m.ended(from, receptionOf(err, l.wire), now)
		}
		d.settle()
	}
}

// letUpstreamEnd has the end of the upstream be reported before a request that was read
// after a pause, if the end is known to have arrived.
func (d *blocking) letUpstreamEnd() {
	p, up := d.p, d.p.up
	if up == nil || !p.m.paused(time.Now()) {
		return
	}
	for !d.done() && p.up == up && up.hasEnded() {
		d.changed.Wait()
	}
}

// pause waits until a side is to be read, or not any more.
func (d *blocking) pause(from side, l *link) {
	if from == program {
		defer d.watch()()
	}
	for !d.done() && !d.p.m.wants(from) && (from == program || d.p.up == l) {
		d.changed.Wait()
	}
}

// watch has a goroutine notice a reset of the program while nobody reads from it,
// until stop is called. mu is held, and stop releases it meanwhile.
func (d *blocking) watch() (stop func()) {
	p, l := d.p, d.p.cl
	if d.reading || d.watching || l.sock == nil {
		return func() {}
	}
	d.watching = true
	watched := make(chan struct{})
	go func() {
		defer close(watched)
		if !l.watchForReset() {
			return
		}
		p.mu.Lock()
		defer p.mu.Unlock()
		defer d.guard()
		if !d.done() {
			p.m.ended(program, receivedReset, time.Now())
			d.settle()
		}
	}()
	return func() {
		p.mu.Unlock()
		l.interrupt()
		<-watched
		l.SetReadDeadline(time.Time{}) //nolint:errcheck // reading shows it
		p.mu.Lock()
		d.watching = false
		d.changed.Broadcast()
	}
}

// unlocked reads or writes without mu.
func (p *pair) unlocked(do func([]byte) (int, error), b []byte) (int, error) {
	p.mu.Unlock()
	defer p.mu.Lock()
	return do(b)
}

// guard ends the pair if its handler or machine panicked.
func (d *blocking) guard() {
	if v := recover(); v != nil && d.p.panicked() {
		d.settle()
	}
}

// settle writes what is pending, carries out the machine's effects, and wakes the
// goroutines that wait.
func (d *blocking) settle() {
	p, m := d.p, &d.p.m
	for {
		if e := m.take(); e != 0 {
			d.carryOut(e)
			continue
		}
		if m.over() {
			break
		}
		if !d.writing[program] && len(m.pending(program)) > 0 {
			d.write(program, p.cl)
			continue
		}
		if !d.writing[upstream] && p.up != nil && len(m.pending(upstream)) > 0 {
			d.write(upstream, p.up)
			continue
		}
		break
	}
	if m.over() {
		p.s.closeLink(p.cl, m.bye[program])
		if p.up != nil {
			p.dropLink(m.bye[upstream])
		}
	} else {
		d.arm()
		p.noteIdle()
	}
	d.changed.Broadcast()
}

// smallest is how much of a request a socket takes without waiting for the upstream.
const smallest = 16 << 10

// write writes what is pending for a side.
func (d *blocking) write(to side, l *link) {
	p, m := d.p, &d.p.m
	b := m.pending(to)
	d.writing[to], m.flows[to.other()].writing = true, true
	d.arm()
	stop := func() {}
	if to == upstream && m.x.RequestBytes > smallest {
		stop = d.watch()
	}
	n, err := p.unlocked(l.Write, b)
	stop()
	if to == upstream && p.up != l {
		return
	}
	d.writing[to] = false
	if m.over() {
		return
	}
	now := time.Now()
	if n > 0 {
		m.wrote(to, n, now)
	}
	if err != nil && !m.over() {
		m.refused(to, now)
	}
}

func (d *blocking) carryOut(e effects) {
	p, m := d.p, &d.p.m
	if e&effectDropUpstream != 0 && p.up != nil {
		p.dropLink(m.bye[upstream])
		d.writing[upstream] = false
	}
	if e&effectEndUpstream != 0 && p.up != nil {
		p.s.closeWrite(p.up, m.got[program] == receivedCut)
	}
	if e&effectEndProgram != 0 {
		p.s.closeWrite(p.cl, m.bye[program] == closeCut)
	}
	if e&effectDial != 0 {
		ctx, cancel := context.WithCancel(p.s.ctx)
		p.cancelDial = cancel
		x := m.x
		d.upstream.Go(func() { d.dial(ctx, x) })
	}
	if e&effectCancelDial != 0 {
		p.cancelDial()
	}
}

// dial connects to the upstream and reads from it.
func (d *blocking) dial(ctx context.Context, x *Exchange) {
	p := d.p
	nc, err := p.dial(ctx, x)
	p.mu.Lock()
	defer p.mu.Unlock()
	defer d.guard()
	p.cancelDial()
	p.cancelDial = nil
	if err != nil {
		p.m.notDialed(err, time.Now())
		d.settle()
		return
	}
	p.up = newLink(nc)
	d.readUpstream(p.up)
	p.m.dialed(addrPort(nc.RemoteAddr()), time.Now())
	d.settle()
}

// arm sets the timer, unless it already fires early enough: setting a timer costs
// as much as everything else that is done for a small message.
func (d *blocking) arm() {
	at, limited := d.p.m.deadline()
	switch {
	case !limited || !d.timerAt.IsZero() && !d.timerAt.After(at):
		return
	case d.timer == nil:
		d.timer = time.AfterFunc(time.Until(at), d.fired)
	default:
		d.timer.Reset(time.Until(at))
	}
	d.timerAt = at
}

func (d *blocking) fired() {
	d.p.mu.Lock()
	defer d.p.mu.Unlock()
	defer d.guard()
	d.timerAt = time.Time{}
	if d.done() || d.p.blocking != d {
		return
	}
	now := time.Now()
	if at, limited := d.p.m.deadline(); limited && !now.Before(at) {
		d.p.m.expired(now)
	}
	d.settle()
}

// noteIdle records since when no exchange has been running, or that one has begun and
// may not go on.
func (p *pair) noteIdle() {
	switch p.m.stage {
	case stageIdle:
		p.s.idle.note(p, p.m.since)
	case stageHead:
		p.s.idle.noteLater(p, p.m.x.Start.Add(p.s.cfg.Timeouts.MakeRoom))
	default:
		p.s.idle.busy(p)
	}
}
