package ca

import (
	"container/list"
	"crypto/tls"
	"sync"
	"time"
)

// cache keeps the leaves used last, and has each made once.
type cache struct {
	max int

	mu      sync.Mutex // protects the fields below
	entries map[string]*list.Element
	order   *list.List // of *entry, used last in front
	evicted int64
}

// entry is what is kept of one host.
type entry struct {
	host   string
	leaf   *leaf       // nil before the first
	flight *flight     // nil unless a leaf is being made
	config *tls.Config // nil until asked for
}

// flight is the making of a leaf. leaf and err are set when done is closed.
type flight struct {
	done chan struct{}
	leaf *leaf
	err  error
}

func newCache(size int) *cache {
	return &cache{max: size, entries: make(map[string]*list.Element), order: list.New()}
}

// get returns the certificate for host if it is of v and fresh. If not it
// returns the flight to wait for, or, if mine, the one to carry out: land must
// follow.
func (c *cache) get(host string, v *view, now time.Time) (cert *tls.Certificate, f *flight, mine bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.touch(host)
	switch {
	case e.leaf != nil && e.leaf.view == v && e.leaf.fresh(now):
		return e.leaf.cert, nil, false
	case e.flight != nil:
		return nil, e.flight, false
	}
	e.flight = &flight{done: make(chan struct{})}
	return nil, e.flight, true
}

// land ends a flight, and forgets the host where it failed.
func (c *cache) land(host string, f *flight) {
	c.mu.Lock()
	defer c.mu.Unlock()
	defer close(f.done)
	el, ok := c.entries[host]
	if !ok {
		return
	}
	e := el.Value.(*entry)
	if e.flight != f {
		return // evicted, and begun anew
	}
	e.flight = nil
	if f.err == nil {
		e.leaf = f.leaf
		return
	}
	if e.leaf == nil {
		c.order.Remove(el)
		delete(c.entries, host)
	}
}

// config returns the configuration for host, made by create unless there is
// one.
func (c *cache) config(host string, create func() *tls.Config) *tls.Config {
	c.mu.Lock()
	defer c.mu.Unlock()
	e := c.touch(host)
	if e.config == nil {
		e.config = create()
	}
	return e.config
}

// touch returns the entry of host, made if need be, as the one used last.
// c.mu is held.
func (c *cache) touch(host string) *entry {
	if el, ok := c.entries[host]; ok {
		c.order.MoveToFront(el)
		return el.Value.(*entry)
	}
	if c.order.Len() >= c.max {
		last := c.order.Back()
		delete(c.entries, c.order.Remove(last).(*entry).host)
		c.evicted++
	}
	e := &entry{host: host}
	c.entries[host] = c.order.PushFront(e)
	return e
}

// size returns how many hosts are kept, and how many were pushed out.
func (c *cache) size() (n int, evicted int64) {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.order.Len(), c.evicted
}
