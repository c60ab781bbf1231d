package relay

import (
	"container/heap"
	"sync"
	"sync/atomic"
	"time"
)

// idlePairs finds the pair that has been idle for longest. Exchanges do not update
// it: a pair is added when it is first idle, and keeps that time when it is used
// again. take, which looks for the longest idle pair, notices this and moves the
// pair to its present time.
type idlePairs struct {
	mu    sync.Mutex // protects the fields below, and those of idling that say so
	pairs []*pair    // a heap, by idling.under
}

// idling is what idlePairs keeps of a pair.
type idling struct {
	since atomic.Int64 // in Unix nanoseconds; 0 while an exchange runs
	in    atomic.Bool  // it is in idlePairs.pairs
	under int64        // since, or before; idlePairs.mu protects it
	at    int          // in idlePairs.pairs; idlePairs.mu protects it
}

// note notes since when the pair is idle.
func (l *idlePairs) note(p *pair, since time.Time) {
	p.idle.since.Store(since.UnixNano())
	if !p.idle.in.Load() {
		l.mu.Lock()
		defer l.mu.Unlock()
		l.add(p)
	}
}

// busy notes that an exchange runs.
func (l *idlePairs) busy(p *pair) { p.idle.since.Store(0) }

// add puts a pair in that is idle. mu is held.
func (l *idlePairs) add(p *pair) {
	since := p.idle.since.Load()
	if since != 0 && !p.idle.in.Load() {
		p.idle.in.Store(true)
		p.idle.under = since
		heap.Push(l, p)
	}
}

// take removes and returns the pair that has been idle for longest; nil if none
// is idle.
func (l *idlePairs) take() *pair {
	l.mu.Lock()
	defer l.mu.Unlock()
	for len(l.pairs) > 0 {
		p := l.pairs[0]
		switch since := p.idle.since.Load(); {
		case since != 0 && since != p.idle.under: // it was used meanwhile
			p.idle.under = since
			heap.Fix(l, 0)
		case since == 0:
			heap.Pop(l)
			l.add(p) // if it became idle while it was seen to be in
		case p.idle.since.CompareAndSwap(since, 0):
			heap.Pop(l)
			return p
		}
	}
	return nil
}

// remove removes a pair that has ended.
func (l *idlePairs) remove(p *pair) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.idle.in.Load() {
		heap.Remove(l, p.idle.at)
	}
}

// Len implements heap.Interface.
func (l *idlePairs) Len() int { return len(l.pairs) }

// Less implements heap.Interface.
func (l *idlePairs) Less(i, j int) bool { return l.pairs[i].idle.under < l.pairs[j].idle.under }

// Swap implements heap.Interface.
func (l *idlePairs) Swap(i, j int) {
	l.pairs[i], l.pairs[j] = l.pairs[j], l.pairs[i]
	l.pairs[i].idle.at, l.pairs[j].idle.at = i, j
}

// Push implements heap.Interface.
func (l *idlePairs) Push(v any) {
	p := v.(*pair)
	p.idle.at = len(l.pairs)
	l.pairs = append(l.pairs, p)
}

// Pop implements heap.Interface.
func (l *idlePairs) Pop() any {
	last := len(l.pairs) - 1
	p := l.pairs[last]
	l.pairs[last] = nil
	l.pairs = l.pairs[:last]
	p.idle.in.Store(false)
	return p
}
