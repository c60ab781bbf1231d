package relay

import "time"

// arm sets the pair's timer, unless it fires early enough anyway.
func (l *loop) arm(p *pair) {
	at, limited := p.m.deadline()
	timer := &p.looped.timer
	if !limited || timer.n > 0 && !timer.at.After(at) {
		return
	}
	l.timers.set(timer, p, at)
}

// timeout returns for how many milliseconds to wait for events, -1 for ever.
func (l *loop) timeout() int {
	if len(l.timers) == 0 {
		return -1
	}
	d := l.timers[0].at.Sub(l.now)
	return int(max(0, min(d+time.Millisecond-1, time.Hour)/time.Millisecond))
}

// expireTimers acts on the pairs whose timer has fired. Most often the deadline has
// moved on since it was set.
func (l *loop) expireTimers() {
	for len(l.timers) > 0 && !l.timers[0].at.After(l.now) {
		first := l.timers[0]
		l.timers.remove(first)
		l.expire(first.p)
	}
}

func (l *loop) expire(p *pair) {
	defer l.contain(p)
	if at, limited := p.m.deadline(); limited && !at.After(l.now) {
		p.m.expired(l.now)
		l.drive(p)
		return
	}
	l.arm(p)
}
