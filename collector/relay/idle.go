package relay

import (
	"sync"
	"sync/atomic"
	"time"
)

// idlePairs finds the pair that has been idle for longest. Exchanges do not update
// it: a pair is added when it is first idle, and keeps that time when it is used
// again. take, which looks for the longest idle pair, notices this and moves the
// pair to its present time.
type idlePairs struct {
	mu    sync.Mutex // protects queue, and the pairs' idling.place
	queue queue
}

// idling is what idlePairs keeps of a pair.
type idling struct {
	since atomic.Int64 // in Unix nanoseconds; 0 while an exchange runs
	later bool         // since was in the future when it was noted
	in    atomic.Bool  // it is in idlePairs.queue
	place place        // by since, or what that was before
}

// note notes since when the pair is idle.
func (l *idlePairs) note(p *pair, since time.Time) { l.set(p, since, false) }

// noteLater notes from when on the pair is idle.
func (l *idlePairs) noteLater(p *pair, from time.Time) { l.set(p, from, true) }

func (l *idlePairs) set(p *pair, since time.Time, later bool) {
	tooLate := p.idle.later // its place may be, which is to be no later than since
	p.idle.later = later
	p.idle.since.Store(since.UnixNano())
	if tooLate || !p.idle.in.Load() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.add(p)
	}
}

// busy notes that an exchange runs.
func (l *idlePairs) busy(p *pair) { p.idle.since.Store(0) }

// add gives a pair that is idle its place. mu is held.
func (l *idlePairs) add(p *pair) {
	if since := p.idle.since.Load(); since != 0 {
		p.idle.in.Store(true)
		l.queue.set(&p.idle.place, p, time.Unix(0, since))
	}
}

// take removes and returns the pair that has been idle for longest; nil if none
// is idle now.
func (l *idlePairs) take(now time.Time) *pair {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.queue) > 0 && !l.queue[0].at.After(now) {
		p := l.queue[0].p
		switch since := p.idle.since.Load(); {
		case since != 0 && since != p.idle.place.at.UnixNano(): // it was used meanwhile
			l.queue.set(&p.idle.place, p, time.Unix(0, since))
		case since == 0:
			l.drop(p)
			l.add(p) // if it became idle while it was seen to be in
		case p.idle.since.CompareAndSwap(since, 0):
			l.drop(p)
			return p
		}
	}
	return nil
}

// remove removes a pair that has ended.
func (l *idlePairs) remove(p *pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	l.drop(p)
}

// drop takes a pair out. mu is held.
func (l *idlePairs) drop(p *pair) {
	l.queue.remove(&p.idle.place)
	p.idle.in.Store(false)
}
