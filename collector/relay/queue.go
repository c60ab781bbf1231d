package relay

import (
	"container/heap"
	"time"
)

// queue orders pairs by a time.
type queue []*place

// place is that of a pair in a queue.
type place struct {
	p  *pair
	at time.Time
	n  int // its index in the queue, from 1; 0 if it is not in it
}

// set gives a pair its place, or another one.
func (q *queue) set(e *place, p *pair, at time.Time) {
	e.p, e.at = p, at
	if e.n == 0 {
		heap.Push(q, e)
	} else {
		heap.Fix(q, e.n-1)
	}
}

func (q *queue) remove(e *place) {
	if e.n > 0 {
		heap.Remove(q, e.n-1)
	}
}

// Len implements heap.Interface.
func (q *queue) Len() int { return len(*q) }

// Less implements heap.Interface.
func (q *queue) Less(i, j int) bool { return (*q)[i].at.Before((*q)[j].at) }

// Swap implements heap.Interface.
func (q *queue) Swap(i, j int) {
	(*q)[i], (*q)[j] = (*q)[j], (*q)[i]
	(*q)[i].n, (*q)[j].n = i+1, j+1
}

// Push implements heap.Interface.
func (q *queue) Push(v any) {
	e := v.(*place)
	*q = append(*q, e)
	e.n = len(*q)
}

// Pop implements heap.Interface.
func (q *queue) Pop() any {
	last := len(*q) - 1
	e := (*q)[last]
	(*q)[last] = nil
	*q = (*q)[:last]
	e.n = 0
	return e
}
