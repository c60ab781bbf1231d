package relay

import (
	"container/heap"
	"time"
)

// arm sets the pair's timer, unless it fires early enough anyway.
func (l *loop) arm(p *pair) {
	at, limited := p.m.deadline()
	if !limited || p.looped.timer >= 0 && !p.looped.timerAt.After(at) {
		return
	}
	l.times.set(p, at)
}

// timers are the pairs with a timer, by when it fires.
type timers struct{ pairs []*pair }

// wait returns for how many milliseconds to wait for events, -1 for ever.
func (t *timers) wait(now time.Time) int {
	if len(t.pairs) == 0 {
		return -1
	}
	d := t.pairs[0].looped.timerAt.Sub(now)
	return int(max(0, min(d+time.Millisecond-1, time.Hour)/time.Millisecond))
}

func (t *timers) set(p *pair, at time.Time) {
	p.looped.timerAt = at
	if p.looped.timer < 0 {
		heap.Push(t, p)
		return
	}
	heap.Fix(t, p.looped.timer)
}

func (t *timers) remove(p *pair) {
	if p.looped.timer >= 0 {
		heap.Remove(t, p.looped.timer)
	}
}

// expire acts on the pairs whose timer has fired. Most often the deadline has
// moved on since it was set.
func (t *timers) expire(l *loop) {
	for len(t.pairs) > 0 && !t.pairs[0].looped.timerAt.After(l.now) {
		p := t.pairs[0]
		t.remove(p)
		l.expire(p)
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

// Len implements heap.Interface.
func (t *timers) Len() int { return len(t.pairs) }

// Less implements heap.Interface.
func (t *timers) Less(i, j int) bool {
	return t.pairs[i].looped.timerAt.Before(t.pairs[j].looped.timerAt)
}

// Swap implements heap.Interface.
func (t *timers) Swap(i, j int) {
	t.pairs[i], t.pairs[j] = t.pairs[j], t.pairs[i]
	t.pairs[i].looped.timer, t.pairs[j].looped.timer = i, j
}

// Push implements heap.Interface.
func (t *timers) Push(v any) {
	p := v.(*pair)
	p.looped.timer = len(t.pairs)
	t.pairs = append(t.pairs, p)
}

// Pop implements heap.Interface.
func (t *timers) Pop() any {
	last := len(t.pairs) - 1
	p := t.pairs[last]
	t.pairs[last] = nil
	t.pairs = t.pairs[:last]
	p.looped.timer = -1
	return p
}
